"""Lists of hosts as SLURM writes them."""

from __future__ import annotations

import pytest

from lars_sweep.cluster.hosts import expand_hosts


@pytest.mark.parametrize(
    ("nodes", "hosts"),
    [
        ("", []),
        ("login", ["login"]),
        ("dgx[1-3]", ["dgx1", "dgx2", "dgx3"]),
        ("gpu[008-010,12],login", ["gpu008", "gpu009", "gpu010", "gpu12", "login"]),
        ("a1,b[2,4]", ["a1", "b2", "b4"]),
    ],
)
def test_expanded(nodes: str, hosts: list[str]) -> None:
    assert expand_hosts(nodes) == hosts
