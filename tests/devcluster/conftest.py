"""Fixtures of the tests that run on the development cluster."""

from clusterkit import accounted, own, pytest_runtest_setup, take

__all__ = ["accounted", "own", "pytest_runtest_setup", "take"]
