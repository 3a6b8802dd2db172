"""Projections from and to the Hub: a cached snapshot stands for the network, a recorder for the API."""

from __future__ import annotations

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
        (REPO, {"filename": "bank.pt"}, "'bank.pt'; wanted a .safetensors"),
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
        self.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
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
    card = hub.describe(projection, REPO, "facts.safetensors")
    front = card.split("---")[1]
    assert 'base_model: "org/model"' in front
    cells = dict(re.findall(r"^\| ([^|]+) \| (.+) \|$", card, re.MULTILINE))
    counts = projection.header["triplets"]
    assert cells["triplets"] == f"{counts['used']} used of 3, {counts['tokens']} answer tokens"
    ranks = [int(r) for layer in projection.layers for r in projection.part(layer).positive.rank]
    assert cells["rank of a head"] == f"{min(ranks)} to {max(ranks)}"
    assert cells["key heads"] == str(len(ranks))
    assert (cells["recommended gain"], cells["recommended layers"]) == ("0.25", "last2")
    assert '"energy": 0.7' in cells["recipe"]
    assert 'from_pretrained("ada/keys", filename="facts.safetensors")' in card
    assert "<b>" not in card


def test_a_folder_s_name_makes_no_base_model() -> None:
    assert "base_model" not in hub.describe(learnt().with_header(model="here"), REPO)
