"""The run directory: paths, atomic publication, claims, heartbeats, requests."""
