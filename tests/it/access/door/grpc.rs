//! The methods of gRPC, but for those of Flight.

use historian_proto::v1::{
    self, CreateTagRequest, DeleteRangeRequest, DeleteTagRequest, ExportAuditLogRequest, GetAuditHeadRequest, GetTagRequest,
    InspectTagsRequest, ListAuditEntriesRequest, ListGapsRequest, ListTagsRequest, RenameTagRequest, ReplaceRangeRequest, RetypeTagRequest,
    Tag, TagFailure, TagSamples, UpdateTagRequest, ValueType, WriteRequest, WriteSamplesRequest, WriteSamplesResponse,
    WriteSamplesStreamRequest, WriteSamplesStreamResponse,
};
use prost::{Message, bytes::Bytes};
use tonic_health::pb::HealthCheckRequest;

use super::{About, Door, Need, Same};
use crate::access::plant::{samples, tag};

/// Far from the samples of the plant.
const ELSEWHERE: i64 = 1_700_000_000_000_000_000;

pub fn doors() -> Vec<Door> {
    let mut doors = tags();
    doors.extend(writes());
    doors.extend(queries());
    doors.extend(operation());
    doors
}

fn tags() -> Vec<Door> {
    const CREATE: &str = "historian.v1.TagService/CreateTag";
    const RENAME: &str = "historian.v1.TagService/RenameTag";
    const RETYPE: &str = "historian.v1.TagService/RetypeTag";
    let create = |name: String, value_type: ValueType| CreateTagRequest { tag: Some(Tag { value_type: value_type.into(), ..tag(&name) }) };
    let retype = |name: String, suffix: &str| RetypeTagRequest {
        name,
        value_type: ValueType::I64.into(),
        suffix: suffix.into(),
        ..RetypeTagRequest::default()
    };
    let rename = |name: String, suffix: &str| RenameTagRequest { new_name: format!("{name}{suffix}"), name, reason: String::new() };
    let list = |name: String| ListTagsRequest { tags: vec![name], ..ListTagsRequest::default() };
    vec![
        Door::method(CREATE, Need::Configure, About::NewTag, move |name| create(name, ValueType::F64))
            .absent("PermissionDenied")
            .same(Same::Code),
        Door::method(CREATE, Need::Configure, About::Tag, move |name| create(name, ValueType::F64))
            .variant("one that is there")
            .ok("AlreadyExists")
            .absent("PermissionDenied"),
        Door::method(CREATE, Need::Configure, About::Tag, move |name| create(name, ValueType::String))
            .variant("of another type")
            .ok("AlreadyExists")
            .absent("PermissionDenied"),
        Door::method("historian.v1.TagService/GetTag", Need::Read, About::Tag, |name| GetTagRequest { name }),
        Door::method("historian.v1.TagService/ListTags", Need::Read, About::Tag, list).absent("Ok").globs().same(Same::Lengths),
        Door::method("historian.v1.TagService/ListTags", Need::Read, About::Tag, |name| ListTagsRequest {
            tags: vec![name],
            page_size: 1,
            ..ListTagsRequest::default()
        })
        .variant("a page")
        .absent("Ok")
        .same(Same::Lengths),
        Door::method("historian.v1.TagService/UpdateTag", Need::Configure, About::Tag, |name| UpdateTagRequest {
            tag: Some(Tag { value_type: ValueType::F64.into(), ..tag(&name) }),
            update_mask: None,
            ..UpdateTagRequest::default()
        })
        .same(Same::Code),
        Door::method("historian.v1.TagService/UpdateTag", Need::Configure, About::Tag, |name| UpdateTagRequest {
            tag: Some(Tag { value_type: ValueType::String.into(), ..tag(&name) }),
            update_mask: None,
            ..UpdateTagRequest::default()
        })
        .variant("of another type")
        .ok("InvalidArgument"),
        Door::method(RENAME, Need::Configure, About::TagThatGoes, move |name| rename(name, "_now")).same(Same::Code),
        Door::method(RENAME, Need::Configure, About::Tag, move |name| rename(name, "/../")).variant("to no name").ok("InvalidArgument"),
        Door::method(RENAME, Need::Configure, About::Tag, move |name| rename(name, ""))
            .variant("to a name that is taken")
            .ok("AlreadyExists"),
        Door::method(RETYPE, Need::Configure, About::TagThatGoes, move |name| retype(name, "_before")).same(Same::Code),
        Door::method(RETYPE, Need::Configure, About::Tag, move |name| retype(name, "/../")).variant("to no name").ok("InvalidArgument"),
        Door::method("historian.v1.TagService/DeleteTag", Need::Configure, About::TagThatGoes, |name| DeleteTagRequest {
            name,
            ..DeleteTagRequest::default()
        }),
    ]
}

fn texts(name: &str) -> TagSamples {
    let column = v1::values::Column::String(v1::StringColumn { values: vec!["a text".into()] });
    TagSamples { values: Some(v1::Values { column: Some(column) }), ..samples(name, ELSEWHERE, 1, 0.0) }
}

