"""The metrics of a historian, read by the client library of Prometheus."""

import math
import os
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as classic_families

OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def scraped(accept: str | None) -> tuple[str, str]:
    request = urllib.request.Request(f"http://{os.environ['HISTORIAN_HTTP_ADDRESS']}/metrics")
    if accept:
        request.add_header("Accept", accept)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_open_metrics_are_read_by_the_client_library_of_prometheus():
    kind, text = scraped(OPEN)
    assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
    families = {family.name: family for family in open_families(text)}
    assert families["historian_requests"].type == "counter"
    assert families["historian_request_duration_seconds"].type == "histogram"
    assert families["historian_query_duration_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values())
    assert families["historian_device_state"].samples[0].labels["device"] == "d"


def test_both_forms_have_the_same_values():
    kind, classic = scraped(None)
    assert kind.startswith("text/plain; version=0.0.4"), kind
    _, open_text = scraped(OPEN)

    def values(families):
        return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}

    ours, theirs = values(classic_families(classic)), values(open_families(open_text))
    assert ours.keys() == theirs.keys()
    # What moves between two scrapes.
    moving = ("process_", "historian_disk_", "historian_connections", "historian_device_", "historian_cache_")
    for key, value in ours.items():
        if not key[0].startswith(moving):
            assert math.isclose(value, theirs[key], rel_tol=1e-9), key
