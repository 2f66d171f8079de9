//! Towards devices the historian only reads (S8): on the wire, with devices of other makes, whatever its clients ask for. That no function which
//! changes anything is compiled in is a rule of the house (`house.rs`). To a broker of MQTT it says that it is a Sparkplug host, and asks for births.

use std::{collections::BTreeSet, fs, time::Duration};

use serde_json::json;

use crate::support::{
    historian::{Historian, command, serve, text},
    mqtt::{Broker, Client, GROUP},
    peer::Peer,
    wiretap::{Protocol, Wiretap},
};

/// Read coils, discrete inputs, holding registers, input registers.
const MODBUS_READS: [u32; 4] = [1, 2, 3, 4];

/// Services by the numbers of their requests in binary (Opc.Ua.NodeIds): what finds out, opens, reads and subscribes. Not among them: `Write` 673,
/// `Call` 712, `HistoryUpdate` 700, `AddNodes` 488, `AddReferences` 494, `DeleteNodes` 500, `DeleteReferences` 506.
const OPCUA_READS: [(u32, &str); 20] = [
    (422, "FindServers"),
    (428, "GetEndpoints"),
    (446, "OpenSecureChannel"),
    (452, "CloseSecureChannel"),
    (461, "CreateSession"),
    (467, "ActivateSession"),
    (473, "CloseSession"),
    (527, "Browse"),
    (533, "BrowseNext"),
    (554, "TranslateBrowsePathsToNodeIds"),
    (631, "Read"),
    (751, "CreateMonitoredItems"),
    (763, "ModifyMonitoredItems"),
    (781, "DeleteMonitoredItems"),
    (787, "CreateSubscription"),
    (793, "ModifySubscription"),
    (826, "Publish"),
    (832, "Republish"),
    (841, "TransferSubscriptions"),
    (847, "DeleteSubscriptions"),
];

