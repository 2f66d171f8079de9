//! A configuration in the making: devices and tags in our words, and beside each of them what could not be carried over.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
};

use historian_collector::ConfigProblem;
use historian_model::TagName;
use historian_server::config::{self, Overrides};
use toml::Value;

/// Rounds of leaving out what the configuration refuses: a tag may be in the way of another one.
const ROUNDS_MAX: usize = 10;
/// Longest comment, in characters.
const COMMENT_CHARACTERS_MAX: usize = 400;
/// Name of the text towards the configuration, for messages.
const FILE: &str = "historian.toml";

/// A key of ours with its value.
pub type DraftKey = (&'static str, Value);

/// What is told of something: of a value that is not carried over, or of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftRemark {
    pub subject: String,
    pub text: String,
}

/// A tag.
#[derive(Debug, Default)]
pub struct DraftTag {
    pub name: String,
    /// Modbus: the unit that answers.
    pub unit: Option<u8>,
    /// Without the unit.
    pub address: String,
    pub scan_ms: Option<u64>,
    /// The other keys, in the order in which they are written.
    pub keys: Vec<DraftKey>,
    pub remarks: Vec<String>,
}

/// What stands in the list of tags of a device.
#[derive(Debug)]
enum DraftEntry {
    Tag(DraftTag),
    LeftOut(DraftRemark),
}

/// One `[[mqtt.topic]]`.
#[derive(Debug, Default)]
pub struct DraftTopic {
    pub keys: Vec<DraftKey>,
    pub remarks: Vec<String>,
}

/// One table of a protocol.
#[derive(Debug)]
pub struct DraftDevice {
    pub protocol: &'static str,
    pub name: String,
    /// What the other program says of where it is: one such place is one device.
    pub place: String,
    pub keys: Vec<DraftKey>,
    pub remarks: Vec<String>,
    pub topics: Vec<DraftTopic>,
    entries: Vec<DraftEntry>,
}

/// The whole of it.
#[derive(Debug, Default)]
pub struct ConfigDraft {
    devices: Vec<DraftDevice>,
    /// Values that belong to no device.
    left_out: Vec<DraftRemark>,
    /// Settings that belong to no device.
    notes: Vec<DraftRemark>,
    names: BTreeSet<String>,
    placeholders: usize,
}

/// What a line of the text holds.
#[derive(Clone, Copy, Debug)]
enum LineContent {
    Key(usize, usize),
    Entry(usize, usize),
    Topic(usize, usize),
    /// The unit of those tags that name none.
    Unit(usize),
}

/// A number without a point where it has no decimals.
pub fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() < 1e15 { Value::Integer(number as i64) } else { Value::Float(number) }
}

pub fn text(text: impl AsRef<str>) -> Value {
    Value::String(plain(text.as_ref()))
}

/// Without control characters.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().trim().to_owned()
}

/// Keys in a sentence that says that they were not carried over.
pub fn unused(keys: &[&str]) -> Option<String> {
    (!keys.is_empty()).then(|| format!("not carried over: {}", keys.join(", ")))
}

/// A text as a level of a name: without what names do not have. Slashes stay, as levels.
fn level(text: &str) -> String {
    let allowed: String = plain(text).chars().map(|c| if ['*', '?', '[', ']', '{', '}', '\\'].contains(&c) { '_' } else { c }).collect();
    let levels: Vec<&str> = allowed.split('/').map(str::trim).filter(|level| !level.is_empty()).collect();
    levels.join("/")
}

impl ConfigDraft {
    /// Tells of a value that belongs to no device.
    pub fn leave(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        self.left_out.push(DraftRemark { subject: subject.into(), text: text.into() });
    }

    /// Tells of a setting that belongs to no device. A second time nothing happens.
    pub fn note(&mut self, subject: impl Into<String>, text: impl Into<String>) {
        let remark = DraftRemark { subject: subject.into(), text: text.into() };
        if !self.notes.contains(&remark) {
            self.notes.push(remark);
        }
    }

    /// An address for documents (RFC 5737), another one each time: for a device that is nowhere yet.
    pub fn placeholder(&mut self, port: u16) -> String {
        self.placeholders += 1;
        format!("192.0.2.{}:{port}", self.placeholders.min(254))
    }

