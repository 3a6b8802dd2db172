"""The model card: what its words say follows from figures, and the check finds figures that are off."""

from __future__ import annotations

import argparse
import copy
import json
from pathlib import Path
from typing import Any

import pytest
from cards import between, chosen, invented, rate, recipes, training

from seka import miniature
from seka.__main__ import main
from seka.miniature import card, check, findings, scales, tables, targets
from seka.miniature.card import stored
from seka.miniature.check import differences
from seka.miniature.measures import tasks
from seka.miniature.render import render
from seka.miniature.tables import stages


@pytest.fixture
def figures() -> dict[str, Any]:
    return invented()


@pytest.fixture
def sections(figures: dict[str, Any]) -> dict[str, Any]:
    return figures["sections"]


def changed(figures: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    """A copy with one figure set."""
    other = copy.deepcopy(figures)
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return other


def test_equal_figures_do_not_differ(figures):
    assert differences(figures, json.loads(json.dumps(figures))) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("sections", "tasks", "visitor", "adaptive", "both ways"), rate(453), "90.0 % stored, 90.6 % measured"),
        (("sections", "tasks", "visitor", "adaptive", "both ways"), rate(360, 400), "500 rows stored, 400 measured"),
        (("sections", "routing", "passage"), {"hits": 150}, "stored, but no longer measured"),
        (("sections", "more"), {}, "measured, but not stored"),
        (("sections", "perplexity", "pooled", "multiple"), 1.011, "1.01 stored, 1.011 measured"),
        (("sections", "perplexity", "pooled", "low"), 1.0056, "1.005 stored, 1.0056 measured"),
        (("sections", "spread", "ways", "pooled", "gain"), 0.205, "0.2 stored, 0.205 measured"),
        (("sections", "spread", "ways", "none", "gain"), 0.2, "None stored, 0.2 measured"),
        (("sections", "heads", "rank correlation"), 0.53, "0.5 stored, 0.53 measured"),
        (("sections", "heads", "effect", "0"), [0.1], "[0.1, -0.2] stored, [0.1] measured"),
        (("sections", "datasheet", "words", "city"), [90, 11], "10 stored, 11 measured"),
        (("sections", "datasheet", "leaks", "found"), ["oat"], "'rye' stored, 'oat' measured"),
    ],
)
def test_a_figure_that_is_off_is_told(figures, path, value, told):
    found = differences(figures, changed(figures, *path, to=value))
    assert found
    assert any(line.endswith(told) for line in found)
    assert all(line.startswith("/" + "/".join(path)) for line in found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sections", "tasks", "visitor", "adaptive", "both ways"), rate(452)),
        (("sections", "perplexity", "pooled", "multiple"), 1.0104),
        (("sections", "spread", "ways", "pooled", "gain"), 0.203),
        (("sections", "heads", "furthest apart"), []),
    ],
)
def test_rounding_of_another_processor_is_no_difference(figures, path, value):
    assert differences(figures, changed(figures, *path, to=value)) == []


def test_a_section_that_is_missing_is_told(figures):
    other = copy.deepcopy(figures["sections"])
    del other["heads"]
    assert differences(figures["sections"], other) == ["/heads: stored, but no longer measured"]
    assert differences(other, figures["sections"]) == ["/heads: measured, but not stored"]


def test_truth_values_are_no_numbers():
    assert differences({"a": 1.0}, {"a": True})
    assert differences({"a": 0}, {"a": False})
    assert differences({"a": 1}, {"a": 1.0}) == []


def test_a_target_is_met_from_its_bound_on(figures):
    """97 % of 500 are 485."""
    path = ("tasks", "conflict", "adaptive", "less likely one marked")
    for hits, good in ((485, True), (484, False)):
        there = changed(figures["sections"], *path, to=rate(hits))
        target, _, reached = targets.verdicts(there)[0]
        assert (target.task, target.figure, reached) == ("conflict", "less likely one marked", good)
        line = tables.targets(there).splitlines()[2]
        assert line.endswith(f"| {'met' if good else 'missed'} |")
        assert (target.what in findings.reached(there)) == (not good)


def test_what_is_wanted_without_steering_has_two_bounds(figures):
    for hits, good in ((99, False), (100, True), (200, True), (201, False)):
        there = changed(figures["sections"], "tasks", "conflict", "none", "the less likely", to=rate(hits))
        assert targets.verdicts(there)[0][1] == good
        odd = findings.reached(there).partition("Outside of what is wanted without steering: ")[2]
        assert (f"conflict, the less likely {hits / 5:.1f} % (wanted 20-40)" in odd) == (not good)


