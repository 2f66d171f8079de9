//! One edge, a node or a device: the metrics that are known of it, its aliases, and whether it lives.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use historian_model::{Quality, Timestamp};
use prost::Message;

use super::{
    BornMetric, DeathReason, EdgeName, HostEvent, HostOptions, MetricReading,
    convert::{ConvertedPart, LeafPath, MetricConverter, MetricLeaf},
    payload::{WireMetric, WirePayload},
    scalar::{ScalarReading, SparkplugType},
    times::{believed, reading_time},
};

/// Refusals that are told once; beyond so many all are told.
const TOLD_ONCE_MAX: usize = 10_000;
/// Refusals of one message that are told one by one.
const REFUSALS_MAX: usize = 100;
/// The metric that tells which birth and death are of one session.
pub(super) const BD_SEQ: &str = "bdSeq";
/// Longest name of a metric in bytes.
const NAME_BYTES_MAX: usize = 1_024;

/// A metric of the wire, or a part of one, by its whole name.
struct EdgeMetric {
    name: Arc<str>,
    datatype: Option<SparkplugType>,
    /// As it was told to the caller; None for what has no value of its own.
    announced: Option<BornMetric>,
    /// Named by the birth itself.
    is_of_birth: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EdgeLife {
    /// Nothing came of it since its node was born, or at all.
    Unheard,
    Living,
    ToldDead,
}

/// What one message is taken with.
pub(super) struct EdgeContext<'a> {
    pub options: &'a HostOptions,
    /// Wall-clock time of the receipt.
    pub received: Timestamp,
    /// Metrics that this edge may have.
    pub metrics_max: usize,
}

/// What is known of one edge.
pub(super) struct EdgeTable {
    name: EdgeName,
    metrics: Vec<EdgeMetric>,
    by_name: HashMap<Arc<str>, usize>,
    by_alias: HashMap<u64, usize>,
    /// Aliases of what is left out.
    ignored_aliases: HashSet<u64>,
    /// Names of data that mean a metric of the birth.
    other_names: HashMap<String, usize>,
    /// Metrics of the birth by the last level of their name, made when it is needed.
    by_last_level: Option<HashMap<String, Vec<usize>>>,
    told_once: HashSet<(String, &'static str)>,
    /// Refusals of the message that is being taken.
    refusals: usize,
    /// Born since its node was, with no death since.
    pub is_born: bool,
    life: EdgeLife,
    /// No birth can have been missed since the aliases were told.
    pub aliases_are_sure: bool,
    /// Latest reading that was not historical.
    latest: i64,
    /// Readings until here are behind a death that was told.
    dead_at: Option<Timestamp>,
    /// The `timestamp` of its last birth, in ms.
    born_at: Option<u64>,
    /// The `timestamp` of its last DDEATH, in ms.
    pub died_at: Option<u64>,
}

/// A message while it is taken.
struct EdgeIntake<'a> {
    context: &'a EdgeContext<'a>,
    payload: &'a WirePayload,
    is_birth: bool,
    /// The metrics are to be told again.
    is_changed: bool,
    /// The metric comes by an alias that may have another meaning now.
    is_unsure: bool,
    readings: Vec<HostEvent>,
}

enum ResolvedName {
    Known(usize),
    New(String),
    Ignored,
    UnknownAlias(u64),
    Nameless,
}

impl EdgeTable {
    /// Nothing known. `dead_at`: readings until here are behind a death that was told, if one was.
    pub fn new(name: EdgeName, dead_at: Option<Timestamp>) -> EdgeTable {
        EdgeTable {
            name,
            metrics: Vec::new(),
            by_name: HashMap::new(),
            by_alias: HashMap::new(),
            ignored_aliases: HashSet::new(),
            other_names: HashMap::new(),
            by_last_level: None,
            told_once: HashSet::new(),
            refusals: 0,
            is_born: false,
            life: EdgeLife::Unheard,
            aliases_are_sure: false,
            latest: i64::MIN,
            dead_at,
            born_at: None,
            died_at: None,
        }
    }

    /// Something came since it was told dead or its node was born.
    pub fn is_living(&self) -> bool {
        self.life == EdgeLife::Living
    }

    pub fn len(&self) -> usize {
        self.metrics.len()
    }

    /// Its node was born: its own birth is to come, its aliases are void.
    pub fn await_birth(&mut self) {
        self.is_born = false;
        if self.is_living() {
            self.life = EdgeLife::Unheard;
        }
        self.by_alias.clear();
        self.ignored_aliases.clear();
    }

    /// Tells its death, once. `at` is when it was noticed.
    pub fn die(&mut self, at: Timestamp, reason: DeathReason, events: &mut Vec<HostEvent>) {
        self.lose_order();
        self.is_born = false;
        if std::mem::replace(&mut self.life, EdgeLife::ToldDead) == EdgeLife::ToldDead {
            return;
        }
        self.told_once.clear();
        let at = Timestamp(at.0.max(self.latest.saturating_add(1)));
        self.dead_at = Some(at);
        events.push(HostEvent::Dead { edge: self.name.clone(), at, reason });
    }

