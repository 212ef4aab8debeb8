"""One file per question that a report answers; all of them, in the order of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from lars_sweep.errors import SpecError
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.kinds.batch import batch_section
from lars_sweep.report.kinds.best_lr import best_lr_section
from lars_sweep.report.kinds.critical_batch import critical_batch_section
from lars_sweep.report.kinds.epochs import epochs_section
from lars_sweep.report.kinds.gap import gap_section
from lars_sweep.report.kinds.layers import layers_section
from lars_sweep.report.kinds.lr_interval import lr_interval_section
from lars_sweep.report.kinds.outcomes import curves_section, outcomes_section
from lars_sweep.report.sections import Section

SECTIONS: Mapping[str, Callable[[Evidence], Section]] = {
    "lr-interval": lr_interval_section,
    "best-lr": best_lr_section,
    "batch": batch_section,
    "epochs": epochs_section,
    "critical-batch": critical_batch_section,
    "gap": gap_section,
    "layers": layers_section,
    "curves": curves_section,
    "outcomes": outcomes_section,
}


def asked_kinds(kinds: Sequence[str]) -> list[str]:
    """The sections asked for, in the order of the page; ``all`` stands for every one.

    Raises:
        SpecError: an unknown kind.
    """
    unknown = sorted(set(kinds) - {*SECTIONS, "all"})
    if unknown:
        raise SpecError(f"--kind: got {', '.join(unknown)}; allowed: {', '.join(SECTIONS)}, all")
    return [kind for kind in SECTIONS if "all" in kinds or kind in kinds]


def section_of(evidence: Evidence, kind: str) -> Section:
    """One section; its empty tables are left out."""
    section = SECTIONS[kind](evidence)
    return replace(section, tables=tuple(table for table in section.tables if table.rows))
