"""Fixtures of the tests that run on the development cluster."""

from clusterkit import accounted, plain, take

__all__ = ["accounted", "plain", "take"]
