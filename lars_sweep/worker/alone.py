"""One trial on its own, without a run directory: `lars-sweep train`, also under torchrun."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

from lars_sweep.errors import SpecError
from lars_sweep.spec.trainer import Evaluation, Signal, Trainer, TrialResult, choice_accuracy
from lars_sweep.spec.trial import TrialSpec, trial_from_json, trial_to_json
from lars_sweep.worker.ending import JobEnd
from lars_sweep.worker.finite import finite

logger = logging.getLogger(__name__)


class AloneControl:
    """Implements `lars_sweep.spec.trainer.Control`: logs evaluations, stops on a signal."""

    def __init__(self, ending: JobEnd, checkpoint_dir: Path | None) -> None:
        self._ending = ending
        self._checkpoint_dir = checkpoint_dir

    @property
    def checkpoint_dir(self) -> Path | None:
        return self._checkpoint_dir

    def at_step(self, steps_done: int) -> Signal:
        return self._ending()

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        logger.info(
            "step %d  epoch %.2f  lr %.4g  train loss %.4f  %s %.2f %%  %.0f images/s",
            evaluation.step,
            evaluation.epochs,
            evaluation.lr,
            evaluation.train_loss,
            "test" if evaluation.val_accuracy is None else "val",
            choice_accuracy(evaluation.val_accuracy, evaluation.test_accuracy),
            evaluation.images_per_s,
        )
        return Signal.GO_ON


def train_alone(
    trainer: Trainer, trial: TrialSpec, checkpoint_dir: Path | None
) -> TrialResult | None:
    """Run the trial to its end or to a signal; None on ranks above 0.

    Raises:
        TrainError: the trial cannot run here as asked.
        DataError: its data are missing or not those of ``trial.data_id``.
    """
    ending = JobEnd(None)
    ending.listen()
    if checkpoint_dir is not None:
        checkpoint_dir.mkdir(parents=True, exist_ok=True)
    try:
        if trainer.leads:
            return trainer.train(trial, AloneControl(ending, checkpoint_dir))
        trainer.follow(ending)
        return None
    finally:
        trainer.close()


def result_to_json(result: TrialResult) -> dict[str, object]:
    """Plain values; what is not finite is null."""
    content = finite(asdict(result))
    content["signal"] = result.signal.name
    content["evaluations"] = [finite(asdict(row)) for row in result.evaluations]
    content["layers"] = [finite(asdict(row)) for row in result.layers]
    content["noise"] = [finite(asdict(row)) for row in result.noise]
    return content


def read_trial(path: Path) -> TrialSpec:
    """The trial in a JSON file.

    Raises:
        SpecError: no such file, no JSON, or no trial in it.
    """
    try:
        return trial_from_json(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise SpecError(
            f"{path}: {error}; expected a trial as `lars-sweep plan SWEEP --trials DIR` writes it"
        ) from None


def write_trial(directory: Path, trial: TrialSpec) -> Path:
    """``directory/TRIAL_ID.json``."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{trial.trial_id}.json"
    path.write_text(json.dumps(trial_to_json(trial), indent=2) + "\n")
    return path
