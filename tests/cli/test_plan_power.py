"""plan --power: readable, as JSON, the same every time, and plain about what it cannot judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from clikit import Here
from runkit import GRID, sampled, write_sweep

from lars_sweep.fit import power


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = dict(power.plan_power.__kwdefaults__ or {}, repetitions=10)
    monkeypatch.setattr(power.plan_power, "__kwdefaults__", defaults)


def sweep(directory: Path) -> Path:
    text = GRID.replace("[0.1, 0.2, 0.4]", "{ log = [0.01, 10], points = 7 }")
    return write_sweep(directory, text)


def test_it_says_what_is_assumed_and_what_would_be_known(cli: Here, tmp_path: Path) -> None:
    done = cli("plan", sweep(tmp_path), "--power", "--sigma", "0.4")
    assert done.status == 0, done.err
    _, block = done.out.split("\npower of small_alexnet_bn sgd, 2 epochs\n")
    assert block.startswith("assumed: 0.4 points between seeds (1 SD), best LR 0.316 at batch 128")
    for words in ("lower edge ± oct", "both edges of every batch", "as planned", "(exploratory)"):
        assert words in block
    assert done.out == cli("plan", sweep(tmp_path), "--power", "--sigma", "0.4").out


def test_json_holds_every_number(cli: Here, tmp_path: Path) -> None:
    content = json.loads(cli("plan", sweep(tmp_path), "--power", "--json").out)
    (found,) = content["power"]
    report = found["report"]
    assert report["design"]["sigma"] == 0.25
    assert [batch["batch"] for batch in report["batches"]] == [64, 128]
    assert {"statement", "probability", "equivalence", "exploratory"} == set(
        report["conclusions"][0]
    )
    assert "power" not in json.loads(cli("plan", sweep(tmp_path), "--json").out)


def test_drawn_learning_rates_are_a_design_too(cli: Here, tmp_path: Path) -> None:
    text = sampled("random", 8, seeds=2).replace("momentum = [0.8, 0.9]\n", "")
    done = cli("plan", write_sweep(tmp_path, text), "--power")
    assert done.status == 0, done.err
    assert "power of small_alexnet_bn sgd" in done.out


def test_an_adaptive_strategy_has_no_design_beforehand(cli: Here, tmp_path: Path) -> None:
    done = cli("plan", write_sweep(tmp_path, sampled("tpe", 8)), "--power")
    assert done.status == 0
    assert "power: tpe asks for its points as results come in" in done.err
    assert "power of" not in done.out


def test_too_few_learning_rates_are_said(cli: Here, tmp_path: Path) -> None:
    done = cli("plan", write_sweep(tmp_path), "--power")
    assert done.status == 0
    assert "batches with fewer than 4 LRs, no interval: 64, 128" in done.out


@pytest.mark.parametrize("arguments", [["--sigma", "1"], ["--power", "--sigma", "0"]])
def test_a_sigma_that_means_nothing_is_refused(
    cli: Here, tmp_path: Path, arguments: list[str]
) -> None:
    done = cli("plan", sweep(tmp_path), *arguments)
    assert done.status == 2
    assert "--sigma: got" in done.err
