"""trial_id: what it depends on, what it does not, and golden values of science version 1."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lars_sweep.spec.strata import Stratum
from lars_sweep.spec.trial import (
    SCIENCE_VERSION,
    TrialSpec,
    canonical_json,
    trial_from_json,
    trial_to_json,
)

BASE = TrialSpec(
    model="alexnet_bn",
    dataset="imagenet",
    data_id="0123456789abcdef",
    samples=1_231_167,
    optimizer="sgd",
    global_batch=8192,
    bn_batch=1024,
    base_lr=0.3,
    epochs=100,
    seed=1,
)
LARS = dataclasses.replace(
    BASE,
    optimizer="lars",
    lars_variant="paper",
    granularity="layer",
    zero_norm="one",
    trust_coefficient=0.001,
    base_lr=14,
    warmup_steps=751,
)


def test_science_version() -> None:
    """A new version needs new golden values and a line in the README that says what changed."""
    assert SCIENCE_VERSION == 1


@pytest.mark.parametrize(
    ("trial", "trial_id"),
    [
        (BASE, "4c1402d3a74308ae"),
        (LARS, "d39da3e127735582"),
        (dataclasses.replace(BASE, optimizer="adamw", base_lr=0.001), "c5ef4066d4789ea8"),
        (dataclasses.replace(BASE, optimizer="lamb", base_lr=0.002), "5d9a2faa7e5881ca"),
        (
            dataclasses.replace(BASE, schedule="step", milestones=(0.3, 0.6), step_factor=0.2),
            "9707bbec64a4ee6d",
        ),
        (dataclasses.replace(BASE, model="nets:build", model_source="ab" * 32), "0f805702404afd53"),
    ],
)
def test_golden_ids(trial: TrialSpec, trial_id: str) -> None:
    assert trial.trial_id == trial_id


def test_canonical_json_word_for_word() -> None:
    """The format itself, so that another program can compute the same ids."""
    text = canonical_json(LARS)
    assert text == (
        '{"augmentation":"none","base_lr":14,"bn_batch":1024,"bn_eval":"recompute",'
        '"data_id":"0123456789abcdef","dataset":"imagenet","epochs":100,"evaluations":20,'
        '"exclusions":"none","global_batch":8192,"granularity":"layer","init":"paper",'
        '"lars_variant":"paper","lr_excluded":null,"milestones":[],"model":"alexnet_bn",'
        '"model_source":null,"momentum":"0x1.ccccccccccccdp-1","momentum_form":"inside",'
        '"nesterov":false,"optimizer":"lars","poly_origin":"global","power":2,'
        '"precision":"fp32","protocol":"held_out","schedule":"poly","science_version":1,'
        '"seed":1,"step_factor":"0x1.999999999999ap-4",'
        '"trust_coefficient":"0x1.0624dd2f1a9fcp-10","val_share":"0x1.5555555555555p-3",'
        '"warmup_start":0,"warmup_steps":751,"weight_decay":"0x1.0624dd2f1a9fcp-11",'
        '"zero_norm":"one"}'
    )
    assert LARS.trial_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_every_field_counts_but_the_size_of_the_training_part() -> None:
    """The size follows from data_id, protocol and val_share."""
    other: dict[type, Callable[..., object]] = {
        int: lambda v: v + 1,
        float: lambda v: v + 0.125,
        bool: lambda v: not v,
        str: lambda v: v + "x",
        tuple: lambda v: (*v, 0.5),
        type(None): lambda v: 0.25,
    }
    for field in dataclasses.fields(TrialSpec):
        value = getattr(LARS, field.name)
        changed = dataclasses.replace(LARS, **{field.name: other[type(value)](value)})
        same = changed.trial_id == LARS.trial_id
        assert same == (field.name == "samples"), field.name


def test_integers_and_equal_floats_are_the_same() -> None:
    assert dataclasses.replace(BASE, epochs=100.0).trial_id == BASE.trial_id
    assert dataclasses.replace(LARS, base_lr=14.0).trial_id == LARS.trial_id


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_id_without_a_number(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        _ = dataclasses.replace(BASE, base_lr=value).trial_id


@given(st.floats(min_value=1e-300, max_value=1e300), st.randoms(use_true_random=False))
def test_json_round_trip_and_key_order(lr: float, rng: random.Random) -> None:
    trial = dataclasses.replace(LARS, base_lr=lr, milestones=(0.25, 0.5))
    items = list(json.loads(json.dumps(trial_to_json(trial))).items())
    rng.shuffle(items)
    again = trial_from_json(dict(items))
    assert again == trial
    assert again.trial_id == trial.trial_id


def test_unknown_fields_are_named() -> None:
    with pytest.raises(TypeError, match="unknown trial fields: colour, shape"):
        trial_from_json({**trial_to_json(BASE), "shape": 1, "colour": 2})


SPACE = """\
momentum = 0.8
[space]
optimizer = ["sgd", "lars"]
global_batch = [64, 256]
epochs = 10
base_lr = [0.1, 0.2]
[seeds]
count = 2
"""


def _ids(strata: dict[str, Stratum]) -> set[str]:
    return {s.trial(p, seed).trial_id for s in strata.values() for p in s.grid() for seed in (0, 1)}


@pytest.mark.parametrize(
    "overrides",
    [
        ["name=other", "question=why"],
        ["space.epochs=10.0", "space.global_batch=[256, 64]"],
        ["strategy.strata=[]"],
        ['strategy.strata=["base_lr"]', "strategy.seed=5"],
        ["space.base_lr={ log = [0.1, 0.2], points = 2 }"],
        ["space.base_lr={ by_batch = { 64 = [0.1, 0.2], 256 = [0.2, 0.1] } }"],
        ["budget.trials=5000", "protocol.delta=0.25"],
        ["training.warmup={ steps = 0 }", "training.warmup_start={ lr = 0.05 }"],
        ["training.power=2.0", "training.trust_coefficient=1e-3"],
    ],
)
def test_what_is_no_science_does_not_count(
    strata: Callable[..., dict[str, Stratum]], overrides: list[str]
) -> None:
    assert _ids(strata(SPACE, *overrides)) == _ids(strata(SPACE))


def test_golden_ids_of_a_sweep(strata: Callable[..., dict[str, Stratum]]) -> None:
    """From the file to the id: couplings, warm-up in steps, derived seeds."""
    text = """\
warmup = { epochs = 2 }
[space]
optimizer = ["sgd", "lars"]
global_batch = 256
epochs = 10
[space.base_lr]
scale = "sqrt"
from_batch = 64
from_lr = 0.03
times = { log = [0.1, 10], points = 4 }
"""
    found = [s.trial(p, 0) for s in strata(text).values() for p in s.grid()]
    assert [(trial.base_lr, trial.trial_id) for trial in found] == [
        (0.006, "fb2304b9175e5111"),
        (0.0278495, "32f7180e7dba38af"),
        (0.129266, "b8835d300d260a3e"),
        (0.6, "675c24107ec03823"),
        (0.006, "79922b85494f0e7b"),
        (0.0278495, "edaa9b020a5ef9c2"),
        (0.129266, "0794c6bbc729292c"),
        (0.6, "beffc181f19c5676"),
    ]
