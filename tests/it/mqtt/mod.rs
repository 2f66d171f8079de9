//! The MQTT collector from outside: mosquitto as the broker, paho as publisher of plain topics, Sparkplug edges of four makes. What they
//! print as published is compared with what the historian answers: no value is lost, none is there twice, and nobody who is dead is Good.

mod faults;
mod host;
mod makes;
mod plain;
mod secure;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::TryStreamExt;
use historian::model::Quality;
use historian_proto::v1::{
    DeviceStatus, GetStatusRequest, ListTagsRequest, RangeRequest, Tag, TagSamples, ValueType,
    collector_service_client::CollectorServiceClient, query_service_client::QueryServiceClient, tag_service_client::TagServiceClient,
    values::Column,
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::{
    historian::{Historian, serve},
    mqtt::{Broker, Edge, Published},
};

/// Long enough for a loaded machine; nothing waits so long when it works.
const PATIENCE: Duration = Duration::from_mins(1);
/// What "within seconds" of a death is, on a machine that other tests load.
const SECONDS: Duration = Duration::from_secs(8);
const MS: i64 = 1_000_000;
/// The name of the device in the configurations of these tests.
const NAME: &str = "broker";

/// A stored sample.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    at: i64,
    value: Option<Json>,
    quality: Quality,
}

impl Sample {
    fn is_good(&self) -> bool {
        self.quality.is_good()
    }
}

/// A broker, and a historian on a data directory that lasts over several runs.
struct Plant {
    broker: Broker,
    directory: TempDir,
    file: PathBuf,
    historian: Option<Historian>,
    runtime: tokio::runtime::Runtime,
}

impl Plant {
    /// A broker for everybody, and a historian with a `[[mqtt]]` whose further keys and tables these are; not started yet. `None` where it
    /// may be passed over.
    fn new(more: &str) -> Option<Plant> {
        Plant::with("allow_anonymous true", "127.0.0.1", more)
    }

    /// With settings of the broker's listener, called by this name of its host.
    fn with(broker: &str, host: &str, more: &str) -> Option<Plant> {
        let broker = Broker::start(broker)?;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("historian.toml");
        let endpoint = format!("{host}:{}", broker.port);
        std::fs::write(&file, format!("[[mqtt]]\nname = \"{NAME}\"\nendpoint = \"{endpoint}\"\n{more}\n")).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Some(Plant { broker, directory, file, historian: None, runtime })
    }

    /// A plant of Sparkplug whose historian serves, and waits for births.
    fn sparkplug(more: &str) -> Option<Plant> {
        let mut plant = Plant::new(&format!("[mqtt.sparkplug]\nhost_id = \"scada\"\n{more}"))?;
        plant.start();
        plant.until("the connection to the broker", PATIENCE, |plant| plant.status().state == "running");
        Some(plant)
    }

    fn start(&mut self) {
        assert!(self.historian.is_none(), "it is started once at a time");
        self.historian = Some(serve(&self.directory.path().join("data"), &["--config", self.file.to_str().unwrap()]));
    }

    fn stop(&mut self) {
        self.historian.take().unwrap().stop().unwrap();
    }

    fn kill(&mut self) {
        self.historian.take().unwrap().kill();
    }

    fn historian(&self) -> &Historian {
        self.historian.as_ref().unwrap()
    }

    fn port(&self) -> u16 {
        self.broker.port
    }

    fn status(&self) -> DeviceStatus {
        let answer = self.runtime.block_on(async {
            let mut client = CollectorServiceClient::new(self.historian().channel().await.unwrap());
            client.get_status(GetStatusRequest {}).await.unwrap().into_inner()
        });
        answer.devices.into_iter().find(|device| device.device == NAME).unwrap()
    }

    /// All tags, by name.
    fn tags(&self) -> BTreeMap<String, Tag> {
        self.runtime.block_on(async {
            let mut client = TagServiceClient::new(self.historian().channel().await.unwrap());
            let (mut tags, mut page_token) = (BTreeMap::new(), String::new());
            loop {
                let request = ListTagsRequest { page_size: 10_000, page_token, ..ListTagsRequest::default() };
                let page = client.list_tags(request).await.unwrap().into_inner();
                tags.extend(page.tags.into_iter().map(|tag| (tag.name.clone(), tag)));
                page_token = page.next_page_token;
                if page_token.is_empty() {
                    return tags;
                }
            }
        })
    }

