"""Accuracy against LR per batch, and the good LRs on the strip below (the paper's Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lars_sweep.fit.analysis import Key
from lars_sweep.fit.analysis.learning_rates import LrFinding
from lars_sweep.fit.answers import Interval
from lars_sweep.fit.distributions import student_quantile
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.report import canvas
from lars_sweep.report.canvas import MUTED, RED, Canvas
from lars_sweep.report.evidence import Evidence, Panel
from lars_sweep.report.fitmarks import (
    Handle,
    draw_cells,
    draw_dots,
    draw_good_lrs,
    draw_level,
    draw_lost,
    good_lr_handles,
)
from lars_sweep.report.grid import lines_of, panel_grid
from lars_sweep.report.labels import batch_label, chosen_on
from lars_sweep.report.marks import batch_legend, handle, seed_handle
from lars_sweep.report.observations import rows_of

FLOOR_BELOW_PLATEAU = 15.0
"""Points: a row of panels ends this far below its lowest plateau; what lies lower is marked on the
lower edge, so that runs near chance do not squash the differences that matter."""

CURVE_POINTS = 41

Row = dict[str, Any]


def lr_frame(evidence: Evidence, panels: Sequence[Panel[LrFinding]]) -> pd.DataFrame:
    """One row per mark: seeds, means, plateaus, intervals and diverged LRs, told by ``what``."""
    rows: list[Row] = []
    for panel in panels:
        for entry in panel.members:
            about = {
                "panel": panel.number, "row": panel.row, "title": panel.title,
                "global_batch": entry.key.global_batch, "epochs": entry.key.epochs,
            }  # fmt: skip
            rows += [about | mark for mark in _seeds(evidence, panel.run, entry.key)]
            if entry.found is not None:
                rows += [about | mark for mark in _found(entry.found)]
    columns = ["panel", "row", "title", "global_batch", "epochs", "what", "lr", "accuracy", "low",
               "high", "seeds", "diverged", "verdict"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _seeds(evidence: Evidence, run: str, key: Key) -> Iterator[Row]:
    trials = evidence.trials(run, key)
    values = trials["choice_accuracy"].where(
        trials["status"] != "pruned", trials["accuracy_at_stop"]
    )
    for status, lr, accuracy in zip(trials["status"], trials["base_lr"], values, strict=True):
        if status in ("ok", "pruned") and not math.isnan(accuracy):
            what = "seed" if status == "ok" else "pruned"
            yield {"what": what, "lr": lr, "accuracy": accuracy}


def _found(finding: LrFinding) -> Iterator[Row]:
    interval = finding.interval
    nu = math.inf if interval.sigma_nu is None else interval.sigma_nu
    quantile = student_quantile(0.975, nu)
    for one in interval.verdicts:
        counts = {"seeds": one.ok, "diverged": one.diverged.diverged, "verdict": one.verdict}
        if one.accuracy is not None:
            half = math.nan
            if interval.sigma is not None:
                half = quantile * interval.sigma / math.sqrt(one.ok)
            yield {
                "what": "mean", "lr": one.lr, "accuracy": one.accuracy,
                "low": one.accuracy - half, "high": one.accuracy + half, **counts,
            }  # fmt: skip
        if one.diverged.diverged:
            yield {"what": "diverged", "lr": one.lr, **counts}
    yield from _curve(interval)
    plateau = interval.plateau
    if plateau.value is not None:
        limits = plateau.interval or Interval(low=math.nan, high=math.nan)
        yield {"what": "plateau", "accuracy": plateau.value, "low": limits.low, "high": limits.high}
    for what, edge in (("lower edge", interval.low), ("upper edge", interval.high)):
        if edge.value is not None:
            own = edge.interval or Interval(low=None, high=None)
            yield {"what": what, "lr": edge.value, "low": own.low, "high": own.high}
    if interval.low.interval is not None or interval.high.interval is not None:
        yield {"what": "not excluded", "low": interval.outer.low, "high": interval.outer.high}
    if interval.inner is not None:
        yield {"what": "surely good", "low": interval.inner.low, "high": interval.inner.high}


def _curve(interval: LrInterval) -> Iterator[Row]:
    """The fitted flat top over the LRs at which a seed finished."""
    lrs = [one.lr for one in interval.verdicts if one.ok]
    if interval.curve is None:
        return
    knots = [lr for lr in (interval.curve.low, interval.curve.high) if lrs[0] < lr < lrs[-1]]
    at = np.unique([*np.geomspace(lrs[0], lrs[-1], CURVE_POINTS), *knots])
    for lr, accuracy in zip(at, interval.curve.at(at), strict=True):
        yield {"what": "fit", "lr": lr, "accuracy": accuracy}


def draw_lr(evidence: Evidence, panels: Sequence[Panel[LrFinding]], frame: pd.DataFrame) -> Canvas:
    """Means over LR in the colour of the batch; bars and crosses on the strip below."""
    batches = evidence.observations.batches
    limits = _limits(frame)
    # Of the panels side by side, not of all: another run's batches say nothing here.
    on_strip = lines_of(frame, "row", "global_batch")
    room = max(map(len, on_strip.values()), default=0)
    grid = panel_grid(
        evidence,
        panels,
        legend=_legend(evidence, frame, limits),
        strip_rows=room,
    )
    for panel in panels:
        slot, mine = grid.slots[panel.number], frame[frame["panel"] == panel.number]
        assert slot.strip is not None
        bottom, top = limits[panel.row]
        tested = _tested(mine)
        canvas.lr_axis(slot.main, *tested, ticks=False)
        canvas.lr_axis(slot.strip, *tested)
        slot.main.set_ylim(bottom, top)
        slot.main.set_ylabel(f"top-1 {chosen_on(evidence.observations)} (%)")
        slot.strip.set_xlabel(_axis_label(panel))
        deltas = [entry.found.interval.delta for entry in panel.members if entry.found]
        _draw_panel(slot.main, mine, batches, bottom, deltas[0] if deltas else 0.0)
        _draw_strip(slot.strip, mine, on_strip[panel.row], room, batches)
    return grid


def _axis_label(panel: Panel[LrFinding]) -> str:
    """The LR's name, with what turns it into γη where one trust coefficient does."""
    factors = {
        f"{told.gamma_eta.verdicts[0].lr / told.interval.verdicts[0].lr:.4g}"
        for entry in panel.members
        if (told := entry.found) and isinstance(told.gamma_eta, LrInterval)
    }
    known = f"; γη = {factors.pop()} γ" if len(factors) == 1 else ""
    return f"base LR γ (nominal{known})"


