"""``plan --power``: what a sweep of this design could say, before a device-hour is spent.

Monte Carlo over an assumed surface: every repetition draws the design's trials (LRs × seeds ×
batches, seed noise, divergence), then runs the same estimators that the report will run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lars_sweep.errors import FitError
from lars_sweep.fit.edges import Edges
from lars_sweep.fit.gap import EXPLORATORY_POWER
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.lr_design import MINIMUM_LRS
from lars_sweep.fit.power_draws import Draws, center, draw_edges
from lars_sweep.fit.power_statements import Chance, chances
from lars_sweep.fit.surface import AssumedSurface
from lars_sweep.nouns import count

REPETITIONS = 200
LOCATION = 0.5
"""Octaves to either side by which every repetition moves all best LRs: nobody knows them."""
_STRETCHES = (1.0, 1.5, 2 / 3)
_USUAL_OCTAVES = 3.5
"""Wide enough for both edges of a usual plateau; tried beside stretches of the design's own."""
_SEEDS = (1, 2, 3, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepDesign:
    """What would be run: every batch with its own LRs, each with the same seeds and epochs."""

    lrs: Mapping[int, tuple[float, ...]]
    """Learning rates per global batch, ascending."""
    seeds: int
    epochs: float
    samples: int
    sigma: float
    """Assumed standard deviation of one seed, points."""
    delta: float = 0.5
    """Depth of the LR interval below the plateau, points; also the margin of equal accuracy."""

    @property
    def trials(self) -> int:
        """Number of trials."""
        return self.seeds * sum(len(lrs) for lrs in self.lrs.values())

    @property
    def middle(self) -> int:
        """The batch in the middle."""
        return sorted(self.lrs)[len(self.lrs) // 2]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPower:
    """What the design would say about one batch."""

    batch: int
    lrs: int
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
    """One statement that the report could make, and how likely it would."""

    statement: str
    probability: float
    equivalence: bool
    """A claim that two things are equal within a margin; its probability is that of showing it if
    they are."""
    exploratory: bool
    """An equivalence planned with less than 60 %: to be labeled so beforehand (PROTOCOL.md 17)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """Another use of the middle batch's trials, at most as many."""

    lrs: int
    seeds: int
    octaves: float
    """From the smallest LR to the largest."""
    width: float | None
    """Median width of an edge's interval, octaves, the worse of both edges; None: unbounded."""
    bounded: float
    """Chance that both edges get a finite interval."""
    planned: bool
    """The design itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReport:
    """The plan's prospects."""

    trials: int
    repetitions: int
    design: SweepDesign
    batches: tuple[BatchPower, ...]
    conclusions: tuple[Conclusion, ...]
    alternatives: tuple[Alternative, ...]
    """Narrowest first, the design itself included."""
    surface: AssumedSurface


def plan_power(
    design: SweepDesign,
    surface: AssumedSurface | None = None,
    *,
    repetitions: int = REPETITIONS,
    seed: int = 0,
) -> PowerReport:
    """Simulate a design and summarize what it would say.

    Args:
        design: the plan.
        surface: assumed truth; the paper's order of magnitude if absent. Its best LRs are moved
            together by up to half an octave from repetition to repetition.
        repetitions: simulated sweeps.
        seed: of the simulation; the same design gives the same report.

    Raises:
        FitError: the design cannot be simulated at all.
    """
    surface = surface or AssumedSurface()
    short = [batch for batch, lrs in design.lrs.items() if len(lrs) < MINIMUM_LRS]
    if not design.lrs or short or design.seeds < 1 or design.sigma <= 0:
        raise FitError(
            f"plan --power needs at least {MINIMUM_LRS} LRs per batch, 1 seed and sigma > 0; got "
            f"{ {b: len(v) for b, v in design.lrs.items()} } LRs, {count(design.seeds, 'seed')}, "
            f"sigma {design.sigma}; add LRs or state sigma"
        )
    rng = np.random.default_rng(seed)
    moved = rng.uniform(-LOCATION, LOCATION, repetitions)
    found = {
        batch: draw_edges(_draws(design, batch, np.array(lrs), design.seeds, moved), surface, rng)
        for batch, lrs in sorted(design.lrs.items())
    }
    truth = {batch: np.log2(surface.best_lr(batch)) + moved for batch in found}
    levels = {b: surface.plateau(_steps(design, b)) for b in found}
    return PowerReport(
        trials=design.trials,
        repetitions=repetitions,
        design=design,
        batches=tuple(
            _batch_power(batch, len(design.lrs[batch]), edges, truth[batch])
            for batch, edges in found.items()
        ),
        conclusions=tuple(map(_conclusion, chances(found, levels, design.delta))),
        alternatives=_alternatives(design, surface, moved[: max(1, repetitions // 2)], rng),
        surface=surface,
    )


def _steps(design: SweepDesign, batch: int) -> float:
    return math.ceil(design.epochs * design.samples / batch)


def _draws(
    design: SweepDesign, batch: int, lrs: FloatArray, seeds: int, moved: FloatArray
) -> Draws:
    return Draws(
        batch=batch,
        steps=_steps(design, batch),
        lrs=lrs,
        seeds=seeds,
        sigma=design.sigma,
        delta=design.delta,
        moved=moved,
    )


def _conclusion(chance: Chance) -> Conclusion:
    weak = chance.probability < EXPLORATORY_POWER
    return Conclusion(
        statement=chance.statement,
        probability=chance.probability,
        equivalence=chance.equivalence,
        exploratory=chance.equivalence and weak,
    )


def _median_width(limits: FloatArray) -> float | None:
    with np.errstate(invalid="ignore"):
        widths = limits[:, 1] - limits[:, 0]
    width = float(np.median(np.where(np.isfinite(widths), widths, np.inf)))
    return width if math.isfinite(width) else None


def _bounded(edges: Edges) -> float:
    both = np.concatenate([edges.low_limits, edges.high_limits], axis=1)
    return float(np.mean(np.isfinite(both).all(axis=1)))


def _batch_power(batch: int, lrs: int, edges: Edges, truth: FloatArray) -> BatchPower:
    middle = center(edges)
    known = np.isfinite(middle)
    error = float(np.sqrt(np.mean((middle - truth)[known] ** 2))) if known.any() else None
    return BatchPower(
        batch=batch,
        lrs=lrs,
        low_width=_median_width(edges.low_limits),
        high_width=_median_width(edges.high_limits),
        bounded=_bounded(edges),
        inner=float(np.mean(edges.low_limits[:, 1] < edges.high_limits[:, 0])),
        best_lr_error=error,
    )


def _alternatives(
    design: SweepDesign, surface: AssumedSurface, moved: FloatArray, rng: np.random.Generator
) -> tuple[Alternative, ...]:
    """The middle batch's trials dealt otherwise: LRs against seeds, over more octaves or fewer."""
    batch, found = design.middle, []
    own = np.array(design.lrs[batch])
    total, octaves = len(own) * design.seeds, float(np.log2(own[-1] / own[0]))
    splits = {design.seeds: len(own)} | {
        seeds: total // seeds
        for seeds in _SEEDS
        if seeds != design.seeds
        and total // seeds >= MINIMUM_LRS
        # A single seed estimates no sigma: it is no match for a design that does.
        and (seeds > 1 or design.seeds == 1)
    }
    for seeds, number in splits.items():
        for span in (*(stretch * octaves for stretch in _STRETCHES), _USUAL_OCTAVES):
            planned = seeds == design.seeds and span == octaves
            around = np.sqrt(own[0] * own[-1])
            steps = np.linspace(-0.5 * span, 0.5 * span, number)
            grid = own if planned else around * np.exp2(steps)
            edges = draw_edges(_draws(design, batch, grid, seeds, moved), surface, rng)
            widths = [_median_width(limits) for limits in (edges.low_limits, edges.high_limits)]
            known = [width for width in widths if width is not None]
            found.append(
                Alternative(
                    lrs=number,
                    seeds=seeds,
                    octaves=span,
                    width=max(known) if len(known) == len(widths) else None,
                    bounded=_bounded(edges),
                    planned=planned,
                )
            )
    return tuple(sorted(found, key=lambda a: math.inf if a.width is None else a.width))


def better(report: PowerReport) -> Alternative | None:
    """The alternative that would say more: narrower by a tenth, and no less bounded."""
    own = next(entry for entry in report.alternatives if entry.planned)
    for entry in report.alternatives:
        if entry.planned or entry.width is None or entry.bounded < own.bounded:
            continue
        if own.width is None or entry.width < 0.9 * own.width:
            return entry
    return None
