"""What the command line says to people: on stderr, in colour where it is a terminal."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, is_dataclass


def say(text: str) -> None:
    """A line of talk."""
    print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """An expected error: one readable message, no traceback."""
    red, plain = ("\033[31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    print(f"{red}error:{plain} {text}", file=sys.stderr, flush=True)


def print_json(content: object) -> None:
    """Machine-readable output, on stdout."""
    if is_dataclass(content) and not isinstance(content, type):
        content = asdict(content)
    print(json.dumps(content, indent=2, allow_nan=False))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table on stdout: text left, numbers right; stable, so that tests can compare it."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    numeric = [all(_is_number(row[i]) for row in cells[1:]) for i in range(len(head))]
    for row in cells:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdigit() or text == "-"


def configure_logging() -> None:
    """Warnings of the package become one line each on stderr."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    package = logging.getLogger("lars_sweep")
    package.handlers[:] = [handler]
    package.setLevel(logging.WARNING)


def duration(seconds: float | None) -> str:
    """As in ``1 h 05 min``, ``3 min 20 s``, ``-``."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"
