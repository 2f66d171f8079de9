//! Reading the server's history for the times of an outage, beside the live subscription.
//!
//! One request is under way at a time, for a few nodes and values, with a pause before the next: a page of a history is small beside what a
//! subscription sends at once, and the subscription is served between the pages. Nothing that happens here ends a session. A hole is on record as
//! filled once its samples are durable.
//!
//! # What servers do
//! - They say in `AccessLevel` whether a node has a history; what they refuse all the same is told once per node, and asked for again in the next
//!   session.
//! - Bounds are inclusive in some and not in others, and pages overlap in some: samples are taken by their times.
//! - Some cut an answer off at the number of values without a continuation point: a full page without one is followed by a request from its end.
//! - Continuation points expire, or there are too few of them: the rest of a hole is asked for anew, for fewer nodes at once.
//! - A history may hold structures of other types than the present values. A page with one whose type is not known yet is not taken at all, and
//!   asked for again when the type has been asked for: a time counts as read only with its value.
//! - Some histories come later than the live values. A hole ends with a live sample; as long as the history lacks that, it is asked again, a few times.

pub mod backlog;
pub mod settings;

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use opcua::{
    client::{HistoryReadAction, Session, UARequest, services::HistoryRead},
    types::{
        AttributeId, ByteString, DataValue, HistoryData, HistoryReadResult, HistoryReadValueId, NodeId, ReadRawModifiedDetails, StatusCode,
        TimestampsToReturn, Variant,
    },
};

use self::{
    backlog::{HistoryBacklog, TakenHole},
    settings::{HistoryOrder, HistorySettings},
};
use super::{
    address::NodeAddress,
    conversion::Conversion,
    convert::{DataValueSample, protocol_time},
    deliver::Deliveries,
    device::{IdentityGuard, OpcUaSettings},
    fault::within,
    identity::NodeIdentities,
    item::OpcUaTag,
    read,
    session::gone,
    structure::types::StructureTypes,
    times::TimeFrom,
    wanted::{Standing, WantedItems},
};
use historian_collector::CollectorContext;
use historian_model::{Samples, Timestamp, ValueType};

/// Bit of `AccessLevel`: the history can be read.
const HISTORY_READ: u8 = 0x04;
/// Nodes whose `AccessLevel` is read at once.
const ACCESS_NODES: usize = 100;
/// Beyond the end of a hole: the live sample there is asked for, too, whatever the resolution of the server's times.
const BEYOND_NS: i64 = 1_000_000;
/// Resolution of the protocol's times.
const TICK_NS: i64 = 100;
/// Samples of history that may wait to be stored when the next page is asked for.
const WAITING_MAX: usize = 65_536;
/// How long a history that lacks the live samples is given to come as far.
const LAG: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_mins(1)];
/// Failures after which a hole waits for the next session, and the wait between two attempts.
const FAILURES_MAX: u32 = 5;
const FAILURE_WAIT: Duration = Duration::from_secs(5);
/// Empty pages in a row, with more to come.
const EMPTY_PAGES_MAX: u32 = 10;
/// Values per node are not cut below this.
const VALUES_MIN: u32 = 10;
/// How often it is looked at what is due.
const LOOK: Duration = Duration::from_millis(500);
/// Refusals that get a line of their own in the log.
const TOLD_MAX: u32 = 5;

/// A session whose server has histories, and what is to be read of them.
pub(super) struct HistorySource<'a> {
    pub device: &'a OpcUaSettings,
    pub session: &'a Session,
    pub items: &'a WantedItems,
    /// The tags of the items.
    pub deliveries: &'a Deliveries,
    pub identities: &'a NodeIdentities,
    pub backlog: Option<&'a HistoryBacklog>,
    pub context: &'a CollectorContext,
}

