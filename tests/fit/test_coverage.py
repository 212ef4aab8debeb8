"""Coverage of the intervals: a small simulation always, the whole suites under ``long``.

The long results are committed with a hash of the code that made them; a change of that code without
a new run fails here. Comments and docstrings are no part of that hash.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "analysis" / "benchmarks"
SUITES = ("edges", "derived", "chain")

# Targets that the committed results miss, by scenario and side; anything else must hold. Of the
# edges: a peak and a narrow plateau look alike at nine LRs. Whatever has to hold under both is at
# least 1.75 and 1.83 times as wide at the first two edges as what is told of a peak: see
# coverage_bounds.py. Of the ratios, 0.09 and 0.19 are the price of FORM_ERROR. Without it the
# second edge is covered in 0.91, and the first one of curves outside the families (|x|**1.75;
# levelling off six points down) in 0.63 and 0.81 instead of 0.74 and 0.87. Flat tops alone err by
# 0.088 octave at the third edge, but by 0.091 instead of 0.069 at the first, and they cost width
# (1.76 and 1.89). 400 repetitions each.
KNOWN_MISSES: dict[str, set[str]] = {
    "edges": {
        "asymmetric with cliff low width",  # 1.56 times the oracle's, 1.5 allowed
        "wide scatter far from the plateau low width",  # 1.66
        "flat top with cliff low rmse",  # 0.116 octave, 0.10 allowed, the oracle's 0.088
    },
    "derived": set(),
    "chain": set(),
}


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> object:
    """Import a coverage script by suite."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"coverage_{name}")

    return load


def _misses(scenarios: dict[str, dict]) -> set[str]:
    missed = set()
    for name, entry in scenarios.items():
        sides = {"": entry} if "holds" in entry else entry
        for side, result in sides.items():
            missed |= {
                " ".join(filter(None, (name, side, gate)))
                for gate, holds in result["holds"].items()
                if not holds
            }
    return missed


def _lengths(scenarios: dict[str, dict]) -> set[int]:
    entries = [e for entry in scenarios.values() for e in (entry, *entry.values())]
    return {e["repetitions"] for e in entries if isinstance(e, dict) and "repetitions" in e}


@pytest.mark.parametrize("scenario", ["flat top with cliff"])
def test_edges_cover_in_400_repetitions(benchmark, scenario: str) -> None:  # type: ignore[no-untyped-def]
    sides = benchmark("edges").run(scenario, 400)
    for side in sides.values():
        assert side["holds"]["coverage"], side
        assert side["holds"]["unbounded"], side


@pytest.mark.parametrize("scenario", ["B_half, exponent 0.9", "noise scale 4096 at batch 512"])
def test_derived_intervals_cover_in_100_repetitions(benchmark, scenario: str) -> None:  # type: ignore[no-untyped-def]
    assert benchmark("derived").run(scenario, 100)["holds"]["coverage"]


def test_edges_cover_with_adaptive_seeds_and_pruning_in_40_repetitions(benchmark) -> None:  # type: ignore[no-untyped-def]
    sides = benchmark("chain").run("edges, seeds until narrow, median pruning", 40)
    assert set(sides) == {"low", "high"}
    for side in sides.values():
        assert side["holds"]["coverage"], side


def test_the_version_of_code_is_that_of_its_statements(benchmark, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    script = tmp_path / "script.py"

    def version(source: str) -> str:
        script.write_text(source)
        return benchmark("common").code_version((), str(script))

    before = version('def f():\n    """Says."""\n    return "# 1"\n')
    assert (
        version('# Why.\n\ndef f():\n    """Says\n\n    more."""\n    return "# 1"  # one\n')
        == before
    )
    assert version('def f():\n    """Says."""\n    return "# 2"\n') != before


@pytest.mark.parametrize("suite", SUITES)
def test_committed_results_belong_to_this_code_and_hold(benchmark, suite: str) -> None:  # type: ignore[no-untyped-def]
    common, script = benchmark("common"), benchmark(suite)
    committed = json.loads((common.RESULTS / f"{suite}.json").read_text())
    assert committed["code_version"] == common.code_version(script.MODULES, script.__file__), (
        f"the code changed: run analysis/benchmarks/coverage_{suite}.py and commit its result"
    )
    assert set(committed["scenarios"]) == set(script.SCENARIOS)
    assert _lengths(committed["scenarios"]) == {common.REPETITIONS}
    assert _misses(committed["scenarios"]) == KNOWN_MISSES[suite]


def test_no_width_is_below_its_bound_and_the_missed_ones_are_where_a_family_costs_most(
    benchmark,  # type: ignore[no-untyped-def]
) -> None:
    bounds = benchmark("bounds")
    committed = json.loads((benchmark("common").RESULTS / "edges.json").read_text())["scenarios"]
    price = {}
    for name, truth in bounds.normal_truths().items():
        for side in ("low",) if truth.open_above else ("low", "high"):
            own = bounds.least_width(truth, side, (truth.family,))
            both = bounds.least_width(truth, side, ("flat", "split"))
            assert own < committed[name][side]["oracle_width"]
            assert both < committed[name][side]["median_width"]
            price[f"{name} {side} width"] = both / own
    missed = {name for name in KNOWN_MISSES["edges"] if name.endswith("width")}
    assert {name for name, ratio in price.items() if ratio > 1.5} == missed


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("suite", SUITES)
def test_committed_results_are_what_the_scripts_compute(suite: str) -> None:
    file = BENCHMARKS.parent / "results" / "coverage" / f"{suite}.json"
    before = json.loads(file.read_text())
    subprocess.run([sys.executable, str(BENCHMARKS / f"coverage_{suite}.py")], check=True)
    after = json.loads(file.read_text())
    assert _misses(after["scenarios"]) == _misses(before["scenarios"])
