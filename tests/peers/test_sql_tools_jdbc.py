"""The same statements by the JDBC driver: what jdbc/Statements.java wrote into the file that HISTORIAN_ANSWERS names."""

import base64
import os
import pathlib
from decimal import Decimal

import pytest

from tool_statements import IDS, STATEMENTS, difference, judged, plain


@pytest.fixture(scope="module")
def answers():
    found = {}
    for line in pathlib.Path(os.environ["HISTORIAN_ANSWERS"]).read_text().splitlines():
        kind, number, *words = line.split(" ")
        words = [None if word == "-" else base64.b64decode(word[1:]).decode() for word in words]
        found.setdefault(int(number), {"E": [], "C": [], "R": []})[kind].append(words)
    return found


def read(text, expected):
    """A cell of the driver, whose types are Java's, as what is expected beside it."""
    if text is None or isinstance(expected, str):
        return text
    if isinstance(expected, bool):
        return {"true": True, "false": False, "1": True, "0": False}.get(text, text)
    try:
        number = Decimal(text)
    except ArithmeticError:
        return text
    return plain(number)


@pytest.mark.parametrize("number", range(len(STATEMENTS)), ids=IDS)
def test_a_statement_as_a_tool_writes_it_is_answered_through_the_driver_too(number, answers):
    statement, answer = STATEMENTS[number], answers[number]
    if "refused" in statement:
        assert answer["E"], f"answered: {answer['R'][:3]}"
        assert statement["refused"] in answer["E"][0][0]
        return
    assert not answer["E"], statement["sql"]
    expected = judged(statement)
    kinds = [next((row[column] for row in expected if row[column] is not None), None) for column in range(len(expected[0]) if expected else 0)]
    found = [[read(cell, kind) for cell, kind in zip(row, kinds)] for row in answer["R"]]
    assert difference(found, expected, statement) is None, statement["sql"]
    if "columns" in statement:
        assert answer["C"][0] == statement["columns"]


def test_every_statement_was_asked(answers):
    assert len(answers) == len(STATEMENTS) >= 140
