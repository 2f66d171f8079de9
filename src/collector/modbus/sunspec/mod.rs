//! What a SunSpec device has to collect, for `historian browse`: the marker that such devices have at one of three addresses, the chain of
//! models behind it, and the points of the models that are known ([`model`]) where they lie in this device ([`place`]), as tags ([`describe`]).

mod describe;
mod model;
mod place;

use std::{collections::HashMap, sync::Arc};

use tokio::time::{Instant, timeout_at};

use super::{
    address::RegisterArea,
    device::ModbusCollector,
    link::{Attempts, Link},
    outcome::{Failure, RequestTrouble},
    transport::{ModbusReply, ReadRequest},
};
use describe::FoundModel;
use historian_collector::{BrowseAnswer, BrowseRequest, BrowsedVariable, DeviceStatus};
use historian_model::{SystemClock, TagSelection};
use model::SunSpecModel;

/// Addresses at which the marker may be, the most likely one first.
const BASES: [u16; 3] = [40_000, 50_000, 0];
/// The letters `SunS`.
const MARKER: [u16; 2] = [0x5375, 0x6E53];
/// Id behind the last model.
const END: u16 = 0xFFFF;
/// Models of one device.
const MODELS_MAX: usize = 1000;

/// Connects and lists.
///
/// # Errors
/// The device cannot be read or is none of SunSpec, or the glob is wrong.
pub async fn browse(device: &ModbusCollector, request: &BrowseRequest) -> Result<BrowseAnswer, String> {
    let paths = TagSelection::parse(&[&request.paths]).map_err(|error| error.to_string())?;
    let status = Arc::new(DeviceStatus::new(&device.name, "modbus", &device.endpoint.address));
    let link = device.link(status, Arc::new(SystemClock));
    let mut chain = ModelChain { device, link, answer: BrowseAnswer::default(), names: HashMap::new() };
    let until = Instant::now() + request.timeout;
    match timeout_at(until, chain.walk()).await {
        Ok(walked) => walked?,
        Err(_) if chain.answer.variables.is_empty() => return Err(format!("no answer within the {:?} that it may take", request.timeout)),
        Err(_) => chain.answer.notes.push("stopped before the end of the models: the time is over".to_owned()),
    }
    let mut answer = chain.answer;
    answer.variables.retain(|variable| paths.matches(&variable.path));
    if answer.variables.len() > request.variables_max {
        answer.notes.push(format!("{} of {} variables are listed", request.variables_max, answer.variables.len()));
        answer.variables.truncate(request.variables_max);
    }
    Ok(answer)
}

struct ModelChain<'device> {
    device: &'device ModbusCollector,
    link: Link,
    answer: BrowseAnswer,
    /// How many models of each name were found.
    names: HashMap<&'static str, usize>,
}

impl ModelChain<'_> {
    async fn walk(&mut self) -> Result<(), String> {
        let mut at = self.marker().await? + 2;
        for _ in 0..MODELS_MAX {
            let header = match self.read(at, 2).await {
                Ok(header) => header,
                Err(why) => {
                    self.note(at, &format!("the chain of models breaks off: {why}"));
                    return Ok(());
                }
            };
            let (id, length) = (header[0], header[1]);
            if id == END {
                return Ok(());
            }
            self.model(id, at, length).await;
            at += 2 + u32::from(length);
        }
        self.note(at, &format!("stopped after {MODELS_MAX} models"));
        Ok(())
    }

    /// Address of the marker.
    async fn marker(&mut self) -> Result<u32, String> {
        let mut told = Vec::new();
        for base in BASES {
            let address = self.device.notation(self.device.default_unit, RegisterArea::Holding, base, 1);
            match self.read(base.into(), 2).await {
                Ok(words) if words == MARKER => return Ok(base.into()),
                Ok(words) => told.push(format!("{address} holds {:04X} {:04X}", words[0], words[1])),
                Err(RequestTrouble::Failure(failure @ Failure::Connect { .. })) => return Err(failure.to_string()),
                Err(why) => told.push(format!("{address}: {why}")),
            }
        }
        Err(format!("no SunSpec device: \"SunS\" is at none of the addresses that such a device has it at ({})", told.join("; ")))
    }

    /// Lists the points of one model.
    async fn model(&mut self, id: u16, start: u32, length: u16) {
        let unit = self.device.default_unit;
        let end = start + 2 + u32::from(length);
        let first = self.device.notation(unit, RegisterArea::Holding, u16::try_from(start).unwrap_or(u16::MAX), 1);
        let unread = |path: String, why: String| BrowsedVariable {
            path,
            address: first.clone(),
            data_type: format!("model {id}, {length} registers"),
            left_out: why,
            ..BrowsedVariable::default()
        };
        let Some(model) = SunSpecModel::of(id) else {
            let why = format!("model {id}, {length} registers from {first} on, is not known here");
            self.answer.variables.push(unread(format!("model_{id}"), why));
            return;
        };
        let count = self.names.entry(model.name).or_insert(0);
        *count += 1;
        let name = if *count == 1 { model.name.to_owned() } else { format!("{}_{count}", model.name) };
        if end > 65_536 {
            let why = format!("model {id} has {length} registers by its own word, and there are not so many behind {first}");
            self.answer.variables.push(unread(name, why));
            return;
        }
        let words = match self.read(start, end - start).await {
            Ok(words) => words,
            Err(why) => {
                self.answer.variables.push(unread(name, format!("model {id} cannot be read: {why}")));
                return;
            }
        };
        let start = u16::try_from(start).unwrap_or(u16::MAX);
        let found = FoundModel { device: self.device, unit, start, words: &words, path: format!("{name}/") };
        for placed in place::placed(&model, &words) {
            self.answer.variables.extend(found.variables(&placed));
        }
    }

    /// Registers from an address on, in as many requests as the device needs.
    async fn read(&mut self, start: u32, count: u32) -> Result<Vec<u16>, RequestTrouble> {
        let most = u32::from(self.device.register_limits.max_count);
        let end = start + count;
        let mut words = Vec::new();
        let mut at = start;
        while at < end {
            let Ok(start) = u16::try_from(at) else { return Err(RequestTrouble::Exception(2)) };
            let count = (end - at).min(most).min(65_536 - at) as u16;
            let request = ReadRequest { unit: self.device.default_unit, area: RegisterArea::Holding, start, count };
            match self.link.read(request, Attempts::Two).await.map_err(RequestTrouble::Failure)?.reply {
                ModbusReply::Registers(registers) => words.extend(registers),
                ModbusReply::Exception(code) => return Err(RequestTrouble::Exception(code)),
                ModbusReply::Bits(_) => {
                    return Err(RequestTrouble::Failure(Failure::Unusable("bits in answer to a request for registers".to_owned())));
                }
            }
            at += u32::from(count);
        }
        Ok(words)
    }

    fn note(&mut self, at: u32, text: &str) {
        let at = u16::try_from(at).unwrap_or(u16::MAX);
        let address = self.device.notation(self.device.default_unit, RegisterArea::Holding, at, 1);
        self.answer.notes.push(format!("at {address} {text}"));
    }
}
