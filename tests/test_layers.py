"""Which layers a choice names."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from seka.layers import choose, is_choice

#: The sites of a model whose other layers hold no attention.
SPARSE: Any = [SimpleNamespace(layer=layer, heads=3) for layer in (1, 3, 5, 8)]


@pytest.mark.parametrize(
    ("choice", "layers"),
    [
        ("all", [1, 3, 5, 8]),
        (" ALL ", [1, 3, 5, 8]),
        ("last2", [5, 8]),
        ("last10", [1, 3, 5, 8]),
        ("first3", [1, 3, 5]),
        ("first99", [1, 3, 5, 8]),
        ("3,5", [3, 5]),
        ("8 , 1", [1, 8]),
        ("3", [3]),
        ([8, 3, 3], [3, 8]),
        ((5,), [5]),
        ("5:0;3:1,2", [3, 5]),
    ],
)
def test_choices(choice: str | Sequence[int], layers: list[int]) -> None:
    assert [site.layer for site in choose(choice, SPARSE)] == layers
    assert is_choice(choice) is isinstance(choice, str)


@pytest.mark.parametrize(
    "choice",
    ["", "last", "last0", "first-1", "some", "1-3", "1,,3", "1.5", "3,", "3;5", "0:", ":1", "last4:1", "0:1;2"],
)
def test_what_is_not_understood(choice: str) -> None:
    with pytest.raises(ValueError, match=r"not understood; wanted 'all', 'lastN', 'firstN'"):
        choose(choice, SPARSE)
    assert not is_choice(choice)


@pytest.mark.parametrize(
    ("choice", "named"), [("2", r"\[2\]"), ([1, 4, 9], r"\[4, 9\]"), ([-1], r"\[-1\]"), ([], r"\[\]")]
)
def test_layers_that_are_not_there(choice: str | list[int], named: str) -> None:
    """A missing layer is named, with those there are; it is never replaced by another one."""
    with pytest.raises(ValueError, match=rf"layers {named} are not attention layers.*\[1, 3, 5, 8\]"):
        choose(choice, SPARSE)
