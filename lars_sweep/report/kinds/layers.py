"""Norms of the layers, and the learning rate at which the first of them limits SGD."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lars_sweep.fit.analysis.norms import LayersFinding
from lars_sweep.nouns import count
from lars_sweep.report.evidence import Evidence, Panel, panels
from lars_sweep.report.kinds.layers_figure import draw_edges, draw_paths
from lars_sweep.report.labels import batch_label, lr_label
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_words, sentence

MOST_PATHS = 6
"""Panels of ratios over time: the smallest and largest batch of the first groups."""


def layers_section(evidence: Evidence) -> Section:
    """‖w‖/‖∇L‖ per layer (the paper's Table 2), over time, and the edge that it predicts."""
    found: list[Panel[LayersFinding]] = panels(evidence.found("layers"), by_epochs=True)
    known = [panel for panel in found if any(entry.found for entry in panel.members)]
    paths = _paths_frame(known)
    edges = _edges_frame(known)
    drawings = []
    if len(paths):
        drawings.append(
            Drawing(
                name="layer-ratios",
                alt="Norm of the weights over norm of their gradient against optimizer steps, one "
                "line per parameter tensor.",
                caption="One line per parameter tensor, geometric mean over the seeds of the "
                "chosen LR; dark to light from the first to the last tensor. The tensor of the "
                "smallest ratio at the first measurement is named: it limits SGD first. Dashed, "
                "where it was measured: the LR at which half of the seeds diverge, 95 % interval "
                "shaded.",
                draw=lambda: draw_paths(evidence, paths, edges),
                frame=paths.drop(columns="panel"),
            )
        )
    if edges["measured"].notna().any():
        drawings.append(
            Drawing(
                name="divergence-edge",
                alt="Learning rate at which SGD should diverge by its layer norms, and at which "
                "half of the seeds did, against global batch.",
                caption="Hollow: the smallest ratio ‖w‖/‖∇L‖ over the tensors, a bound by order of "
                "magnitude that is about SGD's update. Filled: the LR at which half of the seeds "
                "diverged, with its 95 % interval.",
                draw=lambda: draw_edges(evidence, edges),
                frame=edges.drop(columns="panel"),
            )
        )
    return Section(
        kind="layers",
        title="Layers",
        verdict=_verdict(found),
        drawings=tuple(drawings),
        tables=(_table(known),) if known else (),
    )


def _paths_frame(known: Sequence[Panel[LayersFinding]]) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    number = 0
    for panel in known:
        members = [entry for entry in panel.members if entry.found is not None]
        for entry in members if len(members) < 3 else [members[0], members[-1]]:
            if entry.found is None or number >= MOST_PATHS:
                continue
            title = f"{panel.title}, batch {batch_label(entry.key.global_batch or 0)}"
            for order, path in enumerate(entry.found.paths):
                parts.append(
                    pd.DataFrame(
                        {
                            "panel": number, "of": panel.number,
                            "title": title,
                            "global_batch": entry.key.global_batch, "layer": path.layer,
                            "order": order, "step": path.step, "ratio": path.ratio,
                            "update_ratio": path.update_ratio,
                        }
                    )
                )  # fmt: skip
            number += 1
    names = ["panel", "of", "title", "global_batch", "layer", "order", "step", "ratio",
             "update_ratio"]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def _edges_frame(known: Sequence[Panel[LayersFinding]]) -> pd.DataFrame:
    rows = []
    for panel in known:
        for entry in panel.members:
            if entry.found is None or panel.optimizer not in ("sgd", ""):
                continue  # the edge is one of SGD's update
            measured = entry.found.measured
            own = measured.interval
            rows.append(
                {
                    "panel": panel.number, "title": panel.title, "optimizer": panel.optimizer,
                    "global_batch": entry.key.global_batch,
                    "predicted": entry.found.predicted.value, "measured": measured.value,
                    "low": None if own is None else own.low,
                    "high": None if own is None else own.high,
                }
            )  # fmt: skip
    names = ["panel", "title", "optimizer", "global_batch", "predicted", "measured", "low", "high"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.astype(dict.fromkeys(names[4:], np.float64))


# ── the words


def _verdict(found: Sequence[Panel[LayersFinding]]) -> Verdict:
    known = [
        (panel, entry.key.global_batch, entry.found)
        for panel in found
        for entry in panel.members
        if entry.found is not None
    ]
    if not known:
        reasons = [getattr(e.result, "reason", "") for p in found for e in p.members]
        why = reasons[0] if reasons else "no trial has finished"
        return Verdict(sentence(f"The data cannot say which layer limits the LR: {why}"))
    spans = []
    for _, _, told in known:
        ratios = [ratio.ratio for ratio in told.ratios]
        spans.append(max(ratios) / min(ratios))
    panel, batch, told = known[0]
    tightest = min(told.ratios, key=lambda ratio: ratio.ratio)
    where = f"with {panel.title} at batch {batch_label(batch or 0)}"
    text = (
        f"{where} ‖w‖/‖∇L‖ differs by a factor of {lr_label(spans[0])} between layers, least in "
        f"{tightest.layer}, which bounds SGD's LR near {lr_label(tightest.ratio)}, an order of "
        "magnitude without interval"
    )
    agree = [
        f"{answer_words(one.agreement, lr_label)} at batch {batch_label(size or 0)} with {p.title}"
        for p, size, one in known
        if one.agreement.value is not None
    ]
    notes = []
    if agree:
        notes.append(f"Measured divergence LR over the predicted edge: {'; '.join(agree[:4])}.")
    if len(spans) > 1:
        notes.append(
            f"Over {count(len(spans), 'setting')} the layers' ratios span factors of "
            f"{lr_label(min(spans))} to {lr_label(max(spans))}."
        )
    return Verdict(sentence(text), tuple(notes))


def _table(known: Sequence[Panel[LayersFinding]]) -> Table:
    """Table 2 of the first setting; all settings in the file."""
    rows: list[tuple[str, ...]] = []
    records = []
    for panel in known:
        for entry in panel.members:
            if entry.found is None:
                continue
            for ratio in entry.found.ratios:
                if not rows or rows[0][:2] == (
                    panel.title,
                    batch_label(entry.key.global_batch or 0),
                ):
                    rows.append(
                        (
                            panel.title, batch_label(entry.key.global_batch or 0), ratio.layer,
                            lr_label(ratio.weight_norm), f"{ratio.gradient_norm:.3g}",
                            lr_label(ratio.ratio),
                        )
                    )  # fmt: skip
                records.append(
                    {
                        "setting": panel.title, "global_batch": entry.key.global_batch,
                        "epochs": entry.key.epochs, "step": entry.found.step, "layer": ratio.layer,
                        "weight_norm": ratio.weight_norm, "gradient_norm": ratio.gradient_norm,
                        "ratio": ratio.ratio, "trials": ratio.trials,
                        "predicted_edge": entry.found.predicted.value,
                        "measured_edge": entry.found.measured.value,
                    }
                )  # fmt: skip
    return Table(
        name="layer-norms",
        caption="Norms at the first measurement, geometric means over the seeds of the chosen LR, "
        "in the layout of the paper's Table 2; the first setting here, all of them in the file.",
        head=("Stratum", "Batch", "Tensor", "‖w‖", "‖∇L‖", "‖w‖/‖∇L‖"),
        numeric=(False, True, False, True, True, True),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )
