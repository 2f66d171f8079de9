"""The JSON form of every message, as Google's own library reads it.

As a program, `test_proto3_json.py SEED`, it prints lines of three columns: full name, JSON text, and `valid` or `refused`. The case reads for
each of them the bytes that the historian made of the text, in hexadecimal, or `refused`, from the files that HISTORIAN_ANSWERS names by their
seed, and compares.
"""

import importlib
import json
import math
import os
import pathlib
import random
import sys

import pytest
import stubs  # noqa: F401, makes the modules that are imported below

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from lib import PROTOS

SEEDS = [1, 20261128]
chance = random.Random()
BITS = {
    Field.TYPE_INT32: (-(2**31), 2**31 - 1), Field.TYPE_SINT32: (-(2**31), 2**31 - 1), Field.TYPE_SFIXED32: (-(2**31), 2**31 - 1),
    Field.TYPE_INT64: (-(2**63), 2**63 - 1), Field.TYPE_SINT64: (-(2**63), 2**63 - 1), Field.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    Field.TYPE_UINT32: (0, 2**32 - 1), Field.TYPE_FIXED32: (0, 2**32 - 1), Field.TYPE_UINT64: (0, 2**64 - 1), Field.TYPE_FIXED64: (0, 2**64 - 1),
}


class Raw(str):
    """JSON text that stands as it is."""


def written(value):
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)}: {written(part)}" for name, part in value.items()) + "}"
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(name)}: {written(part)}" for name, part in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return json.dumps(value, ensure_ascii=chance.random() < 0.5)


class Pairs(list):
    """Members of an object whose names may repeat."""


def plain(field):
    """Some valid way to write some value of a field that holds no message."""
    if field.type in BITS:
        low, high = BITS[field.type]
        number = chance.choice([0, 1, 7, 1000, low, high, chance.randint(low, high)])
        forms = [Raw(number), Raw(f'"{number}"')]
        if abs(number) < 2**53:
            forms += [Raw(f"{number}.0"), Raw(f"{number}e0"), Raw(f"{number}.00E+0")]
        if number and number % 1000 == 0 and abs(number) < 2**53:
            forms += [Raw(f"{number // 1000}e3"), Raw(f"{number / 10000!r}e4")]
        return chance.choice(forms)
    if field.type in (Field.TYPE_DOUBLE, Field.TYPE_FLOAT):
        number = chance.choice([0.0, 0.5, -2.25, 1e-7, 1e30, 16777216.0])
        return chance.choice([number, Raw(f'"{number!r}"'), "NaN", "Infinity", "-Infinity", 3, Raw('"-7"')])
    if field.type == Field.TYPE_BOOL:
        return chance.random() < 0.5
    if field.type == Field.TYPE_STRING:
        return chance.choice(["", "area1/**", "größer ✓ 👷", 'a"b\\\n\u0000', "7", "null"])
    if field.type == Field.TYPE_ENUM:
        value = chance.choice(field.enum_type.values)
        return chance.choice([value.name, value.number, Raw(f"{value.number}.0")])
    raise AssertionError(f"{field.full_name} has a type without a JSON form here")


# Without what only Python takes for a number: "+7", "1_000", digits of other scripts. The unit tests have these.
WRONG = ["x", "", " 7", "7 ", "0x7", "tRUE", 0.5, Raw("-0.5"), Raw("1e400"), True, [], {}, [None], Raw("99999999999999999999999"), "nan", "inf", Raw("1e19"), "1.5"]


def structure(depth=0):
    return {
        chance.choice("abc") + str(n): chance.choice([None, 1, -0.5, "text", True, [1, "a", None], structure(depth + 1) if depth < 3 else {}])
        for n in range(chance.randint(0, 3))
    }


def in_oneof(field):
    """Of proto3's `optional` the library makes a oneof of its own, which does not count."""
    return field.containing_oneof is not None and not field.containing_oneof.name.startswith("_")


def value(field, depth):
    if field.type != Field.TYPE_MESSAGE:
        return plain(field)
    name = field.message_type.full_name
    if name == "google.protobuf.Struct":
        return structure()
    if name == "google.protobuf.FieldMask":
        return chance.choice(["", "unit", "unit,rangeLow", "stateSet"])
    return message(field.message_type, depth + 1)


