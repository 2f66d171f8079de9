"""Reading through the services of gRPC."""

import wire
from asked.question import ALL, ALL_FUNCTIONS, DETECTORS, FRIDAY, NOON, PRESSURE, TEMPERATURE, WEEKEND, call, measures, steps
from data import DAY, HOUR, MINUTE, START


def query():
    def of(name, rpc, **content):
        return call(f"{rpc} {name}", f"QueryService/{rpc}", content)

    yield of("all types", "Range", tags=["odd/**", "plant/line/*"], **FRIDAY)
    yield of("interpolated", "Range", tags=["plant/boiler/*"], start="2025-10-25T06:00:30Z", end="2025-10-25T06:03:30Z", boundary="BOUNDARY_INTERPOLATED")
    yield of("outside backwards", "Range", tags=[TEMPERATURE], start="2025-10-25T12:05:00Z", end="2025-10-25T11:00:00Z", limit=10, boundary="BOUNDARY_OUTSIDE")
    yield of("corrected, Good", "Range", tags=[TEMPERATURE], **NOON, quality="QUALITY_FILTER_GOOD")
    yield of("deleted and replaced", "Range", tags=[PRESSURE, "plant/line/flow"], start="2025-10-24T05:59:00Z", end="2025-10-24T07:31:00Z")
    yield of("a day", "Range", tags=[PRESSURE], **FRIDAY)
    yield of("one tag unknown", "Range", tags=["no/such", "odd/single"], **ALL)
    yield of("a glob unknown", "Range", tags=["no/**"], **ALL)
    yield of("relative", "Range", tags=[TEMPERATURE], start="*-8h", end="*")
    yield of("wide is refused", "Range", tags=[TEMPERATURE], **FRIDAY, layout="LAYOUT_WIDE")
    yield of("no tags", "Range", **FRIDAY)
    yield of("bad time", "Range", tags=["**"], start="yesterday", end="*")
    yield of("too many rows", "Range", tags=["trend/*"], **ALL)

    def pages(doors, note):
        """Range of many/0*/value in pages of 90"""
        token, page = "", 0
        while page == 0 or token:
            note.line(f"==== page {page}")
            answers = doors.grpc.call(note, "QueryService/Range", {"tags": ["many/0*/value"], **ALL, "pageSize": 90, "pageToken": token})
            token, page = answers[-1].next_page_token, page + 1

    yield steps("grpc/query/Range in pages", pages)
    yield of("all", "CurrentValues", tags=["**"])
    yield of("some unknown", "CurrentValues", tags=["odd/*", "no/such", "plant/line/empty"])
    yield of("a page", "CurrentValues", tags=["many/**"], page_size=4)
    yield of("a token of another", "CurrentValues", tags=["many/**"], page_size=4, page_token="abc")
    yield of("corrections", "Superseded", tags=["plant/**", "no/such"], **ALL, limit=12)
    yield of("backwards", "Superseded", tags=["plant/**"], start="2026-01-01", end="2025-01-01")
    yield of("all functions", "Aggregate", tags=[TEMPERATURE, "plant/line/state"], **WEEKEND, interval="1d", functions=ALL_FUNCTIONS)
    yield of("calendar", "Aggregate", tags=["plant/boiler/*"], **WEEKEND, calendar="CALENDAR_DAY", functions=["time_average", "count"])
    yield of("some unknown", "Aggregate", tags=["no/such", PRESSURE], **FRIDAY, functions=["count"])
    yield of("an unknown function", "Aggregate", tags=["**"], **FRIDAY, functions=["mean"])
    yield of("text", "Aggregate", tags=["plant/line/batch"], **FRIDAY, functions=["average"])
    for method in ("PLOT", "M4", "MINMAX", "LTTB", "MINMAXLTTB"):
        yield of(method, "Downsample", tags=[TEMPERATURE, "plant/line/batch"] if method == "PLOT" else [TEMPERATURE], **ALL, points=40, method=f"METHOD_{method}")
    yield of("points", "Downsample", tags=["**"], **ALL, points=2)
    for detector, parameters in DETECTORS.items():
        yield of(detector, "Anomalies", tags=[TEMPERATURE, "plant/line/flow", "no/such"], **ALL, detector=detector, parameters=parameters)
    yield of("scores", "Anomalies", tags=[TEMPERATURE], **NOON, detector="spike", output="OUTPUT_SCORES")
    yield of("counts", "Anomalies", tags=["plant/boiler/*"], **ALL, detector="sigma", output="OUTPUT_COUNTS")
    yield of("an unknown detector", "Anomalies", tags=["**"], **ALL, detector="oracle")
    yield of("every one", "ListDetectors")
    for name, content in measures():
        yield of(name, "Measure", **content)
    yield of("without a measure", "Measure", tags=[TEMPERATURE], **FRIDAY)
    yield of("some unknown", "Measure", tags=["no/such", TEMPERATURE], **FRIDAY, measure="MEASURE_PERCENT_GOOD")
    times = [str(START + at) for at in (-2 * DAY, 700 * MINUTE + 1, 12 * HOUR, DAY + 7 * HOUR, 400 * DAY)]
    yield of("rows", "AsOf", tags=["plant/**", "odd/text", "no/such"], timestamps=times)
    yield of("tolerance", "AsOf", tags=["plant/boiler/*"], timestamps=times, tolerance="1h", quality="QUALITY_FILTER_ANY")
    yield of("without rows", "AsOf", tags=["plant/boiler/*"])
    yield of("a tolerance that is none", "AsOf", tags=["**"], timestamps=times, tolerance="long")

    def subscribed(doors, note):
        """Subscribe to plant/** and odd/text behind position 16, until the last write of the data set"""
        last = lambda answer: any(samples.tag == "odd/text" for samples in answer.samples)
        doors.grpc.call(note, "QueryService/Subscribe", {"tags": ["plant/**", "odd/text"], "position": 16}, enough=last)

    def subscribed_current(doors, note):
        """Subscribe with the current values first"""
        doors.grpc.call(note, "QueryService/Subscribe", {"tags": ["odd/*"], "current": True}, enough=lambda answer: True)

    yield steps("grpc/query/Subscribe from a position", subscribed)
    yield steps("grpc/query/Subscribe current", subscribed_current)
    yield of("too far back", "Subscribe", tags=["**"], position="2")
    yield of("ahead", "Subscribe", tags=["**"], position=str(10**15))
    yield of("no tags", "Subscribe")


