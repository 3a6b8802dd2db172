"""The shape that data from a file must have. Knows plain data only.

A shape is a type (str, bool, int: a whole number from 0, float: any finite number, None), a tuple of shapes (any of them),
[shape] (a list), {"*": shape} (a table by any names), or {name: shape} (a table of these names; "name?" may be absent).
"""

from __future__ import annotations

from typing import Any

#: Entries of one list or table, and characters of one text, at most.
MANY = 512
LONG = 200_000


def check(value: Any, shape: Any, where: str = "the file") -> None:
    """ValueError says where something of another shape stands."""
    if isinstance(shape, tuple):
        if not any(_fits(value, one) for one in shape):
            check(value, shape[0], where)
    elif isinstance(shape, list):
        _entries(value, list, where)
        for index, entry in enumerate(value):
            check(entry, shape[0], f"{where}[{index}]")
    elif isinstance(shape, dict):
        _entries(value, dict, where)
        _table(value, shape, where)
    elif not _is(value, shape):
        wanted = {str: "text", bool: "true or false", int: "a whole number from 0", float: "a number", None: "null"}
        raise ValueError(f"{where} is {_short(value)}; wanted {wanted[shape]}")


def _table(value: dict[str, Any], shape: dict[str, Any], where: str) -> None:
    if "*" in shape:
        for name, entry in value.items():
            check(entry, shape["*"], f"{where}.{name[:40]}")
        return
    known = {name.rstrip("?"): (one, name.endswith("?")) for name, one in shape.items()}
    if unknown := sorted(name[:40] for name in value if name not in known):
        raise ValueError(f"{where} has {unknown}, which is not known here")
    for name, (one, optional) in known.items():
        if name in value:
            check(value[name], one, f"{where}.{name}")
        elif not optional:
            raise ValueError(f"{where} has no {name!r}")


def _entries(value: Any, kind: type[list[Any]] | type[dict[str, Any]], where: str) -> None:
    if not isinstance(value, kind):
        raise ValueError(f"{where} is {_short(value)}; wanted {'a list' if kind is list else 'a table'}")
    if len(value) > MANY:
        raise ValueError(f"{where} has {len(value)} entries; at most {MANY} can be shown")


def _fits(value: Any, shape: Any) -> bool:
    try:
        check(value, shape)
    except ValueError:
        return False
    return True


def _is(value: Any, shape: Any) -> bool:
    if shape is None or shape is bool:
        return value is None if shape is None else isinstance(value, bool)
    if shape is str:
        return isinstance(value, str) and len(value) <= LONG and not any("\ud800" <= c <= "\udfff" for c in value)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return bool(number and abs(value) < 1e18 and (shape is float or (value == int(value) and value >= 0)))


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:40] + "…"
