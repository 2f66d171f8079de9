//! Operators from outside: aggregates by the published examples, key figures and joins, through the Flight interface and gRPC.

use historian::api::ApiLimits;

use crate::{
    api::{Historian, python},
    support::peer,
};

#[test]
fn the_published_examples_of_part_13_pass_whole() {
    let vectors = peer::root().join("tests/conformance/opcua-part13");
    let historian = Historian::start(ApiLimits::default());
    let said = python("aggregate_conformance.py", &[&historian.grpc.to_string(), &vectors.display().to_string()]);
    assert!(said.contains("106 of 106 tables, 906 of 906 rows agree"), "{said}");
}

#[test]
fn operators_agree_with_plain_readings() {
    let historian = Historian::start(ApiLimits::default());
    let said = python("query_operators.py", &[&historian.grpc.to_string()]);
    assert!(said.contains("all operators agree"), "{said}");
}

#[test]
fn key_figures_come_through_every_door() {
    let historian = Historian::start(ApiLimits::default());
    python("kpi.py", &[&historian.grpc.to_string(), &peer::root().join("proto").display().to_string()]);
}

#[test]
fn a_range_in_pages_is_the_range() {
    let historian = Historian::start(ApiLimits::default());
    let said = python("pages.py", &[&historian.grpc.to_string(), &peer::root().join("proto").display().to_string()]);
    assert!(said.contains("all pages join"), "{said}");
}
