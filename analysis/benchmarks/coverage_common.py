"""What the coverage scripts share: the gate of PROTOCOL.md 16, results file, code version."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy import stats

import lars_sweep.fit

RESULTS = Path(__file__).parents[1] / "results" / "coverage"
REPETITIONS = 2000
FLOOR = 0.93


@dataclass(frozen=True)
class Gate:
    """Coverage of nominal 95 % intervals and its one-sided 99 % Clopper-Pearson limit."""

    repetitions: int
    coverage: float
    upper_limit: float

    @classmethod
    def of(cls, covered: np.ndarray) -> Gate:
        n, k = len(covered), int(np.sum(covered))
        upper = 1.0 if k == n else float(stats.beta.ppf(0.99, k + 1, n - k))
        return cls(repetitions=n, coverage=k / n, upper_limit=upper)

    @property
    def holds(self) -> bool:
        """A scenario fails when even the upper limit is below 0.93."""
        return self.upper_limit >= FLOOR

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def rate(events: np.ndarray) -> float:
    return float(np.mean(events))


def code_version(modules: Collection[str], script: str) -> str:
    """First 16 digits of sha256 over the modules of lars_sweep.fit and the scripts that ran."""
    digest = hashlib.sha256()
    package = Path(lars_sweep.fit.__file__).parent
    files = [package / f"{name}.py" for name in sorted(modules)]
    for file in (*files, Path(script), Path(__file__)):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def main(
    suite: str,
    scenarios: Collection[str],
    run: Callable[[str, int], dict[str, object]],
    modules: Collection[str],
    script: str,
) -> None:
    """Run all scenarios and write ``analysis/results/coverage/<suite>.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--only", nargs="*", default=None)
    options = parser.parse_args()
    found = {}
    for name in scenarios:
        if options.only and name not in options.only:
            continue
        start = time.perf_counter()
        found[name] = run(name, options.repetitions)
        print(f"{name}: {time.perf_counter() - start:.0f} s\n{json.dumps(found[name])}", flush=True)
    if options.only or options.repetitions != REPETITIONS:
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = {
        "suite": suite,
        "script": Path(script).name,
        "code_version": code_version(modules, script),
        "modules": sorted(modules),
        "scenarios": found,
    }
    (RESULTS / f"{suite}.json").write_text(json.dumps(report, indent=1) + "\n")
