//! The `.proto` files as a public API: what whoever generates code from them, or writes their JSON form, may rely on. `buf` judges, and Google's
//! own reader of that form.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use historian_proto::json;
use tempfile::TempDir;

use crate::support::{
    peer::{self, python},
    pytest::{Run, suite},
};

/// Runs `buf` of the peers in a folder.
fn buf(folder: &Path, arguments: &[&str]) -> Output {
    let program = peer::interpreter().with_file_name("buf");
    assert!(program.exists(), "{} is missing: run `make setup` first", program.display());
    Command::new(program).current_dir(folder).args(arguments).output().expect("buf starts")
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_protos_keep_the_standard_rules_of_buf_and_its_form() {
    let folder = peer::root().join("proto");
    for arguments in [["lint"].as_slice(), &["format", "--diff", "--exit-code"]] {
        let output = buf(&folder, arguments);
        assert!(output.status.success(), "{arguments:?}\n{}", told(&output));
    }
}

#[test]
fn the_protos_break_nobody_who_uses_the_last_release() {
    let output = buf(&peer::root().join("proto"), &["breaking", "--against", "release/v1.binpb"]);
    assert!(output.status.success(), "{}", told(&output));
}

/// So that the test before this one can fail.
#[test]
fn a_field_that_is_renamed_or_taken_away_is_found() {
    for (from, to, found) in [("string zone = 7;", "string time_zone = 7;", "changed name"), ("  string zone = 7;\n", "", "deleted")] {
        let changed = TempDir::new().expect("a temporary directory");
        let (original, folder) = (peer::root().join("proto"), changed.path());
        fs::create_dir_all(folder.join("historian/v1")).unwrap();
        fs::copy(original.join("buf.yaml"), folder.join("buf.yaml")).unwrap();
        for entry in fs::read_dir(original.join("historian/v1")).unwrap() {
            let entry = entry.unwrap();
            let text = fs::read_to_string(entry.path()).unwrap().replace(from, to);
            fs::write(folder.join("historian/v1").join(entry.file_name()), text).unwrap();
        }
        let image = original.join("release/v1.binpb");
        let output = buf(folder, &["breaking", "--against", image.to_str().unwrap()]);
        let told = told(&output);
        assert!(!output.status.success() && told.contains("RangeRequest") && told.contains(found), "{told}");
    }
}

suite!(JSON, "proto3_json", texts_of_every_message, [json_is_read_as_googles_own_library_reads_it,]);

/// Thousands of texts, valid and not, of every message; what is refused must be, and what is taken must be the same message.
fn texts_of_every_message(run: &mut Run) {
    let folder = TempDir::new().expect("a temporary directory");
    for seed in ["1", "20261128"] {
        let cases = python("test_proto3_json.py", &[seed], &[]);
        let answer = |case: &str| {
            let mut columns = case.split('\t');
            let (name, text) = (columns.next().unwrap(), columns.next().unwrap());
            match json::parse(text.as_bytes()).and_then(|value| json::encoded(name, &value)) {
                Ok(bytes) => {
                    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
                }
                Err(mistake) => format!("refused: {mistake}").replace('\n', " "),
            }
        };
        let answers: Vec<String> = cases.lines().map(answer).collect();
        fs::write(folder.path().join(seed), answers.join("\n") + "\n").unwrap();
    }
    run.cases(&[("HISTORIAN_ANSWERS", &folder.path().display().to_string())]);
}
