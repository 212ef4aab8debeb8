"""An analysis as files for programs and papers: JSON, CSV, Markdown, LaTeX; all deterministic."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lars_sweep.fit.analysis import Analysis, Chosen, Entry
from lars_sweep.fit.answers import Answer, Interval, to_jsonable
from lars_sweep.fit.engine import CurveFit
from lars_sweep.report.fit_records import Record, Value
from lars_sweep.report.fit_tables import FitTable, fit_tables
from lars_sweep.report.labels import batch_label

FITS_VERSION = 1
"""Of the layout of ``fits.json``; raised when a reader would have to change."""


def fits_json(analyses: Mapping[str, Analysis]) -> bytes:
    """Every fit of some runs at full precision: run → field of `Analysis` → entries.

    An entry is ``{"key", "pooled", "status", "reason", "result"}`` with status ``fitted``,
    ``too_little`` or ``refused``; ``result`` has the fields of the dataclass that the field is
    annotated with.
    """
    runs = {run: analysis_content(analysis) for run, analysis in analyses.items()}
    return (_lines({"fits_version": FITS_VERSION, "runs": runs}, depth=4) + "\n").encode()


def _lines(value: object, depth: int) -> str:
    """JSON with a line per item down to a depth: a line for each entry of each field.

    Deeper ones would multiply the time, as only what stands in one line is written by C code.
    """
    if depth == 0 or not value or not isinstance(value, (dict, list)):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    if isinstance(value, list):
        return "[\n" + ",\n".join(_lines(item, depth - 1) for item in value) + "\n]"
    items = (
        f"{json.dumps(key, ensure_ascii=False)}: {_lines(item, depth - 1)}"
        for key, item in value.items()
    )
    return "{\n" + ",\n".join(items) + "\n}"


def analysis_content(analysis: Analysis) -> dict[str, object]:
    """One run's part of ``fits.json``."""
    content: dict[str, object] = {}
    for field in dataclasses.fields(analysis):
        value = getattr(analysis, field.name)
        entries = field.name not in ("options", "counts")
        content[field.name] = [_entry(entry) for entry in value] if entries else to_jsonable(value)
    return content


def _entry(entry: Entry[object]) -> dict[str, object]:
    missing = entry.found is None
    return {
        "key": {
            **dict(entry.key.conditions),
            "global_batch": entry.key.global_batch,
            "epochs": entry.key.epochs,
        },
        "pooled": list(entry.pooled),
        "status": {"TooLittle": "too_little", "Refused": "refused"}.get(
            type(entry.result).__name__, "fitted"
        ),
        "reason": getattr(entry.result, "reason", "") if missing else "",
        "result": None if missing else _content(entry.result),
    }


def _content(value: object) -> object:
    """As `to_jsonable`, but a curve says its form and the names of its parameters."""
    if type(value) is float:  # most there are
        return to_jsonable(value)
    if isinstance(value, CurveFit):
        return {
            "form": value.form.name,
            "settings": to_jsonable(value.form),
            "parameters": to_jsonable(value.parameters),
            "rss": to_jsonable(value.rss),
            "at_bound": list(value.at_bound),
            "data": to_jsonable(value.data),
        }
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _content(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [_content(item) for item in value]
    return to_jsonable(value)


_ANSWERS = re.compile("_(low|high|kind)$")


def table_csv(table: FitTable) -> bytes:
    """One table at full precision; an answer is value, limits and kind in columns of their own."""
    flat = [flat_record(record) for record in table.records]
    order = {name: i for i, name in enumerate(table.columns)}
    names = list(dict.fromkeys(name for record in flat for name in record))
    names.sort(key=lambda name: order.get(name, order.get(_ANSWERS.sub("", name), 0)))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return text.getvalue().encode("utf-8")


def flat_record(record: Record) -> dict[str, str]:
    """A record as the columns and texts of a CSV file."""
    return {name: text for column, value in record.items() for name, text in _flat(column, value)}


def _flat(column: str, value: Value) -> Iterable[tuple[str, str]]:
    if isinstance(value, Answer):
        yield column, _exact(value.value)
        if value.interval is not None:
            yield from _flat(column, value.interval)
        yield f"{column}_kind", value.kind.value
    elif isinstance(value, Interval):
        yield f"{column}_low", _exact(value.low)
        yield f"{column}_high", _exact(value.high)
    else:
        yield column, _exact(value)


def _exact(value: str | float | None) -> str:
    """Floats as their shortest exact text, booleans as 0 and 1; nothing for a missing number."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return repr(float(value)) if isinstance(value, float) else str(value)  # numpy's has a prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTable:
    """A table in the layout of the paper's Tables 3, 4 and 6 or, over epochs, of its Table 5."""

    name: str
    """Stem of its files."""
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> bytes:
        """As a pipe table under its caption; numbers right."""
        lines = [
            self.caption,
            "",
            _pipes(self.head),
            _pipes(["--:"] * len(self.head)),
            *(_pipes(row) for row in self.rows),
        ]
        return ("\n".join(lines) + "\n").encode("utf-8")

    def latex(self) -> bytes:
        """As a table environment with booktabs rules."""
        body = [_latex_row(row) for row in self.rows]
        lines = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(self.caption)}}}",
            rf"\begin{{tabular}}{{{'r' * len(self.head)}}}",
            r"\toprule",
            _latex_row(self.head),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return ("\n".join(lines) + "\n").encode("utf-8")


