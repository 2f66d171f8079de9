//! Towards devices the historian only reads (S8): on the wire, with devices of other makes, whatever its clients ask for. That no function which
//! changes anything is compiled in is a rule of the house (`house.rs`).

use std::{collections::BTreeSet, fs, time::Duration};

use crate::support::{
    historian::{Historian, command, serve, text},
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
