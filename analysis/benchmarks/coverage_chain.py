"""Do intervals cover when seeds are added until they are narrow, and bad runs are pruned?

    python analysis/benchmarks/coverage_chain.py [--only SCENARIO …]

writes analysis/results/coverage/chain.json within an hour of one core. PROTOCOL.md 15: every
repetition is a whole campaign from trials on. The analytic trainer makes them, LR by LR: seven LRs
an octave apart around a guess, half octaves around the best of them, three seeds, then one more
seed for all until both edges are known to 0.6 octave (six at most); with pruning, a median rule
over the cell's earlier trials stops a trial from the middle of its run on. Rows, not cells, go into
the fits.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from coverage_common import Gate, main, rate

from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.average import average, confidence_above
from lars_sweep.fit.baseline import BaselineInterval, against_baseline
from lars_sweep.fit.best_lr import LrScaling, best_lrs, lr_scaling
from lars_sweep.fit.cells import cells
from lars_sweep.fit.edges import find_edges
from lars_sweep.fit.lr_design import design_of
from lars_sweep.fit.lr_interval import LrInterval, lr_intervals
from lars_sweep.fit.predict import lr_at
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.steps import steps_forms
from lars_sweep.fit.surface import AssumedSurface, assumed_surface
from lars_sweep.fit.tuned import tuned
from lars_sweep.spec.trainer import Evaluation, Signal
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.worker.analytic import AnalyticTrainer

MODULES = (
    "linear", "search", "engine", "forms", "log_forms", "average", "crossings", "steps",
    "flat_top", "edges", "sigma", "tuned", "divergence", "lr_design", "cells", "lr_interval",
    "lr_verdicts", "edge_answers", "baseline", "best_lr", "predict", "surface",
    "../worker/analytic",
)  # fmt: skip
DELTA, SAMPLES = 0.5, 50_000
EVALUATIONS = 8
"""Of a trial that may be pruned at one of them; else the last alone decides."""
SEEDS, MOST_SEEDS, NARROW = 3, 6, 0.6
COARSE = 1 / 8
"""Resolution in octaves at which is judged whether the edges are narrow enough."""
STARTUP = 4
"""Trials that a median needs."""
BATCHES = (512, 1024, 2048, 4096, 8192)
STEPS_LAYOUT = ((1024, 10), (2048, 10), (4096, 10), (8192, 10), (8192, 20), (8192, 80))
"""(batch, epochs): the smallest batch is the baseline, the largest is to reach it by epochs."""

SCENARIOS = {
    "edges, seeds until narrow": ("edges", False),
    "edges, seeds until narrow, median pruning": ("edges", True),
    "edges against the estimated baseline": ("baseline", False),
    "best LR at a batch": ("best", False),
    "best LR at a batch, median pruning": ("best", True),
    "epochs to the estimated baseline": ("epochs", False),
    "epochs to the estimated baseline, median pruning": ("epochs", True),
}


def surface() -> AssumedSurface:
    """The truth; what `trial` is trained on."""
    return assumed_surface("small_alexnet_bn", "lars", dataset="cifar10", samples=SAMPLES)


def trial(batch: int, epochs: float, lr: float, seed: int, evaluations: int) -> TrialSpec:
    return TrialSpec(
        model="small_alexnet_bn",
        dataset="cifar10",
        data_id="SIMULATED",
        samples=SAMPLES,
        optimizer="lars",
        lars_variant="paper",
        granularity="layer",
        zero_norm="one",
        trust_coefficient=0.001,
        global_batch=batch,
        bn_batch=256,
        base_lr=lr,
        epochs=epochs,
        evaluations=evaluations,
        seed=seed,
    )


@dataclass
class MedianRule:
    """A control that prunes below the median of the cell's earlier trials; None: never."""

    active: bool
    seen: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    checkpoint_dir = None

    def at_step(self, steps_done: int) -> Signal:
        return Signal.GO_ON

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        earlier, value = self.seen[evaluation.step], evaluation.val_accuracy
        assert value is not None
        late = 2 * evaluation.step >= max(self.seen)
        worse = len(earlier) >= STARTUP and value < statistics.median(earlier)
        earlier.append(value)
        return Signal.PRUNE if self.active and late and worse else Signal.GO_ON


