"""What one trial computes and refuses, in a world of one process."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from loop_kit import (
    ScriptedControl,
    disagreement,
    run_interrupted,
    run_traced,
    same_bits,
    sgd,
    tiny_trial,
)

from lars_sweep.data import describe_dataset
from lars_sweep.data.jpeg import encode
from lars_sweep.errors import DataError, TrainError
from lars_sweep.train import TorchTrainer
from lars_sweep.train.batches import LoadedBatch
from lars_sweep.train.fitting import FittingSamples
from lars_sweep.train.numerics import supported
from lars_sweep.train.step import GradientStep


def test_a_trial_runs_to_its_end_and_measures_what_it_should(trainer: TorchTrainer) -> None:
    trial, control = tiny_trial(), ScriptedControl()
    result = trainer.train(trial, control)
    assert (result.status, result.steps_done, result.chance) == ("ok", 12, 10.0)
    assert [row.step for row in result.evaluations] == [4, 8, 12]
    assert list(result.evaluations) == control.evaluations
    assert control.steps == list(range(1, 13))
    assert [row.test_accuracy is None for row in result.evaluations] == [True, True, False]
    assert all(row.val_accuracy is not None for row in result.evaluations)
    names = {row.layer for row in result.layers}
    assert {"conv1.weight", "fc8.bias"} <= names
    assert len(result.layers) == 3 * len(names)


def test_layer_rows_satisfy_algorithm_1(trainer: TorchTrainer) -> None:
    trial = tiny_trial(evaluations=12, warmup_steps=0)
    rows = trainer.train(trial, ScriptedControl()).layers
    for row in rows:
        decay = trial.weight_decay * row.weight_norm
        local = trial.trust_coefficient * row.weight_norm / (row.gradient_norm + decay)
        assert row.local_lr == pytest.approx(local or 1.0, rel=1e-5)
        if row.step == 1:
            # v = γλ(g + βw) before there is momentum, and ‖g + βw‖ is within βw of ‖g‖.
            assert row.effective_lr == pytest.approx(trial.base_lr * row.local_lr)
            assert (
                row.update_ratio * row.weight_norm
                == pytest.approx(
                    row.effective_lr * row.gradient_norm,
                    abs=1.01 * row.effective_lr * decay + 1e-7,
                )
                or row.weight_norm == 0
            )
    assert {row.step for row in rows} == set(range(1, 13))


def test_paper_protocol_trains_on_all_and_always_reports_test(trainer: TorchTrainer) -> None:
    trial = tiny_trial(protocol="paper", val_share=0.0)
    rows = trainer.train(trial, ScriptedControl()).evaluations
    assert trial.samples == 240
    assert all(row.val_accuracy is None and row.test_accuracy is not None for row in rows)


def test_another_seed_is_another_trial(trainer: TorchTrainer, tmp_path: Path) -> None:
    one, other = (
        run_traced(trainer, tiny_trial(seed=seed), tmp_path / str(seed)) for seed in (1, 2)
    )
    assert disagreement(one, other) > 0.01


def test_data_of_another_content_are_refused(trainer: TorchTrainer) -> None:
    with pytest.raises(DataError, match="planned on content 0000"):
        trainer.train(dataclasses.replace(tiny_trial(), data_id="0000"), ScriptedControl())


def test_precision_that_the_device_lacks_is_refused(trainer: TorchTrainer) -> None:
    with pytest.raises(TrainError, match=r"'tf32' is not available on cpu; allowed here: fp32"):
        trainer.train(tiny_trial(precision="tf32"), ScriptedControl())


def test_images_that_stream_train_like_images_on_the_device(
    trainer: TorchTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = run_traced(trainer, tiny_trial(), tmp_path / "resident")
    monkeypatch.setattr("lars_sweep.train.feed._RESIDENT_BYTES", 0)
    streaming = TorchTrainer(device="cpu", threads=1, checkpoint_every_s=0)
    assert same_bits(resident, run_traced(streaming, tiny_trial(), tmp_path / "streamed"))


def test_a_micro_batch_that_does_not_fit_is_halved_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    right, tried = GradientStep._loss, []

    def small_memory(self: GradientStep, batch: LoadedBatch) -> torch.Tensor:
        tried.append(len(batch.labels))
        loss = right(self, batch)
        if len(batch.labels) > 12:
            raise torch.OutOfMemoryError
        return loss

    options = {"device": "cpu", "threads": 1, "checkpoint_every_s": 0}
    planned = run_traced(TorchTrainer(**options, micro_batch=12), tiny_trial(), tmp_path / "a")
    monkeypatch.setattr(GradientStep, "_loss", small_memory)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    trainer = TorchTrainer(**options, micro_batch=42)
    halved = run_traced(trainer, tiny_trial(), tmp_path / "b")
    # 42 and 21 (18 in whole atoms) do not fit; 10 means single atoms.
    assert tried[:4] == [42, 18, 6, 6]
    assert "micro-batch halved to 10" in caplog.text
    assert disagreement(planned, halved) < 1e-3
    tried.clear()
    run_traced(trainer, tiny_trial(), tmp_path / "c")
    assert set(tried) == {6}
    # Another process learns it from the file, for this network on this device alone.
    tried.clear()
    run_traced(TorchTrainer(**options, micro_batch=42), tiny_trial(), tmp_path / "d")
    assert set(tried) == {6}
    (remembered,) = (tmp_path / "cache/lars-sweep").glob("*.json")
    (known,) = json.loads(remembered.read_text()).items()
    assert known == (f"cpu, torch {torch.__version__}: small_alexnet_bn at 8, fp32", 10)
    # A file that is no JSON counts as no file.
    remembered.write_text("{")
    tried.clear()
    run_traced(TorchTrainer(**options, micro_batch=42), tiny_trial(), tmp_path / "e")
    assert tried[:2] == [42, 18]


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    fitting = FittingSamples(torch.device("cpu"))
    fitting.remember(tiny_trial(), 8, 10)
    assert fitting.most(tiny_trial(), 8, 42) == 10
    assert fitting.most(tiny_trial(), 8, 5) == 5
    assert fitting.most(tiny_trial(model="small_alexnet"), 8, 42) == 42


def test_an_atom_that_does_not_fit_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(self: GradientStep, batch: LoadedBatch) -> torch.Tensor:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(GradientStep, "_loss", no_memory)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(TrainError, match="one atom of bn_batch = 6 samples does not fit"):
        TorchTrainer(device="cpu", threads=1).train(tiny_trial(), ScriptedControl())


@pytest.mark.parametrize("augmentation", ["none", "minimal", "extended"])
def test_files_train_from_crops_on_a_network_of_smaller_input(
    trainer: TorchTrainer, tmp_path: Path, augmentation: str
) -> None:
    rng = np.random.default_rng(0)
    for part, label, number in itertools.product(("train", "val"), range(2), range(8)):
        folder = tmp_path / "imagenet" / part / f"n{label:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        image = np.tile(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8), (10, 12, 1))
        (folder / f"{part}_{label}_{number}.JPEG").write_bytes(encode(image, 90))
    info = describe_dataset("imagenet", tmp_path)
    trial = dataclasses.replace(
        tiny_trial(),
        model="small_alexnet_bn",
        dataset="imagenet",
        data_id=info.content_id,
        samples=12,
        val_share=0.25,
        global_batch=12,
        epochs=3,
        augmentation=augmentation,
    )
    trainer = TorchTrainer(data_dir=tmp_path, device="cpu", threads=1, checkpoint_every_s=0)
    one = run_traced(trainer, trial, tmp_path / "one")
    assert one.status == "ok"
    again, _ = run_interrupted(trainer, trial, tmp_path / "two", (2,))
    assert same_bits(one, again)


def test_importing_the_package_does_not_import_torch() -> None:
    code = "import sys, lars_sweep.train; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("model", ["small_alexnet", "small_googlenet", "small_resnet"])
def test_every_layer_of_small_networks_moves(trainer: TorchTrainer, model: str) -> None:
    trial = tiny_trial(
        steps=3,
        model=model,
        dataset="synthetic:image_size=28,channels=1,classes=4,samples=64",
        global_batch=16,
        bn_batch=8,
        **sgd(base_lr=0.005, warmup_steps=0),
    )
    result = trainer.train(trial, ScriptedControl())
    assert result.status == "ok"
    assert all(
        row.gradient_norm > 0 and row.update_ratio > 0 for row in result.layers if row.weight_norm
    )
    assert len({row.layer for row in result.layers}) * 3 == len(result.layers)


@pytest.mark.skipif(
    not supported("bf16", torch.device("cpu")), reason="this CPU has no bfloat16 instructions"
)
def test_bf16_keeps_weights_and_losses_in_float32(trainer: TorchTrainer, tmp_path: Path) -> None:
    full = run_traced(trainer, tiny_trial(), tmp_path / "fp32")
    half = run_traced(trainer, tiny_trial(precision="bf16"), tmp_path / "bf16")
    assert {t.dtype for t in half.weights.values()} == {torch.float32}
    assert 1e-5 < disagreement(full, half) < math.inf


def test_compiled_training_is_the_same_mathematics(
    trainer: TorchTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Traced as for a compiler, then run by torch: seconds instead of minutes.
    plain_compile, compiled = torch.compile, []

    def traced(model: torch.nn.Module, **options: bool) -> object:
        compiled.append(options)
        return plain_compile(model, backend="eager", **options)

    monkeypatch.setattr(torch, "compile", traced)
    monkeypatch.setattr("lars_sweep.train.trainer._has_compiler", lambda: True)
    trial = tiny_trial(steps=4, base_lr=0.1)
    options = {"device": "cpu", "threads": 1, "checkpoint_every_s": 0, "dtype": torch.float64}
    eager = run_traced(TorchTrainer(**options), trial, tmp_path / "eager")
    other = run_traced(TorchTrainer(**options, compiled=True), trial, tmp_path / "compiled")
    assert compiled == [{"dynamic": False}]
    assert disagreement(eager, other) < 1e-9


def test_a_wrongly_compiled_network_is_not_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loses_the_first_layer(model: torch.nn.Module, **_: bool) -> object:
        def forward(images: torch.Tensor) -> torch.Tensor:
            weight = model.get_parameter("conv1.weight")
            return torch.func.functional_call(model, {"conv1.weight": weight.detach()}, images)

        return forward

    monkeypatch.setattr(torch, "compile", loses_the_first_layer)
    monkeypatch.setattr("lars_sweep.train.trainer._has_compiler", lambda: True)
    trainer = TorchTrainer(device="cpu", threads=1, compiled=True)
    told = "gradient of conv1.weight over .* differs .* by 100%, in 1 of"
    with pytest.raises(TrainError, match=told):
        run_traced(trainer, tiny_trial(steps=4, base_lr=0.1), tmp_path)


def test_compiling_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(TrainError, match="needs a C\\+\\+ compiler"):
        TorchTrainer(device="cpu", compiled=True)
