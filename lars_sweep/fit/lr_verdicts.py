"""What each LR that was tried is known to be, without any curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lars_sweep.fit.answers import Interval
from lars_sweep.fit.cells import Cells
from lars_sweep.fit.distributions import chi2_quantile
from lars_sweep.fit.divergence import DivergenceAt, divergence_table, takeover_deviance
from lars_sweep.fit.linear import FloatArray

Verdict = Literal["in", "out", "undecided", "undecided (pruned)"]

_DRAWS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class LrVerdict:
    """One LR, judged by multiple comparison with the best (Hsu) and by its diverged seeds."""

    lr: float
    accuracy: float | None
    """Mean of the finished seeds, percent."""
    ok: int
    diverged: DivergenceAt
    pruned: int
    gap: Interval | None
    """Simultaneous 95 % interval of best mean minus this mean, points, at least 0."""
    verdict: Verdict


def lr_verdicts(
    table: Cells, delta: float, variance: FloatArray | None, nu: float
) -> tuple[LrVerdict, ...]:
    """One verdict per LR.

    Args:
        table: a cell per LR, ascending.
        delta: points behind the best that still count as good.
        variance: of one seed in every cell (n,); None where unknown.
        nu: its degrees of freedom.
    """
    (lrs,), ok, mean = table.keys.values(), table.ok, table.mean
    divergence = divergence_table(lrs, table.diverged, ok + table.diverged)
    past = _beyond_takeover(table)
    gaps = None if variance is None else _gaps(mean, ok, variance, nu)
    verdicts = []
    for i in range(len(table)):
        gap = None if gaps is None or not ok[i] else Interval(low=gaps[0][i], high=gaps[1][i])
        verdict: Verdict = "undecided (pruned)" if table.pruned[i] and not ok[i] else "undecided"
        if past[i] or (gap is not None and gap.low is not None and gap.low > delta):
            verdict = "out"
        elif gap is not None and gap.high is not None and gap.high < delta:
            verdict = "in"
        verdicts.append(
            LrVerdict(
                lr=float(lrs[i]),
                accuracy=float(mean[i]) if ok[i] else None,
                ok=int(ok[i]),
                diverged=divergence[i],
                pruned=int(table.pruned[i]),
                gap=gap,
                verdict=verdict,
            )
        )
    return tuple(verdicts)


def _beyond_takeover(table: Cells) -> FloatArray:
    """Whether each LR is past the LR of P(diverge) = 1/2 at 95 % confidence."""
    n = len(table)
    best = int(np.nanargmax(table.mean)) if np.any(table.ok > 0) else 0
    above = np.arange(n) >= best
    diverged = np.where(above, table.diverged, 0.0)
    deviance = takeover_deviance(diverged, table.ok + diverged)
    allowed = np.flatnonzero(deviance <= chi2_quantile(0.95, 1))
    return np.asarray(np.arange(n) >= allowed[-1])


def _gaps(mean: FloatArray, ok: FloatArray, variance: FloatArray, nu: float) -> FloatArray:
    """Simultaneous limits (2, n) of best minus own mean: multiple comparison with the best.

    Hsu 1996, chapter 4, with the one-sided Dunnett quantile of every cell simulated; ``variance``
    (n,) is that of one seed.
    """
    n = len(mean)
    pair = (ok > 0)[:, None] & (ok > 0) & ~np.eye(n, dtype=bool)
    if not pair.any():
        return np.zeros((2, n))
    share = variance / np.maximum(ok, 1.0)
    se = np.sqrt(share[:, None] + share)
    rng = np.random.default_rng(0)
    z = np.ascontiguousarray((rng.standard_normal((_DRAWS, n)) * np.sqrt(share)).T)
    scale = np.ones(_DRAWS) if np.isinf(nu) else np.sqrt(rng.chisquare(nu, _DRAWS) / nu)
    largest = np.where(pair.any(axis=0), -np.inf, 0.0)[:, None].repeat(_DRAWS, axis=1)
    ahead = np.empty(_DRAWS)
    for i, j in np.argwhere(np.triu(pair)):  # one by one: a pair's draws stay in the fast memory
        np.divide(np.subtract(z[j], z[i], out=ahead), se[i, j], out=ahead)
        np.maximum(largest[i], ahead, out=largest[i])
        np.maximum(largest[j], np.negative(ahead, out=ahead), out=largest[j])
    q = np.quantile(largest / scale, 0.95, axis=1)
    filled = np.where(ok > 0, mean, 0.0)
    behind = filled[:, None] - filled  # [j, i]: how far i lies behind j
    low = np.max(behind - q * se, axis=0, where=pair, initial=0.0)
    may_be_best = low <= 0.0
    nearest = pair & may_be_best[:, None]
    high = np.max(behind + q[:, None] * se, axis=0, where=nearest, initial=0.0)
    return np.stack([low, high])


def without_out(inner: Interval | None, verdicts: tuple[LrVerdict, ...]) -> Interval | None:
    """The good LRs around the best one, up to the last tested before any that is out.

    A curve under too small a sigma, or of another form than the data, may call good what the seeds
    alone show to be bad.
    """
    if inner is None or not any(v.verdict == "out" and v.lr in inner for v in verdicts):
        return inner
    best = max(verdicts, key=lambda v: -np.inf if v.accuracy is None else v.accuracy).lr
    out = np.array([v.lr for v in verdicts if v.verdict == "out"])
    below = float(np.max(out, where=out < best, initial=-np.inf))
    above = float(np.min(out, where=out > best, initial=np.inf))
    tried = [v.lr for v in verdicts if below < v.lr < above]
    low = max(inner.low or 0.0, min(tried)) if below > -np.inf else inner.low
    high = min(inner.high or np.inf, max(tried)) if above < np.inf else inner.high
    if low is None or high is None or low > high:
        return None
    return Interval(low=low, high=high)
