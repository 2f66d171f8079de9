//! Tags that globs over the paths of an OPC UA server make: what they are, that they last, what becomes of them when the server changes, and that
//! a node id that means another variable by now gives no Good sample under the old meaning.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use historian::model::{Clock, Quality, SystemClock};
use historian_proto::v1::{
    DeviceStatus, GetStatusRequest, ListTagsRequest, RangeRequest, Tag, ValueType, collector_service_client::CollectorServiceClient,
    query_service_client::QueryServiceClient, tag_service_client::TagServiceClient,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{
    opcua::{FIRST, PATIENCE, command, open_device, server, text_of},
    opcua_browse::limited,
    opcua_session::count,
    support::{
        door::{Bits, Row, of_proto},
        historian::{Historian, run, serve},
        peer::Peer,
    },
};

/// A historian on a data directory that lasts over several runs, and a server that may be started again at its port.
struct Plant {
    directory: TempDir,
    file: PathBuf,
    historian: Option<Historian>,
    runtime: tokio::runtime::Runtime,
}

impl Plant {
    /// Collects from the server at this port; `more` are further keys and tables of the device.
    fn start(port: &str, more: &str) -> Plant {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("historian.toml");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut plant = Plant { directory, file, historian: None, runtime };
        plant.configure(port, more);
        plant.begin();
        plant
    }

    fn configure(&self, port: &str, more: &str) {
        fs::write(&self.file, format!("{}{more}", open_device(port))).unwrap();
    }

    fn begin(&mut self) {
        self.historian = Some(serve(&self.directory.path().join("data"), &["--config", text_of(&self.file)]));
    }

    fn stop(&mut self) {
        self.historian.take().unwrap().stop().unwrap();
    }

    fn historian(&self) -> &Historian {
        self.historian.as_ref().unwrap()
    }

    fn reload(&self) {
        let (code, told, errors) = run(&["reload", "--server", &self.historian().url()]);
        assert_eq!(code, 0, "{told}{errors}");
    }

    fn status(&self) -> DeviceStatus {
        let answer = self.runtime.block_on(async {
            let mut client = CollectorServiceClient::new(self.historian().channel().await.unwrap());
            client.get_status(GetStatusRequest {}).await.unwrap().into_inner()
        });
        answer.devices.into_iter().find(|device| device.device == "peer").unwrap()
    }

    fn tags(&self) -> BTreeMap<String, Tag> {
        self.runtime.block_on(async {
            let mut client = TagServiceClient::new(self.historian().channel().await.unwrap());
            let request = ListTagsRequest { page_size: 10_000, ..ListTagsRequest::default() };
            let page = client.list_tags(request).await.unwrap().into_inner();
            page.tags.into_iter().map(|tag| (tag.name.clone(), tag)).collect()
        })
    }

    /// All samples of the tags of a glob.
    fn samples(&self, tags: &str) -> BTreeMap<String, Vec<Row>> {
        let request =
            RangeRequest { tags: vec![tags.into()], start: i64::MIN.to_string(), end: i64::MAX.to_string(), ..RangeRequest::default() };
        self.runtime.block_on(async {
            let mut client = QueryServiceClient::new(self.historian().channel().await.unwrap());
            let mut found: BTreeMap<String, Vec<Row>> = BTreeMap::new();
            let mut answers = match client.range(request).await {
                Ok(answers) => answers.into_inner(),
                Err(status) if status.code() == tonic::Code::NotFound => return found,
                Err(status) => panic!("{status}"),
            };
            loop {
                match answers.try_next().await {
                    Ok(Some(answer)) => {
                        if let Some(samples) = answer.samples {
                            let rows = of_proto(&samples);
                            found.entry(samples.tag).or_default().extend(rows);
                        }
                    }
                    Err(status) if status.code() != tonic::Code::NotFound => panic!("{status}"),
                    _ => return found,
                }
            }
        })
    }

    fn of(&self, tag: &str) -> Vec<Row> {
        self.samples(tag).remove(tag).unwrap_or_default()
    }

    fn until(&self, what: &str, is_it: impl Fn(&Plant) -> bool) {
        let begun = Instant::now();
        while !is_it(self) {
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; {:#?}", self.status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until so many tags deliver.
    fn until_delivering(&self, count: u64) {
        self.until(&format!("that {count} tags deliver"), |plant| plant.status().items_delivering == count);
    }

    /// What the status says of the variables without a tag, and of nodes that are refused.
    fn holes(&self) -> String {
        self.status().holes.join("\n")
    }
}

fn is_good(row: &Row) -> bool {
    Quality(row.2).is_good()
}

#[expect(clippy::unnecessary_wraps, reason = "as rows have it")]
fn number(value: f64) -> Option<Bits> {
    Some(Bits::Word(value.to_bits()))
}

/// A server with variables by their paths; the file lasts as long as the folder.
fn server_with(folder: &TempDir, port: &str, rows: &Json) -> (Peer, String) {
    let file = folder.path().join("line.json");
    fs::write(&file, rows.to_string()).unwrap();
    server(&["--line", text_of(&file), "--port", port])
}

const KINDS: [&str; 8] = ["Double", "Float", "Int32", "UInt16", "Boolean", "String", "Int64", "UInt64"];

/// Variable `number` of the large line: its row, the name behind `Line 1/`, and its value by its bits.
fn variable(number: usize) -> (Json, String, Bits) {
    let kind = KINDS[number % 8];
    let name = format!("Motor {}/{kind}", number / 8);
    let node = if number.is_multiple_of(2) { json!(number + 1_000) } else { json!(format!("M{number};=x")) };
    let (whole, real) = (number as i64, number as f64 + 0.1);
    let (value, bits) = match kind {
        "Double" => (json!(real), Bits::Word(real.to_bits())),
        "Float" => (json!(real), Bits::Word((real as f32).to_bits().into())),
        "Int32" => (json!(-whole), Bits::Word((-whole) as u64)),
        "UInt16" => (json!(whole), Bits::Word(whole as u64)),
        "Boolean" => (json!(number % 16 < 8), Bits::Word((number % 16 < 8).into())),
        "String" => (json!(format!("Größe {number}")), Bits::Text(format!("Größe {number}"))),
        "Int64" => (json!(i64::MIN + whole), Bits::Word((i64::MIN + whole) as u64)),
        _ => (json!(u64::MAX - number as u64), Bits::Word(u64::MAX - number as u64)),
    };
    let mut row = json!([format!("Line 1/{name}"), node, kind, value]);
    if kind == "Double" {
        row.as_array_mut().unwrap().push(json!({ "unit": "rpm", "range": [0, 3000], "text": format!("Speed of\n{number}") }));
    }
    (row, name, bits)
}

#[test]
fn two_thousand_variables_become_tags_with_what_the_server_says_of_them_and_last() {
    const COUNT: usize = 2_000;
    let variables: Vec<_> = (0..COUNT).map(variable).collect();
    let mut rows: Vec<Json> = variables.iter().map(|(row, ..)| row.clone()).collect();
    rows.extend([
        json!(["Line 1/Motor 0/Record", "record", "Record", null]),
        json!(["Line 1/Secret/Recipe", "recipe", "Double", 1.0]),
        json!(["Line 2/Speed", "other", "Double", 1.0]),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let (mut peer, port) = server_with(&folder, "0", &json!(rows));
    let more = "[[opcua.glob]]\npath = \"Objects/Line 1/**\"\ntag_name = \"plant/line1/{1}\"\nexclude = [\"Line 1/Secret/**\"]\n\
                sampling_ms = 50\n\
                [[opcua.tag]]\nname = \"own/speed\"\naddress = \"nsu=urn:plant;i=1000\"\n";
    let mut plant = Plant::start(&port, more);
    plant.until_delivering(COUNT as u64);

    let tags = plant.tags();
    assert_eq!(tags.len(), COUNT, "the configured one is one of them");
    assert!(!tags.contains_key("plant/line1/Motor 0/Double"), "the node has its configured tag");
    for (number, (row, name, _)) in variables.iter().enumerate().skip(1) {
        let tag = tags.get(&format!("plant/line1/{name}")).unwrap_or_else(|| panic!("{name}"));
        let expected = match KINDS[number % 8] {
            "Double" => ValueType::F64,
            "Float" => ValueType::F32,
            "Int32" | "Int64" => ValueType::I64,
            "Boolean" => ValueType::Bool,
            "String" => ValueType::String,
            _ => ValueType::U64,
        };
        let node = row[1].as_u64().map_or_else(|| format!("s={}", row[1].as_str().unwrap()), |node| format!("i={node}"));
        let address = format!("path=Line 1/{name};nsu=urn:plant;{node}");
        assert_eq!((tag.value_type(), tag.address.as_str(), tag.device.as_str()), (expected, address.as_str(), "peer"), "{name}");
        let described = (tag.unit.clone(), tag.description.clone(), tag.range_low, tag.range_high);
        // Where nobody describes a variable, the server gives its name.
        let known = match KINDS[number % 8] {
            "Double" => ("rpm".to_owned(), format!("Speed of {number}"), Some(0.0), Some(3000.0)),
            kind => (String::new(), kind.to_owned(), None, None),
        };
        assert_eq!(described, known, "{name}");
    }
    let holes = plant.holes();
    assert!(holes.contains("no tag of Line 1/Motor 0/Record: a structure"), "{holes}");

    // Bit for bit, at their source times.
    plant.until("all samples", |plant| plant.samples("plant/line1/**").values().filter(|rows| !rows.is_empty()).count() == COUNT - 1);
    let samples = plant.samples("plant/line1/**");
    for (_, name, bits) in variables.iter().skip(1) {
        let rows: Vec<&Row> = samples[&format!("plant/line1/{name}")].iter().filter(|row| is_good(row)).collect();
        assert_eq!(rows, [&(FIRST, Some(bits.clone()), 0)], "{name}");
    }
    let values = [-0.0, 5e-324, f64::MAX, 0.1 + 0.2];
    for (step, value) in values.iter().enumerate() {
        command(&mut peer, &json!({ "write": [[1_008, "Double", value, 0, FIRST + 1_000 * (step as i64 + 1), FIRST]] }));
    }
    let sent: Vec<Row> = values.iter().enumerate().map(|(step, value)| (FIRST + 1_000 * (step as i64 + 1), number(*value), 0)).collect();
    plant.until("the changes", |plant| sent.iter().all(|row| plant.of("plant/line1/Motor 1/Double").contains(row)));

    // A restart knows them, and makes none anew.
    let ids: BTreeMap<String, u32> = tags.into_iter().map(|(name, tag)| (name, tag.id)).collect();
    plant.stop();
    plant.begin();
    plant.until_delivering(COUNT as u64);
    let again: BTreeMap<String, u32> = plant.tags().into_iter().map(|(name, tag)| (name, tag.id)).collect();
    assert_eq!(again, ids);
    assert_eq!(count(&mut peer), format!("1 1 {COUNT}"), "one item each");

    // A glob that finds less: the others end as those that are not configured any more.
    plant.configure(&port, &more.replace("Line 1/**", "Line 1/Motor 1/**"));
    plant.reload();
    plant.until_delivering(9);
    let ended = plant.of("plant/line1/Motor 2/Double");
    assert!(ended.last().is_some_and(|last| Quality(last.2).is_bad()), "{ended:?}");
    assert_eq!(plant.tags()["plant/line1/Motor 2/Double"].id, ids["plant/line1/Motor 2/Double"]);
}

#[test]
fn a_variable_that_comes_gets_its_tag_and_one_that_goes_is_bad_while_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let rows = json!([["Line 1/Motor/Speed", 5, "Double", 0.0], ["Line 1/Motor/Torque", 6, "Double", 1.0]]);
    let (mut peer, port) = server_with(&folder, "0", &rows);
    let plant = Plant::start(&port, "rescan_s = 1\n[[opcua.glob]]\npath = \"Line 1/**\"\n");
    plant.until_delivering(2);
    let mut sent: Vec<Row> = Vec::new();
    let mut step = |peer: &mut Peer| {
        let at = FIRST + 1_000_000 * (sent.len() as i64 + 1);
        command(peer, &json!({ "write": [[5, "Double", sent.len() as f64 + 1.0, 0, at, at]] }));
        sent.push((at, number(sent.len() as f64 + 1.0), 0));
        std::thread::sleep(Duration::from_millis(20));
    };
    (0..20).for_each(|_| step(&mut peer));
    command(&mut peer, &json!({ "line": [["Line 1/Motor/Current", 7, "Float", 2.5], ["Line 1/Pump/On", "on", "Boolean", true]] }));
    let begun = Instant::now();
    while plant.status().items_delivering < 4 {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", plant.status());
        step(&mut peer);
    }
    let tags = plant.tags();
    assert_eq!((tags["Line 1/Motor/Current"].value_type(), tags["Line 1/Pump/On"].value_type()), (ValueType::F32, ValueType::Bool));
    command(&mut peer, &json!({ "remove": [6] }));
    let begun = Instant::now();
    let is_gone = |plant: &Plant| plant.holes().contains("the server has no variable at Line 1/Motor/Torque any more");
    while !is_gone(&plant) {
        assert!(begun.elapsed() < PATIENCE, "{:#?}", plant.status());
        step(&mut peer);
    }
    plant.until("the end of the tag", |plant| plant.of("Line 1/Motor/Torque").last().is_some_and(|last| Quality(last.2).is_bad()));
    let status = plant.status();
    assert_eq!((status.connects, status.items_delivering, status.state.as_str()), (1, 3, "degraded"));
    let told = status.undelivered.iter().find(|told| told.tag == "Line 1/Motor/Torque").unwrap();
    assert!(told.reason.contains("BadNodeIdUnknown"), "{told:?}");
    // It comes back: the same tag.
    command(&mut peer, &json!({ "line": [["Line 1/Motor/Torque", 6, "Double", 9.0]] }));
    plant.until_delivering(4);
    assert_eq!(plant.tags()["Line 1/Motor/Torque"].id, tags["Line 1/Motor/Torque"].id);
    plant.until("its value", |plant| plant.of("Line 1/Motor/Torque").last().is_some_and(|last| last.1 == number(9.0) && is_good(last)));
    // The other one has lost nothing meanwhile, and was never Bad.
    (0..5).for_each(|_| step(&mut peer));
    plant.until("all changes", |plant| sent.iter().all(|row| plant.of("Line 1/Motor/Speed").contains(row)));
    let found = plant.of("Line 1/Motor/Speed");
    assert!(found.iter().all(is_good) && found.len() == sent.len() + 1, "{} of {}", found.len(), sent.len());
    assert_eq!(count(&mut peer), "1 1 4");
}

/// The server is configured anew: node 5 is another variable, and so is node 6.
#[test]
fn a_node_id_that_means_another_variable_gives_no_good_sample_under_the_old_meaning() {
    let folder = tempfile::tempdir().unwrap();
    let before = json!([
        ["Line 1/Motor/Speed", 5, "Double", 1_500.0],
        ["Line 1/Motor/Torque", 6, "Double", 7.0],
        ["Line 1/Fan/Speed", 8, "Double", 900.0],
    ]);
    let after = json!([
        ["Line 1/Motor/Torque", 5, "Double", 8.0],
        ["Line 1/Fan/Speed", 6, "Double", 901.0],
        ["Line 1/Old/Speed", 8, "Double", -1.0]
    ]);
    let own = |name: &str, node: u32| format!("[[opcua.tag]]\nname = \"{name}\"\naddress = \"nsu=urn:plant;i={node}\"\n");
    let (peer, port) = server_with(&folder, "0", &before);
    let glob = "exclude = [\"Line 1/Fan/**\"]\npath = \"Line 1/**\"\n";
    // Each node id has its own tag as well in the second device, by its number alone.
    let configured = format!(
        "[[opcua.glob]]\n{glob}\n{}",
        open_device(&port).replace("\"peer\"", "\"by_number\"") + &own("own/motor", 5) + &own("own/fan", 8)
    );
    let mut plant = Plant::start(&port, &configured);
    plant.until_delivering(2);
    plant.until("the configured tags", |plant| ["own/motor", "own/fan"].iter().all(|tag| plant.of(tag).last().is_some_and(is_good)));
    let ids = plant.tags();

    drop(peer);
    plant.until("the outage", |plant| plant.of("own/motor").last().is_some_and(|last| Quality(last.2).is_bad()));
    let (peer, _) = server_with(&folder, &port, &after);
    plant.until("the tag at its new node", |plant| plant.of("Line 1/Motor/Torque").last().is_some_and(|last| last.1 == number(8.0)));
    let is_known = |plant: &Plant| plant.holes().contains("the server has no variable at Line 1/Motor/Speed any more");
    plant.until("what is gone", is_known);
    let tags = plant.tags();
    assert_eq!(tags["Line 1/Motor/Torque"].address, "path=Line 1/Motor/Torque;nsu=urn:plant;i=5");
    assert_eq!(tags["Line 1/Motor/Torque"].id, ids["Line 1/Motor/Torque"].id);
    let good = |tag: &str| -> BTreeSet<Option<Bits>> { plant.of(tag).into_iter().filter(is_good).map(|row| row.1).collect() };
    assert_eq!(good("Line 1/Motor/Speed"), BTreeSet::from([number(1_500.0)]));
    assert_eq!(good("Line 1/Motor/Torque"), BTreeSet::from([number(7.0), number(8.0)]));
    assert!(Quality(plant.of("Line 1/Motor/Speed").last().unwrap().2).is_bad());

    // What is known by its number alone is in doubt where the name is another one; the fan has kept the name, which is all that is known of it.
    plant.until("the doubt", |plant| plant.of("own/motor").last().is_some_and(|last| !is_good(last) && !Quality(last.2).is_bad()));
    assert_eq!(good("own/motor"), BTreeSet::from([number(1_500.0)]));
    assert_eq!(plant.of("own/motor").last().unwrap().1, number(8.0));
    let (code, told, errors) = run(&["status", "--server", &plant.historian().url()]);
    assert!(code == 0 && told.contains("own/motor (nsu=urn:plant;i=5): Uncertain; its node was Speed and is Torque now"), "{told}{errors}");
    let (code, told, errors) = run(&["status", "own/motor", "--format", "json", "--server", &plant.historian().url()]);
    let doubted: Json = serde_json::from_str(told.trim()).unwrap();
    assert!(code == 0 && doubted["delivery"] == "delivering" && doubted["last_error"] == "", "{told}{errors}");
    assert!(doubted["quality_reason"].as_str().unwrap().contains("its node was Speed and is Torque now"), "{told}");
    let (_, told, errors) = run(&["status", "own/motor", "--server", &plant.historian().url()]);
    assert!(told.contains("REASON") && told.contains("its node was Speed"), "{told}{errors}");

    // The same while the historian does not run: the paths are in its catalog.
    plant.stop();
    drop(peer);
    let (_peer, _) =
        server_with(&folder, &port, &json!([["Line 1/Motor/Speed", 5, "Double", 1_600.0], ["Line 1/Motor/Other", 6, "Double", 3.0]]));
    plant.begin();
    plant.until("the tag that is back", |plant| plant.of("Line 1/Motor/Speed").last().is_some_and(|last| last.1 == number(1_600.0)));
    plant.until("what is gone", |plant| plant.holes().contains("the server has no variable at Line 1/Motor/Torque any more"));
    let good = |tag: &str| -> BTreeSet<Option<Bits>> { plant.of(tag).into_iter().filter(is_good).map(|row| row.1).collect() };
    assert_eq!(good("Line 1/Motor/Torque"), BTreeSet::from([number(7.0), number(8.0)]));
    assert_eq!(good("Line 1/Motor/Speed"), BTreeSet::from([number(1_500.0), number(1_600.0)]));
}

#[test]
fn a_node_with_another_name_is_refused_where_that_is_configured_and_taken_after_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let (peer, port) = server_with(&folder, "0", &json!([["Motor/Speed", 5, "Double", 1.0], ["Motor/Torque", 6, "Double", 2.0]]));
    let tags = "[[opcua.tag]]\nname = \"speed\"\naddress = \"nsu=urn:plant;i=5\"\n[[opcua.tag]]\nname = \"torque\"\naddress = \"nsu=urn:plant;i=6\"\n";
    let plant = Plant::start(&port, &format!("identity = \"refuse\"\n{tags}"));
    plant.until_delivering(2);
    drop(peer);
    plant.until_delivering(0);
    let (_peer, _) = server_with(&folder, &port, &json!([["Motor/Current", 5, "Double", 3.0], ["Motor/Torque", 6, "Double", 4.0]]));
    plant.until_delivering(1);
    plant.until("the refusal", |plant| plant.of("speed").last().is_some_and(|last| last.2 == Quality::BAD_CONFIGURATION_ERROR.0));
    assert!(plant.holes().contains("its node was Speed and is Current now"), "{}", plant.holes());
    assert!(!plant.of("speed").iter().any(|row| row.1 == number(3.0)));
    // Accepted: the configuration of the device is another one.
    plant.configure(
        &port,
        &format!("identity = \"refuse\"\n{}", tags.replace("\"speed\"", "\"speed\"\ndescription = \"Current of the motor\"")),
    );
    plant.reload();
    plant.until("the value", |plant| plant.of("speed").last().is_some_and(|last| last.1 == number(3.0) && is_good(last)));
}

/// Exception filter and swinging door of all tags of a glob: what is left out, what cannot have them, and what a change of the settings does.
#[test]
fn tags_of_a_glob_have_its_filters_where_they_can() {
    let folder = tempfile::tempdir().unwrap();
    let rows = json!([
        ["Line 1/Speed", 5, "Double", 10.0, { "unit": "rpm", "range": [0, 200] }],
        ["Line 1/Plain", 6, "Double", 1.0],
        ["Line 1/Name", 7, "String", "a"],
    ]);
    let (mut peer, port) = server_with(&folder, "0", &rows);
    let glob = |keys: &str| format!("[[opcua.glob]]\npath = \"Line 1/*\"\n{keys}");
    let percent = glob("exception_deadband_percent = 1\nexception_max_ms = 86400000\n");
    let mut plant = Plant::start(&port, &percent);
    plant.until_delivering(3);
    let filter = |plant: &Plant, name: &str| plant.tags().remove(name).unwrap().filter;
    let deadband = |plant: &Plant, name: &str| filter(plant, name).and_then(|filter| filter.exception_deadband);
    assert_eq!(deadband(&plant, "Line 1/Speed"), Some(2.0), "of the range that the server has");
    assert_eq!(filter(&plant, "Line 1/Speed").unwrap().error_bound, Some(4.0));
    assert_eq!((filter(&plant, "Line 1/Plain"), filter(&plant, "Line 1/Name")), (None, None));
    plant.until("why there is none", |plant| {
        let holes = plant.holes();
        let line = holes.lines().find(|line| line.starts_with("no such filter of"));
        line.is_some_and(|line| ["Line 1/Plain", "Line 1/Name", ": exception_deadband_percent is"].iter().all(|part| line.contains(part)))
    });

    for (step, value) in [10.5, 11.0, 11.9, 15.0].iter().enumerate() {
        command(&mut peer, &json!({ "write": [[5, "Double", value, 0, FIRST + 1_000 * (step as i64 + 1), FIRST]] }));
    }
    let stored = |plant: &Plant| plant.of("Line 1/Speed").into_iter().filter(is_good).map(|row| row.1).collect::<Vec<_>>();
    plant.until("the exception", |plant| stored(plant).last() == Some(&number(15.0)));
    assert_eq!(stored(&plant), [number(10.0), number(11.9), number(15.0)], "the exception, and what came before it");

    // A restart goes on with it, and settings of now hold for tags that were made before.
    let ids = plant.tags();
    plant.stop();
    plant.begin();
    plant.until_delivering(3);
    let now = || SystemClock.now().0 / 1_000 * 1_000;
    for value in [15.5, 30.0] {
        command(&mut peer, &json!({ "write": [[5, "Double", value, 0, now(), now()]] }));
    }
    plant.until("the next exception", |plant| stored(plant).last() == Some(&number(30.0)));
    plant.configure(&port, &glob("exception_deadband = 100\ncompression_deviation = 3\n"));
    plant.reload();
    plant.until_delivering(3);
    let both = |plant: &Plant, name: &str| filter(plant, name).map(|filter| (filter.exception_deadband, filter.compression_deviation));
    for name in ["Line 1/Speed", "Line 1/Plain"] {
        assert_eq!(both(&plant, name), Some((Some(100.0), Some(3.0))), "{name}");
        assert_eq!(plant.tags()[name].id, ids[name].id);
    }
    assert_eq!(both(&plant, "Line 1/Name"), None);
    plant.configure(&port, &glob(""));
    plant.reload();
    plant.until("no filter", |plant| filter(plant, "Line 1/Speed").is_none());
    plant.until_delivering(3);
    command(&mut peer, &json!({ "write": [[5, "Double", 30.1, 0, now(), now()]] }));
    plant.until("every sample", |plant| stored(plant).last() == Some(&number(30.1)));
}

#[test]
fn a_server_of_another_make_is_browsed_in_parts_and_tags_max_bounds_what_is_made() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (port, stop, serving) = runtime.block_on(limited(300));
    let more = "tags_max = 250\n[[opcua.glob]]\npath = \"n*\"\ntag_name = \"limits/{1}\"\n";
    let mut plant = Plant::start(&port.to_string(), more);
    plant.until_delivering(250);
    assert!(plant.holes().contains("no tag of 50 variables: the device made 250 tags by itself"), "{}", plant.holes());
    let name = plant.tags().keys().next().unwrap().clone();
    let value: f64 = name.trim_start_matches("limits/n").parse().unwrap();
    assert_eq!(plant.of(&name).last().map(|last| (last.1.clone(), last.2)), Some((number(value), 0)), "{name}");
    plant.configure(&port.to_string(), &more.replace("250", "1000"));
    plant.reload();
    plant.until_delivering(300);
    assert_eq!(plant.tags().len(), 300);
    plant.stop();
    stop.cancel();
    let _ = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), serving).await });
}

