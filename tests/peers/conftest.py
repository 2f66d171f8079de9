"""Tells the tests in Rust what became of each case: a line of JSON for each, in the file that HISTORIAN_REPORT names."""

import json
import os


def pytest_runtest_logreport(report):
    path = os.environ.get("HISTORIAN_REPORT")
    # What is set up well and taken down well is not told.
    if path is None or (report.when != "call" and report.passed):
        return
    text = "" if report.passed else "\n".join([report.longreprtext, *(f"{name}:\n{content}" for name, content in report.sections)])
    with open(path, "a", encoding="utf-8") as lines:
        print(json.dumps({"case": report.nodeid.split("::", 1)[1], "outcome": report.outcome, "text": text}), file=lines)
