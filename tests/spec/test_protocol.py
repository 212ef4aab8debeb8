"""What plan warns of, one line for each kind and stratum."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lars_sweep.spec.protocol import protocol_warnings
from lars_sweep.spec.strata import DataFacts, build_strata
from lars_sweep.spec.sweep import SweepSpec

# N = 12,500: S = 1,954 at B = 64 and E = 10.
FACTS = DataFacts(content_id="0", train_samples=15_000)
GOOD = """\
warmup = { epochs = 1 }
[space]
optimizer = "lars"
global_batch = 64
epochs = 10
base_lr = [1, 2, 4]
"""

Warn = Callable[..., list[str]]


@pytest.fixture
def warn(sweep: Callable[..., SweepSpec]) -> Warn:
    def warnings(*overrides: str, text: str = GOOD) -> list[str]:
        spec = sweep(text, *overrides)
        trials = {
            stratum.name: [
                stratum.trial(p, seed) for p in stratum.grid() for seed in spec.seeds.values
            ]
            for stratum in build_strata(spec, FACTS)
        }
        return [line.replace("small_alexnet_bn-", "") for line in protocol_warnings(trials, spec)]

    return warnings


def test_nothing_to_warn_of(warn: Warn) -> None:
    assert warn() == []


def test_short_runs(warn: Warn) -> None:
    assert warn("space.global_batch=3200", "training.momentum=0.5", "space.epochs=20") == [
        "lars-B3200-E20: B/N = 0.256 > 0.2: too few steps per epoch (protocol 2)",
        "lars-B3200-E20: S = 79 < 100 steps (protocol 2)",
        "lars-B3200-E20: warm-up of 4 < 5 steps (protocol 2)",
    ]
    assert warn("space.epochs=1", "training.momentum=0.95") == [
        "lars-B64-E1: S = 196 < 10/(1−m) = 200 steps: momentum 0.95 never settles (protocol 2)"
    ]
    assert warn("space.epochs=1") == []
    assert warn("training.warmup={ steps = 0 }") == []


def test_one_line_for_many_trials(warn: Warn) -> None:
    lines = warn("space.epochs=0.5", "space.momentum=[0.9, 0.8]", "training.warmup={ share = 0.1 }")
    assert lines == [
        "lars-B64-E0.5: S = 98 < 100 steps (protocol 2)",
        "lars-B64-E0.5: S = 98 < 10/(1−m) = 100 steps: momentum 0.9 never settles (protocol 2)",
    ]


def test_too_few_seeds_and_learning_rates(warn: Warn) -> None:
    assert warn("seeds.count=2", "space.base_lr=[1, 2]") == [
        "2 seed(s) per point; under 3 no spread can be told from noise",
        "lars-B64-E10: 2 LR(s) cannot bracket the best; a worse one on each side needs at least 3 "
        "(protocol 11)",
    ]


def test_trust_coefficients_bracket_as_well(warn: Warn) -> None:
    assert warn("space.base_lr=1", "space.trust_coefficient=[0.001, 0.002, 0.004]") == []


def test_paper_protocol(warn: Warn) -> None:
    (line,) = warn("protocol.name=paper")
    assert line.startswith("protocol paper chooses and reports on the test set")


def test_trust_coefficient_and_lr_are_one_number(warn: Warn) -> None:
    both = ("space.base_lr=[1, 2, 4]", "space.trust_coefficient=[0.001, 0.002]")
    once = ("seeds.list=[1, 2, 3]", "seeds.paired=true")
    # γη: 1·.002 = 2·.001 and 2·.002 = 4·.001.
    (line,) = warn(*both, *once)
    assert line.startswith("lars-B64-E10: 2 points repeat another with the same γη")
    assert len(warn(*both, "training.warmup_start={ share = 0.5 }")) == 1


@pytest.mark.parametrize(
    "override",
    [
        "training.exclusions=bias_bn",
        "training.lars_variant=clip",
        "training.warmup_start={ lr = 0.5 }",
        "space.trust_coefficient=[0.001, 0.0011]",
    ],
)
def test_trust_coefficient_and_lr_are_two_numbers(warn: Warn, override: str) -> None:
    both = ("space.base_lr=[1, 2, 4]", "space.trust_coefficient=[0.001, 0.002]")
    assert warn(*both, override) == []


RIVALS = GOOD.replace('"lars"', '["sgd", "lars"]')


def test_fair_rivals(warn: Warn) -> None:
    assert warn(text=RIVALS) == []


def test_unfair_rivals(warn: Warn) -> None:
    lines = warn(
        "space.base_lr={ by_optimizer = { sgd = [1, 2, 3, 4], lars = [1, 2, 3] } }",
        "space.weight_decay={ by_optimizer = { sgd = 0.0001, lars = 0.0005 } }",
        text=RIVALS,
    )
    assert lines == [
        "small_alexnet_bn B64 E10: sgd and lars differ in weight_decay, trials (12 and 9); "
        "their comparison is not fair (protocol 11)"
    ]
