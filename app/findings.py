"""A run's inside in words, tables and figures, from its record alone: router, attention, next token, tokens written.

No model, no gradio. A record from an older file may lack any of it, and then says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from app.tables import percent, points, quoted, sentences, table, visible
from app.words import plural

#: Rows of a table at most.
ROWS = 10
OLDER = "This run was kept without it: press Compare to measure it."


def said(done: Mapping[str, Any]) -> dict[str, str]:
    """The captions and tables of a view, by the names of its fields."""
    return {
        "router_table": _router_table(done.get("routing")),
        **dict(zip(("attention_words", "attention_table"), _attention(done.get("attention")), strict=True)),
        **dict(zip(("next_words", "next_table"), _next(done.get("next")), strict=True)),
        "tokens_words": _written(done.get("written")),
    }


def drawn(done: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that a record is enough for, by name; None where it holds nothing to draw."""
    import torch

    from seka import figures
    from seka.decoding import Result
    from seka.generation import Comparison
    from seka.next_tokens import NextToken, NextTokens
    from seka.prompts import Prompt
    from seka.routing import Routing

    def layers(rows: Mapping[str, Any]) -> dict[int, torch.Tensor]:
        return {int(layer): torch.tensor(row) for layer, row in rows.items()}

    def answer(row: Mapping[str, Any]) -> Result:
        return Result(Prompt(""), "", tuple(row["ids"]), tuple(row["probabilities"]))

    out: dict[str, Any] = dict.fromkeys(("router", "attention", "next", "tokens"))
    if routing := done.get("routing"):
        coefficients = {layer: rows[None] for layer, rows in layers(routing["coefficients"]).items()}
        out["router"] = figures.router(Routing(tuple(routing["names"]), coefficients))
    if shares := (done.get("attention") or {}).get("shares"):
        pairs = {kind: (layers(rows["plain"]), layers(rows["steered"])) for kind, rows in shares.items()}
        out["attention"] = figures.attention(pairs)
    if top := (done.get("next") or {}).get("top"):
        out["next"] = figures.next_tokens(NextTokens(tuple(NextToken(**token) for token in top), done["next"]["moved"]))
    if written := done.get("written"):
        plain, steered = written["plain"], written["steered"]
        pair = Comparison(Prompt(""), answer(plain), answer(steered))
        out["tokens"] = figures.compare(pair, (plain["texts"], steered["texts"]))
    return out


def leaders(routing: Mapping[str, Any] | None) -> str:
    """Which expert weighs most on how many heads, as a sentence; nothing without a router."""
    heads = _routed(routing)
    if not routing or not heads:
        return ""
    counts = dict.fromkeys(routing["names"], 0)
    for _, _, lead, _ in heads:
        counts[lead] += 1
    leading = sorted(((count, name) for name, count in counts.items() if count), key=lambda item: -item[0])
    return f"Of {plural(len(heads), 'head')}, " + ", ".join(f"{name} leads on {n}" for n, name in leading) + "."


def _routed(routing: Mapping[str, Any] | None) -> list[tuple[int, int, str, list[float]]]:
    """(layer, KV head, leading expert, weight of each expert) of every head that some expert acts on."""
    out = []
    for layer, rows in (routing or {"coefficients": {}})["coefficients"].items():
        for head, weights in enumerate(zip(*rows, strict=True)):
            if any(weights):
                best = max(range(len(weights)), key=lambda e: abs(weights[e]))
                out.append((int(layer), head, str(routing["names"][best]), list(weights)))  # type: ignore[index]
    return out


def _margin(weights: Sequence[float]) -> float:
    """How far the leading expert is ahead of the next one."""
    first, *rest = sorted((abs(weight) for weight in weights), reverse=True)
    return first - max(rest, default=0.0)


def _router_table(routing: Mapping[str, Any] | None) -> str:
    heads = sorted(_routed(routing), key=lambda head: -_margin(head[3]))[:ROWS]
    if not routing or not heads:
        return ""
    head = ["Layer", "KV head", "Leads", *routing["names"]]
    rows = [[str(layer), str(kv), lead, *(f"{w:.2f}" for w in weights)] for layer, kv, lead, weights in heads]
    return table("Heads where the router is most decided: weight of each expert, the largest is 1", head, rows)


