"""How a run stands, from its directory alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from lars_sweep.dispatch.alive import is_live, present_workers
from lars_sweep.dispatch.notes import failures, hindrances, interruptions, job_counts, notes
from lars_sweep.dispatch.unreported import reasons, unreported
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims, requests, workers
from lars_sweep.rundir.claims import Holding
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import Plan, QueuedTrial, load_plan
from lars_sweep.worker.fate import Fates, is_ownerless
from lars_sweep.worker.look import View, look


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumStatus:
    """One line of the table."""

    stratum: str
    trials: int
    """When all is done."""
    ok: int = 0
    diverged: int = 0
    pruned: int = 0
    failed: int = 0
    running: int = 0
    interrupted: int = 0
    """Started, and given back or left behind by a dead worker."""
    best_accuracy_val: float | None = None

    @property
    def finished(self) -> int:
        return self.ok + self.diverged + self.pruned + self.failed

    @property
    def waiting(self) -> int:
        return self.trials - self.finished - self.running - self.interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStatus:
    """One screen about a run."""

    run: str
    run_id: str
    sweep: str
    strata: Sequence[StratumStatus]
    workers_alive: int
    workers_starting: int
    """Submitted, not reported in yet."""
    workers_lost: int
    """Died without a word after they had reported in."""
    images_per_s: float
    device_h: float
    """Spent on finished trials and on those that run."""
    device_h_left: float | None
    """Estimated; None until a trial has finished."""
    eta_s: float | None
    """Estimated; None when no worker is alive or no trial has finished."""
    stopping: bool
    """Asked to stop, and not all workers have yet."""
    cancelled: bool = False
    """Stopped before its end, until `resume`."""
    unreported_by: Mapping[str, int] = field(default_factory=dict)
    """Why workers of the newest launch died before they reported in: reason → how many."""
    failed_by: Mapping[str, int] = field(default_factory=dict)
    """Why trials failed: cause → how many."""
    interrupted_by: Mapping[str, int] = field(default_factory=dict)
    """Why interrupted trials are: cause → how many."""
    jobs: Mapping[str, int] = field(default_factory=dict)
    """SLURM's jobs of the run: state, with the reason in brackets → how many."""
    jobs_age_s: float | None = None
    """How old that is: SLURM is asked once a minute."""
    notes: Sequence[str] = ()
    """What a user should know or do."""

    @property
    def trials(self) -> int:
        return sum(line.trials for line in self.strata)

    @property
    def workers_unreported(self) -> int:
        """Of the newest launch, died before they reported in."""
        return sum(self.unreported_by.values())

    @property
    def finished(self) -> int:
        return sum(line.finished for line in self.strata)

    def to_json(self) -> dict[str, object]:
        """Plain values, sums included."""
        sums = ("trials", "finished", "workers_unreported")
        return asdict(self) | {name: getattr(self, name) for name in sums}

    def count(self, state: str) -> int:
        """Trials in a state, over all strata."""
        return sum(int(getattr(line, state)) for line in self.strata)