    /// All samples of the tags with these names or globs; of tags that are not there, none.
    fn samples(&self, tags: &str) -> BTreeMap<String, Vec<Sample>> {
        let request =
            RangeRequest { tags: vec![tags.into()], start: i64::MIN.to_string(), end: i64::MAX.to_string(), ..RangeRequest::default() };
        self.runtime.block_on(async {
            let mut client = QueryServiceClient::new(self.historian().channel().await.unwrap());
            let mut found: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
            let answers = match client.range(request).await {
                Ok(answers) => answers,
                Err(status) if status.code() == tonic::Code::NotFound => return found,
                Err(status) => panic!("{status}"),
            };
            let mut answers = answers.into_inner();
            while let Some(answer) = answers.try_next().await.transpose() {
                match answer {
                    Ok(answer) => {
                        if let Some(samples) = answer.samples {
                            let rows = rows(&samples);
                            found.entry(samples.tag).or_default().extend(rows);
                        }
                    }
                    Err(status) if status.code() == tonic::Code::NotFound => return found,
                    Err(status) => panic!("{status}"),
                }
            }
            found
        })
    }

    /// The samples of one tag.
    fn of(&self, tag: &str) -> Vec<Sample> {
        self.samples(tag).remove(tag).unwrap_or_default()
    }

    /// Quality of the newest sample of a tag.
    fn is_good(&self, tag: &str) -> bool {
        self.of(tag).last().is_some_and(Sample::is_good)
    }

