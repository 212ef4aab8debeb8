"""The sweep files that come with lars-sweep, and the reference of their keys."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from lars_sweep.data import describe_dataset
from lars_sweep.shipped import shipped
from lars_sweep.spec.keys import describe_keys
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.strata import DataFacts, build_strata
from lars_sweep.spec.trial import TrialSpec

SWEEPS = shipped("sweeps")
FILES = sorted(path.relative_to(SWEEPS).as_posix() for path in SWEEPS.rglob("*.toml"))
IMAGENET = DataFacts(content_id="0123456789abcdef", train_samples=1_281_167)


def trials_of(name: str) -> list[TrialSpec]:
    spec = load_sweep(SWEEPS / name)
    facts = IMAGENET
    if spec.data.name != "imagenet":
        info = describe_dataset(spec.data.name)
        facts = DataFacts(content_id=info.content_id, train_samples=info.train_samples)
    return [
        stratum.trial(point, seed)
        for stratum in build_strata(spec, facts)
        for point in stratum.grid()
        for seed in spec.seeds.values
    ]


@pytest.mark.parametrize("name", FILES)
def test_header_says_what_it_costs_and_how_to_run_it(name: str) -> None:
    trials = trials_of(name)
    header = (SWEEPS / name).read_text(encoding="utf-8").split("\n\n")[0]
    assert f"\n# Cost       {len(trials)} trials" in header
    assert f"\n# Run        lars-sweep launch {name.removesuffix('.toml')} " in header
    if name.startswith("paper/"):
        images = sum(trial.steps * trial.global_batch for trial in trials)
        amount = f"{images / 1e9:.3g} billion" if images > 1e8 else f"{images:,}"
        assert f" trials, {amount} images." in header


def test_every_experiment_of_the_paper_has_its_file() -> None:
    experiments = ["1a", "1b", "2", "3a", "3b", "4", "5a", "5b", "5c", "6", "6_sgd"]
    expected = [f"paper/table{name}.toml" for name in experiments]
    expected += [f"paper/figure{number}.toml" for number in (1, 2, 3, 4)]
    expected += [f"paper/rival_{name}.toml" for name in ("linear", "sqrt", "eta")]
    assert sorted(name for name in FILES if name.startswith("paper/")) == sorted(expected)


Row = tuple[float | str | None, ...]


def _printed(table: str) -> list[dict[str, str]]:
    path = shipped("reference") / f"table{table[0]}.csv"
    with path.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["table"] == table]


def _number(text: str | None) -> float | None:
    return float(text) if text else None


@pytest.mark.parametrize("table", ["1a", "1b", "3a", "3b", "4", "5a", "5b", "5c", "6"])
def test_trials_are_the_rows_of_the_table(table: str) -> None:
    names = [f"paper/table{table}.toml"] + (["paper/table6_sgd.toml"] if table == "6" else [])
    trials = [trial for name in names for trial in trials_of(name)]
    rows = _printed(table)

    def printed(row: dict[str, str]) -> Row:
        augmentation = {"min": "minimal", "max": "extended"}.get(row.get("augmentation", ""))
        return (
            row["model"],
            row["optimizer"],
            augmentation,
            int(row["batch"]),
            _number(row.get("base_lr")),
            float(row["epochs"]),
            _number(row.get("trust_coefficient")),
            _number(row.get("warmup_epochs")) or 0.0 if "warmup_epochs" in row else None,
        )

    def run(trial: TrialSpec) -> Row:
        warmup = round(trial.warmup_steps * trial.global_batch / trial.samples, 1)
        return (
            trial.model.removesuffix("_aux"),
            trial.optimizer,
            trial.augmentation if table == "4" else None,
            trial.global_batch,
            trial.base_lr if "base_lr" in rows[0] else None,
            trial.epochs,
            trial.trust_coefficient if "trust_coefficient" in rows[0] else None,
            warmup if "warmup_epochs" in rows[0] else None,
        )

    assert {run(trial) for trial in trials} == {printed(row) for row in rows}
    assert len(trials) == 3 * len(rows)
    assert {trial.protocol for trial in trials} == {"paper"}
    assert {trial.bn_batch for trial in trials} <= {
        min(trial.global_batch // 8, 1024) for trial in trials
    }


def test_steps_of_batch_16384_are_those_of_the_paper() -> None:
    """ "From 7800 (100 epochs) to 15600 (200 epochs)" (section 6)."""
    steps = {trial.epochs: trial.steps for trial in trials_of("paper/table5a.toml")}
    assert (steps[100], steps[200]) == (7820, 15640)


def test_table2_takes_one_step() -> None:
    assert {trial.steps for trial in trials_of("paper/table2.toml")} == {1}


def test_scaled_trust_coefficient_has_the_learning_rates_of_table3a() -> None:
    scaled = trials_of("paper/rival_eta.toml")
    products = {(t.global_batch, round(t.base_lr * (t.trust_coefficient or 0), 9)) for t in scaled}
    table = {
        (t.global_batch, round(t.base_lr * (t.trust_coefficient or 0), 9))
        for t in trials_of("paper/table3a.toml")
        if t.global_batch in (4096, 8192)
    }
    assert table <= products


README = (SWEEPS / "README.md").read_text(encoding="utf-8")


def test_reference_of_keys_is_true() -> None:
    made = "<!-- Made by lars_sweep.spec.keys.describe_keys;"
    after = README.split(made)[1].split("-->\n", 1)[1]
    assert after.strip() == describe_keys().strip(), "paste what describe_keys() returns"


def test_files_are_listed() -> None:
    listed = set(re.findall(r"[a-z0-9_/]+\.toml", README))
    for name in FILES:
        assert name in listed or Path(name).name in listed or "figure" in name, name


def test_example_is_a_sweep(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    path = tmp_path / "example.toml"
    path.write_text(example, encoding="utf-8")
    spec = load_sweep(path)
    facts = DataFacts(content_id="0", train_samples=1500)
    assert sum(len(list(s.grid())) for s in build_strata(spec, facts)) == 12
