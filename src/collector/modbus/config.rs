//! Configuration of a Modbus device, `[[modbus]]`, and the checks that turn it into a collector.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;

use super::{
    calculated,
    device::ModbusCollector,
    endpoint::{Endpoint, LineCarrier, check_port, check_socket},
    format::STRING_REGISTERS_MAX,
    frame::{self, Framing},
    link::LinkTiming,
    overlap,
    plan::RequestLimits,
    secure::SecureSettings,
    serial::{SerialLine, SerialParity},
    tag::{ModbusDefaults, ModbusTag, SCAN_MS, TAG_KEYS},
    transport::{Leniency, ReadRequest},
    unstored,
    word_order::WordOrder,
};
use historian_collector::{
    Collector, ConfigProblem, DeviceConfig, SettingPosition, TagConfig, TagKey, not_available::NotAvailable, tag_key::STORED,
};
use historian_model::TagDefinition;
use historian_tls::ClientTls;

/// One `[[modbus]]` table: a device, or a gateway with several units.
///
/// All units of one table share one connection. A unit that does not answer is left alone for growing times, so that it takes little from
/// its neighbours; give it a table of its own, with a connection of its own, to take nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of its own")]
pub struct ModbusConfig {
    pub name: String,
    /// `host:port`, `192.168.1.10:502` or `[fe80::1]:502`; of a serial line its port, `/dev/ttyUSB0`.
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
    /// Each tag is read in a request of its own.
    #[serde(default)]
    pub read_single: bool,
    /// Answers may name another unit than was asked, as some gateways always do.
    #[serde(default)]
    pub accept_any_unit: bool,
    /// Answers may carry another transaction id than was sent. Late answers are kept apart by waiting then.
    #[serde(default)]
    pub accept_any_transaction: bool,
    /// Ends the connection after each poll, for devices that are polled by others as well.
    #[serde(default)]
    pub close_after_poll: bool,
    /// Modbus TCP within TLS, with the keys below.
    #[serde(default)]
    pub tls: bool,
    /// Authorities of the device's certificate, and no others; without it those that the machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What is shown to a device that asks for a certificate.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Name in the device's certificate, where it is not the host of the endpoint.
    #[serde(default)]
    pub server_name: Option<String>,
    /// Of a serial line, as the three below.
    #[serde(default)]
    pub baud_rate: Option<u32>,
    #[serde(default)]
    pub parity: Option<SerialParity>,
    #[serde(default)]
    pub stop_bits: Option<u8>,
    /// Always 8.
    #[serde(default)]
    pub data_bits: Option<u8>,
    /// Raw values that mean "no value", each with its kind: `"i16 0x8000"`.
    #[serde(default)]
    pub not_available: NotAvailable,
    /// Filled after reading; not a key.
    #[serde(skip)]
    pub position: SettingPosition,
}

