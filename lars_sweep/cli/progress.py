"""The live view of a run: a screen on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lars_sweep.cli.talk import duration, say
from lars_sweep.dispatch.status import RunStatus, StratumStatus, run_status
from lars_sweep.errors import RunError
from lars_sweep.nouns import count

if TYPE_CHECKING:
    from lars_sweep.rundir.layout import RunDir

HEADS = {
    "running": "run",
    "interrupted": "interr",
    "diverged": "div",
    "pruned": "pruned",
    "failed": "failed",
    "waiting": "wait",
}
"""State of trials → head of its column, which is left out where no trial is in it."""
REFRESH_S = 1.0
LOG_LINE_S = 15.0
LISTED = 6
"""Most kinds of one thing on a line."""


def watch(run: RunDir) -> bool:
    """Follow the run until all trials are finished; False after Ctrl-C, which ends only the view.

    Raises:
        RunError: no worker is left, but trials are.
    """
    try:
        status = _follow_on_screen(run) if sys.stderr.isatty() else _follow_in_log(run)
    except KeyboardInterrupt:
        say(f"\nworkers go on; watch them: `lars-sweep status {run.path}`, "
            f"stop them: `lars-sweep cancel {run.path}`")  # fmt: skip
        return False
    if status.finished < status.trials:
        left = count(status.trials - status.finished, "trial")
        died = next(iter(status.unreported_by), None)
        why = f"workers died before reporting in: {died}: " if died else ""
        raise RunError(
            f"no worker is left, {left} not finished: {why}see {run.logs}, then "
            f"`lars-sweep resume {run.path}`"
        )
    return True


def _follow_on_screen(run: RunDir) -> RunStatus:
    status = run_status(run)
    with Live(screen_of(status), console=Console(stderr=True), auto_refresh=False) as live:
        while not _over(status):
            time.sleep(REFRESH_S)
            status = run_status(run)
            live.update(screen_of(status), refresh=True)
    return status


def _follow_in_log(run: RunDir) -> RunStatus:
    last = 0.0
    while True:
        status = run_status(run)
        over = _over(status)
        if over or time.monotonic() - last >= LOG_LINE_S:
            last = time.monotonic()
            say(line_of(status))
        if over:
            return status
        time.sleep(REFRESH_S)


def _over(status: RunStatus) -> bool:
    return status.finished >= status.trials or not (status.workers_alive or status.workers_starting)


def line_of(status: RunStatus) -> str:
    """The run in one line, for logs."""
    parts = [f"{status.finished}/{status.trials} done", f"{status.count('running')} running"]
    parts += [f"{n} {s}" for s in ("diverged", "pruned", "failed") if (n := status.count(s))]
    parts += [
        f"{status.images_per_s:,.0f} images/s",
        f"{status.device_h:.2f} device-h",
        f"ETA {duration(status.eta_s)}",
    ]
    return ", ".join(parts)


def states_of(status: RunStatus) -> list[str]:
    """The states, beside ok, that some trial is in."""
    return [state for state in HEADS if status.count(state)]


def details_of(status: RunStatus) -> Iterator[str]:
    """Workers, SLURM's jobs, what was interrupted, and what a user should know or do."""
    workers = [f"{status.workers_alive} alive", f"{status.workers_lost} lost"]
    if status.workers_starting and not status.stopping:
        workers.insert(1, f"{status.workers_starting} on their way")
    if status.workers_unreported:
        workers.append(f"{status.workers_unreported} died before reporting in")
    ending = "; stopping" if status.stopping else "; cancelled" if status.cancelled else ""
    yield f"workers: {', '.join(workers)}{ending}"
    counts = (
        (f"jobs {duration(status.jobs_age_s)} ago", status.jobs),
        ("interrupted", status.interrupted_by),
        ("failed", status.failed_by),
    )
    for name, parts in counts:
        if parts:
            yield f"{name}: {_listed(parts)}"
    yield from status.notes


def _listed(counts: Mapping[str, int]) -> str:
    """What is frequent first; what is rare only counted."""
    shown = [f"{count} {what}" for what, count in list(counts.items())[:LISTED]]
    others = sum(list(counts.values())[LISTED:])
    return ", ".join([*shown, *([f"{others} others"] if others else [])])


def screen_of(status: RunStatus) -> Group:
    """The run on one screen, for 80 columns and more."""
    states = [state for state in states_of(status) if state != "waiting"]
    table = Table(box=None, padding=(0, 1), expand=True)
    table.add_column("stratum", no_wrap=True, ratio=1, overflow="ellipsis")
    for name in ("done", *(HEADS[state] for state in states), "best val"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", width=12)
    for line in status.strata:
        table.add_row(*_cells(line, states))
    head = Text.assemble((status.sweep, "bold"), f"  {status.run_id}")
    details = Text("\n".join(details_of(status)))
    return Group(head, table, Text(line_of(status), style="bold"), details)


def _cells(line: StratumStatus, states: Sequence[str]) -> list[str | Text | ProgressBar]:
    best = "" if line.best_accuracy_val is None else f"{line.best_accuracy_val:.1f}"
    return [
        line.stratum,
        f"{line.finished}/{line.trials}",
        *(Text(str(getattr(line, state) or ""), style=_STYLES.get(state, "")) for state in states),
        best,
        ProgressBar(total=line.trials, completed=line.finished, width=12),
    ]


_STYLES = {"diverged": "yellow", "interrupted": "yellow", "failed": "red"}