fn numbers(name: &str) -> TagSamples {
    samples(name, ELSEWHERE, 1, 7.0)
}

type MakeSamples = fn(&str) -> TagSamples;

fn writes() -> Vec<Door> {
    const DELETE: &str = "historian.v1.WriteService/DeleteRange";
    const REPLACE: &str = "historian.v1.WriteService/ReplaceRange";
    const CREATE: WriteRequest = WriteRequest { mode: 0, durability: 0, create_tags: true };
    const ONLY: WriteRequest = WriteRequest { mode: 0, durability: 0, create_tags: false };
    let mut doors = Vec::new();
    let cases: [(&str, About, WriteRequest, MakeSamples, &str); 4] = [
        ("", About::Tag, ONLY, numbers, "Ok"),
        ("of another type", About::Tag, ONLY, texts, "InvalidArgument"),
        ("making tags", About::NewTag, CREATE, numbers, "Ok"),
        ("making tags, of another type", About::Tag, CREATE, texts, "InvalidArgument"),
    ];
    for (variant, about, options, make, ok) in cases {
        let once = Door::new("grpc historian.v1.WriteService/WriteSamples", Need::Write, about, move |client, name| {
            let request = WriteSamplesRequest { options: Some(options), samples: vec![make(&name)] };
            let failed = |answer: &Bytes| WriteSamplesResponse::decode(&answer[..]).ok()?.failures.pop();
            async move { client.ask("historian.v1.WriteService/WriteSamples", &request).await.lifted(failed) }
        });
        let streamed = Door::new("grpc historian.v1.WriteService/WriteSamplesStream", Need::Write, about, move |client, name| {
            let request = WriteSamplesStreamRequest { options: Some(options), samples: vec![make(&name)] };
            let failed = |answer: &Bytes| WriteSamplesStreamResponse::decode(&answer[..]).ok()?.failures.pop();
            async move { client.ask("historian.v1.WriteService/WriteSamplesStream", &request).await.lifted(failed) }
        });
        doors.extend([once, streamed].map(|door| door.variant(variant).ok(ok).absent("PermissionDenied")));
    }
    let bounds = || ((ELSEWHERE).to_string(), (ELSEWHERE + 1_000).to_string());
    let delete = move |name: String| {
        let (start, end) = bounds();
        DeleteRangeRequest { tags: vec![name], start, end, zone: String::new(), reason: "a test".into() }
    };
    let replace = move |samples: TagSamples| {
        let (start, end) = bounds();
        ReplaceRangeRequest { start, end, zone: String::new(), reason: "a test".into(), samples: vec![samples] }
    };
    doors.push(Door::method(DELETE, Need::Correct, About::Tag, delete).same(Same::Code));
    doors.push(Door::method(REPLACE, Need::Correct, About::Tag, move |name| replace(numbers(&name))).same(Same::Code));
    let texts = Door::method(REPLACE, Need::Correct, About::Tag, move |name| replace(texts(&name)));
    doors.push(texts.variant("of another type").ok("InvalidArgument"));
    doors
}

/// The failure in an answer of the service of queries, where it is one of a tag.
fn failure(method: &str, answer: &Bytes) -> Option<TagFailure> {
    fn read<A: Message + Default>(answer: &Bytes) -> Option<A> {
        A::decode(&answer[..]).ok()
    }
    match method {
        "Range" => read::<v1::RangeResponse>(answer)?.failure,
        "Superseded" => read::<v1::SupersededResponse>(answer)?.failure,
        "Aggregate" => read::<v1::AggregateResponse>(answer)?.failure,
        "Downsample" => read::<v1::DownsampleResponse>(answer)?.failure,
        "Anomalies" => read::<v1::AnomaliesResponse>(answer)?.failure,
        "Measure" => read::<v1::MeasureResponse>(answer)?.failure,
        "CurrentValues" => read::<v1::CurrentValuesResponse>(answer)?.failures.pop(),
        "AsOf" => read::<v1::AsOfResponse>(answer)?.failures.pop(),
        _ => None,
    }
}

fn queries() -> Vec<Door> {
    let mut doors: Vec<Door> = historian::api::kind::KINDS
        .iter()
        .map(|kind| {
            let (name, method) = (kind.name, kind.method);
            let door = Door::new(format!("grpc historian.v1.QueryService/{method}"), Need::Read, About::Tag, move |client, tag| {
                let body = super::listed::body(name, &tag, true);
                let request = super::listed::request(name, body);
                async move {
                    let enough = |answer: &Bytes| name == "subscribe" && super::flight::has_pulse(answer);
                    let outcome = client.raw(&format!("historian.v1.QueryService/{method}"), vec![request], enough).await;
                    outcome.lifted(|answer| failure(method, answer))
                }
            });
            // Subscriptions wait for tags that are made later.
            if name == "subscribe" { door.absent("Ok").globs() } else { door.globs() }
        })
        .collect();
    doors.push(Door::method("historian.v1.QueryService/ListDetectors", Need::Known, About::Nothing, |_| v1::ListDetectorsRequest {}));
    doors
}

