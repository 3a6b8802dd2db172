"""A run's inside as the tabs show it: said rightly, drawn from its record alone, filled at the end of a run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from records import MARKED, STRONG, cells, record
from studios import text_of, tiny_studio

from app import actions, details, findings
from app.views import finished
from seka import figures
from seka.next_tokens import NextToken, NextTokens


@pytest.fixture
def done() -> dict[str, Any]:
    return record()


@pytest.fixture
def mixed() -> dict[str, Any]:
    return record("adaptive")


# ---- words and tables ----


def test_attention_in_words_is_the_mean_over_heads(done: dict[str, Any]) -> None:
    said, table = findings.said(done)["attention_words"], findings.said(done)["attention_table"]
    found = done["attention"]
    for kind in ("highlighted", "ignored"):
        means = []
        for row in ("plain", "steered"):
            shares = [share for heads in found["shares"][kind][row].values() for share in heads]
            means.append(sum(shares) / len(shares))
        sentence = next(line for line in text_of(said.replace("<br>", "\n")).splitlines() if kind in line)
        shown = [float(number) / 100 for number in re.findall(r"([\d.]+)%", sentence)]
        assert shown == pytest.approx([*means, found["marked"][kind] / found["tokens"]], abs=0.0051)
        assert f"they are {found['marked'][kind]} of {found['tokens']} tokens" in sentence
    changes = [abs(float(row[-1])) for row in cells(table)]
    assert len(changes) == findings.ROWS
    assert changes == sorted(changes, reverse=True)
    for layer, head, kv, kind, plain, steered, change in cells(table):
        pair = [found["shares"][kind][row][layer][int(head)] for row in ("plain", "steered")]
        assert int(kv) == int(head) // 2  # four query heads, two of keys
        assert float(change) == pytest.approx(100 * (pair[1] - pair[0]), abs=0.06)
        assert [float(text.strip("<%")) for text in (plain, steered)] == pytest.approx(
            [100 * share for share in pair], abs=0.51
        )


def test_next_token_in_words() -> None:
    token = {"id": 1, "text": " <b>", "plain": 0.6, "steered": 0.05}
    other = {"id": 2, "text": "golf", "plain": 0.0001, "steered": 0.9}
    said = findings.said({"next": {"top": [other, token], "moved": 0.7}})
    assert text_of(said["next_words"].replace("<br>", " ")) == (
        "Right after the prompt the plain model expects “·<b>” most (60%), the steered one “golf” (90%). "
        "Steering moved 70% of all probability to other tokens."
    )
    assert "<b>" not in said["next_table"]
    assert cells(said["next_table"]) == [["golf", "<0.1%", "90%", "+90.0"], ["·<b>", "60%", "5.0%", "-55.0"]]
    same = findings.said({"next": {"top": [token], "moved": 0.0}})["next_words"]
    assert "both expect “·&lt;b&gt;” most: 60% plain, 5.0% steered" in same


@pytest.mark.parametrize(
    ("plain", "steered", "says"),
    [
        ([("a", 0.9), ("b", 0.4)], [("a", 0.8), ("c", 0.7)], "part at token 2: plain “b” (40%), steered “c” (70%)."),
        ([("a", 0.9)], [("a", 0.8), ("c", 0.7)], "part at token 2: plain the end, steered “c” (70%)."),
        ([("a", 0.9)], [("a", 0.8)], "Both answers are the same tokens. Least sure, plain: “a” (90%)."),
    ],
)
def test_where_answers_part(plain: list[Any], steered: list[Any], says: str) -> None:
    written = {
        name: {
            "ids": [ord(text) for text, _ in row],
            "texts": [text for text, _ in row],
            "probabilities": [p for _, p in row],
        }
        for name, row in (("steered", steered), ("plain", plain))
    }
    assert says in text_of(findings.said({"written": written})["tokens_words"].replace("<br>", " "))


def test_the_router_s_table_shows_the_most_decided_heads(mixed: dict[str, Any]) -> None:
    routing = mixed["routing"]
    weights = {
        (layer, head): [rows[expert][head] for expert in range(2)]
        for layer, rows in ((int(layer), rows) for layer, rows in routing["coefficients"].items())
        for head in range(2)
    }
    margins = sorted((abs(a - b) for a, b in weights.values()), reverse=True)
    shown = cells(findings.said(mixed)["router_table"])
    assert len(shown) == len(weights) == 6
    for (layer, head, lead, *numbers), margin in zip(shown, margins, strict=True):
        pair = weights[int(layer), int(head)]
        assert abs(pair[0] - pair[1]) == margin
        assert lead == routing["names"][pair.index(max(pair))]
        assert [float(number) for number in numbers] == pytest.approx(pair, abs=0.0051)
    counted = {
        name: sum(pair.index(max(pair)) == e for pair in weights.values()) for e, name in enumerate(("facts", "roles"))
    }
    said = finished(mixed, "x").router_words
    assert "Of 6 heads" in said
    for name, count in counted.items():
        assert (f"{name} leads on {count}" in said) == (count > 0)


# ---- figures ----


def test_figures_come_from_the_record_alone(mixed: dict[str, Any], done: dict[str, Any]) -> None:
    drawn = findings.drawn(mixed)
    shares = mixed["attention"]["shares"]
    maps = drawn["attention"].data
    assert len(maps) == 6
    for line, kind in enumerate(("highlighted", "ignored")):
        plain, steered, change = (torch.tensor(trace.z) for trace in maps[3 * line : 3 * line + 3])
        for row, found in (("plain", plain), ("steered", steered)):
            assert torch.allclose(found, torch.tensor([shares[kind][row][str(layer)] for layer in range(3)]))
        assert torch.allclose(change, steered - plain, atol=1e-6)
    layout = drawn["attention"].layout
    assert layout.coloraxis.cmax == max(max(row) for trace in (maps[0], maps[1], maps[3], maps[4]) for row in trace.z)
    assert layout.coloraxis2.cmin == -layout.coloraxis2.cmax
    assert torch.allclose(
        torch.tensor([trace.z for trace in drawn["router"].data]),
        torch.stack([torch.tensor(mixed["routing"]["coefficients"][str(layer)]) for layer in range(3)], 1),
    )
    assert [list(row) for row in drawn["tokens"].data[0].z] == [
        mixed["written"][row]["probabilities"] for row in ("plain", "steered")
    ]
    assert findings.drawn(done)["router"] is None


def test_next_token_s_bars_tell_tokens_of_one_text_apart_and_escape_them() -> None:
    top = (NextToken(1, "<i>", 0.5, 0.25), NextToken(2, "\ufffd", 0.25, 0.5), NextToken(3, "\ufffd", 0.1, 0.0))
    figure = figures.next_tokens(NextTokens(top, 0.3))
    plain, steered = figure.data
    assert (list(plain.x), list(steered.x)) == ([0.5, 0.25, 0.1], [0.25, 0.5, 0.0])
    assert list(plain.y) == list(steered.y) == [0, 1, 2]
    assert list(figure.layout.yaxis.ticktext) == ["&lt;i&gt;", "\ufffd", "\ufffd"]
    assert plain.marker.pattern.shape  # not by colour alone


# ---- a view ----


def test_a_record_without_it_says_so_and_draws_nothing(done: dict[str, Any]) -> None:
    old = {key: done[key] for key in done if key not in ("attention", "next", "routing", "written")}
    view = finished(old, "x")
    for words in (view.attention_words, view.next_words, view.tokens_words):
        assert findings.OLDER in words
    assert view.attention_table == view.next_table == view.router_table == ""
    assert view.figures is not None
    assert [view.figures[name] for name in details.PANELS] == [None] * 4


def test_a_run_fills_its_panels_at_the_end_only() -> None:
    """Before that only the captions change, to say that the figures are an older run's."""
    first, *_, words, end = actions.compare(tiny_studio(), MARKED, STRONG)
    old, said, full = (
        dict(zip(names(), details.outputs(view)[-len(names()) :], strict=True)) for view in (first, words, end)
    )
    captions = {"router words", "attention words", "next words", "tokens words"}
    for name in names():
        assert skipped(said[name]), name
        assert not skipped(full[name]), name
        assert skipped(old[name]) or name in captions, name
    assert {old[name] for name in captions} == {actions.BEFORE}
    assert not {actions.BEFORE, findings.OLDER} & {full[name] for name in captions}


def names() -> list[str]:
    return [f"{name} {part}" for name in details.PANELS for part in ("words", "figure", "table")]


def skipped(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update" and len(value) == 1
