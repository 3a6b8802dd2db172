"""Projections on the Hugging Face Hub: fetch one, publish one with a card written from its header. Knows files, no algebra.

Safetensors only: nothing that is fetched is ever executed. What goes wrong on the way comes back as a ValueError in words.
"""

from __future__ import annotations

import glob
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from seka.experts import NAME, Experts, check_inside

if TYPE_CHECKING:
    from seka.projections import Projection

#: The file of a repository that holds one projection.
FILE = "projection.safetensors"
CARD = "README.md"


def fetch(
    repo_id: str,
    filename: str = FILE,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
) -> Path:
    """A projection's file of a repository, downloaded and kept; offline it is taken from the cache.

    revision: branch, tag or commit; None for the main branch. What a branch has got since is fetched anew.
    ValueError says what is not there, or how to get at it, and refuses names that leave the repository.
    """
    check_inside(filename)
    with _in_words(repo_id, filename, revision):
        return Path(hf_hub_download(repo_id, filename, revision=revision, cache_dir=cache_dir, token=token))


def fetch_all(
    repo_id: str,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
) -> Path:
    """The folder of a repository's projections: those that its list of experts names, or all where it has none; see `fetch`.

    ValueError also where the list names a file outside the repository, or one that is not there.
    """

    def get(at: str | None, *patterns: str) -> Path:
        with _in_words(repo_id, patterns[0], revision):
            found = snapshot_download(
                repo_id, revision=at, cache_dir=cache_dir, token=token, allow_patterns=[*patterns]
            )
        return Path(found)

    folder = get(revision, NAME)
    commit = folder.name  # of the list: its files are taken from no other one
    if (folder / NAME).is_file():
        listed = Experts.read(folder / NAME, fetched=True)
        files = [file.relative_to(folder).as_posix() for some in (listed.mixed, listed.alone) for file in some.values()]
        get(commit, *map(glob.escape, files))
        if missing := [file for file in files if not (folder / file).is_file()]:
            raise ValueError(
                f"the {NAME} of {repo_id} names {missing[0]}, which is not there; wanted files of the repository"
            )
    elif not any(get(commit, "*.safetensors").glob("*.safetensors")):
        raise ValueError(f"{repo_id} holds no .safetensors file; wanted projections that seka wrote")
    return folder


def publish(
    projection: Projection,
    repo_id: str,
    filename: str = FILE,
    revision: str | None = None,
    private: bool | None = None,
    card: bool | None = None,
    token: str | None = None,
    api: Any = None,
) -> str:
    """Upload a projection, its repository made where it is missing; the address of the commit.

    private: of a repository that is made here; None leaves it to the account. card: True writes the card anew, False none,
    None writes one where the repository has none, so that nobody's text is lost. api: an `HfApi`, where it is not the usual.
    """
    check_inside(filename)
    api = api or HfApi(token=token)
    with _in_words(repo_id, filename, revision), tempfile.TemporaryDirectory() as folder:
        projection.save(Path(folder) / filename)
        api.create_repo(repo_id, private=private, exist_ok=True)
        if card or (card is None and not api.file_exists(repo_id, CARD, revision=revision)):
            (Path(folder) / CARD).write_text(describe(projection, repo_id, filename), encoding="utf-8")
        name = projection.name or Path(filename).stem
        done = api.upload_folder(
            repo_id=repo_id, folder_path=folder, revision=revision, commit_message=f"Projection {name}"
        )
    return str(done.commit_url)


