//! Configuration of a Modbus device, `[[modbus]]`, and the checks that turn it into a collector.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::Deserialize;

use super::{
    device::ModbusCollector,
    format::{STRING_REGISTERS_MAX, WordOrder},
    frame::Framing,
    link::{Endpoint, LinkTiming},
    overlap,
    plan::RequestLimits,
    tag::{ModbusDefaults, ModbusTag, SCAN_MS, TAG_KEYS},
    transport::Leniency,
};
use historian_collector::{Collector, ConfigProblem, DeviceConfig, SettingPosition, TagConfig, TagKey, not_available::NotAvailable};

/// One `[[modbus]]` table: a device, or a gateway with several units.
///
/// All units of one table share one connection. A unit that does not answer is left alone for growing times, so that it takes little from
/// its neighbours; give it a table of its own, with a connection of its own, to take nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModbusConfig {
    pub name: String,
    /// `host:port`, `192.168.1.10:502` or `[fe80::1]:502`.
    pub endpoint: String,
    #[serde(default)]
    pub transport: Framing,
    /// Unit that is meant where an address does not name one (`2!holding:100`).
    #[serde(default = "default_unit")]
    pub unit: u8,
    /// Period between polls.
    #[serde(default = "default_1000")]
    pub scan_ms: u64,
    /// Limit for connecting, and for each answer.
    #[serde(default = "default_1000")]
    pub timeout_ms: u64,
    /// Unused registers (or bits) that are read along to save a request.
    #[serde(default = "default_max_gap")]
    pub max_gap: u16,
    /// Registers the device answers in one request.
    #[serde(default = "default_max_registers")]
    pub max_registers: u16,
    /// Coils or discrete inputs the device answers in one request.
    #[serde(default = "default_max_bits")]
    pub max_bits: u16,
    #[serde(default)]
    pub pause_after_connect_ms: u64,
    #[serde(default)]
    pub pause_between_requests_ms: u64,
    /// True: `holding:0` is the first register, as on the wire. False: `holding:1` is. References such as 40001 always count from 1.
    #[serde(default = "default_true")]
    pub zero_based: bool,
    /// Word order of tags that do not say one.
    #[serde(default)]
    pub word_order: Option<String>,
    /// How long after a refusal an address is asked again.
    #[serde(default = "default_reprobe")]
    pub reprobe_ms: u64,
    /// Answers may name another unit than was asked, as some gateways always do.
    #[serde(default)]
    pub accept_any_unit: bool,
    /// Answers may carry another transaction id than was sent. Late answers are kept apart by waiting then.
    #[serde(default)]
    pub accept_any_transaction: bool,
    /// Raw values that mean "no value", each with its kind: `"i16 0x8000"`.
    #[serde(default)]
    pub not_available: NotAvailable,
    /// Filled after reading; not a key.
    #[serde(skip)]
    pub position: SettingPosition,
}

fn default_unit() -> u8 {
    1
}
fn default_1000() -> u64 {
    1000
}
fn default_max_gap() -> u16 {
    8
}
fn default_max_registers() -> u16 {
    125
}
fn default_max_bits() -> u16 {
    2000
}
fn default_true() -> bool {
    true
}
fn default_reprobe() -> u64 {
    30_000
}

impl DeviceConfig for ModbusConfig {
    const PROTOCOL: &'static str = "modbus";
    const TITLE: &'static str = "Modbus";
    const TAG_KEYS: &'static [TagKey] = TAG_KEYS;
    const PLAIN: &'static str = "name = \"device\"\nendpoint = \"127.0.0.1:502\"";

    fn name(&self) -> &str {
        &self.name
    }

    fn build(mut self, position: SettingPosition, tags: Vec<TagConfig>) -> Result<Arc<dyn Collector>, Vec<ConfigProblem>> {
        self.position = position;
        Ok(Arc::new(self.collector(&tags)?))
    }
}

