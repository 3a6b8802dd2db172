"""The program that repeats a run: in Python, through gradio_client, and with curl. Writes text; runs nothing.

Everything that somebody typed goes through `repr` or `shlex.quote`, so that it stays text in the program. "…/" stands for a
folder of the server.
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from app.asked import Asked
from app.models import ADAPTIVE, SHIPPED, Studio
from seka import miniature
from seka.layers import read_heads
from seka.loading import EMBEDDED
from seka.routing import Router


def programs(asked: Asked, studio: Studio, address: str) -> list[str]:
    """All three. address: of the page, as its visitor sees it. ValueError for a mode that this page does not have."""
    if space := os.environ.get("SPACE_HOST"):
        address = f"https://{space}/"
    endpoint = studio.endpoint("compare")
    return [python(asked, studio), client(asked, address, endpoint), curl(asked, address, endpoint)]


def python(asked: Asked, studio: Studio) -> str:
    """With the library. ValueError for a mode that this page does not have."""
    chosen, lines = asked.settings, ["# In the repository's root, or with it on PYTHONPATH.", "import seka"]
    model = studio.origin[0]
    if model != EMBEDDED:
        lines += ["from seka.loading import load", "", f"model, tokenizer = load({_cut(model)!r})"]
    else:
        lines += ["", "model, tokenizer = seka.miniature.load()"]
    lines += [
        f"# {name}.safetensors was learnt on the page: download it there, under Your own expert."
        for name in _used(chosen.mode, studio)
        if name in studio.own
    ]
    lines.append(f"source = {_source(chosen.mode, studio)}")
    gain = studio.gain(chosen.mode) if chosen.strength is None else chosen.strength
    where: dict[str, Any] = {"positive": gain}
    if heads := read_heads(chosen.heads):
        where["heads"] = {layer: list(row) for layer, row in heads.items()}
    else:
        where |= {"layers": chosen.layers} if chosen.layers.strip() else {}
        where |= {"min_shift": chosen.min_shift} if chosen.min_shift else {}
    literal = ", markers=None" if chosen.literal else ""
    how: dict[str, Any] = {"max_new_tokens": chosen.max_new_tokens}
    if chosen.temperature > 0:
        how |= {"do_sample": True, "temperature": chosen.temperature, "seed": chosen.seed}
    lines += [
        f"steering = seka.Steering(model, source, {_arguments(where)})",
        f"prompt = seka.Prompt.marked({asked.prompt!r}{literal})",
        f"pair = seka.compare(model, tokenizer, prompt, steering, {_arguments(how)})",
        "print(pair.plain.text)",
        "print(pair.steered.text)",
    ]
    return "\n".join(lines) + "\n"


def client(asked: Asked, address: str, endpoint: str = "compare") -> str:
    """From another program, through this page at `address`."""
    given = {"prompt": asked.prompt, **asdict(asked.settings)}
    return "\n".join(
        [
            "# pip install gradio_client",
            "from gradio_client import Client",
            "",
            f"client = Client({address!r})",
            "answer = client.predict(",
            *(f"    {name}={value!r}," for name, value in given.items()),
            f'    api_name="/{endpoint}",',
            ")",
            'print(answer["plain"]["text"])',
            'print(answer["steered"]["text"])',
            "",
        ]
    )


def curl(asked: Asked, address: str, endpoint: str = "compare") -> str:
    """From a shell: ask, then fetch the answer."""
    body = json.dumps({"data": [asked.prompt, *asdict(asked.settings).values()]}, ensure_ascii=False)
    call = shlex.quote(f"{address.rstrip('/')}/gradio_api/call/{endpoint}")
    return (
        f"event=$(curl -s {call} -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(body)} | cut -d '\"' -f 4)\n"
        f'curl -sN {call}/"$event"\n'
    )


def _used(mode: str, studio: Studio) -> list[str]:
    """Names of the experts that act."""
    used = studio.source(mode)
    return list(used.names) if isinstance(used, Router) else [mode]


def _source(mode: str, studio: Studio) -> str:
    used = studio.source(mode)
    if mode != ADAPTIVE or not isinstance(used, Router):
        return _projection(mode, studio)
    known = inspect.signature(Router).parameters
    options = {name: getattr(used, name) for name in ("top", "score", "way", "sharpness")}
    changed = {name: value for name, value in options.items() if value != known[name].default}
    if used.recommended_layers != "all":
        changed["layers"] = used.recommended_layers
    listed = "".join(
        f"    {name!r}: {_projection(name, studio)}{_scaled(name, used, studio)},\n" for name in used.names
    )
    return f"seka.Router({{\n{listed}}}{', ' + _arguments(changed) if changed else ''})"


def _scaled(name: str, router: Router, studio: Studio) -> str:
    """What gives an expert the scales that it has in the mixture, where its file has others."""
    mixed, alone = router.experts[name], studio.experts[name]
    changed = {
        layer: [float(str(factor)) for factor in part.scale.numpy()]  # the shortest decimals of a float32
        for layer, part in mixed.parts.items()
        if not torch.equal(part.scale, alone.part(layer).scale)
    }
    return f".scaled({changed})" if changed else ""


def _projection(name: str, studio: Studio) -> str:
    """An expert by its file: learnt on this page, of the embedded model, from a folder, or from the Hub."""
    if name in studio.own:
        return f"seka.Projection.load({f'{name}.safetensors'!r})"
    folder = studio.origin[1]
    if studio.origin != SHIPPED and not Path(folder).is_dir():
        file = studio.files.get(name, Path(f"{name}.safetensors"))
        return f"seka.Projection.from_pretrained({folder!r}, filename={file.as_posix()!r})"
    file = studio.files.get(name, Path(folder) / f"{name}.safetensors")
    if file.is_relative_to(miniature.ROOT):
        file = file.relative_to(miniature.ROOT)
    return f"seka.Projection.load({_cut(file.as_posix())!r})"


def _cut(path: str) -> str:
    """A path as visitors may read it: of an absolute one the end, for the server's folders are nobody's business."""
    return f"…/{Path(path).name}" if Path(path).is_absolute() else path


def _arguments(given: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in given.items())
