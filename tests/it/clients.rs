//! Clients as their users have them: the Python package, the recipes of the documentation, the Rust example.

use std::process::Command;

use tempfile::TempDir;

use crate::{
    api::python,
    support::{historian::Historian, peer, skip},
};

/// The built program with an empty store.
fn serve() -> (Historian, TempDir, String) {
    let data = TempDir::new().expect("a temporary directory");
    let historian = Historian::serve(&data.path().join("data"), &[]);
    let address = historian.flight.to_string();
    (historian, data, address)
}

#[test]
fn the_python_package_writes_reads_and_exports() {
    let (_historian, _data, address) = serve();
    python("client_package.py", &[&address, &peer::root().display().to_string(), env!("CARGO_BIN_EXE_historian")]);
}

/// Every block of the page in its order, and after that the Rust example on what they wrote.
#[test]
fn the_recipes_run_and_print_what_they_say() {
    let (_historian, _data, address) = serve();
    python("recipes.py", &[&address, &peer::root().display().to_string(), env!("CARGO_BIN_EXE_historian")]);

    // Built with the workspace; not there when only this package is tested.
    let built = std::env::current_exe().expect("this test has a path");
    let example = built.ancestors().nth(2).expect("the directory of the profile").join("examples/query");
    if !example.exists() {
        skip::without("rust-example", &format!("{} is not built: only the tests of the whole workspace build it", example.display()));
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
