"""The words of the model card around measured figures. It measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seka.miniature.world import HELD_SHARE

FRONT = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
"""
PLAIN, UNLIKELY, BOTH = "plain is the first", "unlikely one marked", "both ways"
TASKS = {
    "conflict": ("Two statements contradict each other", (PLAIN, UNLIKELY, BOTH, "ignored one loses")),
    "several": ("Three to five statements contradict each other", (PLAIN, UNLIKELY, "ignored one loses")),
    "biography": ("Biography with another line of work as a distraction", (PLAIN, UNLIKELY, BOTH)),
    "passage": (
        "Question about a passage",
        ("plain is the corpus's", "right sentence marked", "right, another sentence marked"),
    ),
    "override": ("A capital told wrongly", (PLAIN, UNLIKELY, BOTH)),
    "opening": ("Two rules for the first word", (PLAIN, UNLIKELY, BOTH)),
    "choice": ("Two rules for what to report", (PLAIN, UNLIKELY, BOTH)),
    "pronouns": ("Two rules for what to call somebody (first word)", (PLAIN, UNLIKELY, BOTH)),
}


def percent(rate: Mapping[str, Any] | None) -> str:
    """A rate as "97.5 (95.4-98.6)", in per cent, with its interval."""
    if rate is None:
        return ""
    return f"{100 * rate['hits'] / rate['n']:.1f} ({100 * rate['low']:.0f}-{100 * rate['high']:.0f})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def results(figures: Mapping[str, Any]) -> str:
    """One table for each task and split."""
    parts = []
    for name, entry in figures["tables"].items():
        kind, split = name.split(", ", 1)
        title, columns = TASKS[kind]
        expert = figures["expert"][kind]
        gains = figures["gains"][expert]
        shown = [c for c in columns if any(c in rates for rates in entry.values())]
        rows = [
            [
                f"expert {expert}" if method == "expert" else method,
                f"{gains[method]:.3g}" if method in gains else "",
                *(percent(rates.get(column)) for column in shown),
            ]
            for method, rates in entry.items()
        ]
        parts.append(f"**{title}** ({split})\n\n" + table(["method", "gain", *shown], rows))
    return "\n".join(parts)


def training(figures: Mapping[str, Any]) -> str:
    """How it was trained, in a sentence each."""
    t = figures["training"]
    recipe, last = t["recipe"], t["last"]
    shape = recipe["shape"]
    return (
        f"{t['parameters'] / 1e6:.2f} M parameters: {shape['layers']} layers, width {shape['width']}, {shape['heads']} query and "
        f"{shape['kv_heads']} key heads of {shape['head_width']}, SwiGLU {shape['inner']}, vocabulary {shape['vocabulary']}, "
        f"context {shape['context']}, embedding and output shared.\n\n"
        f"`python -m seka miniature train --minutes {recipe['minutes']:g} --seed {recipe['seed']} --ship` on {t['threads']} "
        f"{t['device']} threads: {t['minutes']} minutes of training time, {t['steps']:,} steps, {t['tokens'] / 1e6:.1f} M tokens; "
        f"final training loss {last['loss']} and validation loss {last['validation loss']} nats per token. "
        "The budget is in minutes, so another machine sees another number of tokens; a step is repeatable under its seed and "
        "thread count. Muon on the matrices inside layers, AdamW on the rest, constant rate, then linearly to 0.\n"
    )


