"""Plain sentences about figures: which of them is true is computed, never typed. It measures nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from seka import effects
from seka.miniature import scales
from seka.miniature.corpus import untried
from seka.miniature.measures.evaluate import Make
from seka.miniature.measures.tasks import WORDED
from seka.miniature.targets import (
    BOTH,
    DEFAULT,
    FLAT,
    HARMLESS,
    LESS,
    TARGETS,
    apart,
    by_position,
    met,
    value,
    verdicts,
)

CHANCE, ALIKE = "random subspace", "key scaling, every head"
NEAR = 0.01
"""A lead by less than this in mean shares is told as none."""
LEARNT = {"pooled": "one expert (`pooled`)", "adaptive": "the mixture of experts (`adaptive`)"}


def points(share: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}"


def listed(words: list[str]) -> str:
    """ "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def mean(taken: Sequence[Any], stages: Sequence[Mapping[str, Any]] = ()) -> str:
    """In words, which stages' weights a mean is of; a part may be a mean itself, and any may count more than once.

    stages: all of them in order, so that a mean which one of the parts began with need not be told again.
    """
    times = Counter(part for part in taken if isinstance(part, int))
    told = ", ".join(f"{stage} ({count} times)" if count > 1 else str(stage) for stage, count in times.items())
    found = Counter(_part(part, list(times), stages) for part in taken if not isinstance(part, int))
    parts = [f"stage{'s' * (len(times) > 1)} {told}"] if times else []
    return "the mean of " + " and ".join(parts + [f"{one} ({n} times)" if n > 1 else one for one, n in found.items()])


def _part(part: Sequence[Any], beside: Sequence[int], stages: Sequence[Mapping[str, Any]]) -> str:
    for number in beside:
        after = came_after(stages, number) if stages else 0
        if after and stages[after - 1].get("mean of") == part:
            return "what it began with" if len(beside) == 1 else f"what stage {number} began with"
    return f"({mean(part, stages)})"


def came_after(stages: Sequence[Mapping[str, Any]], number: int) -> int:
    """Which stage stage `number`, from 1, came after: the one before it, where it names no other; 0 for none."""
    return int(stages[number - 1].get("after", number - 1))


def reached(sections: Mapping[str, Any]) -> str:
    """How many targets are met, and which are not."""
    found = verdicts(sections)
    judged = [(target.what, good) for target, _, good in found]
    judged.append(("long passages, flat when marked", apart(by_position(sections["tasks"], DEFAULT)) <= FLAT))
    judged.append(("side effect", sections["perplexity"][DEFAULT]["multiple"] <= HARMLESS))
    missed = [what for what, good in judged if not good]
    odd = [
        f"{target.task}, {target.unmarked} {100 * value(sections['tasks'][target.task]['none'][target.unmarked]):.1f} % "
        f"(wanted {100 * target.plain[0]:.0f}-{100 * target.plain[1]:.0f})"
        for target, as_wanted, _ in found
        if target.plain and not as_wanted
    ]
    told = f"{len(judged) - len(missed)} of {len(judged)} targets are met."
    told += f" Missed: {'; '.join(missed)}." if missed else ""
    return told + (f" Outside of what is wanted without steering: {'; '.join(odd)}." if odd else "")


def order(spread: Mapping[str, Any]) -> list[str]:
    """The ways from the best to the worst mean."""
    return sorted(spread["ways"], key=lambda name: -spread["ways"][name]["mean"]["value"])


