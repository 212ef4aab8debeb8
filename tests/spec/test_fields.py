"""The fields of a sweep file are those of a trial, and its names those that exist."""

from __future__ import annotations

import dataclasses

import pytest

from lars_sweep.data.registry import BUILT_IN
from lars_sweep.spec.fields import DATASETS, FIELDS, MODELS, Rule, is_dataset
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.models import NETWORKS

# Set by the caller, the data set, the protocol or the seeds section.
NOT_AXES = {"model_source", "dataset", "data_id", "samples", "protocol", "val_share", "seed"}


def test_every_field_of_a_trial_can_be_asked_for() -> None:
    fields = {field.name for field in dataclasses.fields(TrialSpec)}
    assert {"warmup_steps" if name == "warmup" else name for name in FIELDS} == fields - NOT_AXES


def test_names_exist() -> None:
    assert set(MODELS) == set(NETWORKS)
    assert set(DATASETS) == set(BUILT_IN)


def test_choices_are_those_of_the_trial() -> None:
    assert FIELDS["optimizer"].rule == Rule(kind="choice", choices=("sgd", "lars", "adamw", "lamb"))
    assert FIELDS["lars_variant"].rule is not None
    assert FIELDS["lars_variant"].rule.choices == ("paper", "no_decay_in_norm", "clip")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("digits", True),
        ("synthetic:image_size=64", True),
        ("my.data:load", True),
        ("digit", False),
        ("digits:x=1", False),
        ("my.data:", False),
    ],
)
def test_data_sets(name: str, known: bool) -> None:
    assert is_dataset(name) == known
