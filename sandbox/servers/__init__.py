"""The simulated agencies as servers, one process each: ``python -m sandbox.servers STEM``."""