def against_scaling(spread: Mapping[str, Any]) -> str:
    """Whether the learnt subspaces beat key scaling at the same side effect: an interval without 0 says so. Not comparable where
    the side effect on test rows is surely another one, on the side that may explain what was found, or hide what was not."""
    lines, better = [], []
    for name, words in LEARNT.items():
        found, harm = (spread["ways"][name][of] for of in ("over key scaling", "side effect over key scaling"))
        said = f"{points(found['value'])} points ({points(found['low'])} to {points(found['high'])}"
        said += f"; side effect {harm['value']:+.3f} nats, {harm['low']:+.3f} to {harm['high']:+.3f})"
        if found["low"] > 0 and harm["low"] > 0:
            lines.append(f"{words} cannot be compared with key scaling, as its side effect is surely larger: {said}")
        elif found["low"] <= 0 and harm["high"] < 0:
            lines.append(f"{words} cannot be compared with key scaling, as its side effect is surely smaller: {said}")
        elif found["low"] > 0:
            better.append(name)
            lines.append(f"{words} is better than key scaling by {said}")
        elif found["high"] < 0:
            lines.append(f"{words} is worse than key scaling: {said}")
        else:
            lines.append(f"{words} cannot be told from key scaling: {said}")
    verdict = {
        0: "The learnt subspaces are not shown to beat key scaling, which scales whole keys in the same heads.",
        1: "One of the two learnt ways beats key scaling, the other is not shown to.",
        2: "The learnt subspaces beat key scaling.",
    }[len(better)]
    means = {name: spread["ways"][name]["mean"] for name in (CHANCE, *LEARNT)}
    besides = ""
    if all(means[CHANCE]["value"] > means[name]["value"] for name in LEARNT):
        besides = " Directions drawn at random, of the same ranks, come before both"
        sure = all(means[CHANCE]["low"] > means[name]["high"] for name in LEARNT)
        besides += "." if sure else ", by no more than their intervals reach."
    alike = spread["ways"][ALIKE]["over key scaling"]
    said = f"{points(alike['value'])} points ({points(alike['low'])} to {points(alike['high'])})"
    return (
        f"**{verdict}**{besides} At the same side effect, mean of the tasks: {'; '.join(lines)}. Key scaling in every head "
        f"alike, to which nothing was fitted, lies {said} from it."
    )


def off_target(spread: Mapping[str, Any]) -> str:
    """Ways whose harm on test rows is surely not the one that their strengths were set for; "" where none is."""
    off = [
        f"`{name}` {harm['value']:.3f} ({harm['low']:.3f}-{harm['high']:.3f})"
        for name, way in spread["ways"].items()
        if way["gain"] is not None
        for harm in (way["side effect"],)
        if not harm["low"] <= spread["target"] <= harm["high"]
    ]
    return f"On test rows the side effect is surely another one for {listed(off)}." if off else ""


def at_full_strength(spread: Mapping[str, Any]) -> str:
    """What a mark that misses does at the strengths that are shipped."""
    told = [
        f"`{name}` (strength {one['gain']:g}) {one['value']:.3f} ({one['low']:.3f}-{one['high']:.3f})"
        for name, one in spread["recommended"].items()
    ]
    return (
        "At the strengths that their files recommend, a mark that misses moves the answer's first token by, in nats of KL, "
        f"{listed(told)}: the comparison above, at {spread['target']:g}, says nothing of them."
    )


def agreement(heads: Mapping[str, Any]) -> str:
    """How far the two maps of the heads agree, and where they disagree most."""
    r = heads["rank correlation"]
    apart = [
        f"head {one['head']} of layer {one['layer']} (place {one['shift']:g} by sensitivity, {one['effect']:g} by effect)"
        for one in heads["furthest apart"]
    ]
    return (
        f"The two maps {effects.agreement(r)}: rank correlation {effects.two_places(r)} over {heads['heads']} heads. They "
        f"disagree most about {listed(apart)}; places are among all heads, from 1, the largest; equals share theirs."
    )


def worded(tasks: Mapping[str, Any]) -> str:
    """How tasks go in wordings that training never draws, where their targets are judged in those of training, beside these."""
    told, reached = [], 0
    for target in TARGETS:
        if target.task not in WORDED:
            continue
        here, there = (tasks[of][DEFAULT] for of in (target.task, f"{target.task}, unseen wordings"))
        good = value(there[target.figure]) >= target.least
        reached += good
        said = f"{target.task}, {target.figure} {beside(there, here, target.figure)}, target {100 * target.least:.0f}: "
        said += met(good)
        if target.figure != BOTH and BOTH in here:
            said += f" ({BOTH} {beside(there, here, BOTH)})"
        told.append(said)
    rows = max(tasks[f"{name}, unseen wordings"]["none"]["any of them"]["n"] for name in WORDED)
    return (
        "Targets on anything but two contradicting statements are judged in wordings of training. On "
        f"{rows} rows in unseen ones `{DEFAULT}` would meet {reached} of the {len(told)} that are measured there, too (in "
        f"brackets the rate in wordings of training): {'; '.join(told)}."
    )


