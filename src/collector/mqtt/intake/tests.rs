//! Messages become samples of configured tags, and of tags that are made for them.

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{MqttCollector, MqttConfig};
use historian_collector::{Collector, FoundTag, FoundTags, SettingPosition, Spool, TagConfig};
use historian_model::{ManualClock, Sample, Timestamp, Value, ValueType};

/// Makes every tag but those whose name has "refused" in it.
#[derive(Default)]
struct Maker(Mutex<Vec<TagDefinition>>);

#[async_trait]
impl TagMaker for Maker {
    async fn make(&self, definitions: Vec<TagDefinition>) -> Vec<Result<TagId, String>> {
        let mut made = self.0.lock();
        let mut one = |definition: TagDefinition| {
            if definition.name.as_str().contains("refused") {
                return Err("clients write it".to_owned());
            }
            made.push(definition);
            Ok(TagId(100 + made.len() as u32))
        };
        definitions.into_iter().map(&mut one).collect()
    }
}

struct Bench {
    collector: MqttCollector,
    maker: Arc<Maker>,
    context: CollectorContext,
    clock: Arc<ManualClock>,
}

fn bench(device: &str, tags: &[(&str, &str)]) -> Bench {
    let config: MqttConfig = toml::from_str(&format!("name = \"b\"\nendpoint = \"h:1\"\n{device}")).unwrap();
    let tag = |(name, address): &(&str, &str)| TagConfig { name: (*name).into(), address: (*address).into(), ..TagConfig::default() };
    let collector = config.collector(SettingPosition::default(), tags.iter().map(tag).collect()).unwrap();
    let (clock, maker) = (Arc::new(ManualClock::at(Timestamp(1_000))), Arc::new(Maker::default()));
    let status = Arc::new(DeviceStatus::new("b", "mqtt", "h:1"));
    status.set_scene(clock.clone(), Vec::new());
    let context = CollectorContext {
        spool: Spool::new(10_000, status.clone()),
        clock: clock.clone(),
        status,
        last: Vec::new(),
        unfilled: Vec::new(),
        found: FoundTags { maker: maker.clone(), kept: Vec::new() },
        shutdown: CancellationToken::new(),
    };
    Bench { collector, maker, context, clock }
}

impl Bench {
    fn intake(&self) -> Intake<'_> {
        let ids: Vec<TagId> = (0..self.collector.device.tags.len() as u32).map(TagId).collect();
        Intake::new(&self.collector.device, &ids, &self.context)
    }

    fn last_error(&self) -> String {
        self.context.status.view().last_error
    }
}

fn current(intake: &Intake<'_>, name: &str) -> Option<Sample> {
    intake.held.all().find(|held| held.name.as_str() == name)?.last.clone()
}

#[expect(clippy::unnecessary_wraps, reason = "as `current` has it")]
fn good(at: i64, value: Value) -> Option<Sample> {
    Some(Sample { timestamp: at, value: Some(value), quality: 0 })
}

#[tokio::test]
async fn configured_tags_take_their_topic_or_a_member_of_it() {
    let bench = bench("", &[("t", "plant/t"), ("m", "plant/s#/a/b"), ("n", "plant/s#/c")]);
    let mut intake = bench.intake();
    intake.message("plant/t", b"21.5", false).await;
    intake.message("plant/s", b"{\"a\": {\"b\": 5}, \"c\": true}", false).await;
    assert_eq!(current(&intake, "t"), good(1_000, Value::F64(21.5)));
    assert_eq!(current(&intake, "m"), good(1_000, Value::F64(5.0)));
    let mismatch = current(&intake, "n").unwrap();
    assert_eq!((mismatch.value, mismatch.quality), (None, Quality::BAD_TYPE_MISMATCH.0));
    assert!(bench.last_error().contains("plant/s: /c: true is no f64"), "{}", bench.last_error());
    bench.clock.set(Timestamp(2_000));
    intake.message("plant/s", b"{", false).await;
    let broken = current(&intake, "m").unwrap();
    assert_eq!((broken.timestamp, broken.quality), (2_000, Quality::BAD_DECODING_ERROR.0));
    assert!(bench.last_error().contains("plant/s: is no JSON"), "{}", bench.last_error());
    intake.message("plant/s", b"{\"a\": {\"b\": null}, \"c\": 1}", false).await;
    assert_eq!(current(&intake, "m").unwrap().quality, Quality::BAD_NO_DATA.0);
    assert_eq!(current(&intake, "n"), good(2_001, Value::F64(1.0)));
}