/// Reads what is missing, for as long as the session lasts.
pub(super) async fn run(source: &HistorySource<'_>) -> Infallible {
    let (Some(settings), Some(backlog)) = (source.device.history, source.backlog) else { return std::future::pending().await };
    // What the nodes mean in this run of the server is known when they are monitored.
    while source.context.status.items_created.load(Ordering::Relaxed) == 0 {
        tokio::time::sleep(LOOK).await;
    }
    backlog.reconnect();
    let mut reader = HistoryReader {
        source,
        backlog,
        settings,
        nodes: HashMap::new(),
        namespaces: Vec::new(),
        nodes_per_request: settings.nodes_per_request,
        values_per_request: settings.values_per_request,
        told: 0,
        stored: 0,
        filled: BTreeSet::new(),
    };
    loop {
        let taken = backlog.take(Instant::now(), source.context.clock.now(), reader.nodes_per_request);
        if taken.is_empty() {
            let is_empty = backlog.is_empty();
            if is_empty {
                reader.tell_stored();
            }
            tokio::select! {
                () = backlog.changed() => {}
                () = tokio::time::sleep(LOOK), if !is_empty => {}
            }
            continue;
        }
        reader.read(taken).await;
        tokio::time::sleep(settings.pause).await;
    }
}

struct HistoryReader<'a> {
    source: &'a HistorySource<'a>,
    backlog: &'a HistoryBacklog,
    settings: HistorySettings,
    nodes: HashMap<usize, HistoryNode>,
    /// As they were read last; the server may add some.
    namespaces: Vec<String>,
    /// They shrink where the server finds a request too large.
    nodes_per_request: usize,
    values_per_request: u32,
    told: u32,
    /// Samples of holes that were read to their ends, and the tags of these.
    stored: u64,
    filled: BTreeSet<usize>,
}

/// A node of this session.
struct HistoryNode {
    /// Of the item when the node was looked for; a tag that a glob found may have another one by now.
    address: NodeAddress,
    /// `Err`: why its history is not read.
    node: Result<NodeId, String>,
}

/// A hole, and how far its node has answered.
struct AskedNode {
    taken: TakenHole,
    node: NodeId,
    continuation: ByteString,
    empty_pages: u32,
}

/// What is to be done with a hole after a page.
enum PageEnd {
    /// The server has more.
    More,
    /// The rest is asked for anew.
    Anew,
    Done,
    /// Nothing of this node will be had.
    Refused(String),
    /// It may work later.
    Failed(String),
}

