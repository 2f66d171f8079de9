//! Clients as their users have them: the Python package, the recipes of the documentation, the Rust example.

use std::process::Command;

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

/// Every block of the page in its order, and after that the Rust example on what they wrote.
#[test]
fn the_recipes_run_and_print_what_they_say() {
    let historian = Historian::start(ApiLimits::default());
    let (address, root) = (historian.grpc.to_string(), peer::root().display().to_string());
    python("recipes.py", &[&address, &root, env!("CARGO_BIN_EXE_historian")]);

    // Built with the workspace; not there when only this package is tested.
    let built = std::env::current_exe().expect("this test has a path");
    let example = built.ancestors().nth(2).expect("the directory of the profile").join("examples/query");
    if !example.exists() {
        println!("the Rust example was not run: {} is not built; test the whole workspace", example.display());
        return;
    }
    let arguments = [&format!("http://{address}"), "plant/boiler/pressure", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"];
    let output = Command::new(example).args(arguments).output().expect("the example starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().count(), 7, "{text}");
    assert!(
        text.starts_with("plant/boiler/pressure now: ") && text.contains("plant/boiler/pressure time_average 1767225600000000000: 5.4"),
        "{text}"
    );
}
