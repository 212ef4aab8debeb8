"""The outcome tables: what each column means. README's schema table is made from this file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1

Status = Literal["ok", "diverged", "pruned", "failed"]
DType = Literal["string", "int64", "float64", "bool", "timestamp"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    dtype: DType
    unit: str
    nullable: bool
    meaning: str


def _c(name: str, dtype: DType, unit: str, meaning: str) -> Column:
    return Column(name, dtype, unit, False, meaning)


def _opt(name: str, dtype: DType, unit: str, meaning: str) -> Column:
    return Column(name, dtype, unit, True, meaning)


OUTCOMES: tuple[Column, ...] = (
    # ── which trial
    _c("trial_id", "string", "", "first 16 hex digits of sha256 over the resolved trial"),
    _c("sweep", "string", "", "name of the sweep file"),
    _c("stratum", "string", "", "the Optuna study that the trial belongs to"),
    _c("point", "int64", "", "number of the point within its stratum; all its seeds share it"),
    _c("params", "string", "", "JSON of the point: search dimension → value"),
    _c("status", "string", "", "ok, diverged, pruned or failed"),
    _opt(
        "cause",
        "string",
        "",
        "diverged: nonfinite, exploded, dead; ok: untrained; pruned: user or pruner; failed: what",
    ),
    # ── what was trained
    _c("model", "string", "", "network"),
    _c("dataset", "string", "", "data set"),
    _c("split", "string", "", "held_out: choose on val, report on test; paper: both on test"),
    _c("augmentation", "string", "", "none, minimal or extended"),
    _c("optimizer", "string", "", "sgd, lars, adamw or lamb"),
    _opt("lars_variant", "string", "", "local-rate formula; null unless LARS"),
    _opt("granularity", "string", "", "what shares one local rate; null unless LARS"),
    _opt("zero_norm", "string", "", "local rate at a zero norm; null unless LARS"),
    _c("momentum_form", "string", "", "LR inside (Caffe, the paper) or outside the momentum"),
    _c("global_batch", "int64", "samples", "B, samples of one optimizer step"),
    _c("bn_batch", "int64", "samples", "samples of one BatchNorm group (ghost batch)"),
    # ── learning rate
    _c("base_lr", "float64", "", "nominal γ0"),
    _c("lr_peak", "float64", "", "largest LR of the planned schedule"),
    _c("lr_integral", "float64", "", "Σγ_t over the steps done"),
    _opt("lr_excluded", "float64", "", "base LR of excluded parameters; null: none are excluded"),
    _opt("trust_coefficient", "float64", "", "η; null unless LARS"),
    _c("momentum", "float64", "", "m"),
    _c("nesterov", "bool", "", "Nesterov momentum"),
    _c("weight_decay", "float64", "", "β"),
    _c("exclusions", "string", "", "parameters without local rate and decay: none or bias_bn"),
    _c("schedule", "string", "", "poly, step, cosine or constant"),
    _opt("poly_origin", "string", "", "poly counted from global step 0 or after_warmup"),
    _opt("power", "float64", "", "exponent of the polynomial decay"),
    _c("warmup_epochs", "float64", "epochs", "length of the linear warm-up"),
    _c("warmup_start", "float64", "", "LR at step 0 of the warm-up"),
    # ── how long
    _c("epochs", "float64", "epochs", "E, planned passes over the training part"),
    _c("steps", "int64", "steps", "S = ceil(E·N/B), planned"),
    _c("epochs_done", "float64", "epochs", "steps_done·B/N"),
    _c("steps_done", "int64", "steps", "optimizer steps done"),
    _c("images_seen", "int64", "samples", "steps_done·B"),
    _c("samples", "int64", "samples", "N, size of the training part"),
    _c("seed", "int64", "", "replicate seed: initialisation, order, augmentation, dropout"),
    _c("precision", "string", "", "fp32, tf32 or bf16"),
    _c("bn_eval", "string", "", "BatchNorm statistics in evaluations: recompute or ema"),
    _c("init", "string", "", "paper or he"),
    _c("zero_norm_events", "int64", "", "layer-steps at which a weight or gradient norm was 0"),
    # ── how well
    _opt(
        "accuracy",
        "float64",
        "%",
        "top-1 at the end on the reporting split; chance for diverged; null for pruned, failed",
    ),
    _opt("accuracy_val", "float64", "%", "top-1 on val, mean over the last 5 % of steps"),
    _opt(
        "accuracy_tail", "float64", "%", "top-1, reporting split, mean over the last 5 % of steps"
    ),
    _opt("accuracy_last5", "float64", "%", "top-1, reporting split, last 5 epochs; needs E ≥ 60"),
    _opt("accuracy_top5", "float64", "%", "top-5 at the end on the reporting split"),
    _opt("accuracy_at_stop", "float64", "%", "last top-1 measured on val before a prune or stop"),
    _opt("test_loss", "float64", "nats", "loss at the end on the reporting split"),
    _opt("train_loss", "float64", "nats", "eval mode, fixed training subset, at the end"),
    _opt("diverged_step", "int64", "steps", "step at which divergence was established"),
    # ── at what cost, where, from what
    _c("attempts", "int64", "", "executions of the trial; more than one after a preemption"),
    _c("wall_s", "float64", "s", "wall-clock time over all attempts"),
    _c("device_s", "float64", "s", "wall-clock time × devices over all attempts"),
    _opt("images_per_s", "float64", "1/s", "training throughput, median over evaluations"),
    _c("device", "string", "", "hardware of the last attempt"),
    _c("versions", "string", "", "software of the last attempt"),
    _opt("git_commit", "string", "", "commit of the checkout, with + when dirty; null outside one"),
    _c("spec_hash", "string", "", "sha256 of the resolved sweep file"),
    _c("started_at", "timestamp", "UTC", "start of the first attempt"),
    _c("finished_at", "timestamp", "UTC", "end of the last attempt"),
)
"""One row per finished trial."""

CURVES: tuple[Column, ...] = (
    _c("trial_id", "string", "", "the trial"),
    _c("step", "int64", "steps", "optimizer steps done"),
    _c("epochs", "float64", "epochs", "passes over the training part done"),
    _c("lr", "float64", "", "LR of the last step taken"),
    _opt("train_loss", "float64", "nats", "eval mode, fixed training subset, no augmentation"),
    _c("train_accuracy", "float64", "%", "top-1 on that subset"),
    _opt("val_loss", "float64", "nats", "null in the paper protocol"),
    _opt("val_accuracy", "float64", "%", "top-1 on val"),
    _opt("val_top5", "float64", "%", "top-5 on val"),
    _opt("test_loss", "float64", "nats", "measured in the last 5 % of steps (paper: always)"),
    _opt("test_accuracy", "float64", "%", "top-1 on test"),
    _opt("test_top5", "float64", "%", "top-5 on test"),
    _opt("gradient_norm", "float64", "", "‖∇L‖ of the last step"),
    _c("images_per_s", "float64", "1/s", "training throughput since the last evaluation"),
    _c("data_wait", "float64", "share", "share of training time spent waiting for data"),
    _c("memory_gib", "float64", "GiB", "peak memory of the fullest rank"),
    _c("wall_s", "float64", "s", "time so far, over all attempts that led here"),
)
"""One row per trial and evaluation point; a value that is not finite is null."""

LAYERS: tuple[Column, ...] = (
    _c("trial_id", "string", "", "the trial"),
    _c("step", "int64", "steps", "optimizer steps done"),
    _c("layer", "string", "", "parameter tensor, as in conv1.weight"),
    _opt("weight_norm", "float64", "", "‖w‖"),
    _opt("gradient_norm", "float64", "", "‖∇L(w)‖"),
    _opt("local_lr", "float64", "", "λ; null for optimizers that have none"),
    _opt("effective_lr", "float64", "", "γλ for LARS, γ otherwise"),
    _opt("update_ratio", "float64", "", "‖v‖/‖w‖ of the last step"),
)
"""One row per trial, evaluation point and parameter tensor; not finite is null."""

NOISE: tuple[Column, ...] = (
    _c("trial_id", "string", "", "the trial"),
    _c("step", "int64", "steps", "optimizer steps done; the weights stand still there"),
    _c("measurement", "int64", "", "number at this step, from 0; each draws samples of its own"),
    _c("micro_batch", "int64", "samples", "b, size of each micro-batch"),
    _c("micro_batches", "int64", "", "K, their number; together K·b samples"),
    _opt("micro_square", "float64", "", "mean of ‖g‖² over the micro-batches"),
    _opt("mean_square", "float64", "", "‖mean of g‖²"),
)
"""One row per trial and measurement, where the sweep asks for the noise scale; not finite is null.
"""

# Columns that tell how a trial was run, not what it computed: two runs of one trial agree in all
# others.
EXECUTION_COLUMNS = frozenset(
    {
        "sweep", "stratum", "point", "params", "attempts", "wall_s", "device_s", "images_per_s",
        "device", "versions", "git_commit", "spec_hash", "started_at", "finished_at", "data_wait",
        "memory_gib",
    }
)  # fmt: skip