def _attention(found: Mapping[str, Any] | None) -> tuple[str, str]:
    """Caption and table: means over heads, and the heads whose share moved most."""
    if not found or "shares" not in found:
        return _note(found), ""
    said: list[str] = []
    moved: list[tuple[str, int, int, float, float]] = []
    for kind, shares in found["shares"].items():
        heads = [
            (int(layer), head, plain, steered)
            for layer, row in shares["plain"].items()
            for head, (plain, steered) in enumerate(zip(row, shares["steered"][layer], strict=True))
        ]
        moved += [(kind, *head) for head in heads]
        before, after = (sum(head[at] for head in heads) / len(heads) for at in (2, 3))
        count, total = found["marked"][kind], found["tokens"]
        said.append(
            f"The last token of the prompt gives the {kind} words {percent(before)} of its attention, and "
            f"{percent(after)} when steered (mean of {plural(len(heads), 'query head')}); they are {count} of "
            f"{plural(total, 'token')}, {percent(count / total)} of the prompt."
        )
    moved.sort(key=lambda head: -abs(head[4] - head[3]))
    rows = []
    for kind, layer, head, plain, steered in moved[:ROWS]:
        group = len(found["shares"][kind]["plain"][str(layer)]) // found["kv_heads"][str(layer)]
        numbers = [percent(plain), percent(steered), points(steered - plain)]
        rows.append([str(layer), str(head), str(head // group), kind, *numbers])
    names = ["Layer", "Query head", "KV head", "Marked", "Plain", "Steered", "Change (points)"]
    return sentences(said), table("Heads whose attention on marked words moved most", names, rows)


def _next(found: Mapping[str, Any] | None) -> tuple[str, str]:
    if not found or not found.get("top"):
        return _note(found), ""
    plain, steered = (max(found["top"], key=lambda token: token[row]) for row in ("plain", "steered"))
    ways = percent(plain["plain"]), percent(steered["steered"])
    if plain["id"] == steered["id"]:
        first = f"Right after the prompt both expect {quoted(plain['text'])} most: {ways[0]} plain, {ways[1]} steered."
    else:
        first = (
            f"Right after the prompt the plain model expects {quoted(plain['text'])} most ({ways[0]}), the steered "
            f"one {quoted(steered['text'])} ({ways[1]})."
        )
    rows = [
        [visible(token["text"]), percent(token["plain"]), percent(token["steered"]),
         points(token["steered"] - token["plain"])]
        for token in found["top"]
    ]  # fmt: skip
    moved = f"Steering moved {percent(found['moved'])} of all probability to other tokens."
    shown = table("The likeliest next tokens", ["Token", "Plain", "Steered", "Change (points)"], rows)
    return sentences([first, moved]), shown


def _written(found: Mapping[str, Any] | None) -> str:
    """Where the answers part, and the least sure token of each."""
    if not found:
        return sentences([OLDER])
    both = found["plain"], found["steered"]
    plain, steered = (list(zip(row["texts"], row["probabilities"], strict=True)) for row in both)
    ends = ("the end", None)
    parts = zip_longest(*(row["ids"] for row in both))
    at = next((n for n, (a, b) in enumerate(parts) if a != b), None)
    if at is None:
        said = ["Both answers are the same tokens."]
    else:
        pair = [row[at] if at < len(row) else ends for row in (plain, steered)]
        said = [f"The answers part at token {at + 1}: plain {_sure(*pair[0])}, steered {_sure(*pair[1])}."]
    for name, row in (("plain", plain), ("steered", steered)):
        if row:
            said.append(f"Least sure, {name}: {_sure(*min(row, key=lambda token: token[1]))}.")
    return sentences(said)


def _sure(text: str, probability: float | None) -> str:
    return text if probability is None else f"{quoted(text)} ({percent(probability)})"


def _note(found: Mapping[str, Any] | None) -> str:
    return sentences([str(found["note"]) if found and "note" in found else OLDER])
