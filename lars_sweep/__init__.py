"""Sweeps and scaling laws for large-batch training with LARS."""

from __future__ import annotations

__version__ = "0.1.0"
