//! Delivery truth per tag, from outside: what `historian status` shows of a device and of one tag, page by page over gRPC, over HTTP, and what
//! the metrics tell of the device's pace.

use std::time::{Duration, Instant};

use historian_proto::v1::{ListTagStatusRequest, collector_service_client::CollectorServiceClient};
use serde_json::Value as Json;

use crate::{
    silence::{await_good, told},
    support::{
        historian::{Historian, serve},
        peer::Peer,
    },
};

fn of(historian: &Historian, name: &str) -> Vec<Json> {
    told(historian, &["status", name, "--format", "json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until the one tag of this name is as wanted.
fn await_tag(historian: &Historian, name: &str, is: impl Fn(&Json) -> bool) -> Json {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let found = of(historian, name);
        assert_eq!(found.len(), 1, "{found:?}");
        if is(&found[0]) {
            return found[0].clone();
        }
        assert!(Instant::now() < until, "{found:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn fetched(historian: &Historian, path: &str) -> String {
    let (code, text) = historian.get(path).unwrap();
    assert_eq!(code, 200, "{path}: {text}");
    text
}

#[test]
fn each_tag_says_how_far_it_has_come_with_its_latest_sample_and_why_it_does_not_deliver() {
    let (mut peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("historian.toml");
    let tags = [("plc/a", "input:10"), ("plc/b", "input:11"), ("plc/none", "input:5000")];
    let tags: String =
        tags.map(|(name, address)| format!("[[modbus.tag]]\nname = \"{name}\"\naddress = \"{address}\"\n")).into_iter().collect();
    let device = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\ntimeout_ms = 500\n");
    std::fs::write(&file, format!("{device}{tags}")).unwrap();
    let historian = serve(&directory.path().join("data"), &["--config", file.to_str().unwrap()]);
    await_good(&historian, "plc/a", 0, 5);

    let good = await_tag(&historian, "plc/a", |tag| tag["delivery"] == "delivering");
    assert_eq!((&good["value"], &good["quality"], &good["address"]), (&73.into(), &"Good".into(), &"input:10".into()), "{good}");
    assert!(good["age_s"].as_f64().unwrap().abs() < 10.0 && good["interval_s"] == 0.1 && good["last_error"] == "", "{good}");
    let refused = await_tag(&historian, "plc/none", |tag| tag["last_error"] != "");
    let error = refused["last_error"].as_str().unwrap();
    assert!(refused["delivery"] == "wanted" && error.contains("BadConfigurationError") && error.contains("exception 02"), "{refused}");
    assert_eq!(of(&historian, "plc").len(), 3, "by the name of the device");
    assert_eq!(of(&historian, "plc/?").len(), 2, "by a glob");
    let shown = told(&historian, &["status", "plc"]);
    assert!(shown.contains("2 of 3 tags deliver") && shown.contains("(99 in 100)") && shown.contains("input:5000"), "{shown}");

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let names: Vec<String> = runtime.block_on(async {
        let mut client = CollectorServiceClient::connect(format!("http://{}", historian.grpc)).await.unwrap();
        let (mut names, mut request) = (Vec::new(), ListTagStatusRequest { page_size: 1, ..ListTagStatusRequest::default() });
        loop {
            let page = client.list_tag_status(request.clone()).await.unwrap().into_inner();
            assert_eq!(page.tags.len(), 1);
            names.extend(page.tags.into_iter().map(|tag| tag.tag));
            if page.next_page_token.is_empty() {
                return names;
            }
            request.page_token = page.next_page_token;
        }
    });
    assert_eq!(names, ["plc/a", "plc/b", "plc/none"]);
    let answer: Json = serde_json::from_str(&fetched(&historian, "/api/v1/collectors/tags?tags=plc/b")).unwrap();
    assert_eq!((&answer["tags"][0]["tag"], &answer["tags"][0]["delivery"]), (&"plc/b".into(), &"delivering".into()), "{answer}");
    let metrics = fetched(&historian, "/metrics");
    let latency = |quantile: &str| {
        let name = format!("historian_device_latency_seconds{{device=\"plc\",protocol=\"modbus\",quantile=\"{quantile}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_else(|| panic!("{name} in {metrics}"));
        line.parse::<f64>().unwrap()
    };
    assert!(0.0 < latency("0.5") && latency("0.5") <= latency("0.99") && latency("0.99") < 1.0, "{metrics}");

    peer.kill();
    let gone = await_tag(&historian, "plc/a", |tag| tag["delivery"] == "created");
    assert!(gone["value"].is_null() && gone["last_error"].as_str().unwrap().contains("Bad"), "{gone}");
    historian.stop().unwrap();
}
