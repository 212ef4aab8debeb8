"""The report: how long it takes, and how much memory, on outcomes of a large sweep.

    python analysis/benchmarks/report_speed.py [--quick] [--out FILE]

Outcomes are generated: a flat top with a divergence cliff over learning rates, two networks, LARS
and SGD, five batches, two numbers of epochs (40 strata), seeds with noise. `report` is a fresh
process, its start included, from the tables on disk to all files written: it analyses and draws
everything, and its memory is the sum of the peaks of all its processes, pages that they share
counted once for each. Of five such processes, one after the other, the median counts and all are
told: a machine that others use is a fifth slower now and then. `tables` are the plain tables alone.
`interval` is one LR interval with 1,000 bootstraps of its rows' seeds: the replicates are fitted at
once, which is what `find_edges` is made for; `interval_profile` is the interval that reports print,
from profiles.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import arguments, at_most, finish, machine

from lars_sweep.outcomes.tables import arrow_schema
from lars_sweep.report.workers import Workers

MODELS, OPTIMIZERS, EPOCHS = ("alexnet", "alexnet_bn"), ("lars", "sgd"), (15.0, 30.0)
BATCHES, SEEDS, SAMPLES = (256, 512, 1024, 2048, 4096), 5, 50_000
STRATA = len(MODELS) * len(OPTIMIZERS) * len(EPOCHS) * len(BATCHES)
LAYERS, LAYER_POINTS = 16, 5
BOOTSTRAPS = 1000
LIMITS = {
    "report_s": 15,
    "report_mib": 1024,
    "tables_5000_s": 10,
    "interval_1000_bootstraps_s": 0.5,
}


# ── generated tables


def outcomes(trials: int) -> pa.Table:
    """Outcome rows of a grid with as many LRs per stratum as it takes, at least ``trials`` long."""
    rng = np.random.default_rng(1)
    lrs = max(3, math.ceil(trials / STRATA / SEEDS))
    rows: list[dict[str, Any]] = []
    for model in MODELS:
        for optimizer in OPTIMIZERS:
            for epochs in EPOCHS:
                for batch in BATCHES:
                    rows += stratum(rng, model, optimizer, epochs, batch, lrs)
    return as_table("outcomes", rows[:trials])


def stratum(
    rng: np.random.Generator, model: str, optimizer: str, epochs: float, batch: int, lrs: int
) -> list[dict[str, Any]]:
    steps = math.ceil(epochs * SAMPLES / batch)
    best = 12.0 / (1 + 6000 / batch) * (1.0 if optimizer == "lars" else 0.05)
    plateau = 93.0 - 30.0 * math.exp(-steps / 55)
    name = f"{model}-{optimizer}-{batch}-{epochs:g}"
    rows = []
    for point, octave in enumerate(np.linspace(-3.0, 3.0, lrs)):
        for seed in range(SEEDS):
            drop = 4.5 * max(0.0, -octave - 1.1) ** 2 + 7.0 * max(0.0, octave - 1.1) ** 2
            accuracy = float(plateau - drop + rng.normal(0, 0.22))
            diverged = bool(rng.random() < 1 / (1 + math.exp(-9 * (octave - 2.0))))
            lr = float(best * 2.0**octave)
            rows.append(row(name, model, optimizer, epochs, batch, steps, lr, point, seed,
                            None if diverged else accuracy))  # fmt: skip
    return rows


def row(
    name: str, model: str, optimizer: str, epochs: float, batch: int, steps: int, lr: float,
    point: int, seed: int, accuracy: float | None,
) -> dict[str, Any]:  # fmt: skip
    lars = optimizer == "lars"
    loss = None if accuracy is None else 2.35 - accuracy / 41
    return {
        "trial_id": f"{hash_of(name, lr, seed):016x}", "sweep": "benchmark", "stratum": name,
        "point": point, "params": json.dumps({"base_lr": lr}),
        "status": "diverged" if accuracy is None else "ok", "model": model, "dataset": "generated",
        "split": "held_out", "augmentation": "none", "optimizer": optimizer,
        "lars_variant": "paper" if lars else None, "granularity": "layer" if lars else None,
        "zero_norm": "one" if lars else None, "momentum_form": "inside", "global_batch": batch,
        "bn_batch": 128, "base_lr": lr, "lr_peak": 0.97 * lr, "lr_integral": lr * steps / 3,
        "trust_coefficient": 0.001 if lars else None, "momentum": 0.9, "nesterov": False,
        "weight_decay": 5e-4, "exclusions": "none", "schedule": "poly", "poly_origin": "global",
        "power": 2.0, "warmup_epochs": 2.0, "warmup_start": 0.0, "epochs": epochs, "steps": steps,
        "epochs_done": epochs, "steps_done": steps, "images_seen": steps * batch,
        "samples": SAMPLES, "seed": seed, "precision": "fp32", "bn_eval": "recompute",
        "init": "he", "zero_norm_events": 0, "accuracy": 10.0 if accuracy is None else accuracy,
        "accuracy_val": accuracy, "accuracy_tail": accuracy,
        "train_loss": loss, "test_loss": None if loss is None else loss + 0.1, "attempts": 1,
        "wall_s": 40.0, "device_s": 40.0, "images_per_s": 21_000.0, "device": "generated",
        "versions": "none", "spec_hash": "0" * 64,
    }  # fmt: skip


def hash_of(*parts: object) -> int:
    """A 64-bit number that names a trial; the same in every process."""
    import hashlib

    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def as_table(name: Any, rows: list[dict[str, Any]]) -> pa.Table:
    schema = arrow_schema(name)
    columns = [pa.array([one.get(field.name) for one in rows], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=pa.schema([f.with_nullable(True) for f in schema]))


def curves(trials: pa.Table, evaluations: int) -> pa.Table:
    """``evaluations`` rows per trial, without a Python loop over them."""
    rng = np.random.default_rng(2)
    n = trials.num_rows
    share = np.tile(np.arange(1, evaluations + 1) / evaluations, n)
    final = np.repeat(trials["accuracy"].to_numpy(), evaluations)
    steps = np.repeat(trials["steps"].to_numpy(), evaluations)
    planned = np.repeat(trials["epochs"].to_numpy(), evaluations)
    accuracy = 10 + (final - 10) * (1 - np.exp(-5 * share)) + rng.normal(0, 0.4, len(share))
    loss = 2.35 - accuracy / 41
    made = {
        "trial_id": pa.array(np.repeat(trials["trial_id"].to_numpy(zero_copy_only=False),
                                       evaluations)),
        "step": np.ceil(share * steps).astype(np.int64), "epochs": share * planned,
        "train_loss": loss, "train_accuracy": accuracy + 1, "val_loss": loss + 0.1 * share,
        "val_accuracy": accuracy, "test_loss": np.where(share > 0.95, loss + 0.1, np.nan),
    }  # fmt: skip
    schema = arrow_schema("curves")
    columns = [
        pa.array(made[field.name], field.type, from_pandas=True)
        if field.name in made
        else pa.nulls(len(share), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema([f.with_nullable(True) for f in schema]))


def layers(trials: pa.Table) -> pa.Table:
    """A few evaluation points of every trial, sixteen tensors each."""
    n, size = trials.num_rows, LAYERS * LAYER_POINTS
    order = np.tile(np.repeat(np.arange(LAYERS), LAYER_POINTS), n)
    point = np.tile(np.arange(1, LAYER_POINTS + 1), n * LAYERS)
    ratio = 5.0 * 1.5**order * (1 + 0.1 * point)
    steps = np.repeat(trials["steps"].to_numpy(), size)
    made = {
        "trial_id": pa.array(np.repeat(trials["trial_id"].to_numpy(zero_copy_only=False), size)),
        "step": point * steps // LAYER_POINTS,
        "layer": pa.array([f"conv{k}.weight" for k in range(LAYERS)]).take(pa.array(order)),
        "weight_norm": np.full(len(order), 2.0), "gradient_norm": 2.0 / ratio,
        "effective_lr": np.repeat(trials["base_lr"].to_numpy(), size) * 0.001 * ratio,
        "update_ratio": np.full(len(order), 1e-3),
    }  # fmt: skip
    schema = arrow_schema("layers")
    columns = [
        pa.array(made[f.name], f.type) if f.name in made else pa.nulls(len(order), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


# ── measurements


def be_report(directory: Path) -> None:
    """The measured process: from tables on disk to every file of the report."""
    with Workers() as workers:
        # Before the imports, as the command does.
        workers.expect([directory / "outcomes.parquet"])
        report_of(directory, workers)


def report_of(directory: Path, workers: Workers) -> None:
    from lars_sweep.fit.analysis import FitOptions
    from lars_sweep.report import build_report
    from lars_sweep.report.analyses import analyse_source
    from lars_sweep.report.inputs import LAYER_COLUMNS, READ_COLUMNS, Source

    begin = time.perf_counter()
    columns = {"curves": list(READ_COLUMNS), "layers": ["trial_id", *LAYER_COLUMNS]}
    read = {
        name: pq.read_table(directory / f"{name}.parquet", columns=columns.get(name))
        for name in NAMES
    }
    source = Source(
        label="benchmark", outcomes=read["outcomes"], curves=read["curves"],
        layers=read["layers"], provenance={}, delta=0.5, paired=False, fixture="",
    )  # fmt: skip
    loaded = time.perf_counter()
    analysis = analyse_source(source, FitOptions(), workers.mapper(source.outcomes.num_rows))
    analysed = time.perf_counter()
    paths = build_report([(source, analysis)], directory / "report", workers=workers)
    drawn = time.perf_counter()
    processes = memory_of([os.getpid(), *workers.pids])
    print(
        json.dumps(
            {
                "load_s": round(loaded - begin, 2),
                "analyse_s": round(analysed - loaded, 2),
                "draw_s": round(drawn - analysed, 2),
                "figures": len(paths.figures),
                "html_mib": round(paths.html.stat().st_size / 2**20, 1),
                "report_mib": round(sum(processes), 1),
                "processes_mib": processes,
            }
        )
    )


def memory_of(pids: list[int]) -> list[float]:
    """Peak resident MiB of each process; their sum counts shared pages once per process."""
    lines = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    return [round(int(text.split("VmHWM:")[1].split()[0]) / 1024, 1) for text in lines]


NAMES = ("outcomes", "curves", "layers")


def measure_report(directory: Path, trials: int, evaluations: int, rounds: int) -> dict[str, Any]:
    table = outcomes(trials)
    tables = {"outcomes": table, "curves": curves(table, evaluations), "layers": layers(table)}
    for name, content in tables.items():
        pq.write_table(content, directory / f"{name}.parquet")
    command = [sys.executable, __file__, "--report", str(directory)]
    told: list[dict[str, Any]] = []
    for _ in range(rounds):
        begin = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        told.append({"report_s": round(time.perf_counter() - begin, 2), **json.loads(done.stdout)})
    told.sort(key=lambda one: one["report_s"])
    return {
        "trials": table.num_rows, "curve_rows": tables["curves"].num_rows,
        "layer_rows": tables["layers"].num_rows, "strata": STRATA,
        "all_s": [one["report_s"] for one in told], **told[len(told) // 2],
    }  # fmt: skip


def measure_tables(trials: int) -> float:
    """Seconds from outcome and curve tables to the plain tables of a report."""
    from lars_sweep.report.observations import observe
    from lars_sweep.report.tables import chosen_table, endings_table, points_frame

    table = outcomes(trials)
    lines = curves(table, 20)
    begin = time.perf_counter()
    observations = observe(table, lines)
    for make in (endings_table, chosen_table, points_frame):
        make(observations)
    return round(time.perf_counter() - begin, 3)


def measure_interval(rounds: int) -> dict[str, float]:
    """Seconds of one LR interval at 9 LRs × 3 seeds: profiles, and 1,000 bootstraps."""
    from lars_sweep.fit.analysis.groups import split
    from lars_sweep.fit.edges import Design, find_edges
    from lars_sweep.fit.lr_interval import lr_interval
    from lars_sweep.report.inputs import to_rows

    rng = np.random.default_rng(3)
    made = stratum(rng, "alexnet", "lars", 15.0, 512, 9)
    rows = split(to_rows(as_table("outcomes", [one for one in made if one["seed"] < 3])))[0].rows
    x = np.linspace(-3.0, 3.0, 9)
    drop = 4.5 * np.maximum(0.0, -x - 1.1) ** 2 + 7.0 * np.maximum(0.0, x - 1.1) ** 2
    samples = 93.0 - drop[:, None] + rng.normal(0, 0.22, (BOOTSTRAPS, 9, 3))
    design = Design(x=x, samples=samples, diverged=np.zeros((BOOTSTRAPS, 9)))

    def once() -> object:
        return lr_interval(rows, 0.5, batch=512, epochs=15.0, metric="accuracy_val")

    return {
        "interval_profile_s": median_of(once, rounds),
        "interval_1000_bootstraps_s": median_of(
            lambda: find_edges(design, 0.5, step=1 / 8), rounds
        ),
    }


def median_of(work: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    return round(statistics.median(seconds), 3)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.report is not None:
        be_report(options.report)
        return
    results: dict[str, Any] = {"machine": machine()}
    trials, evaluations = (600, 20) if options.quick else (10_000, 100)
    with tempfile.TemporaryDirectory() as directory:
        results["report"] = measure_report(
            Path(directory), trials, evaluations, 1 if options.quick else 5
        )
    results["tables_5000_s"] = measure_tables(600 if options.quick else 5000)
    results |= measure_interval(1 if options.quick else 5)
    finish(options, __file__, results, list(at_most(results, LIMITS)))


if __name__ == "__main__":
    main()