    /// The device at a place, which is made with these keys where there is none: several of theirs may talk to one of ours.
    pub fn device(&mut self, device: DraftDevice) -> usize {
        let found = self.devices.iter().position(|known| known.protocol == device.protocol && known.place == device.place);
        let Some(found) = found.filter(|_| !device.place.is_empty()) else {
            let mut device = device;
            device.name = self.device_name(&device.name);
            self.devices.push(device);
            return self.devices.len() - 1;
        };
        let known = &mut self.devices[found];
        for (key, value) in device.keys {
            match known.keys.iter().find(|(other, _)| *other == key) {
                Some((_, other)) if *other == value => {}
                Some((_, other)) => {
                    known.remarks.push(format!("{}: {key} = {value} there, and {other} here: one connection serves both", device.name));
                }
                None => known.keys.push((key, value)),
            }
        }
        for remark in device.remarks {
            if !known.remarks.contains(&remark) {
                known.remarks.push(remark);
            }
        }
        found
    }

    /// The device at a place, if any.
    pub fn find(&self, protocol: &str, place: &str) -> Option<usize> {
        self.devices.iter().position(|known| known.protocol == protocol && known.place == place)
    }

    pub fn device_mut(&mut self, device: usize) -> &mut DraftDevice {
        &mut self.devices[device]
    }

    /// A name that no device has; without points, which only Modbus devices may have.
    fn device_name(&self, wished: &str) -> String {
        let wished = plain(wished).replace('.', "-");
        let wished = if wished.is_empty() { "device".to_owned() } else { wished };
        let is_free = |name: &str| self.devices.iter().all(|device| device.name != name);
        let numbered = (2..).map(|number| format!("{wished}-{number}"));
        std::iter::once(wished.clone()).chain(numbered).find(|name| is_free(name)).unwrap_or_default()
    }

