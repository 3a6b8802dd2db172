"""The public endpoints: these and nothing else, each with words for people and machines, each answering as the library does."""

from __future__ import annotations

import importlib.util
import json
import urllib.error
import urllib.request
from typing import Any

import pytest

import seka
from app import actions, api
from app.actions import Settings
from app.models import Studio
from app.wiring import NAMES

pytest_plugins = ["tiny_page"]
PROMPT = "Ada plays **golf**, not ~~chess~~. Ada plays"
ENDPOINTS = {"/compare", "/parse", "/sensitivity", "/router", "/sweep"}


@pytest.fixture(scope="module")
def client(server: str) -> Any:
    from gradio_client import Client

    return Client(server, verbose=False)


def test_the_api_is_these_endpoints_with_their_parameters(client: Any) -> None:
    described = client.view_api(return_format="dict", print_info=False)
    assert set(described["named_endpoints"]) == ENDPOINTS
    assert not described["unnamed_endpoints"]
    names = {
        name: [parameter["parameter_name"] for parameter in endpoint["parameters"]]
        for name, endpoint in described["named_endpoints"].items()
    }
    assert names["/compare"] == ["prompt", *NAMES]  # the Code tab's curl relies on the order
    assert names["/parse"] == ["prompt", "literal"]
    for name, endpoint in described["named_endpoints"].items():
        assert endpoint["description"].strip(), name
        assert [p["parameter_name"] for p in endpoint["parameters"] if not p["parameter_has_default"]] in (
            ["prompt"],
            [],
        )


def test_compare_answers_as_the_page_does(client: Any, here: Studio) -> None:
    answer = client.predict(prompt=PROMPT, mode="facts", strength=3.0, max_new_tokens=4, api_name="/compare")
    wanted = actions.answer(here, PROMPT, Settings("facts", 3.0, 4))
    assert {**answer, "seconds": 0} == {**wanted, "seconds": 0}
    assert answer["marks"] == [
        {"start": 10, "end": 14, "weight": 1.0},
        {"start": 20, "end": 25, "weight": -1.0},
    ]


def test_parse_gives_the_tokens_that_marks_touch(client: Any, here: Studio) -> None:
    answer = client.predict(prompt=PROMPT + " \\** **", api_name="/parse")
    assert answer["text"] == "Ada plays golf, not chess. Ada plays ** **"
    assert answer["unpaired"] == [len("Ada plays golf, not chess. Ada plays ** ")]
    ids = here.tokenizer(answer["text"]).input_ids
    assert [token["id"] for token in answer["tokens"]] == ids
    for token in answer["tokens"]:
        inside = [
            mark["weight"] for mark in answer["marks"]
            if answer["text"][max(mark["start"], token["start"]) : min(mark["end"], token["end"])].strip()
        ]  # fmt: skip
        assert token["weight"] == (inside[0] if inside else 0)
    assert client.predict(prompt=PROMPT, literal=True, api_name="/parse")["marks"] == []


def test_sensitivity_is_the_expert_s(client: Any, here: Studio) -> None:
    answer = client.predict(mode="facts", api_name="/sensitivity")
    for layer, row in here.experts["facts"].relative_shift.items():
        assert answer["relative_shift"][str(layer)] == pytest.approx(row.tolist(), abs=1e-4)
    most = client.predict(api_name="/sensitivity")["relative_shift"]
    both = [expert.relative_shift[0] for expert in here.experts.values()]
    assert most["0"] == pytest.approx(
        [max(pair) for pair in zip(*(row.tolist() for row in both), strict=True)], abs=1e-4
    )


def test_router_gives_the_weights_of_the_run(client: Any, here: Studio) -> None:
    answer = client.predict(prompt=PROMPT, strength=2.0, api_name="/router")
    steering = seka.Steering(here.model, here.router, 2.0)
    pair = seka.compare(here.model, here.tokenizer, seka.Prompt.marked(PROMPT), steering, max_new_tokens=1)
    routing = pair.steered.routing
    assert routing is not None
    assert answer["names"] == list(routing.names)
    for layer, rows in routing.coefficients.items():
        for mine, wanted in zip(answer["coefficients"][str(layer)], rows[0].tolist(), strict=True):
            assert mine == pytest.approx(wanted, abs=1e-4)
    assert sum(answer["totals"].values()) == pytest.approx(1)


def test_sweep_gives_a_row_for_each_strength(client: Any, here: Studio) -> None:
    answer = client.predict(prompt=PROMPT, strengths=[0.0, 3.0], mode="facts", max_new_tokens=4, api_name="/sweep")
    assert answer["strengths"] == [0.0, 3.0]
    wanted = actions.answer(here, PROMPT, Settings("facts", 3.0, 4))
    assert [row["text"] for row in answer["answers"]] == [wanted["plain"]["text"], wanted["steered"]["text"]]
    assert all(len(curve["probabilities"]) == 2 for curve in answer["curves"])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ({"prompt": PROMPT, "mode": "nobody", "api_name": "/compare"}, "There is no expert"),
        ({"prompt": " ", "api_name": "/compare"}, "Write a prompt"),
        ({"prompt": PROMPT, "layers": "99", "api_name": "/compare"}, "not attention layers"),
        ({"prompt": PROMPT, "heads": "x", "api_name": "/compare"}, "not understood"),
        ({"prompt": PROMPT, "strengths": [], "api_name": "/sweep"}, "(?i)strengths"),
        ({"mode": "nobody", "api_name": "/sensitivity"}, "There is no expert"),
        ({"prompt": 7, "api_name": "/parse"}, "The prompt is int; wanted text"),
        ({"prompt": "a **b** " * 2000, "api_name": "/parse"}, "Too long: .* tokens, the limit is"),
    ],
)
def test_mistakes_come_back_as_words(client: Any, call: dict[str, Any], says: str) -> None:
    with pytest.raises(Exception, match=says) as refused:
        client.predict(**call)
    assert "Traceback" not in str(refused.value)


def test_nothing_goes_past_the_queue(client: Any) -> None:
    body = json.dumps({"data": [PROMPT]}).encode()
    for way in ("run", "api"):
        asked = urllib.request.Request(
            f"{client.src.rstrip('/')}/gradio_api/{way}/compare", body, {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(asked, timeout=60)


def test_the_endpoints_are_offered_by_mcp_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: asked.append(name))
    assert not api.mcp()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    assert api.mcp()
    assert asked == ["mcp"]