def paper_tables(analysis: Analysis) -> tuple[PaperTable, ...]:
    """Per group: batch, LR, warm-up, epochs, accuracy; and epochs, accuracy per longer batch."""
    tables: list[PaperTable] = []
    for entry in analysis.chosen:
        if entry.found is None:
            continue
        stem = file_stem(
            "-".join(_word(value) for _, value in entry.key.conditions if value is not None)
        )
        rows, longer = _by_batch(entry.found)
        tables.append(_batch_table(f"table-batch-{stem}", entry.key.label, rows))
        for batch, lengths in longer.items():
            name = f"table-epochs-{stem}-{batch}"
            tables.append(_epochs_table(name, entry.key.label, batch, lengths))
    return tuple(tables)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def file_stem(text: str) -> str:
    """A name that every file system and every shell takes, different for different texts.

    Other characters than letters, digits and ``_ . + = -`` become ``_``, a long name is cut; what
    was changed ends on a hash of the whole.
    """
    names = sys.getfilesystemencoding()  # ASCII in an old locale, where 网 has no name
    safe = re.sub(r"[^\w.+=-]", "_", text.encode(names, "replace").decode(names))
    if safe == text and len(safe.encode()) <= _LONGEST:
        return text
    short = safe.encode()[:_LONGEST].decode(errors="ignore")
    return f"{short}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


_LONGEST = 120
"""Bytes of a stem that is kept; file systems take 255 with everything around it."""


def _by_batch(chosen: Sequence[Chosen]) -> tuple[list[Chosen], dict[int, list[Chosen]]]:
    """One row per batch, at the number of epochs that most batches share; batches with several."""
    counts = Counter(row.epochs for row in chosen)
    common = min(counts, key=lambda epochs: (-counts[epochs], epochs))
    by_batch: dict[int, list[Chosen]] = {}
    for row in chosen:
        by_batch.setdefault(row.global_batch, []).append(row)
    rows = [
        min(lengths, key=lambda row: (row.epochs != common, row.epochs))
        for lengths in by_batch.values()
    ]
    return rows, {batch: lengths for batch, lengths in by_batch.items() if len(lengths) > 1}


def _batch_table(name: str, label: str, rows: Sequence[Chosen]) -> PaperTable:
    warm = any(row.warmup_epochs is not None for row in rows)
    head = ["Batch", "Base LR", *(["Warm-up, epochs"] if warm else []), "Epochs", _ACCURACY]
    return PaperTable(
        name=name,
        caption=f"{label}: accuracy at the chosen LR of each batch.",
        head=tuple(head),
        rows=tuple(
            (
                batch_label(row.global_batch),
                _short(row.lr),
                *([_short(row.warmup_epochs)] if warm else []),
                _short(row.epochs),
                _accuracy(row),
            )
            for row in rows
        ),
    )


_ACCURACY = "Accuracy, %"


def _epochs_table(name: str, label: str, batch: int, rows: Sequence[Chosen]) -> PaperTable:
    return PaperTable(
        name=name,
        caption=f"{label}: accuracy against epochs at batch {batch_label(batch)}.",
        head=("Epochs", _ACCURACY),
        rows=tuple((_short(row.epochs), _accuracy(row)) for row in rows),
    )


def _short(value: float | None) -> str:
    return "N/A" if value is None or math.isnan(value) else f"{value:.4g}"


def _accuracy(row: Chosen) -> str:
    """Mean ± standard deviation over n seeds; a single seed as the paper prints it."""
    if row.sd is None:
        return f"{row.accuracy:.1f}"
    return f"{row.accuracy:.2f} ± {row.sd:.2f} ({row.seeds})"


def _pipes(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
}  # fmt: skip


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def export_files(analyses: Mapping[str, Analysis]) -> dict[str, bytes]:
    """Path → content of everything above; paths carry the run where there are several."""
    files = {"fits.json": fits_json(analyses)}
    for run, analysis in analyses.items():
        folder = f"fits/{file_stem(run)}" if len(analyses) > 1 else "fits"
        for table in fit_tables(analysis):
            files[f"{folder}/{table.name}.csv"] = table_csv(table)
        for paper in paper_tables(analysis):
            files[f"{folder}/{paper.name}.md"] = paper.markdown()
            files[f"{folder}/{paper.name}.tex"] = paper.latex()
    return files
