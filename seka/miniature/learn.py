"""The experts of the embedded model: one for each kind of contrastive triplets, one of all kinds, and how they act best."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seka.baselines import with_baselines
from seka.experts import NAME
from seka.layers import write_heads
from seka.learn import learn
from seka.miniature import ROOT, load, path, projections, scales
from seka.miniature.corpus import documents, triplets
from seka.miniature.corpus.ordinary import general
from seka.miniature.corpus.triplets import COUNT, KINDS
from seka.miniature.measures.matching import USUAL, usual
from seka.miniature.measures.shipped import POOLED
from seka.miniature.strength import rows, strength
from seka.projections import Projection
from seka.routing import Router


def learnt(model: Any, tokenizer: Any, count: int = COUNT, n: int = USUAL) -> dict[str, Projection]:
    """An expert for each kind of triplet, and one of all kinds together, `count` triplets each. The mixed ones have baselines,
    on `n` prompts of each kind of `matching.MATCHING`."""
    given = {kind: triplets.triplets(kind, count) for kind in KINDS}
    given[POOLED] = [triplet for some in given.values() for triplet in some[: count // len(KINDS)]]
    about = {kind: f"about {what}" for kind, (_, what) in KINDS.items()} | {
        POOLED: f"of every kind: {', '.join(KINDS)}"
    }
    found = {}
    for name, some in given.items():
        alike = sorted(some, key=lambda triplet: len(triplet.context))  # batches of similar lengths are padded less
        description = f"Learnt from {len(some)} questions {about[name]}."
        found[name] = learn(model, tokenizer, alike, name=name, description=description)
    return found | with_baselines(model, tokenizer, {kind: found[kind] for kind in KINDS}, usual(tokenizer, n))


def make(
    model: Any, tokenizer: Any, folder: Path, n: int = 100, report: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Learn every expert, choose heads, scales and gains on validation rows, save all in `folder`.

    n: rows of each task. Scales are found in the mixture for each expert, which leaves the heads that act, the same for
    all; then for the pooled one alone. Returns what was measured, as plain values.
    """
    given = rows(n, tokenizer)
    experts = learnt(model, tokenizer)
    parts = experts[POOLED].parts
    every = [(layer, head) for layer, part in parts.items() for head in part.present.nonzero()[:, 0].tolist()]
    own = scales.tune(model, tokenizer, {kind: experts[kind] for kind in KINDS}, every, report=report)
    heads = scales.acting(own)
    own |= scales.tune(model, tokenizer, {POOLED: experts[POOLED]}, heads, report=report)
    layers = write_heads({layer: [head for at, head in heads if at == layer] for layer, _ in heads})
    filled = scales.filled(own, heads)
    told = scales.written(filled, heads)
    report(f"heads {layers}, scales {told}")
    figures: dict[str, Any] = {
        "rows": n,
        "documents": documents.digest(),
        "triplets": triplets.digest(),
        "layers": layers,
        "scales": told,
        "experts": {},
    }
    for name, expert in experts.items():
        projection = expert.scaled(filled[name])
        found = strength(model, tokenizer, projection, given, layers)
        report(f"{name}: {found}")
        experts[name] = projection.with_header(
            recommended_gain=found.gain, recommended_layers=layers, model="seka-miniature"
        )
        figures["experts"][name] = {"triplets": projection.header["triplets"]["used"], **found.written()}
    router = Router({kind: experts[kind] for kind in KINDS}, sharpness=scales.SHARPNESS, score=scales.SCORE)
    found = strength(model, tokenizer, router, given, layers)
    report(f"router: {found}")
    weighed = {"score": router.score, "sharpness": router.sharpness}
    figures["router"] = {**weighed, **found.written()}
    save(experts, {"layers": layers, **weighed, "gain": found.gain}, folder)
    return figures


def save(experts: dict[str, Projection], settings: dict[str, Any], folder: Path) -> None:
    """Write the experts and the folder's experts.json; the pooled one stands alone. Other projections there are deleted."""
    files = {name: f"{name}.safetensors" for name in experts}
    for name, projection in experts.items():
        projection.save(folder / files[name])
    for file in folder.glob("*.safetensors"):
        if file.name not in files.values():
            file.unlink()
    alone = {POOLED: files.pop(POOLED)}
    _write(folder / NAME, {"experts": files, "alone": alone, "router": settings})


def _write(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature learn`."""
    parser.add_argument("--rows", type=int, default=100, help="validation rows of each task that choose (default 100)")


def run(args: argparse.Namespace, report: Callable[[str], None] = lambda line: None) -> None:
    """Learn the experts of the shipped model anew, and write the bundled triplets."""
    model, tokenizer = load()
    _write(path() / "experts_figures.json", make(model, tokenizer, projections(), args.rows, report))
    lines = [json.dumps(asdict(triplet), ensure_ascii=False) for triplet in general()]
    (ROOT / "assets" / "triplets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