    /// A name that no tag has, of these levels; the more precise one of several where the first is taken. What had to be changed is told.
    pub fn tag_name(&mut self, candidates: &[Vec<&str>]) -> (String, Option<String>) {
        let named: Vec<String> = candidates.iter().map(|levels| level(&levels.join("/"))).collect();
        let first = named.first().filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| "value".to_owned());
        let most = named.last().filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| first.clone());
        let numbered = (2..).map(|number| format!("{most}_{number}"));
        let mut all = std::iter::once(first.clone()).chain(named).chain(numbered);
        let name = all.find(|name| !name.is_empty() && !self.names.contains(name)).unwrap_or_default();
        self.names.insert(name.clone());
        let remark = (name != first).then(|| format!("named so because {first} is taken"));
        (name, remark)
    }

    /// Adds a tag to a device, or tells why `subject` became none.
    pub fn add(&mut self, device: usize, subject: impl Into<String>, tag: Result<DraftTag, String>) {
        let entry = match tag {
            Ok(tag) => match TagName::new(&tag.name) {
                Ok(_) => DraftEntry::Tag(tag),
                Err(error) => DraftEntry::LeftOut(DraftRemark { subject: subject.into(), text: error.to_string() }),
            },
            Err(text) => DraftEntry::LeftOut(DraftRemark { subject: subject.into(), text }),
        };
        self.devices[device].entries.push(entry);
    }

    /// The tag of a device that reads the same place in the same way, if any.
    pub fn twin(&mut self, device: usize, tag: &DraftTag) -> Option<&mut DraftTag> {
        self.devices[device].entries.iter_mut().find_map(|entry| match entry {
            DraftEntry::Tag(known) if known.unit == tag.unit && known.address == tag.address && known.keys == tag.keys => Some(known),
            _ => None,
        })
    }

    /// How many tags there are, and tables that make tags.
    pub fn tags(&self) -> usize {
        self.devices.iter().map(DraftDevice::tags).sum()
    }

    /// How many devices have something to collect.
    pub fn devices(&self) -> usize {
        self.devices.iter().filter(|device| device.tags() > 0).count()
    }

    /// Values that are not carried over.
    pub fn missing(&self) -> Vec<DraftRemark> {
        let of_devices = self.devices.iter().flat_map(|device| &device.entries).filter_map(|entry| match entry {
            DraftEntry::LeftOut(remark) => Some(remark),
            DraftEntry::Tag(_) => None,
        });
        self.left_out.iter().chain(of_devices).cloned().collect()
    }

    /// Settings that are not carried over, or otherwise than they were.
    pub fn remarks(&self) -> Vec<DraftRemark> {
        let mut remarks = self.notes.clone();
        let of = |subject: &str, texts: &[String], remarks: &mut Vec<DraftRemark>| {
            remarks.extend(texts.iter().map(|text| DraftRemark { subject: subject.to_owned(), text: text.clone() }));
        };
        for device in &self.devices {
            of(&device.name, &device.remarks, &mut remarks);
            for entry in &device.entries {
                if let DraftEntry::Tag(tag) = entry {
                    of(&tag.name, &tag.remarks, &mut remarks);
                }
            }
            for topic in &device.topics {
                of(&topic.subject(), &topic.remarks, &mut remarks);
            }
        }
        remarks
    }

    /// The text of a configuration that is valid: what is refused is left out and told.
    ///
    /// # Errors
    /// Problems of the configuration that belong to nothing that could be left out.
    pub fn settle(&mut self, head: &str, directory: &Path) -> Result<String, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let (text, contents) = self.text(head);
            match config::parse(FILE, &text, directory, &Overrides::default()) {
                Ok(_) => return Ok(text),
                Err(refused) => problems = refused,
            }
            if !self.leave_out(&contents, &problems) {
                break;
            }
        }
        Err(problems)
    }

    /// Takes out what the configuration refuses; false where that is nothing that can be taken out.
    fn leave_out(&mut self, contents: &BTreeMap<usize, LineContent>, problems: &[ConfigProblem]) -> bool {
        let mut by_line: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for problem in problems {
            let key = problem.key.rsplit('.').next().unwrap_or_default();
            by_line.entry(problem.position.line).or_default().push(format!("{key}: {}", problem.message));
        }
        let mut is_better = false;
        let mut topics: BTreeSet<(usize, usize)> = BTreeSet::new();
        // From the end on, so that what is removed moves nothing that is still looked for.
        for (line, reasons) in by_line.into_iter().rev() {
            let reason = reasons.join("; ");
            match contents.get(&line) {
                Some(LineContent::Entry(device, index)) => {
                    let entry = &mut self.devices[*device].entries[*index];
                    if let DraftEntry::Tag(tag) = entry {
                        let subject = std::mem::take(&mut tag.name);
                        *entry = DraftEntry::LeftOut(DraftRemark { subject, text: reason });
                        is_better = true;
                    }
                }
                Some(LineContent::Topic(device, index)) if !topics.insert((*device, *index)) => {}
                Some(LineContent::Topic(device, index)) => {
                    let topic = self.devices[*device].topics.remove(*index);
                    self.leave(topic.subject(), reason);
                    is_better = true;
                }
                Some(LineContent::Key(device, index)) if self.devices[*device].keys[*index].0 != "endpoint" => {
                    let device = &mut self.devices[*device];
                    let (key, _) = device.keys.remove(*index);
                    device.remarks.push(format!("{key} not carried over: {reason}"));
                    is_better = true;
                }
                Some(LineContent::Key(device, index)) => {
                    let is_serial = self.devices[*device].keys.contains(&("transport", text("rtu")));
                    let place = match self.devices[*device].protocol {
                        "opcua" => format!("opc.tcp://{}", self.placeholder(4840)),
                        "mqtt" => self.placeholder(1883),
                        _ if is_serial => "/dev/ttyUSB0".to_owned(),
                        _ => self.placeholder(502),
                    };
                    let device = &mut self.devices[*device];
                    is_better |= device.keys[*index].1 != text(&place);
                    device.keys[*index].1 = text(&place);
                    device.remarks.push(format!("the endpoint is a placeholder: {reason}"));
                }
                Some(LineContent::Unit(device)) => {
                    let device = &mut self.devices[*device];
                    let unit = most_frequent(device.written().filter_map(|tag| tag.unit));
                    for entry in &mut device.entries {
                        if let DraftEntry::Tag(tag) = entry
                            && tag.unit == unit
                        {
                            let subject = std::mem::take(&mut tag.name);
                            *entry = DraftEntry::LeftOut(DraftRemark { subject, text: reason.clone() });
                            is_better = true;
                        }
                    }
                }
                None => {}
            }
        }
        is_better
    }

    /// The text, and what its lines hold.
    fn text(&self, head: &str) -> (String, BTreeMap<usize, LineContent>) {
        let mut page = DraftPage::default();
        page.comment("", head);
        let general = |page: &mut DraftPage, title: &str, remarks: &[DraftRemark]| {
            if !remarks.is_empty() {
                page.line(&format!("# {title}:"));
                for remark in remarks {
                    page.comment("", &format!("- {}: {}", remark.subject, remark.text));
                }
            }
        };
        general(&mut page, "Not carried over", &self.left_out);
        general(&mut page, "Notes", &self.notes);
        for (number, device) in self.devices.iter().enumerate() {
            device.write(number, &mut page);
        }
        (page.text, page.contents)
    }
}

/// Lines as they are written.
#[derive(Default)]
struct DraftPage {
    text: String,
    lines: usize,
    contents: BTreeMap<usize, LineContent>,
}