impl HistoryReader<'_> {
    /// Reads some holes, page after page, and puts on record which are filled.
    async fn read(&mut self, taken: Vec<TakenHole>) {
        let mut asked = self.known(taken).await;
        let (mut done, mut refused) = (Vec::new(), Vec::new());
        let Some(details) = self.details(&asked) else { return };
        while !asked.is_empty() {
            let results = match self.request(&details, &asked, false).await {
                Ok(results) => results,
                Err(failure) => {
                    self.fail(failure, asked).await;
                    break;
                }
            };
            let (mut more, mut left) = (Vec::new(), Vec::new());
            for (mut one, result) in asked.into_iter().zip(results) {
                let end = self.page(&mut one, result, &details);
                self.backlog.progress(&one.taken);
                match end {
                    PageEnd::More => more.push(one),
                    PageEnd::Anew => self.backlog.later(one.taken, None),
                    PageEnd::Done => done.push(one.taken),
                    PageEnd::Refused(why) => refused.push((one.taken, why)),
                    PageEnd::Failed(why) => {
                        self.later(one.taken.clone(), &why);
                        left.push(one);
                    }
                }
            }
            left.retain(|one| !one.continuation.is_null_or_empty());
            if !left.is_empty() {
                let _ = self.request(&details, &left, true).await;
            }
            asked = more;
            self.source.context.spool.history_written(WAITING_MAX).await;
            if !asked.is_empty() {
                tokio::time::sleep(self.settings.pause).await;
            }
        }
        self.refuse(refused);
        self.source.context.spool.history_written(0).await;
        for taken in done {
            self.finish(taken);
        }
    }

    /// One request for all that is asked, from the earliest start to the latest end.
    fn details(&self, asked: &[AskedNode]) -> Option<ReadRawModifiedDetails> {
        let holes = || asked.iter().map(|one| &one.taken.hole);
        let start = protocol_time(Timestamp(holes().map(|hole| hole.start).min()?));
        let end = protocol_time(Timestamp(holes().map(|hole| hole.until).max()?.saturating_add(BEYOND_NS)));
        let (start_time, end_time) = match self.settings.order {
            HistoryOrder::Oldest => (start, end),
            HistoryOrder::Newest => (end, start),
        };
        let num_values_per_node = self.values_per_request;
        Some(ReadRawModifiedDetails { is_read_modified: false, start_time, end_time, num_values_per_node, return_bounds: false })
    }

    /// An answer for each node, or why there is none. With `release` the server forgets the continuation points.
    async fn request(
        &self,
        details: &ReadRawModifiedDetails,
        asked: &[AskedNode],
        release: bool,
    ) -> Result<Vec<HistoryReadResult>, (StatusCode, String)> {
        let what = "HistoryRead";
        let nodes = asked.iter().map(|one| HistoryReadValueId {
            node_id: one.node.clone(),
            index_range: self.item(one.taken.index).element.clone(),
            continuation_point: one.continuation.clone(),
            ..HistoryReadValueId::default()
        });
        let request = HistoryRead::new(HistoryReadAction::ReadRawModifiedDetails(details.clone()), self.source.session)
            .timestamps_to_return(TimestampsToReturn::Both)
            .release_continuation_points(release)
            .nodes_to_read(nodes.collect());
        let answer = match within(self.source.device.timeout, what, request.send(self.source.session.channel())).await {
            Ok(Ok(answer)) => answer.results.unwrap_or_default(),
            Ok(Err(error)) => return Err((error.status(), format!("{what}: {}", error.status()))),
            Err(fault) => return Err((StatusCode::BadTimeout, fault.message)),
        };
        if answer.len() == asked.len() {
            return Ok(answer);
        }
        Err((StatusCode::BadUnexpectedError, format!("{what}: {} answers came for {} nodes", answer.len(), asked.len())))
    }

    /// The nodes whose history can be read; the others are told and left.
    async fn known(&mut self, taken: Vec<TakenHole>) -> Vec<AskedNode> {
        let taken = self.proven(taken);
        if let Err(why) = self.look(&taken).await {
            for one in taken {
                self.later(one, &why);
            }
            return Vec::new();
        }
        let (mut asked, mut refused) = (Vec::new(), Vec::new());
        for one in taken {
            match self.nodes.get(&one.index).map(|known| &known.node) {
                Some(Ok(node)) => {
                    asked.push(AskedNode { node: node.clone(), taken: one, continuation: ByteString::null(), empty_pages: 0 });
                }
                Some(Err(why)) => {
                    let why = why.clone();
                    refused.push((one, why));
                }
                None => self.backlog.wait(one),
            }
        }
        self.refuse(refused);
        asked
    }

    /// Those whose nodes are still the nodes of their tags, as far as that is known; the others wait.
    fn proven(&self, taken: Vec<TakenHole>) -> Vec<TakenHole> {
        let mut proven = Vec::with_capacity(taken.len());
        for one in taken {
            let is_refused = self.source.device.identity == IdentityGuard::Refuse && self.source.identities.doubt(one.index).is_some();
            match self.source.items.standing(one.index) {
                Standing::Wanted if !is_refused => proven.push(one),
                Standing::Awaited => self.backlog.later(one, Some(Instant::now() + FAILURE_WAIT)),
                _ => self.backlog.wait(one),
            }
        }
        proven
    }

    /// Reads of nodes that are new in this session whether they have a history.
    async fn look(&mut self, taken: &[TakenHole]) -> Result<(), String> {
        let (session, timeout) = (self.source.session, self.source.device.timeout);
        let indexes: BTreeSet<usize> = taken.iter().map(|one| one.index).collect();
        let addresses = indexes.into_iter().map(|index| (index, self.source.items.item(index).address.clone()));
        let is_new = |(index, address): &(usize, NodeAddress)| self.nodes.get(index).is_none_or(|known| known.address != *address);
        let new: Vec<(usize, NodeAddress)> = addresses.filter(is_new).collect();
        // A hole ends with a live value: the namespace of its node is there, and may have come since they were read.
        if new.iter().any(|(_, address)| address.resolve(&self.namespaces).is_none()) {
            self.namespaces = read::namespaces(session, timeout).await.map_err(|fault| fault.message)?;
        }
        let mut unknown = Vec::new();
        for (index, address) in new {
            if let Some(node) = address.resolve(&self.namespaces) {
                unknown.push((index, address, node));
            } else {
                let node = Err("the server does not have its namespace".to_owned());
                self.nodes.insert(index, HistoryNode { address, node });
            }
        }
        let attributes: Vec<_> = unknown.iter().map(|(_, _, node)| read::attribute(node.clone(), AttributeId::AccessLevel)).collect();
        let levels = read::values(session, &attributes, ACCESS_NODES, timeout).await.map_err(|fault| fault.message)?;
        for ((index, address, node), level) in unknown.into_iter().zip(levels) {
            // Where it does not say, it is asked.
            let has_none = matches!(level.value, Some(Variant::Byte(level)) if level & HISTORY_READ == 0);
            let node = if has_none { Err("its AccessLevel says that its history cannot be read".to_owned()) } else { Ok(node) };
            self.nodes.insert(index, HistoryNode { address, node });
        }
        Ok(())
    }

    /// Takes one page of a node.
    fn page(&mut self, one: &mut AskedNode, result: HistoryReadResult, details: &ReadRawModifiedDetails) -> PageEnd {
        let status = result.status_code;
        if status.is_bad() {
            return match status {
                StatusCode::BadNoData | StatusCode::BadNoDataAvailable | StatusCode::BadBoundNotFound => PageEnd::Done,
                StatusCode::BadContinuationPointInvalid if !one.continuation.is_null() && one.taken.hole.tries < FAILURES_MAX => {
                    one.taken.hole.tries += 1;
                    PageEnd::Anew
                }
                StatusCode::BadNoContinuationPoints if self.nodes_per_request > 1 => {
                    self.nodes_per_request = self.nodes_per_request.div_ceil(2);
                    PageEnd::Anew
                }
                status if may_pass(status) => PageEnd::Failed(format!("HistoryRead: {status}")),
                status => PageEnd::Refused(status.to_string()),
            };
        }
        let values = result.history_data.into_inner_as::<HistoryData>().and_then(|history| history.data_values).unwrap_or_default();
        let count = values.len();
        let before = (one.taken.hole.start, one.taken.hole.until);
        one.continuation = result.continuation_point;
        let item = self.item(one.taken.index);
        let Some(readings) = readings(values, &item.conversion, item.definition.value_type, self.source.deliveries.structures()) else {
            return PageEnd::Failed("the type of a structure in it is not known yet".to_owned());
        };
        self.take(one, readings);
        let hole = &mut one.taken.hole;
        let is_stuck = before == (hole.start, hole.until);
        if !is_stuck {
            // What failed before it is over: a long outage may meet many points that expire.
            hole.tries = 0;
        }
        // Other holes of the request may begin before this one.
        let is_own = match self.settings.order {
            HistoryOrder::Oldest => details.start_time == protocol_time(Timestamp(before.0)),
            HistoryOrder::Newest => details.start_time == protocol_time(Timestamp(before.1.saturating_add(BEYOND_NS))),
        };
        if !one.continuation.is_null_or_empty() {
            one.empty_pages = if is_stuck { one.empty_pages + 1 } else { 0 };
            if one.empty_pages > EMPTY_PAGES_MAX {
                return PageEnd::Failed("HistoryRead: the server has more, and sends nothing".to_owned());
            }
            return PageEnd::More;
        }
        if count < details.num_values_per_node as usize || hole.start >= hole.until {
            return PageEnd::Done;
        }
        if is_stuck && is_own {
            // More values of one time than it is asked for at once.
            hole.tries += 1;
            match self.settings.order {
                HistoryOrder::Oldest => hole.start = hole.start.saturating_add(BEYOND_NS),
                HistoryOrder::Newest => hole.until = hole.until.saturating_sub(BEYOND_NS),
            }
            if hole.tries > FAILURES_MAX {
                return PageEnd::Failed("HistoryRead: the same values come again and again".to_owned());
            }
        }
        PageEnd::Anew
    }

    /// Hands on the samples of a page that belong to its hole.
    fn take(&self, one: &mut AskedNode, mut readings: Vec<DataValueSample>) {
        let item = self.item(one.taken.index);
        let doubt = self.source.identities.doubt(one.taken.index);
        if self.settings.order == HistoryOrder::Newest {
            readings.reverse();
        }
        let hole = &mut one.taken.hole;
        let (mut run, mut untimed) = (Samples::new(item.definition.value_type), 0_u32);
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for reading in readings {
            let reading = reading.in_doubt(doubt.as_deref());
            let Some(mut at) = time_of(&reading, item.time) else {
                untimed += 1;
                continue;
            };
            hole.saw(at);
            (first, last) = (first.min(at), last.max(at));
            if !hole.has(at) {
                continue;
            }
            if let Some(row) = run.len().checked_sub(1)
                && let Some(&before) = run.timestamps.last()
                && (0..TICK_NS).contains(&before.saturating_sub(at))
            {
                // The same once more, or another value of the same time.
                if run.value(row) == reading.value && run.qualities[row] == reading.quality.0 {
                    continue;
                }
                at = before.saturating_add(1);
            }
            match run.push(at, reading.value.as_ref(), reading.quality.0) {
                Ok(()) => hole.took(at),
                Err(error) => tracing::error!(tag = %item.definition.name, %error, "a sample of the history is not taken; this is a bug"),
            }
        }
        if first <= last {
            match self.settings.order {
                HistoryOrder::Oldest => {
                    hole.start = hole.start.max(last.saturating_add(1));
                    hole.after = hole.after.max(last);
                }
                HistoryOrder::Newest => hole.until = hole.until.min(first),
            }
        }
        if untimed > 0 {
            let message =
                format!("{}: {untimed} values of its history have no time, or cannot be decoded, and are left out", item.definition.name);
            self.source.context.status.record_error(self.source.context.clock.now(), message);
        }
        if let Some(id) = self.source.deliveries.id(one.taken.index) {
            self.source.context.spool.push_history(id, run);
        }
    }

    /// A request failed as a whole.
    async fn fail(&mut self, (status, why): (StatusCode, String), asked: Vec<AskedNode>) {
        let with_points = || asked.iter().any(|one| !one.continuation.is_null_or_empty());
        if !gone(status)
            && with_points()
            && let Some(details) = self.details(&asked)
        {
            let _ = self.request(&details, &asked, true).await;
        }
        let holes = asked.into_iter().map(|one| one.taken);
        if gone(status) {
            holes.for_each(|taken| self.backlog.wait(taken));
        } else if read::divides(status) && (self.nodes_per_request > 1 || self.values_per_request > VALUES_MIN) {
            if self.nodes_per_request > 1 {
                self.nodes_per_request = holes.len().clamp(1, self.nodes_per_request).div_ceil(2);
            } else {
                self.values_per_request = (self.values_per_request / 2).max(VALUES_MIN);
            }
            holes.for_each(|taken| self.backlog.later(taken, None));
        } else if may_pass(status) {
            holes.for_each(|taken| self.later(taken, &why));
        } else {
            self.refuse(holes.map(|taken| (taken, why.clone())).collect());
        }
    }

    /// Tries a hole again after a while, and in the next session where that is of no use.
    fn later(&self, mut taken: TakenHole, why: &str) {
        taken.hole.tries += 1;
        if taken.hole.tries <= FAILURES_MAX {
            let wait = FAILURE_WAIT * taken.hole.tries;
            self.backlog.later(taken, Some(Instant::now() + wait));
            return;
        }
        let item = self.item(taken.index);
        let message = format!("{}: its history is not read in this session: {why}", item.definition.name);
        self.source.context.status.record_error(self.source.context.clock.now(), message);
        self.backlog.wait(taken);
    }

    /// These nodes have no history for us. It is told once of each, and their gaps stay.
    fn refuse(&mut self, refused: Vec<(TakenHole, String)>) {
        let news: Vec<(usize, String)> =
            refused.iter().filter(|(taken, _)| self.backlog.is_news(taken.index)).map(|(taken, why)| (taken.index, why.clone())).collect();
        for (taken, why) in refused {
            let address = self.item(taken.index).address.clone();
            self.nodes.insert(taken.index, HistoryNode { address, node: Err(why) });
            self.backlog.wait(taken);
        }
        let Some((index, why)) = news.first() else { return };
        let (item, device) = (self.item(*index), &self.source.device.name);
        let (name, address) = (&item.definition.name, &item.address_text);
        let message = format!("the server gives no history of {} tags, first {name} ({address}): {why}; their gaps stay", news.len());
        if self.told < TOLD_MAX {
            tracing::warn!(device, "{message}");
        }
        self.told += 1;
        self.source.context.status.record_error(self.source.context.clock.now(), message);
    }

    /// All that the history has of a hole is stored.
    fn finish(&mut self, mut taken: TakenHole) {
        if !taken.hole.is_reached()
            && let Some(wait) = LAG.get(taken.hole.tries as usize)
        {
            taken.hole.behind_newest();
            self.backlog.later(taken, Some(Instant::now() + *wait));
            return;
        }
        let Some(id) = self.source.deliveries.id(taken.index) else { return };
        for gap in self.backlog.done(&taken) {
            self.stored += gap.samples;
            self.filled.insert(taken.index);
            self.source.context.spool.backfilled(id, gap);
        }
    }

    fn tell_stored(&mut self) {
        let (samples, tags) = (std::mem::take(&mut self.stored), std::mem::take(&mut self.filled).len());
        if samples > 0 {
            tracing::info!(device = self.source.device.name, samples, tags, "samples of the server's history are stored; they were absent");
        }
    }

    fn item(&self, index: usize) -> Arc<OpcUaTag> {
        self.source.items.item(index)
    }
}

