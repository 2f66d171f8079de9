//! How the calls of an attack ended: what may come of them, and what must not.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use arrow_flight::{FlightDescriptor, FlightInfo, sql::CommandStatementQuery, sql::ProstMessageExt};
use prost::Message;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::call::{Answer, Caller, Sent};

/// A call must have ended so long after its deadline.
pub const LATE_MAX: Duration = Duration::from_secs(1);
/// Who has not ended so long after it is not waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const FINDINGS_MAX: usize = 4;

/// What is asked.
pub enum Asked {
    /// One call of a method.
    Method(&'static str, Sent),
    /// A statement of SQL, which is planned, and then read.
    Statement(String),
}

/// When nobody wants the answer any more.
#[derive(Clone, Copy, Debug)]
pub enum Patience {
    /// The server is told when it must have ended.
    Deadline(Duration),
    /// The server is not told; the client goes.
    Gone(Duration),
}

/// A call of an attack.
pub struct Call {
    /// As findings name it.
    pub what: &'static str,
    pub asked: Asked,
    pub patience: Patience,
    /// It may be refused as `INVALID_ARGUMENT`: another one so refused would prove nothing.
    pub may_be_invalid: bool,
}

impl Call {
    pub fn new(what: &'static str, path: &'static str, sent: Sent, patience: Patience) -> Call {
        Call { what, asked: Asked::Method(path, sent), patience, may_be_invalid: false }
    }

    pub fn statement(what: &'static str, text: impl Into<String>, deadline: Duration) -> Call {
        Call { what, asked: Asked::Statement(text.into()), patience: Patience::Deadline(deadline), may_be_invalid: false }
    }

    #[must_use]
    pub fn or_invalid(self) -> Call {
        Call { may_be_invalid: true, ..self }
    }
}

/// Counts of the calls of an attack, and what must not be.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub answered: u64,
    pub gone: u64,
    pub refused: u64,
    /// Furthest end behind a deadline.
    pub late: Duration,
    pub findings: Vec<String>,
}

impl Outcomes {
    /// Makes all calls at once, shared out to the callers, until `stop`.
    pub async fn of(calls: Vec<Call>, callers: &[Caller], stop: &CancellationToken) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let mut running = JoinSet::new();
        for (call, caller) in calls.into_iter().zip(callers.iter().cycle()) {
            running.spawn(make(call, caller.clone()));
        }
        let mut found = BTreeMap::<String, u64>::new();
        loop {
            let ended = tokio::select! {
                ended = running.join_next() => ended,
                () = stop.cancelled() => None,
            };
            let ended = match ended {
                None => break,
                Some(Ok(ended)) => ended,
                Some(Err(error)) => {
                    *found.entry(format!("a call of ours: {error}")).or_default() += 1;
                    continue;
                }
            };
            outcomes.late = outcomes.late.max(ended.late);
            match ended.how {
                How::Answered => outcomes.answered += 1,
                How::Refused => outcomes.refused += 1,
                How::Gone => outcomes.gone += 1,
                How::Wrong(words) => *found.entry(format!("{}: {words}", ended.what)).or_default() += 1,
            }
        }
        let more = found.len().saturating_sub(FINDINGS_MAX);
        outcomes.findings = found.into_iter().take(FINDINGS_MAX).map(|(words, count)| format!("{count} × {words}")).collect();
        if more > 0 {
            outcomes.findings.push(format!("and {more} more kinds"));
        }
        outcomes
    }
}

struct Ended {
    what: &'static str,
    how: How,
    late: Duration,
}

enum How {
    Answered,
    Refused,
    Gone,
    Wrong(String),
}

async fn make(call: Call, caller: Caller) -> Ended {
    let Call { what, asked, patience, may_be_invalid } = call;
    let ended = match asked {
        Asked::Method(path, sent) => one(&caller, path, sent, patience).await,
        Asked::Statement(text) => statement(&caller, text, patience).await,
    };
    let how = match ended.answer {
        None => How::Gone,
        Some(Err(status)) => refusal(&status, may_be_invalid),
        Some(Ok(_)) => How::Answered,
    };
    match ended.late {
        late if late > LATE_MAX => Ended { what, how: How::Wrong(format!("ended more than {LATE_MAX:?} after its deadline")), late },
        late => Ended { what, how, late },
    }
}

fn refusal(status: &Status, may_be_invalid: bool) -> How {
    match status.code() {
        Code::ResourceExhausted | Code::DeadlineExceeded | Code::Cancelled => How::Refused,
        Code::InvalidArgument if may_be_invalid => How::Refused,
        code => How::Wrong(format!("{code:?}: {}", status.message().chars().take(160).collect::<String>())),
    }
}

/// A call that has ended, or was left.
struct Timed {
    /// None: the client went.
    answer: Option<Result<Answer, Status>>,
    late: Duration,
}

async fn one(caller: &Caller, path: &str, sent: Sent, patience: Patience) -> Timed {
    let begun = Instant::now();
    match patience {
        Patience::Gone(after) => {
            Timed { answer: tokio::time::timeout(after, caller.call(path, sent, None)).await.ok(), late: Duration::ZERO }
        }
        Patience::Deadline(deadline) => {
            let answer = tokio::time::timeout(deadline + PATIENCE, caller.call(path, sent, Some(deadline))).await.ok();
            Timed { answer, late: begun.elapsed().saturating_sub(deadline) }
        }
    }
}

async fn statement(caller: &Caller, text: String, patience: Patience) -> Timed {
    let command = CommandStatementQuery { query: text, transaction_id: None };
    let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
    let planned = one(caller, "/arrow.flight.protocol.FlightService/GetFlightInfo", Sent::message(&descriptor), patience).await;
    let Some(Ok(answer)) = &planned.answer else { return planned };
    if planned.late > LATE_MAX {
        return planned;
    }
    let info: FlightInfo = match answer.first() {
        Ok(info) => info,
        Err(status) => return Timed { answer: Some(Err(status)), late: planned.late },
    };
    let Some(ticket) = info.endpoint.into_iter().next().and_then(|endpoint| endpoint.ticket) else {
        return Timed { answer: Some(Err(Status::data_loss("a plan without a ticket"))), late: planned.late };
    };
    one(caller, "/arrow.flight.protocol.FlightService/DoGet", Sent::message(&ticket), patience).await
}
