"""Do the intervals of derived answers cover? B_half, noise scale, epochs to target, whole chain.

    python analysis/benchmarks/coverage_derived.py [--repetitions 2000]

writes analysis/results/coverage/derived.json. "from rows" runs the whole chain (PROTOCOL.md 15):
seeds x LRs of every (batch, epochs) -> flat top -> joint steps fit -> epochs to a target. Whether
an interval covers is decided by the confidence at the truth, which is what its ends are made of;
the widths come from the first 40 repetitions.
"""

from __future__ import annotations

import numpy as np
from coverage_common import Gate, main

from lars_sweep.fit.average import (
    AveragedFit,
    average,
    confidence_above,
    confidence_of_replicates,
)
from lars_sweep.fit.critical_batch import CriticalBatch, StepsToTarget, fit_critical_batch
from lars_sweep.fit.crossings import scan, target_answer
from lars_sweep.fit.edges import Design, find_edges
from lars_sweep.fit.engine import Data, Noise
from lars_sweep.fit.noise_scale import estimate_noise_scale, noise_parts
from lars_sweep.fit.steps import steps_forms
from lars_sweep.fit.tuned import SHARED_BIAS

MODULES = (
    "linear", "search", "engine", "forms", "log_forms", "average", "crossings", "steps",
    "flat_top", "edges", "sigma", "critical_batch", "fieller", "noise_scale", "tuned",
)  # fmt: skip
WIDTHS = 40
CHUNK = 100

HALVES = {f"B_half, exponent {alpha}": alpha for alpha in (0.8, 0.9, 1.0, 1.1, 1.3)}
LONG = (200, 1000, 16)
"""Measurements, dimensions of the gradient, micro-batches."""
NOISE_SCALES = {f"noise scale {b:g} at batch 512": (b, *LONG) for b in (512.0, 4096.0, 20480.0)} | {
    "noise scale 4096 at batch 512, 20 measurements": (4096.0, 20, 1000, 16),
    "noise scale 512 at batch 512, 20 measurements, 10 dimensions": (512.0, 20, 10, 2),
    "noise scale 512 at batch 512, 5 measurements, 10 dimensions": (512.0, 5, 10, 2),
}
TARGETS = {
    "epochs to target, exponential truth": "exp",
    "epochs to target, power-law truth": "power",
    "epochs to target, S_eff truth": "seff",
}
CHAIN = {"epochs to target from rows": "exp"}
SCENARIOS = (*HALVES, *NOISE_SCALES, *TARGETS, *CHAIN)

SAMPLES, SIGMA, TARGET = 50_000, 0.25, 68.0
TARGET_BATCH = 8192


def critical(alpha: float, repetitions: int, rng: np.random.Generator) -> dict[str, object]:
    """Eight batches around B_half = 4096, steps known to 10 %."""
    batches, half, sd = 2.0 ** np.arange(8, 16), 4096.0, 0.1
    covered, widths = [], []
    for _ in range(repetitions):
        steps = 500 * (1 + (half / batches) ** alpha) * np.exp(rng.normal(0, sd, 8))
        none = np.zeros(8, dtype=bool)
        found = fit_critical_batch(
            StepsToTarget(batch=batches, steps=steps, log_se=np.full(8, sd), censored=none)
        )
        assert isinstance(found, CriticalBatch)
        interval = found.half.interval
        covered.append(interval is None or half in interval)
        widths.append(np.inf if interval is None else interval.map(np.log2).width)
    return _report(covered, widths, "octaves")


def gradients(
    case: tuple[float, int, int, int], repetitions: int, rng: np.random.Generator
) -> dict[str, object]:
    """|G|² = 1, micro-batches of 512 samples together; squared norms drawn from their laws."""
    scale, steps, dimension, count = case
    micro = 512 // count
    covered, widths = [], []
    for _ in range(repetitions):
        # The mean gradient is signal plus noise; the micro-batches scatter around it.
        variance = scale / dimension / micro
        mean_noise = variance / count
        along = 1.0 + rng.normal(0, np.sqrt(mean_noise), steps)
        across = mean_noise * rng.chisquare(dimension - 1, steps)
        mean_square = along**2 + across
        scatter = variance * rng.chisquare(dimension * (count - 1), steps) / count
        answer = estimate_noise_scale(noise_parts(mean_square + scatter, mean_square, micro, count))
        covered.append(answer.interval is None or scale in answer.interval)
        own = answer.interval
        widths.append(own.map(np.log2).width if own is not None and own.low else np.inf)
    return _report(covered, widths, "octaves")


def truth_curve(kind: str, steps: np.ndarray, batch: np.ndarray) -> np.ndarray:
    if kind == "power":
        return 71.0 - 6.0 * (steps / 1000.0) ** -0.9
    slow = 1.0 + 2048.0 / batch if kind == "seff" else 1.0
    return 70.0 - 30.0 * np.exp(-steps / slow / 1500.0)


