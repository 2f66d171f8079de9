//! Every method of every service, called by who may and by who may not, with every way of showing a token; and SQL with secrets in its text and
//! in its parameters. What errors say is a place.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use arrow_flight::sql::client::FlightSqlServiceClient;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::TryStreamExt;
use historian_proto::json;
use historian_test_support::program::Historian;
use tonic::Status;

use super::{
    canary::Kind,
    place::Place,
    site::{BROKEN_STATEMENT, COOKIE, OF_PROXY, PARAMETER, SAMPLE, STATEMENT, Site, WRONG_TOKEN},
};
use crate::{
    attack::call::{Caller, Sent},
    doors,
    honest::ATTACKER,
};

/// An endless answer is looked at for so long.
const GLANCE: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(20);

/// Calls everything over a connection without TLS.
///
/// # Errors
/// A message cannot be made, or what must be answered is not.
pub async fn call(site: &Site, historian: &Historian) -> anyhow::Result<Vec<Place>> {
    let mut told = Told::default();
    let caller = Caller::new(historian.grpc, ATTACKER);
    let wrong = format!("hst_{}", site.text(WRONG_TOKEN));
    let good = [("authorization", format!("Bearer {}", site.boss))];
    write(&caller.saying(&good), site).await?;

    let doors = doors::services()?;
    for headers in
        [good.to_vec(), vec![("authorization", format!("Bearer {wrong}"))], vec![("authorization", format!("Bearer {}", site.ana))]]
    {
        let caller = caller.saying(&headers);
        for door in &doors {
            let sent = Sent::pieces(door.messages[0].len(), [door.messages[0].clone()]);
            let within = if door.is_endless { GLANCE } else { DEADLINE };
            if let Ok(Err(status)) = tokio::time::timeout(within, caller.call(&door.path, sent, Some(DEADLINE))).await {
                told.add(&status);
            }
        }
    }
    let basic = |secret: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("ana:{secret}")));
    for header in [
        ("authorization", basic(&site.boss)),
        ("authorization", basic(&wrong)),
        ("authorization", format!("Bearer {}", site.subject)),
        ("authorization", format!("Bearer {}", site.forged)),
        ("authorization", format!("Digest username=\"ana\", response=\"{wrong}\"")),
        ("authorization", format!("Bearer {wrong} {wrong}")),
        ("authorization", wrong.clone()),
        ("cookie", format!("session={}", site.text(COOKIE))),
        ("proxy-authorization", basic(&site.text(OF_PROXY))),
        ("x-api-key", site.text(COOKIE)),
    ] {
        let caller = caller.saying(&[header]);
        for (method, message, text) in [
            ("TagService/ListTags", "ListTagsRequest", "{}"),
            ("TagService/GetTag", "GetTagRequest", r#"{"name": "not/there"}"#),
            ("AccessService/WhoAmI", "WhoAmIRequest", "{}"),
        ] {
            if let Err(status) = ask(&caller, method, message, text).await {
                told.add(&status);
            }
        }
    }
    sql(site, historian, &wrong, &mut told).await?;
    Ok(vec![Place::new("errors of calls", told.text).but(&[Kind::Statement, Kind::Sample])])
}

/// What errors say, with all that comes with them.
#[derive(Default)]
struct Told {
    text: Vec<u8>,
}

impl Told {
    fn add(&mut self, status: &Status) {
        self.text.extend_from_slice(format!("{status:?}\n").as_bytes());
        self.text.extend_from_slice(status.details());
    }

    fn add_text(&mut self, text: impl std::fmt::Debug) {
        self.text.extend_from_slice(format!("{text:?}\n").as_bytes());
    }
}

/// Calls a method with a message that is written as JSON.
async fn ask(caller: &Caller, method: &str, message: &str, text: &str) -> Result<(), Status> {
    let encoded = json::parse(text.as_bytes()).and_then(|value| json::encoded(&format!("historian.v1.{message}"), &value));
    let encoded = Bytes::from(encoded.map_err(|mistake| Status::internal(format!("{method}: {mistake}")))?);
    let sent = Sent::pieces(encoded.len(), [encoded]);
    caller.call(&format!("/historian.v1.{method}"), sent, Some(DEADLINE)).await.map(|_| ())
}