fn operation() -> Vec<Door> {
    let first = |_: &Bytes| true;
    // A request for the list of services.
    let reflection = |method: &'static str| {
        Door::new(format!("grpc {method}"), Need::Known, About::Nothing, move |client, _| async move {
            client.raw(method, vec![Bytes::from_static(&[0x3a, 0])], |_| false).await
        })
    };
    let administer = |door: Door| door.same(Same::Code);
    vec![
        Door::method("grpc.health.v1.Health/Check", Need::Open, About::Nothing, |_| HealthCheckRequest::default()),
        Door::new("grpc grpc.health.v1.Health/Watch", Need::Open, About::Nothing, move |client, _| async move {
            client.raw("grpc.health.v1.Health/Watch", vec![super::bytes(&HealthCheckRequest::default())], first).await
        }),
        reflection("grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
        reflection("grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"),
        // A text on a tag of which one may not know is a text on no tag.
        Door::method("historian.v1.AnnotationService/CreateAnnotation", Need::Write, About::Tag, |name| v1::CreateAnnotationRequest {
            tags: vec![name],
            start: "2026-01-01T00:00:00Z".into(),
            text: "a test".into(),
            ..v1::CreateAnnotationRequest::default()
        })
        .same(Same::Code),
        Door::method("historian.v1.AnnotationService/UpdateAnnotation", Need::Write, About::Nothing, |_| v1::UpdateAnnotationRequest {
            id: u64::MAX,
            ..v1::UpdateAnnotationRequest::default()
        })
        .ok("NotFound"),
        Door::method("historian.v1.AnnotationService/DeleteAnnotation", Need::Write, About::Nothing, |_| v1::DeleteAnnotationRequest {
            id: u64::MAX,
            version: 0,
        })
        .ok("NotFound"),
        Door::method("historian.v1.AnnotationService/ListAnnotations", Need::Read, About::Tag, |name| v1::ListAnnotationsRequest {
            tags: vec![name],
            ..v1::ListAnnotationsRequest::default()
        })
        .globs()
        .same(Same::Lengths),
        Door::method("historian.v1.ViewService/SaveView", Need::Read, About::Nothing, |_| v1::SaveViewRequest {
            id: u64::MAX,
            name: "a test".into(),
            content: "tag=a".into(),
            ..v1::SaveViewRequest::default()
        })
        .ok("NotFound"),
        Door::method("historian.v1.ViewService/DeleteView", Need::Read, About::Nothing, |_| v1::DeleteViewRequest { id: u64::MAX })
            .ok("NotFound"),
        Door::method("historian.v1.ViewService/ListViews", Need::Read, About::Nothing, |_| v1::ListViewsRequest::default())
            .same(Same::Lengths),
        Door::method("historian.v1.AccessService/WhoAmI", Need::Known, About::Nothing, |_| v1::WhoAmIRequest {}),
        Door::method("historian.v1.CollectorService/GetStatus", Need::Read, About::Nothing, |_| v1::GetStatusRequest {}),
        Door::method("historian.v1.CollectorService/ListTagStatus", Need::Read, About::Nothing, |_| v1::ListTagStatusRequest::default())
            .same(Same::Lengths),
        administer(Door::method("historian.v1.AdminService/GetServerStatus", Need::Administer, About::Nothing, |_| {
            v1::GetServerStatusRequest {}
        })),
        administer(Door::method("historian.v1.AdminService/Compact", Need::Administer, About::Nothing, |_| v1::CompactRequest {})),
        administer(Door::method("historian.v1.AdminService/Reload", Need::Administer, About::Nothing, |_| v1::ReloadRequest {})),
        administer(Door::method("historian.v1.AdminService/CreateBackup", Need::Administer, About::Nothing, |_| {
            v1::CreateBackupRequest::default()
        })),
        administer(Door::method("historian.v1.AdminService/ListBackups", Need::Administer, About::Nothing, |_| v1::ListBackupsRequest {})),
        administer(Door::method("historian.v1.AdminService/VerifyBackup", Need::Administer, About::Nothing, |_| {
            v1::VerifyBackupRequest::default()
        })),
        administer(Door::method("historian.v1.AdminService/Scrub", Need::Administer, About::Nothing, |_| v1::ScrubRequest::default())),
        administer(Door::method("historian.v1.AdminService/InspectTags", Need::Administer, About::Nothing, |_| InspectTagsRequest {
            tags: vec!["**".into()],
            chunks: true,
        })),
        administer(Door::method("historian.v1.AdminService/ListAuditEntries", Need::Audit, About::Nothing, |_| {
            ListAuditEntriesRequest::default()
        })),
        administer(Door::method("historian.v1.AdminService/GetAuditHead", Need::Audit, About::Nothing, |_| GetAuditHeadRequest {})),
        administer(Door::method("historian.v1.AdminService/ExportAuditLog", Need::Audit, About::Nothing, |_| {
            ExportAuditLogRequest::default()
        })),
        Door::method("historian.v1.AdminService/ListGaps", Need::Read, About::Nothing, |_| ListGapsRequest::default())
            .globs()
            .same(Same::Lengths),
    ]
}