def beside(there: Mapping[str, Any], here: Mapping[str, Any], figure: str) -> str:
    """A rate in one population and, in brackets, in the other."""
    return f"{100 * value(there[figure]):.1f} % ({100 * value(here[figure]):.1f} %)"


def untried_wordings(tasks: Mapping[str, Any]) -> str:
    """How contradictions go in wordings that chose nothing, by the targets of those that training alone never drew."""
    bounds = {t.figure: t.least for t in TARGETS if t.task == "conflict, unseen wordings"}
    rates = tasks["conflict, untried wordings"]
    reached = sum(value(rates[DEFAULT][figure]) >= least for figure, least in bounds.items())
    wanted = listed([f"{100 * least:.0f}" for least in bounds.values()])

    def told(way: str) -> str:
        one, both = (with_interval(rates[way][figure]) for figure in (LESS, BOTH))
        return f"`{way}` follows a mark on one of the two, drawn by lot, in {one} %, and on each in turn in {both} %"

    return (
        f"{len(untried.JOINS)} ways to put two statements together and {len(untried.SAYINGS)} things to say and to ask were "
        "written when training, experts and strengths were finished, and are read for this card alone. Of "
        f"{rates['none']['any of them']['n']} contradictions in them {told(DEFAULT)}; {told('pooled')}. Without steering the "
        f"answer is one of the two statements' in {with_interval(rates['none']['any of them'])} %. Of the targets of unseen "
        f"wordings, {wanted}, `{DEFAULT}` meets {reached} here."
    )


def spelt(tasks: Mapping[str, Any]) -> str:
    """How often a value that is seldom or never read is copied to its end, beside how often it is begun."""
    told = []
    for name, what in (
        ("visitor", "a visitor's prompts"),
        ("conflict, invented values", "contradictions with invented values"),
    ):
        first, whole = (tasks[of][DEFAULT][BOTH] for of in (name, f"{name}, whole answers"))
        told.append(f"{with_interval(whole)} % of {what} (by first tokens {100 * value(first):.1f} %)")
    return f"Read to the full stop, the answers of `{DEFAULT}` follow marks in both directions in {listed(told)}."


def with_interval(rate: Mapping[str, Any]) -> str:
    """A rate in per cent, with its interval."""
    return f"{100 * value(rate):.1f} ({100 * rate['low']:.1f}-{100 * rate['high']:.1f})"


def long(sheet: Mapping[str, Any]) -> str:
    """How long the long passages are."""
    found = sheet["long passages"]
    return (
        f"Prompts of long passages have {found['shortest']} to {found['longest']} tokens, {found['mean']} on average "
        f"({found['rows']} rows counted)."
    )


