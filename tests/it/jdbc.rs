//! The unmodified JDBC driver of Flight SQL, as BI tools and Java programs use it: the programs of `tests/peers/jdbc`.

use crate::support::{java::java, sample};

#[test]
fn every_connection_string_and_both_pools_read() {
    let (historian, _directory) = sample::every_type();
    java("Connect.java", &[], &[&historian.flight.to_string()]);
}