def test_positions_and_side_effects_are_judged_too(figures):
    sections = figures["sections"]
    assert "flat when marked" not in findings.reached(sections)
    assert "side effect" not in findings.reached(sections)
    tilted = changed(sections, "tasks", "long passage, at 100 %", "adaptive", "marked", to=rate(84, 100))
    assert "flat when marked" in findings.reached(tilted)
    for lowest, good in ((95, True), (94, False)):  # five points apart are flat, whatever 1.0 - 0.95 is in floats
        there = sections
        for place, hits in zip((0, 50, 100), (100, lowest, 98), strict=True):
            there = changed(there, "tasks", f"long passage, at {place} %", "adaptive", "marked", to=rate(hits, 100))
        assert ("flat when marked" not in findings.reached(there)) == good
    harmful = changed(sections, "perplexity", "adaptive", "multiple", to=1.021)
    assert "side effect" in findings.reached(harmful)
    count = len(targets.TARGETS) + 2
    assert f" of {count} targets are met" in findings.reached(sections)


@pytest.mark.parametrize(
    ("pooled", "adaptive", "verdict"),
    [
        (between(0.1, 0.05, 0.15), between(0.2, 0.1, 0.3), "The learnt subspaces beat key scaling."),
        (between(0.1, 0.05, 0.15), between(0.2, 0.0, 0.3), "One of the two learnt ways beats"),
        (between(-0.1, -0.2, -0.05), between(0.01, -0.01, 0.03), "are not shown to beat key scaling"),
    ],
)
def test_the_verdict_on_key_scaling_follows_the_intervals(sections, pooled, adaptive, verdict):
    spread = changed(sections["spread"], "ways", "pooled", "over key scaling", to=pooled)
    spread["ways"]["adaptive"]["over key scaling"] = adaptive
    said = findings.against_scaling(spread)
    assert verdict in said
    assert ("worse than key scaling: -10.0 points (-20.0 to -5.0; side effect" in said) == (pooled["high"] < 0)
    assert ("cannot be told" in said) == (adaptive["low"] <= 0)


@pytest.mark.parametrize(
    ("found", "harm", "told"),
    [
        (between(0.1, 0.05, 0.15), between(0.02, 0.01, 0.03), "cannot be compared with"),
        (between(0.1, 0.05, 0.15), between(-0.02, -0.03, -0.01), "is better than"),
        (between(0.0, -0.05, 0.05), between(-0.02, -0.03, -0.01), "cannot be compared with"),
        (between(0.0, -0.05, 0.05), between(0.02, 0.01, 0.03), "cannot be told from"),
        (between(-0.1, -0.15, -0.05), between(-0.02, -0.03, -0.01), "cannot be compared with"),
        (between(-0.1, -0.15, -0.05), between(0.02, 0.01, 0.03), "is worse than"),
    ],
)
def test_a_difference_that_another_side_effect_explains_is_no_verdict(sections, found, harm, told):
    spread = changed(sections["spread"], "ways", "pooled", "over key scaling", to=found)
    spread["ways"]["pooled"]["side effect over key scaling"] = harm
    said = findings.against_scaling(spread)
    assert f"one expert (`pooled`) {told} key scaling" in said
    assert f"side effect {harm['value']:+.3f} nats" in said


def test_harm_at_the_strengths_that_are_shipped_is_told(sections):
    assert "`adaptive` (strength 0.2) 0.500 (0.400-0.600) and `pooled`" in findings.at_full_strength(sections["spread"])


def test_the_readme_says_what_the_card_finds_of_key_scaling():
    """And no more: where the learnt subspaces came to beat it, the README would have to say so."""
    said = findings.against_scaling(stored()["sections"]["spread"])
    readme = " ".join((miniature.ROOT / "README.md").read_text(encoding="utf-8").split())
    assert ("are not shown to beat" in said) == ("learnt subspaces are not shown to beat scaling whole keys" in readme)


@pytest.mark.parametrize("mean", [0.0, 1.1])
def test_directions_drawn_at_random_are_named_where_they_come_first(sections, mean):
    found = changed(sections["spread"], "ways", "random subspace", "mean", to=between(mean, mean, mean))
    assert ("drawn at random, of the same ranks, come before both" in findings.against_scaling(found)) == (mean > 1)


def test_ways_stand_in_the_order_found(sections):
    wanted = ["adaptive", "pooled", "key scaling", "logit bias", "key scaling, every head", "random subspace"]
    wanted += ["marked prompt", "none"]
    assert findings.order(sections["spread"]) == wanted
    lines = tables.spread(sections).splitlines()[2:]
    assert [line.split("|")[1].strip(" `") for line in lines] == wanted


