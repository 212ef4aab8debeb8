"""Whether the generalization gap grows with the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lars_sweep.fit.analysis.losses import GapFinding
from lars_sweep.fit.gap import GapComparison
from lars_sweep.report import canvas
from lars_sweep.report.canvas import Canvas
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Panel, panels
from lars_sweep.report.grid import WIDE_LABELS, panel_grid
from lars_sweep.report.kinds.steps_marks import columns
from lars_sweep.report.labels import NBSP, batch_label
from lars_sweep.report.marks import batch_legend
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, interval_words, sentence, some

PANELS_TOLD = 3


def gap_section(evidence: Evidence) -> Section:
    """Test loss minus train loss over training, per batch (the paper's Figure 1)."""
    found: list[Panel[GapFinding]] = panels(evidence.found("gap"), by_epochs=True)
    shown = [p for p in found if (told := p.members[0].found) is not None and _drawn(told)]
    shown = shown[:MOST_PANELS]
    frame = _frame(shown)
    split = next((told.bands_split for p in shown if (told := p.members[0].found)), "test")
    drawing = Drawing(
        name="generalization-gap",
        alt=f"Loss on {split} minus train loss against epochs done, one band per global batch.",
        caption=f"Lines: mean over seeds of loss on {split} minus loss on a fixed training subset, "
        "both in evaluation mode on the same weights, at the chosen LR; bands: 95 % interval of "
        "the mean over seeds (none below two seeds).",
        draw=lambda: _draw(evidence, shown, frame, split),
        frame=frame.drop(columns="panel"),
    )
    known = [p for p in found if p.members[0].found is not None]
    return Section(
        kind="gap",
        title="Generalization gap",
        verdict=_verdict(found),
        drawings=(drawing,) if shown else (),
        tables=(_table(known),) if known else (),
    )


def _drawn(told: GapFinding) -> bool:
    return any(len(band.epochs) for band in told.bands)


def _frame(shown: Sequence[Panel[GapFinding]]) -> pd.DataFrame:
    parts = []
    for panel in shown:
        told = panel.members[0].found
        for band in told.bands if told is not None else ():
            parts.append(
                pd.DataFrame(
                    {
                        "panel": panel.number, "title": panel.title, "global_batch": band.batch,
                        "epochs_done": band.epochs, "gap": band.mean, "low": band.low,
                        "high": band.high, "seeds": band.seeds,
                    }
                )
            )  # fmt: skip
    names = ["panel", "title", "global_batch", "epochs_done", "gap", "low", "high", "seeds"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _draw(
    evidence: Evidence,
    shown: Sequence[Panel[GapFinding]],
    frame: pd.DataFrame,
    split: str,
) -> Canvas:
    batches = evidence.observations.batches
    colors = canvas.batch_colors(batches)
    drawn = sorted(int(b) for b in frame["global_batch"].unique())
    grid = panel_grid(
        evidence,
        shown,
        legend=batch_legend(drawn, batches),
        left=WIDE_LABELS,
    )
    for panel in shown:
        axes, mine = grid.slots[panel.number].main, frame[frame["panel"] == panel.number]
        for batch, rows in mine.groupby("global_batch"):
            color = colors[int(float(str(batch)))]
            x, y, low, high = columns(rows, "epochs_done", "gap", "low", "high")
            axes.plot(x, y, color=color, linewidth=1.6)
            axes.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        axes.axhline(0.0, color=canvas.MUTED, linewidth=0.8, zorder=1)
        axes.set_xlim(left=0)
        axes.set_xlabel("epochs done")
        axes.set_ylabel(f"{split} loss − train loss (nats)")
    canvas.share_y([grid.slots[panel.number].main for panel in shown])
    return grid


# ── the words


def _verdict(found: Sequence[Panel[GapFinding]]) -> Verdict:
    cannot = "the data cannot say whether the generalization gap grows with the batch"
    known = [(p, told) for p in found if (told := p.members[0].found) is not None]
    known = [(panel, told) for panel, told in known if told.comparisons]
    if not known:
        reasons = [getattr(p.members[0].result, "reason", "no losses") for p in found]
        why = max(sorted(set(reasons)), key=reasons.count) if reasons else "no trial has finished"
        return Verdict(sentence(f"{cannot}: {why}"))
    notes = []
    if len(known) <= PANELS_TOLD:
        words = [f"with {panel.title} {_words(told.comparisons[-1])}" for panel, told in known]
        text = "; ".join(words)
    else:
        all_of = [one.conclusion for _, told in known for one in told.comparisons]
        text = (
            f"of {len(all_of)} comparisons with the smallest batch the gap differs in "
            f"{all_of.count('different') + all_of.count('both')}, is shown equal within its margin "
            f"in {all_of.count('equivalent') + all_of.count('both')} and is left open in "
            f"{all_of.count('inconclusive')}"
        )
    if any(one.exploratory for _, told in known for one in told.comparisons):
        notes.append("Equality tests with a power below 60 % are exploratory: add seeds.")
    matched = [
        f"{_points(one.difference.value)} nats at batch {batch_label(one.batch)} with {panel.title}"
        for panel, told in known
        for one in told.matched[-1:]
        if one.difference.value is not None
    ]
    if matched:
        notes.append(
            "At equal train loss, loss held out minus that of the smallest batch: "
            f"{some(matched, 3)}."
        )
    return Verdict(sentence(text), tuple(notes))


def _words(one: GapComparison) -> str:
    value = one.difference.value
    limits = interval_words(one.difference.interval, _points)
    bracket = f"95{NBSP}% interval {limits}" if limits else f"no interval: {one.difference.reason}"
    ends = {
        "equivalent": f"equal within {one.margin:.2g} nats",
        "different": "different",
        "both": f"different, yet within {one.margin:.2g} nats",
        "inconclusive": "neither shown different nor shown equal",
    }
    told = "not known" if value is None else f"{_points(value)} nats ({bracket})"
    return (
        f"the gap at batch {batch_label(one.batch)} minus that of the smallest batch is {told}: "
        f"{ends[one.conclusion]}"
    )


def _points(value: float | None) -> str:
    return "?" if value is None else f"{value:+.3f}"


def _table(told: Sequence[Panel[GapFinding]]) -> Table:
    rows, records = [], []
    for panel in told:
        finding = panel.members[0].found
        for one in finding.comparisons if finding is not None else ():
            power = "–" if one.power is None else f"{100 * one.power:.0f} %"
            rows.append(
                (
                    panel.title, batch_label(one.batch), f"{one.seeds}",
                    answer_cell(one.gap, lambda value: f"{value:.3f}"),
                    answer_cell(one.difference, _points), f"± {one.margin:.3g}", power,
                    one.conclusion + (" (exploratory)" if one.exploratory else ""),
                )
            )  # fmt: skip
            own = one.difference.interval
            records.append(
                {
                    "setting": panel.title, "global_batch": one.batch, "seeds": one.seeds,
                    "gap": one.gap.value, "difference": one.difference.value,
                    "difference_95_low": None if own is None else own.low,
                    "difference_95_high": None if own is None else own.high,
                    "margin": one.margin, "equivalence_p": one.equivalence_p,
                    "power": np.nan if one.power is None else one.power,
                    "conclusion": one.conclusion,
                }
            )  # fmt: skip
    return Table(
        name="gaps",
        caption="Test loss minus train loss at the end of training, at the chosen LR; its "
        "difference from the smallest batch (Welch's 95 % interval); the margin that counts as "
        "equal, and the power of the test of equality.",
        head=("Stratum", "Batch", "Seeds", "Gap, nats", "Difference", "Margin", "Power",
              "Conclusion"),
        numeric=(False, *[True] * 6, False),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )  # fmt: skip
