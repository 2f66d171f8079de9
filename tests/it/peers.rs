//! The suites of pytest cases, and that they are all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::{
    access, api, bi, clients, default_clients, demo, grafana, http_api, jdbc, operations, packaging, path, protos, query, sql,
    support::{peer, pytest::Suite},
    tls,
};

/// Every suite; those that take longest first, so that the last one to end is a short one.
pub static SUITES: &[&Suite] = &[
    &sql::DIFFERENTIAL,
    &packaging::PACKAGES,
    &clients::SUBSCRIBE,
    &bi::INTERVALS,
    &jdbc::TOOLS,
    &demo::DEVICES,
    &sql::RUNAWAY,
    &sql::TOOLS,
    &clients::BUILD,
    &clients::PACKAGE,
    &clients::FRAME,
    &clients::CONNECT,
    &clients::SHOW,
    &clients::MANAGE,
    &clients::ASYNC,
    &sql::ADBC,
    &sql::BOUND,
    &bi::GRAFANA,
    &grafana::DASHBOARDS,
    &packaging::RUNBOOK,
    &packaging::SUPPLY,
    &clients::RECIPES,
    &clients::EXPORT,
    &path::PATH,
    &http_api::HTTP_API,
    &http_api::ANNOTATIONS,
    &query::KPI,
    &query::PAGES,
    &query::OPERATORS,
    &query::AGGREGATES,
    &api::STALLED_READER,
    &api::EXPORT,
    &api::SERVICES,
    &api::ROUNDTRIP,
    &jdbc::SESSIONS,
    &access::CLIENTS,
    &access::CERTIFICATES,
    &access::PROVIDER,
    &tls::CLIENTS,
    &operations::FORMS,
    &protos::JSON,
    &default_clients::TICKETS,
    &default_clients::NOTHING,
    &default_clients::REFUSED_WRITES,
    &default_clients::PAGES,
    &default_clients::AS_OF,
    &default_clients::COMPRESSED,
    &default_clients::STATES,
    &default_clients::DASHBOARD,
];

#[test]
fn every_case_of_pytest_is_run_by_one_test_here_and_every_suite_has_its_own_name() {
    let mut here: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for suite in SUITES {
        assert!(names.insert(suite.name), "{} is there twice", suite.name);
        for case in suite.cases {
            *here.entry((suite.file.to_owned(), (*case).to_owned())).or_default() += 1;
        }
    }
    let mut there = BTreeMap::new();
    for entry in fs::read_dir(peer::root().join("tests/peers")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(file) = name.strip_prefix("test_").and_then(|name| name.strip_suffix(".py")) else { continue };
        for line in fs::read_to_string(&path).unwrap().lines() {
            // pytest takes methods of classes too; one form is enough.
            assert!(!line.starts_with("class Test") && !line.starts_with("async def test_"), "{name}: {line}");
            if let Some((case, _)) = line.strip_prefix("def test_").and_then(|rest| rest.split_once('(')) {
                there.insert((file.to_owned(), case.to_owned()), 1);
            }
        }
    }
    assert!(there.len() > 100, "{}", there.len());
    assert_eq!(here, there);
}
