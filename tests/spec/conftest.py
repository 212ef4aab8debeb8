"""A small sweep file to vary, and the digits' facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.strata import DataFacts, Stratum, build_strata
from lars_sweep.spec.sweep import SweepSpec

FACTS = DataFacts(content_id="0123456789abcdef", train_samples=1500)
"""N = 1250 after a sixth is held out."""

HEAD = """\
name = "test"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., SweepSpec]:
    """Loads HEAD plus a text."""

    def load(text: str, *overrides: str) -> SweepSpec:
        path = tmp_path / "sweep.toml"
        path.write_text(HEAD + text, encoding="utf-8")
        return load_sweep(path, overrides)

    return load


@pytest.fixture
def strata(sweep: Callable[..., SweepSpec]) -> Callable[..., dict[str, Stratum]]:
    """The strata of HEAD plus a text, by name."""

    def build(text: str, *overrides: str) -> dict[str, Stratum]:
        return {s.name: s for s in build_strata(sweep(text, *overrides), FACTS)}

    return build
