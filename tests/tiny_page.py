"""Fixtures of the tests of what programs may ask: a page of a small model, and its studio in this process. A pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hands import serving
from models_on_disk import tiny

from app.models import Studio, studio


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that names the model."""
    return tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def here(environment: dict[str, str]) -> Iterator[Studio]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        opened = studio()
        opened.open(environment["SEKA_MODEL"])
        yield opened


@pytest.fixture(scope="module")
def server(environment: dict[str, str]) -> Iterator[str]:
    """The page's address."""
    with serving(**environment) as url:
        yield url
