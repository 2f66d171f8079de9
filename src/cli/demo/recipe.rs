//! First queries to copy: what a newcomer pastes into Python and a shell while the demo runs. A test runs them as they are printed.

use std::net::SocketAddr;

use super::secure::DemoDoor;

/// How the lines of a recipe reach the historian and show who they are; empty where there is nothing to say.
#[derive(Default)]
struct Words {
    /// Of clients of Flight.
    uri: String,
    flight_options: String,
    /// Statements that make `options` for calls, and the argument that hands it on.
    call_options: String,
    call_argument: String,
    adbc_options: String,
    command_line: String,
    grpcurl: String,
    channel: String,
}

impl Words {
    fn open(listen: SocketAddr) -> Words {
        Words {
            uri: format!("grpc://{listen}"),
            command_line: format!("--server grpc://{listen}"),
            grpcurl: "-plaintext".to_owned(),
            channel: format!("grpc.insecure_channel(\"{listen}\")"),
            ..Words::default()
        }
    }

    fn secured(listen: SocketAddr, door: &DemoDoor) -> Words {
        let (ca, token) = (door.ca.display(), door.token_file.display());
        let uri = format!("grpc+tls://{listen}");
        let bearer = format!("\"Bearer \" + open(\"{token}\").read().strip()");
        Words {
            command_line: format!("--server {uri} --tls-ca '{ca}' --token-file '{token}'"),
            uri,
            flight_options: format!(", tls_root_certs=open(\"{ca}\", \"rb\").read()"),
            call_options: format!("\n    options = flight.FlightCallOptions(headers=[(b\"authorization\", ({bearer}).encode())])"),
            call_argument: ", options".to_owned(),
            adbc_options: format!(
                ", db_kwargs={{\"adbc.flight.sql.client_option.tls_root_certs\": open(\"{ca}\").read(), \
                 \"adbc.flight.sql.authorization_header\": {bearer}}}"
            ),
            grpcurl: format!("-cacert '{ca}' -H \"authorization: Bearer $(cat '{token}')\""),
            channel: format!(
                "grpc.secure_channel(\"{listen}\", grpc.composite_channel_credentials(grpc.ssl_channel_credentials(open(\"{ca}\", \
                 \"rb\").read()), grpc.access_token_call_credentials(open(\"{token}\").read().strip())))"
            ),
        }
    }
}

/// The recipes, each a headline and indented lines. The Python ones are plain statements without indentation of their own.
pub fn text(listen: SocketAddr, door: Option<&DemoDoor>) -> String {
    let historian = std::env::current_exe().map_or_else(|_| "historian".to_owned(), |path| path.display().to_string());
    let words = door.map_or_else(|| Words::open(listen), |door| Words::secured(listen, door));
    let Words { uri, flight_options, call_options, call_argument, adbc_options, command_line, grpcurl, channel } = words;
    format!(
        r#"Python (pip install pyarrow pandas):
    import pyarrow.flight as flight
    client = flight.connect("{uri}"{flight_options}){call_options}
    ticket = flight.Ticket(b'{{"range": {{"tags": ["demo/heating/tank201/*"], "start": "*-5m", "end": "*"}}}}')
    frame = client.do_get(ticket{call_argument}).read_all().to_pandas()
    print(frame.tail(20).to_string())

Command line:
    {historian} query current 'demo/**' {command_line}
    {historian} query range 'demo/utility/boiler/*' --start '*-5m' {command_line}

gRPC (grpcurl; the server has reflection):
    grpcurl {grpcurl} -d '{{"tags": ["demo/product/**"]}}' {listen} historian.v1.QueryService/CurrentValues

Python, asking instead of fetching:
    import json, pyarrow.flight as flight
    historian = flight.connect("{uri}"{flight_options}){call_options}
    ask = lambda **command: historian.do_get(flight.Ticket(json.dumps(command)){call_argument}).read_all()
    tank = dict(tags=["demo/heating/tank201/temperature"], start="*-1h", end="*")
    print(ask(downsample=dict(tank, points=200, method="PLOT")).to_pandas().to_string())
    print(ask(aggregate=dict(tank, interval="1m", functions=["time_average", "maximum", "percent_good"])).to_pandas().tail(6).to_string())
    print(ask(anomalies=dict(tank, detector="spike", output="FINDINGS")).to_pandas().to_string())

SQL (pip install adbc-driver-flightsql pyarrow):
    import adbc_driver_flightsql.dbapi as adbc
    cursor = adbc.connect("{uri}"{adbc_options}).cursor()
    cursor.execute("SELECT tag, count(*) AS samples, avg(value) AS mean FROM samples WHERE tag LIKE 'demo/heating/%' GROUP BY tag ORDER BY tag")
    print(cursor.fetch_arrow_table().to_pandas().to_string())
    cursor.execute("SELECT * FROM aggregate('demo/heating/tank201/temperature', '*-1h', '*', '1m', 'time_average') ORDER BY timestamp DESC LIMIT 5")
    print(cursor.fetch_arrow_table().to_pandas().to_string())

Python gRPC (pip install grpcio-tools; in the checkout):
    import sys, grpc; sys.path.insert(0, "proto")
    messages, services = grpc.protos_and_services("historian/v1/query.proto")
    query = services.QueryServiceStub({channel})
    print(query.CurrentValues(messages.CurrentValuesRequest(tags=["demo/product/**"])))
"#
    )
}
