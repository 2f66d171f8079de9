//! Every tag of a device read once and subscribed to once, for `historian check`.
//!
//! Reading shows value and type; only a subscription shows what the collector will meet: a filter that the node does not allow, a quota of
//! items, longer intervals and shorter queues than asked for, a source time that stands still. The subscriptions are as the collector makes
//! them, live for a few publishing intervals, and are deleted. Of a set of redundant servers each is asked, all at once.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::join_all;
use opcua::types::{DataValue, StatusCode, VariableId};
use parking_lot::Mutex;

use super::{
    browse::{self, ScannedVariable},
    connection::{CLOSE_MAX, OpcUaConnection},
    convert,
    device::OpcUaSettings,
    fault::ConnectionFault,
    identity::NodeIdentities,
    item::{Deadband, OpcUaTag, Trigger},
    left_out::LeftOut,
    nearest,
    publish::{NotificationSink, Publisher},
    read,
    redundancy::level::ServiceLevel,
    structure::{learn, types::StructureTypes},
    subscribe::{self, LinkSession},
    subscription::On,
    times::{self, Oddity, TagTimes},
    wanted::{Standing, WantedItems},
    wire,
};
use historian_collector::{CheckRow, Readings};
use historian_model::{Clock, Quality, SystemClock, TagName};

/// How long values are waited for beyond three publishing intervals.
const WAIT_MORE: Duration = Duration::from_secs(1);
/// Longest wait for values, whatever the publishing interval.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Difference of clocks that is told.
const CLOCK_OFFSET_TOLD_NS: i64 = 1_000_000_000;
/// Tags of globs that a sentence names.
const FOUND_NAMED: usize = 3;
/// Tags of globs that have a row.
const FOUND_SHOWN: usize = 1_000;
/// Unknown nodes for which others are named: each is compared with every node that was found.
const SUGGESTED_FOR_MAX: usize = 20;

/// A row per tag in the order of the tags, then one for each of the first tags that the globs would make; and what is said of the globs, in
/// sentences. Ends within about `timeout`.
pub(super) async fn run(device: &OpcUaSettings, timeout: Duration) -> (Vec<CheckRow>, Vec<String>) {
    let looks = (0..device.servers()).map(|member| look(device, device.endpoint_of(member), timeout));
    let mut servers = Box::pin(join_all(looks)).await;
    if !device.is_redundant() {
        return servers.pop().map(|checked| (checked.rows, checked.told)).unwrap_or_default();
    }
    let endpoints = (0..device.servers()).map(|member| device.endpoint_of(member));
    joined(endpoints.zip(servers).collect())
}

/// Of a set: the rows of the first server that could be used, with what is wrong at the others, and sentences about each.
fn joined(mut servers: Vec<(&str, CheckedTags)>) -> (Vec<CheckRow>, Vec<String>) {
    let mut told = Vec::new();
    for (endpoint, checked) in &servers {
        told.push(format!("{endpoint}: {}", checked.summary()));
        told.extend(checked.told.iter().map(|sentence| format!("{endpoint}: {sentence}")));
    }
    let shown = servers.iter().position(|(_, checked)| checked.failed.is_empty()).unwrap_or_default();
    let mut rows = servers.remove(shown).1.rows;
    let places: HashMap<String, usize> = rows.iter().enumerate().map(|(place, row)| (row.tag.clone(), place)).collect();
    for (endpoint, checked) in servers {
        if !checked.failed.is_empty() {
            // A set that lacks a server is not as it is configured, and all its tags but one would be so for no reason of their own.
            if let Some(row) = rows.first_mut().filter(|row| row.error != checked.failed) {
                remark(&mut row.error, &format!("{endpoint} of its set cannot be used: {}", checked.failed));
            }
            continue;
        }
        for other in checked.rows.iter().filter(|other| !other.error.is_empty()) {
            if let Some(&place) = places.get(&other.tag)
                && rows[place].error != other.error
            {
                remark(&mut rows[place].error, &format!("at {endpoint}: {}", other.error));
            }
        }
    }
    (rows, told)
}

