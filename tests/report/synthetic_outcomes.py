"""Outcome and curve tables that look like a sweep's, made from a stated accuracy surface.

Seeded: the same arguments give the same tables. Every column of the schema is filled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lars_sweep.fit.analysis import FitOptions
from lars_sweep.outcomes.loose import Outcome
from lars_sweep.outcomes.tables import TableName, arrow_schema, to_table
from lars_sweep.report import ReportPaths, build_report
from lars_sweep.report.analyses import analyse_source
from lars_sweep.report.inputs import Source

CHANCE = 10.0
SAMPLES = 50_000
COLUMN_NAMES = arrow_schema("outcomes").names
START = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)


def as_table(name: TableName, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Rows as a table of the schema; columns that nobody here fills are null."""
    names = arrow_schema(name).names
    return to_table(name, [{column: row.get(column) for column in names} for row in rows])


def to_outcome(row: dict[str, Any], curve: Sequence[dict[str, Any]]) -> Outcome:
    """One trial as a worker would publish it."""
    lines = [{name: value for name, value in line.items() if name != "trial_id"} for line in curve]
    return Outcome(row={name: row.get(name) for name in COLUMN_NAMES}, curve=lines, layers=[])


def sweep(
    *,
    seed: int = 1,
    models: Sequence[str] = ("alexnet_bn",),
    optimizers: Sequence[str] = ("lars", "sgd"),
    batches: Sequence[int] = (128, 512, 2048, 8192),
    epochs: Sequence[float] = (15.0,),
    seeds: int = 3,
    lrs: int = 9,
    prune_below: float | None = None,
    fail: float = 0.0,
    lr_shift: float = 0.0,
    split: str = "held_out",
    evaluations: int = 20,
    name: str = "synthetic",
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Outcome rows and curve rows of a grid with a flat top and a divergence cliff.

    Args:
        prune_below: trials whose accuracy would end below this are pruned halfway.
        fail: probability that a trial failed for reasons of infrastructure.
        lr_shift: octaves by which the grid misses the optimum: large values put it at the edge.
    """
    rng = np.random.default_rng(seed)
    outcomes: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    for model in models:
        for optimizer in optimizers:
            for e in epochs:
                for batch in batches:
                    best = _best_lr(optimizer, batch)
                    grid = np.arange(lrs) - (lrs - 1) / 2 + lr_shift
                    for point, octave in enumerate(grid * 0.75):
                        for replicate in range(seeds):
                            row = _outcome(
                                rng, model, optimizer, float(e), batch, best * 2**octave, octave,
                                point, replicate, prune_below, fail, split, name, len(outcomes),
                            )  # fmt: skip
                            outcomes.append(row)
                            if row["status"] != "failed":
                                curves.extend(_curve(rng, row, evaluations))
    return outcomes, curves


def tables(**options: Any) -> tuple[pa.Table, pa.Table]:
    """``sweep`` as the two tables."""
    outcomes, curves = sweep(**options)
    return as_table("outcomes", outcomes), as_table("curves", curves)


def _best_lr(optimizer: str, batch: int) -> float:
    return 12.0 / (1 + 6000 / batch) if optimizer == "lars" else 0.6 / (1 + 3000 / batch)


def _accuracy(
    rng: np.random.Generator, optimizer: str, steps: float, octave: float
) -> tuple[float, bool]:
    plateau = 93.0 - (30.0 if optimizer == "lars" else 45.0) * np.exp(-steps / 55)
    width = 1.1 if optimizer == "lars" else 0.6
    left, right = max(0.0, -octave - width), max(0.0, octave - width)
    accuracy = plateau - 4.5 * left**2 - 7.0 * right**2 + rng.normal(0, 0.22)
    diverged = rng.random() < 1 / (1 + np.exp(-9 * (octave - width - 0.9)))
    return float(np.clip(accuracy, CHANCE, 99.9)), bool(diverged)


def _outcome(
    rng: np.random.Generator, model: str, optimizer: str, epochs: float, batch: int, lr: float,
    octave: float, point: int, replicate: int, prune_below: float | None, fail: float,
    split: str, name: str, index: int,
) -> dict[str, Any]:  # fmt: skip
    stratum = f"{model}-{optimizer}-b{batch}-e{epochs:g}"
    steps = int(np.ceil(epochs * SAMPLES / batch))
    accuracy, diverged = _accuracy(rng, optimizer, steps, octave)
    status = "diverged" if diverged else "ok"
    if status == "ok" and prune_below is not None and accuracy < prune_below:
        status = "pruned"
    if rng.random() < fail:
        status = "failed"
    done = {"ok": steps, "diverged": max(1, steps // 10), "pruned": steps // 2, "failed": 0}[status]
    lars, ok = optimizer == "lars", status == "ok"
    reported = accuracy if ok else CHANCE if status == "diverged" else None
    val = accuracy + float(rng.normal(0.1, 0.12)) if ok and split != "paper" else None
    wall = 40.0 * done / steps + 1.0
    identity = f"{name} {stratum} {lr.hex()} {replicate}"
    return {
        "trial_id": hashlib.sha256(identity.encode()).hexdigest()[:16],
        "sweep": name, "stratum": stratum, "point": point,
        "params": f'{{"base_lr": {lr!r}}}', "status": status,
        "cause": {"diverged": "nonfinite", "failed": "NODE_FAIL"}.get(status),
        "model": model, "dataset": "fashion-mnist", "split": split, "augmentation": "none",
        "optimizer": optimizer, "lars_variant": "paper" if lars else None,
        "granularity": "layer" if lars else None, "zero_norm": "one" if lars else None,
        "momentum_form": "inside", "global_batch": batch, "bn_batch": 128,
        "base_lr": float(lr), "lr_peak": float(lr) * 0.97, "lr_integral": float(lr) * done / 3,
        "lr_excluded": None, "trust_coefficient": 0.001 if lars else None, "momentum": 0.9,
        "nesterov": False, "weight_decay": 0.0005, "exclusions": "none", "schedule": "poly",
        "poly_origin": "global", "power": 2.0, "warmup_epochs": 2.0, "warmup_start": 0.0,
        "epochs": epochs, "steps": steps, "epochs_done": done * batch / SAMPLES,
        "steps_done": done, "images_seen": done * batch, "samples": SAMPLES, "seed": replicate,
        "precision": "fp32", "bn_eval": "recompute", "init": "he", "zero_norm_events": 0,
        "accuracy": reported, "accuracy_val": val, "accuracy_tail": accuracy if ok else None,
        "accuracy_last5": None, "accuracy_top5": min(100.0, accuracy + 5) if ok else None,
        "accuracy_at_stop": {"pruned": accuracy * 0.7, "diverged": CHANCE}.get(status),
        "test_loss": 2.5 - accuracy / 50 if ok else None,
        "train_loss": 2.35 - accuracy / 41 if ok else None,
        "diverged_step": done if status == "diverged" else None, "attempts": 1 + index % 7 // 6,
        "wall_s": wall, "device_s": 2 * wall, "images_per_s": 21_000.0 if done else None,
        "device": "2 × cpu", "versions": "torch 2.13.0+cpu, numpy 2.4.1",
        "git_commit": "0123abc", "spec_hash": hashlib.sha256(name.encode()).hexdigest(),
        "started_at": START + timedelta(seconds=20 * index),
        "finished_at": START + timedelta(seconds=20 * index + wall),
    }  # fmt: skip


def _curve(rng: np.random.Generator, row: dict[str, Any], evaluations: int) -> list[dict[str, Any]]:
    final = row["accuracy"] if row["accuracy"] is not None else row["accuracy_at_stop"]
    rows = []
    for k in range(1, evaluations + 1):
        step = -(-k * row["steps"] // evaluations)
        if step > row["steps_done"]:
            break
        share = k / evaluations
        accuracy = CHANCE + (final - CHANCE) * (1 - np.exp(-5 * share)) + rng.normal(0, 0.4)
        loss = None if row["status"] == "diverged" else 2.35 - accuracy / 41
        paper = row["split"] == "paper"
        held_out = None if loss is None else loss + 0.12 * share + float(rng.normal(0, 0.01))
        last = share > 0.95 or paper
        rows.append(
            {
                "trial_id": row["trial_id"], "step": step,
                "epochs": step * row["global_batch"] / SAMPLES,
                "lr": row["base_lr"] * (1 - share) ** 2, "train_loss": loss,
                "train_accuracy": accuracy + 1, "val_loss": None if paper else held_out,
                "val_accuracy": None if paper else accuracy, "val_top5": None,
                "test_loss": held_out if last else None,
                "test_accuracy": accuracy if last else None, "test_top5": None,
                "gradient_norm": 1.0, "images_per_s": 21_000.0, "data_wait": 0.01,
                "memory_gib": 1.2, "wall_s": 40.0 * share,
            }
        )  # fmt: skip
    return rows


def source(
    outcomes: pa.Table,
    curves: pa.Table | None = None,
    layers: pa.Table | None = None,
    noise: pa.Table | None = None,
    *,
    label: str = "demo",
    provenance: dict[str, object] | None = None,
    fixture: str = "",
) -> Source:
    """Tables as a report reads them from a run."""
    return Source(
        label=label, outcomes=outcomes, curves=curves, layers=layers, noise=noise,
        provenance=provenance or {},        delta=0.5, paired=False, fixture=fixture,
    )  # fmt: skip


def report_of(
    outcomes: pa.Table, curves: pa.Table | None, provenance: dict[str, object], out_dir: Path,
    *, layers: pa.Table | None = None, kinds: Sequence[str] = ("all",),
) -> ReportPaths:  # fmt: skip
    """The report of one run's tables."""
    one = source(outcomes, curves, layers, provenance=provenance)
    return build_report([(one, analyse_source(one, FitOptions()))], out_dir, kinds=kinds)


def layer_rows(outcomes: Sequence[dict[str, Any]], *, points: int = 5) -> list[dict[str, Any]]:
    """Layer rows of the ok trials: three tensors whose ratios differ by a factor of 100."""
    rows = []
    for row in outcomes:
        if row["status"] != "ok":
            continue
        for k in range(1, points + 1):
            for order, layer in enumerate(("conv1.weight", "conv2.weight", "fc.weight")):
                ratio = 0.4 * 10.0**order * (1 + 0.2 * k) * (1 + 0.01 * row["seed"])
                local = 0.001 * ratio if row["optimizer"] == "lars" else None
                rows.append(
                    {
                        "trial_id": row["trial_id"], "step": k * row["steps"] // points,
                        "layer": layer, "weight_norm": 2.0, "gradient_norm": 2.0 / ratio,
                        "local_lr": local, "effective_lr": row["base_lr"] * (local or 1.0),
                        "update_ratio": 1e-3,
                    }
                )  # fmt: skip
    return rows
