"""Calls of the HTTP API by the standard library."""

import http.client
import json
import os
import urllib.parse

HTTP = os.environ.get("HISTORIAN_HTTP", "127.0.0.1:1")


def call(method, path, body=None, /, headers=None, **parameters):
    """Status, headers and body of an answer that came whole."""
    connection = http.client.HTTPConnection(HTTP, timeout=60)
    if parameters:
        path = f"{path}?{urllib.parse.urlencode(parameters, doseq=True)}"
    sent = {"content-type": "application/json"} if body is not None else {}
    connection.request(method, f"/api/v1/{path}", None if body is None else body if isinstance(body, bytes) else json.dumps(body), sent | (headers or {}))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def ask(path, body=None, /, headers=None, **parameters):
    answer, content = call("GET" if body is None else "POST", path, body, headers=headers, **parameters)
    assert answer.status == 200, (answer.status, content)
    return content


def refused(status, method, path, body=None, /, headers=None, **parameters):
    """The problem document of a refusal."""
    answer, content = call(method, path, body, headers=headers, **parameters)
    assert answer.status == status, (answer.status, content)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(content)
    assert problem["status"] == status and problem["title"] and problem["code"]
    # What tools show that drop the document.
    assert answer.reason[:40] == "".join(letter if 31 < ord(letter) < 127 else "?" for letter in problem["detail"])[:40]
    return answer, problem
