"""The tables of the model card, in Markdown, from measured figures. They hold no words that depend on a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seka.layers import read_heads
from seka.miniature.findings import came_after, mean, order, with_interval
from seka.miniature.measures.tasks import TASKS
from seka.miniature.targets import DEFAULT, FLAT, HARMLESS, apart, by_position, met, verdicts
from seka.miniature.train import FREE

Figures = Mapping[str, Any]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def percent(rate: Figures | None) -> str:
    """A rate as "97.5 (95.4-98.6)", in per cent, with its interval; "" where there is none."""
    if rate is None or not rate["n"]:
        return ""
    return with_interval(rate)


def targets(sections: Figures) -> str:
    """Every target beside what was measured, and whether it is met."""
    rows = []
    for target, as_wanted, good in verdicts(sections):
        task = sections["tasks"][target.task]
        plain = percent(task["none"][target.unmarked]) if target.unmarked else "0, as one answer cannot be both"
        if target.plain:
            low, high = target.plain
            plain += f", wanted {100 * low:.0f}-{100 * high:.0f}: {met(bool(as_wanted))}"
        rate = task[DEFAULT][target.figure]
        pooled = percent(task.get("pooled", {}).get(target.figure))
        rows.append([target.what, plain, f"{100 * target.least:.0f}", percent(rate), pooled, str(rate["n"]), met(good)])
    flat = by_position(sections["tasks"], DEFAULT)
    plain_flat = 100 * apart(by_position(sections["tasks"], "none"))
    rows.append(
        [
            "long passages: best less worst place of the sentence that answers, points",
            f"{plain_flat:.1f}",
            f"at most {100 * FLAT:.0f}",
            f"{100 * apart(flat):.1f}",
            "",
            " + ".join(str(rate["n"]) for rate in flat.values()),
            met(apart(flat) <= FLAT),
        ]
    )
    harm = sections["perplexity"][DEFAULT]
    rows.append(
        [
            "perplexity of an unrelated story, multiple (a mark that misses does more: see What it cannot do)",
            "1",
            f"at most {HARMLESS}",
            multiple(harm),
            multiple(sections["perplexity"]["pooled"]),
            str(harm["n"]),
            met(harm["multiple"] <= HARMLESS),
        ]
    )
    return table(["", "without steering", "target", "`adaptive`", "`pooled`", "rows", ""], rows)


def multiple(harm: Figures) -> str:
    """A multiple of the unsteered perplexity with its interval."""
    return f"{harm['multiple']:.4f} ({harm['low']:.4f}-{harm['high']:.4f})"


def tasks(sections: Figures) -> str:
    """A table for each task, every way in it."""
    parts = []
    for name, entry in sections["tasks"].items():
        n = max(rate["n"] for rate in entry["none"].values())
        plain = "; ".join(f"{figure} {percent(rate)}" for figure, rate in entry["none"].items())
        columns = list(dict.fromkeys(figure for way, rates in entry.items() if way != "none" for figure in rates))
        rows = [
            [f"`{way}`", *(percent(rates.get(column)) for column in columns)]
            for way, rates in entry.items()
            if way != "none"
        ]
        what = "whole answers" if TASKS[name].whole else "first tokens"
        title = f"**{TASKS[name].title}** (`{name}`; {n} rows, {what}). Without steering: {plain}."
        parts.append(title + "\n\n" + table(["way", *columns], rows))
    return "\n".join(parts)


def positions(sections: Figures) -> str:
    """Long passages by the place of the sentence that answers."""
    ways = {way: by_position(sections["tasks"], way) for way in ("none", DEFAULT)}
    rows = [[f"`{way}`", *map(percent, rates.values())] for way, rates in ways.items()]
    return table(["way", *ways["none"]], rows)


def stages(training: Figures, digest: str) -> str:
    """The runs that made the weights, one after the other."""
    rows = []
    every = [*training.get("before", []), training]
    for number, stage in enumerate(every, 1):
        recipe, last = stage["recipe"], stage["last"]
        shape = recipe["shape"]
        budget = f"{recipe['steps']} steps" if recipe["steps"] else f"{recipe['minutes']:g} minutes"
        if not recipe["steps"] and stage["minutes"] < 0.99 * recipe["minutes"]:
            budget += f" ({stage['minutes']:.0f})"
        rows.append(
            [
                str(number),
                _beginning(every, number) if recipe.get("start") else "random initialisation",
                _corpus(stage, training, digest),
                f"{budget}, {stage['threads']} {stage['device']} threads",
                f"{shape['vocabulary']:,}",
                f"{shape['context']:,}",
                f"{stage['steps']:,}",
                f"{stage['tokens'] / 1e6:.1f}",
                f"{recipe['muon']:g}, {recipe['adam']:g}",
                f"{recipe.get('answer_weight', 1):g}",
                f"{100 * recipe.get('skips', 0):.0f} %",
                f"{last['loss']:.3f}",
                f"{last['validation loss']:.3f}",
            ]
        )
    head = [
        "stage",
        "begins with",
        "corpus",
        "budget",
        "vocabulary",
        "context",
        "steps",
        "M tokens",
        "learning rates (Muon, AdamW)",
    ]
    return table([*head, "loss weight of answers", "skipping", "training loss", "validation loss"], rows)  # fmt: skip


def recipes(found: Figures, training: Figures) -> str:
    """The runs compared: what sets them apart and what they came to; those that became stages have their number."""
    rows = []
    for name, one in found["runs"].items():
        recipe, tasks, number = one["recipe"], one["tasks"].values(), stage_of(one, training)
        read = sum(task["read"]["hits"] / task["read"]["n"] for task in tasks) / len(tasks)
        rows.append(
            [
                f"`{name}`" + (f", stage {number}" if number else ""),
                str(recipe["seed"]),
                f"{recipe['tokens']:,}",
                f"{recipe['muon']:g}, {recipe['adam']:g}",
                f"{one['minutes']:.0f}",
                f"{one['steps']:,}",
                f"{one['tokens'] / 1e6:.1f}",
                f"{100 * read:.1f}",
                between(one["mean"]),
                between(one["difference to the best"]),
                multiple(one["perplexity"]),
            ]
        )
    head = ["run", "seed", "batch, tokens", "learning rates (Muon, AdamW)", "minutes", "steps", "M tokens", "read, %"]
    means = table([*head, "followed, %", "difference to the best, points", "story's perplexity, multiple"], rows)
    tasks = list(next(iter(found["runs"].values()))["tasks"])
    each = [
        [f"`{name}`", *(percent(one["tasks"][task]["followed"]) for task in tasks)]
        for name, one in found["runs"].items()
    ]
    return means + "\n" + table(["run: followed, %", *(f"`{task}`" for task in tasks)], each)


def stage_of(run: Figures, training: Figures) -> int:
    """Which stage, from 1, a compared run became, at its own budget or at a longer one; 0 for none."""

    def of(stage: Figures) -> bool:
        mine, theirs = run["recipe"], stage["recipe"]
        same = all(mine.get(key) == theirs.get(key) for key in {*mine, *theirs} - set(FREE))
        return same and run["documents"] == stage.get("documents")

    stages = [*training.get("before", []), training]
    return next((number for number, stage in enumerate(stages, 1) if of(stage)), 0)


def between(some: Figures) -> str:
    """A share, or a difference of shares, with its interval, times 100."""
    return f"{100 * some['value']:.1f} ({100 * some['low']:.1f} to {100 * some['high']:.1f})"


def _beginning(stages: Sequence[Figures], number: int) -> str:
    """Whose weights stage `number` (from 1) began with: the one before it, where it names no other, or a mean of several."""
    after = came_after(stages, number)
    taken = stages[after - 1].get("mean of")
    return mean(taken, stages) if taken else f"stage {after}"


def _corpus(stage: Figures, last: Figures, digest: str) -> str:
    """What a stage was trained on, beside the corpus as it is: by its first documents, where they are known."""
    if set(stage["shares"]) != set(last["shares"]):
        return "another one"
    return "this one" if stage.get("documents") == digest else "an earlier state of it"


def scales(chosen: Figures) -> str:
    """The scale of each steered head, by expert."""
    heads = [(layer, head) for layer, some in read_heads(chosen["layers"]).items() for head in some]
    rows = [
        [f"`{name}`", *(f"{own[str(layer)][head]:g}" for layer, head in heads)]
        for name, own in chosen["scales"].items()
    ]
    return table(["expert", *(f"{layer}:{head}" for layer, head in heads)], rows)


def experts(chosen: Figures) -> str:
    """Gains of each expert and of the mixture, and what they were chosen by."""
    rows = [
        [
            f"`{name}`",
            str(entry["triplets"]),
            f"{entry['gain']:g}",
            "; ".join(f"{gain}: {100 * score:.1f}" for gain, score in entry["scores"].items()),
            "; ".join(f"{gain}: {value:.3f}" for gain, value in entry["perplexity"].items()),
        ]
        for name, entry in {**chosen["experts"], "adaptive": {"triplets": "", **chosen["router"]}}.items()
    ]
    return table(["expert", "triplets", "gain", "score by gain, %", "perplexity by gain, multiple, upper end"], rows)


def routing(sections: Figures) -> str:
    """How often the matching expert has the largest share, and the mean shares, by kind of prompt."""
    names = next(iter(sections["routing"].values()))["shares"]
    rows = [
        [
            kind,
            f"`{entry['matching']}`",
            percent(entry),
            str(entry["n"]),
            *(f"{100 * entry['shares'][name]:.1f}" for name in names),
        ]
        for kind, entry in sections["routing"].items()
    ]
    return table(
        ["prompts", "matching expert", "largest, %", "rows", *(f"share of `{name}`, %" for name in names)], rows
    )


def maps(sections: Figures) -> str:
    """Both maps of the heads side by side: a row a layer, a column a head."""
    found = sections["heads"]
    count = len(next(iter(found["shift"].values())))

    def cells(some: Sequence[float | None], sign: str) -> list[str]:
        return ["" if one is None else f"{one:{sign}.2f}" for one in some]

    rows = [[layer, *cells(found["shift"][layer], ""), *cells(found["effect"][layer], "+")] for layer in found["shift"]]
    head = [f"sensitivity, head {i}" for i in range(count)] + [f"effect, head {i}" for i in range(count)]
    return table(["layer", *head], rows)


def spread(sections: Figures) -> str:
    """The ways in the order found, at the same side effect."""
    found = sections["spread"]["ways"]
    rows = []
    for name in order(sections["spread"]):
        way = found[name]
        own, more = between(way["mean"]), between(way["over key scaling"])
        gain = "" if way["gain"] is None else f"{way['gain']:.3g}"
        harm = "{value:.3f} ({low:.3f}-{high:.3f})".format(**way["side effect"])
        rows.append([f"`{name}`", gain, harm, own, more, *map(percent, way["tasks"].values())])
    tasks = [f"`{task}`" for task in next(iter(found.values()))["tasks"]]
    return table(["way", "strength", "side effect, nats", "mean, %", "over key scaling, points", *tasks], rows)


def harms(sections: Figures) -> str:
    """Perplexity of a story by way."""
    rows = [[f"`{name}`", f"{one['gain']:g}", multiple(one)] for name, one in sections["perplexity"].items()]
    return table(["way", "strength", "perplexity, multiple"], rows)


def wordings(sheet: Figures) -> str:
    """Wordings of training and held out, by what they are for."""
    counts = {**sheet["wordings"], **{f"open relations of {file}": n for file, n in sheet["open relations"].items()}}
    return table(["list", "in training", "held out"], [[name, *map(str, n)] for name, n in counts.items()])
