"""What to ask: the sweep file, its strata and points, the trial, and the seam to a trainer."""

from lars_sweep.spec.axes import Choices, Dimension, Range
from lars_sweep.spec.cost import Cost, cost, cost_at_most
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.protocol import protocol_warnings
from lars_sweep.spec.strata import DataFacts, Stratum, build_strata
from lars_sweep.spec.sweep import SweepSpec, dump_sweep

__all__ = [
    "Choices",
    "Cost",
    "DataFacts",
    "Dimension",
    "Range",
    "Stratum",
    "SweepSpec",
    "build_strata",
    "cost",
    "cost_at_most",
    "dump_sweep",
    "load_sweep",
    "protocol_warnings",
]