/// The values of a page as samples; `None` while the types of structures in it are not known. All of them are asked for then.
fn readings(values: Vec<DataValue>, conversion: &Conversion, kind: ValueType, types: &StructureTypes) -> Option<Vec<DataValueSample>> {
    let readings: Vec<DataValueSample> = values.into_iter().map(|value| conversion.sample(value, kind, types)).collect();
    (!readings.iter().any(|reading| reading.waits)).then_some(readings)
}

/// The time of a sample, as that of a live one, but for the times that only a live one has.
fn time_of(reading: &DataValueSample, from: TimeFrom) -> Option<i64> {
    match from {
        TimeFrom::Source => reading.source.or(reading.server),
        TimeFrom::Server => reading.server,
        TimeFrom::Reception => None,
    }
}

/// Statuses that say nothing of whether there is a history.
fn may_pass(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadTimeout
            | StatusCode::BadRequestTimeout
            | StatusCode::BadNoContinuationPoints
            | StatusCode::BadContinuationPointInvalid
            | StatusCode::BadResourceUnavailable
            | StatusCode::BadOutOfMemory
            | StatusCode::BadTooManyOperations
            | StatusCode::BadServerHalted
            | StatusCode::BadOutOfService
            | StatusCode::BadInternalError
            | StatusCode::BadUnexpectedError
            | StatusCode::BadCommunicationError
            | StatusCode::BadDecodingError
            | StatusCode::BadConnectionClosed
            | StatusCode::BadWaitingForInitialData
    )
}

#[cfg(test)]
mod tests;
