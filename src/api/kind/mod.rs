//! The kinds of query. Each is a module, where its request becomes a resolved query, and where its schema, estimate, tickets, answer as Arrow
//! and answer as proto are told; and a line in [`KINDS`], which feeds Flight, messages and a table of `docs/api.md`.

mod aggregate;
mod anomalies;
mod as_of;
mod asker;
mod calendar;
mod contract;
mod current;
mod downsample;
mod measure;
mod page;
mod range;
mod subscribe;
mod superseded;
mod tag_by_tag;
#[cfg(test)]
mod tests;

pub use self::{
    aggregate::AggregateKind,
    anomalies::{AnomaliesKind, detectors},
    as_of::{AsOfKind, check_schema},
    asker::Asker,
    contract::{Asked, Door, Kind, QueryKind, Resolved, UnknownNames},
    current::{CurrentKind, PageOfCurrent},
    downsample::DownsampleKind,
    measure::MeasureKind,
    range::RangeKind,
    subscribe::{SubscribeKind, follow},
    superseded::SupersededKind,
    tag_by_tag::{TagByTag, answer},
};

/// Every kind, in the order in which messages name them.
pub static KINDS: &[Kind] = &[
    Kind::of::<RangeKind>(),
    Kind::of::<CurrentKind>(),
    Kind::of::<AggregateKind>(),
    Kind::of::<DownsampleKind>(),
    Kind::of::<AnomaliesKind>(),
    Kind::of::<MeasureKind>(),
    Kind::of::<SubscribeKind>(),
    Kind::of::<SupersededKind>(),
    Kind::of::<AsOfKind>(),
];

/// The kind of SQL statements, as calls are told and counted.
pub const SQL: &str = "sql";
/// The kind of writes, as calls are told and counted.
pub const WRITE: &str = "write";
/// The kind that has no end.
pub const WITHOUT_END: &str = SubscribeKind::NAME;

/// The kinds whose calls end by themselves.
pub fn timed() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name).filter(|kind| *kind != WITHOUT_END).chain([SQL, WRITE])
}

/// The kind that a method of gRPC asks for, by its path.
pub fn of_method(path: &str) -> Option<&'static str> {
    if path.starts_with("/historian.v1.WriteService/WriteSamples") {
        return Some(WRITE);
    }
    let method = path.strip_prefix("/historian.v1.QueryService/")?;
    KINDS.iter().find(|kind| kind.method == method).map(|kind| kind.name)
}

/// What this version answers, for who asked for something else.
pub fn answered() -> String {
    let names =
        |exchanged: bool| KINDS.iter().filter(move |kind| (kind.door == Door::Exchange) == exchanged).map(|kind| kind.name).collect();
    listed(names(false), &names(true))
}

/// The commands that are read, and those that take rows.
fn listed(mut read: Vec<&str>, exchanged: &[&str]) -> String {
    let last = read.pop().unwrap_or_default();
    format!("{} and {last}, and takes write by DoPut and {} by DoExchange", read.join(", "), exchanged.join(" and "))
}