    /// A birth may have been missed.
    pub fn lose_order(&mut self) {
        self.aliases_are_sure = false;
    }

    /// Takes a birth or data. The answer is why the node should be asked for a rebirth, if it should.
    pub fn take(&mut self, payload: &WirePayload, is_birth: bool, context: &EdgeContext, events: &mut Vec<HostEvent>) -> Option<String> {
        if is_birth {
            self.metrics.clear();
            self.by_name.clear();
            self.by_alias.clear();
            self.ignored_aliases.clear();
            self.other_names.clear();
            self.by_last_level = None;
            (self.is_born, self.aliases_are_sure, self.born_at) = (true, true, payload.timestamp);
        }
        // One that was sent before the birth may mean the aliases of the birth before that.
        let is_older = payload.timestamp.zip(self.born_at).is_some_and(|(sent, born)| sent < born);
        self.life = EdgeLife::Living;
        let mut intake = EdgeIntake { context, payload, is_birth, is_changed: is_birth, is_unsure: false, readings: Vec::new() };
        let (mut unknown, mut first_unknown, mut is_unsure) = (0_usize, 0, false);
        let mut parts = Vec::new();
        self.refusals = 0;
        let most = context.options.metrics_per_node_max;
        if payload.metrics.len() > most {
            self.refuse(None, format!("a message has {} metrics; the first {most} are taken", payload.metrics.len()), events);
        }
        for bytes in payload.metrics.iter().take(most) {
            let metric = match WireMetric::decode(bytes.clone()) {
                Ok(metric) => metric,
                Err(error) => {
                    self.refuse(None, format!("a metric cannot be read: {error}"), events);
                    continue;
                }
            };
            let index = match self.resolve(&metric, is_birth) {
                ResolvedName::Known(index) => index,
                ResolvedName::Ignored => continue,
                ResolvedName::Nameless => {
                    self.refuse(None, "a metric has neither a name nor an alias".to_owned(), events);
                    continue;
                }
                ResolvedName::UnknownAlias(alias) => {
                    if unknown == 0 {
                        first_unknown = alias;
                    }
                    unknown += 1;
                    continue;
                }
                ResolvedName::New(name) => match self.add(&name, context) {
                    Ok(index) => index,
                    Err(reason) => {
                        self.refuse(Some(name), reason, events);
                        continue;
                    }
                },
            };
            if is_birth {
                self.metrics[index].is_of_birth = true;
                if let Some(alias) = metric.alias {
                    self.by_alias.insert(alias, index);
                }
            }
            let is_named = metric.name.as_ref().is_some_and(|name| !name.is_empty());
            intake.is_unsure = !is_named && (is_older || !self.aliases_are_sure);
            is_unsure |= intake.is_unsure;
            let name = self.metrics[index].name.clone();
            let declared = |name: &str| self.by_name.get(name).and_then(|index| self.metrics[*index].datatype);
            let converter = MetricConverter { declared: &declared, elements_max: context.options.array_elements_max, is_birth };
            converter.convert(&name, &metric, &mut parts);
            for part in parts.drain(..) {
                self.settle(index, part, &mut intake, events);
            }
        }
        if self.refusals > REFUSALS_MAX {
            let (edge, count) = (Some(self.name.clone()), self.refusals - REFUSALS_MAX);
            events.push(HostEvent::Refused { edge, metric: None, reason: format!("{count} more refusals in the same message") });
        }
        if intake.is_changed {
            let metrics = self.metrics.iter().filter_map(|metric| metric.announced.clone()).collect();
            events.push(HostEvent::Born { edge: self.name.clone(), metrics });
        }
        events.append(&mut intake.readings);
        if is_birth {
            self.dead_at = None;
        }
        if unknown > 0 {
            let reason = format!("{unknown} values by aliases that no birth has told, the first by alias {first_unknown}");
            self.refusals = 0;
            self.refuse(None, reason.clone(), events);
            return Some(reason);
        }
        if is_unsure {
            return Some("values by aliases that may be those of another birth than the last one that came".to_owned());
        }
        (!self.is_born).then(|| format!("data of {} before its birth", self.name))
    }

