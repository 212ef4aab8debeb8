"""Fixtures: a cluster, nodes of one's own on it, and a site to run sweeps at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusterkit import Lab, accounted, plain, take
from slurmkit import Site

__all__ = ["accounted", "at", "plain", "take"]


@pytest.fixture
def at(
    take: Callable[[int], Lab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[int], Site]]:
    """``at(2)``: two nodes for sweeps of this test alone; all waiting is thirty times shorter."""
    sites: list[Site] = []

    def open_site(nodes: int) -> Site:
        monkeypatch.setenv("LARS_SWEEP_PACE", "30")
        sites.append(Site(take(nodes), tmp_path))
        return sites[-1]

    yield open_site
    for site in sites:
        site.close()
