"""The budget of a sweep file, held against what its plan would need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from lars_sweep.errors import LarsSweepError
from lars_sweep.spec.sweep import SweepSpec

MADE = 10_000
"""So many trials are made in a second: a plan of fewer is shown before it is refused."""
COUNTED = 1_000_000
"""So many points of a grid are counted in a second."""


def refuse_far_over_budget(spec: SweepSpec, grids: Iterable[Mapping[str, object]]) -> None:
    """Stop before a single trial is made if they are many more than the budget allows.

    Args:
        spec: the sweep.
        grids: the points of all strata together.

    Raises:
        LarsSweepError: they are.
    """
    if spec.budget.trials is None:
        return
    points = sum(1 for _ in islice(grids, COUNTED))
    trials = points * spec.seeds.number
    if trials > max(spec.budget.trials, MADE):
        raise over_budget("trials", trials, spec.budget.trials, at_least=points == COUNTED)


def over_budget(
    name: str, value: float, allowed: float, *, at_least: bool = False
) -> LarsSweepError:
    """What to say, and what to change."""
    needed, most = (f"{x:,}" if isinstance(x, int) else f"{x:,.6g}" for x in (value, allowed))
    return LarsSweepError(
        f"over budget: the plan needs {'at least ' if at_least else ''}{needed} "
        f"{name.replace('_', '-')}, budget.{name} allows {most}: shrink the sweep or raise it "
        f"(--set budget.{name}=…)"
    )
