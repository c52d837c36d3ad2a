"""Simulated agencies for the connectors' tests."""

from tests.served import agencies

__all__ = ["agencies"]
