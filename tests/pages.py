"""Fixtures of the page's tests, one set for each test file: a browser, two servers, visits. A pytest plugin."""

from __future__ import annotations

import os
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hands import FLAGS, chromium, serving
from models_on_disk import tiny


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = chromium()
    if os.environ.get("SEKA_REQUIRE_BROWSER") != "1":
        pytest.importorskip("playwright", reason="no playwright: pip install '.[test]'")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=path, args=FLAGS.split())
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(**tiny(tmp_path_factory.mktemp("tiny"))) as url:
        yield url


@pytest.fixture
def slow(browser: Any, tmp_path: Path) -> Iterator[str]:
    """The address of a model that takes seconds for 256 tokens on a fast machine, too: time for a hand to stop it."""
    with serving(**tiny(tmp_path, layers=128)) as url:
        yield url


@pytest.fixture(scope="module")
def embedded(browser: Any) -> Iterator[str]:
    with serving() as url:
        yield url


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """visit(url, width, height, **context): a page of its own. Console errors and requests elsewhere fail the test."""
    contexts, wrong = [], []

    def go(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(60_000)  # a loaded machine is slow, not wrong
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if _elsewhere(request.url) else None)
        page.goto(url)
        page.wait_for_selector("#prompt .backdrop")
        page.wait_for_function("document.querySelector('#model-line').textContent.includes('is ready')")
        return page

    yield go
    for context in contexts:
        context.close()
    # A prompt that is refused before it is queued answers with status 422, which the browser notes by itself.
    assert [text for text in wrong if "status of 422" not in text] == []


def _elsewhere(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"