/// What one server answers.
async fn look(device: &OpcUaSettings, endpoint: &str, timeout: Duration) -> CheckedTags {
    let mut checked = CheckedTags { rows: device.items.iter().map(row).collect(), ..CheckedTags::default() };
    checked.asked = vec![false; checked.rows.len()];
    let ended = Box::pin(tokio::time::timeout(timeout, fill(device, endpoint, timeout, &mut checked))).await;
    let error = match ended {
        Ok(Ok(())) => return checked,
        Ok(Err(fault)) => fault.message,
        Err(_) => format!("no answer within {} ms", timeout.as_millis()),
    };
    for (row, asked) in checked.rows.iter_mut().zip(&checked.asked) {
        if *asked {
            remark(&mut row.note, &format!("not subscribed to: {error}"));
        } else {
            row.error.clone_from(&error);
        }
    }
    if !device.globs.is_empty() && checked.told.is_empty() {
        checked.told.push(format!("the globs found nothing: {error}"));
    }
    checked.failed = error;
    checked
}

/// What is known by now.
#[derive(Default)]
struct CheckedTags {
    rows: Vec<CheckRow>,
    /// Whether the server has answered for the tag of a row.
    asked: Vec<bool>,
    told: Vec<String>,
    /// What a server of a set says of itself.
    level: Option<ServiceLevel>,
    /// Why not everything could be asked; empty where it was.
    failed: String,
}

impl CheckedTags {
    /// A sentence about a server of a set.
    fn summary(&self) -> String {
        let level = self.level.map(|level| format!("{level}; ")).unwrap_or_default();
        if !self.failed.is_empty() {
            return format!("{level}cannot be used: {}", self.failed);
        }
        let good = self.rows.iter().filter(|row| row.error.is_empty() && !row.quality.is_bad()).count();
        format!("{level}{good} of {} tags good", self.rows.len())
    }
}

fn row(item: &OpcUaTag) -> CheckRow {
    CheckRow {
        tag: item.definition.name.to_string(),
        address: item.address_text.clone(),
        value: None,
        quality: Quality::BAD_NOT_CONNECTED,
        latency: None,
        error: String::new(),
        note: String::new(),
        readings: Readings::default(),
        excused: false,
    }
}

async fn fill(device: &OpcUaSettings, endpoint: &str, limit: Duration, checked: &mut CheckedTags) -> Result<(), ConnectionFault> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut connection = OpcUaConnection::open(device, endpoint, 0, &clock).await?;
    let session = connection.session();
    let publisher = Publisher::default();
    let left_out = LeftOut::default();
    let structures = Arc::new(StructureTypes::default());
    let (items, identities) = (WantedItems::new(&device.items), NodeIdentities::default());
    let on =
        On { device, session: &session, publisher: &publisher, left_out: &left_out, items: &items, globs: None, identities: &identities };
    let work = async {
        if device.is_redundant() {
            checked.level = Some(ServiceLevel::of(read::service_level(&session, device.timeout).await?));
        }
        find(&on, checked, limit / 3).await?;
        read_all(&on, &structures, &mut checked.rows, &mut checked.asked).await?;
        suggest(&on, &mut checked.rows, limit / 3).await?;
        subscribe_to_all(&on, &structures, &mut checked.rows).await
    };
    let ended = Box::pin(connection.drive(&publisher, |_| (), work)).await.and_then(|ended| ended);
    connection.close(&publisher, CLOSE_MAX).await;
    ended
}

