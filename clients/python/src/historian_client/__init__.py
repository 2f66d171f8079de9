"""Client of the historian: samples, aggregates, plots and anomalies of an industrial plant as Arrow tables and data frames.

    import historian_client

    with historian_client.connect("localhost") as plant:
        plant.trend("area1/boiler/**", "*-8h").plot()
        frame = plant.frame("area1/boiler/**", "t", every="1m", zone="Europe/Berlin")

Needs nothing but pyarrow. Data frames need pandas or polars, pictures matplotlib, and changes of tags, corrections and status grpcio and protobuf.
"""

from .address import DEFAULT_ADDRESS
from .aio import AsyncClient, AsyncSubscription, connect_async
from .annotation import Annotation
from .catalog import KEEP, Renamed, Retyped, Tag
from .client import Client, connect
from .command import AggregateConfiguration
from .correction import Correction
from .error import (
    AlreadyExists,
    Conflict,
    ConnectionFailed,
    DataLoss,
    DeadlineExceeded,
    HistorianError,
    InvalidRequest,
    LimitExceeded,
    NotAuthenticated,
    NotSupported,
    PermissionDenied,
    PositionGone,
    TagNotFound,
    WriteFailed,
)
from .export import ExportResult
from .notebook import show_answers
from .progress import Progress
from .quality import BAD, GOOD, UNCERTAIN, not_bad, only_good, severity
from .result import Result
from .subscribe import Subscription
from .write import WriteResult

__version__ = "0.1.0"

show_answers()

__all__ = [
    "BAD",
    "DEFAULT_ADDRESS",
    "GOOD",
    "KEEP",
    "UNCERTAIN",
    "AggregateConfiguration",
    "AlreadyExists",
    "Annotation",
    "AsyncClient",
    "AsyncSubscription",
    "Client",
    "Conflict",
    "ConnectionFailed",
    "Correction",
    "DataLoss",
    "DeadlineExceeded",
    "ExportResult",
    "HistorianError",
    "InvalidRequest",
    "LimitExceeded",
    "NotAuthenticated",
    "NotSupported",
    "PermissionDenied",
    "PositionGone",
    "Progress",
    "Renamed",
    "Result",
    "Retyped",
    "Subscription",
    "Tag",
    "TagNotFound",
    "WriteFailed",
    "WriteResult",
    "connect",
    "connect_async",
    "not_bad",
    "only_good",
    "severity",
]