def places(tasks: Mapping[str, Any]) -> str:
    """What an unsteered answer's dependence on the sentence's position looks like."""
    rates = by_position(tasks, "none")
    first, *middle, last = rates.values()
    inner = min(middle, key=value)

    def above(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """By more than their intervals reach."""
        return bool(one["low"] > other["high"])

    if apart(rates) <= FLAT:
        shape = "hardly depends on the place"
    elif above(first, inner) and above(last, inner):
        shape = "is a U: worse in the middle than at both ends"
    elif above(first, last) or above(last, first):
        best, worst = ("beginning", "end") if above(first, last) else ("end", "beginning")
        low, high = sorted((value(first), value(last)))
        if value(inner) < low:
            shape = f"is better at the {best} than at the {worst}, and worst between them"
        elif max(map(value, middle)) > high:
            shape = f"is worst at the {worst} and best between the ends"
        else:
            shape = f"slopes: better at the {best}"
    else:
        shape = "varies without a clear shape"
    marked = apart(by_position(tasks, DEFAULT))
    return (
        f"Without steering the rate {shape}; best and worst place lie {100 * apart(rates):.1f} points apart. "
        f"Marked, they lie {100 * marked:.1f} points apart."
    )


def routed(routing: Mapping[str, Any]) -> str:
    """How often the router picks the matching expert, overall, and how far its picks move with the prompt."""
    hits, n = (sum(kind[key] for kind in routing.values()) for key in ("hits", "n"))
    swings = {
        name: [kind["shares"][name] for kind in routing.values()] for name in next(iter(routing.values()))["shares"]
    }
    most = max(swings, key=lambda name: max(swings[name]) - min(swings[name]))
    low, high = min(swings[most]), max(swings[most])
    always = max(kind["n"] for kind in routing.values())
    picked = {max(kind["shares"], key=kind["shares"].__getitem__) for kind in routing.values()}
    one = "" if len(picked) > 1 else f" On every kind of prompt {picked.pop()} has the largest mean share."
    close = [
        f"{kind} ({found['matching']} {100 * shares[found['matching']]:.1f}, {rival} {100 * shares[rival]:.1f} %)"
        for kind, found in routing.items()
        for shares in (found["shares"],)
        for rival in (max((name for name in shares if name != found["matching"]), key=shares.__getitem__),)
        if shares[found["matching"]] < shares[rival] + NEAR
    ]
    one += (
        f" The mean share of the matching expert is not a point above the next one's on: {'; '.join(close)}."
        if close
        else ""
    )
    return (
        f"The largest share is the matching expert's in {hits} of {n} prompts ({100 * hits / n:.0f} %; by chance "
        f"{100 / len(swings):.0f} %, by always naming one expert {100 * always / n:.0f} %). "
        f"The share that moves most is that of {most}: {100 * low:.0f} to {100 * high:.0f} % "
        f"of all coefficients, by kind of prompt.{one}"
    )


def ignoring(tasks: Mapping[str, Any]) -> str:
    """What a mark to ignore does, in the words of its figures."""
    rates = tasks["conflict"][DEFAULT]
    loses, wins = rates["ignored one loses"], rates["another statement wins"]
    return (
        f"A statement marked to be ignored loses in {100 * value(loses):.0f} % of {loses['n']} contradictions, and the other one "
        f"is the answer in {100 * value(wins):.0f} %."
    )


def misled(tasks: Mapping[str, Any]) -> str:
    """What a mark on the wrong sentence of a passage costs."""
    rates = tasks["passage"]
    plain, wrong = value(rates["none"]["the corpus's"]), value(rates[DEFAULT]["another sentence marked"])
    does = "misleads it" if wrong < plain else "does it no harm"
    return (
        f"A mark on the wrong sentence of a passage {does}: the answer is right in {100 * wrong:.0f} % of them, without "
        f"steering in {100 * plain:.0f} %."
    )


def missing(spread: Mapping[str, Any]) -> str:
    """What a mark on the wrong words does to an answer at the strengths that are shipped."""
    told = [f"{one['value']:.1f} with `{name}`" for name, one in spread["recommended"].items()]
    written = spread["ways"]["marked prompt"]["side effect"]["value"]
    return (
        "A mark has to be right: at the recommended strength one on a sentence that does not answer moves the answer's first "
        f"token by {listed(told)}, in nats of KL; writing `**so**` into the prompt, by {written:.1f}."
    )


def known(tasks: Mapping[str, Any]) -> str:
    """How well the model reads what its corpus words otherwise: how often it gives any rival's answer."""
    seen, unseen = (value(tasks[name]["none"]["any of them"]) for name in ("conflict", "conflict, unseen wordings"))
    return (
        f"Without steering the answer is one of the two statements' in {100 * seen:.0f} % of contradictions in wordings of "
        f"training and in {100 * unseen:.0f} % in unseen ones."
    )


def climbed() -> str:
    """The kinds of rows that scales are found on, how many of each in a step, and what each weighs."""

    def told(kind: str | Make, wordings: bool, n: int, weight: float) -> str:
        name = kind if isinstance(kind, str) else kind.__name__
        return f"{n} of `{name}`{' in unseen wordings' if wordings else ''} ({weight:g})"

    return listed([told(kind, options.wordings, n, weight) for kind, options, n, _, weight in scales.KINDS])
