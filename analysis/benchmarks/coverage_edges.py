"""Do the 95 % intervals of both edges of a good-LR interval cover? (PROTOCOL.md 16)

    python analysis/benchmarks/coverage_edges.py [--repetitions 2000]

writes analysis/results/coverage/edges.json, one entry per scenario: 9 LRs at 0.4 octave, 3 seeds,
sigma 0.25 points, delta 0.5 points. The oracle of each scenario is told the family of the truth
(split parabola or flat top), and is exact: no error of form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from coverage_common import Gate, main, rate

from lars_sweep.fit.edges import Design, Family, find_edges

LRS = np.arange(9) * 0.4
SEEDS, SIGMA, DELTA = 3, 0.25, 0.5
MODULES = ("flat_top", "edges", "sigma", "divergence")

Curve = Callable[[np.ndarray], np.ndarray]


def split(peak: float, left: float, right: float) -> Curve:
    return lambda x: 60 - left * np.maximum(0, peak - x) ** 2 - right * np.maximum(0, x - peak) ** 2


def flat(start: float, end: float, left: float, right: float) -> Curve:
    return lambda x: 60 - left * np.maximum(0, start - x) ** 2 - right * np.maximum(0, x - end) ** 2


@dataclass(frozen=True)
class Truth:
    curve: Curve
    family: Family
    noise: str = "normal"
    cliff: float = np.inf
    """LR (log2) above which runs diverge ..."""
    diverge: float = 1.0
    """... with this probability."""
    rmse: float = 0.10
    """Largest allowed root mean square error of an edge, octaves."""
    open_above: bool = False

    def edges(self) -> tuple[float, float]:
        x = np.linspace(-4.0, 8.0, 1_200_001)
        good = x[self.curve(x) >= 60.0 - DELTA]
        cliff = self.cliff if self.diverge > 0.5 else np.inf
        return float(good[0]), min(float(good[-1]), cliff)

    def draw(self, rng: np.random.Generator, repetitions: int) -> Design:
        shape = (repetitions, len(LRS), SEEDS)
        depth = 60.0 - self.curve(LRS)
        edge = (depth > DELTA / 2)[None, :, None]
        z = rng.normal(0.0, SIGMA, shape)
        if self.noise == "level":
            z = z * (0.6 + 0.8 * np.minimum(depth / DELTA, 3.0))[None, :, None]
        elif self.noise == "heavy":  # Student's t with 3 degrees of freedom
            z = np.where(edge, SIGMA * rng.standard_t(3, shape), z)
        elif self.noise == "bimodal":  # 30 % of the seeds end a point lower; mean unchanged
            z = z + np.where(edge, np.where(rng.random(shape) < 0.3, -0.7, 0.3), 0.0)
        samples = self.curve(LRS)[None, :, None] + z
        lost = (self.cliff < LRS)[None, :, None] & (rng.random(shape) < self.diverge)
        return Design(
            x=LRS,
            samples=np.where(lost, np.nan, samples),
            diverged=np.sum(lost, axis=-1).astype(float),
        )


SCENARIOS = {
    "symmetric": Truth(split(1.6, 1.0, 1.0), "split"),
    "asymmetric with cliff": Truth(split(1.5, 0.8, 3.0), "split", cliff=2.5),
    "flat top with cliff": Truth(flat(1.1, 1.8, 2.0, 6.0), "flat", cliff=2.5),
    "level-dependent variance": Truth(split(1.5, 1.0, 2.0), "split", "level", 2.9, rmse=0.18),
    "heavy-tailed edges": Truth(split(1.5, 1.0, 2.0), "split", "heavy", 2.9, rmse=0.18),
    "bimodal edges": Truth(split(1.5, 1.0, 2.0), "split", "bimodal", 2.9, rmse=0.18),
    "plateau to the end of the grid": Truth(flat(1.4, 6.0, 2.0, 1.0), "flat", open_above=True),
    "stochastic cliff": Truth(flat(1.1, 1.8, 2.0, 3.0), "flat", cliff=1.5, diverge=0.3),
}


def oracle_width(truth: Truth, design: Design, step: float) -> tuple[float, float]:
    """Median widths of the lower and the upper interval of a fit that knows the family."""
    family: tuple[Family, ...] = (truth.family,)
    found = find_edges(design, DELTA, step=step, families=family, form_error=0.0)
    limits = (found.low_limits, found.high_limits)
    widths = [float(np.median(limit[:, 1] - limit[:, 0])) for limit in limits]
    return widths[0], widths[1]


def run(name: str, repetitions: int) -> dict[str, object]:
    truth = SCENARIOS[name]
    rng = np.random.default_rng([16, sorted(SCENARIOS).index(name)])
    step = 1 / 32
    design = truth.draw(rng, repetitions)
    found = find_edges(design, DELTA, step=step)
    oracle = oracle_width(truth, design, step / 2)
    report: dict[str, object] = {}
    sides = (("low", found.low, found.low_limits), ("high", found.high, found.high_limits))
    for (side, estimate, limits), value, best in zip(sides, truth.edges(), oracle, strict=True):
        known = np.isfinite(estimate)
        covered = (limits[:, 0] <= value) & (value <= limits[:, 1])
        width = float(np.median(limits[:, 1] - limits[:, 0]))
        open_side = truth.open_above and side == "high"
        gate = Gate.of(covered)
        unbounded = float(np.mean(~np.isfinite(limits).all(axis=1)))
        rmse = float(np.sqrt(np.mean((estimate[known] - value) ** 2))) if not open_side else None
        report[side] = {
            "truth": value,
            **gate.as_dict(),
            "misses_low": rate(limits[:, 1] < value),
            "misses_high": rate(limits[:, 0] > value),
            "unbounded": unbounded,
            "median_width": width if np.isfinite(width) else None,
            "oracle_width": best if not open_side else None,
            "width_ratio": width / best if np.isfinite(width) and not open_side else None,
            "rmse": rmse,
            "holds": {
                "coverage": gate.holds,
                "unbounded": open_side or unbounded <= 0.05,
                "width": open_side or width <= 1.5 * best,
                "rmse": open_side or (rmse is not None and rmse <= truth.rmse),
            },
        }
    return report


if __name__ == "__main__":
    main("edges", SCENARIOS, run, MODULES, __file__)
