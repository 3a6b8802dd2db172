"""What is measured of a run's inside: attention on marked words, the next token, the router's coefficients.

Against eager attention's whole matrices, the answers themselves, and a steering of one's own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
import torch
from byhand import Plan, run
from conftest import build_tokenizer
from families import build
from records import MARKED, STRONG, record
from setting import rows_of
from studios import last, tiny_studio
from torch.utils._python_dispatch import TorchDispatchMode

import seka
from app import actions, insight
from app.models import Studio


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


@pytest.fixture
def done() -> dict[str, Any]:
    return record()


@pytest.fixture
def mixed() -> dict[str, Any]:
    return record("adaptive")


def test_attention_is_the_last_row_of_the_whole_matrices(studio: Studio, done: dict[str, Any]) -> None:
    """Per kind of mark, of the plain and of the by hand steered model, from eager attention's T x T."""
    eager = build("qwen3", torch.float32, attention="eager")
    ((ids, marks),) = rows_of(seka.encode(seka.Prompt.marked(MARKED), build_tokenizer()))
    kinds = {"highlighted": [i for i, w in marks.items() if w > 0], "ignored": [i for i, w in marks.items() if w < 0]}
    assert done["attention"]["marked"] == {kind: len(places) for kind, places in kinds.items()}
    assert done["attention"]["tokens"] == len(ids)
    moved = 0.0

    def note(seen: list[Any], _module: Any, _inputs: Any, output: Any) -> None:
        seen.append(output[1][0, :, -1].double())

    for row, plan in (("plain", None), ("steered", Plan([studio.experts["facts"]], 6.0))):
        seen: list[Any] = []
        handles = [layer.self_attn.register_forward_hook(partial(note, seen)) for layer in eager.model.layers]
        try:
            run(eager, "qwen3", ids, marks, plan)
        finally:
            for handle in handles:
                handle.remove()
        for kind, places in kinds.items():
            for layer, weights in enumerate(seen):
                for head, shown in enumerate(done["attention"]["shares"][kind][row][str(layer)]):
                    assert shown == pytest.approx(sum(float(weights[head, place]) for place in places), abs=2e-4)
                    moved = max(moved, abs(shown - done["attention"]["shares"][kind]["plain"][str(layer)][head]))
    assert moved > 0.01


def test_attention_never_makes_a_matrix_of_all_tokens(studio: Studio) -> None:
    """Beside the model's own fused attention, no number is computed for every pair of tokens."""

    class Shapes(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            for made in out if isinstance(out, tuple | list) else [out]:
                if isinstance(made, torch.Tensor) and made.is_floating_point():
                    shapes.append(tuple(made.shape))
            return out

    shapes: list[tuple[int, ...]] = []
    tokens = seka.encode(seka.Prompt.marked("**Ada** " + "plays golf. " * 40 + "So"), build_tokenizer())
    columns = tokens.ids.shape[1]
    seka.attention_on_highlight(studio.model, tokens)  # type: ignore[arg-type]
    with Shapes():
        seka.attention_on_highlight(studio.model, tokens)  # type: ignore[arg-type]
    assert any(shape.count(columns) == 1 for shape in shapes)
    assert [shape for shape in shapes if shape.count(columns) > 1] == []


def test_next_token_is_what_the_answers_began_with(done: dict[str, Any]) -> None:
    top, written = done["next"]["top"], done["written"]
    for row in ("plain", "steered"):
        best = max(top, key=lambda token: token[row])
        assert best["id"] == written[row]["ids"][0]
        assert best[row] == pytest.approx(written[row]["probabilities"][0], abs=2e-5)
        assert "".join(written[row]["texts"]) == done[row]["text"]
        assert len(written[row]["ids"]) == done[row]["tokens"]


def test_the_record_s_coefficients_are_the_steering_s_own(studio: Studio, mixed: dict[str, Any]) -> None:
    steering = actions.steering(studio, replace(STRONG, mode="adaptive"))
    with steering.on(seka.encode(seka.Prompt.marked(MARKED), studio.tokenizer)) as session:
        ids = seka.encode(seka.Prompt.marked(MARKED), studio.tokenizer).ids
        studio.model(ids)  # type: ignore[misc]
    for layer, rows in session.routing.coefficients.items():  # type: ignore[union-attr]
        torch.testing.assert_close(
            torch.tensor(mixed["routing"]["coefficients"][str(layer)]), rows[0], rtol=0, atol=2e-5
        )


def test_nothing_marked_and_a_stopped_run_measure_nothing(studio: Studio) -> None:
    bare = actions.answer(studio, "Ada plays golf.", STRONG)
    assert "Nothing is marked" in bare["attention"]["note"]
    assert bare["next"]["moved"] == 0
    view = last(
        actions.compare(studio, MARKED, replace(STRONG, max_new_tokens=50), iter([False, False, True] * 99).__next__)
    )
    assert "stopped" in view.attention_words
    assert "stopped" in view.next_words
    assert view.figures is not None
    assert view.figures["attention"] is None
    assert view.figures["tokens"] is not None


@pytest.mark.parametrize(
    ("error", "says"),
    [(ValueError("shows <no> weights"), "shows &lt;no&gt; weights"), (RuntimeError("inner"), "failed (RuntimeError)")],
)
def test_a_measurement_that_fails_takes_no_answer_with_it(studio: Studio, error: Exception, says: str) -> None:
    with patch.object(insight, "attention_on_highlight", side_effect=error):
        view = last(actions.compare(studio, MARKED, STRONG))
    assert view.status.startswith("Done")
    assert says in view.attention_words
    assert "inner" not in view.attention_words
    assert view.figures is not None
    assert view.figures["attention"] is None
    assert view.figures["next"] is not None
