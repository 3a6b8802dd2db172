"""Projections from and to the Hub: a cached snapshot stands for the network, a recorder for the API."""

from __future__ import annotations

import fnmatch
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer
from huggingface_hub import errors

import seka
from seka import hub
from seka.experts import Experts

REPO = "ada/keys"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def learnt(**options: Any) -> seka.Projection:
    return seka.learn(build_model("qwen3", torch.float32), build_tokenizer(), TRIPLETS[:3], **options)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A hub cache that holds one repository at one commit, as huggingface_hub lays it out."""
    repo = tmp_path / "models--ada--keys"
    snapshot = repo / "snapshots" / COMMIT
    learnt(name="facts").save(snapshot / "facts.safetensors")
    learnt(name="whole").save(snapshot / hub.FILE)
    (snapshot / "torn.safetensors").write_bytes(b"no tensors")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    return tmp_path


def test_a_cached_projection_is_read_without_the_network(cache: Path) -> None:
    whole = seka.Projection.from_pretrained(REPO, cache_dir=cache)
    facts = seka.Projection.from_pretrained(REPO, filename="facts.safetensors", revision=COMMIT, cache_dir=cache)
    assert (whole.name, facts.name) == ("whole", "facts")
    facts.check(build_model("qwen3", torch.float32))
    for layer, values in learnt().relative_shift.items():
        assert torch.equal(facts.relative_shift[layer], values)


@pytest.mark.parametrize(
    ("repo", "options", "says"),
    [
        (REPO, {"filename": "roles.safetensors"}, "roles.safetensors of ada/keys.*not in this machine's cache"),
        (REPO, {"revision": "v2"}, "ada/keys at v2.*not in this machine's cache"),
        ("bob/keys", {}, "bob/keys.*not in this machine's cache"),
        (REPO, {"filename": "bank.pt"}, "'bank.pt'; wanted a .safetensors file"),
        (REPO, {"filename": "torn.safetensors"}, "not a projection of seka"),
        ("a/b/c", {}, "'a/b/c' is no repository id"),
    ],
)
def test_what_is_not_there_is_said(cache: Path, repo: str, options: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        seka.Projection.from_pretrained(repo, cache_dir=cache, **options)


def test_all_projections_of_a_repository(cache: Path) -> None:
    assert {path.name for path in hub.fetch_all(REPO, cache_dir=cache).glob("*.safetensors")} >= {"facts.safetensors"}
    with pytest.raises(ValueError, match="not in this machine's cache"):
        hub.fetch_all("bob/keys", cache_dir=cache)


OUTSIDE = [
    "/x.safetensors",
    "../x.safetensors",
    "a/../../x.safetensors",
    "..\\x.safetensors",
    "C:x.safetensors",
    "x.pt",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_that_leave_the_repository_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is written, asked for or uploaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: pytest.fail("asked the Hub"))
    monkeypatch.setattr(seka.Projection, "save", lambda *_: pytest.fail("written"))
    api = FakeApi()
    with pytest.raises(ValueError, match=r"wanted a \.safetensors file in the repository"):
        seka.Projection.from_pretrained(REPO, filename=name)
    with pytest.raises(ValueError, match=r"wanted a \.safetensors file in the repository"):
        learnt().push_to_hub(REPO, filename=name, api=api)
    assert (api.made, api.files) == ({}, {})


def test_a_file_in_a_folder_of_the_repository_is_published(tmp_path: Path) -> None:
    api = FakeApi()
    learnt().push_to_hub(REPO, filename="facts/one.safetensors", api=api)
    assert set(api.files) == {"facts/one.safetensors", "README.md"}


class Repository:
    """Stands for `snapshot_download`: copies the files that the patterns match, of one commit, and notes who asked."""

    def __init__(self, folder: Path, *files: str, **listed: object) -> None:
        self.folder, self.files = folder / COMMIT, dict.fromkeys(files, b"tensors")
        self.asked: list[tuple[str | None, str | None]] = []
        if listed:
            self.files["experts.json"] = json.dumps(listed).encode()

    def __call__(self, _repo: str, *, revision: Any, token: Any, allow_patterns: list[str], **_: Any) -> str:
        self.asked.append((revision, token))
        self.folder.mkdir(exist_ok=True)
        for name, content in self.files.items():
            if any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (self.folder / name).write_bytes(content)
        return str(self.folder)

    def there(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


def test_only_what_the_list_names_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"experts": {"a": "a.safetensors"}, "alone": {"b": "[b].safetensors"}}
    repository = Repository(tmp_path, "a.safetensors", "[b].safetensors", "b.safetensors", "c.safetensors", **files)
    monkeypatch.setattr(hub, "snapshot_download", repository)
    folder = hub.fetch_all(REPO, revision="main", token="secret")
    assert repository.there() == {"experts.json", "a.safetensors", "[b].safetensors"}
    assert repository.asked == [("main", "secret"), (COMMIT, "secret")]
    assert Experts.of(folder).alone == {"b": folder / "[b].safetensors"}


def test_without_a_list_all_projections_are_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    repository = Repository(tmp_path, "a.safetensors", "b.safetensors", "weights.bin")
    monkeypatch.setattr(hub, "snapshot_download", repository)
    hub.fetch_all(REPO)
    assert repository.there() == {"a.safetensors", "b.safetensors"}


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_fetched_list_names_no_file_of_this_machine(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(hub, "snapshot_download", Repository(tmp_path, "a.safetensors", a="a.safetensors", b=name))
    with pytest.raises(ValueError, match=r"wanted a \.safetensors file in the repository"):
        hub.fetch_all(REPO)


def test_a_fetched_list_does_not_fall_back_to_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mine.safetensors").write_bytes(b"mine")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", Repository(tmp_path, "a.safetensors", a="mine.safetensors"))
    with pytest.raises(ValueError, match=r"experts\.json of ada/keys names mine\.safetensors, which is not there"):
        hub.fetch_all(REPO)


def response(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://huggingface.co"))


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.OfflineModeIsEnabled("x"), "HF_HUB_OFFLINE is set"),
        (errors.GatedRepoError("x", response=response(403)), "gated; ask for access"),
        (errors.RepositoryNotFoundError("x", response=response(404)), "no such repository, or it is private"),
        (errors.RevisionNotFoundError("x", response=response(404)), "no revision 'v2'"),
        (errors.RemoteEntryNotFoundError("x", response=response(404)), "holds no projection.safetensors"),
        (errors.HfHubHTTPError("x", response=response(401)), r"refuses \(HTTP 401\)"),
        (errors.HfHubHTTPError("x", response=response(503)), "HTTP 503; try again"),
        (httpx.ConnectError("x"), r"cannot be reached \(ConnectError\)"),
    ],
)
def test_the_hub_s_errors_come_back_as_words(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(hub, "hf_hub_download", fail)
    with pytest.raises(ValueError, match=says):
        seka.Projection.from_pretrained(REPO, revision="v2")


class FakeApi:
    """Records what would be uploaded; `has_card` says whether the repository has a README."""

    def __init__(self, has_card: bool = False) -> None:
        self.has_card, self.made, self.files = has_card, {}, {}  # type: ignore[var-annotated]

    def create_repo(self, repo_id: str, **options: Any) -> None:
        self.made[repo_id] = options

    def file_exists(self, repo_id: str, name: str, **_: Any) -> bool:
        return self.has_card and name == "README.md"

    def upload_folder(self, repo_id: str, folder_path: str, **options: Any) -> Any:
        assert repo_id in self.made
        paths = [path for path in Path(folder_path).rglob("*") if path.is_file()]
        self.files = {path.relative_to(folder_path).as_posix(): path.read_bytes() for path in paths}
        return type("Commit", (), {"commit_url": f"https://huggingface.co/{repo_id}/commit/1", **options})


def test_publishing_uploads_what_can_be_fetched_again(tmp_path: Path) -> None:
    api, ours = FakeApi(), learnt(name="facts")
    assert ours.push_to_hub(REPO, private=True, api=api) == "https://huggingface.co/ada/keys/commit/1"
    assert api.made == {REPO: {"private": True, "exist_ok": True}}
    assert set(api.files) == {hub.FILE, "README.md"}
    (tmp_path / "again.safetensors").write_bytes(api.files[hub.FILE])
    again = seka.Projection.load(tmp_path / "again.safetensors")
    for layer in ours.layers:
        assert torch.equal(again.positive(layer), ours.positive(layer))


def test_somebody_s_own_card_is_kept_unless_a_new_one_is_asked_for() -> None:
    for card, has, written in ((None, True, False), (None, False, True), (True, True, True), (False, False, False)):
        api = FakeApi(has)
        learnt().push_to_hub(REPO, card=card, api=api)
        assert ("README.md" in api.files) is written


def test_the_card_s_figures_are_the_projection_s() -> None:
    projection = learnt(name="facts", description="From | `six` <b>facts</b>\nof a club", energy=0.7).with_header(
        model="org/model", recommended_gain=0.25, recommended_layers="last2"
    )
    last = projection.layers[-1]
    projection = projection.scaled({last: torch.linspace(0.5, 1.5, len(projection.part(last).scale)).tolist()})
    card = hub.describe(projection, REPO, "facts.safetensors")
    front = card.split("---")[1]
    assert 'base_model: "org/model"' in front
    cells = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", card, re.MULTILINE))
    counts = projection.header["triplets"]
    assert cells["triplets"] == f"{counts['used']} used of 3, {counts['tokens']} answer tokens"
    ranks = [int(r) for layer in projection.layers for r in projection.part(layer).positive.rank]
    assert cells["rank of a head"] == f"{min(ranks)} to {max(ranks)}"
    assert cells["key heads"] == str(len(ranks))
    assert cells["scale of a head"] == "0.5 to 1.5"
    assert (cells["recommended gain"], cells["recommended layers"]) == ("0.25", "last2")
    assert '"energy": 0.7' in cells["recipe"]
    assert 'from_pretrained("ada/keys", filename="facts.safetensors")' in card
    assert "<b>" not in card


def test_a_folder_s_name_makes_no_base_model() -> None:
    assert "base_model" not in hub.describe(learnt().with_header(model="here"), REPO)
