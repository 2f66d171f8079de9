//! The `.proto` files as a public API: what whoever generates code from them, or writes their JSON form, may rely on. `buf` judges, and Google's
//! own reader of that form.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use historian_proto::json;
use tempfile::TempDir;

use crate::{api::python, support::peer};

/// Runs `buf` of the peers in a folder.
fn buf(folder: &Path, arguments: &[&str]) -> Output {
    let program = peer::python().with_file_name("buf");
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

/// Thousands of texts, valid and not, of every message; what is refused must be, and what is taken must be the same message.
#[test]
fn json_is_read_as_googles_own_library_reads_it() {
    let protos = peer::root().join("proto").display().to_string();
    for seed in ["1", "20261128"] {
        let cases = python("proto3_json.py", &[&protos, "cases", seed]);
        let answers: Vec<String> = cases
            .lines()
            .map(|case| {
                let mut columns = case.split('\t');
                let (name, text) = (columns.next().unwrap(), columns.next().unwrap());
                match json::parse(text.as_bytes()).and_then(|value| json::encoded(name, &value)) {
                    Ok(bytes) => bytes
                        .iter()
                        .flat_map(|byte| [byte >> 4, byte & 15])
                        .filter_map(|digit| char::from_digit(digit.into(), 16))
                        .collect(),
                    Err(mistake) => format!("refused: {mistake}").replace('\n', " "),
                }
            })
            .collect();
        assert!(answers.len() > 5_000, "{}", answers.len());
        let script = peer::root().join("tests/peers/proto3_json.py");
        let mut judge = Command::new(peer::python());
        judge.arg(script).args([&protos, "judge", seed]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut judge = judge.spawn().expect("Python starts");
        judge.stdin.take().unwrap().write_all((answers.join("\n") + "\n").as_bytes()).expect("it reads");
        let output = judge.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", told(&output));
        println!("{}", told(&output));
    }
}
