"""Simulated agencies, each a server process of its own: ``python -m sandbox.servers STEM``."""
