//! Clients as their users have them: the Python package, the recipes of the documentation, the Rust example.

use historian::api::ApiLimits;

use crate::{
    api::{Historian, python},
    support::peer,
};

#[test]
fn the_python_package_writes_reads_and_exports() {
    let historian = Historian::start(ApiLimits::default());
    python("client_package.py", &[&historian.grpc.to_string(), &peer::root().display().to_string()]);
}
