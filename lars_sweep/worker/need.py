"""Whether a SLURM job that is about to start its ranks would find anything to do."""

from __future__ import annotations

from lars_sweep.cluster.hosts import expand_hosts
from lars_sweep.rundir import breaker, nodes, publish, requests, workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.patience import patience
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.fate import Fates
from lars_sweep.worker.look import read_view
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.place import Place
from lars_sweep.worker.take import TrialSource


def is_needed(run: RunDir, order: WorkOrder, job_id: str, place: Place) -> str:
    """Why a worker is not needed; empty if it is.

    Raises:
        RunError: there is work, but the run directory takes nothing more.
    """
    if requests.stop_requested(run):
        return "the run was cancelled"
    if (reason := breaker.why_broken(run)) is not None:
        return f"circuit breaker: {reason}"
    if here := nodes.excluded(run) & set(expand_hosts(place.nodes)):
        return f"excluded for this run: {', '.join(sorted(here))}"
    mine = workers.this_worker(
        "", job_id=job_id, executor=order.executor, restarts=place.restarts, nodes=place.nodes
    )
    view = read_view(run)
    source = TrialSource(
        run,
        load_plan(run),
        mine.worker_id,
        fates=lambda: Fates(run, view, mine=mine, keep_s=patience(order.preemption.keep_s)),
    )
    if not source.has_work():
        return "no trial to take"
    publish.check_room(run.path)
    return ""
