"""Servers and a browser for the page's tests: small models saved to disk, `python app/main.py` on a free port, Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer

import seka

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "tests" / "screenshots"
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync --no-first-run"
EVIL = "<img src=x onerror=window.hacked=1>"
#: The embedded model is in the tree.
EMBEDDED = any((ROOT / "assets" / "miniature").glob("*.safetensors")) and any((ROOT / "projections").glob("*.safetensors"))


def chromium() -> str:
    """An installed Chromium. Skips without one, naming the cure; fails where SEKA_REQUIRE_BROWSER=1."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found:
        return found
    cure = "no Chromium found: install one (Debian: apt-get install chromium), or set CHROMIUM=/path/to/it"
    if os.environ.get("SEKA_REQUIRE_BROWSER") == "1":
        pytest.fail(cure)
    pytest.skip(cure)


@contextmanager
def serving(**env: str) -> Iterator[str]:
    """`python app/main.py` from the repository root; yields its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    fixed = {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SERVER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SEKA_", "GRADIO_"))}
    server = subprocess.Popen(
        [sys.executable, "app/main.py"], cwd=ROOT, env={**inherited, **fixed, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(600):
            if server.poll() is not None:
                raise RuntimeError(f"the page did not start:\n{server.stdout.read().decode() if server.stdout else ''}")
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def tiny(folder: Path) -> dict[str, str]:
    """A random model that never ends by itself, with two experts strong enough to change its answers; the environment for it."""
    model, tokenizer = build_model("qwen3", torch.float32, layers=8), build_tokenizer()
    return _saved(folder, model, tokenizer, gain=4.0)


def hostile(folder: Path) -> dict[str, str]:
    """A model that answers every prompt with an <img onerror>: its last norm sees a constant, its head one token."""
    tokenizer = build_tokenizer().__class__.from_pretrained(_tokenizer_copy(folder))
    tokenizer.add_tokens([EVIL])
    model = build_model("qwen3", torch.float32, seed=11)
    evil = tokenizer.convert_tokens_to_ids(EVIL)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 50.0
        head = torch.zeros_like(model.lm_head.weight)
        head[evil, 0] = 10.0
        model.lm_head.weight = torch.nn.Parameter(head)
    model.config.tie_word_embeddings = False
    return _saved(folder, model, tokenizer, gain=0.1)


def _tokenizer_copy(folder: Path) -> str:
    build_tokenizer().save_pretrained(folder / "plain-tokenizer")
    return str(folder / "plain-tokenizer")


def _saved(folder: Path, model: Any, tokenizer: Any, gain: float) -> dict[str, str]:
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    for i, name in enumerate(("facts", "roles")):
        learnt = seka.learn(model, tokenizer, TRIPLETS[i : i + 4], name=name, description=f"Learnt from {name}.")
        learnt.with_header(recommended_gain=gain * (i + 1)).save(folder / "experts" / f"{name}.safetensors")
    return {"SEKA_MODEL": str(folder / "model"), "SEKA_EXPERTS": str(folder / "experts")}


#: Colours of the text of each selector against what lies behind it, as WCAG contrast ratios.
CONTRAST = """(selectors) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  return selectors.flatMap((selector) => [...document.querySelectorAll(selector)].filter((e) => e.getClientRects().length).map((element) => {
    const layers = [];
    for (let node = element; node; node = node.parentElement) layers.push(rgba(getComputedStyle(node).backgroundColor));
    const back = layers.reverse().reduce((under, [r, g, b, a]) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a)), [255, 255, 255]);
    const style = getComputedStyle(element);
    const ink = rgba(element instanceof SVGElement ? style.fill : style.color);
    const [x, y] = [light(ink), light(back)].sort((a, b) => b - a);
    return [selector, (x + 0.05) / (y + 0.05)];
  }));
}"""

#: Where a piece of the prompt stands on the screen, by the coloured layer behind the text box.
PLACE = """(piece) => {
  const walk = document.createTreeWalker(document.querySelector('#prompt .backdrop'), NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode()); ) {
    const at = node.data.indexOf(piece);
    if (at < 0) continue;
    const range = document.createRange();
    range.setStart(node, at);
    range.setEnd(node, at + piece.length);
    const box = range.getBoundingClientRect();
    return [box.left, box.right, (box.top + box.bottom) / 2];
  }
}"""
