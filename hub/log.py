"""Structured logging: events with ids and counts, never a person's value."""

import logging
import sys
from typing import Any, cast

import structlog


def configure(level: str = "INFO") -> None:
    """Send log events to standard error: readable on a terminal, JSON lines when piped.

    Args:
        level: name of the least severe level shown, e.g. ``INFO``.
    """
    renderer: Any = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        # Asked at each event: the stream may have been put elsewhere. A line is one write: threads share the stream.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger whose events carry ``room=name``."""
    return cast(structlog.typing.FilteringBoundLogger, structlog.get_logger(room=name))
