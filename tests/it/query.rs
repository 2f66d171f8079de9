//! Operators from outside: aggregates by the published examples, plots, anomalies, through the Flight interface and gRPC.

use historian::api::ApiLimits;

use crate::{
    api::{Historian, python},
    support::peer,
};

#[test]
fn the_published_examples_of_part_13_pass_whole() {
    let vectors = peer::root().join("../shared/conformance/opcua-part13");
    if !vectors.join("expected.json").exists() {
        println!("skipped: {} is not there", vectors.display());
        return;
    }
    let historian = Historian::start(ApiLimits::default());
    let said = python("aggregate_conformance.py", &[&historian.grpc.to_string(), &vectors.display().to_string()]);
    println!("{said}");
    assert!(said.contains("106 of 106 tables, 906 of 906 rows agree"), "{said}");
}
