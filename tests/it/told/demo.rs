//! The demo takes the flags of `serve`, and one demo at a time has its directory.

use std::{fs, process::Stdio};

use historian_test_support::process::Process;

use super::{PATIENCE, historian, run};

#[test]
fn the_demo_takes_a_configuration_and_a_directory_of_backups_beside_its_plant() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    fs::write(path("extra.toml"), "tag_files = [\"extra.csv\"]\n\n[storage]\nfuture_max_s = 0\n").unwrap();
    fs::write(path("extra.csv"), "name,type,unit\nlab/ph,f64,1\n").unwrap();
    let printed = fs::File::create(path("printed")).unwrap();
    let mut command =
        historian(&["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--accept-loss", "--data-dir", &path("data")]);
    command.args(["--backup-dir", &path("backups")]).env("HISTORIAN_CONFIG", path("extra.toml"));
    let mut demo = Process::start(command.stdout(printed).stderr(Stdio::null())).unwrap();
    let printed = || fs::read_to_string(path("printed")).unwrap();
    let server = || printed().split_whitespace().find(|word| word.starts_with("grpc://")).map(str::to_owned);
    let server = demo.until(PATIENCE, server).unwrap().unwrap_or_else(|| panic!("it ended: {}", printed()));
    let (code, tags, told) = run(&["tag", "list", "--format", "csv", "--server", &server]);
    assert_eq!(code, 0, "{told}");
    assert!(tags.contains("lab/ph,f64,1,") && tags.contains("demo/heating/tank201/temperature,"), "{tags}");
    let (code, out, told) = run(&["backup", "--server", &server]);
    assert!(code == 0 && out.contains("backup 1 is complete"), "{out}{told}");
    assert!(directory.path().join("backups/000001").is_dir());
    fs::write(path("far.csv"), "tag,timestamp,value\nlab/ph,2100-01-01T00:00:00Z,7\n").unwrap();
    let (code, out, told) = run(&["import", &path("far.csv"), "--server", &server]);
    assert_eq!(code, 0, "the settings of the file count: {out}{told}");

    // A second one on the directory: neither log nor configuration of the first is touched.
    let before = [path("data/demo.log"), path("data/demo.toml")].map(|file| fs::read_to_string(file).unwrap());
    let (code, _, told) = run(&["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", &path("data")]);
    assert!(code == 1 && told.contains("a historian is running on it") && told.contains("--data-dir"), "{code} {told}");
    let after = [path("data/demo.log"), path("data/demo.toml")].map(|file| fs::read_to_string(file).unwrap());
    assert!(after[0].starts_with(&before[0]) && !before[0].is_empty(), "the log goes on");
    assert_eq!(after[1], before[1]);
}

#[test]
fn a_configuration_that_names_what_the_plant_has_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let config = "tag_files = [\"extra.csv\"]\n[[modbus]]\nname = \"skid-plc\"\nendpoint = \"127.0.0.1:1\"\n\
                  [[modbus.tag]]\nname = \"a/b\"\naddress = \"holding:1\"\n";
    fs::write(path("extra.toml"), config).unwrap();
    fs::write(path("extra.csv"), "name,type\ndemo/heating/tank201/temperature,f64\n").unwrap();
    let flags = ["demo", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir", &path("data"), "--config", &path("extra.toml")];
    let (code, _, told) = run(&flags);
    assert_eq!(code, 2, "{told}");
    for name in ["device \"skid-plc\"", "tag \"demo/heating/tank201/temperature\""] {
        assert!(told.contains(&format!("{name}: belongs to the simulated plant")), "{told}");
    }
}
