//! What belongs to somebody stays his: tickets are authorised again, prepared statements and running ones are of who made them, tokens end when
//! they are revoked, and the audit log names who did what.

use std::{
    fs,
    time::{Duration, Instant},
};

use arrow_flight::{Action, CancelFlightInfoRequest, CancelFlightInfoResult, FlightDescriptor, FlightInfo, Ticket};
use bytes::Bytes;
use historian::{
    access::{AccessFile, Grant, NewToken, Role},
    model::{Clock, SystemClock, Timestamp},
};
use historian_proto::v1::{
    DeleteRangeRequest, DeleteTagRequest, GetServerStatusRequest, GetTagRequest, ListAuditEntriesRequest, ListAuditEntriesResponse,
    RenameTagRequest, ReplaceRangeRequest, RetypeTagRequest, Tag, UpdateTagRequest, ValueType, WriteRequest, WriteSamplesRequest,
    WriteSamplesStreamRequest, write_service_client::WriteServiceClient,
};
use prost::Message;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{
    call::{Client, Outcome},
    door::{flight, listed, sql},
    plant::{Plant, Tags, Who, samples, tag},
};
use crate::support::historian::serve;

/// Within this time a change of the tokens holds, on a machine that has much to do.
pub const HOLDS_WITHIN: Duration = Duration::from_secs(15);

/// What the calls are asked that only have to be answered.
const GET_TAG: &str = "historian.v1.TagService/GetTag";

async fn get_tag(client: &Client) -> Outcome {
    client.ask(GET_TAG, &GetTagRequest { name: "seen/here".into() }).await
}

/// Asks until the answer has a code.
pub async fn until(code: &str, mut ask: impl AsyncFnMut() -> Outcome) -> Outcome {
    let begun = Instant::now();
    loop {
        let outcome = ask().await;
        if outcome.code == code {
            return outcome;
        }
        assert!(begun.elapsed() < HOLDS_WITHIN, "after {HOLDS_WITHIN:?} still {} {:?}, and not {code}", outcome.code, outcome.message);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn info(client: &Client, descriptor: &FlightDescriptor) -> FlightInfo {
    client.get(flight::GET_FLIGHT_INFO, descriptor).await
}

#[test]
fn a_ticket_of_somebody_who_sees_more_shows_no_more() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let (admin, reader) = (plant.client(Who::Admin), plant.client(Who::SeenReader));
        let kinds = ["range", "current", "aggregate", "downsample", "anomalies", "measure", "superseded"];
        for kind in kinds {
            for (name, is_hidden) in [("hidden/here", true), ("seen/here", false)] {
                let command = listed::command(kind, listed::body(kind, name, false));
                let info = info(&admin, &FlightDescriptor::new_cmd(command)).await;
                for endpoint in info.endpoint {
                    let outcome = reader.ask(flight::DO_GET, &endpoint.ticket.unwrap()).await;
                    assert_eq!(outcome.code, if is_hidden { "NotFound" } else { "Ok" }, "{kind} {name}: {}", outcome.message);
                    // The same as of a ticket that one writes oneself, about a tag that there is not.
                    if is_hidden {
                        let gone = listed::command(kind, listed::body(kind, "hidden/gone", false));
                        let gone = reader.ask(flight::DO_GET, &Ticket::new(gone)).await;
                        assert_eq!(outcome.difference(&gone.renamed("hidden/gone", "hidden/here")), None, "{kind}");
                    }
                }
            }
            // Of all tags: with their names, or as the glob that it was.
            let command = listed::command(kind, listed::body(kind, "**", false));
            for endpoint in info(&admin, &FlightDescriptor::new_cmd(command)).await.endpoint {
                let outcome = reader.ask(flight::DO_GET, &endpoint.ticket.unwrap()).await;
                let rows: usize = outcome.messages().iter().map(Bytes::len).sum();
                assert!(!outcome.is_ok() || !outcome.shows("hidden"), "{kind}: {rows} bytes, {:?}", outcome.around("hidden"));
            }
        }
        for path in [vec!["hidden", "here"], vec!["tags", "hidden", "here"]] {
            let info = info(&admin, &FlightDescriptor::new_path(path.into_iter().map(str::to_owned).collect())).await;
            let outcome = reader.ask(flight::DO_GET, &info.endpoint[0].ticket.clone().unwrap()).await;
            assert_eq!(outcome.code, "NotFound", "{}", outcome.message);
        }
        // A statement is planned again, as of who fetches it.
        let ticket = sql::ticket(&sql::planned(&admin, "SELECT DISTINCT tag FROM samples ORDER BY tag").await).unwrap();
        let outcome = reader.ask(flight::DO_GET, &ticket).await;
        assert!(outcome.is_ok() && outcome.shows("seen/here") && !outcome.shows("hidden"), "{outcome:?}");
        assert!(admin.ask(flight::DO_GET, &ticket).await.shows("hidden/here"));
    });
}

