"""The live view: all that `status` says, on 80 columns."""

from __future__ import annotations

import io

from rich.console import Console

from lars_sweep.cli.progress import details_of, screen_of
from lars_sweep.dispatch.status import RunStatus, StratumStatus


def status(**changes: object) -> RunStatus:
    line = StratumStatus(
        stratum="small_alexnet_bn-lars-B16384-E90.5", trials=2100, ok=1000, diverged=200, pruned=30,
        failed=4, running=64, interrupted=5, best_accuracy_val=71.25,
    )  # fmt: skip
    values: dict[str, object] = {
        "run": "/scratch/runs/first", "run_id": "0a1b2c3d", "sweep": "first",
        "strata": [line, StratumStatus(stratum="next", trials=2100)], "workers_alive": 64,
        "workers_starting": 3, "workers_lost": 2, "images_per_s": 1e6, "device_h": 10.0,
        "device_h_left": 20.0, "eta_s": 1200.0, "stopping": False,
        "jobs": {"running": 64, "pending (Priority)": 3}, "jobs_age_s": 40.0,
        "interrupted_by": {"preempted": 5}, "notes": ["excluded nodes: n7"],
    }  # fmt: skip
    return RunStatus(**(values | changes))  # type: ignore[arg-type]


def screen(now: RunStatus) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    console.print(screen_of(now))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return [line.rstrip() for line in text.splitlines()]


def test_the_screen_fits_80_columns_and_says_all() -> None:
    lines = screen(status())
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [
        "stratum", "done", "run", "interr", "div", "pruned", "failed", "best", "val",
    ]  # fmt: skip
    assert lines[2].split()[1:8] == ["1234/2100", "64", "5", "200", "30", "4", "71.2"]
    assert lines[-4:] == [
        "workers: 64 alive, 3 on their way, 2 lost",
        "jobs 40 s ago: 64 running, 3 pending (Priority)",
        "interrupted: 5 preempted",
        "excluded nodes: n7",
    ]


def test_states_that_no_trial_is_in_take_no_room() -> None:
    quiet = status(strata=[StratumStatus(stratum="small", trials=12, ok=3, running=1)])
    assert screen(quiet)[1].split() == ["stratum", "done", "run", "best", "val"]


def test_workers_of_a_run_that_stops_are_not_on_their_way() -> None:
    assert next(details_of(status(stopping=True))) == "workers: 64 alive, 2 lost; stopping"
