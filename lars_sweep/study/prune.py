"""Any Optuna pruner, asked after every evaluation of a running trial.

Pruners see the number of the evaluation (1..K) as the step and top-1 % on val as the value. With a
decaying schedule a high LR looks bad until the decay bites, so there is no pruner by default.
"""

from __future__ import annotations

from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import Plan, QueuedTrial
from lars_sweep.study.rebuild import Curve, finished_curves, live_curves, rebuild_study
from lars_sweep.study.strategy import make_pruner

# These keep their decisions in attributes of the trials; a rebuilt study gets them by replay.
_STATEFUL = (optuna.pruners.SuccessiveHalvingPruner, optuna.pruners.HyperbandPruner)


def prune_rule(run: RunDir, plan: Plan, queued: QueuedTrial) -> Callable[[Curve], bool] | None:
    """Asks the sweep file's pruner about one running trial; None if the file names no pruner.

    Raises:
        SpecError: Optuna has no such pruner, or it refuses its options.
    """
    pruner = make_pruner(plan.spec, evaluations=plan.trial(queued).evaluations)
    if pruner is None:
        return None
    return lambda curve: _should_prune(run, plan, queued, curve, pruner)


def _should_prune(
    run: RunDir, plan: Plan, queued: QueuedTrial, curve: Curve, pruner: optuna.pruners.BasePruner
) -> bool:
    stratum = plan.strata[queued.stratum]
    queue = [q for q in known_queue(run, plan) if q.stratum == stratum.name]
    curves = finished_curves(run) | live_curves(run, (q.trial_id for q in queue))
    curves[queued.trial_id] = curve
    replayed = {} if isinstance(pruner, _STATEFUL) else curves
    study = rebuild_study(run, plan, stratum, queue, curves=replayed, pruner=pruner)
    if isinstance(pruner, _STATEFUL):
        return _replay(study, queue, curves, queued, pruner)
    number = next(i for i, q in enumerate(queue) if q.trial_id == queued.trial_id)
    return pruner.prune(study, study.get_trials(deepcopy=False)[number])


def _replay(
    study: optuna.Study,
    queue: list[QueuedTrial],
    curves: dict[str, Curve],
    wanted: QueuedTrial,
    pruner: optuna.pruners.BasePruner,
) -> bool:
    """Let the pruner see every evaluation of the stratum again, the wanted trial's last one last.

    Finished trials are immutable in Optuna, so the replay runs on a copy in which all run.
    """
    copy = optuna.create_study(study_name=study.study_name, direction="maximize", pruner=pruner)
    for trial in study.get_trials(deepcopy=False):
        copy.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions
            )
        )
    ids = [trial._trial_id for trial in copy.get_trials(deepcopy=False)]
    # In order of evaluations, as they would have come from trials that run side by side.
    events = sorted(
        (number, queued.trial_id == wanted.trial_id, index)
        for index, queued in enumerate(queue)
        for number in curves.get(queued.trial_id, {})
    )
    verdict = False
    for number, is_wanted, index in events:
        copy._storage.set_trial_intermediate_value(
            ids[index], number, curves[queue[index].trial_id][number]
        )
        decision = pruner.prune(copy, copy._storage.get_trial(ids[index]))
        if is_wanted:
            verdict = decision
    return verdict
