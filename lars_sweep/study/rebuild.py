"""An in-memory Optuna study per stratum, rebuilt from outcomes, live claims and the plan.

Outcomes are the truth; a study is a view of them, made anew whenever one is needed. Every trial of
the stratum has the same number in every rebuild (its place in the queue), because some pruners
hash it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims
from lars_sweep.rundir.attempts import read_curve
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.axes import Choices, Dimension
from lars_sweep.spec.strata import Stratum
from lars_sweep.spec.trainer import choice_accuracy
from lars_sweep.study.plan import Plan, QueuedTrial

# A study is rebuilt for every question: Optuna need not announce each.
optuna.logging.set_verbosity(optuna.logging.WARNING)

_OUTCOME_COLUMNS = ("stratum", "status", "cause", "accuracy", "accuracy_val", "accuracy_at_stop")
_STATES = {
    "ok": TrialState.COMPLETE,
    # Divergence is a result: it ends at chance. Telling NaN instead would mark the trial FAIL,
    # which samplers ignore, and they would go on drawing there.
    "diverged": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
Curve = Mapping[int, float]
"""Number of the evaluation, 1..K, → top-1 % on val: Optuna's intermediate values."""


def study_name(run: RunDir, stratum: str) -> str:
    """``<sweep>@<run id>/<stratum>``, unique in a storage shared by many runs."""
    return f"{run.sweep}@{run.run_id}/{stratum}"


def distributions(dimensions: Iterable[Dimension]) -> dict[str, BaseDistribution]:
    """The stratum's search space in Optuna's terms."""
    return {d.name: _distribution(d) for d in dimensions}


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution([_plain(value) for value in dimension.values])
    if dimension.integer:
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log)
    return FloatDistribution(float(dimension.low), float(dimension.high), log=dimension.log)


def _plain(value: object) -> Any:
    """Optuna's categories are None, bool, int, float or str: anything richer goes as JSON."""
    scalar = value is None or isinstance(value, bool | int | float | str)
    return value if scalar else json.dumps(value, sort_keys=True)


def rebuild_study(
    run: RunDir,
    plan: Plan,
    stratum: Stratum,
    queue: Sequence[QueuedTrial],
    *,
    curves: Mapping[str, Curve] | None = None,
    sampler: optuna.samplers.BaseSampler | None = None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """The study of one stratum as it stands now.

    Args:
        run: the run directory.
        plan: its plan.
        stratum: which stratum.
        queue: the trials of this stratum that are known, in order.
        curves: intermediate values by trial id; None: none.
        sampler: for asking. Trials that nobody has claimed yet then count as running: Optuna
            would hand them out once more.
        pruner: for pruning.
    """
    study = optuna.create_study(
        study_name=study_name(run, stratum.name),
        direction="maximize",
        sampler=sampler,
        pruner=pruner,
    )
    rows = {
        row["trial_id"]: row
        for row in load_table(run, "outcomes", _OUTCOME_COLUMNS).to_pylist()
        if row["stratum"] == stratum.name
    }
    held = claims.holdings(run.claims)
    idle = TrialState.WAITING if sampler is None else TrialState.RUNNING
    space = distributions(stratum.dimensions)
    study.add_trials(
        [
            _frozen(
                queued,
                rows.get(queued.trial_id),
                TrialState.RUNNING if queued.trial_id in held else idle,
                space,
                curves,
            )
            for queued in queue
        ]
    )
    return study


def _frozen(
    queued: QueuedTrial,
    row: Mapping[str, Any] | None,
    state: TrialState,
    space: Mapping[str, BaseDistribution],
    curves: Mapping[str, Curve] | None,
) -> FrozenTrial:
    """One trial: finished if it has an outcome, else in the state given."""
    attributes: dict[str, Any] = {
        "trial_id": queued.trial_id, "seed": queued.seed, "point": queued.point,
    }  # fmt: skip
    value = None
    if row is not None:
        state = _STATES[row["status"]]
        attributes |= {"status": row["status"], "cause": row["cause"], "accuracy": row["accuracy"]}
        value = row["accuracy_val"] if state is TrialState.COMPLETE else None
    return optuna.trial.create_trial(
        state=state,
        value=value,
        params={name: _plain(queued.params[name]) for name in space},
        distributions=dict(space),
        user_attrs=attributes,
        intermediate_values=dict((curves or {}).get(queued.trial_id, {})),
    )


def finished_curves(run: RunDir) -> dict[str, Curve]:
    """Intermediate values of all finished trials."""
    curves: dict[str, dict[int, float]] = {}
    table = load_table(run, "curves", ["step", "val_accuracy", "test_accuracy"])
    for row in table.to_pylist():
        curve = curves.setdefault(row["trial_id"], {})
        curve[len(curve) + 1] = choice_accuracy(row["val_accuracy"], row["test_accuracy"])
    return dict(curves)


def live_curves(run: RunDir, trial_ids: Iterable[str]) -> dict[str, Curve]:
    """Intermediate values of trials that run now, from their attempt logs."""
    held = claims.holdings(run.claims)
    curves: dict[str, Curve] = {}
    for trial_id in trial_ids:
        if trial_id in held:
            curves[trial_id] = read_curve(run.attempt_log(trial_id, held[trial_id].attempt))
    return curves