def run_status(run: RunDir, view: View | None = None) -> RunStatus:
    """Read the run's state; takes nothing that a running worker needs.

    Args:
        run: the run directory.
        view: what SLURM said last; None: it is asked if that is old.
    """
    plan = load_plan(run)
    known = list(workers.read_workers(run.workers))
    view = look(run) if view is None else view
    alive = [worker for worker in known if is_live(worker, view)]
    held = dict(claims.holdings(run.claims))  # before outcomes: a trial sealed meanwhile has a row
    columns = ["stratum", "status", "cause", "accuracy_val", "device_s"]
    rows = load_table(run, "outcomes", columns).to_pylist()
    for row in rows:
        held.pop(str(row["trial_id"]), None)
    states = _states(run, held, known, alive)
    strata = _strata(plan, known_queue(run, plan), rows, states)
    interrupted = [trial_id for trial_id, state in states.items() if state == "interrupted"]
    left = _device_s_left(strata, rows)
    spent = sum(row["device_s"] for row in rows) + sum(_spent_now(run, worker) for worker in alive)
    devices = sum(worker.devices for worker in alive)
    unfinished = any(line.finished < line.trials for line in strata)
    died = unreported(run, view, known) if unfinished else ()
    hindered = hindrances(run, view, died, known) if unfinished else ()
    starting = max(0, present_workers(run, view, known) - len(alive))
    stop, present = requests.stop_requested(run), bool(alive or starting)
    return RunStatus(
        run=str(run.path),
        run_id=run.run_id,
        sweep=run.sweep,
        strata=strata,
        workers_alive=len(alive),
        workers_starting=starting,
        workers_lost=sum(not w.ended for w in known) - len(alive),
        images_per_s=sum(w.images_per_s for w in alive if w.state == "running"),
        device_h=spent / 3600,
        device_h_left=None if left is None else left / 3600,
        eta_s=left / devices if left is not None and devices else None,
        stopping=stop and present,
        cancelled=stop and unfinished and not present,
        unreported_by=reasons(died),
        failed_by=failures(rows),
        interrupted_by=interruptions(Fates(run, view, known=known), held, interrupted),
        jobs=job_counts(view),
        jobs_age_s=time.time() - view.asked_at if view.jobs else None,
        notes=tuple(notes(run, view, hindered)),
    )


def _states(
    run: RunDir, held: Mapping[str, Holding], known: Sequence[Worker], alive: Sequence[Worker]
) -> dict[str, str]:
    """What each claimed trial without an outcome is: running or interrupted."""
    reported = {worker.worker_id for worker in known}
    gone = reported - {worker.worker_id for worker in alive}
    states = {}
    for trial_id, holding in held.items():
        claim = claims.read_claim(run.claims, trial_id, holding.attempt)
        is_running = (
            claim is not None
            and not holding.released
            and claim.worker_id not in gone
            and not is_ownerless(claim, reported)
        )
        states[trial_id] = "running" if is_running else "interrupted"
    return states


def _strata(
    plan: Plan,
    queue: Sequence[QueuedTrial],
    rows: Sequence[Mapping[str, object]],
    states: Mapping[str, str],
) -> list[StratumStatus]:
    counts: dict[str, dict[str, int]] = {name: {} for name in plan.strata_names}
    best: dict[str, float] = {}
    for row in rows:
        name, status = str(row["stratum"]), str(row["status"])
        counts[name][status] = counts[name].get(status, 0) + 1
        accuracy = row["accuracy_val"]
        if status == "ok" and isinstance(accuracy, float):
            best[name] = max(accuracy, best.get(name, accuracy))
    planned = dict.fromkeys(plan.strata_names, 0)
    for queued in queue:
        planned[queued.stratum] += 1
        if (state := states.get(queued.trial_id)) is not None:
            counts[queued.stratum][state] = counts[queued.stratum].get(state, 0) + 1
    if plan.is_adaptive:
        planned = dict.fromkeys(planned, plan.points_per_stratum * len(plan.seeds))
    return [
        StratumStatus(
            stratum=name, trials=planned[name], best_accuracy_val=best.get(name), **counts[name]
        )
        for name in plan.strata_names
    ]


def _device_s_left(
    strata: Sequence[StratumStatus], rows: Sequence[Mapping[str, object]]
) -> float | None:
    """Unfinished trials at the median cost of their stratum's finished ones (else of all)."""
    costs: dict[str, list[float]] = {}
    for row in rows:
        costs.setdefault(str(row["stratum"]), []).append(float(str(row["device_s"])))
    everything = [cost for group in costs.values() for cost in group]
    if not everything:
        return None
    overall = statistics.median(everything)
    return sum(
        (line.trials - line.finished)
        * (statistics.median(costs[line.stratum]) if line.stratum in costs else overall)
        for line in strata
    )


def _spent_now(run: RunDir, worker: Worker) -> float:
    """Device-seconds of the trial that a worker runs now."""
    if worker.state != "running" or worker.trial_id is None:
        return 0.0
    claim = claims.read_claim(run.claims, worker.trial_id, worker.attempt)
    return 0.0 if claim is None else max(0.0, time.time() - claim.taken_at) * worker.devices