def cells() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batches at 90 epochs and more epochs at the largest: the layout of Tables 3 and 5."""
    batch = np.array([512, 1024, 2048, 4096, 8192, 8192, 8192, 8192, 8192], dtype=float)
    epochs = np.array([90, 90, 90, 90, 90, 135, 180, 270, 360], dtype=float)
    return batch, epochs, np.ceil(epochs * SAMPLES / batch)


def true_epochs(kind: str) -> float:
    steps = np.geomspace(100, 1e6, 200_001)
    values = truth_curve(kind, steps, np.full(len(steps), float(TARGET_BATCH)))
    return float(np.interp(TARGET, values, steps)) * TARGET_BATCH / SAMPLES


def _targets(
    kind: str,
    y: np.ndarray,
    weights: np.ndarray,
    variance: np.ndarray,
    nu: float,
    shared_bias: float = 0.0,
) -> dict[str, object]:
    batch, _, steps = cells()
    x = np.stack([steps, batch], axis=-1)
    forms = steps_forms(Data(x=x, y=y[0], weights=weights[0]), 10.0)
    here = np.array([[true_epochs(kind) * SAMPLES / TARGET_BATCH, TARGET_BATCH]])
    shared = shared_bias * np.sqrt(np.mean(variance[:, None] / weights, axis=1))
    confidence = np.concatenate(
        [
            confidence_of_replicates(
                forms, (x, y[i : i + CHUNK], weights[i : i + CHUNK]), (variance[i : i + CHUNK], nu),
                here, TARGET, shared[i : i + CHUNK],
            )
            for i in range(0, len(y), CHUNK)
        ]
    )  # fmt: skip
    covered = (confidence >= 0.025) & (confidence <= 0.975)
    widths = []
    for i in range(min(WIDTHS, len(y))):
        noise = Noise(variance=float(variance[i]), nu=nu, source="replicates")
        data = Data(x=x, y=y[i], weights=weights[i])
        averaged = average(forms, data, noise, float(shared[i]))

        def climb(at: np.ndarray, curve: AveragedFit = averaged, sd: Noise = noise) -> np.ndarray:
            points = np.stack([at, np.full(len(at), float(TARGET_BATCH))], axis=-1)
            return confidence_above(curve, sd, points, np.full(len(at), TARGET))

        coarse = np.append(np.exp2(np.arange(8.0, 20.0, 1 / 4)), np.inf)
        interval = target_answer(*scan(climb, coarse), 0.0, "steps").interval
        widths.append(np.inf if interval is None else interval.map(np.log2).width)
    return _report(list(covered), widths, "octaves")


def targets(kind: str, repetitions: int, rng: np.random.Generator) -> dict[str, object]:
    """Three seeds per cell at the right LR, sigma from their scatter."""
    batch, _, steps = cells()
    n, seeds = len(batch), 3
    mean = truth_curve(kind, steps, batch)[:, None]
    draws = mean + rng.normal(0, SIGMA, (repetitions, n, seeds))
    variance = draws.var(axis=2, ddof=1).mean(axis=1)
    counts = np.full((repetitions, n), float(seeds))
    return _targets(kind, draws.mean(axis=2), counts, variance, float(n * (seeds - 1)))


def chain(kind: str, repetitions: int, rng: np.random.Generator) -> dict[str, object]:
    """7 LRs x 3 seeds in every cell, one LR diverging; LR chosen by the fit itself."""
    batch, _, steps = cells()
    lrs, seeds = np.arange(7) * 0.5, 3
    fall = 1.5 * np.maximum(0, 1.0 - lrs) ** 2 + 3.0 * np.maximum(0, lrs - 1.8) ** 2
    y, weights, variances = [], [], []
    for level in truth_curve(kind, steps, batch):
        samples = level - fall[:, None] + rng.normal(0, SIGMA, (repetitions, 7, seeds))
        samples[:, -1] = np.nan
        diverged = np.zeros((repetitions, 7))
        diverged[:, -1] = seeds
        found = find_edges(Design(x=lrs, samples=samples, diverged=diverged), 0.5, step=1 / 16)
        own = samples[:, :-1].var(axis=2, ddof=1).mean(axis=1)
        y.append(found.plateau)
        weights.append(1.0 / found.plateau_se**2)
        variances.append(own)
    variance = np.mean(variances, axis=0)
    counts = np.array(weights).T * variance[:, None]
    nu = float(len(batch) * 6 * (seeds - 1))
    return _targets(kind, np.array(y).T, counts, variance, nu, SHARED_BIAS)


def _report(covered: list[bool], widths: list[float], unit: str) -> dict[str, object]:
    gate = Gate.of(np.array(covered))
    width = float(np.median(widths))
    return {
        **gate.as_dict(),
        "unbounded": float(np.mean(~np.isfinite(widths))),
        "median_width": width if np.isfinite(width) else None,
        "unit": unit,
        "holds": {"coverage": gate.holds},
    }


def run(name: str, repetitions: int) -> dict[str, object]:
    rng = np.random.default_rng([15, SCENARIOS.index(name)])
    if name in HALVES:
        return critical(HALVES[name], repetitions, rng)
    if name in NOISE_SCALES:
        return gradients(NOISE_SCALES[name], repetitions, rng)
    if name in TARGETS:
        return targets(TARGETS[name], repetitions, rng)
    return chain(CHAIN[name], repetitions, rng)


if __name__ == "__main__":
    main("derived", SCENARIOS, run, MODULES, __file__)