@pytest.mark.parametrize(
    ("r", "words", "told"),
    [
        (0.7, "agree well", "0.70"),
        (0.69, "agree in part", "0.69"),
        (0.29, "hardly agree", "0.29"),
        (-0.004, "hardly agree", "0.00"),
        (-0.31, "are opposed", "-0.31"),
    ],
)
def test_words_for_the_agreement_of_maps(sections, r, words, told):
    said = findings.agreement(changed(sections["heads"], "rank correlation", to=r))
    assert f"The two maps {words}: rank correlation {told} over 3 heads" in said
    assert "head 1 of layer 1 (place 2 by sensitivity, 1 by effect)" in said


@pytest.mark.parametrize(
    ("hits", "shape"),
    [
        ((50, 51, 54), "hardly depends"),
        ((80, 55, 80), "is a U"),
        ((80, 70, 60), "better at the beginning"),
        ((74, 70, 66), "without a clear shape"),
        ((60, 90, 83), "worst at the beginning and best between the ends"),
        ((83, 40, 50), "better at the beginning than at the end, and worst between them"),
        ((60, 70, 80), "better at the end"),
        ((70, 90, 71), "without a clear shape"),
    ],
)
def test_words_for_the_shape_over_positions(sections, hits, shape):
    for place, count in zip((0, 50, 100), hits, strict=True):
        name = f"long passage, at {place} %"
        sections = changed(sections, "tasks", name, "none", "the corpus's", to=rate(count, 100))
    assert shape in findings.places(sections["tasks"])


def test_rows_that_scales_are_found_on_are_told_with_their_weights(monkeypatch):
    kinds = ((tasks.instructions, tasks.UNSEEN, 2, True, 1.0), ("conflict", tasks.NOWHERE, 1, False, 2.5))
    monkeypatch.setattr(scales, "KINDS", kinds)
    assert findings.climbed() == "2 of `instructions` (1) and 1 of `conflict` in unseen wordings (2.5)"


def test_a_side_effect_that_is_surely_another_one_is_told(sections):
    assert findings.off_target(sections["spread"]) == ""
    far = {"value": 0.08, "low": 0.0555, "high": 0.106}
    said = findings.off_target(changed(sections, "spread", "ways", "random subspace", "side effect", to=far)["spread"])
    assert said == "On test rows the side effect is surely another one for `random subspace` 0.080 (0.056-0.106)."


def test_tasks_that_no_target_asks_for_in_unseen_wordings_are_told_beside_their_own(sections):
    path = ("tasks", "one against 3, unseen wordings", "adaptive", "marked")
    said = findings.worded(changed(sections, *path, to=rate(70, 100))["tasks"])
    assert "On 200 rows in unseen ones `adaptive` would meet 3 of the 5" in said
    assert "one against 3, marked 70.0 % (90.0 %), target 90: missed" in said
    assert "biography, first one marked 90.0 % (90.0 %), target 97: missed (both ways 90.0 % (90.0 %))" in said
    assert "instructions, both ways 90.0 % (90.0 %), target 90: met;" in said


@pytest.mark.parametrize(("one", "both", "reached"), [(450, 425, 2), (449, 425, 1), (449, 424, 0)])
def test_untried_wordings_are_held_to_the_targets_of_unseen_ones(sections, one, both, reached):
    path = ("tasks", "conflict, untried wordings", "adaptive")
    there = changed(sections, *path, "less likely one marked", to=rate(one))
    said = findings.untried_wordings(changed(there, *path, "both ways", to=rate(both))["tasks"])
    assert "20 ways to put two statements together and 24 things to say" in said
    assert f"Of the targets of unseen wordings, 90 and 85, `adaptive` meets {reached} here." in said
    assert (
        f"Of 500 contradictions in them `adaptive` follows a mark on one of the two, drawn by lot, in {one / 5:.1f} ("
        in said
    )


def test_how_values_are_copied_to_their_end_is_told_beside_how_they_begin(sections):
    path = ("tasks", "visitor, whole answers", "adaptive", "both ways")
    said = findings.spelt(changed(sections, *path, to=rate(400))["tasks"])
    assert "in 80.0 (76.3-83.3) % of a visitor's prompts (by first tokens 90.0 %) and 90.0 (" in said


