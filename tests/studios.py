"""A studio of the page on a tiny random model with two experts, and what a browser shows of markup."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache

import torch
from conftest import TRIPLETS, build_model, build_tokenizer

import seka
from app.models import Studio
from app.views import View

TEXT = "Previously Ada played **chess**. Currently Ada plays golf. Ada is a player of"


@cache
def tiny_studio() -> Studio:
    model, tokenizer = build_model("qwen3", torch.float32), build_tokenizer()
    experts = {
        name: seka.learn(
            model, tokenizer, TRIPLETS[i : i + 4], name=name, description=f"Learnt from {name}."
        ).with_header(recommended_gain=gain)
        for i, (name, gain) in enumerate({"facts": 0.4, "roles": 0.8}.items())
    }
    return Studio.of("tiny", model, tokenizer, experts)


def text_of(markup: str) -> str:
    """What a browser shows of markup: tags gone, entities read."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def last(views: Iterator[View]) -> View:
    *_, view = views
    return view
