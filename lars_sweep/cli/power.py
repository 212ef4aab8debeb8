"""What ``plan --power`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from lars_sweep.cli.talk import print_table, say

if TYPE_CHECKING:
    from lars_sweep.fit.power import PowerReport
    from lars_sweep.fit.power_design import DesignPower
    from lars_sweep.spec.trial import TrialSpec
    from lars_sweep.study.plan import Plan


def sweep_power(
    plan: Plan, trials: Iterable[TrialSpec], sigma: float | None
) -> Sequence[DesignPower]:
    """The power of every design in a plan; none, with a word of why, for an adaptive strategy."""
    from lars_sweep.fit.power_design import design_powers
    from lars_sweep.fit.surface import SIGMA

    if plan.is_adaptive:
        say(
            f"power: {plan.spec.strategy.kind} asks for its points as results come in, so that "
            "there is no design to judge beforehand: `lars-sweep launch SWEEP --simulate` runs "
            "the strategy itself against a stated surface"
        )
        return ()
    return design_powers(
        trials, sigma=SIGMA if sigma is None else sigma, delta=plan.spec.protocol.delta
    )


def print_power(found: Iterable[DesignPower]) -> None:
    """One block for each design."""
    for one in found:
        print(f"\npower of {one.name}")
        if one.skipped:
            print(f"batches with fewer than 4 LRs, no interval: {', '.join(map(str, one.skipped))}")
        if one.report is not None:
            _print_report(one.report)


def _print_report(report: PowerReport) -> None:
    from lars_sweep.fit.power import LOCATION, better

    design, surface = report.design, report.surface
    best = surface.best_lr(design.middle)
    print(
        f"assumed: {design.sigma:g} points between seeds (1 SD), best LR {best:.3g} at batch "
        f"{design.middle} ± {LOCATION:g} octave, growing as 1/(1 + {surface.saturation:.3g}/B), "
        f"good LRs {design.delta:g} points below the best, {report.repetitions} simulated sweeps"
    )
    print_table(
        ("batch", "LRs", "seeds", "lower edge ± oct", "upper edge ± oct", "both bounded",
         "good LRs shown", "best LR error oct"),
        [
            (b.batch, b.lrs, design.seeds, _half(b.low_width), _half(b.high_width),
             _percent(b.bounded), _percent(b.inner), b.best_lr_error)
            for b in report.batches
        ],
    )  # fmt: skip
    print_table(
        ("chance", "conclusion"),
        [
            (_percent(c.probability), c.statement + (" (exploratory)" if c.exploratory else ""))
            for c in report.conclusions
        ],
    )
    print_table(
        (f"batch {design.middle}: LRs", "seeds", "octaves", "edge ± oct", "both bounded", ""),
        [
            (a.lrs, a.seeds, a.octaves, _half(a.width), _percent(a.bounded),
             "as planned" if a.planned else "")
            for a in report.alternatives
        ],
    )  # fmt: skip
    more = better(report)
    if more is None:
        print("no other use of these trials that was tried says more about the edges")
    else:
        print(
            f"says more about the edges: {more.lrs} LRs × {more.seeds} seeds over "
            f"{more.octaves:.1f} octaves"
        )


def _half(width: float | None) -> str:
    return "unbounded" if width is None else f"{width / 2:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
