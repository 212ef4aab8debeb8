"""Strata, their dimensions and points, and the trials that points resolve to."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest

from lars_sweep.errors import SpecError
from lars_sweep.spec.axes import Choices, Range
from lars_sweep.spec.strata import DataFacts, Stratum, build_strata
from lars_sweep.spec.sweep import SweepSpec

Strata = Callable[..., dict[str, Stratum]]
Sweep = Callable[..., SweepSpec]

TWO = """\
[space]
optimizer = ["sgd", "lars"]
global_batch = [64, 256]
epochs = [10, 2.5]
base_lr = 0.1
"""
ONE = """\
[space]
optimizer = "lars"
global_batch = 64
epochs = 10
"""


def only(strata: dict[str, Stratum]) -> Stratum:
    (stratum,) = strata.values()
    return stratum


def grid_values(stratum: Stratum, name: str) -> list[Any]:
    return [point[name] for point in stratum.grid()]


def test_one_study_for_each_of_the_fields_that_never_compete(strata: Strata) -> None:
    assert list(strata(TWO)) == [
        "small_alexnet_bn-sgd-B64-E10",
        "small_alexnet_bn-sgd-B64-E2.5",
        "small_alexnet_bn-sgd-B256-E10",
        "small_alexnet_bn-sgd-B256-E2.5",
        "small_alexnet_bn-lars-B64-E10",
        "small_alexnet_bn-lars-B64-E2.5",
        "small_alexnet_bn-lars-B256-E10",
        "small_alexnet_bn-lars-B256-E2.5",
    ]


def test_other_fields_make_strata_when_named(strata: Strata) -> None:
    text = TWO + 'nesterov = [false, true]\n[strategy]\nstrata = ["optimizer", "nesterov"]\n'
    found = strata(text)
    assert list(found) == [
        "sgd-nesterov_false",
        "sgd-nesterov_true",
        "lars-nesterov_false",
        "lars-nesterov_true",
    ]
    assert [d.name for d in found["sgd-nesterov_true"].dimensions] == ["global_batch", "epochs"]
    assert len(list(found["sgd-nesterov_true"].grid())) == 4


def test_without_strata_all_compete(strata: Strata) -> None:
    stratum = only(strata(TWO + "[strategy]\nstrata = []\n"))
    assert stratum.name == "all"
    assert len(list(stratum.grid())) == 8


def test_users_model_gives_a_safe_name(sweep: Sweep) -> None:
    spec = sweep(TWO, "model.name=nets.small:build", "space.optimizer=sgd", "space.epochs=1")
    made = build_strata(
        spec, DataFacts(content_id="0", train_samples=1500), {"nets.small:build": "f0"}
    )
    assert [s.name for s in made] == ["nets.small.build-sgd-B64-E1", "nets.small.build-sgd-B256-E1"]
    assert made[0].trial({}, 0).model_source == "f0"


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("0.3", [0.3]),
        ("[1, 0.5]", [1.0, 0.5]),
        ("{ log = [0.001, 10], points = 5 }", [0.001, 0.01, 0.1, 1.0, 10.0]),
        ("{ log = [0.1, 1], points = 3 }", [0.1, 0.316228, 1.0]),
        ("{ linear = [1, 2], points = 3 }", [1.0, 1.5, 2.0]),
        ("{ by_batch = { 64 = [1, 2] } }", [1.0, 2.0]),
        ("{ by_optimizer = { lars = { by_batch = { 64 = [1, 2] } } } }", [1.0, 2.0]),
        ('{ scale = "linear", from_batch = 256, from_lr = 0.1 }', [0.025]),
        ('{ scale = "sqrt", from_batch = 256, from_lr = 0.1 }', [0.05]),
        ('{ scale = "sqrt", from_batch = 128, from_lr = 1, times = [1, 2] }', [0.707107, 1.41421]),
        (
            '{ scale = "linear", from_batch = 8, from_lr = 2, '
            "times = { log = [1, 9], points = 2 } }",
            [16.0, 144.0],
        ),
    ],
)
def test_values_of_an_axis(strata: Strata, axis: str, values: list[float]) -> None:
    stratum = only(strata(ONE + f"base_lr = {axis}\n"))
    trials = [stratum.trial(point, 0) for point in stratum.grid()]
    assert [trial.base_lr for trial in trials] == values
    if len(values) > 1:
        assert stratum.dimensions == (Choices("base_lr", tuple(values)),)
    else:
        assert stratum.dimensions == ()
        assert stratum.fixed["base_lr"] == values[0]


@pytest.mark.parametrize(
    ("warmup", "name", "steps"),
    [
        # S = ceil(10·1250/64) = 196 steps, 19.53 steps per epoch.
        ("{ epochs = [0, 1, 2.5] }", "warmup_epochs", [0, 20, 49]),
        ("{ steps = [0, 7, 196] }", "warmup_steps", [0, 7, 196]),
        ("{ share = [0, 0.1, 0.5] }", "warmup_share", [0, 20, 98]),
    ],
)
def test_warmup_in_steps(strata: Strata, warmup: str, name: str, steps: list[int]) -> None:
    stratum = only(
        strata(ONE + f"base_lr = 2\nwarmup = {warmup}\nwarmup_start = {{ share = 0.1 }}\n")
    )
    trials = [stratum.trial(point, 0) for point in stratum.grid()]
    assert [d.name for d in stratum.dimensions] == [name]
    assert [trial.warmup_steps for trial in trials] == steps
    # Without a warm-up its start says nothing, so it must not make another trial of it.
    assert [trial.warmup_start for trial in trials] == [0.0, 0.2, 0.2]


def test_warmup_from_a_stated_lr(strata: Strata) -> None:
    text = ONE + "base_lr = 2\nwarmup = { steps = 5 }\nwarmup_start = { lr = [0.001, 1] }\n"
    stratum = only(strata(text))
    assert [stratum.trial(p, 0).warmup_start for p in stratum.grid()] == [0.001, 1.0]


def test_fields_of_another_optimizer_are_absent(strata: Strata) -> None:
    found = strata(
        TWO.replace("[10, 2.5]", "10").replace("[64, 256]", "64")
        + 'trust_coefficient = [0.001, 0.002]\nlars_variant = "clip"\n'
    )
    sgd, lars = found.values()
    assert sgd.dimensions == ()
    trial = sgd.trial({}, 0)
    assert (trial.trust_coefficient, trial.lars_variant, trial.granularity) == (None, None, None)
    assert lars.dimensions == (Choices("trust_coefficient", (0.001, 0.002)),)
    trial = lars.trial({"trust_coefficient": 0.002}, 0)
    assert (trial.trust_coefficient, trial.lars_variant, trial.zero_norm) == (0.002, "clip", "one")


def test_fields_of_another_schedule_do_not_multiply_a_grid(strata: Strata) -> None:
    stratum = only(strata(ONE + 'base_lr = 1\nschedule = ["poly", "cosine"]\npower = [1, 2]\n'))
    assert list(stratum.grid()) == [
        {"schedule": "poly", "power": 1.0},
        {"schedule": "poly", "power": 2.0},
        {"schedule": "cosine"},
    ]
    assert stratum.trial({"schedule": "cosine", "power": 1.0}, 0).power == 2.0


def test_milestones(strata: Strata) -> None:
    text = ONE + 'base_lr = 1\nschedule = "step"\n'
    stratum = only(strata(text, "training.milestones=[0.5, 0.75]"))
    assert stratum.trial({}, 0).milestones == (0.5, 0.75)


def test_grid_nests_where_the_batch_competes(strata: Strata) -> None:
    text = """\