def render(figures: Mapping[str, Any]) -> str:
    """The whole card from all measured figures."""
    shares = ", ".join(f"{kind} {100 * share:.1f} %" for kind, share in figures["training"]["shares"].items())
    used = figures["gains"][figures["expert"]["conflict"]]
    effects = [[name, f"{used[name]:.3g}", f"{value:.3f}"] for name, value in figures["side effect"].items()]
    context = figures["training"]["recipe"]["shape"]["context"]
    overlaps = sorted(figures["likeness"].values())
    alike = f"{overlaps[0]:.2f} to {overlaps[-1]:.2f}"
    gains = [next(iter(figures["sweep"].values()))]
    swept = [
        [name, *(f"{percent(cell)}, {cell['side effect']:.2f}" for cell in row.values())]
        for name, row in figures["sweep"].items()
    ]
    routed = [[name, *(percent(rate) for rate in rates.values())] for name, rates in figures["routing"].items()]
    chosen = [[name, str(entry["gain"]), str(entry["triplets"])] for name, entry in figures["experts"].items()]
    return f"""{FRONT}
# seka-miniature

A small language model with the architecture of Qwen3, trained from scratch on text that `seka/miniature` generates. It
exists to show prompt highlighting on a model that is small enough to be in a repository: every key, subspace and answer
is real, and none of it was trained to obey marks. The corpus holds no `**`, no `~~` and no steering of any kind.
This card is written by `python -m seka miniature card` from figures that it measures; they are in `figures.json`.

## Training

{training(figures)}
Corpus, in shares of its tokens: {shares}. Where statements of a document disagree, the answer it goes on with is drawn with
a chance that depends on the wording, so an honest model is undecided. Held out: {100 * HELD_SHARE:.0f} % of all names and
words, by hash, and every wording marked `!` in relations.txt and listed second in wordings.py. Test rows are drawn
from other seeds than training and validation rows. Of {figures["leaked"]["held"]} held-out words and names in the lists,
{len(figures["leaked"]["found"])} occur all the same in {figures["leaked"]["documents"]:,} training documents, in fixed wordings or
longer words: {", ".join(figures["leaked"]["found"])}. Invented words and names have no list; theirs are kept by hash alone.

## Experts

Learnt with `python -m seka miniature learn`, {chosen[0][2]} triplets each from training words. The gain is the smallest on the
plateau of validation rows (conflicts and biographies followed both ways): at most two points below the best.

{table(["expert", "recommended gain", "triplets"], chosen)}
The experts are much alike: the overlap tr(P_a P_b) / sqrt(rank_a rank_b), mean over heads, is {alike}
between any two of them. So the router has little to choose from, and as its experts' coefficients add up, it acts more strongly
than one expert at the same gain.

## Results

Greedy first token of the answer, per cent with Wilson 95 % intervals, {figures["n"]} test rows a task. A whole statement is
marked. "plain is the first": how often the answer without steering is the first statement's (in passages "plain is the
corpus's": how often it is right). "unlikely one marked": a statement that the plain answer does not follow is marked, and
the answer follows it. "both ways": the answer follows the mark whichever of the two is marked. "ignored one loses": the
plain answer's statement is marked `~~so~~`, and the answer changes. Random subspace: three draws of the same rank,
counted together on the same rows, so their interval is somewhat too narrow. Key scaling: k' = (1 + g) k.

{results(figures)}
## Strength and side effect

Conflicts followed both ways, and perplexity of a story after a marked sentence as a multiple of the unsteered one, by gain.

{table(["method", *gains[0]], swept)}
At the gain of the conflict table above:

{table(["method", "gain", "perplexity, multiple"], effects)}
## How experts are weighed

Both scores and both ways of the router at the adaptive gain, both ways followed, on validation rows:

{table(["score, way", *next(iter(figures["routing"].values()))], routed)}
## What it cannot do

- It has seen one small world of generated sentences and nothing else. It knows no facts beyond a few dozen capitals, and
  cannot count, reason or chat. What is unlike its corpus it reads badly: unseen wordings cost more than unseen words (tables
  above); there the limit is reading, and more strength does not help.
- Instructions are its weakest side: two rules for what to report are followed far less often than two statements.
- A mark on the wrong sentence of a passage misleads it ("another sentence marked"), the router most of all.
- After an answer it often adds a sentence in which an unusual name may be misspelt, and the sentence may not fit.
- Prompts longer than about 350 tokens are rare in its training; its context ends at {context} tokens.
- Key scaling, a control without any learning, is in every table. Where it does as well as a learnt subspace, the learning is
  not what made the answer follow. Compare methods at the same side effect, in the table of strengths: the differences that
  remain there are a few points.
- Perplexity is measured on the model's own kind of text, in a story that follows the marked sentence without a break.
- What works here shows that the method is implemented well, not how well it works on large models.
"""
