"""JSON and Parquet hold what is finite; what is not (a diverged loss) becomes null."""

from __future__ import annotations

import math
from collections.abc import Mapping


def finite(row: Mapping[str, object]) -> dict[str, object]:
    """The row with null for NaN and infinities."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