def _limits(frame: pd.DataFrame) -> dict[int, tuple[float, float]]:
    """Limits of y per row of panels."""
    found = {}
    for row, mine in frame.groupby("row"):
        drawn = mine[mine["what"].isin(["seed", "mean"])]["accuracy"]
        low, high = (0.0, 100.0) if drawn.empty else (float(drawn.min()), float(drawn.max()))
        plateaus = mine[mine["what"] == "plateau"]["accuracy"]
        least = plateaus.min() if len(plateaus) else high
        low = max(low, least - FLOOR_BELOW_PLATEAU)
        found[int(str(row))] = canvas.accuracy_limits(low, high)
    return found


def _tested(mine: pd.DataFrame) -> tuple[float, float]:
    lrs = mine[mine["what"].isin(["seed", "mean", "pruned", "diverged"])]["lr"].dropna()
    return (float(lrs.min()), float(lrs.max())) if len(lrs) else (0.1, 1.0)


def _draw_panel(
    axes: Axes, mine: pd.DataFrame, batches: Sequence[int], bottom: float, delta: float
) -> None:
    colors, markers = canvas.batch_colors(batches), canvas.batch_markers(batches)
    what = mine["what"]
    if not (what == "mean").any():
        axes.text(0.5, 0.5, "no trial ended ok", transform=axes.transAxes, ha="center", color=MUTED)
    for batch, rows in mine.groupby("global_batch"):
        color = colors[int(str(batch))]
        seeds, means, lost = (rows[rows["what"] == name] for name in ("seed", "mean", "pruned"))
        several = seeds[seeds.duplicated("lr", keep=False)]
        draw_dots(axes, *_xy(several[several["accuracy"] >= bottom]), color)
        if not (rows["what"] == "fit").any():
            axes.plot(*_xy(means), color=color, linewidth=0.8, alpha=0.45, zorder=1.8)
        inside = means[means["accuracy"] >= bottom]
        bars = inside["low"].to_numpy(float), inside["high"].to_numpy(float)
        draw_cells(axes, *_xy(inside), bars, color=color, marker=markers[int(str(batch))])
        below = means[means["accuracy"] < bottom]["lr"]
        if len(below):
            axes.scatter(below, [bottom] * len(below), s=22, marker=7, color=color, clip_on=False,
                         zorder=4)  # fmt: skip
        if len(lost):
            axes.scatter(
                lost["lr"], lost["accuracy"].clip(lower=bottom), s=18, marker="D", zorder=2,
                facecolors="none", edgecolors=color, linewidths=0.9, clip_on=False,
            )  # fmt: skip
        _draw_top(axes, rows, color, delta)
    _draw_baseline(axes, mine)


