"""Optimizers on both of their ways over CPU memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lars_sweep.train.optimizers import host


@pytest.fixture(params=[host.LEAST, 1], ids=["small sets", "large sets"], scope="module")
def size_of_sets(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every float32 set counts as large from here on; else only those that are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "LEAST", request.param)
        yield
