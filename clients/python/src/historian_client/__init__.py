"""Client of the historian: samples, aggregates, plots and anomalies of an industrial plant as Arrow tables.

    import historian_client

    with historian_client.connect("grpc://127.0.0.1:8815") as plant:
        table = plant.range("area1/boiler/**", "*-8h")
        table.to_pandas()

Needs nothing but pyarrow; `detectors()` also grpcio.
"""

from .client import Client, connect
from .command import AggregateConfiguration
from .error import (
    ConnectionFailed,
    DataLoss,
    DeadlineExceeded,
    HistorianError,
    InvalidRequest,
    LimitExceeded,
    NotSupported,
    PositionGone,
    TagNotFound,
    WriteFailed,
)
from .export import ExportResult
from .progress import Progress
from .quality import BAD, GOOD, UNCERTAIN, not_bad, only_good, severity
from .subscribe import Subscription
from .write import WriteResult

__version__ = "0.1.0"

__all__ = [
    "BAD",
    "GOOD",
    "UNCERTAIN",
    "AggregateConfiguration",
    "Client",
    "ConnectionFailed",
    "DataLoss",
    "DeadlineExceeded",
    "ExportResult",
    "HistorianError",
    "InvalidRequest",
    "LimitExceeded",
    "NotSupported",
    "PositionGone",
    "Progress",
    "Subscription",
    "TagNotFound",
    "WriteFailed",
    "WriteResult",
    "connect",
    "not_bad",
    "only_good",
    "severity",
]
