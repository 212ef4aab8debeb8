"""What the coverage scripts share: the gate of PROTOCOL.md 16, results file, code version."""

from __future__ import annotations

import argparse
import ast
import hashlib
import io
import json
import time
import tokenize
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
    """First 16 digits of sha256 over the modules of lars_sweep.fit and the scripts that ran.

    Over their code: what comments and docstrings say changes no number.
    """
    digest = hashlib.sha256()
    package = Path(lars_sweep.fit.__file__).parent
    files = [package / f"{name}.py" for name in sorted(modules)]
    for file in (*files, Path(script), Path(__file__)):
        digest.update(_code(file.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()[:16]


def _code(source: str) -> str:
    """Source without comments, docstrings and empty lines."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column].rstrip()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            first, last = node.lineno, node.end_lineno or node.lineno
            lines[first - 1 : last] = [""] * (last - first + 1)
    return "\n".join(filter(None, lines))


def main(
    suite: str,
    scenarios: Collection[str],
    run: Callable[[str, int], dict[str, object]],
    modules: Collection[str],
    script: str,
) -> None:
    """Run all scenarios and write ``analysis/results/coverage/<suite>.json``.

    A scenario enters the file when it has run at its full length; those that the same code has
    computed before stay, so that a long suite may be run in parts.

    Args:
        suite: name of the results file.
        scenarios: all of them.
        run: makes a scenario's entry from its name and the number of repetitions.
        modules: the modules of lars_sweep.fit whose code the results depend on.
        script: the file that defines ``run``.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--only", nargs="*", choices=list(scenarios), default=list(scenarios))
    options = parser.parse_args()
    report = {
        "suite": suite,
        "script": Path(script).name,
        "code_version": code_version(modules, script),
        "modules": sorted(modules),
    }
    file = RESULTS / f"{suite}.json"
    found = _computed(file, report["code_version"])
    for name in options.only:
        start = time.perf_counter()
        entry = run(name, options.repetitions)
        print(f"{name}: {time.perf_counter() - start:.0f} s\n{json.dumps(entry)}", flush=True)
        if options.repetitions != REPETITIONS:
            continue
        found[name] = entry
        ordered = {known: found[known] for known in scenarios if known in found}
        RESULTS.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**report, "scenarios": ordered}, indent=1) + "\n")


def _computed(file: Path, version: object) -> dict[str, object]:
    """Scenarios that a results file holds from the same code."""
    if not file.exists():
        return {}
    before = json.loads(file.read_text())
    return dict(before["scenarios"]) if before["code_version"] == version else {}
