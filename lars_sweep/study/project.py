"""Outcomes as Optuna studies: for `optuna.load_study`, dashboards and samplers elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import optuna

from lars_sweep.errors import RunError
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import Plan, load_plan
from lars_sweep.study.rebuild import finished_curves, live_curves, rebuild_study, study_name


def load_study(run: RunDir, stratum: str) -> optuna.Study:
    """The in-memory study of one stratum: finished, running and waiting trials.

    Raises:
        RunError: the run has no such stratum.
    """
    plan = load_plan(run)
    if stratum not in plan.strata:
        raise RunError(f"{run.path} has no stratum {stratum!r}; it has: {', '.join(plan.strata)}")
    return _study(run, plan, stratum)


def _study(run: RunDir, plan: Plan, stratum: str) -> optuna.Study:
    queue = [q for q in known_queue(run, plan) if q.stratum == stratum]
    curves = live_curves(run, (q.trial_id for q in queue)) | finished_curves(run)
    return rebuild_study(run, plan, plan.strata[stratum], queue, curves=curves)


def export_to_optuna(run: RunDir, url: str) -> Iterator[tuple[str, int]]:
    """Project all finished trials into an Optuna storage; yields (study name, trials added).

    A trial that the storage has already (by ``user_attrs["trial_id"]``) is not added again, so the
    command may be repeated while the run goes on.

    Raises:
        RunError: the storage cannot be opened.
    """
    plan = load_plan(run)
    with _opened(url) as storage:
        for name in plan.strata:
            target = optuna.create_study(
                study_name=study_name(run, name),
                storage=storage,
                direction="maximize",
                load_if_exists=True,
            )
            there = {t.user_attrs.get("trial_id") for t in target.get_trials(deepcopy=False)}
            finished = [
                trial
                for trial in _study(run, plan, name).get_trials(deepcopy=False)
                if trial.state.is_finished() and trial.user_attrs["trial_id"] not in there
            ]
            target.add_trials(finished)
            yield target.study_name, len(finished)


@contextmanager
def _opened(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """The storage; its connections are closed afterwards."""
    try:
        storage = optuna.storages.RDBStorage(url)
    except Exception as error:  # whatever the driver raises
        raise RunError(
            f"cannot open Optuna storage {url!r}: {str(error).splitlines()[0]}; allowed: a "
            "SQLAlchemy URL such as sqlite:///study.db or postgresql+psycopg://user@host/db"
        ) from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
