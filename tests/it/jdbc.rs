//! The unmodified JDBC driver of Flight SQL, as BI tools and Java programs use it: the programs of `tests/peers/jdbc`.

use crate::support::{java::java, sample};

#[test]
fn every_connection_string_and_both_pools_read() {
    let (historian, _directory) = sample::every_type();
    java("Connect.java", &[], &[&historian.flight.to_string()]);
}

/// Names of tags and not the keys of a dictionary, qualities and u64 values as they are.
#[test]
fn values_of_every_type_are_shown_as_they_are() {
    let (historian, _directory) = sample::every_type();
    java("Types.java", &[], &[&historian.flight.to_string()]);
}

#[test]
fn statements_with_parameters_of_every_type_are_answered() {
    let (historian, _directory) = sample::every_type();
    for zone in ["-Duser.timezone=UTC", "-Duser.timezone=Europe/Berlin"] {
        java("Parameters.java", &[zone], &[&historian.flight.to_string()]);
    }
}
