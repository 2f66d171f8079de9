//! The checker: reads back over the API what the lanes sent, and requires acknowledged ⊆ read ⊆ sent, bit for bit.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Float64Type, Int32Type, TimestampNanosecondType, UInt32Type},
};
use arrow_flight::{Ticket, decode::FlightRecordBatchStream, error::FlightError, flight_service_client::FlightServiceClient};
use bytes::Bytes;
use futures::TryStreamExt;
use historian_proto::v1::{RangeRequest, TagFailure, query_service_client::QueryServiceClient};
use tonic::{Code, Status, transport::Channel};

use crate::{
    lane::{Door, Lane},
    oracle::{Bits, Cell, cells, number_at},
    report::Tally,
};

/// What a range brought, by tag.
#[derive(Default)]
pub struct Answer {
    pub samples: BTreeMap<String, Vec<Cell>>,
    pub failures: Vec<TagFailure>,
    /// The status with which a Flight stream ended early.
    pub ended: Option<Status>,
}

/// Batches read in one request: bounds memory here and there.
const BATCHES_AT_ONCE: u64 = 1_024;

/// Reads the samples of a lane in a range of batches, through the door of the lane.
///
/// # Errors
/// The call failed as a whole.
pub async fn read(channel: &Channel, lane: &Lane, batches: &Range<u64>) -> Result<Answer, Status> {
    let times = lane.times(batches);
    match lane.door {
        Door::Grpc => read_grpc(channel, lane, times).await,
        Door::Flight => read_flight(channel, lane, times).await,
    }
}

pub async fn read_grpc(channel: &Channel, lane: &Lane, times: Range<i64>) -> Result<Answer, Status> {
    let mut client = QueryServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let request = RangeRequest {
        tags: vec![format!("{}/*", lane.prefix)],
        start: format!("{}ns", times.start),
        end: format!("{}ns", times.end),
        ..RangeRequest::default()
    };
    let mut stream = client.range(request).await?.into_inner();
    let mut answer = Answer::default();
    while let Some(part) = stream.message().await? {
        if let Some(samples) = part.samples {
            answer.samples.entry(samples.tag.clone()).or_default().extend(cells(&samples));
        }
        answer.failures.extend(part.failure);
    }
    Ok(answer)
}

async fn read_flight(channel: &Channel, lane: &Lane, times: Range<i64>) -> Result<Answer, Status> {
    let mut client = FlightServiceClient::new(channel.clone()).max_decoding_message_size(usize::MAX);
    let ticket = format!(r#"{{"range": {{"tags": ["{}/*"], "start": "{}ns", "end": "{}ns"}}}}"#, lane.prefix, times.start, times.end);
    let stream = client.do_get(Ticket { ticket: Bytes::from(ticket) }).await?.into_inner();
    let mut batches = FlightRecordBatchStream::new_from_flight_data(stream.map_err(|status| FlightError::Tonic(Box::new(status))));
    let mut answer = Answer::default();
    loop {
        let batch = match batches.try_next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(answer),
            Err(FlightError::Tonic(status)) if status.code() == Code::DataLoss => {
                answer.ended = Some(*status);
                return Ok(answer);
            }
            Err(FlightError::Tonic(status)) => return Err(*status),
            Err(error) => return Err(Status::data_loss(format!("the answer cannot be decoded: {error}"))),
        };
        let tags = batch.column(0).as_dictionary::<Int32Type>();
        let names = tags.values().as_string::<i32>();
        let times = batch.column(1).as_primitive::<TimestampNanosecondType>();
        let values = batch.column(2).as_primitive::<Float64Type>();
        let qualities = batch.column(3).as_primitive::<UInt32Type>();
        for row in 0..batch.num_rows() {
            let Some(tag) = tags.key(row) else { continue };
            let bits = if values.is_valid(row) { Bits::Number(values.value(row).to_bits()) } else { Bits::Null };
            let cell = Cell { timestamp: times.value(row), bits, quality: qualities.value(row) };
            answer.samples.entry(names.value(tag).to_owned()).or_default().push(cell);
        }
    }
}