    fn until(&self, what: &str, within: Duration, is_it: impl Fn(&Plant) -> bool) {
        let begun = Instant::now();
        while !is_it(self) {
            assert!(begun.elapsed() < within, "not within {within:?}: {what}; {:#?}", self.status());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until the newest sample of each tag of a glob is Good, or none is.
    fn until_all(&self, tags: &str, good: bool, what: &str) {
        let begun = Instant::now();
        loop {
            let found = self.samples(tags);
            let wrong: Vec<&String> = found
                .iter()
                .filter(|(_, samples)| samples.last().is_some_and(|last| if good { !last.is_good() } else { !last.quality.is_bad() }))
                .map(|(tag, _)| tag)
                .collect();
            if !found.is_empty() && wrong.is_empty() {
                return;
            }
            let last = wrong.first().and_then(|tag| found[*tag].last());
            assert!(
                begun.elapsed() < SECONDS,
                "{what}: {} of {} are not, as {:?} {last:?}; {:#?}",
                wrong.len(),
                found.len(),
                wrong.first(),
                self.status()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the last error of the status says all of this.
    fn until_told(&self, words: &[&str]) -> String {
        self.until(&format!("an error that says {words:?}"), PATIENCE, |plant| {
            let said = plant.status().last_error;
            words.iter().all(|word| said.contains(word))
        });
        self.status().last_error
    }

    /// Every value that an edge has published is there, with the time that it was given, Good and of the type of its metric; and what is
    /// there beside them repeats the value of before, behind a Bad sample, where the edge was born again.
    fn holds(&self, edge: &Edge, published: &[Published]) {
        let mut wanted: BTreeMap<String, BTreeMap<i64, &Published>> = BTreeMap::new();
        for value in published {
            wanted.entry(edge.tag(value.device, &value.metric)).or_default().insert(value.time * MS, value);
        }
        let glob = format!("{}/{}/**", crate::support::mqtt::GROUP, edge.node);
        let begun = Instant::now();
        let found = loop {
            let found = self.samples(&glob);
            let missing: Vec<(&String, &Published)> = wanted
                .iter()
                .flat_map(|(tag, values)| values.iter().map(move |(at, value)| (tag, *at, *value)))
                .filter(|(tag, at, value)| {
                    !found.get(*tag).is_some_and(|samples| samples.iter().any(|sample| sample.at == *at && is_value(value, sample)))
                })
                .map(|(tag, _, value)| (tag, value))
                .collect();
            if missing.is_empty() {
                break found;
            }
            let first = missing[0];
            assert!(
                begun.elapsed() < SECONDS,
                "{:?}: {} of {} published values are not there, first {first:?}; that tag has {:?}; {:#?}",
                edge.make,
                missing.len(),
                wanted.values().map(BTreeMap::len).sum::<usize>(),
                found.get(first.0).map(|samples| samples.iter().rev().take(8).collect::<Vec<_>>()),
                self.status()
            );
            std::thread::sleep(Duration::from_millis(50));
        };
        // What an edge takes as a command is no measurement, whatever folder it is in.
        for (tag, samples) in found.iter().filter(|(tag, _)| !tag.contains("Node Control/")) {
            let Some(values) = wanted.get(tag) else { panic!("{tag} was never published") };
            for pair in samples.windows(2) {
                assert!(pair[0].at < pair[1].at, "{tag}: {pair:?}");
            }
            for (row, sample) in samples.iter().enumerate().filter(|(_, sample)| !sample.quality.is_bad()) {
                if let Some(value) = values.get(&sample.at) {
                    assert!(is_value(value, sample), "{tag}: {value:?} was published, {sample:?} is stored");
                } else {
                    let before = values.range(..sample.at).map(|(_, value)| *value).rfind(|value| !value.historical);
                    let repeats =
                        before.is_some_and(|value| is_value(value, sample)) && samples[..row].iter().any(|sample| sample.quality.is_bad());
                    assert!(repeats, "{tag}: {sample:?} was never published, {:?} before it", samples[row.saturating_sub(3)..row].to_vec());
                }
            }
        }
        let tags = self.tags();
        for value in published {
            let tag = edge.tag(value.device, &value.metric);
            assert_eq!(tags[&tag].value_type(), type_of(&value.kind), "{tag}, a {}", value.kind);
        }
        let status = self.status();
        assert_eq!((status.samples_dropped, status.samples_rejected), (0, 0), "{status:#?}");
    }
}

/// Samples of an answer.
fn rows(samples: &TagSamples) -> Vec<Sample> {
    let values: Vec<Json> = match samples.values.as_ref().unwrap().column.as_ref().unwrap() {
        Column::F64(column) => column.values.iter().map(|value| json!(value)).collect(),
        Column::F32(column) => column.values.iter().map(|value| json!(f64::from(*value))).collect(),
        Column::I64(column) => column.values.iter().map(|value| json!(value)).collect(),
        Column::U64(column) => column.values.iter().map(|value| json!(value)).collect(),
        Column::Bool(column) => column.values.iter().map(|value| json!(value)).collect(),
        Column::State(column) => column.values.iter().map(|value| json!(value)).collect(),
        Column::String(column) => column.values.iter().map(|value| json!(value)).collect(),
    };
    let sample = |(row, value): (usize, Json)| Sample {
        at: samples.timestamps[row],
        value: (!samples.nulls.contains(&(row as u32))).then_some(value),
        quality: Quality(samples.qualities.get(row).copied().unwrap_or(0)),
    };
    values.into_iter().enumerate().map(sample).collect()
}

/// Whether a sample is the Good one of a published value. A float is published as what it is nearest to.
fn is_value(published: &Published, sample: &Sample) -> bool {
    let Some(value) = &sample.value else { return false };
    let same = match published.kind.as_str() {
        "Float" => value.as_f64() == published.value.as_f64().map(|sent| f64::from(sent as f32)),
        "Double" => value.as_f64() == published.value.as_f64(),
        _ => *value == published.value,
    };
    same && sample.is_good()
}

/// What the historian makes of a type of Sparkplug.
fn type_of(kind: &str) -> ValueType {
    match kind {
        "Float" => ValueType::F32,
        "Double" => ValueType::F64,
        "Boolean" => ValueType::Bool,
        "String" | "Text" => ValueType::String,
        unsigned if unsigned.starts_with("UInt") => ValueType::U64,
        _ => ValueType::I64,
    }
}

/// Now, in ms since 1970, and each time another one.
fn now_ms() -> i64 {
    std::thread::sleep(Duration::from_millis(1));
    historian::model::Clock::now(&historian::model::SystemClock).0 / MS
}
