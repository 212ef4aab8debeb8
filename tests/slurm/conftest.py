"""Fixtures: a cluster, nodes of one's own on it, and a site to run sweeps at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clusterkit import Lab, Take, accounted, own, pytest_runtest_setup, take
from slurmkit import At, Site

__all__ = ["accounted", "at", "own", "pytest_runtest_setup", "take"]


def pytest_itemcollected(item: pytest.Item) -> None:
    """Every test here needs the cluster, and a quarter of an hour at most unless it says so."""
    item.add_marker(pytest.mark.slurm)
    if item.get_closest_marker("timeout") is None:
        item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def at(take: Take, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[At]:
    """``at(2)``: two nodes for sweeps of this test alone; all waiting is thirty times shorter.

    ``at(own(nodes=2))``: on a cluster of the test's own.
    """
    sites: list[Site] = []

    def open_site(where: int | Lab) -> Site:
        monkeypatch.setenv("LARS_SWEEP_PACE", "30")
        sites.append(Site(where if isinstance(where, Lab) else take(where), tmp_path))
        return sites[-1]

    yield open_site
    for site in sites:
        site.close()
