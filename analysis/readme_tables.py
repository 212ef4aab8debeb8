"""Writes the tables of README.md that are made from code and results, between their markers.

python analysis/readme_tables.py          rewrite README.md
python analysis/readme_tables.py --check  exit 1 if it would change
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from lars_sweep.outcomes.schema import CURVES, LAYERS, NOISE, OUTCOMES, SCHEMA_VERSION, Column

README = Path(__file__).parents[1] / "README.md"
BENCHMARKS = Path(__file__).parent / "benchmarks"


def schema_table(columns: tuple[Column, ...]) -> str:
    """One outcome table's columns as Markdown."""
    lines = ["| column | dtype | unit | null | meaning |", "|---|---|---|---|---|"]
    lines += [
        f"| `{c.name}` | {c.dtype} | {c.unit} | {'yes' if c.nullable else ''} | {c.meaning} |"
        for c in columns
    ]
    return "\n".join(lines)


def benchmark_table() -> str:
    """One line per committed benchmark result: its question, its limits, those it missed."""
    lines = ["| script | measures | limits | missed |", "|---|---|---|---|"]
    for file in sorted((BENCHMARKS / "results").glob("*.json")):
        result = json.loads(file.read_text())
        script = ast.parse((BENCHMARKS / f"{file.stem}.py").read_text())
        question = (ast.get_docstring(script) or "").partition("\n")[0].rstrip(".")
        missed = "; ".join(result["exceeded"]) or "none"
        link = f"[{file.stem}.py](analysis/benchmarks/results/{file.name})"
        lines.append(f"| {link} | {question} | {len(result['limits'])} | {missed} |")
    return "\n".join(lines)


def with_tables(text: str) -> str:
    """The README with its generated parts up to date."""
    tables = {"outcomes": OUTCOMES, "curves": CURVES, "layers": LAYERS, "noise": NOISE}
    parts = {name: schema_table(columns) for name, columns in tables.items()}
    parts["benchmarks"] = benchmark_table()
    parts["schema-version"] = f"Schema version {SCHEMA_VERSION}."
    for name, part in parts.items():
        text = put(text, name, part)
    return text


def put(text: str, name: str, part: str) -> str:
    """The text with ``part`` between the markers called ``name``."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    assert (found, closed) == (begin, end), f"README.md must have {begin} … {end}"
    return f"{before}{begin}\n{part}\n{end}{after}"


if __name__ == "__main__":
    before = README.read_text()
    after = with_tables(before)
    if "--check" in sys.argv:
        sys.exit(before != after)
    README.write_text(after)
