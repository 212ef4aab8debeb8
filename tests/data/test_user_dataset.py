from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lars_sweep.data import load_dataset
from lars_sweep.errors import DataError, LarsSweepError, SpecError
from lars_sweep.spec.userobject import is_reference, load_object, module_source_hash

Module = Callable[[str], str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Module:
    """Write a module outside the package, found through the working directory only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    name = f"mine_{tmp_path.name}"

    def write(source: str) -> str:
        Path(f"{name}.py").write_text("import numpy as np\n" + source)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return name

    return write


GOOD = """
def arrays(n=6, channels=3):
    images = np.arange(n * channels * 16, dtype=np.uint32).astype(np.uint8)
    return images.reshape(n, channels, 4, 4), np.arange(n, dtype=np.int32) % 3
def data():
    return (*arrays(6), *arrays(3))
"""


def test_four_arrays_become_a_data_set(module: Module) -> None:
    data = load_dataset(f"{module(GOOD)}:data")
    assert data.info.name.endswith(":data")
    assert (data.info.train_samples, data.info.test_samples, data.info.num_classes) == (6, 3, 3)
    assert (data.info.channels, data.info.image_size) == (3, 4)
    assert data.train.images(np.array([1])).ravel().tolist() == list(range(48, 96))
    assert data.train.labels.dtype == np.int64


def test_the_identity_follows_the_content(module: Module) -> None:
    first = load_dataset(f"{module(GOOD)}:data").info.content_id
    assert load_dataset(f"{module(GOOD + '# a comment')}:data").info.content_id == first
    changed = module(GOOD.replace("% 3\n", "% 2\n"))
    assert load_dataset(f"{changed}:data").info.content_id != first


def test_a_dataset_of_ones_own_is_taken_as_it_is(module: Module) -> None:
    name = module(
        "from lars_sweep.data import load_dataset\ndef data(): return load_dataset('digits')"
    )
    info = load_dataset(f"{name}:data").info
    assert (info.name, info.content_id) == (f"{name}:data", load_dataset("digits").info.content_id)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return 3", "returned a int; allowed: a lars_sweep.data.Dataset"),
        ("return (a, b, a)", "returned a tuple of 3"),
        ("return (a.astype(float), b, a, b)", r"train_images: got float64 \(6, 3, 4, 4\)"),
        ("return (a[:, 0], b, a, b)", r"return images\[:, None\]"),
        ("return (a.transpose(0, 2, 3, 1), b, a, b)", "channels last"),
        ("return (a[:0], b[:0], a, b)", "empty array"),
        ("return (a, b, a, b[:4])", r"test_labels: got shape \(4,\); allowed: \(6,\)"),
        ("return (a, b.astype(float), a, b)", "train_labels: got float64"),
        ("return (a, b - 1, a, b)", "train_labels: got -1 … 1; allowed: 0"),
        ("return (a, b, a, b + 1)", "test_labels: got 1 … 3; allowed: 0 … 2"),
        ("return (a, b, a[:, :1], b)", r"\(3, 4, 4\), test images \(1, 4, 4\)"),
        ("return (a[:, :, :3], b, a[:, :, :3], b)", "square"),
        ("return (list(a), b, a, b)", "train_images: got a list"),
        ("return 1 / 0", r"ZeroDivisionError in .*mine_.*\.py:\d+: division by zero"),
    ],
)
def test_what_is_wrong_is_said(module: Module, body: str, message: str) -> None:
    name = module(f"{GOOD}\ndef bad():\n    a, b = arrays()\n    {body}\n")
    with pytest.raises(DataError, match=message):
        load_dataset(f"{name}:bad")


DATASET = """
from dataclasses import replace
from lars_sweep.data import Dataset, load_dataset
def bad():
    d = load_dataset('digits')
    return Dataset(replace(d.info, %s), d.train, d.test)
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train_samples=3", r"train.labels: got int64 \(1500,\); allowed: int64 \(3,\)"),
        ("num_classes=4", r"train.labels: got 0 … 9; allowed: 0 … 3"),
        (
            "image_size=9",
            r"images\(\[0\]\): got uint8 \(1, 1, 8, 8\); allowed: uint8 \(1, 1, 9, 9\)",
        ),
    ],
)
def test_a_dataset_must_fit_its_info(module: Module, change: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(f"{module(DATASET % change)}:bad")


def test_source_hash_is_of_the_file_and_runs_nothing(module: Module) -> None:
    name = module("raise SystemExit('executed')")
    expected = hashlib.sha256(Path(f"{name}.py").read_bytes()).hexdigest()
    assert module_source_hash(f"{name}:anything") == expected
    package = Path(f"pack_{name}")
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('executed')")
    (package / "nets.py").write_text("x = 1")
    assert module_source_hash(f"{package}.nets:f") == hashlib.sha256(b"x = 1").hexdigest()
    assert package.name not in sys.modules


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nonsense", "allowed: package.module:function"),
        ("no_such_module_here:f", "no module no_such_module_here on sys.path"),
        ("json.nothing:f", "no module json.nothing in "),
        ("json.decoder.deeper:f", "json.decoder is a module, not a package"),
        ("sys:exit", "no module sys|no source file"),
    ],
)
def test_a_reference_that_leads_nowhere(reference: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        module_source_hash(reference)


def test_a_missing_function_lists_those_there(module: Module) -> None:
    with pytest.raises(SpecError, match="no function 'dat'; it has: arrays, data"):
        load_object(f"{module(GOOD)}:dat")


def test_a_module_that_fails_to_import(module: Module) -> None:
    with pytest.raises(LarsSweepError, match="failed: NameError: name 'nope' is not defined"):
        load_object(f"{module('nope')}:data")


def test_what_counts_as_a_reference() -> None:
    assert is_reference("a.b_c:d")
    assert not any(map(is_reference, ["a", "a:", ":b", "a:b:c", "a b:c", "synthetic:samples=3"]))
