"""The fields of a sweep file are those of a trial, and its names those that exist."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lars_sweep.data import load_dataset
from lars_sweep.errors import DataError
from lars_sweep.spec.fields import DATASETS, FIELDS, MODELS, Rule, is_dataset
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.models import NETWORKS

# Set by the caller, the data set, the protocol or the seeds section.
NOT_AXES = {"model_source", "dataset", "data_id", "samples", "protocol", "val_share", "seed"}


def test_every_field_of_a_trial_can_be_asked_for() -> None:
    fields = {field.name for field in dataclasses.fields(TrialSpec)}
    assert {"warmup_steps" if name == "warmup" else name for name in FIELDS} == fields - NOT_AXES


def test_models_exist() -> None:
    assert set(MODELS) == set(NETWORKS)


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_that_a_sweep_may_name_has_a_loader(name: str, tmp_path: Path) -> None:
    try:
        load_dataset(name, tmp_path)
    except DataError as missing:
        assert "no data set is called" not in str(missing)  # noqa: PT017


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