def describe(projection: Projection, repo_id: str, filename: str = FILE) -> str:
    """The model card of a projection: Markdown, every figure from its header or its tensors."""
    header = projection.header
    model = str(header["model"])
    base = [f"base_model: {_quoted(model)}"] if "/" in model else []
    front = ["---", "library_name: seka", *base, "tags:", "  - attention-steering", "  - seka", "---"]
    triplets = header.get("triplets") or {}
    heads = sum(int(part.present.sum()) for part in projection.parts.values())
    rank = [int(r) for part in projection.parts.values() for r in part.positive.rank[part.present].tolist()]
    scale = [s for part in projection.parts.values() for s in part.scale[part.present].tolist()]
    facts = {
        "model": f"`{_plain(model)}`"
        + (f", revision `{_plain(header['revision'])}`" if header.get("revision") else ""),
        "layers": f"{len(projection.layers)} ({projection.layers[0]} to {projection.layers[-1]})",
        "key heads": str(heads),
        "rank of a head": f"{min(rank)} to {max(rank)}" if rank else "none",
        "scale of a head": f"{min(scale):.3g} to {max(scale):.3g}" if scale else "none",
        "recipe": f"`{_plain(json.dumps(header.get('recipe')))}`",
        "triplets": _plain(
            f"{triplets.get('used')} used of {triplets.get('given')}, {triplets.get('tokens')} answer tokens"
        )
        if triplets
        else "unknown",
        "digest of the triplets": f"`{_plain(triplets.get('digest', 'unknown'))}`",
        "computed in": _plain(header.get("dtype", "unknown")),
        "recommended gain": "none" if projection.recommended_gain is None else f"{projection.recommended_gain:g}",
        "recommended layers": _plain(projection.recommended_layers),
        "seka": _plain(header.get("seka", "unknown")),
    }
    table = ["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in facts.items())]
    options = "" if filename == FILE else f", filename={_quoted(filename)}"
    strength = "" if projection.recommended_gain is not None else ", positive=0.2"
    return "\n".join(
        [
            *front,
            "",
            f"# {_plain(projection.name or Path(filename).stem)}",
            "",
            *([_plain(projection.description), ""] if projection.description else []),
            f"A projection for prompt highlighting with seka (SEKA, arXiv 2603.01281), learnt on `{_plain(model)}`. It fits "
            "the weights it was learnt on, in any dtype; others are refused.",
            "",
            *table,
            "",
            "```python",
            "import seka",
            "",
            f'projection = seka.Projection.from_pretrained("{repo_id}"{options})',
            f"steering = seka.Steering(model, projection{strength})",
            "```",
            "",
        ]
    )


def _plain(value: Any) -> str:
    """One line of text that cannot leave its place in a Markdown table or its code span."""
    return " ".join(str(value).split()).replace("|", "\\|").replace("`", "'").replace("<", "&lt;")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is one of YAML and of Python, too


@contextmanager
def _in_words(repo_id: str, filename: str, revision: str | None) -> Iterator[None]:
    """Errors of the Hub as a ValueError: what was asked for, what stood in the way, what to do."""
    what = f"{filename} of {repo_id}" + (f" at {revision}" if revision else "")
    try:
        yield
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no repository id ({error}); wanted user/repository") from None
    except OfflineModeIsEnabled:
        raise ValueError(
            f"{what} needs the network, and HF_HUB_OFFLINE is set; unset it, or give a file of this machine"
        ) from None
    except LocalEntryNotFoundError:
        raise ValueError(
            f"{what} is not in this machine's cache, and the Hub cannot be reached; "
            "connect once, or give a file: Projection.load(path)"
        ) from None
    except GatedRepoError:
        raise ValueError(f"{what}: the repository is gated; ask for access on its page, then: hf auth login") from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"{what}: there is no such repository, or it is private; check the name, or: hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise ValueError(f"{repo_id} has no revision {revision!r}; wanted a branch, a tag or a commit") from None
    except EntryNotFoundError:
        raise ValueError(f"{repo_id} holds no {filename}; give the name it has there: filename=...") from None
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise ValueError(
                f"{what}: the Hub refuses (HTTP {status}); a token that may do this: hf auth login"
            ) from None
        raise ValueError(f"{what}: the Hub answered HTTP {status}; try again later") from None
    except (ConnectionError, httpx.HTTPError) as error:
        raise ValueError(f"{what}: the Hub cannot be reached ({type(error).__name__}); try again later") from None