#[test]
fn a_prepared_statement_is_not_there_for_others() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let owner = plant.client(Who::Reader);
        let handle = sql::prepare(&owner, "SELECT tag, value FROM samples WHERE tag = ? ORDER BY timestamp").await.unwrap();
        assert!(sql::bind(&owner, handle.clone(), "hidden/here").await.is_ok());
        let answered = sql::execute(&owner, handle.clone()).await;
        assert!(answered.shows("hidden/here"), "{answered:?}");
        for who in [Who::SeenReader, Who::SeenEngineer, Who::Engineer, Who::Admin] {
            let other = plant.client(who);
            let none = Bytes::from_static(b"0123456789abcdef");
            let [executed, of_none] = [sql::execute(&other, handle.clone()).await, sql::execute(&other, none.clone()).await];
            assert_eq!((executed.code.as_str(), executed.difference(&of_none)), ("NotFound", None), "{who:?}");
            let [bound, of_none] =
                [sql::bind(&other, handle.clone(), "seen/here").await, sql::bind(&other, none.clone(), "seen/here").await];
            assert_eq!((bound.code.as_str(), bound.difference(&of_none)), ("NotFound", None), "{who:?}");
            let [closed, of_none] = [sql::close(&other, handle.clone()).await, sql::close(&other, none).await];
            assert_eq!(closed.difference(&of_none), None, "{who:?}");
            assert_eq!(sql::execute(&owner, handle.clone()).await.difference(&answered), None, "after {who:?}");
        }
        assert!(sql::close(&owner, handle.clone()).await.is_ok());
        assert_eq!(sql::execute(&owner, handle).await.code, "NotFound");
    });
}

#[test]
fn a_running_statement_is_cancelled_by_its_principal_only() {
    const ENDLESS: &str = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t";
    const CANCELLED: i32 = 1;
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let (owner, admin) = (plant.client(Who::Reader), plant.client(Who::Admin));
        let planned = sql::planned(&owner, ENDLESS).await;
        let (info, ticket) = (planned.messages()[0].clone(), sql::ticket(&planned).unwrap());
        let running = tokio::spawn({
            let owner = owner.clone();
            async move { owner.ask(flight::DO_GET, &ticket).await }
        });
        let is_running = || admin.http("/metrics").shows("historian_sql_statements_running 1");
        let begun = Instant::now();
        while !is_running() {
            assert!(begun.elapsed() < HOLDS_WITHIN && !running.is_finished(), "it does not run");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let cancel = async |client: &Client| {
            let request = CancelFlightInfoRequest { info: Some(FlightInfo::decode(info.clone()).unwrap()) };
            let action = Action { r#type: "CancelFlightInfo".into(), body: request.encode_to_vec().into() };
            let outcome = client.ask("arrow.flight.protocol.FlightService/DoAction", &action).await;
            assert!(outcome.is_ok(), "{}", outcome.message);
            let result = arrow_flight::Result::decode(outcome.messages()[0].clone()).unwrap();
            CancelFlightInfoResult::decode(result.body).unwrap().status
        };
        for who in [Who::SeenReader, Who::SeenEngineer, Who::Engineer, Who::Admin] {
            let other = plant.client(who);
            assert_ne!(cancel(&other).await, CANCELLED, "{who:?}");
            let older = sql::cancel_query(&other, info.clone()).await;
            // The same as of a statement that does not run.
            let none = sql::cancel_query(&other, FlightInfo::new().encode_to_vec().into()).await;
            assert_eq!(older.difference(&none), None, "{who:?}");
        }
        assert!(is_running() && !running.is_finished(), "somebody else has ended it");
        assert_eq!(cancel(&owner).await, CANCELLED);
        let ended = tokio::time::timeout(HOLDS_WITHIN, running).await.expect("it ends").unwrap();
        assert_ne!(ended.code, "Ok");
    });
}

