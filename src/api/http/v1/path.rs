//! The paths of the API: what each takes and answers. The router, the description and the tests walk this list.

use std::sync::LazyLock;

use historian_proto::{json, v1};
use prost::Name as _;

use super::{
    asked::PathFields,
    message::{self, MessageCall},
    offered::OfferedForms,
    plot, search, sql,
};
use crate::kind::{Door, KINDS, Kind};

/// What a path answers.
#[derive(Clone, Copy)]
pub enum Answers {
    /// Rows of a kind of query.
    Rows(&'static str),
    Plot,
    Sql,
    /// Events without an end.
    Events,
    /// The list of tags.
    Tags,
    /// A message, of this name.
    Message(MessageCall, &'static str),
}

/// A path.
pub struct ApiPath {
    /// Behind `/api/v1/`.
    pub name: &'static str,
    /// What it is for, in a line.
    pub about: &'static str,
    /// Full name of its request.
    pub message: fn() -> String,
    /// Fields beside those of the request.
    pub beside: &'static [&'static str],
    pub has_bounds: bool,
    pub answers: Answers,
}

impl ApiPath {
    /// How its requests are read; `message` is the name of the request.
    pub fn fields<'a>(&self, message: &'a str) -> PathFields<'a> {
        let offered = match self.answers {
            Answers::Rows(_) | Answers::Plot | Answers::Sql => OfferedForms::Rows,
            Answers::Events => OfferedForms::Events,
            Answers::Tags | Answers::Message(..) => OfferedForms::Message,
        };
        PathFields { message, beside: self.beside, has_bounds: self.has_bounds, offered, allow: "GET, POST" }
    }

    fn of_kind(kind: &Kind) -> ApiPath {
        let (about, answers) = match kind.door {
            Door::Get => ("Rows of this kind of query", Answers::Rows(kind.name)),
            Door::Follow => ("Server-sent events: every sample that is written from now on", Answers::Events),
            Door::Exchange => ("What tags were at some times", Answers::Message(message::AS_OF, "historian.v1.AsOfResponse")),
        };
        let has_bounds = json::of_parameters(&(kind.message)(), &[("start".into(), String::new()), ("end".into(), String::new())]).is_ok();
        ApiPath { name: kind.name, about, message: kind.message, beside: &[], has_bounds, answers }
    }

    fn of_call(name: &'static str, about: &'static str, message: fn() -> String, answers: (MessageCall, &'static str)) -> ApiPath {
        ApiPath { name, about, message, beside: &[], has_bounds: false, answers: Answers::Message(answers.0, answers.1) }
    }
}

/// Every path, those of the kinds of query first.
pub fn paths() -> &'static [ApiPath] {
    static ALL: LazyLock<Vec<ApiPath>> = LazyLock::new(|| {
        let plot = ApiPath {
            name: "plot",
            about: "Ranges reduced for a chart of so many points, or with so many milliseconds between two",
            message: v1::DownsampleRequest::full_name,
            beside: &[plot::INTERVAL_MS],
            has_bounds: true,
            answers: Answers::Plot,
        };
        let sql = ApiPath {
            name: "sql",
            about: "Rows of a SQL statement",
            // It has no fields of its own.
            message: v1::WhoAmIRequest::full_name,
            beside: &[sql::QUERY],
            has_bounds: false,
            answers: Answers::Sql,
        };
        let tags = ApiPath {
            name: "tags",
            about: "Tags in the order of their names, a page at a time",
            message: v1::ListTagsRequest::full_name,
            beside: &[search::MATCH],
            has_bounds: false,
            answers: Answers::Tags,
        };
        let messages = [
            ApiPath::of_call(
                "collectors",
                "State of every configured device",
                v1::GetStatusRequest::full_name,
                (message::COLLECTORS, "historian.v1.GetStatusResponse"),
            ),
            ApiPath::of_call(
                "gaps",
                "Times in which nothing was collected",
                v1::ListGapsRequest::full_name,
                (message::GAPS, "historian.v1.ListGapsResponse"),
            ),
            ApiPath::of_call(
                "detectors",
                "Detectors of anomalies and their parameters",
                v1::ListDetectorsRequest::full_name,
                (message::DETECTORS, "historian.v1.ListDetectorsResponse"),
            ),
            ApiPath::of_call(
                "status",
                "State of the historian",
                v1::GetServerStatusRequest::full_name,
                (message::STATUS, "historian.v1.GetServerStatusResponse"),
            ),
            ApiPath::of_call(
                "backups",
                "Backups that there are",
                v1::ListBackupsRequest::full_name,
                (message::BACKUPS, "historian.v1.ListBackupsResponse"),
            ),
            ApiPath::of_call(
                "audit",
                "Entries of the audit log",
                v1::ListAuditEntriesRequest::full_name,
                (message::AUDIT, "historian.v1.ListAuditEntriesResponse"),
            ),
            ApiPath::of_call(
                "whoami",
                "Who calls, and what they may",
                v1::WhoAmIRequest::full_name,
                (message::WHO_AM_I, "historian.v1.WhoAmIResponse"),
            ),
        ];
        KINDS.iter().map(ApiPath::of_kind).chain([plot, sql, tags]).chain(messages).collect()
    });
    &ALL
}