#[tokio::test]
async fn tags_are_made_from_topics_in_one_go_and_found_again() {
    let topic = "[[topic]]\nfilter = \"plant/+/state\"\ntag_name = \"p/{1}/{field}\"\nfields = [\"*\"]\ntime = \"/ts\"\ntime_format = \"unix_ms\"\nunit = \"bar\"\n";
    let mut bench = bench(topic, &[("own", "plant/x/state#/a")]);
    let made: Vec<TagDefinition> = {
        let mut intake = bench.intake();
        intake.message("plant/x/state", b"{\"ts\": 1, \"a\": 1, \"b\": 2, \"on\": true, \"gone\": null, \"refused\": 1}", false).await;
        intake
            .message("plant/x/state", b"{\"ts\": 2, \"a\": 3, \"b\": \"text\", \"on\": false, \"gone\": \"now\", \"refused\": 1}", false)
            .await;
        assert_eq!(
            current(&intake, "own"),
            good(1_000, Value::F64(1.0)).map(|sample| Sample { timestamp: 1_001, value: Some(Value::F64(3.0)), ..sample })
        );
        assert_eq!(current(&intake, "p/x/on"), good(2_000_000, Value::Bool(false)));
        assert_eq!(current(&intake, "p/x/gone"), good(2_000_000, Value::String("now".into())));
        assert_eq!(current(&intake, "p/x/b").unwrap().quality, Quality::BAD_TYPE_MISMATCH.0);
        assert_eq!(current(&intake, "p/x/refused"), None);
        bench.maker.0.lock().clone()
    };
    let shown: Vec<(&str, &str, ValueType, &str)> = made
        .iter()
        .map(|tag| (tag.name.as_str(), tag.source.as_ref().unwrap().address.as_str(), tag.value_type, tag.unit.as_str()))
        .collect();
    let expected = [
        ("p/x/b", "plant/x/state#/b", ValueType::F64, "bar"),
        ("p/x/on", "plant/x/state#/on", ValueType::Bool, "bar"),
        ("p/x/gone", "plant/x/state#/gone", ValueType::String, "bar"),
    ];
    assert_eq!(shown, expected);
    assert!(made.iter().all(|tag| bench.collector.keeps(tag)));
    let elsewhere = TagDefinition { name: TagName::new("q/x/b").unwrap(), ..made[0].clone() };
    assert!(!bench.collector.keeps(&elsewhere), "the pattern gives another name");

    bench.context.found.kept =
        vec![FoundTag { id: TagId(101), definition: made[0].clone(), last: good(2_000_000, Value::F64(2.0)), unfilled: Vec::new() }];
    let mut intake = bench.intake();
    intake.message("plant/x/state", b"{\"ts\": 3, \"b\": 4}", false).await;
    assert_eq!(current(&intake, "p/x/b"), good(3_000_000, Value::F64(4.0)));
    assert_eq!(bench.maker.0.lock().len(), 3, "nothing is made anew");
}

#[tokio::test]
async fn a_device_makes_no_more_tags_than_it_may() {
    let topic = "tags_max = 2\n[[topic]]\nfilter = \"a/#\"\ntag_name = \"{1}\"\n";
    let bench = bench(topic, &[]);
    let mut intake = bench.intake();
    for n in 0..5 {
        intake.message(&format!("a/{n}"), b"1", false).await;
    }
    assert_eq!(bench.maker.0.lock().len(), 2);
    assert!(bench.last_error().contains("tags_max"), "{}", bench.last_error());
    // Two topics of one name: the first has it.
    let same = "[[topic]]\nfilter = \"a/+/x\"\ntag_name = \"x\"\n";
    let bench = self::bench(same, &[]);
    let mut intake = bench.intake();
    intake.message("a/1/x", b"1", false).await;
    intake.message("a/2/x", b"2", false).await;
    assert_eq!(current(&intake, "x"), good(1_000, Value::F64(1.0)));
    assert!(bench.last_error().contains("is that of a/1/x already"), "{}", bench.last_error());
}

#[tokio::test]
async fn items_are_samples_of_their_own_times_and_a_message_that_is_too_long_is_bad() {
    let topic = "message_bytes_max = 1024\n[[topic]]\nfilter = \"gw\"\ntag_name = \"gw/{/id}\"\nitems = \"/values\"\nvalue = \"/v\"\ntime = \"/t\"\n\
                 time_format = \"unix_ns\"\nquality = \"/q\"\n";
    let bench = bench(topic, &[("t", "gw#/n")]);
    let mut intake = bench.intake();
    let message = br#"{"n": 1, "values": [{"id": "a", "v": 1, "t": 10, "q": true}, {"id": "a", "v": 2, "t": 20, "q": false}, {"id": "b", "v": 3, "t": 5, "q": 64}]}"#;
    intake.message("gw", message, false).await;
    let a = current(&intake, "gw/a").unwrap();
    assert_eq!((a.timestamp, a.value, a.quality), (20, Some(Value::F64(2.0)), Quality::BAD.0));
    assert_eq!(current(&intake, "gw/b").unwrap().quality, Quality::UNCERTAIN.0);
    intake.message("gw", &[b' '; 2_000], false).await;
    assert_eq!(current(&intake, "t").unwrap().quality, Quality::BAD_ENCODING_LIMITS_EXCEEDED.0);
    assert!(bench.last_error().contains("message_bytes_max"), "{}", bench.last_error());
}