/// Holds an answer against what was sent. `acked` are the batches of which every sample must be there.
///
/// A tag in `excused` may be short: it was reported as damaged. What of it was read must still be right.
pub fn hold(lane: &Lane, batches: &Range<u64>, acked: &BTreeSet<u64>, answer: &Answer, excused: &BTreeSet<String>) -> Tally {
    let mut tally = Tally::default();
    let known: BTreeSet<&str> = lane.tags.iter().map(|tag| tag.name.as_str()).collect();
    for (name, found) in answer.samples.iter().filter(|(name, _)| !known.contains(name.as_str())) {
        tally.phantom += found.len() as u64;
        tally.example(|| format!("tag {name} was never sent"));
    }
    for tag in &lane.tags {
        let found = answer.samples.get(&tag.name).map_or(&[][..], Vec::as_slice);
        let mut numbers = BTreeSet::new();
        let mut last = i64::MIN;
        for cell in found {
            if cell.timestamp <= last {
                tally.dup += 1;
                tally.example(|| format!("{}: {} comes after {last}", tag.name, cell.timestamp));
            }
            last = cell.timestamp;
            let sent = number_at(cell.timestamp)
                .filter(|number| batches.contains(&(number / lane.samples_per_batch)) && lane.was_sent(number / lane.samples_per_batch));
            match sent.map(|number| (number, tag.cell(number))) {
                Some((number, expected)) if expected == *cell => _ = numbers.insert(number),
                Some((number, expected)) => {
                    tally.phantom += 1;
                    tally.example(|| format!("{} sample {number}: {cell:?}, sent was {expected:?}", tag.name));
                }
                None => {
                    tally.phantom += 1;
                    tally.example(|| format!("{}: {cell:?} was never sent", tag.name));
                }
            }
        }
        if excused.contains(&tag.name) {
            continue;
        }
        for &batch in acked.range(batches.clone()) {
            let missing = lane.numbers(batch).filter(|number| !numbers.contains(number)).count() as u64;
            if missing > 0 {
                tally.lost += missing;
                tally.example(|| format!("{}: {missing} samples of acknowledged batch {batch} are missing or other", tag.name));
            }
        }
    }
    tally
}

/// Reads batches of all lanes and holds them against the ledgers; any failure to read is an error.
///
/// # Errors
/// The server did not answer, or reported damage.
pub async fn check(channel: &Channel, lanes: &[Arc<Lane>], from: &[u64]) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for lane in lanes {
        let end = lane.end();
        let mut start = from.get(lane.index).copied().unwrap_or(0);
        let none_acked = lane.acked_samples() == 0;
        while start < end {
            let batches = start..end.min(start + BATCHES_AT_ONCE);
            let acked = lane.acked_in(batches.clone()).into_iter().map(|(batch, _)| batch).collect();
            let answer = read(channel, lane, &batches).await?;
            // Before the first acknowledgement of a lane its tags need not exist.
            let failure = answer
                .failures
                .first()
                .map(|failure| Status::new(failure.code.into(), format!("tag {}: {}", failure.tag, failure.message)));
            if let Some(status) = failure.or(answer.ended.clone())
                && !(status.code() == Code::NotFound && none_acked)
            {
                return Err(status.into());
            }
            tally.add(hold(lane, &batches, &acked, &answer, &BTreeSet::new()));
            start = batches.end;
        }
    }
    Ok(tally)
}

/// One range must be the sum of its parts, in whatever place it is cut.
///
/// # Errors
/// The server did not answer.
pub async fn check_parts(channel: &Channel, lane: &Lane, batches: Range<u64>, cut: i64) -> anyhow::Result<Tally> {
    let times = lane.times(&batches);
    let cut = cut.clamp(times.start, times.end);
    let mut tally = Tally::default();
    let (whole, first, second) = (
        read_grpc(channel, lane, times.clone()).await?,
        read_grpc(channel, lane, times.start..cut).await?,
        read_grpc(channel, lane, cut..times.end).await?,
    );
    for tag in lane.tags.iter().map(|tag| &tag.name) {
        let all = whole.samples.get(tag).map_or(&[][..], Vec::as_slice);
        let parts: Vec<&Cell> = [&first, &second].into_iter().filter_map(|part| part.samples.get(tag)).flatten().collect();
        if !all.iter().eq(parts.iter().copied()) {
            tally.lost += (all.len().abs_diff(parts.len()) as u64).max(1);
            tally.example(|| format!("{tag}: {} samples, but {} when cut at {cut}", all.len(), parts.len()));
        }
    }
    Ok(tally)
}
