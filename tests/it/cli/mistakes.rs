//! What people most often mistype, and the line that helps them. Each row is what is typed, and what it is answered with.

use historian_test_support::program::free_port;

use super::{command, directory, server::Server, stderr};

#[test]
fn the_most_likely_typing_errors_end_in_a_line_that_helps() {
    let server = Server::start();
    server.write_samples();
    let http = server.http();
    let (nobody, http_as_grpc) = (format!("grpc://127.0.0.1:{}", free_port()), format!("http://{http}"));
    let with_tls = server.url().replace("grpc://", "grpc+tls://");
    for (typed, told) in [
        // Commands and flags.
        (&["qurey", "current"][..], "a similar subcommand exists: 'query'"),
        (&["query", "curent"], "a similar subcommand exists: 'current'"),
        (&["range", "plant/**"], "a similar subcommand exists: 'query range'"),
        (&["query", "measure"], "a similar subcommand exists: 'measure'"),
        (&["query", "current", "--fromat", "csv"], "a similar argument exists: '--format'"),
        (&["query", "range", "plant/**", "--from", "y"], "a similar argument exists: '--start'"),
        (&["query", "range", "plant/**", "--until", "*"], "a similar argument exists: '--end'"),
        (&["query", "current", "--json"], "a similar argument exists: '--format json'"),
        (&["query", "current", "--tag", "plant/**"], "tags have no flag: write them behind the command"),
        (&["query", "downsample", "plant/**", "--method", "ltb"], "a similar value exists: 'lttb'"),
        // Names.
        (&["query", "current", "plant/presure"], "there is no tag \"plant/presure\"; did you mean plant/pressure?"),
        (&["query", "current", "pressure"], "did you mean plant/pressure?"),
        (&["query", "current", "plant\\pressure"], "did you mean plant/pressure?"),
        (&["query", "current", "plnt/*"], "did you mean 'plant/*'?"),
        (
            &["query", "aggregate", "plant/pressure", "-f", "time_averge"],
            "unknown aggregate function `time_averge`; did you mean time_average?",
        ),
        (&["query", "aggregate", "plant/pressure", "-f", "mean"], "did you mean average?"),
        (&["query", "anomalies", "plant/pressure", "-d", "spikes"], "unknown detector \"spikes\"; did you mean spike?"),
        (&["query", "anomalies", "plant/pressure", "-d", "spike", "--parameter", "treshold=4"], "did you mean threshold?"),
        (&["query", "range", "plant/**", "--zone", "Berlin"], "did you mean Europe/Berlin?"),
        // Times.
        (&["query", "range", "plant/**", "--start", "1767225600"], "as seconds it is 2026-01-01T00:00:00Z, written 1767225600s"),
        (&["query", "range", "plant/**", "--start", "yesterday"], "did you mean 'y'?"),
        (&["query", "range", "plant/**", "--start", "-8h"], "did you mean '*-8h'?"),
        (&["query", "range", "plant/**", "--start", "31.12.2025"], "did you mean '2025-12-31'?"),
        (&["query", "anomalies", "plant/pressure", "-d", "spike", "--start", "*", "--end", "*-1h"], "exchange --start and --end"),
        (&["delete", "plant/**", "--start", "*", "--end", "*-1h", "--reason", "x", "--yes"], "exchange --start and --end"),
        (&["query", "aggregate", "plant/pressure", "-f", "count", "--interval", "5"], "a length has a unit, as in 5s, 5m or 5h"),
        // Addresses.
        (&["status", "--server", &http_as_grpc], "speaks HTTP, and commands speak gRPC: take the other port of the historian"),
        (&["status", "--server", &nobody], "is the historian running there?"),
        (&["status", "--server", &with_tls], "does not answer with TLS; without, it is grpc://"),
        (&["status", "--server", "plant.example"], "such as grpc://plant.example:8815"),
        // The rest.
        (&["measure", "plant/pressure", "--measure", "integral"], "--per: the time unit of the rate is missing"),
        (&["sql", "SELECT $tag"], "$tag has no value; add --parameter tag=VALUE"),
    ] {
        let output = server.run(typed);
        let text = stderr(&output);
        assert!(text.contains(told), "{typed:?}:\n{text}");
    }
    // A shell that has expanded a glob.
    let files = directory(&[("plant.csv", ""), ("notes.txt", "")]);
    let output = command(&["query", "current", "plant.csv", "notes.txt"])
        .env("HISTORIAN_SERVER", server.url())
        .current_dir(files.path())
        .output()
        .expect("the program starts");
    assert!(stderr(&output).contains("the shell has expanded a glob; put it in quotes, as in '**'"), "{}", stderr(&output));
}

#[test]
fn who_shows_no_token_where_one_is_asked_for_is_told_how() {
    let server = Server::start();
    let data = server.data_dir();
    let made = command(&["token", "create", "boss", "--data-dir", &data, "--role", "admin"]).output().expect("the program starts");
    assert!(made.status.success(), "{}", stderr(&made));
    // A running historian knows of it within some seconds.
    for _ in 0..100 {
        let output = server.run(&["status"]);
        if output.status.code() == Some(1) {
            let text = stderr(&output);
            assert!(text.contains("put a token into the variable HISTORIAN_TOKEN or give --token-file FILE"), "{text}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    panic!("the historian took no notice of its first token");
}
