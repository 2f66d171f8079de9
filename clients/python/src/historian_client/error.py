"""Refusals of the historian as exceptions that a program can tell apart, with the historian's own words as message."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.flight as flight

if TYPE_CHECKING:
    from .write import WriteResult


class HistorianError(Exception):
    """Anything that the historian refused or that failed on the way. `code` is the gRPC status in words."""

    code = "internal"

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class InvalidRequest(HistorianError, ValueError):
    """The request is wrong; the message names the parameter and what is allowed. Asking again does not help."""

    code = "invalid argument"


class TagNotFound(HistorianError, LookupError):
    """An exact name that no tag has. A glob may match nothing without an error."""

    code = "not found"


class NotSupported(HistorianError, NotImplementedError):
    """This version of the historian does not answer such requests."""

    code = "unimplemented"


class LimitExceeded(HistorianError):
    """More rows, tags or queries at once than the historian allows; ask for less, or later."""

    code = "resource exhausted"


class DeadlineExceeded(HistorianError, TimeoutError):
    """The time given ran out, or the answer was not read for too long."""

    code = "timeout"


class ConnectionFailed(HistorianError, ConnectionError):
    """Nobody answers at the address, or the historian is stopping or takes no writes now. Asking again later may help."""

    code = "unavailable"


class NotAuthenticated(HistorianError, PermissionError):
    """The historian asks for a token, and none that is valid was shown: none at all, unknown, expired or revoked."""

    code = "unauthenticated"


class PermissionDenied(HistorianError, PermissionError):
    """The token gives no right to this."""

    code = "permission denied"


class AlreadyExists(HistorianError):
    """The name is taken."""

    code = "already exists"


class Conflict(HistorianError):
    """Somebody has changed it since it was read; read it again."""

    code = "aborted"


class DataLoss(HistorianError):
    """Stored bytes are damaged; the message names tag and place."""

    code = "data loss"


class PositionGone(InvalidRequest):
    """A subscription cannot go on: what came after `position` is no longer in the journal, or was never written there.

    Read what is missing with a range query, and subscribe again without a position, or behind the one that the message names.
    """

    code = "out of range"

    def __init__(self, message: str, position: int, code: str | None = None) -> None:
        super().__init__(message, code)
        self.position = position


class WriteFailed(HistorianError):
    """A write ended early. What `acknowledged` counts is durable; the rest must be written again. The cause is `__cause__`."""

    def __init__(self, message: str, acknowledged: WriteResult, code: str | None = None) -> None:
        super().__init__(message, code)
        self.acknowledged = acknowledged


_BY_CODE: dict[str, type[HistorianError]] = {
    "invalid argument": InvalidRequest,
    "out of range": InvalidRequest,
    "not found": TagNotFound,
    "unimplemented": NotSupported,
    "resource exhausted": LimitExceeded,
    "timeout": DeadlineExceeded,
    "unavailable": ConnectionFailed,
    "unauthenticated": NotAuthenticated,
    "permission denied": PermissionDenied,
    "unauthorized": PermissionDenied,  # as pyarrow calls it
    "already exists": AlreadyExists,
    "aborted": Conflict,
    "data loss": DataLoss,
}
# For what pyarrow raises without the server's words.
_BY_TYPE: list[tuple[type[BaseException], type[HistorianError]]] = [
    (flight.FlightUnavailableError, ConnectionFailed),
    (flight.FlightTimedOutError, DeadlineExceeded),
    (flight.FlightUnauthenticatedError, NotAuthenticated),
    (flight.FlightUnauthorizedError, PermissionDenied),
    (pa.ArrowNotImplementedError, NotSupported),
]
_TOLD = re.compile(
    r"(?:Flight|gRPC) (?:returned )?(?:an? )?(?P<code>[a-z -]+?)(?: error| call)?, with message: (?P<message>.*?)"
    r"(?:\. gRPC client debug context: .*|\. Client context: .*|\. Detail: .*)?$",
    re.DOTALL,
)


def translated(error: BaseException) -> HistorianError | None:
    """The exception that stands for one of pyarrow's; None for those that have nothing to do with the historian."""
    if isinstance(error, HistorianError):
        return error
    told = _TOLD.search(str(error))
    if told is not None:
        code = told["code"].replace("-", " ")
        return of_code(code, told["message"])
    for kind, ours in _BY_TYPE:
        if isinstance(error, kind):
            return ours(str(error))
    return HistorianError(str(error)) if isinstance(error, flight.FlightError) else None


def of_code(code: str, message: str) -> HistorianError:
    """The exception for a gRPC status, by its name in words."""
    if code == "cancelled" and "timeout expired" in message.lower():
        # The deadline as the server's transport tells it, where that is faster than the client's own clock.
        code = "timeout"
    return _BY_CODE.get(code, HistorianError)(message, code)


def in_servers_words(error: BaseException) -> bool:
    """True for an error that carries a message of the historian."""
    return _TOLD.search(str(error)) is not None


@contextlib.contextmanager
def translating() -> Iterator[None]:
    """Turns what pyarrow raises inside into our exceptions."""
    try:
        yield
    except HistorianError:
        raise
    except (pa.ArrowException, OSError) as error:
        ours = translated(error)
        if ours is None:
            raise
        raise ours from error
