"""The user's quota, from what the tools of file systems print."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from lars_sweep.dispatch.room import Quota, check_quota, parse_quota

HEAD = "Disk quotas for user ada (uid 1000): \n"
TITLES = "     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace\n"


@pytest.mark.parametrize(
    ("text", "quota"),
    [
        (
            HEAD + TITLES + "server:/home 1048576 5242880 6291456 0 123 0 0 0\n",
            Quota(1048576, 5242880, 123, math.inf),
        ),
        (
            HEAD + TITLES + "/dev/md0 7340032* 5242880 6291456 1700000000 99 500 0 0\n",
            Quota(7340032, 5242880, 99, 500),
        ),
        (
            "/lustre/a/rather/long/name\n                 2048 0 4096 - 17 0 1000000 -\n",
            Quota(2048, 4096, 17, 1000000),
        ),
    ],
    ids=["quota", "over its soft limit", "lfs, name on a line of its own"],
)
def test_what_the_tools_print(text: str, quota: Quota) -> None:
    assert parse_quota(text) == quota


@pytest.mark.parametrize(
    "text", ["", HEAD, "Disk quotas for user ada (uid 1000): none\n", "/a b c"]
)
def test_no_quota(text: str) -> None:
    assert parse_quota(text) is None


@pytest.mark.parametrize(
    ("limits", "ok", "told"),
    [
        ("1048576 0 9437184 - 17 0 1000000 -", True, "1.0 of 9.0 GiB, 17 of 1,000,000 files"),
        ("1048576 0 0 - 17 0 100 -", False, "1.0 GiB, 17 of 100 files"),
        ("9437184 0 9437184 - 17 0 0 -", False, "9.0 of 9.0 GiB, 17 files"),
    ],
    ids=["room", "few files left", "full"],
)
def test_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: str, ok: bool, told: str
) -> None:
    tool = tmp_path / "lfs"
    tool.write_text(f"#!/bin/sh\necho /lustre {limits}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    check = check_quota(tmp_path / "not" / "yet")
    assert (check.ok, check.found) == (ok, told)
    assert bool(check.advice) is not ok


def test_without_a_tool_the_quota_is_unknown_and_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    check = check_quota(tmp_path)
    assert check.ok
    assert "`quota`" in check.found