def test_the_harm_of_a_mark_that_misses_stands_among_what_it_cannot_do(sections):
    said = findings.missing(sections["spread"])
    assert (
        "by 0.5 with `adaptive` and 0.5 with `pooled`, in nats of KL; writing `**so**` into the prompt, by 0.1." in said
    )


def test_the_length_of_long_passages_is_told(sections):
    assert "890 to 1019 tokens, 970 on average (300 rows counted)" in findings.long(sections["datasheet"])


def test_words_for_the_router(sections):
    said = findings.routed(sections["routing"])
    assert "750 of 1000 prompts (75 %; by chance 25 %, by always naming one expert 40 %)" in said
    assert "10 to 70 %" in said
    assert "On every kind" not in said
    assert "not a point above" not in said
    same = {kind: {**entry, "shares": {"a": 0.6, "b": 0.4}} for kind, entry in sections["routing"].items()}
    same["biography"] = {**same["biography"], "matching": "a"}
    same["passage"] = {**same["passage"], "matching": "b"}
    same["conflict"] = {**same["conflict"], "matching": "a", "shares": {"a": 0.5, "b": 0.495}}
    del same["instructions"]
    assert "On every kind of prompt a has the largest mean share" in findings.routed(same)
    assert (
        "is not a point above the next one's on: conflict (a 50.0, b 49.5 %); passage (b 40.0, a 60.0 %)."
        in findings.routed(same)
    )


def test_words_for_a_wrong_mark(sections):
    assert "does it no harm" in findings.misled(sections["tasks"])
    other = changed(sections["tasks"], "passage", "adaptive", "another sentence marked", to=rate(100))
    assert "misleads it: the answer is right in 20 %" in findings.misled(other)


def test_the_card_holds_every_section_and_its_tables_are_whole(figures):
    text = render(figures, training(), chosen(), recipes())
    for heading in ("Results", "Training", "Corpus", "Experts", "How experts are weighed", "Both maps of the heads",
                    "The ways at the same side effect", "Side effects", "What it cannot do", "Measured again"):  # fmt: skip
        assert f"\n## {heading}\n" in text, heading
    blocks = [block for block in text.split("\n\n") if block.lstrip().startswith("|")]
    assert len(blocks) >= 10 + len(figures["sections"]["tasks"])
    for block in blocks:
        assert len({line.count("|") for line in block.strip().splitlines()}) == 1, block
    assert "--rate 0.75 --tokens 12288 --start THE_STAGE_IT_BEGINS_WITH --ship" in text
    assert "| 2 | stage 1 | an earlier state of it |" in text
    assert "| 1 | random initialisation | another one |" in text
    assert "| expert | 0:1 | 2:0 | 2:1 |" in text
    assert "| `facts` | 0.01 | 0.25 | 0.5 |" in text
    assert "| `roles` | 1 | 0.01 | 0.5 |" in text
    assert "| `a`, stage 2 | 0 | 12,288 | 0.015, 0.003 | 15 | 200 | 2.5 | 95.0 | 80.0 (77.0 to 83.0) | 0.0 (" in text
    assert "| `b` | 7 | 12,288 |" in text
    assert "-10.0 (-12.0 to -8.0)" in text
    assert "None" not in text
    assert "nan" not in text.lower().split()


def test_the_card_says_what_was_trained_on_an_earlier_corpus(figures):
    of = {**training(), "before": [], "documents": "ab"}
    said = [
        render(figures, of | stage, chosen() | experts, recipes())
        .split("Shares of tokens")[1]
        .split("Where statements")[0]
        for stage, experts in (
            ({}, {}),
            ({"documents": "a"}, {}),
            ({"documents": "a"}, {"documents": "b"}),
            ({"before": [{**of, "documents": "a"}, of]}, {}),
            ({}, {"triplets": "c"}),
        )
    ]
    assert "earlier" not in said[0]
    for text, what in zip(
        said[1:],
        (
            "the last stage of training",
            "the last stage of training and the experts",
            "earlier stages of training",
            "the experts",
        ),
        strict=True,
    ):
        assert f"as it is now; {what} had an earlier state of it, which may have held out other words." in text


def test_a_stage_says_which_corpus_it_had_and_when_it_was_ended():
    last = training()
    early = {**last, "minutes": 18.0, "documents": "a"}
    text = stages(
        {**last, "documents": "b", "before": [*last["before"], early, {**early, "documents": "b"}, last]}, "b"
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]
    assert [row[2] for row in rows] == [
        "another one",
        "an earlier state of it",
        "this one",
        "an earlier state of it",
        "this one",
    ]
    assert rows[1][3].startswith("75 minutes (18), ")
    assert rows[0][3].startswith("58 minutes, ")


