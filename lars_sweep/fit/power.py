"""``plan --power``: what a sweep of this design could say, before a device-hour is spent.

Monte Carlo over an assumed surface: every repetition draws the design's trials (LRs × seeds ×
batches, seed noise, divergence), then runs the same estimators that the report will run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from lars_sweep.errors import FitError
from lars_sweep.fit.best_lr import MARGIN
from lars_sweep.fit.edges import Design, Edges, find_edges
from lars_sweep.fit.gap import EXPLORATORY_POWER
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.sigma import MINIMUM_NU

REPETITIONS = 200
_STEP = 1 / 16
_NORMAL_95 = 1.959964
_WIDEST_USEFUL = 0.5
"""Octaves: an edge known to a half octave still tells neighbouring LRs of a usual grid apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedSurface:
    """What the plan assumes to be true; the defaults are of the order of the paper's tables.

    ``accuracy = A(S) - kL max(0, xL - x)² - kR max(0, x - xR)²`` in x = log2 LR, with
    ``A(S) = top - climb exp(-S/steps_scale)``, a plateau of ``flat`` octaves centred on
    ``LR = lr_max / (1 + saturation/B)``, and divergence from ``cliff`` octaves above the plateau.
    """

    top: float = 70.0
    climb: float = 20.0
    steps_scale: float = 2000.0
    lr_max: float = 20.0
    saturation: float = 4096.0
    flat: float = 0.8
    fall_left: float = 1.5
    fall_right: float = 3.0
    cliff: float = 1.0

    def best_lr(self, batch: float) -> float:
        """Centre of the plateau."""
        return self.lr_max / (1.0 + self.saturation / batch)

    def accuracy(self, lr: FloatArray, batch: float, steps: float) -> FloatArray:
        """Expected accuracy of runs that do not diverge, percent."""
        x = np.log2(lr / self.best_lr(batch))
        left = np.maximum(0.0, -0.5 * self.flat - x)
        right = np.maximum(0.0, x - 0.5 * self.flat)
        plateau = self.top - self.climb * math.exp(-steps / self.steps_scale)
        return np.asarray(plateau - self.fall_left * left**2 - self.fall_right * right**2)

    def diverges(self, lr: FloatArray, batch: float) -> FloatArray:
        """Whether each LR lies past the cliff."""
        return np.asarray(np.log2(lr / self.best_lr(batch)) > 0.5 * self.flat + self.cliff)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDesign:
    """What would be run: every batch with its own LRs, each with the same seeds and epochs."""

    lrs: dict[int, tuple[float, ...]]
    """Learning rates per global batch, ascending."""
    seeds: int
    epochs: float
    samples: int
    sigma: float
    """Assumed standard deviation of one seed, points."""
    delta: float = 0.5
    """Depth of the LR interval below the plateau, points."""

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.seeds * sum(len(lrs) for lrs in self.lrs.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPower:
    """What the design would say about one batch."""

    batch: int
    low_width: float | None
    """Median width of the lower edge's 95 % interval, octaves; None: mostly unbounded."""
    high_width: float | None
    bounded: float
    """Chance that both edges get a finite interval."""
    inner: float
    """Chance that some LRs are shown to be good."""
    best_lr_error: float | None
    """Root mean square error of the best LR, octaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """One statement that the report could make, and how likely it would under the assumption."""

    statement: str
    probability: float
    exploratory: bool
    """Below 60 %: to be labelled so beforehand (PROTOCOL.md 17)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another split of the same trials at the middle batch."""

    lrs: int
    seeds: int
    width: float | None
    """Median width of an edge's interval, octaves, the worse of both edges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReport:
    """The plan's prospects."""

    trials: int
    repetitions: int
    batches: tuple[BatchPower, ...]
    conclusions: tuple[Conclusion, ...]
    alternatives: tuple[Alternative, ...]
    """Narrowest first, the design itself included."""
    surface: AssumedSurface = field(default_factory=AssumedSurface)


def plan_power(
    design: SweepDesign,
    surface: AssumedSurface | None = None,
    *,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> PowerReport:
    """Simulate a design and summarise what it would say.

    Args:
        design: the plan.
        surface: assumed truth; the paper's order of magnitude if absent.
        repetitions: simulated sweeps.
        seed: of the simulation; the same design gives the same report.

    Raises:
        FitError: the design cannot be simulated at all.
    """
    surface = surface or AssumedSurface()
    short = [batch for batch, lrs in design.lrs.items() if len(lrs) < 4]
    if not design.lrs or short or design.seeds < 1 or design.sigma <= 0:
        raise FitError(
            f"plan --power needs at least 4 LRs per batch, 1 seed and sigma > 0; got "
            f"{ {b: len(v) for b, v in design.lrs.items()} } LRs, {design.seeds} seeds, sigma "
            f"{design.sigma}; add LRs or state sigma"
        )
    rng = np.random.default_rng(seed)
    edges = {
        batch: _simulate(design, surface, batch, np.array(lrs), design.seeds, repetitions, rng)
        for batch, lrs in sorted(design.lrs.items())
    }
    return PowerReport(
        trials=design.trials,
        repetitions=repetitions,
        batches=tuple(
            _batch_power(batch, found, np.log2(surface.best_lr(batch)))
            for batch, found in edges.items()
        ),
        conclusions=_conclusions(edges),
        alternatives=_alternatives(design, surface, repetitions // 2, rng),
        surface=surface,
    )


def _simulate(
    design: SweepDesign,
    surface: AssumedSurface,
    batch: int,
    lrs: FloatArray,
    seeds: int,
    repetitions: int,
    rng: np.random.Generator,
) -> Edges:
    """Edges of repeated sweeps at one batch."""
    steps = math.ceil(design.epochs * design.samples / batch)
    mean = surface.accuracy(lrs, batch, steps)
    samples = mean[:, None] + rng.normal(0.0, design.sigma, (repetitions, len(lrs), seeds))
    lost = surface.diverges(lrs, batch)
    samples[:, lost] = np.nan
    diverged = np.broadcast_to(np.where(lost, float(seeds), 0.0), (repetitions, len(lrs)))
    finished = len(lrs) - int(np.sum(lost))
    known = (seeds - 1) * finished >= MINIMUM_NU
    drawn = Design(x=np.log2(lrs), samples=samples, diverged=diverged)
    sigma = None if known else design.sigma
    return find_edges(drawn, design.delta, sigma=sigma, step=_STEP)


def _median_width(limits: FloatArray) -> float | None:
    width = float(np.median(limits[:, 1] - limits[:, 0]))
    return width if math.isfinite(width) else None


def _centre(edges: Edges) -> FloatArray:
    """Middle of both edges (R,), NaN where one of them was not found."""
    found = np.isfinite(edges.low) & np.isfinite(edges.high)
    low, high = (np.where(found, edge, 0.0) for edge in (edges.low, edges.high))
    return np.where(found, 0.5 * (low + high), np.nan)


def _batch_power(batch: int, edges: Edges, truth: float) -> BatchPower:
    finite = np.isfinite(edges.low_limits).all(axis=1) & np.isfinite(edges.high_limits).all(axis=1)
    centre = _centre(edges)
    known = np.isfinite(centre)
    error = float(np.sqrt(np.mean((centre[known] - truth) ** 2))) if known.any() else None
    return BatchPower(
        batch=batch,
        low_width=_median_width(edges.low_limits),
        high_width=_median_width(edges.high_limits),
        bounded=float(np.mean(finite)),
        inner=float(np.mean(edges.low_limits[:, 1] < edges.high_limits[:, 0])),
        best_lr_error=error,
    )


def _conclusions(edges: dict[int, Edges]) -> tuple[Conclusion, ...]:
    """Chances of the statements on intervals and on how the best LR grows."""
    found = list(edges.values())
    limits = [limit for entry in found for limit in (entry.low_limits, entry.high_limits)]
    narrow = [limit[:, 1] - limit[:, 0] <= _WIDEST_USEFUL for limit in limits]
    chances = {
        f"both edges of every batch are known to {_WIDEST_USEFUL:g} octave": np.all(narrow, axis=0)
    }
    if len(edges) >= 3:
        alpha, se = _slopes(edges)
        for name, value in (("linear", 1.0), ("square root", 0.5), ("constant", 0.0)):
            rejected = np.abs(alpha - value) > _NORMAL_95 * se
            equal = np.abs(alpha - value) < MARGIN - float(stats.norm.ppf(0.95)) * se
            chances[f"{name} scaling of the LR is rejected"] = rejected & ~equal
            chances[f"{name} scaling of the LR holds within ±{MARGIN:g}"] = equal
    return tuple(
        Conclusion(
            statement=statement,
            probability=float(np.mean(happens)),
            exploratory=bool(np.mean(happens) < EXPLORATORY_POWER),
        )
        for statement, happens in chances.items()
    )


def _slopes(edges: dict[int, Edges]) -> tuple[FloatArray, FloatArray]:
    """Weighted slopes of log2 LR on log2 B and their standard errors (R,)."""
    x = np.log2(np.array(list(edges), dtype=np.float64))
    centre = np.stack([_centre(entry) for entry in edges.values()], axis=-1)
    widths = [
        np.hypot(*(np.diff(limits)[:, 0] for limits in (entry.low_limits, entry.high_limits)))
        for entry in edges.values()
    ]
    se = np.stack(widths, axis=-1) / (4 * _NORMAL_95)
    usable = np.isfinite(centre) & np.isfinite(se)
    weight = np.where(usable, 1.0 / np.where(usable, se, 1.0) ** 2, 0.0)
    y = np.where(usable, centre, 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    middle = (weight @ x) / total
    lever = np.sum(weight * (x - middle[:, None]) ** 2, axis=1)
    safe = np.where(lever > 0, lever, 1.0)
    slope = np.sum(weight * (x - middle[:, None]) * y, axis=1) / safe
    return slope, np.where(lever > 0, 1.0 / np.sqrt(safe), np.inf)


def _alternatives(
    design: SweepDesign, surface: AssumedSurface, repetitions: int, rng: np.random.Generator
) -> tuple[Alternative, ...]:
    """The middle batch's trials split otherwise between LRs and seeds, over the same range."""
    batch = sorted(design.lrs)[len(design.lrs) // 2]
    lrs = design.lrs[batch]
    total = len(lrs) * design.seeds
    seeds = sorted({design.seeds, *(s for s in (1, 2, 3, 5) if total // s >= 4)})
    found = []
    for count in seeds:
        number = len(lrs) if count == design.seeds else total // count
        grid = np.geomspace(lrs[0], lrs[-1], number)
        edges = _simulate(design, surface, batch, grid, count, repetitions, rng)
        widths = [_median_width(limits) for limits in (edges.low_limits, edges.high_limits)]
        worse = None if None in widths else max(width for width in widths if width is not None)
        found.append(Alternative(lrs=number, seeds=count, width=worse))
    return tuple(sorted(found, key=lambda a: math.inf if a.width is None else a.width))
