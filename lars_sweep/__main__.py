"""``python -m lars_sweep``."""

from __future__ import annotations

from lars_sweep.cli import main

if __name__ == "__main__":
    main()
