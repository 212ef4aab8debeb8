"""The command line as a fixture."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from clikit import Here


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    yield Here(capsys, monkeypatch)
    logging.getLogger("lars_sweep").handlers.clear()
