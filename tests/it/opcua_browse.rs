//! What is found in an OPC UA server and made into tags: `historian browse`, the addresses and elements that tags may have, and what `check` says of
//! those that are wrong.

use std::{collections::BTreeMap, fs, sync::atomic::Ordering, time::Duration};

use historian::{
    collector::BrowseRequest,
    model::{Quality, Value},
};
use opcua::{
    nodes::VariableBuilder,
    server::{
        ServerBuilder,
        diagnostics::NamespaceMetadata,
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, NodeId, ObjectId, VariableTypeId},
};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use super::{
    opcua::{FIRST, Running, build, device, open_device, plain_tags, server, tag, text_of, write},
    support::historian::run,
};

fn object<'list>(list: &'list [Json], path: &str) -> &'list Json {
    list.iter().find(|object| object["path"] == path).unwrap_or_else(|| panic!("{path}: {list:#?}"))
}

/// The peer listens while the program runs beside it, which must not stop the runtime.
#[test]
fn a_server_is_listed_as_a_tag_file_that_a_configuration_takes_as_it_is() {
    let (_peer, port) = server(&["--plant", "--nodes", "3"]);
    let endpoint = format!("opc.tcp://127.0.0.1:{port}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tags.csv");
    let open = ["--security-policy", "None"];
    let (code, _, told) =
        run(
            &[
                &[
                    "browse",
                    &endpoint,
                    "--glob",
                    "Objects/Boiler*/**",
                    "--device",
                    "peer",
                    "--prefix",
                    "area1/",
                    "--output",
                    text_of(&file),
                ][..],
                &open[..],
            ]
            .concat(),
        );
    assert_eq!(code, 0, "{told}");
    let written = fs::read_to_string(&file).unwrap();
    let mut names: Vec<&str> = written.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "area1/Boiler1/Any",
            "area1/Boiler1/Delay",
            "area1/Boiler1/Mode",
            "area1/Boiler1/Phase",
            "area1/Boiler1/Pressure",
            "area1/Boiler1/Sensors/Pressure",
            "area1/Boiler1/Sensors/T_1__",
            "area1/Boiler1/Setpoint",
            "area1/Boiler1/Tag",
            "area1/Boiler1/Zones/0",
            "area1/Boiler1/Zones/1",
            "area1/Boiler1/Zones/2",
        ],
        "{written}"
    );
    for reason in ["no fixed length", "a structure", "does not let this user read it", "12 tags, 3 variables left out"] {
        assert!(told.contains(reason), "{reason}: {told}");
    }

    // The configuration takes it whole, and every tag of it delivers but the elements, which this server cannot give.
    let config = folder.path().join("historian.toml");
    let text = open_device(&port);
    fs::write(&config, format!("tag_files = [\"tags.csv\"]\n{text}")).unwrap();
    let (_, checked, errors) = run(&["check", "--config", text_of(&config), "--format", "json"]);
    let rows: BTreeMap<String, Json> = checked
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok())
        .filter_map(|row| Some((row["tag"].as_str()?.to_owned(), row)))
        .collect();
    assert_eq!(rows.len(), names.len(), "{checked}{errors}");
    for (tag, value) in [
        ("Pressure", "2.5"),
        ("Mode", "1 (on)"),
        ("Phase", "3 (run)"),
        ("Delay", "1.5"),
        ("Any", "true"),
        ("Tag", "AQI="),
        ("Setpoint", "5"),
        ("Sensors/T_1__", "7"),
    ] {
        let row = &rows[&format!("area1/Boiler1/{tag}")];
        assert_eq!((&row["value"], &row["error"]), (&json!(value), &json!("")), "{row}");
    }

    // A device that has no tags yet is browsed by its name; JSON says what the file cannot.
    fs::write(&config, open_device(&port)).unwrap();
    let (code, listed, told) = run(&["browse", "peer", "--config", text_of(&config), "--glob", "Boiler1/**", "--format", "json"]);
    assert_eq!(code, 0, "{told}");
    let listed: Vec<Json> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pressure = object(&listed, "Boiler1/Pressure");
    assert_eq!(
        *pressure,
        json!({
            "device": "peer", "path": "Boiler1/Pressure", "tag": "Boiler1/Pressure", "address": "nsu=urn:plant;s=Boiler1.Pressure",
            "data_type": "Double", "type": "f64", "dimensions": [], "unit": "bar",
            "description": "Steam, \"main\" line; behind the valve", "range_low": -1.0, "range_high": 16.5, "state_set": [],
            "writable": false, "left_out": "",
        })
    );
    let of = |path: &str, key: &str| object(&listed, path)[key].clone();
    assert_eq!(of("Boiler1/Mode", "state_set"), json!(["off", "on"]));
    assert_eq!(of("Boiler1/Phase", "state_set"), json!(["0", "stop", "2", "run"]));
    assert_eq!((of("Boiler1/Delay", "data_type"), of("Boiler1/Delay", "type")), (json!("Duration"), json!("f64")));
    assert_eq!((of("Boiler1/Any", "type"), of("Boiler1/Setpoint", "writable")), (json!("bool"), json!(true)));
    assert_eq!((of("Boiler1/Zones/2", "dimensions"), of("Boiler1/Zones/2", "index_range")), (json!([3]), json!("2")));
    assert_eq!(of("Boiler1/Secret", "tag"), Json::Null);
    assert_eq!(of("Boiler1/Sensors/T[1]*", "address"), json!("nsu=urn:plant;s=a;b,\"c\"=[1]"));

    // The server's own object is looked at only where it is asked for.
    let own = |glob: &str| run(&[&["browse", &endpoint, "--glob", glob, "--format", "csv"][..], &open[..]].concat()).1;
    assert!(!own("**").contains("ServerStatus") && own("**").contains("\nn2,f64"), "{}", own("**"));
    assert!(own("Server/ServerStatus/*").contains("\nServer/ServerStatus/CurrentTime,i64,ns,"), "{}", own("Server/ServerStatus/*"));
    assert_eq!(own("Nowhere/*").lines().count(), 1);

    for (arguments, words) in [
        (&["browse", "nobody", "--config", text_of(&config)][..], "no OPC UA device \"nobody\"; it has peer"),
        (&["browse", "peer"], "add --config FILE"),
        (&["browse", "peer", "--config", text_of(&config), "--security-policy", "None"], "are for an ENDPOINT"),
        (&["browse", &endpoint], "pki_dir"),
        (&["browse", &endpoint, "--security-policy", "None", "--format", "arrow"], "table, csv or json"),
    ] {
        let (code, _, told) = run(arguments);
        assert!(code == 2 && told.contains(words), "{arguments:?}: {code} {told}");
    }
    let (code, _, told) = run(&["browse", &endpoint, "--security-policy", "None", "--glob", "["]);
    assert!(code == 1 && told.contains('['), "{code} {told}");
}

