//! The host from outside: messages in, events out. Helpers for the tests beside this file.

mod births;
mod bounds;
mod deaths;
mod makes;
mod names;
mod order;
mod random;
mod values;

use std::time::Duration;

use historian_model::{Quality, Timestamp, Value};
use prost::Message;

use super::{
    DeathReason, HostEvent, HostOptions, SparkplugHost,
    payload::{WireMetric, WireMetricValue, WirePayload, WireProperty, WirePropertySet, WirePropertyValue},
};

/// 2026-01-01 in ms.
const T: u64 = 1_767_225_600_000;
const INT32: u32 = 3;
const DOUBLE: u32 = 10;

fn ns(ms: u64) -> Timestamp {
    Timestamp(ms as i64 * 1_000_000)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A metric with a name, a type and a value, and no time of its own.
fn metric(name: &str, datatype: u32, value: WireMetricValue) -> WireMetric {
    let name = Some(name.as_bytes().to_vec().into());
    WireMetric { name, datatype: Some(datatype), value: Some(value), ..WireMetric::default() }
}

fn double(name: &str, value: f64) -> WireMetric {
    metric(name, DOUBLE, WireMetricValue::Double(value))
}

/// A Double of a birth with an alias.
fn aliased(name: &str, alias: u64, value: f64) -> WireMetric {
    WireMetric { alias: Some(alias), ..double(name, value) }
}

/// A Double of data that only has an alias.
fn by_alias(alias: u64, value: f64) -> WireMetric {
    WireMetric { alias: Some(alias), value: Some(WireMetricValue::Double(value)), ..WireMetric::default() }
}

fn session(number: u64) -> WireMetric {
    metric("bdSeq", 4, WireMetricValue::Long(number))
}

/// A metric with these properties.
pub(super) fn with_properties(metric: WireMetric, properties: &[(&str, WirePropertyValue)]) -> WireMetric {
    let value = |value: &WirePropertyValue| WireProperty { value: Some(value.clone()), ..WireProperty::default() };
    let set = WirePropertySet {
        keys: properties.iter().map(|(key, _)| key.as_bytes().to_vec().into()).collect(),
        values: properties.iter().map(|(_, told)| value(told).encode_to_vec().into()).collect(),
    };
    WireMetric { properties: Some(set.encode_to_vec().into()), ..metric }
}

fn payload(seq: Option<u64>, timestamp: u64, metrics: &[WireMetric]) -> Vec<u8> {
    let metrics = metrics.iter().map(|metric| metric.encode_to_vec().into()).collect();
    WirePayload { timestamp: Some(timestamp), metrics, seq, uuid: None }.encode_to_vec()
}

/// A host with a clock: the receipt is 100 ms behind `T` plus `now`.
struct Bench {
    host: SparkplugHost,
    now: Duration,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(HostOptions::default())
    }

    fn with(options: HostOptions) -> Bench {
        Bench { host: SparkplugHost::new(options), now: Duration::ZERO }
    }

    /// `T` plus the present, in ms.
    fn ms(&self) -> u64 {
        T + self.now.as_millis() as u64
    }

    fn received(&self) -> Timestamp {
        ns(self.ms() + 100)
    }

    fn raw(&mut self, topic: &str, payload: &[u8]) -> Vec<HostEvent> {
        self.host.take(&format!("spBv1.0/{topic}"), payload, self.received(), self.now)
    }

    /// A message with a sequence number and the present as its time.
    fn take(&mut self, topic: &str, seq: u64, metrics: &[WireMetric]) -> Vec<HostEvent> {
        let payload = payload(Some(seq), self.ms(), metrics);
        self.raw(topic, &payload)
    }

    fn death(&mut self, bd_seq: u64) -> Vec<HostEvent> {
        let payload = payload(None, T, &[session(bd_seq)]);
        self.raw("G/NDEATH/N", &payload)
    }

    fn tick_at(&mut self, now: Duration) -> Vec<HostEvent> {
        self.now = now;
        self.host.tick(self.received(), now)
    }

    fn link_lost(&mut self) -> Vec<HostEvent> {
        self.host.link_lost(self.received())
    }
}

/// Readings as `edge metric value`, with `~` where Uncertain, `!` where Bad and `h` where historical in front of the value.
fn readings(events: &[HostEvent]) -> Vec<String> {
    let text = |event: &HostEvent| match event {
        HostEvent::Reading { edge, metric, reading } => {
            let value = match &reading.value {
                None => "none".to_owned(),
                Some(Value::F64(value)) => value.to_string(),
                Some(Value::F32(value)) => value.to_string(),
                Some(Value::I64(value)) => value.to_string(),
                Some(Value::U64(value)) => value.to_string(),
                Some(Value::Bool(value)) => value.to_string(),
                Some(Value::String(value)) => format!("{value:?}"),
                Some(Value::State(value)) => value.to_string(),
            };
            let sign = match reading.quality {
                quality if quality.is_good() => "",
                quality if quality.is_bad() => "!",
                _ => "~",
            };
            let historical = if reading.historical { "h" } else { "" };
            Some(format!("{edge} {metric} {historical}{sign}{value}"))
        }
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

/// Everything but readings, in short.
fn others(events: &[HostEvent]) -> Vec<String> {
    let text = |event: &HostEvent| match event {
        HostEvent::Reading { .. } => None,
        HostEvent::Born { edge, metrics } => {
            let names: Vec<&str> = metrics.iter().map(|metric| &*metric.name).collect();
            Some(format!("born {edge} {}", names.join(" ")))
        }
        HostEvent::Dead { edge, reason, .. } => Some(format!("dead {edge} {reason:?}")),
        HostEvent::Rebirth { group, node, .. } => Some(format!("rebirth {group}/{node}")),
        HostEvent::Refused { edge, metric, .. } => {
            let edge = edge.as_ref().map(ToString::to_string).unwrap_or_default();
            Some(format!("refused {edge} {}", metric.as_deref().unwrap_or("-")))
        }
    };
    events.iter().filter_map(text).collect()
}

/// The reasons of refusals.
fn reasons(events: &[HostEvent]) -> Vec<String> {
    let text = |event: &HostEvent| match event {
        HostEvent::Refused { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    events.iter().filter_map(text).collect()
}

/// Times of readings.
fn times(events: &[HostEvent]) -> Vec<Timestamp> {
    let time = |event: &HostEvent| match event {
        HostEvent::Reading { reading, .. } => Some(reading.at),
        _ => None,
    };
    events.iter().filter_map(time).collect()
}

fn qualities(events: &[HostEvent]) -> Vec<Quality> {
    let quality = |event: &HostEvent| match event {
        HostEvent::Reading { reading, .. } => Some(reading.quality),
        _ => None,
    };
    events.iter().filter_map(quality).collect()
}

/// Time and reason of deaths.
fn deaths(events: &[HostEvent]) -> Vec<(Timestamp, DeathReason)> {
    let death = |event: &HostEvent| match event {
        HostEvent::Dead { at, reason, .. } => Some((*at, *reason)),
        _ => None,
    };
    events.iter().filter_map(death).collect()
}
