//! First queries to copy: what a newcomer pastes into Python and a shell while the demo runs. A test runs them as they are printed.

use std::net::SocketAddr;

/// The recipes, each a headline and indented lines. The Python ones are plain statements without indentation of their own.
pub fn text(listen: SocketAddr) -> String {
    let historian = std::env::current_exe().map_or_else(|_| "historian".to_owned(), |path| path.display().to_string());
    format!(
        r#"Python (pip install pyarrow pandas):
    import pyarrow.flight as flight
    client = flight.connect("grpc://{listen}")
    ticket = flight.Ticket(b'{{"range": {{"tags": ["demo/heating/tank201/*"], "start": "*-5m", "end": "*"}}}}')
    frame = client.do_get(ticket).read_all().to_pandas()
    print(frame.tail(20).to_string())

Command line:
    {historian} query current 'demo/**' --server grpc://{listen}
    {historian} query range 'demo/utility/boiler/*' --start '*-5m' --server grpc://{listen}

gRPC (grpcurl; the server has reflection):
    grpcurl -plaintext -d '{{"tags": ["demo/product/**"]}}' {listen} historian.v1.QueryService/CurrentValues

Python, asking instead of fetching:
    import json, pyarrow.flight as flight
    historian = flight.connect("grpc://{listen}")
    ask = lambda **command: historian.do_get(flight.Ticket(json.dumps(command))).read_all()
    tank = dict(tags=["demo/heating/tank201/temperature"], start="*-1h", end="*")
    print(ask(downsample=dict(tank, points=200, method="PLOT")).to_pandas().to_string())
    print(ask(aggregate=dict(tank, interval="1m", functions=["time_average", "maximum", "percent_good"])).to_pandas().tail(6).to_string())
    print(ask(anomalies=dict(tank, detector="spike", output="FINDINGS")).to_pandas().to_string())

SQL (pip install adbc-driver-flightsql pyarrow):
    import adbc_driver_flightsql.dbapi as adbc
    cursor = adbc.connect("grpc://{listen}").cursor()
    cursor.execute("SELECT tag, count(*) AS samples, avg(value) AS mean FROM samples WHERE tag LIKE 'demo/heating/%' GROUP BY tag ORDER BY tag")
    print(cursor.fetch_arrow_table().to_pandas().to_string())
    cursor.execute("SELECT * FROM aggregate('demo/heating/tank201/temperature', '*-1h', '*', '1m', 'time_average') ORDER BY timestamp DESC LIMIT 5")
    print(cursor.fetch_arrow_table().to_pandas().to_string())

Python gRPC (pip install grpcio-tools; in the checkout):
    import sys, grpc; sys.path.insert(0, "proto")
    messages, services = grpc.protos_and_services("historian/v1/query.proto")
    query = services.QueryServiceStub(grpc.insecure_channel("{listen}"))
    print(query.CurrentValues(messages.CurrentValuesRequest(tags=["demo/product/**"])))
"#
    )
}