fn reader(name: &str, expires: Option<Timestamp>) -> NewToken {
    NewToken { name: name.into(), grants: vec![Grant { role: Role::Reader, tags: Vec::new() }], expires }
}

#[test]
fn a_token_that_is_revoked_or_expires_ends_within_seconds() {
    Runtime::new().unwrap().block_on(async {
        let mut plant = Plant::start(Tags::SeenAndHidden).await;
        let refused = get_tag(&plant.client(Who::Unknown)).await;
        let (file, now) = (plant.access_file(), SystemClock.now());
        let made = AccessFile::create_token(&file, reader("leaver", None), now).unwrap();
        let leaver = plant.nobody.with(Some(&made.secret));
        until("Ok", async || get_tag(&leaver).await).await;
        AccessFile::revoke(&file, "leaver", now).unwrap();
        let ended = until("Unauthenticated", async || get_tag(&leaver).await).await;
        assert_eq!(ended.difference(&refused), None);

        let expires = Timestamp(SystemClock.now().0 + 5_000_000_000);
        let made = AccessFile::create_token(&file, reader("guest", Some(expires)), now).unwrap();
        let guest = plant.nobody.with(Some(&made.secret));
        until("Ok", async || get_tag(&guest).await).await;
        let ended = until("Unauthenticated", async || get_tag(&guest).await).await;
        assert!(SystemClock.now() >= expires);
        assert_eq!(ended.difference(&refused), None);

        // Who takes the file away opens nothing.
        fs::remove_file(&file).unwrap();
        plant
            .historian
            .wait("told of the tokens that are gone", |historian| historian.log().contains("tokens and grants cannot be read again"));
        assert_eq!(get_tag(&plant.nobody).await.code, "Unauthenticated");
        assert_eq!(get_tag(&plant.client(Who::Reader)).await.code, "Ok");
    });
}

/// A subscription has no end of its own.
#[test]
fn a_subscription_of_a_token_that_is_revoked_ends() {
    const ENDS_WITHIN: Duration = Duration::from_mins(1);
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let (file, now) = (plant.access_file(), SystemClock.now());
        let made = AccessFile::create_token(&file, reader("follower", None), now).unwrap();
        let follower = plant.nobody.with(Some(&made.secret));
        until("Ok", async || get_tag(&follower).await).await;
        let subscription = tokio::spawn({
            let ticket: Bytes = Ticket::new(r#"{"subscribe": {"tags": ["**"], "current": true}}"#).encode_to_vec().into();
            let follower = follower.clone();
            async move { follower.raw_for(ENDS_WITHIN, flight::DO_GET, vec![ticket]).await }
        });
        AccessFile::revoke(&file, "follower", now).unwrap();
        until("Unauthenticated", async || get_tag(&follower).await).await;
        // At a time that nothing else has.
        let after: i64 = 1_771_234_567_891_234_567;
        plant.write("seen/here", after, 1, 8.0).await;
        let ended = subscription.await.unwrap();
        assert_eq!(ended.code, "Unauthenticated", "{}", ended.message);
        assert!(ended.shows("seen/here"), "it had begun");
        let shown = ended.messages().iter().any(|message| message.windows(8).any(|window| window == after.to_le_bytes()));
        assert!(!shown, "what was written afterwards is shown");
    });
}