/// A server with small limits that has arrays, and answers for elements of them.
pub async fn limited(count: usize) -> (u16, CancellationToken, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let stop = CancellationToken::new();
    let pki = tempfile::tempdir().unwrap();
    let namespace = NamespaceMetadata { namespace_uri: "urn:plant".into(), ..Default::default() };
    let mut builder = ServerBuilder::new_anonymous("limits")
        .application_uri("urn:limits")
        .host("127.0.0.1")
        .port(port)
        .pki_dir(pki.path())
        .token(stop.clone())
        .with_node_manager(simple_node_manager(namespace, "plant"));
    builder.limits_mut().operational.max_nodes_per_browse = 3;
    builder.limits_mut().operational.max_nodes_per_read = 50;
    let (server, handle) = builder.build().unwrap();
    let index = handle.get_namespace_index("urn:plant").unwrap();
    let manager = handle.node_managers().get_of_type::<SimpleNodeManager>().unwrap();
    {
        let mut space = manager.address_space().write();
        for number in 0..count {
            let name = format!("n{number}");
            VariableBuilder::new(&NodeId::new(index, name.as_str()), name.as_str(), name.as_str())
                .data_type(DataTypeId::Double)
                .value(number as f64)
                .has_type_definition(VariableTypeId::BaseDataVariableType)
                .organized_by(ObjectId::ObjectsFolder)
                .insert(&mut *space);
        }
        VariableBuilder::new(&NodeId::new(index, "zones"), "zones", "zones")
            .data_type(DataTypeId::Double)
            .value_rank(1)
            .array_dimensions(&[3])
            .value(vec![10.0, 20.5, -3.0])
            .has_type_definition(VariableTypeId::BaseDataVariableType)
            .organized_by(ObjectId::ObjectsFolder)
            .insert(&mut *space);
    }
    let serving = tokio::spawn(async move {
        let _ = server.run_with(listener).await;
        drop(pki);
    });
    (port, stop, serving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_folder_is_listed_in_parts_and_within_bounds() {
    const COUNT: usize = 2_500;
    let (port, stop, serving) = limited(COUNT).await;
    let collector = build(&(open_device(&port.to_string()) + &plain_tags(1)));
    let request = BrowseRequest { paths: "n*".into(), timeout: Duration::from_mins(1), variables_max: 100_000 };
    let answer = collector.browse(&request).await.unwrap();
    assert_eq!((answer.variables.len(), &answer.notes), (COUNT, &Vec::new()));
    assert!(answer.variables.iter().all(|variable| variable.left_out.is_empty() && variable.data_type == "Double"));
    let few = collector.browse(&BrowseRequest { variables_max: 10, ..request.clone() }).await.unwrap();
    assert_eq!(few.variables.len(), 10);
    assert!(few.notes[0].contains("10 variables"), "{:?}", few.notes);
    let hasty = collector.browse(&BrowseRequest { timeout: Duration::ZERO, ..request }).await.unwrap();
    assert!(hasty.variables.is_empty() && hasty.notes[0].contains("the time is over"), "{:?}", hasty.notes);
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(10), serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn elements_scales_and_one_node_in_several_tags_come_through() {
    let (port, stop, serving) = limited(2).await;
    let element = |index: &str, more: &str| {
        let name = format!("zone{}", index.replace(',', "_"));
        format!("[[opcua.tag]]\nname = \"{name}\"\naddress = \"nsu=urn:plant;s=zones\"\nindex_range = \"{index}\"\n{more}")
    };
    let tags = element("0", "scale = 0.1\nqueue_size = 3\ntrigger = \"status_value_timestamp\"\n")
        + &element("7", "")
        + "[[opcua.tag]]\nname = \"fast\"\naddress = \"nsu=urn:plant;s=n1\"\nsampling_ms = 100\n\
           [[opcua.tag]]\nname = \"slow\"\naddress = \"nsu=urn:plant;s=n1\"\nsampling_ms = 1000\nscale = 10.0\n";
    let running = Running::start(&(open_device(&port.to_string()) + &tags));
    running.until("all values but one", |r| r.delivering() == 3).await;
    for (tag, value) in [("zone0", 1.0), ("fast", 1.0), ("slow", 10.0)] {
        let samples = running.of(tag);
        assert_eq!((samples[0].1.clone(), samples[0].2), (Some(Value::F64(value)), 0), "{tag}");
    }
    running.until("the missing element", |r| r.of("zone7").last().is_some_and(|last| Quality(last.2).is_bad())).await;
    assert_eq!(running.status.items_wanted.load(Ordering::Relaxed), 4);
    running.stop().await;
    // This server takes an element of the element for a subscription; whoever reads gets the right one.
    let elements = element("0", "scale = 0.1\n") + &element("1", "scale = 0.1\noffset = -1.0\n") + &element("2", "") + &element("7", "");
    let rows = build(&(open_device(&port.to_string()) + &elements)).check(Duration::from_secs(30)).await;
    for (row, value) in rows.iter().zip([1.0, 1.05, -3.0]) {
        assert_eq!((row.error.as_str(), row.value.clone()), ("", Some(Value::F64(value))), "{rows:#?}");
    }
    assert!(rows[1].address.ends_with("zones [1]") && rows[3].value.is_none() && !rows[3].error.is_empty(), "{rows:#?}");
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(10), serving).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_of_a_namespace_is_collected_only_where_its_uri_is_said() {
    let (mut peer, port) = server(&["--nodes", "2", "--namespaces", "urn:other,urn:plant"]);
    let by_index = |index: usize| tag("n1", "f64").replace("nsu=urn:plant;", &format!("ns={index};"));
    let with_uri = |index: usize| {
        let said = format!("security_policy = \"None\"\nnamespaces = {{ {index} = \"urn:plant\" }}");
        device(&format!("opc.tcp://127.0.0.1:{port}"), &said) + &by_index(index)
    };
    // Which index it has in this run is what `check` tells.
    let rows = build(&(open_device(&port) + &by_index(9))).check(Duration::from_secs(30)).await;
    assert!(rows[0].error.contains("the server has no namespace 9"), "{rows:?}");
    let mut index = 1;
    let advised = loop {
        let rows = build(&(open_device(&port) + &by_index(index))).check(Duration::from_secs(30)).await;
        if rows[0].error.contains("write nsu=urn:plant;s=n1") {
            break rows;
        }
        index += 1;
        assert!(index < 6, "{rows:?}");
    };
    assert!(advised[0].error.contains(&format!("namespaces = {{ {index} = \"urn:plant\" }}")), "{advised:?}");
    assert_eq!(advised[0].value, Some(Value::F64(1.0)), "what stands there now is shown");

    let refused = Running::start(&(open_device(&port) + &by_index(index) + &plain_tags(1)));
    refused.until("the other tag", |r| r.delivering() == 1).await;
    refused.until("the refusal", |r| r.of("n1").last().is_some_and(|last| last.2 == Quality::BAD_NODE_ID_UNKNOWN.0)).await;
    assert!(refused.status.view().holes[0].contains("write nsu=urn:plant;s=n1"), "{:?}", refused.status.view());
    refused.stop().await;

    // With its URI said it is that namespace, under any index.
    for said in [index, index + 3] {
        let running = Running::start(&with_uri(said));
        running.until("the value", |r| r.delivering() == 1).await;
        write(&mut peer, "n1", "Double", &json!(said as f64), 0, FIRST + 1_000 * said as i64);
        running.until("a change", |r| r.of("n1").last().unwrap().1 == Some(Value::F64(said as f64))).await;
        let source = running.collector.tags()[0].source.clone().unwrap();
        assert_eq!(source.address, "nsu=urn:plant;s=n1");
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_the_nodes_that_were_probably_meant() {
    let (_peer, port) = server(&["--plant"]);
    let text = open_device(&port)
        + &tag("a", "f64").replace("s=a", "s=Boiler1.Presure")
        + &tag("b", "f64").replace("s=b", "s=boiler1.setpoint")
        + &tag("c", "f64").replace("s=c", "s=Nothing.Like.It");
    let rows = build(&text).check(Duration::from_secs(30)).await;
    for (row, expected) in rows.iter().zip(["nsu=urn:plant;s=Boiler1.Pressure", "nsu=urn:plant;s=Boiler1.Setpoint"]) {
        assert_eq!(row.quality, Quality::BAD_NODE_ID_UNKNOWN);
        assert!(row.error.contains(&format!("the server has {expected}")), "{row:?}");
    }
    assert!(!rows[2].error.contains("the server has nsu"), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_trusted_and_rejected_by_command() {
    let folder = tempfile::tempdir().unwrap();
    let (_peer, port) = server(&["--secure", text_of(folder.path())]);
    let pki = folder.path().join("pki");
    let keys = format!("pki_dir = \"{}\"\ncertificate_hostname = \"localhost\"", text_of(&pki));
    let tagless = device(&format!("opc.tcp://127.0.0.1:{port}"), &keys);
    let config = folder.path().join("historian.toml");
    fs::write(&config, &tagless).unwrap();
    let config = text_of(&config).to_owned();
    let text = tagless + &tag("Double", "f64");
    let trust = |arguments: &[&str]| {
        let arguments: Vec<String> =
            [&["trust"][..], arguments, &["--config", &config][..]].concat().iter().map(ToString::to_string).collect();
        async move { tokio::task::spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())).await.unwrap() }
    };
    assert_eq!(trust(&["list"]).await.1, "");
    let running = Running::start(&text);
    running.until("the refusal", |r| r.status.view().last_error.contains("historian trust accept peer")).await;
    let (code, listed, _) = trust(&["list", "peer", "--format", "json"]).await;
    let shown: Json = serde_json::from_str(listed.trim()).unwrap();
    assert_eq!((code, &shown["device"], &shown["state"]), (0, &json!("peer"), &json!("rejected")));
    let certificate = shown["certificate"].as_str().unwrap().to_owned();
    let (code, _, told) = trust(&["accept", "peer", "nothing"]).await;
    assert!(code == 1 && told.contains("no rejected certificate"), "{told}");
    let (code, told, errors) = trust(&["accept", "peer", &certificate[..6].to_uppercase()]).await;
    assert_eq!((code, told), (0, format!("device peer: {certificate} is trusted\n")), "{errors}");
    running.until("the connection", |r| r.status.connects.load(Ordering::Relaxed) == 1).await;
    assert!(pki.join("trusted").join(&certificate).is_file());
    let (code, _, told) = trust(&["accept", "peer", &certificate]).await;
    assert!(code == 1 && told.contains("trusted already"), "{told}");
    running.stop().await;

    let (code, ..) = trust(&["reject", "peer", &certificate]).await;
    assert_eq!(code, 0);
    let rows = build(&text).check(Duration::from_secs(30)).await;
    assert!(rows[0].error.contains("not trusted"), "{rows:?}");
}