class Cell:
    """One (batch, epochs): its trials so far."""

    def __init__(self, batch: int, epochs: float, *, pruned: bool, rng: np.random.Generator):
        self.batch, self.epochs, self.rng = batch, epochs, rng
        self.rule = MedianRule(pruned)
        self.trainer = AnalyticTrainer()
        self.lrs: dict[float, int] = {}
        self.columns: dict[str, list[object]] = defaultdict(list)

    def run(self, lr: float) -> None:
        seed = int(self.rng.integers(2**40))
        evaluations = EVALUATIONS if self.rule.active else 1
        spec = trial(self.batch, self.epochs, lr, seed, evaluations)
        result = self.trainer.train(spec, self.rule)
        self.lrs[lr] = self.lrs.get(lr, 0) + 1
        ok = result.status == "ok"
        last = result.evaluations[-1] if ok else None
        row = {
            "model": "small_alexnet_bn",
            "global_batch": self.batch,
            "epochs": float(self.epochs),
            "samples": SAMPLES,
            "base_lr": lr,
            "seed": seed,
            "status": result.status,
            "accuracy": last.test_accuracy if last else np.nan,
            "accuracy_val": last.val_accuracy if last else np.nan,
        }
        for name, value in row.items():
            self.columns[name].append(value)

    @property
    def rows(self) -> Rows:
        return Rows({name: np.array(values) for name, values in self.columns.items()})

    def best(self) -> float:
        table = cells(self.rows, ("base_lr",), "accuracy_val")
        means = np.where(table.ok > 0, table.mean, -np.inf)
        return float(table.keys["base_lr"][int(np.argmax(means))])

    def narrow(self) -> bool:
        """Whether both edges are known well enough to stop."""
        table = cells(self.rows, ("base_lr",), "accuracy_val")
        tested = table.where(table.ok + table.diverged > 0)
        if np.sum(tested.ok > 0) < 4:
            return False
        found = find_edges(design_of(tested, "base_lr"), DELTA, step=COARSE)
        limits = np.concatenate([found.low_limits, found.high_limits])
        with np.errstate(invalid="ignore"):
            return bool(np.all(limits[:, 1] - limits[:, 0] <= NARROW))

    def campaign(self) -> Rows:
        guess = surface().best_lr(self.batch) * 2.0 ** self.rng.uniform(-1.0, 1.0)
        for octaves in (0, -1, 1, -2, 2, -3, 3):
            self.run(guess * 2.0**octaves)
        best = self.best()
        for half in (-0.5, 0.5, -1.5, 1.5):
            self.run(best * 2.0**half)
        near = [lr for lr in self.lrs if abs(np.log2(lr / best)) < 2.3]
        for _ in range(SEEDS - 1):
            for lr in near:
                self.run(lr)
        for _ in range(MOST_SEEDS - SEEDS):
            if self.narrow():
                break
            for lr in near:
                self.run(lr)
        return self.rows


def joined(parts: list[Rows]) -> Rows:
    return Rows({name: np.concatenate([part[name] for part in parts]) for name in parts[0].columns})


def campaign(layout: tuple[tuple[int, float], ...], pruned: bool, rng: np.random.Generator) -> Rows:
    return joined([Cell(b, e, pruned=pruned, rng=rng).campaign() for b, e in layout])


# ── the truths


def true_edges(batch: int, depth: float = DELTA) -> tuple[float, float]:
    """log2 LR of both edges at a depth below the plateau; the cliff lies beyond the upper one."""
    truth = surface()
    center, half = np.log2(truth.best_lr(batch)), 0.5 * truth.flat
    up = min(half + np.sqrt(depth / truth.fall_right), half + truth.cliff)
    return center - half - np.sqrt(depth / truth.fall_left), center + up


def true_best(batch: float) -> float:
    """Middle of the true interval, log LR: what `best_lrs` estimates."""
    return float(np.mean(true_edges(int(batch)))) * np.log(2.0)


def true_level(batch: int, epochs: float) -> float:
    return surface().plateau(np.ceil(epochs * SAMPLES / batch))


# ── the scenarios

Hits = dict[str, list[tuple[bool, float]]]
"""Side → of every repetition: whether the interval covers, and its width in octaves."""


