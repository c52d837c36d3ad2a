"""The one error tree of the hub.

HubError
├── ConfigError          a setting, flag, date or credential is wrong
├── ContractError        a contract or code set is wrong, or data does not follow it
├── SourceError          an agency could not be read
│   ├── SourceUnavailable    down, slow, or not ready yet: trying again may help
│   ├── SourceRefused        it answered and said no: somebody must act
│   └── SourceChanged        it answered with something else than agreed
├── GateHeld             a delivery was held by the gate; last good data stays
├── IdentityConflict     evidence about persons contradicts itself
├── AlreadyRunning       another run is at the same work
│   └── TakenOver            another run has taken this work over meanwhile
├── MergeError           the books do not balance, or the pool moved under the run
├── ServiceError         a local service (PostgreSQL, Airflow, a simulated agency) did not start or answer
└── ShareError           a question was refused (carries an HTTP status)

A message says what happened and never carries a person's value; `where` points at a file, field, delivery or row;
`next_step` says what to do.
"""

import errno
import os
import re
import traceback


def unforeseen(error: BaseException) -> str:
    """What may be told of an error nobody foresaw: its kind and place, for its text may quote a row.

    The place is the innermost line of the hub's own: where a library gave up says less.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = next((f for f in reversed(frames) if "site-packages" not in f.filename), frames[-1] if frames else None)
    where = f" in {place.name}, line {place.lineno} of {place.filename.rsplit('/', 1)[-1]}" if place else ""
    return f"unforeseen {type(error).__name__}{where} — its text is withheld because it may quote a row"


class HubError(Exception):
    """Anything the hub refuses or fails to do.

    Attributes:
        where: pointer to file and line, field, delivery or row; None when the whole hub is meant.
        next_step: what the reader should do; None when the message says it already.
        exit_code: exit status of the command line for this kind of error.
        is_transient: whether trying again without any change may succeed.
    """

    exit_code = 1
    is_transient = False

    def __init__(self, message: str, *, where: str | None = None, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        text = self.message if self.where is None else f"{self.where}: {self.message}"
        return text if self.next_step is None else f"{text} — {self.next_step}"


class ConfigError(HubError):
    """A setting, flag, date or credential is wrong."""

    exit_code = 2


class ContractError(HubError):
    """A contract or code set is wrong, or does not describe what is asked of it."""

    exit_code = 2


class SourceError(HubError):
    """An agency could not be read."""

    exit_code = 3


class SourceUnavailable(SourceError):
    """The agency is down, slow, or not ready yet."""

    is_transient = True


class SourceRefused(SourceError):
    """The agency answered and said no."""


class SourceChanged(SourceError):
    """The agency answered with something else than was agreed."""


class GateHeld(HubError):
    """A delivery was held by the gate; the last good data of that source stays."""

    exit_code = 4


class IdentityConflict(HubError):
    """The evidence about persons contradicts itself."""

    exit_code = 5


class AlreadyRunning(HubError):
    """Another run is at the same work now; this one changed nothing."""

    exit_code = 9
    is_transient = True


class TakenOver(AlreadyRunning):
    """Another run has taken this work over meanwhile; since then this one wrote nothing."""

    is_transient = False


class MergeError(HubError):
    """The books do not balance, or the pool changed under the run; nothing was published."""

    exit_code = 6


class ServiceError(HubError):
    """A local service did not start, stop or answer."""

    exit_code = 7
    is_transient = True


class ShareError(HubError):
    """A question to the pool was refused.

    Attributes:
        status: HTTP status of the refusal.
    """

    exit_code = 8

    def __init__(self, message: str, *, status: int, where: str | None = None, next_step: str | None = None) -> None:
        super().__init__(message, where=where, next_step=next_step)
        self.status = status


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


def no_room(error: OSError) -> ServiceError | None:
    """The error to tell where a disk takes no more; None where that is not what happened."""
    number = error.errno
    if number is None and (said := re.search(r"os error (\d+)", str(error))):  # as libraries written in Rust put it
        number = int(said[1])
    if number not in _NO_ROOM:
        return None
    return ServiceError(
        f"the disk takes no more ({os.strerror(number)})", where=None if error.filename is None else str(error.filename),
        next_step="make room under HUB_HOME and the temporary folder, see `hub doctor`; then run the same again",
    )  # fmt: skip