fn ask(historian: &Historian, arguments: &[&str]) -> bool {
    let output = command(arguments).args(["--server", &historian.url()]).output().unwrap();
    eprintln!("{arguments:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output.status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_device_is_asked_for_anything_but_to_be_read() {
    let (_modbus, modbus) = Peer::python("modbus_server.py", &["tcp"]);
    let (_opcua, opcua) = Peer::python("opcua_server.py", &["--nodes", "2"]);
    let (modbus, opcua) = (Wiretap::start(Protocol::ModbusTcp, &modbus).await, Wiretap::start(Protocol::OpcUa, &opcua).await);
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("historian.toml");
    let tags = "[[modbus.tag]]\nname = \"m/word\"\naddress = \"holding:0\"\nformat = \"u16\"\n\
                [[modbus.tag]]\nname = \"m/coil\"\naddress = \"coil:1\"\n\
                [[modbus.tag]]\nname = \"m/none\"\naddress = \"holding:40000\"\nformat = \"u16\"\n";
    let nodes = "[[opcua.tag]]\nname = \"o/n0\"\naddress = \"nsu=urn:plant;s=n0\"\ntype = \"f64\"\n\
                 [[opcua.tag]]\nname = \"o/none\"\naddress = \"nsu=urn:plant;s=none\"\ntype = \"f64\"\n";
    let devices = format!(
        "[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{}\"\nscan_ms = 100\n{tags}\
         [[opcua]]\nname = \"peer\"\nendpoint = \"opc.tcp://127.0.0.1:{}\"\nsecurity_policy = \"None\"\npublishing_ms = 100\n{nodes}",
        modbus.port, opcua.port
    );
    fs::write(&config, devices).unwrap();
    let (config, data) = (config.display().to_string(), directory.path().join("data"));

    let asked = tokio::task::spawn_blocking({
        let config = config.clone();
        move || {
            let checked = command(&["check", "--config", &config]).output().unwrap();
            eprintln!("{}", text(&checked.stdout));
            let historian = serve(&data, &["--config", &config]);
            std::thread::sleep(Duration::from_secs(2));
            // Whatever changes something here, on tags that devices deliver.
            let samples = data.with_file_name("samples.csv");
            fs::write(&samples, "timestamp,tag,value\n2026-01-01T00:00:00Z,m/word,7\n2026-01-01T00:00:00Z,o/n0,7\n").unwrap();
            let samples = samples.display().to_string();
            let (start, end) = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
            assert!(ask(&historian, &["import", &samples]));
            for tag in ["m/word", "o/n0"] {
                assert!(ask(&historian, &["delete", tag, "--yes", "--start", start, "--end", end, "--reason", "a test"]));
            }
            assert!(ask(&historian, &["tag", "retype", "m/coil", "i64"]));
            assert!(ask(&historian, &["compact"]));
            std::thread::sleep(Duration::from_secs(1));
            historian.stop().unwrap();
        }
    });
    asked.await.unwrap();

    let (on_modbus, on_opcua) = (modbus.asked(), opcua.asked());
    let functions: Vec<u32> = on_modbus.keys().copied().collect();
    assert!(functions.contains(&1) && functions.contains(&3) && on_modbus[&3] > 10, "{on_modbus:?}");
    assert!(functions.iter().all(|function| MODBUS_READS.contains(function)), "{on_modbus:?}");
    let services: BTreeSet<u32> = on_opcua.keys().copied().collect();
    assert!([461, 467, 631, 751, 787, 826].iter().all(|service| services.contains(service)), "{on_opcua:?}");
    let known: BTreeSet<u32> = OPCUA_READS.iter().map(|(number, _)| *number).collect();
    assert!(services.is_subset(&known), "{on_opcua:?}");
}

/// Whoever listens to all of a broker hears of the historian its state, and a request for births of a node that it does not know.
#[test]
fn a_broker_hears_the_state_of_the_host_and_requests_for_births_and_nothing_else() {
    let Some(broker) = Broker::start("allow_anonymous true") else { return };
    let directory = tempfile::tempdir().unwrap();
    let (config, data) = (directory.path().join("historian.toml"), directory.path().join("data"));
    let more = "[mqtt.sparkplug]\nhost_id = \"scada\"\n[[mqtt.topic]]\nfilter = \"plain/#\"\ntag_name = \"{topic}\"\npayload = \"text\"\n\
                [[mqtt.tag]]\nname = \"lab/ph\"\naddress = \"lab/ph\"\n";
    fs::write(&config, format!("[[mqtt]]\nname = \"broker\"\nendpoint = \"127.0.0.1:{}\"\n{more}", broker.port)).unwrap();
    let config = config.display().to_string();
    let mut listener = Client::sparkplug(broker.port, &["--subscribe", "#"]);
    let checked = command(&["check", "--config", &config]).output().unwrap();
    eprintln!("{}", text(&checked.stdout));
    assert!(listener.heard().is_empty(), "a check says nothing: {:?}", listener.heard());

    let historian = serve(&data, &["--config", &config]);
    let patience = Duration::from_mins(1);
    let is_state = |heard: &serde_json::Value| heard["topic"] == "spBv1.0/STATE/scada";
    listener.until("its state", patience, |heard| heard.iter().any(is_state));
    let mut publisher = Client::sparkplug(broker.port, &[]);
    publisher.text("plain/a", "1.5");
    publisher.text("lab/ph", "7.5");
    let metric = json!({ "alias": 7, "of": "Double", "value": 1.5, "timestamp": 1_769_846_400_000_i64 });
    publisher.edge("NDATA/unknown", &json!({ "timestamp": 1_769_846_400_000_i64, "seq": 3, "metrics": [metric] }));
    let asks = format!("spBv1.0/{GROUP}/NCMD/unknown");
    listener.until("a request for births", patience, |heard| heard.iter().any(|heard| heard["topic"] == asks.as_str()));
    // Whatever changes something in the historian stays there.
    let samples = data.with_file_name("samples.csv");
    fs::write(&samples, "timestamp,tag,value\n2026-01-01T00:00:00Z,lab/ph,7\n").unwrap();
    assert!(ask(&historian, &["import", &samples.display().to_string()]));
    std::thread::sleep(Duration::from_millis(500));
    historian.stop().unwrap();
    let (asks, sent) = (asks.as_str(), ["plain/a", "lab/ph", &format!("spBv1.0/{GROUP}/NDATA/unknown")]);
    let said: Vec<&serde_json::Value> =
        listener.heard().iter().filter(|heard| !sent.iter().any(|topic| heard["topic"] == *topic)).collect();
    assert!(said.iter().all(|heard| is_state(heard) || heard["topic"] == asks), "{said:#?}");
    assert!(listener.rebirths("unknown") >= 1);
}