impl DraftPage {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
        self.lines += 1;
    }

    fn holding(&mut self, line: &str, content: LineContent) {
        self.line(line);
        self.contents.insert(self.lines, content);
    }

    fn comment(&mut self, indent: &str, comment: &str) {
        let comment: String = plain(comment).chars().take(COMMENT_CHARACTERS_MAX).collect();
        self.line(&format!("{indent}# {comment}"));
    }
}

impl DraftTopic {
    fn subject(&self) -> String {
        let filter = self.keys.iter().find(|(key, _)| *key == "filter").and_then(|(_, filter)| filter.as_str());
        format!("topic {}", filter.unwrap_or_default())
    }
}

impl DraftDevice {
    /// A device at a place, without tags.
    pub fn new(
        protocol: &'static str,
        name: impl Into<String>,
        place: impl Into<String>,
        keys: Vec<DraftKey>,
        remarks: Vec<String>,
    ) -> DraftDevice {
        DraftDevice { protocol, name: name.into(), place: place.into(), keys, remarks, topics: Vec::new(), entries: Vec::new() }
    }

    fn tags(&self) -> usize {
        self.topics.len() + self.entries.iter().filter(|entry| matches!(entry, DraftEntry::Tag(_))).count()
    }

    fn written(&self) -> impl Iterator<Item = &DraftTag> {
        self.entries.iter().filter_map(|entry| match entry {
            DraftEntry::Tag(tag) => Some(tag),
            DraftEntry::LeftOut(_) => None,
        })
    }

    fn write(&self, number: usize, page: &mut DraftPage) {
        page.line("");
        for remark in &self.remarks {
            page.comment("", &format!("{}: {remark}", self.name));
        }
        let has_tags = self.tags() > 0;
        let unit = most_frequent(self.written().filter_map(|tag| tag.unit));
        let scan_ms = most_frequent(self.written().filter_map(|tag| tag.scan_ms));
        if has_tags {
            page.line(&format!("[[{}]]", self.protocol));
            page.line(&format!("name = {}", text(&self.name)));
            for (index, (key, value)) in self.keys.iter().enumerate() {
                page.holding(&format!("{key} = {value}"), LineContent::Key(number, index));
            }
            if let Some(unit) = unit {
                page.holding(&format!("unit = {unit}"), LineContent::Unit(number));
            }
            if let Some(scan_ms) = scan_ms {
                page.line(&format!("scan_ms = {scan_ms}"));
            }
        } else {
            page.comment("", &format!("{}: nothing of it is carried over", self.name));
        }
        let has_list = self.written().next().is_some();
        if has_list {
            page.line("tag = [");
        }
        for (index, entry) in self.entries.iter().enumerate() {
            let indent = if has_list { "  " } else { "" };
            match entry {
                DraftEntry::LeftOut(remark) => page.comment(indent, &format!("{}: not carried over: {}", remark.subject, remark.text)),
                DraftEntry::Tag(tag) => {
                    for remark in &tag.remarks {
                        page.comment(indent, &format!("{}: {remark}", tag.name));
                    }
                    page.holding(&format!("{indent}{},", tag.line(unit, scan_ms)), LineContent::Entry(number, index));
                }
            }
        }
        if has_list {
            page.line("]");
        }
        for (index, topic) in self.topics.iter().enumerate() {
            page.line("");
            for remark in &topic.remarks {
                page.comment("", remark);
            }
            page.holding("[[mqtt.topic]]", LineContent::Topic(number, index));
            for (key, value) in &topic.keys {
                page.holding(&format!("{key} = {value}"), LineContent::Topic(number, index));
            }
        }
    }
}

impl DraftTag {
    /// As a line of the list; the unit and the period only where they are not those of the device.
    fn line(&self, unit: Option<u8>, scan_ms: Option<u64>) -> String {
        let address = match self.unit.filter(|own| Some(*own) != unit) {
            Some(own) => format!("{own}!{}", self.address),
            None => self.address.clone(),
        };
        let mut line = format!("{{ name = {}, address = {}", text(&self.name), text(&address));
        for (key, value) in &self.keys {
            let _ = write!(line, ", {key} = {value}");
        }
        if let Some(own) = self.scan_ms.filter(|own| Some(*own) != scan_ms) {
            let _ = write!(line, ", scan_ms = {own}");
        }
        line + " }"
    }
}

/// What there is most of; of equals the lowest.
fn most_frequent<T: Ord + Copy>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(one, _)| one)
}