/// What the globs of the device find: the first of it is read and subscribed to like configured tags.
async fn find(on: &On<'_>, checked: &mut CheckedTags, limit: Duration) -> Result<(), ConnectionFault> {
    let device = on.device;
    if device.globs.is_empty() {
        return Ok(());
    }
    let mut scan = browse::scan(on.session, &device.globs, device.timeout, Instant::now() + limit).await?;
    let mut names: HashMap<TagName, String> =
        device.items.iter().map(|item| (item.definition.name.clone(), item.address_text.clone())).collect();
    let (mut count, mut configured, mut first) = (0_usize, 0_usize, Vec::new());
    for ScannedVariable { places, variable } in &scan.found {
        let Some(place) = places.first() else { continue };
        let Some(rule) = device.globs.iter().find(|rule| rule.wants(&place.path)) else { continue };
        if device.is_configured(place) {
            configured += 1;
            continue;
        }
        let definition = match rule.definition(&device.name, place, variable) {
            Ok(definition) => definition,
            Err(why) => {
                scan.untaken.push((variable.path.clone(), why));
                continue;
            }
        };
        if let Some(other) = names.get(&definition.name) {
            scan.untaken.push((variable.path.clone(), format!("its tag {} is that of {other} already", definition.name)));
            continue;
        }
        names.insert(definition.name.clone(), place.to_string());
        scan.unfiltered.extend(rule.unfit(&definition, &variable.path));
        count += 1;
        if first.len() < FOUND_SHOWN {
            first.push(rule.item(definition, place));
        }
    }
    let shown: Vec<&str> = first.iter().take(FOUND_NAMED).map(|item| item.definition.name.as_str()).collect();
    let beside = if configured > 0 { format!(", {configured} more are configured") } else { String::new() };
    checked.told.push(match count {
        0 => format!("the globs would make no tag{beside}"),
        _ => format!("the globs would make {count} tags, first {}{beside}", shown.join(", ")),
    });
    if count > device.tags_max {
        checked.told.push(format!("{} of them are beyond tags_max, which is {}", count - device.tags_max, device.tags_max));
    }
    checked.told.extend(scan.in_words());
    for item in first {
        checked.rows.push(CheckRow { note: format!("would be made by itself, as {}", item.definition.value_type), ..row(&item) });
        checked.asked.push(false);
        on.items.add(item, Standing::Wanted);
    }
    Ok(())
}

async fn read_all(on: &On<'_>, structures: &StructureTypes, rows: &mut [CheckRow], asked: &mut [bool]) -> Result<(), ConnectionFault> {
    let device = on.device;
    let facts = read::facts(on.session, device.timeout).await?;
    learn::begin(structures, on, &facts).await?;
    let mut nodes = Vec::new();
    let mut indexes = Vec::new();
    for index in 0..on.items.len() {
        let item = on.items.item(index);
        if item.address.resolve(&facts.namespaces).is_none() {
            rows[index].error = item.address.advice(&facts.namespaces);
        }
        if let Some(node) = item.address.resolve_now(&facts.namespaces) {
            nodes.push(item.value_of(node));
            indexes.push(index);
        } else {
            rows[index].quality = Quality::BAD_NODE_ID_UNKNOWN;
            asked[index] = true;
        }
    }
    for (nodes, indexes) in nodes.chunks(facts.nodes_per_read).zip(indexes.chunks(facts.nodes_per_read)) {
        let started = Instant::now();
        let values = read::values(on.session, nodes, nodes.len(), device.timeout).await?;
        let latency = started.elapsed();
        for (value, index) in values.into_iter().zip(indexes) {
            rows[*index].latency = Some(latency);
            show(&on.items.item(*index), value, structures, &mut rows[*index]);
            if rows[*index].error.starts_with(wire::BROKEN) {
                // Subscribed to, it would take the values behind it with it.
                on.left_out.add(*index, rows[*index].error.clone());
            }
            asked[*index] = true;
        }
    }
    let now = SystemClock.now().0;
    let ahead = read::time(on.session, VariableId::Server_ServerStatus_CurrentTime, device.timeout)
        .await?
        .map_or(0, |time| time.saturating_sub(now));
    if ahead.saturating_abs() > CLOCK_OFFSET_TOLD_NS
        && let Some(row) = rows.first_mut()
    {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        remark(&mut row.note, &format!("the server's clock is {:.1} s {direction} ours", ahead.unsigned_abs() as f64 / 1e9));
    }
    Ok(())
}

/// Names nodes that the server has for those that it does not know.
async fn suggest(on: &On<'_>, rows: &mut [CheckRow], limit: Duration) -> Result<(), ConnectionFault> {
    let wrong = |row: &CheckRow| row.quality == Quality::BAD_NODE_ID_UNKNOWN;
    if !rows.iter().any(wrong) {
        return Ok(());
    }
    let known = browse::addresses(on.session, on.device.timeout, limit).await?;
    for (index, row) in rows.iter_mut().enumerate().filter(|(_, row)| wrong(row)).take(SUGGESTED_FOR_MAX) {
        // Without what the tag takes of the value.
        let nearest = nearest::names(&on.items.item(index).address.to_string(), &known);
        if !nearest.is_empty() {
            remark(&mut row.error, &format!("the server has {}", nearest.join(", ")));
        }
    }
    Ok(())
}

