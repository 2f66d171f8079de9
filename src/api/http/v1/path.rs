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
    /// It changes something: there is no GET.
    pub changes: bool,
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
        let allow = if self.changes { "POST" } else { "GET, POST" };
        PathFields { message, beside: self.beside, has_bounds: self.has_bounds, offered, allow }
    }

    fn of_kind(kind: &Kind) -> ApiPath {
        let (about, answers) = match kind.door {
            Door::Get => ("Rows of this kind of query", Answers::Rows(kind.name)),
            Door::Follow => ("Server-sent events: every sample that is written from now on", Answers::Events),
            Door::Exchange => ("What tags were at some times", Answers::Message(message::AS_OF, "historian.v1.AsOfResponse")),
        };
        let has_bounds = json::of_parameters(&(kind.message)(), &[("start".into(), String::new()), ("end".into(), String::new())]).is_ok();
        ApiPath { name: kind.name, about, message: kind.message, beside: &[], has_bounds, changes: false, answers }
    }

    fn of_call(name: &'static str, about: &'static str, message: fn() -> String, answers: (MessageCall, &'static str)) -> ApiPath {
        let answers = Answers::Message(answers.0, answers.1);
        ApiPath { name, about, message, beside: &[], has_bounds: false, changes: false, answers }
    }

    fn of_change(name: &'static str, about: &'static str, message: fn() -> String, answers: (MessageCall, &'static str)) -> ApiPath {
        ApiPath { changes: true, ..ApiPath::of_call(name, about, message, answers) }
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
            changes: false,
            answers: Answers::Plot,
        };
        let sql = ApiPath {
            name: "sql",
            about: "Rows of a SQL statement",
            // It has no fields of its own.
            message: v1::WhoAmIRequest::full_name,
            beside: &[sql::QUERY],
            has_bounds: false,
            changes: false,
            answers: Answers::Sql,
        };
        let tags = ApiPath {
            name: "tags",
            about: "Tags in the order of their names, a page at a time",
            message: v1::ListTagsRequest::full_name,
            beside: &[search::MATCH],
            has_bounds: false,
            changes: false,
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
                "collectors/tags",
                "State of collected tags, a page at a time",
                v1::ListTagStatusRequest::full_name,
                (message::TAG_STATUS, "historian.v1.ListTagStatusResponse"),
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
            ApiPath::of_call(
                "annotations",
                "Texts of people on tags, a page at a time",
                v1::ListAnnotationsRequest::full_name,
                (message::ANNOTATIONS, "historian.v1.ListAnnotationsResponse"),
            ),
            ApiPath::of_change(
                "annotations/create",
                "Puts a text on tags",
                v1::CreateAnnotationRequest::full_name,
                (message::CREATE_ANNOTATION, "historian.v1.CreateAnnotationResponse"),
            ),
            ApiPath::of_change(
                "annotations/update",
                "Makes the next version of an annotation",
                v1::UpdateAnnotationRequest::full_name,
                (message::UPDATE_ANNOTATION, "historian.v1.UpdateAnnotationResponse"),
            ),
            ApiPath::of_change(
                "annotations/delete",
                "Removes an annotation",
                v1::DeleteAnnotationRequest::full_name,
                (message::DELETE_ANNOTATION, "historian.v1.DeleteAnnotationResponse"),
            ),
            ApiPath::of_call(
                "views",
                "Views of trends, of the caller and shared ones, a page at a time",
                v1::ListViewsRequest::full_name,
                (message::VIEWS, "historian.v1.ListViewsResponse"),
            ),
            ApiPath::of_change(
                "views/save",
                "Keeps a view, or makes the next version of one",
                v1::SaveViewRequest::full_name,
                (message::SAVE_VIEW, "historian.v1.SaveViewResponse"),
            ),
            ApiPath::of_change(
                "views/delete",
                "Removes a view",
                v1::DeleteViewRequest::full_name,
                (message::DELETE_VIEW, "historian.v1.DeleteViewResponse"),
            ),
        ];
        KINDS.iter().map(ApiPath::of_kind).chain([plot, sql, tags]).chain(messages).collect()
    });
    &ALL
}
