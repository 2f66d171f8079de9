//! Who may do what, at every door (S4 of the reliability requirements): a matrix of doors, roles and tags that is made of the descriptors, the
//! list of the kinds, the tables and the routes, and compared with the promise. A method, kind, table, function, action or route without a
//! door here fails by its name. What one may not see is absent everywhere: answers are searched byte by byte, and compared with those of a
//! historian that has the seen tags only.

mod call;
mod certificate;
mod device;
mod door;
mod keys;
mod leak;
mod local;
mod matrix;
mod oidc;
mod owner;
mod plant;
mod web;

use std::collections::{BTreeMap, BTreeSet};

use tokio::runtime::Runtime;

use self::{
    call::Outcome,
    door::{About, Need, Same, doors, listed},
    matrix::{Expected, Place, cell, expected, wrong},
    plant::{Plant, Tags, Who},
};
use crate::support::{
    java::java,
    pytest::{Run, suite},
};

#[test]
fn everything_that_can_be_called_has_a_door_here() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::start(Tags::SeenAndHidden).await;
        let listed = listed::cells(&plant.client(Who::Admin)).await;
        let doors: BTreeSet<String> = doors().into_iter().flat_map(|door| door.cells).collect();
        let missing: Vec<_> = listed.difference(&doors).collect();
        assert!(missing.is_empty(), "there is no cell in tests/it/access/door for: {missing:#?}");
        let gone: Vec<_> = doors.difference(&listed).collect();
        assert!(gone.is_empty(), "cells of what is not there any more: {gone:#?}");
        assert!(listed.len() > 100, "{}", listed.len());
    });
}

#[test]
fn every_door_answers_each_role_as_promised() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::secured().await;
        let (mut broken, mut cells) = (Vec::new(), 0);
        // What is said to who has no token, or none that is valid, by the doors that say it.
        let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for door in doors() {
            let places = if door.about == About::Nothing { &[Place::Seen][..] } else { &[Place::Seen, Place::Hidden] };
            for place in places {
                for who in Who::ALL {
                    let is_handshake = door.cells[0].ends_with("Handshake");
                    let has_no_token = matches!(who, Who::Certificate | Who::Local);
                    // A handshake is for a token, and the other port is not served by the socket.
                    if (has_no_token && is_handshake) || (who == Who::Local && door.cells[0].starts_with("http ")) {
                        continue;
                    }
                    cells += 1;
                    let (outcome, of_none) = cell(&plant, &door, who, *place).await;
                    let expected = expected(&door, who, *place);
                    if let Some(wrong) = wrong(expected, door.same, &outcome, of_none.as_ref()) {
                        broken.push(format!("{} · {who:?} · {place:?}: {wrong}", door.name()));
                    }
                    if expected == Expected::Answer("Unauthenticated") {
                        let kind = if who == Who::Nobody { "none" } else { "not valid" };
                        let kind = if is_handshake {
                            format!("{kind}, {}", door.name())
                        } else if door.cells[0].starts_with("http ") {
                            format!("{kind}, over HTTP")
                        } else {
                            kind.to_owned()
                        };
                        let said = format!("{} {:?}", outcome.message, outcome.parts);
                        unknown.entry(kind).or_default().push(said);
                    }
                }
            }
        }
        for (kind, said) in unknown {
            let different: BTreeSet<String> = said.into_iter().collect();
            if different.len() != 1 {
                broken.push(format!("a token that is {kind} is refused in different words: {different:#?}"));
            }
        }
        assert!(broken.is_empty(), "{} of {cells} cells are not as promised:\n{}", broken.len(), broken.join("\n"));
        assert!(cells > 2_000, "{cells}");
    });
}

/// A historian that keeps none of the promises: the matrix finds it at every door.
#[test]
fn a_historian_that_is_open_is_found_at_every_door() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::open().await;
        let (mut missed, mut found) = (Vec::new(), 0);
        for door in doors() {
            for who in [Who::Nobody, Who::Expired, Who::Auditor, Who::SeenReader] {
                // What he may do anyway is no breach, and a plan without rows is the same of any tag.
                let place = Place::Hidden;
                let is_plan = door.variant == "EXPLAIN" || door.variant == "planned" || door.cells[0] == "action CreatePreparedStatement";
                if door.need.is_met_by(who) && (door.about == About::Nothing || !who.is_limited() || is_plan) {
                    continue;
                }
                let (outcome, of_none) = cell(&plant, &door, who, place).await;
                match wrong(expected(&door, who, place), door.same, &outcome, of_none.as_ref()) {
                    Some(_) => found += 1,
                    None => missed.push(format!("{} · {who:?}: {}", door.name(), outcome.code)),
                }
            }
        }
        assert!(missed.is_empty(), "{} breaches were not found:\n{}", missed.len(), missed.join("\n"));
        assert!(found > 500, "{found}");
    });
}