#[test]
fn check_says_what_a_glob_finds_and_what_it_cannot_take() {
    let folder = tempfile::tempdir().unwrap();
    let rows = json!([
        ["Line 1/Motor/Speed", 5, "Double", 1.5, { "unit": "rpm" }],
        ["Line 1/Motor/Mode", 6, "Int32", 7],
        ["Line 1/Motor/Record", 9, "Record", null],
        ["Line 1/Motor/Own", 10, "Double", 2.5],
        ["Line 1/Other/Taken", 11, "Double", 2.5],
    ]);
    let (mut peer, port) = server_with(&folder, "0", &rows);
    let file = folder.path().join("historian.toml");
    let glob = "[[opcua.glob]]\npath = \"Line 1/**\"\ntag_name = \"p/{path}\"\n";
    let own = "[[opcua.tag]]\nname = \"p/Line 1/Other/Taken\"\naddress = \"nsu=urn:plant;i=10\"\n";
    fs::write(&file, format!("{}{glob}{own}", open_device(&port))).unwrap();
    let (code, told, errors) = run(&["check", "--config", text_of(&file), "--format", "json"]);
    assert_eq!(code, 0, "{told}{errors}");
    let lines: Vec<Json> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let found = |tag: &str| lines.iter().find(|line| line["tag"] == tag).unwrap_or_else(|| panic!("{tag}: {told}"));
    let speed = found("p/Line 1/Motor/Speed");
    assert_eq!((&speed["value"], &speed["error"]), (&json!("1.5"), &json!("")), "{speed}");
    assert!(speed["note"].as_str().unwrap().contains("would be made by itself, as f64"), "{speed}");
    assert!(found("p/Line 1/Motor/Mode")["note"].as_str().unwrap().contains("as i64"));
    let advice = lines.last().unwrap()["advice"].to_string();
    for said in [
        "the globs would make 2 tags, first p/Line 1/Motor/Speed, p/Line 1/Motor/Mode, 1 more are configured",
        "no tag of Line 1/Motor/Record: a structure",
        "no tag of Line 1/Other/Taken: its tag p/Line 1/Other/Taken is that of nsu=urn:plant;i=10 already",
    ] {
        assert!(advice.contains(said), "{said}: {advice}");
    }
    assert_eq!(count(&mut peer), "0 0 0", "nothing is left behind");
    // People read the same.
    let (code, told, _) = run(&["check", "--config", text_of(&file)]);
    assert!(code == 0 && told.contains("the globs would make 2 tags") && told.contains("no tag of Line 1/Motor/Record"), "{told}");
}