/// The default of "MODBUS over Serial Line", as is even parity with one stop bit.
const BAUD_RATE: u32 = 19_200;

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

    fn resolve(&mut self, directory: &Path) -> Vec<(&'static str, String)> {
        let mut missing = Vec::new();
        for (key, file) in
            [("ca_file", &mut self.ca_file), ("certificate_file", &mut self.certificate_file), ("key_file", &mut self.key_file)]
        {
            if let Some(file) = file {
                *file = directory.join(&*file);
                if !file.is_file() {
                    missing.push((key, format!("there is no file {}", file.display())));
                }
            }
        }
        missing
    }

    fn definition(tag: &TagConfig) -> Option<Result<TagDefinition, Vec<ConfigProblem>>> {
        if !tag.is_stored() {
            let message = "nothing of the tag is stored, so the catalog has none of it";
            return Some(Err(vec![tag.problem("device", STORED.name, message)]));
        }
        calculated::is_calculated(tag).then(|| calculated::definition(tag, "device"))
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
            read_single: self.read_single,
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
            if calculated::is_calculated(config) {
                continue;
            }
            match ModbusTag::build(config, &device) {
                Ok(tag) => {
                    tags.push(tag);
                    sources.push(config);
                }
                Err(found) => problems.extend(found),
            }
        }
        let formulas: Vec<&TagConfig> = configs.iter().filter(|config| calculated::is_calculated(config)).collect();
        let calculated = calculated::build(&formulas, &tags, &|name| names.contains_key(name), &device).unwrap_or_else(|found| {
            problems.extend(found);
            Vec::new()
        });
        for (later, earlier) in overlap::conflicts(&tags) {
            let (here, there) = (sources[later], sources[earlier]);
            let message = format!(
                "{} ({}) overlaps {:?}, which is {} ({}) at {}:{}; two values share all their registers or none, unless one is bits or a byte of the other, an integer",
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
        if problems.is_empty() {
            let unused = calculated::unused(&tags, &calculated).into_iter().filter_map(|name| names.get(name.as_str()));
            problems.extend(unused.map(|config| config.problem(&prefix, STORED.name, unstored::UNUSED)));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let carrier = self.carrier();
        // Frames on a serial line are parted by silence.
        let silence = if let LineCarrier::Serial(line) = &carrier { line.silence() } else { Duration::ZERO };
        let collector = ModbusCollector {
            name: self.name.clone(),
            endpoint: Endpoint {
                address: self.endpoint.clone(),
                carrier,
                framing: self.transport,
                leniency: Leniency { any_unit: self.accept_any_unit, any_transaction: self.accept_any_transaction },
            },
            default_unit: self.unit,
            pace: LinkTiming {
                timeout: Duration::from_millis(self.timeout_ms),
                pause_after_connect: Duration::from_millis(self.pause_after_connect_ms).max(silence),
                pause_between_requests: Duration::from_millis(self.pause_between_requests_ms).max(silence),
            },
            register_limits: RequestLimits { max_gap: self.max_gap, max_count: self.max_registers, alone: false },
            bit_limits: RequestLimits { max_gap: self.max_gap, max_count: self.max_bits, alone: false },
            first_address: u32::from(!self.zero_based),
            word_order,
            reprobe: Duration::from_millis(self.reprobe_ms),
            close_after_poll: self.close_after_poll,
            tags,
            calculated,
        };
        match self.too_slow(&collector) {
            None => Ok(collector),
            Some(message) => Err(vec![self.problem("timeout_ms", message)]),
        }
    }

    fn line(&self) -> SerialLine {
        SerialLine {
            baud_rate: self.baud_rate.unwrap_or(BAUD_RATE),
            parity: self.parity.unwrap_or(SerialParity::Even),
            stop_bits: self.stop_bits.unwrap_or(1),
        }
    }

    fn carrier(&self) -> LineCarrier {
        match (self.transport, self.tls) {
            (Framing::Rtu, _) => LineCarrier::Serial(self.line()),
            (_, true) => LineCarrier::Tls(SecureSettings {
                tls: ClientTls { ca: self.ca_file.clone(), pair: self.certificate_file.clone().zip(self.key_file.clone()) },
                server_name: self.server_name.clone(),
            }),
            _ => LineCarrier::Tcp,
        }
    }

    /// Why answers cannot be in time on a serial line, if so: the longest that is planned takes longer than the time-out.
    fn too_slow(&self, collector: &ModbusCollector) -> Option<String> {
        let LineCarrier::Serial(line) = collector.endpoint.carrier else { return None };
        let time = |request: ReadRequest| line.time_of(frame::rtu_characters(request));
        let longest = collector.first_requests().into_iter().max_by_key(|request| time(*request))?;
        let takes = time(longest);
        (takes >= collector.pace.timeout).then(|| {
            format!(
                "a request for {} {} and its answer take {takes:.1?} at {line}, and timeout_ms = {} is not longer; raise it, or lower \
                 max_registers (max_bits)",
                longest.count,
                if longest.area.is_bits() { "bits" } else { "registers" },
                self.timeout_ms,
            )
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
        let endpoint = if self.transport == Framing::Rtu { check_port(&self.endpoint) } else { check_socket(&self.endpoint) };
        if let Err(message) = endpoint {
            refuse("endpoint", message);
        }
        self.carrier_problems(&mut refuse);
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
            ("baud_rate", self.baud_rate.unwrap_or(BAUD_RATE).into(), 300, 4_000_000),
        ] {
            if !(least..=most).contains(&value) {
                refuse(key, format!("{key} is {value}, it can be {least} to {most}"));
            }
        }
        if self.accept_any_transaction && self.transport.is_rtu() {
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

impl ModbusConfig {
    /// Problems of the keys of serial lines and of TLS.
    fn carrier_problems(&self, refuse: &mut impl FnMut(&str, String)) {
        let of_serial = [
            ("baud_rate", self.baud_rate.is_some()),
            ("parity", self.parity.is_some()),
            ("stop_bits", self.stop_bits.is_some()),
            ("data_bits", self.data_bits.is_some()),
        ];
        let of_tls = [
            ("ca_file", self.ca_file.is_some()),
            ("certificate_file", self.certificate_file.is_some()),
            ("key_file", self.key_file.is_some()),
            ("server_name", self.server_name.is_some()),
        ];
        let named = |keys: &[(&'static str, bool)]| keys.iter().find(|(_, given)| *given).map(|(key, _)| *key);
        if self.transport == Framing::Rtu {
            if self.tls {
                refuse("tls", "a serial line has no TLS".into());
            }
        } else if let Some(key) = named(&of_serial) {
            refuse("transport", format!("{key} is set, and only transport = \"rtu\", a serial port of this machine, has it"));
        }
        if !self.tls
            && let Some(key) = named(&of_tls)
        {
            refuse("tls", format!("{key} is set, and only tls = true uses it"));
        }
        if self.tls && self.transport == Framing::RtuOverTcp {
            refuse("tls", "Modbus/TCP Security is for transport = \"tcp\"".into());
        }
        match (&self.certificate_file, &self.key_file) {
            (Some(_), None) => refuse("key_file", "a certificate needs its key beside it".into()),
            (None, Some(_)) => refuse("certificate_file", "a key needs its certificate beside it".into()),
            _ => {}
        }
        if self.stop_bits.is_some_and(|bits| !matches!(bits, 1 | 2)) {
            refuse("stop_bits", "a character has 1 or 2 stop bits".into());
        }
        if self.data_bits.is_some_and(|bits| bits != 8) {
            refuse("data_bits", "RTU has 8 data bits; 7 are those of Modbus ASCII, which is not spoken here".into());
        }
    }
}

fn layout(tag: &ModbusTag) -> String {
    let decoder = &tag.decoder;
    if decoder.format.registers() > 1 { format!("{} {}", decoder.format, decoder.order) } else { decoder.format.to_string() }
}
