"""Pruning by hand, on real runs."""

from __future__ import annotations

import pytest
from runkit import finish

from lars_sweep.dispatch.prune import prune
from lars_sweep.errors import SpecError
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import load_plan


def statuses(run: RunDir) -> dict[str, tuple[str, str | None]]:
    rows = load_table(run, "outcomes", ["trial_id", "status", "cause"]).to_pylist()
    return {row["trial_id"]: (row["status"], row["cause"]) for row in rows}


def test_waiting_trials_never_start(run: RunDir) -> None:
    listed = prune(run, where="global_batch == 128 and base_lr > 0.3", dry_run=True)
    assert len(listed) == 2
    assert prune(run, where="global_batch == 128 and base_lr > 0.3") == listed
    finish(run)
    pruned = {trial for trial, said in statuses(run).items() if said == ("pruned", "user")}
    assert pruned == {trial.trial_id for trial in listed}
    assert len(statuses(run)) == 12


def test_finished_trials_are_left_alone(run: RunDir) -> None:
    finish(run)
    assert prune(run, where="epochs_done >= 0") == []


def test_by_id_or_its_beginning(run: RunDir) -> None:
    first = load_plan(run).queue[0].trial_id
    assert [trial.trial_id for trial in prune(run, trials=[first[:12]])] == [first]
    with pytest.raises(SpecError, match="no unfinished trial"):
        prune(run, trials=["nothing"])
    with pytest.raises(SpecError, match="12 unfinished trials"):
        prune(run, trials=[""])
    with pytest.raises(SpecError, match="give --where or --trial"):
        prune(run)