    fn resolve(&mut self, metric: &WireMetric, is_birth: bool) -> ResolvedName {
        let Some(name) = metric.name.as_deref().filter(|name| !name.is_empty()) else {
            return match metric.alias {
                Some(_) if is_birth => ResolvedName::Nameless,
                Some(alias) if self.ignored_aliases.contains(&alias) => ResolvedName::Ignored,
                Some(alias) => self.by_alias.get(&alias).map_or(ResolvedName::UnknownAlias(alias), |index| ResolvedName::Known(*index)),
                None => ResolvedName::Nameless,
            };
        };
        let name = String::from_utf8_lossy(name);
        if let Some(index) = self.by_name.get(&*name) {
            return ResolvedName::Known(*index);
        }
        if is_left_out(&name) {
            if is_birth {
                self.ignored_aliases.extend(metric.alias);
            }
            return ResolvedName::Ignored;
        }
        let meant = if is_birth { None } else { self.meant(&name, metric.datatype.and_then(SparkplugType::numbered)) };
        meant.map_or_else(|| ResolvedName::New(name.into_owned()), ResolvedName::Known)
    }

    /// The metric of the birth that data with this name mean: the one that ends in it, or the one in the folder that mqtt-spb-wrapper puts
    /// data into.
    fn meant(&mut self, name: &str, told: Option<SparkplugType>) -> Option<usize> {
        if let Some(index) = self.other_names.get(name) {
            return Some(*index);
        }
        let fits = |metric: &EdgeMetric| match (told, &metric.announced) {
            (None | Some(SparkplugType::DataSet), _) => true,
            (Some(SparkplugType::Scalar(scalar)), Some(announced)) => announced.value_type == scalar.value_type(),
            (told, _) => metric.datatype == told,
        };
        let ending = format!("/{name}");
        let candidate = |index: &usize| {
            let metric = &self.metrics[*index];
            metric.name.ends_with(&ending) && fits(metric)
        };
        let by_last_level = self.by_last_level.get_or_insert_with(|| {
            let mut by_last_level: HashMap<String, Vec<usize>> = HashMap::new();
            for (index, metric) in self.metrics.iter().enumerate().filter(|(_, metric)| metric.is_of_birth) {
                by_last_level.entry(last_level(&metric.name).to_owned()).or_default().push(index);
            }
            by_last_level
        });
        let candidates: Vec<usize> = by_last_level.get(last_level(name))?.iter().copied().filter(candidate).collect();
        let in_folder = || candidates.iter().find(|index| self.metrics[**index].name.strip_prefix("DATA") == Some(&ending));
        let meant = if let [one] = candidates[..] { one } else { *in_folder()? };
        self.other_names.insert(name.to_owned(), meant);
        Some(meant)
    }

    fn add(&mut self, name: &str, context: &EdgeContext) -> Result<usize, String> {
        if self.metrics.len() >= context.metrics_max {
            return Err(format!("its node has {} metrics already; no more are taken", context.options.metrics_per_node_max));
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(format!("its name has {} bytes; at most {NAME_BYTES_MAX} are taken", name.len()));
        }
        let name: Arc<str> = name.into();
        self.by_name.insert(name.clone(), self.metrics.len());
        self.metrics.push(EdgeMetric { name, datatype: None, announced: None, is_of_birth: false });
        Ok(self.metrics.len() - 1)
    }

    /// Takes a part of the metric at `top`.
    fn settle(&mut self, top: usize, part: ConvertedPart, intake: &mut EdgeIntake, events: &mut Vec<HostEvent>) {
        match part {
            ConvertedPart::Leaf(leaf) => match self.at_path(top, &leaf.path, intake.context) {
                Ok(index) => self.read(index, leaf, intake, events),
                Err((name, reason)) => self.refuse(Some(name), reason, events),
            },
            ConvertedPart::Typed(path, datatype) => match self.at_path(top, &path, intake.context) {
                Ok(index) => self.metrics[index].datatype = Some(datatype),
                Err((name, reason)) => self.refuse(Some(name), reason, events),
            },
            ConvertedPart::Absent { path, from, at, historical } => {
                let name = match path {
                    LeafPath::Same => self.metrics[top].name.to_string(),
                    LeafPath::Part(name) => name,
                };
                for index in self.parts_of(&name, from) {
                    self.report(index, ScalarReading::NONE, at, historical, intake, events);
                }
            }
            ConvertedPart::Refused { path, kind, reason } => {
                let name = match path {
                    LeafPath::Same => self.metrics[top].name.to_string(),
                    LeafPath::Part(name) => name,
                };
                self.refuse_once(name, kind, || reason, events);
            }
        }
    }

    fn at_path(&mut self, top: usize, path: &LeafPath, context: &EdgeContext) -> Result<usize, (String, String)> {
        match path {
            LeafPath::Same => Ok(top),
            LeafPath::Part(name) => match self.by_name.get(name.as_str()) {
                Some(index) => Ok(*index),
                None => self.add(name, context).map_err(|reason| (name.clone(), reason)),
            },
        }
    }