#[test]
fn what_is_no_method_is_no_way_around_the_token() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::secured().await;
        for method in [
            "historian.v1.TagService/Nothing",
            "historian.v1.Nothing/Get",
            "historian.v1.TagService/GetTag/",
            "/historian.v1.TagService/GetTag",
        ] {
            for who in Who::ALL {
                let outcome = plant.client(who).raw(method, vec![bytes::Bytes::new()], |_| false).await;
                let expected = if Need::Known.is_met_by(who) { "Unimplemented" } else { "Unauthenticated" };
                assert_eq!(outcome.code, expected, "{method} · {who:?}: {}", outcome.message);
            }
        }
        for (path, code) in [
            ("/nothing", "404"),
            ("/metrics/", "404"),
            ("//metrics", "404"),
            ("/metrics?x=1", "401"),
            ("/api/v1/nothing", "404"),
            ("/api/v1/current/", "404"),
            ("/api/v1//current", "404"),
            ("//api/v1/current", "404"),
            ("/api/v1/current?tag=**", "401"),
        ] {
            assert_eq!(plant.nobody.http(path).code, code, "{path}");
        }
    });
}

/// So that the matrix can fail: made-up answers, each wrong in one way, and one that is right.
#[test]
fn an_answer_other_than_promised_is_found() {
    let answer = |code: &str, message: &str, part: &str| Outcome {
        parts: vec![part.to_owned().into()],
        message: message.into(),
        ..Outcome::nothing(code)
    };
    let none = answer("NotFound", "there is no tag \"hidden/here\"", "");
    let absent = Expected::AsOfNone("NotFound");
    assert_eq!(wrong(absent, Same::Bytes, &none, Some(&none)), None);
    assert_eq!(wrong(Expected::Answer("Ok"), Same::Bytes, &answer("Ok", "", "rows"), None), None);
    for (expected, outcome) in [
        (Expected::Answer("PermissionDenied"), answer("Ok", "", "rows")),
        (Expected::Answer("Ok"), answer("PermissionDenied", "no", "")),
        (absent, answer("PermissionDenied", "there is no tag \"hidden/here\"", "")),
        (absent, answer("NotFound", "no tag \"hidden/here\" for you", "")),
        (absent, answer("NotFound", "there is no tag \"hidden/here\"", "f64")),
    ] {
        assert!(wrong(expected, Same::Bytes, &outcome, Some(&none)).is_some(), "{expected:?} {outcome:?}");
    }
    assert!(wrong(absent, Same::Bytes, &none, None).is_some(), "compared with nothing");
    // A role more than promised, and one less.
    let door = doors().into_iter().find(|door| door.need == Need::Correct).unwrap();
    assert_eq!(expected(&door, Who::Reader, Place::Seen), Expected::Answer("PermissionDenied"));
    assert_eq!(expected(&door, Who::Engineer, Place::Hidden), Expected::Answer("Ok"));
    assert_eq!(expected(&door, Who::SeenEngineer, Place::Hidden), absent);
    assert_eq!(expected(&door, Who::Expired, Place::Seen), Expected::Answer("Unauthenticated"));
    // What is searched for is found wherever it is.
    assert!(answer("Ok", "", "\0\u{1}xHidden_here").shows("hidden") && answer("Ok", "a hidden tag", "").shows("hidden"));
    assert!(!answer("Ok", "seen", "hid").shows("hidden"));
    assert_eq!(answer("Ok", "", "a hidden/gone").renamed("hidden/gone", "hidden/here"), answer("Ok", "", "a hidden/here"));
}

pub use certificate::CERTIFICATES;
pub use oidc::{METRICS as OIDC_METRICS, PROVIDER};

suite!(
    CLIENTS,
    "access",
    everybodys_clients,
    [
        pyarrow_sends_a_token_in_a_header,
        pyarrow_sends_a_token_as_a_password,
        the_older_handshake_takes_a_token_as_a_password,
        adbc_sends_a_token_in_a_header,
        adbc_sends_a_token_as_a_password,
        grpcio_sends_a_token_in_the_metadata,
        the_metrics_take_a_token_of_an_admin,
        curl_sends_a_token_in_both_forms,
        what_is_not_valid_is_refused_by_every_client,
    ]
);

fn everybodys_clients(run: &mut Run) {
    let runtime = Runtime::new().unwrap();
    let plant = runtime.block_on(Plant::start(Tags::SeenAndHidden));
    let tokens = plant.tokens();
    run.cases(&[
        ("HISTORIAN_ADDRESS", &plant.historian.grpc.to_string()),
        ("HISTORIAN_HTTP", &plant.historian.http.to_string()),
        ("HISTORIAN_TOKENS", &serde_json::to_string(&tokens).unwrap()),
    ]);
}

#[test]
fn the_jdbc_driver_sends_a_token_as_token_and_as_password() {
    let plant = Runtime::new().unwrap().block_on(Plant::start(Tags::SeenAndHidden));
    java("Access.java", &[], &[&plant.historian.grpc.to_string(), plant.token(Who::SeenReader), plant.token(Who::Expired)]);
}
