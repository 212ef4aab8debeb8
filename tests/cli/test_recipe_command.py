"""``recipe``: TOML that parses, PyTorch that runs, and what the data cannot say."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import torch
from clikit import Here
from runkit import finish, make_run
from test_fit_command import sweep_csv, write

from lars_sweep.train import build_model


def test_the_recipe_is_toml_with_its_safe_interval(cli: Here, tmp_path: Path) -> None:
    done = cli("recipe", sweep_csv(tmp_path), "--batch", "512")
    assert (done.status, done.err) == (0, "")
    recipe = tomllib.loads(done.out)
    assert recipe["recipe"]["optimizer"] == "lars"
    rates = recipe["learning_rate"]
    best = 0.01 * 512**0.5
    assert rates["safe_low"] < best < rates["safe_high"]
    middle = (rates["safe_low"] * rates["safe_high"]) ** 0.5
    assert rates["base"] == pytest.approx(middle, rel=1e-5)
    assert rates["possible_low"] < rates["safe_low"]
    # three seeds at the next LR, none diverged: 63 % is not excluded
    risk = recipe["divergence"]
    assert (risk["diverged"], risk["runs"]) == (0, 3)
    assert risk["upper_95"] == pytest.approx(1 - 0.05 ** (1 / 3))
    assert recipe["provenance"]["trials"] == 81
    assert done.out.count("# optimizer = LARS(") == 1


def test_an_accuracy_names_the_lr_that_it_was_measured_at(cli: Here, tmp_path: Path) -> None:
    path = sweep_csv(tmp_path)
    recipe = tomllib.loads(cli("recipe", path, "--batch", "512").out)
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lrs = {float(line[5]) for line in lines if line[2] == "512"}
    at = recipe["training"]["accuracy_at_base_lr"]
    assert recipe["learning_rate"]["base"] not in lrs  # the middle of an interval was never run
    (run,) = (lr for lr in lrs if abs(lr / at - 1) < 1e-5)
    seen = [float(line[8]) for line in lines if line[2] == "512" and float(line[5]) == run]
    assert recipe["training"]["accuracy"] == pytest.approx(sum(seen) / len(seen), rel=1e-5)
    sections = [recipe[name] for name in ("learning_rate", "training", "divergence")]
    floats = [v for keys in sections for v in keys.values() if isinstance(v, float)]
    assert len(floats) > 8
    assert all(value == float(f"{value:.6g}") for value in floats)


def test_json_is_the_same_content(cli: Here, tmp_path: Path) -> None:
    path = sweep_csv(tmp_path)
    recipe = tomllib.loads(cli("recipe", path, "--batch", "512").out)
    assert json.loads(cli("recipe", path, "--batch", "512", "--json").out) == recipe


def test_the_lines_of_pytorch_train_a_network(cli: Here, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    finish(run)
    done = cli("recipe", run.path, "--batch", "64", "--pytorch")
    assert done.status == 0
    model = build_model("small_alexnet_bn", num_classes=10, in_channels=1, image_size=8)
    names = {"model": model}
    exec(done.out, names)
    optimizer, schedule = names["optimizer"], names["schedule"]
    recipe = tomllib.loads(cli("recipe", run.path, "--batch", "64").out)
    rates = []
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(recipe["training"]["steps"]):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(
            model(torch.rand(8, 1, 8, 8)), torch.zeros(8, dtype=torch.long)
        )
        loss.backward()
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(recipe["learning_rate"]["peak"], rel=1e-5)
    assert rates[-1] < 0.01 * max(rates)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_batch_between_those_run_is_interpolated(cli: Here, tmp_path: Path) -> None:
    done = cli("recipe", sweep_csv(tmp_path), "--batch", "724")
    recipe = tomllib.loads(done.out)
    rates = recipe["learning_rate"]
    assert rates["best_low"] < 0.01 * 724**0.5 < rates["best_high"]
    assert rates["safe"] == "cannot say: batch 724 was not run"
    assert recipe["divergence"] == {"diverged": "cannot say: batch 724 was not run"}


def test_a_batch_far_from_those_run_is_refused(cli: Here, tmp_path: Path) -> None:
    done = cli("recipe", sweep_csv(tmp_path), "--batch", "8192")
    assert (done.status, done.out) == (1, "")
    assert "batch 8192 was not run; there are: 256, 512, 1024" in done.err


def test_one_lr_is_ported_and_said_to_be_all_there_is(cli: Here, tmp_path: Path) -> None:
    recipe = tomllib.loads(cli("recipe", write(tmp_path), "--batch", "1024").out)
    assert recipe["learning_rate"]["base"] == 0.2
    assert recipe["learning_rate"]["source"] == "the only one in the data"
    assert recipe["learning_rate"]["safe"].startswith("cannot say: 1 LR finished")
    assert recipe["training"]["epochs_to_hold_baseline"].startswith("cannot say: ")


def test_settings_are_picked_by_value(cli: Here) -> None:
    refused = cli("recipe", "paper/table3", "--batch", "8192")
    assert refused.status == 1
    assert "alexnet lars; alexnet_bn lars; pick one with --only" in refused.err
    done = cli("recipe", "paper/table3", "--batch", "8192", "--only", "model=alexnet_bn")
    recipe = tomllib.loads(done.out)
    assert recipe["learning_rate"]["base"] == 14.0
    assert "published" in recipe["provenance"]["fixture"]
    none = cli("recipe", "paper/table3", "--batch", "8192", "--only", "model=vgg")
    assert "--only model=vgg: no rows are left; there are: alexnet lars; alexnet_bn" in none.err
    wrong = cli("recipe", "paper/table3", "--batch", "8192", "--only", "model")
    assert wrong.status == 2
    assert "--only: got model; allowed: NAME=VALUE" in wrong.err


def test_without_a_finished_run_there_is_nothing_to_port(cli: Here, tmp_path: Path) -> None:
    done = cli("recipe", sweep_csv(tmp_path, "diverged"), "--batch", "512")
    assert done.status == 1
    assert "no run of net lars finished: nothing to port" in done.err
