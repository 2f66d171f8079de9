"""What is asked, by door and kind of query. One line is one request, or one conversation where an answer is needed for the next request.

Order is that of the recording: reading first, then writing and what it changes.
"""

from asked import command_line, flight, services, sql, writing
from asked.question import Doors

__all__ = ["Doors", "everything"]


def everything():
    """All questions: name, what is asked, and a function of doors and note that asks it."""
    for group in (
        flight.ranges, flight.current, flight.superseded, flight.aggregate, flight.downsample, flight.anomalies, flight.measure, flight.subscribe,
        flight.exchange_asof, flight.plans, flight.refused,
        sql.statements, sql.refused, sql.metadata, sql.prepared_statements, sql.sessions,
        services.query, services.others, command_line.http, command_line.commands, writing.everything,
    ):  # fmt: skip
        yield from group()
