"""Simulated agencies for the sandbox's tests."""

from tests.served import agencies

__all__ = ["agencies"]
