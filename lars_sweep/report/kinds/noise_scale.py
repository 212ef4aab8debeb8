"""The gradient noise scale beside the critical batch: a sentence and a table, where measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from lars_sweep.fit.analysis.noise import NoiseAt, NoiseFinding
from lars_sweep.fit.answers import Kind
from lars_sweep.nouns import count
from lars_sweep.report.evidence import Evidence, Panel, panels
from lars_sweep.report.labels import batch_label
from lars_sweep.report.tables import Table
from lars_sweep.report.wording import answer_cell, answer_words

Points = list[tuple[Panel[NoiseFinding], int, float, NoiseAt]]
"""Setting, batch, epochs and what was measured there."""


def noise_points(evidence: Evidence) -> Points:
    """Every checkpoint that was measured, in the order of the page."""
    found: list[Panel[NoiseFinding]] = panels(evidence.found("noise_scale"), by_epochs=False)
    return [
        (panel, entry.key.global_batch or 0, entry.key.epochs or 0.0, at)
        for panel in found
        for entry in panel.members
        if entry.found is not None
        for at in entry.found.points
    ]


def noise_notes(points: Points) -> Iterator[str]:
    """One sentence: the least and the greatest of finite interval, and how many have none."""
    if not points:
        return
    known = [one for one in points if one[3].scale.kind is Kind.BOUNDED]
    if not known:
        yield (
            f"The gradient noise scale is not bounded by its measurements at "
            f"{count(len(points), 'checkpoint')}: {points[0][3].scale.reason}; more of them at "
            "each would help."
        )
        return
    ends = sorted(known, key=lambda one: one[3].scale.value or 0.0)
    least, greatest = _words(ends[0], points), _words(ends[-1], points)
    text = "The gradient noise scale, near which McCandlish et al. expect the critical batch, "
    text += f"is {least}" if len(known) == 1 else f"lies between {least} and {greatest}"
    if len(known) < len(points):
        left = f"{len(points) - len(known)} of {count(len(points), 'checkpoint')}"
        text += f" where its interval is finite, which it is not at {left}"
    yield f"{text}."


def _words(one: tuple[Panel[NoiseFinding], int, float, NoiseAt], points: Points) -> str:
    panel, batch, _, at = one
    where = f"with {panel.title} " if len({p.number for p, *_ in points}) > 1 else ""
    return (
        f"{answer_words(at.scale, _samples)} {where}at batch {batch_label(batch)}, step {at.step:,}"
    )


def noise_tables(points: Points) -> tuple[Table, ...]:
    """Every checkpoint with its interval; none where nothing was measured."""
    if not points:
        return ()
    return (
        Table(
            name="noise-scale",
            caption="Gradient noise scale tr(Σ)/|G|² of the chosen LR's runs at weights that stand "
            "still, in samples, with Fieller's 95 % interval of the measurement at these weights; "
            "what other seeds' weights would say is not in it.",
            head=("Stratum", "Batch", "Epochs", "Step", "Runs", "Noise scale"),
            numeric=(False, *[True] * 5),
            rows=tuple(
                (
                    panel.title, batch_label(batch), f"{epochs:g}", f"{at.step:,}", str(at.runs),
                    answer_cell(at.scale, _samples),
                )
                for panel, batch, epochs, at in points
            ),
            frame=_frame(points),
        ),
    )  # fmt: skip


def _frame(points: Sequence[tuple[Panel[NoiseFinding], int, float, NoiseAt]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "setting": panel.title, "global_batch": batch, "epochs": epochs, "step": at.step,
                "runs": at.runs, "measurements": at.measurements, "noise_scale": at.scale.value,
                "low": at.scale.interval.low if at.scale.interval else None,
                "high": at.scale.interval.high if at.scale.interval else None,
                "answer": at.scale.kind.value,
            }
            for panel, batch, epochs, at in points
        ]
    )  # fmt: skip


def _samples(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
