"""Fixtures of the tests that run on the development cluster."""

from clusterkit import accounted, own, take

__all__ = ["accounted", "own", "take"]