#[test]
fn a_glob_that_cannot_be_meant_is_refused_at_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("historian.toml");
    for (glob, told) in [
        ("path = \"[\"", "opcua.peer.glob[1].path"),
        ("path = \"a/*\"\nexclude = [\"[\"]", "opcua.peer.glob[1].exclude"),
        ("path = \"a/*\"\ntag_name = \"one\"", "opcua.peer.glob[1].tag_name: has neither {path}"),
        ("path = \"a/*\"\ntag_name = \"{2}\"", "opcua.peer.glob[1].tag_name: {2}: the path has wildcards 1 to 1"),
        ("path = \"a/*\"\ntrigger = \"value\"", "opcua.peer.glob[1].trigger: unknown trigger"),
        ("path = \"a/*\"\nqueue_size = 0", "opcua.peer.glob[1].queue_size"),
        ("path = \"a/*\"\ndeadband = 1.0\ndeadband_percent = 1.0", "opcua.peer.glob[1].deadband_percent"),
        ("path = \"a/*\"\nnot_available = \"0x8000\"", "opcua.peer.glob[1].not_available"),
        ("path = \"a/*\"\nexception_min_ms = 5", "opcua.peer.glob[1].exception_min_ms: has no effect without exception_deadband"),
        ("path = \"a/*\"\nstepped = true\ncompression_deviation = 1", "opcua.peer.glob[1].compression_deviation: is for tags of type f64"),
        ("path = \"a/*\"\ncompression_deviation_percent = 101", "opcua.peer.glob[1].compression_deviation_percent: is 101"),
        ("path = \"a/*\"\nsampling = 5", "sampling"),
        ("tag_name = \"x\"", "path"),
    ] {
        fs::write(&file, format!("{}[[opcua.glob]]\n{glob}\n", open_device("4840"))).unwrap();
        let (code, _, errors) = run(&["check", "--offline", "--config", text_of(&file)]);
        assert!(code != 0 && errors.contains(told), "{glob}: {code} {errors}");
    }
}