[space]
optimizer = "sgd"
global_batch = [64, 256]
epochs = 10
base_lr = { by_batch = { 64 = [1, 2], 256 = [2, 4, 8] } }
warmup = { epochs = 1 }
[strategy]
strata = ["epochs"]
"""
    stratum = only(strata(text))
    assert stratum.name == "E10"
    assert stratum.dimensions == (
        Choices("global_batch", (64, 256)),
        Choices("base_lr", (1.0, 2.0, 4.0, 8.0)),
    )
    points = [(p["global_batch"], p["base_lr"]) for p in stratum.grid()]
    assert points == [(64, 1), (64, 2), (256, 2), (256, 4), (256, 8)]
    assert [stratum.trial(p, 0).warmup_steps for p in stratum.grid()] == [20, 20, 5, 5, 5]


def test_batches_and_epochs_by_optimizer(strata: Strata) -> None:
    text = """\
[space]
optimizer = ["sgd", "lars"]
global_batch = { by_optimizer = { sgd = 64, lars = [64, 256] } }
epochs = { by_batch = { 64 = 10, 256 = 20 } }
base_lr = 1
"""
    assert [name.removeprefix("small_alexnet_bn-") for name in strata(text)] == [
        "sgd-B64-E10",
        "lars-B64-E10",
        "lars-B256-E20",
    ]


SAMPLED = """\
[space]
optimizer = ["sgd", "lars"]
global_batch = [64, 256]
epochs = 10
base_lr = { scale = "sqrt", from_batch = 64, from_lr = 0.5, times = { log = [0.1, 10] } }
momentum = { linear = [0.8, 0.99] }
evaluations = { log = [2, 32] }
warmup = { steps = [0, 5] }
[strategy]
kind = "qmc"
n_points = 4
"""


def test_dimensions_of_a_sampled_stratum(strata: Strata) -> None:
    stratum = strata(SAMPLED)["small_alexnet_bn-lars-B256-E10"]
    assert stratum.dimensions == (
        Range("base_lr", 0.1, 10.0, log=True, integer=False),
        Choices("warmup_steps", (0, 5)),
        Range("momentum", 0.8, 0.99, log=False, integer=False),
        Range("evaluations", 2, 32, log=True, integer=True),
    )
    drawn = {"base_lr": 0.123456789, "warmup_steps": 5, "momentum": 0.9, "evaluations": 3}
    trial = stratum.trial(drawn, 0)
    assert (trial.base_lr, trial.warmup_steps, trial.evaluations) == (0.123456789, 5, 3)


def test_corners_meet_every_extreme(strata: Strata) -> None:
    stratum = strata(SAMPLED)["small_alexnet_bn-lars-B64-E10"]
    corners = list(stratum.corners())
    assert {c["base_lr"] for c in corners} == {0.05, 5.0}
    assert {c["warmup_steps"] for c in corners} == {0, 5}
    assert len(corners) == 4


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "space.global_batch=[96, 100]",
            "--set: space.global_batch: got 100; allowed: a multiple of bn_batch = 32",
        ),
        ("space.global_batch=1280", "got 1,280; allowed: at most N = 1,250, the training part"),
        (
            "space.warmup={ epochs = 11 }",
            "--set: space.warmup: got 215 steps at global_batch 64; allowed: at most the 196 steps",
        ),
        (
            "space.warmup={ steps = 200 }",
            "got 200 steps at global_batch 64; allowed: at most the 196 steps of the run",
        ),
    ],
)
def test_impossible_trials(strata: Strata, override: str, expected: str) -> None:
    text = ONE + "base_lr = 2\nwarmup = { steps = 0 }\n"
    with pytest.raises(SpecError) as caught:
        strata(text, override)
    assert expected in str(caught.value)


def test_warmup_start_above_the_peak(strata: Strata) -> None:
    text = ONE + "base_lr = [2, 8]\nwarmup = { steps = 5 }\nwarmup_start = { lr = 5 }\n"
    with pytest.raises(SpecError, match=r"got LR 5; allowed: at most the peak, base_lr = 2$"):
        strata(text)


def test_impossible_corner_of_a_sampled_stratum(strata: Strata) -> None:
    text = SAMPLED.replace("steps = [0, 5]", "steps = [0, 5, 60]")
    with pytest.raises(
        SpecError, match="got 60 steps at global_batch 256; allowed: at most the 49"
    ):
        strata(text)


def test_nothing_to_sample(strata: Strata) -> None:
    text = ONE + 'base_lr = 1\n[strategy]\nkind = "random"\nn_points = 3\n'
    with pytest.raises(SpecError, match="where nothing varies"):
        strata(text)


def test_points_that_are_one_trial(strata: Strata) -> None:
    text = ONE + "base_lr = 1\nwarmup = { epochs = [0, 0.001, 1] }\n"
    with pytest.raises(SpecError, match=r"twice the same trial: .*epochs = 0\.0\} and .*0\.001\}"):
        strata(text)


def test_seeds_are_independent_between_points_unless_paired(strata: Strata) -> None:
    text = ONE + "base_lr = [1, 2]\n"
    stratum = only(strata(text))
    points = list(stratum.grid())
    seeds = [stratum.trial(point, seed).seed for point in points for seed in (0, 1)]
    assert len(set(seeds)) == 4
    assert all(0 <= seed < 2**48 for seed in seeds)
    assert seeds == [stratum.trial(point, seed).seed for point in points for seed in (0, 1)]
    paired = only(strata(text, "seeds.paired=true"))
    assert [paired.trial(p, seed).seed for p in points for seed in (0, 1)] == [0, 1, 0, 1]


def test_protocol_decides_the_training_part(strata: Strata) -> None:
    text = ONE + "base_lr = 1\n"
    held_out = only(strata(text)).trial({}, 0)
    assert (held_out.samples, held_out.val_share, held_out.steps) == (1250, 1 / 6, 196)
    paper = only(strata(text, "protocol.name=paper")).trial({}, 0)
    assert (paper.samples, paper.val_share, paper.steps) == (1500, 0.0, 235)
    imagenet = DataFacts(content_id="0", train_samples=1_281_167)
    assert imagenet.samples(50_000 / 1_281_167) == 1_231_167


def test_log_grid_is_even(strata: Strata) -> None:
    stratum = only(strata(ONE + "base_lr = { log = [0.02, 3], points = 9 }\n"))
    values = grid_values(stratum, "base_lr")
    steps = [math.log(b / a) for a, b in itertools.pairwise(values)]
    assert max(steps) - min(steps) < 1e-4
    assert (values[0], values[-1]) == (0.02, 3.0)
