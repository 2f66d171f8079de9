"""Makes src/collector/modbus/sunspec/models.tsv of the model definitions in the package pysunspec2.

    pip download pysunspec2 --no-deps && unzip pysunspec2-*.whl 'sunspec2/models/json/*'
    python tests/peers/sunspec_models.py sunspec2/models/json > src/collector/modbus/sunspec/models.tsv
"""

import json
import pathlib
import sys

HEAD = """\
# Models of the SunSpec Alliance: the definitions of pysunspec2 1.3.7 (Apache-2.0, see LICENSE-APACHE), in a layout of our own, made by
# tests/peers/sunspec_models.py. Texts, access and standards are left out, and so are those
# of secure datasets (3 to 9), of tests and of simulators (63001 and so on).
#
# model  id  name  label
# group  depth  name  count: 1, 0 (as many as the length of the model has room for), or the point that holds it
# point  name  type  registers  scale factor: a point or a power of ten  unit  flags: M mandatory, S static, W written  label  value=symbol|...
"""
LEFT_OUT = {3, 4, 5, 6, 7, 8, 9, 63001, 63002, 64410, 64411, 64412, 64413, 64414, 64415}


def word(value):
    text = " ".join(str("-" if value is None else value).split())
    return text or "-"


def group(definition, depth, lines):
    if depth:
        lines.append(("group", depth, definition["name"], definition.get("count", 1)))
    for point in definition.get("points", []):
        symbols = "|".join(f"{symbol['value']}={symbol['name']}" for symbol in point.get("symbols", []))
        flags = ("M" if point.get("mandatory") == "M" else "") + ("S" if point.get("static") == "S" else "")
        flags += "W" if point.get("access") == "RW" else ""
        lines.append(("point", point["name"], point["type"], point["size"], point.get("sf"), point.get("units"), flags, point.get("label"), symbols or None))
    for inner in definition.get("groups", []):
        group(inner, depth + 1, lines)


def main(directory):
    models = [json.loads(file.read_text("utf-8")) for file in pathlib.Path(directory).glob("model_*.json")]
    lines = []
    for model in sorted(models, key=lambda model: model["id"]):
        if model["id"] not in LEFT_OUT:
            lines.append(("model", model["id"], model["group"]["name"], model["group"].get("label")))
            group(model["group"], 0, lines)
    sys.stdout.write(HEAD)
    for line in lines:
        sys.stdout.write("\t".join(word(value) for value in line) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