def note(hits: Hits, side: str, answer: Answer, truth: float) -> None:
    """Truth in the units of the answer."""
    interval = answer.interval
    if interval is None:
        hits[side].append((True, np.inf))  # nothing is claimed
    else:
        width = np.inf
        if interval.low is not None and interval.high is not None:
            width = float(np.log2(interval.high / interval.low))
        hits[side].append((truth in interval, width))


def edges(pruned: bool, rng: np.random.Generator, hits: Hits) -> None:
    rows = campaign(((4096, 10),), pruned, rng)
    (found,) = lr_intervals(rows, DELTA, metric="accuracy_val")
    low, high = true_edges(4096)
    note(hits, "low", found.low, 2.0**low)
    note(hits, "high", found.high, 2.0**high)


def baseline(pruned: bool, rng: np.random.Generator, hits: Hits) -> None:
    """Batch 1024 against 512, a point behind: delta is 1.5 points, of which a half is left."""
    rows = campaign(((512, 10), (1024, 10)), pruned, rng)
    delta = 1.5
    found = {i.global_batch: i for i in lr_intervals(rows, delta, metric="accuracy_val")}
    lost = true_level(512, 10) - true_level(1024, 10)
    compared = against_baseline(
        rows.where(rows["global_batch"] == 1024), found[1024], found[512], metric="accuracy_val"
    )
    assert isinstance(compared, BaselineInterval)
    low, high = true_edges(1024, delta - lost)
    for side, answer, truth in (("low", compared.low, low), ("high", compared.high, high)):
        if answer.kind is Kind.CANNOT:
            hits[side].append((False, 0.0))
        else:
            note(hits, side, answer, 2.0**truth)


def best(pruned: bool, rng: np.random.Generator, hits: Hits) -> None:
    rows = campaign(tuple((batch, 10) for batch in BATCHES), pruned, rng)
    found: tuple[LrInterval, ...] = lr_intervals(rows, DELTA, metric="accuracy_val")
    scaling = lr_scaling(best_lrs(found))
    for side, batch in (("inside", 2048.0), ("an octave beyond", 16384.0)):
        if isinstance(scaling, LrScaling):
            note(hits, side, lr_at(scaling, batch), np.exp(true_best(batch)))
        else:
            hits[side].append((True, np.inf))


def epochs(pruned: bool, rng: np.random.Generator, hits: Hits) -> None:
    """Confidence at the truth, of which an interval's ends are made (as coverage_derived.py)."""
    rows = campaign(STEPS_LAYOUT, pruned, rng)
    table, noise = tuned(rows)
    assert noise is not None
    data = table.data()
    averaged = average(steps_forms(data, 10.0), data, noise, table.shared_se)
    small, large = STEPS_LAYOUT[0], STEPS_LAYOUT[-1][0]
    target, worth = table.accuracy[0], table.weight[0]
    wanted = np.ceil(small[1] * SAMPLES / small[0])  # the truth is a curve in steps
    confidence = confidence_above(
        averaged,
        averaged.noise or noise,
        np.array([[wanted, float(large)]]),
        np.array([target]),
        float(np.sqrt(noise.variance / worth)),
    )
    hits["epochs"].append((bool(0.025 <= confidence[0] <= 0.975), np.nan))


KINDS = {"edges": edges, "baseline": baseline, "best": best, "epochs": epochs}


def run(name: str, repetitions: int) -> dict[str, object]:
    kind, pruned = SCENARIOS[name]
    rng = np.random.default_rng([17, list(SCENARIOS).index(name)])
    hits: Hits = defaultdict(list)
    for _ in range(repetitions):
        KINDS[kind](pruned, rng, hits)
    return {side: _report(found) for side, found in hits.items()}


def _report(found: list[tuple[bool, float]]) -> dict[str, object]:
    gate = Gate.of(np.array([covered for covered, _ in found]))
    widths = np.array([width for _, width in found])
    measured = widths[~np.isnan(widths)]
    median = float(np.median(measured)) if len(measured) else np.inf
    return {
        **gate.as_dict(),
        "unbounded": rate(np.isinf(measured)) if len(measured) else None,
        "median_width": median if np.isfinite(median) else None,
        "unit": "octaves",
        "holds": {"coverage": gate.holds},
    }


if __name__ == "__main__":
    main("chain", SCENARIOS, run, MODULES, __file__)