/// Value, quality and what is wrong with them.
fn show(item: &OpcUaTag, data: DataValue, structures: &StructureTypes, row: &mut CheckRow) {
    let value_type = item.definition.value_type;
    let caution = if item.conversion.scaling.is_none() { convert::caution(&data, value_type) } else { None };
    let reading = item.conversion.sample(data, value_type, structures);
    if let Some(oddity) = times::oddity(&reading, item.time) {
        remark(&mut row.error, &oddity.text());
    }
    if reading.value.is_none() && !reading.quality.is_bad() {
        remark(&mut row.note, &reading.problem);
    } else if !reading.problem.is_empty() {
        remark(&mut row.error, &reading.problem);
    } else if reading.quality.is_bad() {
        remark(&mut row.error, &format!("the server says {}", StatusCode::from(reading.quality.0)));
    } else if let Some(caution) = caution {
        remark(&mut row.note, &caution);
    }
    row.value = reading.value;
    row.quality = reading.quality;
}

fn remark(text: &mut String, more: &str) {
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(more);
}

/// What the subscriptions brought for one tag.
#[derive(Default)]
struct ObservedTag {
    times: TagTimes,
    values: usize,
    oddity: Option<Oddity>,
}

async fn subscribe_to_all(on: &On<'_>, structures: &Arc<StructureTypes>, rows: &mut [CheckRow]) -> Result<(), ConnectionFault> {
    let device = on.device;
    let items: Vec<Arc<OpcUaTag>> = (0..on.items.len()).map(|index| on.items.item(index)).collect();
    let seen: Arc<Mutex<Vec<ObservedTag>>> =
        Arc::new(Mutex::new(items.iter().map(|item| ObservedTag { times: TagTimes::new(item.time), ..ObservedTag::default() }).collect()));
    let types: Vec<_> = items.iter().map(|item| (item.conversion.clone(), item.definition.value_type)).collect();
    let take: NotificationSink = {
        let (seen, structures) = (seen.clone(), structures.clone());
        Arc::new(move |values: Vec<(usize, DataValue)>, _| {
            let received = SystemClock.now();
            let mut seen = seen.lock();
            for (index, value) in values {
                if let (Some(seen), Some((conversion, value_type))) = (seen.get_mut(index), types.get(index)) {
                    seen.values += 1;
                    let stamp = seen.times.stamp(&conversion.sample(value, *value_type, &structures), received, received.0);
                    seen.oddity = seen.oddity.or(stamp.and_then(|stamp| stamp.oddity));
                }
            }
        })
    };
    let held = subscribe::attempt(on, &take).await?;
    let wait = (device.publishing * 3 + WAIT_MORE).min(WAIT_MAX);
    tokio::time::sleep(wait).await;
    tell(&held, device, &items, rows);
    let seen = std::mem::take(&mut *seen.lock());
    for made in held.subscriptions.iter().flat_map(|subscription| &subscription.items) {
        let (row, seen) = (&mut rows[made.index], &seen[made.index]);
        // Before 2000: told by the reading.
        if let Some(oddity @ Oddity::Still { .. }) = seen.oddity {
            remark(&mut row.error, &oddity.text());
        }
        if seen.values == 0 {
            remark(&mut row.note, &format!("no value came by the subscription within {} ms", wait.as_millis()));
        }
    }
    held.give_up(on).await;
    Ok(())
}