/// Nor has a stream of writes.
#[test]
fn a_stream_of_writes_of_a_token_that_is_revoked_takes_nothing_more() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let (file, now) = (plant.access_file(), SystemClock.now());
        let grants = vec![Grant { role: Role::Writer, tags: Vec::new() }];
        let made = AccessFile::create_token(&file, NewToken { grants, ..reader("gateway", None) }, now).unwrap();
        let gateway = plant.nobody.with(Some(&made.secret));
        let write = |at: i64| WriteSamplesStreamRequest { options: None, samples: vec![samples("seen/here", at, 1, 3.0)] };
        let once = async || gateway.ask("historian.v1.WriteService/WriteSamplesStream", &write(1_700_000_000_000_000_000)).await;
        until("Ok", once).await;
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let requests = futures::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
        let mut request = tonic::Request::new(requests);
        *request.metadata_mut() = gateway.headers();
        sender.send(write(1_700_000_001_000_000_000)).await.unwrap();
        let mut answers = WriteServiceClient::new(gateway.channel()).write_samples_stream(request).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().samples, 1);
        AccessFile::revoke(&file, "gateway", now).unwrap();
        until("Unauthenticated", once).await;
        // It may have been ended already.
        let _ = sender.send(write(1_700_000_002_000_000_000)).await;
        let refused = tokio::time::timeout(HOLDS_WITHIN, answers.message()).await.expect("it is answered");
        assert_eq!(refused.expect_err("nothing more is taken").code(), tonic::Code::Unauthenticated);
    });
}

#[test]
fn the_first_token_closes_a_historian_that_was_open() {
    Runtime::new().unwrap().block_on(async {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        let historian = serve(&data, &[]);
        let nobody = Client::to(&historian).await;
        let status = async |client: &Client| client.ask("historian.v1.AdminService/GetServerStatus", &GetServerStatusRequest {}).await;
        assert!(status(&nobody).await.is_ok() && nobody.http("/metrics").is_ok());
        // A token that nobody asks for does no harm.
        assert!(status(&nobody.with(Some("anything"))).await.is_ok());
        let subscription = tokio::spawn({
            let (nobody, ticket) = (nobody.clone(), Ticket::new(r#"{"subscribe": {"tags": ["**"]}}"#).encode_to_vec().into());
            async move { nobody.raw_for(HOLDS_WITHIN, flight::DO_GET, vec![ticket]).await }
        });
        let new = NewToken { name: "root".into(), grants: vec![Grant { role: Role::Admin, tags: Vec::new() }], expires: None };
        let made = AccessFile::create_token(&AccessFile::in_directory(&data), new, SystemClock.now()).unwrap();
        until("Unauthenticated", async || status(&nobody).await).await;
        let root = nobody.with(Some(&made.secret));
        assert!(status(&root).await.is_ok());
        // What began before ends with the next that it would show.
        let (options, samples) =
            (Some(WriteRequest { create_tags: true, ..WriteRequest::default() }), vec![samples("seen/here", 1, 1, 1.0)]);
        assert!(root.ask("historian.v1.WriteService/WriteSamples", &WriteSamplesRequest { options, samples }).await.is_ok());
        let ended = subscription.await.unwrap();
        assert_eq!(ended.code, "Unauthenticated", "{}", ended.message);
        assert!(!ended.shows("seen/here"), "{ended:?}");
        assert_eq!(nobody.http("/metrics").code, "401");
        assert_eq!(nobody.http("/readyz").code, "200");
    });
}

#[test]
fn the_audit_log_names_the_token_of_who_changed_something() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let (engineer, auditor) = (plant.client(Who::SeenEngineer), plant.client(Who::Auditor));
        let log = async || {
            let request = ListAuditEntriesRequest::default();
            auditor.get::<ListAuditEntriesResponse>("historian.v1.AdminService/ListAuditEntries", &request).await.entries
        };
        let before = log().await.len();
        let (start, end, reason) = ("1767225600000000000".to_owned(), "1767225601000000000".to_owned(), "a test".to_owned());
        let delete = DeleteRangeRequest {
            tags: vec!["seen/here".into()],
            start: start.clone(),
            end: end.clone(),
            reason: reason.clone(),
            ..DeleteRangeRequest::default()
        };
        let replace = ReplaceRangeRequest {
            start,
            end,
            reason,
            samples: vec![samples("seen/more", 1_767_225_600_000_000_000, 1, 9.0)],
            ..ReplaceRangeRequest::default()
        };
        let update = UpdateTagRequest {
            tag: Some(Tag { description: "another".into(), ..tag("seen/here") }),
            update_mask: None,
            ..UpdateTagRequest::default()
        };
        let rename = RenameTagRequest { name: "seen/zz_before".into(), new_name: "seen/renamed".into(), reason: "a test".into() };
        let retype = RetypeTagRequest {
            name: "seen/zz".into(),
            value_type: ValueType::I64.into(),
            suffix: "_before".into(),
            ..RetypeTagRequest::default()
        };
        let outcomes = [
            ("seen/here", engineer.ask("historian.v1.WriteService/DeleteRange", &delete).await),
            ("seen/more", engineer.ask("historian.v1.WriteService/ReplaceRange", &replace).await),
            ("seen/here", engineer.ask("historian.v1.TagService/UpdateTag", &update).await),
            ("seen/zz", engineer.ask("historian.v1.TagService/RetypeTag", &retype).await),
            ("seen/zz_before", engineer.ask("historian.v1.TagService/RenameTag", &rename).await),
            (
                "seen/renamed",
                engineer
                    .ask(
                        "historian.v1.TagService/DeleteTag",
                        &DeleteTagRequest { name: "seen/renamed".into(), ..DeleteTagRequest::default() },
                    )
                    .await,
            ),
        ];
        for (name, outcome) in &outcomes {
            assert!(outcome.is_ok(), "{name}: {} {}", outcome.code, outcome.message);
        }
        // What was refused is no change.
        let refused = DeleteTagRequest { name: "hidden/here".into(), ..DeleteTagRequest::default() };
        assert_eq!(engineer.ask("historian.v1.TagService/DeleteTag", &refused).await.code, "NotFound");
        let entries = log().await.split_off(before);
        assert!(entries.len() >= outcomes.len(), "{entries:#?}");
        for entry in &entries {
            assert_eq!(entry.principal, "token:seenengineer", "{entry:?}");
            assert!(entry.tags.iter().all(|tag| tag.starts_with("seen/")), "{entry:?}");
        }
        for (name, _) in outcomes {
            assert!(entries.iter().any(|entry| entry.tags.iter().any(|tag| tag == name)), "{name}: {entries:#?}");
        }
    });
}