@pytest.fixture
def folder(tmp_path: Path, figures: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the card and its figures in the place of the shipped one."""
    for module in (card, check):
        monkeypatch.setattr(module, "FIGURES", tmp_path / "figures.json")
        monkeypatch.setattr(module, "CARD", tmp_path / "README.md")
        monkeypatch.setattr(module, "path", lambda: tmp_path)
        monkeypatch.setattr(module, "name", lambda file: file.name)
        monkeypatch.setattr(module, "fingerprints", lambda: {"model": "0" * 64})
    monkeypatch.setattr(card.Shipped, "load", lambda: None)
    monkeypatch.setattr(card, "measured", lambda names, *_: {name: figures["sections"][name] for name in names})
    monkeypatch.setattr(check, "measured", lambda names, *_: {name: figures["sections"][name] for name in names})
    for kind, values in (("training", training()), ("experts", chosen()), ("recipes", recipes())):
        (tmp_path / f"{kind}_figures.json").write_text(json.dumps(values))
    return tmp_path


def step(name: str, *options: str) -> tuple[int, list[str]]:
    """Exit status and lines of `python -m seka miniature NAME`."""
    lines: list[str] = []
    module = {"card": card, "check": check}[name]
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    try:
        module.run(parser.parse_args(options), lines.append)
    except SystemExit as end:
        return int(end.code or 0), lines
    return 0, lines


def test_card_and_check_agree(folder, figures):
    assert step("card") == (0, ["README.md: written"])
    assert json.loads((folder / "figures.json").read_text())["sections"] == figures["sections"]
    assert step("check")[0] == 0
    assert step("check", "--short")[0] == 0


def test_the_check_fails_where_a_figure_is_off(folder, figures):
    step("card")
    figures["sections"]["short"]["visitor"]["adaptive"]["both ways"] = rate(228, 250)  # 225 are stored
    for options in ([], ["--short"]):
        status, lines = step("check", *options)
        assert (status, lines) == (1, ["/short/visitor/adaptive/both ways: 90.0 % stored, 91.2 % measured"])


def test_the_check_fails_where_it_need_not_measure(folder, monkeypatch):
    step("card")
    monkeypatch.setattr(check, "measured", lambda *_, **__: pytest.fail("nothing is to be measured"))
    with (folder / "README.md").open("a") as text:
        text.write("One more word.")
    status, lines = step("check")
    assert (status, lines) == (1, ["README.md: not what its figures say; python -m seka miniature card --render"])
    assert step("card", "--render")[0] == 0
    other = chosen()
    other["router"]["gain"] = 0.4
    (folder / "experts_figures.json").write_text(json.dumps(other))
    step("card", "--render")
    assert step("check") == (1, ["experts_figures.json/router/gain: 0.4 stored, 0.2 measured"])
    other = chosen()
    other["scales"]["roles"]["2"] = [0.01, 0.75]
    (folder / "experts_figures.json").write_text(json.dumps(other))
    step("card", "--render")
    assert step("check") == (1, ["experts_figures.json/scales/roles/2/1: 0.75 stored, 0.5 measured"])
    monkeypatch.setattr(check, "fingerprints", lambda: {"model": "1" * 64})
    assert step("check") == (1, ["model: the figures were measured from another one"])


def test_sections_are_measured_one_by_one_and_other_files_begin_anew(folder, monkeypatch):
    assert step("card", "--sections", "heads") == (
        0,
        [
            "README.md: not written, still to be measured: strength, short, tasks, perplexity, routing, spread, datasheet"
        ],
    )
    with pytest.raises(ValueError, match=r"lacks strength.*--sections strength short"):
        step("card", "--render")
    step("card", "--sections", "strength")
    assert list(card.stored()["sections"]) == ["heads", "strength"]
    monkeypatch.setattr(card, "fingerprints", lambda: {"model": "1" * 64})
    assert "figures of other files or rows dropped: heads, strength" in step("card", "--sections", "short")[1]
    assert list(card.stored()["sections"]) == ["short"]


def test_a_file_of_another_form_is_refused(folder):
    for text in ("", "[]", '{"files": {}, "sections": []}', '{"tables": {}}'):
        (folder / "figures.json").write_text(text)
        with pytest.raises(ValueError, match=r"figures.json holds no figures of this card.*miniature card"):
            step("card", "--render")


def test_the_shipped_figures_are_measured_again(capsys):
    """The short form of the release check, on the shipped files."""
    try:
        status = main(["miniature", "check", "--short"])
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 0, capsys.readouterr()