impl ModbusConfig {
    /// Every problem found, in the order of the tags, those of the device itself first; otherwise the collector of the device.
    fn collector(&self, configs: &[TagConfig]) -> Result<ModbusCollector, Vec<ConfigProblem>> {
        let (mut problems, word_order) = self.device_problems();
        let device = ModbusDefaults {
            name: &self.name,
            framing: self.transport,
            unit: self.unit,
            scan_ms: self.scan_ms,
            zero_based: self.zero_based,
            word_order,
            // A wrong limit is a problem of the device alone, not of each of its tags.
            max_registers: if (1..=125).contains(&self.max_registers) { self.max_registers } else { STRING_REGISTERS_MAX },
            not_available: &self.not_available.0,
        };
        if configs.is_empty() {
            problems.push(self.problem("tag", "the device has no tag; add [[modbus.tag]] tables or lines of a tag file"));
        }
        let prefix = format!("modbus.{}", self.name);
        let mut names: HashMap<&str, &TagConfig> = HashMap::new();
        let (mut tags, mut sources) = (Vec::with_capacity(configs.len()), Vec::with_capacity(configs.len()));
        for config in configs {
            if let Some(first) = names.insert(&config.name, config) {
                let SettingPosition { file, line } = &first.position;
                problems.push(config.problem(&prefix, "name", format!("the name is used twice, first at {file}:{line}")));
                names.insert(&config.name, first);
            }
            match ModbusTag::build(config, &device) {
                Ok(tag) => {
                    tags.push(tag);
                    sources.push(config);
                }
                Err(found) => problems.extend(found),
            }
        }
        for (later, earlier) in overlap::conflicts(&tags) {
            let (here, there) = (sources[later], sources[earlier]);
            let message = format!(
                "{} ({}) overlaps {:?}, which is {} ({}) at {}:{}; two values cannot share registers unless one is a bit or byte of the other",
                here.address,
                layout(&tags[later]),
                there.name,
                there.address,
                layout(&tags[earlier]),
                there.position.file,
                there.position.line,
            );
            problems.push(here.problem(&prefix, "address", message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(ModbusCollector {
            name: self.name.clone(),
            endpoint: Endpoint {
                address: self.endpoint.clone(),
                framing: self.transport,
                leniency: Leniency { any_unit: self.accept_any_unit, any_transaction: self.accept_any_transaction },
            },
            default_unit: self.unit,
            pace: LinkTiming {
                timeout: Duration::from_millis(self.timeout_ms),
                pause_after_connect: Duration::from_millis(self.pause_after_connect_ms),
                pause_between_requests: Duration::from_millis(self.pause_between_requests_ms),
            },
            register_limits: RequestLimits { max_gap: self.max_gap, max_count: self.max_registers },
            bit_limits: RequestLimits { max_gap: self.max_gap, max_count: self.max_bits },
            first_address: u32::from(!self.zero_based),
            word_order,
            reprobe: Duration::from_millis(self.reprobe_ms),
            tags,
        })
    }

    fn problem(&self, key: &str, message: impl Into<String>) -> ConfigProblem {
        ConfigProblem { position: self.position.clone(), key: format!("modbus.{}.{key}", self.name), message: message.into() }
    }

    /// Problems of the device's own keys, and its word order.
    fn device_problems(&self) -> (Vec<ConfigProblem>, WordOrder) {
        let mut problems = Vec::new();
        let mut refuse = |key: &str, message: String| problems.push(self.problem(key, message));
        if self.name.trim().is_empty() || self.name.chars().any(char::is_control) {
            refuse("name", "the device needs a name without control characters".into());
        }
        if let Err(message) = check_endpoint(&self.endpoint) {
            refuse("endpoint", message);
        }
        if let Some(message) = self.transport.refused_unit(self.unit) {
            refuse("unit", message);
        }
        for (key, value, least, most) in [
            ("scan_ms", self.scan_ms, *SCAN_MS.start(), *SCAN_MS.end()),
            ("timeout_ms", self.timeout_ms, 10, 60_000),
            ("max_gap", self.max_gap.into(), 0, 1999),
            ("max_registers", self.max_registers.into(), 1, 125),
            ("max_bits", self.max_bits.into(), 1, 2000),
            ("pause_after_connect_ms", self.pause_after_connect_ms, 0, 60_000),
            ("pause_between_requests_ms", self.pause_between_requests_ms, 0, 60_000),
            ("reprobe_ms", self.reprobe_ms, 100, 86_400_000),
        ] {
            if !(least..=most).contains(&value) {
                refuse(key, format!("{key} is {value}, it can be {least} to {most}"));
            }
        }
        if self.accept_any_transaction && self.transport == Framing::RtuOverTcp {
            refuse("accept_any_transaction", "RTU frames have no transaction ids".into());
        }
        if let Some(message) = self.not_available.device_problem() {
            refuse("not_available", message);
        }
        let word_order = self.word_order.as_deref().map_or(Ok(WordOrder::default()), str::parse).unwrap_or_else(|message| {
            refuse("word_order", message);
            WordOrder::default()
        });
        (problems, word_order)
    }
}

fn layout(tag: &ModbusTag) -> String {
    let decoder = &tag.decoder;
    if decoder.format.registers() > 1 { format!("{} {}", decoder.format, decoder.order) } else { decoder.format.to_string() }
}

fn check_endpoint(endpoint: &str) -> Result<(), String> {
    // What stands before an @ may be a password, and is not told.
    let shown = if endpoint.contains('@') { String::new() } else { format!("{endpoint:?} ") };
    let refused = |reason: &str| Err(format!("endpoint {shown}{reason}; write host:port, for example 192.168.1.10:502"));
    let Some((host, port)) = endpoint.rsplit_once(':') else { return refused("has no port") };
    if host.is_empty() {
        return refused("has no host");
    }
    if host.contains("//") {
        return refused("is a URL");
    }
    if host.contains('@') {
        return refused("has a user, which this protocol does not know");
    }
    if host.contains(|character: char| character.is_whitespace() || character == '/') {
        return refused("has a host with a blank or slash");
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return refused("has an IPv6 address without [brackets]");
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => refused("has no port from 1 to 65535"),
        Ok(_) => Ok(()),
    }
}