def without_sizes(answer):
    """An answer of a backup or a scrub without what goes by RocksDB's files; nothing where it only tells how far it is."""
    if answer.DESCRIPTOR.oneofs and answer.WhichOneof("event") == "progress":
        return False
    backups = list(answer.backups) if answer.DESCRIPTOR.name == "ListBackupsResponse" else []
    for made in ("created", "verified"):
        if made in answer.DESCRIPTOR.fields_by_name:
            backups.append(getattr(answer, made).backup)
    for backup in backups:
        for size in ("files", "bytes", "files_new", "bytes_new"):
            backup.ClearField(size)
    if "report" in answer.DESCRIPTOR.fields_by_name:
        answer.report.ClearField("bytes")
    return True


def others():
    yield call("ListTags all", "TagService/ListTags", {})
    yield call("ListTags filtered", "TagService/ListTags", {"tags": ["plant/**"], "filter": "unit=Cel AND description~steam"})
    yield call("ListTags a page", "TagService/ListTags", {"tags": ["many/**"], "pageSize": 3})
    yield call("ListTags bad filter", "TagService/ListTags", {"filter": "colour=red"})
    yield call("ListTags bad token", "TagService/ListTags", {"pageToken": "abc"})
    yield call("GetTag", "TagService/GetTag", {"name": "plant/line/state"})
    yield call("GetTag unknown", "TagService/GetTag", {"name": "no/such"})
    yield call("GetStatus", "CollectorService/GetStatus", {})
    yield call("GetServerStatus", "AdminService/GetServerStatus", {})
    yield call("InspectTags", "AdminService/InspectTags", {"chunks": True})
    yield call("InspectTags unknown", "AdminService/InspectTags", {"tags": ["no/such", TEMPERATURE]})
    yield call("ListAuditEntries", "AdminService/ListAuditEntries", {})
    yield call("ListAuditEntries a page", "AdminService/ListAuditEntries", {"from": 2, "pageSize": 1})
    yield call("ListGaps", "AdminService/ListGaps", {})
    yield call("ListBackups", "AdminService/ListBackups", {})
    for name, method, content in (
        ("Scrub", "Scrub", {}),
        ("CreateBackup", "CreateBackup", {}),
        ("VerifyBackup", "VerifyBackup", {"number": 1}),
        ("ListBackups after one", "ListBackups", {}),
    ):
        yield f"grpc/admin/{name}", content, lambda doors, note, method=method, content=content: doors.grpc.call(
            note, f"AdminService/{method}", content, edit=without_sizes
        )
    yield call("VerifyBackup unknown", "AdminService/VerifyBackup", {"number": 7})
    raw = lambda name, path, data, streams=False: (f"grpc/own/{name}", f"{path} {data}", lambda doors, note: doors.grpc.raw(note, path, data, streams))
    for service in ("", "historian.v1.QueryService", "historian.v1.WriteService", "arrow.flight.protocol.FlightService", "no.Service"):
        yield raw(f"health {service}", "/grpc.health.v1.Health/Check", wire.field(1, service))
    reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    yield raw("reflection services", reflection, wire.field(7, "*"), True)
    yield raw("reflection of a service", reflection, wire.field(4, "historian.v1.QueryService"), True)
    yield raw("reflection of nothing", reflection, wire.field(4, "historian.v1.Nothing"), True)
    yield raw("a method that is not there", "/historian.v1.QueryService/Drop", b"")
    yield raw("a service that is not there", "/historian.v2.QueryService/Range", b"")
    yield raw("bytes that are no message", "/historian.v1.TagService/GetTag", b"\xff\xff\xff")