/// A sample that is a secret, in one tag that takes it and in one that does not; then it is replaced and deleted.
///
/// # Errors
/// It is not taken.
pub async fn write(caller: &Caller, site: &Site) -> anyhow::Result<()> {
    const OPTIONS: &str = r#""options": {"mode": "UPSERT", "durability": "SYNC", "create_tags": true}"#;
    const TIMES: &str = r#""start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:01:00Z", "reason": "a test""#;
    let column = |tag: &str, text: &str| {
        format!(
            r#""samples": [{{"tag": "{tag}", "timestamps": ["1767225602000000000"], "values": {{"string": {{"values": ["{text}"]}}}}}}]"#
        )
    };
    let sample = site.text(SAMPLE);
    ask(caller, "WriteService/WriteSamples", "WriteSamplesRequest", &format!("{{{OPTIONS}, {}}}", column("lab/note", &sample))).await?;
    let number = r#"{"tag": {"name": "lab/number", "value_type": "F64"}}"#;
    // There from an earlier turn.
    let _ = ask(caller, "TagService/CreateTag", "CreateTagRequest", number).await;
    let wrong = format!("{{{OPTIONS}, {}}}", column("lab/number", &sample));
    let _ = ask(caller, "WriteService/WriteSamples", "WriteSamplesRequest", &wrong).await;
    let replaced = format!("{{{TIMES}, {}}}", column("lab/note", &sample));
    ask(caller, "WriteService/ReplaceRange", "ReplaceRangeRequest", &replaced).await?;
    Ok(())
}

/// Statements that are right and wrong, at once and prepared, and a login of each kind.
async fn sql(site: &Site, historian: &Historian, wrong: &str, told: &mut Told) -> anyhow::Result<()> {
    let (text, broken, parameter) = (site.text(STATEMENT), site.text(BROKEN_STATEMENT), site.text(PARAMETER));
    let mut client = FlightSqlServiceClient::new(historian.channel().await?);
    for secret in [wrong, site.boss.as_str()] {
        if let Err(error) = client.handshake("ana", secret).await {
            told.add_text(error);
        }
    }
    client.set_token(site.boss.clone());
    for statement in [
        format!("SELECT '{text}' AS secret"),
        format!("SELECT count(*), '{text}' FROM samples WHERE tag LIKE '%{text}%'"),
        // Slow enough to be told as such.
        format!("SELECT sum(value), '{text}' FROM generate_series(1, 2000000)"),
        format!("SELECT '{broken}' FROM"),
        format!("SELEC '{broken}'"),
        format!("SELECT \"{broken}\" FROM samples"),
        format!("SELECT {broken}(1)"),
        format!("SELECT CAST('{broken}' AS INT)"),
        format!("SELECT * FROM {broken}"),
        format!("SELECT '{broken}"),
    ] {
        if let Err(error) = answered(&mut client, statement).await {
            told.add_text(error);
        }
    }
    let mut prepared = client.prepare(format!("SELECT '{text}', tag FROM samples WHERE tag = $1"), None).await?;
    let schema = Schema::new(vec![Field::new("$1", DataType::Utf8, true)]);
    prepared.set_parameters(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(StringArray::from(vec![parameter.as_str()]))])?)?;
    match prepared.execute().await {
        Ok(info) => {
            for endpoint in info.endpoint {
                let rows: Vec<RecordBatch> = client.do_get(endpoint.ticket.unwrap_or_default()).await?.try_collect().await?;
                drop(rows);
            }
        }
        Err(error) => told.add_text(error),
    }
    // The statement goes without its parameter.
    let mut without = client.prepare(format!("SELECT '{broken}' WHERE tag = $1"), None).await;
    if let Ok(without) = &mut without
        && let Err(error) = without.execute().await
    {
        told.add_text(error);
    }
    Ok(())
}

async fn answered(client: &mut FlightSqlServiceClient<tonic::transport::Channel>, statement: String) -> anyhow::Result<()> {
    let info = client.execute(statement, None).await?;
    for endpoint in info.endpoint {
        let rows: Vec<RecordBatch> = client.do_get(endpoint.ticket.unwrap_or_default()).await?.try_collect().await?;
        drop(rows);
    }
    Ok(())
}
