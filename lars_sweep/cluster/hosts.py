"""SLURM's lists of hosts."""

from __future__ import annotations

import re


def expand_hosts(nodes: str) -> list[str]:
    """``dgx[1-2,05],login`` → ``dgx1``, ``dgx2``, ``dgx05``, ``login``."""
    hosts = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\])?", nodes):
        name, _, ranges = part.partition("[")
        for one in ranges.rstrip("]").split(",") if ranges else [""]:
            first, _, last = one.partition("-")
            if not last:
                hosts.append(f"{name}{first}")
                continue
            hosts += [f"{name}{i:0{len(first)}}" for i in range(int(first), int(last) + 1)]
    return hosts
