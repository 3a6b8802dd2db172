"""What the page's tests need: `python app/main.py` on a free port, an installed Chromium, and a visitor's hands and eyes."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "tests" / "screenshots"
TEXT = "Notes of a club, 😀 café.\nPreviously Ada played chess.\nCurrently Ada plays golf. Ada is a player of"
FLAGS = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update --disable-sync --no-first-run"
#: The embedded model is in the tree.
EMBEDDED = any((ROOT / "assets" / "miniature").glob("*.safetensors")) and any(
    (ROOT / "projections").glob("*.safetensors")
)


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
    fixed = {
        "HF_HUB_OFFLINE": "1",
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SERVER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
        "SEKA_CACHE": str(SHOTS / "cache"),  # not what somebody has learnt on this machine
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SEKA_", "GRADIO_"))}
    server = subprocess.Popen(
        [sys.executable, "app/main.py"],
        cwd=ROOT,
        env={**inherited, **fixed, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    address = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 240
        while True:
            if server.poll() is not None:
                raise RuntimeError(f"the page did not start:\n{server.stdout.read().decode() if server.stdout else ''}")
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(20)


#: Colours of the text of each selector against what lies behind it, as WCAG contrast ratios.
CONTRAST = """(selectors) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const seen = (selector) => [...document.querySelectorAll(selector)].filter((e) => e.getClientRects().length);
  return selectors.flatMap((selector) => seen(selector).map((element) => {
    const layers = [];
    for (let node = element; node; node = node.parentElement) layers.push(rgba(getComputedStyle(node).backgroundColor));
    const over = (under, [r, g, b, a]) => [r, g, b].map((v, i) => v * a + under[i] * (1 - a));
    const back = layers.reverse().reduce(over, [255, 255, 255]);
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


def write(page: Any, text: str) -> None:
    page.fill("#prompt textarea", text)
    settled(page)


def settled(page: Any) -> None:
    """The preview has caught up with the box: it shows its text, and over every letter the marks that are there."""
    page.wait_for_function(
        """() => {
          const box = document.querySelector('#prompt textarea');
          const read = document.querySelector('#preview .read');
          const { text, spans } = document.querySelector('#literal input').checked
            ? { text: box.value, spans: [] } : seka.parse(box.value);
          if ((read?.textContent ?? '') !== text) return false;
          const titled = (weight, said) => weight && (weight === 1 ? said : `${said}, weight ${weight}`);
          const walk = document.createTreeWalker(read ?? document.body, NodeFilter.SHOW_TEXT);
          for (let at = 0, node; read && (node = walk.nextNode()); at += node.data.length) {
            const over = spans.filter(({ start, end }) => start <= at && at < end).map(({ weight }) => weight);
            for (const [sign, kind, said] of [[1, 'emphasise', 'emphasised'], [-1, 'ignore', 'ignored']]) {
              const shown = node.parentElement.closest(`#preview .${kind}`)?.title || 0;
              if (shown !== titled(Math.max(0, ...over.map((weight) => sign * weight)), said)) return false;
            }
          }
          return true;
        }"""
    )


def value(page: Any) -> str:
    return str(page.input_value("#prompt textarea"))


def select(page: Any, piece: str) -> None:
    """Drag the mouse over a piece of the prompt."""
    left, right, middle = page.evaluate(PLACE, piece)
    page.mouse.move(left + 1, middle)
    page.mouse.down()
    page.mouse.move(right - 1, middle, steps=4)
    page.mouse.up()
    assert page.evaluate("(() => { const t = document.querySelector('#prompt textarea'); "
                         "return t.value.slice(t.selectionStart, t.selectionEnd); })()") == piece  # fmt: skip


BEGINS = """() => {
    window.begun = false;
    new MutationObserver((_, observer) => { window.begun = true; observer.disconnect(); })
        .observe(document.querySelector('#status'), {childList: true, characterData: true, subtree: true});
}"""


def compare(page: Any) -> tuple[str, str]:
    """Press Compare, wait for the end, which may read as that of the run before, return both answers."""
    page.evaluate(BEGINS)
    page.click("#compare")
    page.wait_for_function("begun && /^(Done|Stopped)/.test(document.querySelector('#status').textContent.trim())")
    return page.text_content("#plain .written"), page.text_content("#steered .written")


REFUSED = """(words) => {
    const bad = document.body.appendChild(Object.assign(document.createElement('i'), {style: 'color: var(--bad)'}));
    const red = getComputedStyle(bad).color;
    bad.remove();
    const said = document.querySelector('#refused p:not(.past)');
    const border = getComputedStyle(document.querySelector('#prompt textarea')).borderLeftColor;
    const {top, bottom} = said?.getBoundingClientRect() ?? {};
    return said?.checkVisibility() && said.textContent.includes(words) && border === red && top >= 0 && bottom <= innerHeight;
}"""


def refused(page: Any, words: str, button: str = "#compare") -> None:
    """Press what runs the prompt: it is red, and it is said below and within sight why nothing is run, whatever events of
    fields end after that."""
    page.click(button)
    page.wait_for_function(REFUSED, arg=words)
    page.wait_for_timeout(500)
    assert page.evaluate(REFUSED, words)


def advanced(page: Any) -> None:
    """Open Advanced. Gradio makes its fields only now, and what an example has set comes into them a moment later, over what
    a hand that is none has written meanwhile."""
    page.click("#advanced button")
    page.wait_for_selector("#layers :is(input, textarea)")
    page.wait_for_timeout(1000)


def tab(page: Any, name: str) -> None:
    """Open a tab under the answers; on a narrow page it may be in the menu of those that have no room."""
    head = page.get_by_role("tab", name=name, exact=True)
    if not head.is_visible():
        page.locator("#details .overflow-menu > button").click()
        head = page.locator("#details .overflow-dropdown button", has_text=name)
    head.click()


def shot(page: Any, name: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    page.wait_for_timeout(400)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