    /// What was told of the parts of a metric: all of them, or the elements from this one on.
    fn parts_of(&self, name: &str, from: Option<usize>) -> Vec<usize> {
        if let Some(from) = from {
            return (from..).map_while(|element| self.by_name.get(format!("{name}[{element}]").as_str()).copied()).collect();
        }
        let is_part = |metric: &EdgeMetric| metric.name.strip_prefix(name).is_some_and(|rest| rest.starts_with(['/', '[']));
        (0..self.metrics.len()).filter(|index| is_part(&self.metrics[*index])).collect()
    }

    fn read(&mut self, index: usize, leaf: MetricLeaf, intake: &mut EdgeIntake, events: &mut Vec<HostEvent>) {
        let metric = &mut self.metrics[index];
        let value_type = leaf.scalar.value_type();
        metric.datatype = Some(SparkplugType::Scalar(leaf.scalar));
        match &mut metric.announced {
            Some(announced) if announced.value_type == value_type => {}
            Some(announced) => (announced.value_type, intake.is_changed) = (value_type, true),
            None => {
                let hints = leaf.hints.map(|hints| *hints).unwrap_or_default();
                metric.announced = Some(BornMetric {
                    name: metric.name.clone(),
                    value_type,
                    unit: hints.unit,
                    description: hints.description,
                    range_low: hints.range_low,
                    range_high: hints.range_high,
                    address: format!("sparkplug:{}:{}", self.name, metric.name),
                });
                intake.is_changed = true;
            }
        }
        self.report(index, leaf.reading, leaf.at, leaf.historical, intake, events);
    }

    fn report(
        &mut self,
        index: usize,
        mut reading: ScalarReading,
        at: Option<u64>,
        historical: bool,
        intake: &mut EdgeIntake,
        events: &mut Vec<HostEvent>,
    ) {
        let Some(announced) = &self.metrics[index].announced else { return };
        let (metric, value_type) = (announced.name.clone(), announced.value_type);
        let most = intake.context.options.metrics_per_node_max;
        if intake.readings.len() >= most.saturating_mul(2) {
            return self.refuse(Some(metric.to_string()), format!("its message has more than {most} readings"), events);
        }
        let mut doubt = reading.problem.clone().unwrap_or_default();
        if intake.is_unsure && reading.quality.is_good() {
            reading.quality = Quality::UNCERTAIN;
            doubt = "its alias may be that of another birth than the last one that came".into();
        }
        let received = intake.context.received;
        let (at, odd) = reading_time(at, intake.payload.timestamp, received);
        if let Some(problem) = reading.problem.take() {
            self.refuse_once(metric.to_string(), "value", || problem, events);
        }
        if let Some(odd) = odd {
            let told = || format!("its time {odd} ms is before 2000 or over a day ahead of the receipt; the payload's or that is taken");
            self.refuse_once(metric.to_string(), "time", told, events);
        }
        let ScalarReading { value, quality, .. } = reading;
        let mut tell = |at, historical, value| {
            let reading = MetricReading { at, value, quality, value_type, historical, doubt: doubt.clone() };
            intake.readings.push(HostEvent::Reading { edge: self.name.clone(), metric: metric.clone(), reading });
        };
        let mut latest = at;
        if let Some(dead_at) = self.dead_at.filter(|dead_at| intake.is_birth && !historical && at <= *dead_at) {
            // Since the death the metric counts as Bad. What a birth repeats from before it holds again, from the birth on.
            let born = intake.payload.timestamp.and_then(|at| believed(at, received)).unwrap_or(received);
            latest = Timestamp(born.0.max(dead_at.0.saturating_add(1)));
            tell(at, true, value.clone());
            tell(latest, false, value);
        } else {
            tell(at, historical, value);
        }
        if !historical {
            self.latest = self.latest.max(latest.0);
        }
    }

    fn refuse(&mut self, metric: Option<String>, reason: String, events: &mut Vec<HostEvent>) {
        self.refusals += 1;
        if self.refusals > REFUSALS_MAX {
            return;
        }
        let metric = metric.map(|name| name.chars().take(200).collect());
        events.push(HostEvent::Refused { edge: Some(self.name.clone()), metric, reason });
    }

    fn refuse_once(&mut self, metric: String, kind: &'static str, reason: impl FnOnce() -> String, events: &mut Vec<HostEvent>) {
        let key = (metric, kind);
        if self.told_once.contains(&key) {
            return;
        }
        self.refuse(Some(key.0.clone()), reason(), events);
        if self.told_once.len() < TOLD_ONCE_MAX {
            self.told_once.insert(key);
        }
    }
}

fn last_level(name: &str) -> &str {
    name.rsplit_once('/').map_or(name, |(_, last)| last)
}

/// Counters of sessions and commands: no measurements.
fn is_left_out(name: &str) -> bool {
    // Some makers put them under a heading of their own: `CMD/Node Control/Rebirth`.
    name == BD_SEQ || name.split('/').any(|level| level == "Node Control" || level == "Device Control")
}
