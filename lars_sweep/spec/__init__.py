"""What to ask: the sweep file, its strata and points, the trial, and the seam to a trainer."""