/// What the server refused, and where it granted something else.
fn tell(held: &LinkSession, device: &OpcUaSettings, items: &[Arc<OpcUaTag>], rows: &mut [CheckRow]) {
    for (index, status) in &held.refused {
        let row = &mut rows[*index];
        // What cannot be read cannot be subscribed to either; what is named by an index is not.
        if items[*index].address.is_by_index() {
            continue;
        }
        if row.quality != Quality(status.bits()) || row.error.is_empty() {
            remark(&mut row.error, &format!("the server refuses the subscription: {status}{}", reason(*status, &items[*index])));
            row.quality = Quality(status.bits());
        }
    }
    for subscription in &held.subscriptions {
        for made in &subscription.items {
            let (row, item) = (&mut rows[made.index], &items[made.index]);
            let asked = item.sampling.as_secs_f64() * 1000.0;
            if asked > 0.0 && made.sampling > asked * 1.01 {
                remark(&mut row.note, &format!("sampled every {} ms, not every {asked} ms", made.sampling));
            }
            if subscription.publishing > device.publishing {
                let (granted, asked) = (subscription.publishing.as_millis(), device.publishing.as_millis());
                remark(&mut row.note, &format!("published every {granted} ms, not every {asked} ms"));
            }
            if made.queue < item.queue_size {
                let (granted, asked) = (made.queue, item.queue_size);
                remark(&mut row.note, &format!("the server keeps {granted} values between two publishings, not {asked}"));
            }
        }
    }
}

fn reason(status: StatusCode, item: &OpcUaTag) -> &'static str {
    match status {
        StatusCode::BadTooManyMonitoredItems => "; it has no room for more, and those of a running historian count as well",
        StatusCode::BadFilterNotAllowed
        | StatusCode::BadMonitoredItemFilterUnsupported
        | StatusCode::BadMonitoredItemFilterInvalid
        | StatusCode::BadDeadbandFilterInvalid
            if item.deadband != Deadband::None || item.trigger != Trigger::default() =>
        {
            match item.deadband {
                Deadband::Percent(_) => "; deadband_percent needs a node with an EURange: set deadband, or remove it",
                Deadband::Absolute(_) => "; remove deadband from the tag",
                Deadband::None => "; remove trigger from the tag",
            }
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server of a set, by the errors of its tags.
    fn server(errors: &[(&str, &str)], failed: &str) -> CheckedTags {
        let row = |(tag, error): &(&str, &str)| CheckRow {
            tag: (*tag).to_owned(),
            address: String::new(),
            value: None,
            quality: Quality::GOOD,
            latency: None,
            error: (*error).to_owned(),
            note: String::new(),
            readings: Readings::default(),
            excused: false,
        };
        let level = failed.is_empty().then(|| ServiceLevel::of(Some(150)));
        CheckedTags { rows: errors.iter().map(row).collect(), level, failed: failed.to_owned(), ..CheckedTags::default() }
    }

    fn errors(servers: Vec<(&str, CheckedTags)>) -> (Vec<String>, Vec<String>) {
        let (rows, told) = joined(servers);
        (rows.into_iter().map(|row| row.error).collect(), told)
    }

    #[test]
    fn what_is_wrong_at_another_server_of_the_set_stands_beside_the_tag() {
        let first = server(&[("a", ""), ("b", "none"), ("c", "")], "");
        let second = server(&[("a", ""), ("b", "none"), ("c", "of another type"), ("d", "found here alone")], "");
        let (errors, told) = errors(vec![("x", first), ("y", second)]);
        assert_eq!(errors, ["", "none", "at y: of another type"]);
        assert_eq!(told, ["x: ServiceLevel 150 (degraded); 2 of 3 tags good", "y: ServiceLevel 150 (degraded); 1 of 4 tags good"]);
    }

    #[test]
    fn a_server_that_cannot_be_used_is_told_at_the_first_tag_and_the_tags_are_those_of_the_next() {
        let down = server(&[("a", "down"), ("b", "down")], "down");
        let (errors, told) = errors(vec![("x", down), ("y", server(&[("a", ""), ("b", "")], ""))]);
        assert_eq!(errors, ["x of its set cannot be used: down", ""]);
        assert_eq!(told, ["x: cannot be used: down", "y: ServiceLevel 150 (degraded); 2 of 2 tags good"]);
        let all = ["x", "y"].map(|endpoint| (endpoint, server(&[("a", "down")], "down")));
        assert_eq!(joined(all.into()).0[0].error, "down", "said once");
    }
}