#[test]
fn a_tag_is_renamed_neither_out_of_nor_into_what_the_caller_may_not_change() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let engineer = plant.client(Who::SeenEngineer);
        let rename = async |name: &str, new_name: &str| {
            let request = RenameTagRequest { name: name.into(), new_name: new_name.into(), reason: String::new() };
            engineer.ask("historian.v1.TagService/RenameTag", &request).await
        };
        // Whether or not there are tags of these names, and of the same words but for them.
        let out =
            [rename("seen/here", "hidden/here").await, rename("seen/here", "hidden/none").await.renamed("hidden/none", "hidden/here")];
        assert_eq!((out[0].code.as_str(), out[0].difference(&out[1])), ("PermissionDenied", None));
        let into = [rename("hidden/here", "seen/new").await, rename("hidden/none", "seen/new").await.renamed("hidden/none", "hidden/here")];
        assert_eq!((into[0].code.as_str(), into[0].difference(&into[1])), ("NotFound", None));
        let reader = RenameTagRequest { name: "seen/here".into(), new_name: "seen/new".into(), reason: String::new() };
        let refused = plant.client(Who::SeenReader).ask("historian.v1.TagService/RenameTag", &reader).await;
        assert_eq!(refused.code, "PermissionDenied");
        assert_eq!(rename("seen/here", "seen/more").await.code, "AlreadyExists");

        assert!(rename("seen/here", "seen/new").await.is_ok());
        assert_eq!(rename("seen/here", "seen/newer").await.code, "NotFound");
    });
}
