"""Which experts a model has: the file experts.json of a folder of projections. Knows JSON and paths; opens no projection.

    {"facts": "facts.safetensors", "roles": "roles.safetensors"}

or, where there is more to say than which files are mixed:

    {"experts": {"facts": "facts.safetensors", "roles": "roles.safetensors"},
     "alone": {"pooled": "pooled.safetensors"},
     "router": {"sharpness": 8.0, "gain": 0.18, "layers": "last3"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

NAME = "experts.json"
#: What "router" may set, and the types of it; what they mean and which values they take is in `routing.Router`.
SETTINGS: Mapping[str, tuple[type, ...]] = {
    "top": (int,),
    "score": (str,),
    "way": (str,),
    "sharpness": (int, float),
    "gain": (int, float),
    "layers": (str,),
}
WANTED = (
    'wanted JSON {name: file}, or {"experts": {name: file}, "alone": {name: file}, "router": {setting: value}} with '
    f"settings of {', '.join(SETTINGS)}; the last two may be left out"
)


@dataclass(frozen=True)
class Experts:
    """mixed: {name: file} of those that a router weighs. alone: those that are used by themselves only.
    router: settings of the router that were chosen for them, by the names of `Router`'s parameters."""

    mixed: Mapping[str, Path]
    alone: Mapping[str, Path] = field(default_factory=dict)
    router: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, fetched: bool = False) -> Experts:
        """From a JSON file in either form. A path in it is relative to the file, or else taken as it is.

        fetched: the file came from elsewhere, so that it may name projections in its own folder only, there or not yet.
        ValueError for anything else, also for a setting that is unknown or of the wrong type.
        """
        path = Path(path)
        try:
            entries = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"{path} could not be read as a router's configuration ({error}); {WANTED}") from None
        if problem := _problem(entries):
            raise ValueError(f"{path} is not a router's configuration: {problem}; {WANTED}")
        if _flat(entries):
            entries = {"experts": entries}

        def files(names: Mapping[str, str]) -> dict[str, Path]:
            beside = {name: path.parent / file for name, file in names.items()}
            if fetched:
                for file in names.values():
                    check_inside(file)
                return beside
            return {name: beside[name] if beside[name].exists() else Path(file) for name, file in names.items()}

        return cls(files(entries["experts"]), files(entries.get("alone", {})), entries.get("router", {}))

    @classmethod
    def of(cls, folder: str | Path) -> Experts:
        """As the folder's experts.json says; where there is none, all its projections, by the names of their files."""
        folder = Path(folder)
        if (folder / NAME).is_file():
            return cls.read(folder / NAME)
        return cls({path.stem: path for path in sorted(folder.glob("*.safetensors"))})


def check_inside(file: str) -> None:
    """ValueError unless this is a .safetensors file's name that stays in its folder, on any system."""
    outside = PureWindowsPath(file).anchor or "\\" in file or ".." in file.split("/")  # an anchor: absolute, or a drive
    if outside or PurePosixPath(file).suffix != ".safetensors":
        raise ValueError(
            f"the file is named {file!r}; wanted a .safetensors file in the repository: no absolute path, '..' or '\\'"
        )


def _flat(entries: Any) -> bool:
    return isinstance(entries, dict) and all(isinstance(value, str) for value in entries.values())


def _problem(entries: Any) -> str:
    """What is wrong with the entries, in words; empty when nothing is."""
    if not isinstance(entries, dict):
        return f"it holds a {type(entries).__name__}"
    if _flat(entries):
        return "" if entries else "it names no expert"
    if unknown := [key for key in entries if key not in ("experts", "alone", "router")]:
        return f"{unknown[0]!r} is neither an expert with its file nor a known part"
    if not entries.get("experts") or not _flat(entries["experts"]):
        return '"experts" names no files'
    if not _flat(entries.get("alone", {})):
        return '"alone" does not name files'
    if twice := [name for name in entries.get("alone", {}) if name in entries["experts"]]:
        return f'{twice[0]!r} stands in "experts" and in "alone"'
    settings = entries.get("router", {})
    if not isinstance(settings, dict):
        return f'"router" holds a {type(settings).__name__}'
    for key, value in settings.items():
        if key not in SETTINGS:
            return f"a router has no setting {key!r}"
        if type(value) not in SETTINGS[key]:  # isinstance would take true for a number
            return f"{key} is {value!r}; wanted {SETTINGS[key][-1].__name__}"
    return ""
