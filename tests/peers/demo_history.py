"""Prints the extent of each demo tag's history as JSON, read with pyarrow from the server named on the command line."""

import json
import sys

import pyarrow.compute as pc
import pyarrow.flight as flight


def main() -> None:
    client = flight.connect(sys.argv[1])

    def fetch(request):
        return client.do_get(flight.Ticket(json.dumps(request).encode())).read_all()

    names = fetch({"current": {"tags": ["demo/**"]}}).column("tag").to_pylist()
    extents = {}
    for name in names:
        table = fetch({"range": {"tags": [name], "start": "0", "end": "*+1h"}})
        times = table.column("timestamp").cast("int64").to_pylist()
        good = pc.equal(pc.bit_wise_and(table.column("quality"), 0xC0000000), 0)
        known = pc.and_(good, pc.is_valid(table.column("value")))
        extents[name] = {
            "samples": table.num_rows,
            "qualities": pc.unique(table.column("quality")).to_pylist(),
            "good": pc.sum(known).as_py() or 0,
            "first": times[0] if times else 0,
            "last": times[-1] if times else 0,
            "ascending": all(a < b for a, b in zip(times, times[1:])),
        }
    print(json.dumps(extents))


main()
