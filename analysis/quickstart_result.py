"""Puts the result of the quick-start sweep into README.md.

    make demo && .venv/bin/python analysis/quickstart_result.py demo-run

Copies the figure and the table of the report into analysis/results/quickstart and rewrites the
README between its markers.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

from readme_tables import README, put

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "analysis" / "results" / "quickstart"


def main(run: Path) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in ("accuracy-vs-lr.png", "chosen.csv"):
        shutil.copy(run / "report" / name, KEPT / name)
    with (KEPT / "chosen.csv").open() as file:
        rows = list(csv.DictReader(file))
    README.write_text(put(README.read_text(), "quickstart-result", result(rows)))


def result(rows: list[dict[str, str]]) -> str:
    """The README's first figure and table."""
    lines = [
        "![Accuracy against base learning rate, by batch, for LARS and SGD]"
        "(analysis/results/quickstart/accuracy-vs-lr.png)",
        "",
        "What `make demo` finds: a small AlexNet-BN on 1,250 real images of digits, 15 epochs. "
        "LR chosen on val, accuracy on test, mean ± standard deviation over seeds "
        "(`analysis/quickstart_result.py` made this from the run).",
        "",
        "| optimizer | batch | LRs tried | chosen LR | val % | test % | seeds |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['optimizer'].upper()} | {row['global_batch']} "
            f"| {float(row['lr_low']):.3g} – {float(row['lr_high']):.3g} ({row['lrs']}) "
            f"| {float(row['base_lr']):.3g} "
            f"| {spread(row, 'choice')} | {spread(row, 'report')} | {row['n']} |"
        )
    return "\n".join(lines)


def spread(row: dict[str, str], part: str) -> str:
    return f"{float(row[f'{part}_mean']):.1f} ± {float(row[f'{part}_sd']):.1f}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
