"""How a failure looks on a task's page: what happened, where, and what to do; never a value, never a traceback of values."""

import logging
import textwrap
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from hub.errors import HubError, unforeseen

P = ParamSpec("P")
R = TypeVar("R")


_log = logging.getLogger("hub.task")
_COLUMNS = 84  # what the log of a task's page shows without scrolling


def _tell(error: HubError) -> None:
    """Say it in lines of the log that fit the page: the exception's own line, with its traceback, does not."""
    told = {"出错 what": error.message, "位置 where": error.where, "下一步 next": error.next_step}
    for title, text in told.items():
        for n, line in enumerate(textwrap.wrap(text or "", _COLUMNS)):
            _log.error("%s", f"{title}: {line}" if n == 0 else f"    {line}")


def explained(body: Callable[P, R]) -> Callable[P, R]:
    """Turn a task body's failure into Airflow's.

    An error that may pass by itself is retried as the task says; contract, gate and refusal errors are not: trying them
    again would ask the same question. An error nobody foresaw shows its type and place only, because its text may quote a row.

    Raises:
        AirflowException: retried.
        AirflowFailException: not retried.
    """

    @wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return body(*args, **kwargs)
        except AirflowException:
            raise
        except HubError as error:
            kind = AirflowException if error.is_transient else AirflowFailException
            _tell(error)
            raise kind(f"{type(error).__name__}: {error}") from None
        except Exception as error:
            raise AirflowException(f"{unforeseen(error)}; see `hub services`, then clear the task to run it again") from None

    return run
