"""Invented figures of a model card: every section, in the form that `measures.figures` gives, with rates that a test may set."""

from __future__ import annotations

import copy
from typing import Any

from seka.miniature.measures import tasks as t
from seka.miniature.measures.evaluate import Rate
from seka.miniature.measures.figures import MATCHING, SECTIONS

PLAIN = ("the first", "the less likely", "the corpus's", "any of them")
IGNORED = ("ignored one loses", "another statement wins")
COUNTED = {
    "rivals": ("first one marked", "less likely one marked", "both ways"),
    "one": ("marked",),
    "sentences": ("right sentence marked", "right ones kept", "another sentence marked"),
}
NAMES = ("facts", "roles", "instructions", "passages")
SCALES = {
    name: {"0": [0.0, first], "2": [second, 0.5]}
    for name, first, second in zip((*NAMES, "pooled"), (0.01, 1, 0.3, 0.2, 0.1), (0.25, 0.01, 0.4, 0.6, 1), strict=True)
}
STEERED = ("adaptive", "pooled", "random subspace", "key scaling")


def rate(hits: int, n: int = 500) -> dict[str, Any]:
    return t.written(Rate(hits, n))


def entry(task: t.Task, hits: int = 450) -> dict[str, Any]:
    """One task's figures, the same rate in all of them; without steering a third."""
    rivals = task.count == "rivals" or task.kind == "several"
    plain = PLAIN if rivals else PLAIN[2:]
    found = {"none": {name: rate(task.n // 3, task.n) for name in plain}}
    figures = COUNTED[task.count] + (IGNORED if task.ignoring else ())
    marked = {name: rate(hits * task.n // t.N, task.n) for name in figures}
    return found | {way: copy.deepcopy(marked) for way in task.ways if way != "none"}


def between(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def invented() -> dict[str, Any]:
    """What figures.json may hold."""
    spread = {
        name: {
            "gain": None if name in ("none", "marked prompt") else 0.2,
            "side effect": {"value": 0.05, "low": 0.04, "high": 0.06},
            "tasks": {task: rate(300) for task in ("conflict, unseen wordings", "one against 3", "visitor")},
            "mean": between(mean, mean - 0.02, mean + 0.02),
            "over key scaling": between(mean - 0.6, mean - 0.63, mean - 0.57),
            "side effect over key scaling": between(0.001, -0.004, 0.006),
        }
        for name, mean in zip(
            ("none", "marked prompt", "logit bias", "key scaling, every head", *STEERED),
            (0, 0.1, 0.5, 0.4, 0.8, 0.7, 0.2, 0.6), strict=True,
        )
    }  # fmt: skip
    sections = {
        "strength": {
            "experts": dict.fromkeys((*NAMES, "pooled"), 0.2),
            "router": {"gain": 0.2, "score": "relative", "sharpness": 8.0},
            "layers": "0:1;2:0,1",
            "scales": SCALES,
            "gains": dict.fromkeys(STEERED, 0.2),
        },
        "short": {name: entry(task) for name, task in t.SHORT.items()},
        "tasks": {name: entry(task) for name, task in t.TASKS.items()},
        "perplexity": {
            name: {"gain": 0.2, "n": 500, "multiple": 1.01, "low": 1.005, "high": 1.015} for name in STEERED
        },
        "routing": {
            kind: {
                "matching": expert,
                **(rate(300, 400) if expert == "roles" else rate(150, 200)),
                "shares": {n: 0.7 if n == expert else 0.1 for n in NAMES},
            }
            for expert, kind in MATCHING.items()
        },
        "heads": {
            "gain": 0.2,
            "n": 100,
            "effect": {"0": [0.1, -0.2], "1": [None, 0.4]},
            "shift": {"0": [0.3, 0.05], "1": [None, 0.07]},
            "heads": 3,
            "rank correlation": 0.5,
            "furthest apart": [{"layer": 1, "head": 1, "effect": 1, "shift": 2}],
        },
        "spread": {
            "target": 0.05,
            "matched on": 20,
            "told on": 60,
            "draws": 2000,
            "ways": spread,
            "recommended": {name: {"gain": 0.2, **between(0.5, 0.4, 0.6)} for name in ("adaptive", "pooled")},
        },
        "datasheet": {
            "digest": "ab",
            "triplets": "cd",
            "documents": 5000,
            "tokens": 700_000,
            "longest": 990,
            "shares": {"conflict": 0.6, "passage": 0.4},
            "held share": 0.1,
            "words": {"city": [90, 10], "food": [80, 9]},
            "open relations": {"verbs.txt": [300, 40], "nouns.txt": [500, 60]},
            "relations": 61,
            "wordings": {"two statements together": [50, 14]},
            "visitors": {"names": 200, "words": 500},
            "leaks": {"held": 19, "found": ["rye"]},
            "met": ["applaud"],
            "long passages": {"rows": 300, "shortest": 890, "mean": 970, "longest": 1019},
        },
    }
    assert list(sections) == list(SECTIONS)
    return {"files": {"model": "0" * 64}, "threads": 2, "seconds": {"tasks": 600}, "sections": sections}


def training() -> dict[str, Any]:
    """What training_figures.json may hold: two stages, the first as an older version wrote it."""
    shape = {
        "vocabulary": 3072,
        "layers": 8,
        "width": 256,
        "heads": 8,
        "kv_heads": 4,
        "head_width": 32,
        "inner": 640,
        "context": 512,
    }
    stage = {"steps": 100, "tokens": 2_000_000, "minutes": 58.0, "device": "cpu", "threads": 2, "parameters": 6_300_000}
    losses = {"loss": 1.5, "validation loss": 1.6}
    first = {"minutes": 58, "steps": 0, "seed": 0, "shape": shape, "muon": 0.02, "adam": 0.003}
    second = {**first, "minutes": 75.0, "start": "runs/first", "answer_weight": 5.0, "muon": 0.015, "tokens": 12288}
    return {
        **stage,
        "before": [{**stage, "recipe": first, "last": losses, "shares": {"story": 1.0}}],
        "recipe": second,
        "last": losses,
        "shares": {"conflict": 0.6, "passage": 0.4},
    }  # fmt: skip


def recipes() -> dict[str, Any]:
    """What recipes_figures.json may hold: the run that was finished, and another one."""
    own = training()["recipe"]

    def run(value: float, **other: Any) -> dict[str, Any]:
        return {
            "recipe": {"seed": 0, "tokens": 6144, **own, "minutes": 15.0, **other},
            "steps": 200,
            "tokens": 2_500_000,
            "minutes": 15.0,
            "documents": training().get("documents"),
            "tasks": {"conflict": {"read": rate(190, 200), "followed": rate(round(200 * value), 200)}},
            "mean": between(value, value - 0.03, value + 0.03),
            "difference to the best": between(value - 0.8, value - 0.82, value - 0.78),
            "perplexity": {"n": 100, "multiple": 1.01, "low": 1.005, "high": 1.015},
        }

    strength = {"gain": 0.2, "score": "relative", "sharpness": 8.0, "layers": "last2"}
    return {"rows": 200, "strength": strength, "runs": {"a": run(0.8), "b": run(0.7, seed=7)}}


def chosen() -> dict[str, Any]:
    """What experts_figures.json may hold."""
    scored = {"gain": 0.2, "scores": {"0.1": 0.5, "0.2": 0.9}, "perplexity": {"0.2": 1.01}}
    return {
        "rows": 100,
        "documents": "ab",
        "triplets": "cd",
        "layers": "0:1;2:0,1",
        "scales": SCALES,
        "experts": {name: {"triplets": 400, **scored} for name in (*NAMES, "pooled")},
        "router": {"score": "relative", "sharpness": 8.0, **scored},
    }