def _draw_top(axes: Axes, rows: pd.DataFrame, color: str, delta: float) -> None:
    """The flat top, thick where it loses at most ``delta``, and the interval of its height."""
    curve, plateau = (rows[rows["what"] == name] for name in ("fit", "plateau"))
    if curve.empty or plateau.empty:
        return
    x, y = _xy(curve)
    ends = [rows[rows["what"] == name]["lr"] for name in ("lower edge", "upper edge")]
    low = float(ends[0].iloc[0]) if len(ends[0]) else x[0]
    high = float(ends[1].iloc[0]) if len(ends[1]) else x[-1]
    axes.plot(x, y, color=color, linewidth=1.1, alpha=0.9, zorder=2.4)
    # The edges are averaged over both families, whose one this is may have left its top before.
    good = np.where(y >= y.max() - delta, y, np.nan)
    axes.plot(x, good, color=color, linewidth=2.6, zorder=2.5, solid_capstyle="butt")
    axes.fill_between(
        [low, high], float(plateau["low"].iloc[0]), float(plateau["high"].iloc[0]), color=color,
        alpha=0.18, linewidth=0, zorder=1,
    )  # fmt: skip


def _draw_baseline(axes: Axes, mine: pd.DataFrame) -> None:
    plateaus = mine[mine["what"] == "plateau"].sort_values("global_batch")
    if mine["global_batch"].nunique() < 2 or plateaus.empty:
        return
    first = plateaus.iloc[0]
    if first["global_batch"] != mine["global_batch"].min():
        return
    own = Interval(low=float(first["low"]), high=float(first["high"]))
    draw_level(axes, float(first["accuracy"]), own, f"batch {batch_label(first['global_batch'])}")


def _draw_strip(
    axes: Axes, mine: pd.DataFrame, lines: Sequence[int], room: int, batches: Sequence[int]
) -> None:
    """A line per batch: its good LRs as bars, the diverged ones as crosses, k/r where some did."""
    colors = canvas.batch_colors(batches)
    canvas.strip_axis(axes, [batch_label(batch) for batch in lines], room)
    for line, batch in enumerate(lines):
        rows = mine[mine["global_batch"] == batch]
        axes.axhline(line, color=colors[batch], linewidth=0.6, alpha=0.35, zorder=1)
        outer = rows[rows["what"] == "not excluded"]
        if len(outer):
            inner = rows[rows["what"] == "surely good"]
            draw_good_lrs(
                axes, _interval(inner) if len(inner) else None, _interval(outer), line,
                colors[batch],
            )  # fmt: skip
        lost = rows[rows["what"] == "diverged"]
        labels = [
            "" if not row.seeds else f"{row.diverged:.0f}/{row.diverged + row.seeds:.0f}"
            for row in rows_of(lost)
        ]
        draw_lost(axes, [float(lr) for lr in lost["lr"]], line, labels)


def _interval(rows: pd.DataFrame) -> Interval:
    low, high = (float(rows[name].iloc[0]) for name in ("low", "high"))
    return Interval(low=None if math.isnan(low) else low, high=None if math.isnan(high) else high)


def _xy(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return rows["lr"].to_numpy(float), rows["accuracy"].to_numpy(float)


def _legend(
    evidence: Evidence, frame: pd.DataFrame, limits: dict[int, tuple[float, float]]
) -> list[Handle]:
    batches = evidence.observations.batches
    shown = sorted(int(b) for b in frame["global_batch"].unique())
    handles: list[Handle] = [*batch_legend(shown, batches)]
    kinds = set(frame["what"])
    if frame[frame["what"] == "seed"].duplicated(["panel", "global_batch", "lr"]).any():
        handles.append(seed_handle())
    if "not excluded" in kinds:
        handles += good_lr_handles(inner="surely good" in kinds)
    if "diverged" in kinds:
        some = (frame[frame["what"] == "diverged"]["seeds"] > 0).any()
        told = "diverged, thin: k of r" if some else "diverged"
        handles.append(handle(told, marker="x", color=RED, markersize=5))
    if "pruned" in kinds:
        handles.append(handle("pruned at", marker="D", color=MUTED, markersize=4.5, hollow=True))
    floor = frame["row"].map({row: low for row, (low, _) in limits.items()})
    if ((frame["what"] == "mean") & (frame["accuracy"] < floor)).any():
        handles.append(handle("lower still", marker=7, color=MUTED, markersize=6))
    return handles