def message(descriptor, depth=0):
    """An object for a message. Deep ones get fewer fields."""
    wanted = {}
    for field in descriptor.fields:
        if chance.random() > (0.7 if depth < 2 else 0.3):
            continue
        other = [name for name, taken in wanted.items() if in_oneof(field) and taken[0].containing_oneof == field.containing_oneof]
        for name in other:
            del wanted[name]
        content = [value(field, depth) for _ in range(chance.randint(0, 3))] if field.is_repeated else value(field, depth)
        if chance.random() < 0.1:
            content = None
        wanted[chance.choice([field.name, field.json_name])] = (field, content)
    names = list(wanted)
    chance.shuffle(names)
    return {name: wanted[name][1] for name in names}


# What Python takes and no other reader does: what is empty for a message; a number with spaces around it, a truth value or a fraction for the name
# of an enum value; a truth value or a word of its own for a float. The unit tests refuse them.
TAKEN_BY_PYTHON_ALONE = {
    Field.TYPE_MESSAGE: ["", []], Field.TYPE_ENUM: [" 7", "7 ", True, 0.5, "-0.5"],
    Field.TYPE_DOUBLE: [True, "inf", " 7", "7 "], Field.TYPE_FLOAT: [True, "inf", " 7", "7 "],
}


def spoiled(descriptor):
    """An object with something wrong in it, as far as one can tell beforehand."""
    made = message(descriptor)
    kind = chance.randint(0, 5)
    field = chance.choice(descriptor.fields) if descriptor.fields else None
    if field is None or kind == 0:
        return made | {"no_such_field": 1}
    if kind == 1:
        # Under two names the field is there twice as well; Python alone takes that, and the unit tests have it.
        made = {name: part for name, part in made.items() if name not in (field.name, field.json_name)}
        return Pairs([*made.items(), (field.name, value(field, 1)), (field.name, value(field, 1))])
    if kind == 2:
        made = {name: part for name, part in made.items() if name not in (field.name, field.json_name)}
        return made | {field.name: [None]}
    if kind == 3:
        members = [one for one in descriptor.fields if in_oneof(one)]
        return {one.name: value(one, 1) for one in members[:2]} or made | {field.name.upper(): 1}
    made = {name: part for name, part in made.items() if name not in (field.name, field.json_name)}
    passed_over = [] if field.is_repeated else TAKEN_BY_PYTHON_ALONE.get(field.type, [])
    return made | {field.name: chance.choice([one for one in WRONG if one not in passed_over])}


def duplicates_refused(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise json_format.ParseError("a name is there twice")
    return dict(pairs)


def oracle(descriptor, text):
    """What Google's library makes of it; None where it refuses."""
    try:
        json.loads(text, object_pairs_hook=duplicates_refused)
        return json_format.Parse(text, GetMessageClass(descriptor)())
    except (json_format.ParseError, ValueError):
        return None


def all_descriptors():
    descriptors = []
    for path in sorted(PROTOS.glob("historian/v1/*.proto")):
        module = importlib.import_module(f"historian.v1.{path.stem}_pb2")
        waiting = list(module.DESCRIPTOR.message_types_by_name.values())
        while waiting:
            descriptor = waiting.pop()
            descriptors.append(descriptor)
            waiting += descriptor.nested_types
    return descriptors


def made_cases(seed):
    chance.seed(seed)
    cases = []
    for descriptor in all_descriptors():
        for number in range(60):
            text = written(message(descriptor) if number < 40 else spoiled(descriptor))
            cases.append((descriptor, text, oracle(descriptor, text)))
    return cases


def same(left, right):
    """Equal, where NaN is equal to itself."""
    return json_format.MessageToJson(left, sort_keys=True) == json_format.MessageToJson(right, sort_keys=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_json_is_read_as_googles_own_library_reads_it(seed):
    cases = made_cases(seed)
    answers = (pathlib.Path(os.environ["HISTORIAN_ANSWERS"]) / str(seed)).read_text().splitlines()
    assert len(answers) == len(cases) > 5_000
    wrong = []
    for (descriptor, text, parsed), answer in zip(cases, answers):
        made = None if answer.startswith("refused") else GetMessageClass(descriptor).FromString(bytes.fromhex(answer))
        if (made is None) != (parsed is None) or (made is not None and not same(made, parsed)):
            wrong.append(f"{descriptor.full_name} {text}: {answer if made is None else json_format.MessageToDict(made)}; expected {parsed}")
    assert not wrong, f"{len(wrong)} of {len(cases)} differ:\n" + "\n".join(wrong[:40])
    refused = sum(parsed is None for _, _, parsed in cases)
    assert math.isclose(refused / len(cases), 0.3, abs_tol=0.12), (refused, len(cases))


if __name__ == "__main__":
    for descriptor, text, parsed in made_cases(int(sys.argv[1])):
        assert "\t" not in text and "\n" not in text, text
        print(descriptor.full_name, text, "refused" if parsed is None else "valid", sep="\t")
