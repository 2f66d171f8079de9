//! `historian doctor` and `historian bugreport`: what is wrong is found with what to do, and no secret is in the report.

use std::{fs, io::Read as _, net::TcpListener, os::unix::fs::PermissionsExt, path::Path, process::Command};

use historian::{model::Timestamp, store::RunMark};
use serde_json::Value as Json;

use super::Site;
use crate::support::{
    historian::{command, free_addresses, run, text},
    peer::Peer,
};

/// Exit code and findings.
fn doctor(arguments: &[&str]) -> (i32, Vec<Json>) {
    let (code, out, err) = run(&[&["doctor", "--format", "json"][..], arguments].concat());
    assert!(code == 0 || code == 1, "{code} {out}{err}");
    (code, out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect())
}

/// The findings of a check.
fn of<'a>(found: &'a [Json], check: &str) -> Vec<&'a Json> {
    found.iter().filter(|one| one["check"] == check).collect()
}

/// Whether a check has this verdict, with a text in what was found, and a remedy where it is none.
fn tells(found: &[Json], check: &str, verdict: &str, part: &str) -> bool {
    of(found, check).iter().any(|one| {
        let is_helped = verdict == "OK" || !one["remedy"].as_str().unwrap().is_empty();
        one["verdict"] == verdict && one["found"].as_str().unwrap().contains(part) && is_helped
    })
}

#[test]
fn a_machine_that_is_ready_is_told_so_and_what_is_not_is_told_with_what_to_do() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let site = Site::new();
    let device = |name: &str, port: &str| {
        format!(
            "[[modbus]]\nname = \"{name}\"\nendpoint = \"127.0.0.1:{port}\"\n[[modbus.tag]]\nname = \"{name}/a\"\naddress = \"input:10\"\n"
        )
    };
    let [listen, http] = free_addresses();
    let server = format!("[server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\ndata_dir = \"data\"\n");
    site.configure(&format!("{server}{}", device("plc", &port)));
    let config = site.path("historian.toml").display().to_string();
    let (code, found) = doctor(&["--config", &config]);
    let failed: Vec<_> = found.iter().filter(|one| one["verdict"] == "FAIL" && one["check"] != "file system").collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert_eq!(code, i32::from(!of(&found, "file system").iter().all(|one| one["verdict"] != "FAIL")));
    for check in [
        "configuration",
        "port",
        "certificate",
        "clock",
        "data directory",
        "file system",
        "free space",
        "fsync",
        "open files",
        "memory",
        "device",
    ] {
        assert!(!of(&found, check).is_empty(), "nothing is said of {check}: {found:#?}");
    }
    assert!(tells(&found, "device", "OK", "modbus plc at 127.0.0.1:") && tells(&found, "port", "OK", "is free"), "{found:#?}");
    assert!(!site.path("data").exists() && fs::read_dir(site.directory.path()).unwrap().count() == 1, "nothing is made or left");

    // While it runs, its ports are its own.
    let mut historian = site.launcher("warn").start().unwrap();
    historian.wait("its first mark", |_| RunMark::read(&site.path("data")).is_some());
    let ports = [historian.grpc.to_string(), historian.http.to_string()];
    let flags = ["--config", &config, "--offline", "--listen", &ports[0], "--http", &ports[1]];
    let (_, found) = doctor(&flags);
    assert_eq!(
        of(&found, "port")
            .iter()
            .filter(|one| one["verdict"] == "OK" && one["found"].as_str().unwrap().contains("a historian runs"))
            .count(),
        2
    );
    historian.stop().unwrap();

    // A port that another program has, a device that is not there, a tag that is not, a clock that was set back, a directory for everybody.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let server = format!("[server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\ndata_dir = \"data\"\n[backup]\ndirectory = \"backups\"\n");
    let odd = device("odd", &port).replace("input:10", "input:9999");
    site.configure(&format!("{server}{}{odd}", device("away", "1")));
    RunMark::open(&site.path("data")).unwrap().0.write(Timestamp(4_000_000_000_000_000_000)).unwrap();
    fs::set_permissions(site.path("data"), fs::Permissions::from_mode(0o777)).unwrap();
    let (code, found) = doctor(&["--config", &config]);
    assert_eq!(code, 1);
    for (check, verdict, part) in [
        ("port", "FAIL", "is in use, and no historian runs"),
        ("device", "FAIL", "away at 127.0.0.1:1 cannot be connected to"),
        ("device", "FAIL", "odd/a: "),
        ("clock", "FAIL", "it was set back"),
        ("data directory", "WARN", "mode 777"),
        ("backup", "WARN", "both go together"),
    ] {
        assert!(tells(&found, check, verdict, part), "{check} {verdict} {part}: {found:#?}");
    }
    // For people, and with the same end.
    let (code, out, _) = run(&["doctor", "--config", &config, "--offline"]);
    assert!(code == 1 && out.contains("→ end the program") && out.contains("choose another address"), "{out}");
    site.configure("[sever]\n");
    let (code, found) = doctor(&["--config", &config, "--offline"]);
    assert!(code == 1 && tells(&found, "configuration", "FAIL", "unknown key"), "{found:#?}");
}

#[test]
fn certificates_and_keys_are_looked_at() {
    let site = Site::new();
    let tls = site.path("tls");
    let (code, out, err) = run(&["tls", "init", "--host", "localhost", "--days", "20", "--dir", tls.to_str().unwrap()]);
    assert_eq!(code, 0, "{out}{err}");
    let names: Vec<String> = fs::read_dir(&tls).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let named = |part: &str, ending: &str| {
        let name = names.iter().find(|name| name.contains(part) && name.ends_with(ending));
        tls.join(name.unwrap_or_else(|| panic!("no {part}…{ending} in {names:?}")))
    };
    let (certificate, key) = (named("server", ".crt"), named("server", ".key"));
    site.configure(&format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n"));
    let config = site.path("historian.toml").display().to_string();
    let (_, found) = doctor(&["--config", &config, "--offline"]);
    assert!(tells(&found, "certificate", "WARN", "valid until") && tells(&found, "key", "OK", "mode 600"), "{found:#?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let (_, found) = doctor(&["--config", &config, "--offline"]);
    assert!(tells(&found, "key", "WARN", "mode 640"), "{found:#?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o604)).unwrap();
    let (code, found) = doctor(&["--config", &config, "--offline"]);
    assert!(code == 1 && tells(&found, "configuration", "FAIL", "can be read or changed by every user"), "{found:#?}");
}

/// All of a report: its names, and the texts one after the other.
fn report(file: &Path) -> (Vec<String>, String) {
    let names = Command::new("tar").arg("-tzf").arg(file).output().unwrap();
    let all = Command::new("tar").arg("-xzOf").arg(file).output().unwrap();
    assert!(names.status.success() && all.status.success());
    (text(&names.stdout).lines().map(str::to_owned).collect(), text(&all.stdout))
}

#[test]
fn a_report_has_what_helps_and_no_secret_no_sample_and_no_value() {
    let site = Site::new();
    let token = site.token();
    fs::write(site.path("password.txt"), "CANARY-passwordfile\n").unwrap();
    let text = "# CANARY-comment\n[log]\nlevel = \"info\"\n[[opcua]]\nname = \"o\"\nendpoint = \"opc.tcp://127.0.0.1:1\"\nuser = \"plant\"\n\
                password_file = \"password.txt\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n[[opcua.tag]]\nname = \"line/speed\"\naddress = \"nsu=urn:plant;s=Speed\"\n";
    site.configure(text);
    let historian = site.start("info");
    let with_token = |arguments: &[&str]| {
        let mut command = command(arguments);
        let output = command.env("HISTORIAN_TOKEN", &token).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", crate::support::historian::text(&output.stderr));
    };
    let csv = site.path("lab.csv");
    fs::write(&csv, "tag,timestamp,value\nlab/ph,2026-01-01T00:00:00Z,7654321.25\n").unwrap();
    with_token(&["import", &csv.display().to_string(), "--create-tags", "--server", &historian.url()]);
    let log = site.path("historian.log");
    let key = "-----BEGIN PRIVATE KEY-----\nCANARYkey\n-----END PRIVATE KEY-----";
    fs::write(&log, format!("a line that helps\npassword=CANARY-logged, token hst_CANARYtoken\nAuthorization: Bearer CANARY-bearer\n{key}\nCANARY-passwordfile\n")).unwrap();

    let file = site.path("report.tar.gz");
    let [grpc, http] = [historian.grpc.to_string(), historian.http.to_string()];
    let (config, data) = (site.path("historian.toml").display().to_string(), site.path("data").display().to_string());
    let paths = [file.display().to_string(), log.display().to_string()];
    let arguments =
        ["bugreport", "-o", &paths[0], "--config", &config, "--data-dir", &data, "--listen", &grpc, "--http", &http, "--log", &paths[1]];
    with_token(&arguments);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let (names, all) = report(&file);
    let parts = ["version.txt", "doctor.json", "configuration.toml", "status.txt", "metrics.txt", "log.txt"];
    assert_eq!(names, parts.map(|part| format!("historian-bugreport/{part}")));
    for helps in [
        "line/speed",
        "opc.tcp://127.0.0.1:1",
        "historian_samples_written_total ",
        "samples_written: ",
        "a line that helps",
        "\"check\":\"clock\"",
    ] {
        assert!(all.contains(helps), "{helps} is not in it: {all}");
    }
    let mut raw = Vec::new();
    fs::File::open(&file).unwrap().read_to_end(&mut raw).unwrap();
    for secret in ["CANARY", "7654321", &token, &token[4..]] {
        assert!(!all.contains(secret), "{secret}: {}", all.lines().find(|line| line.contains(secret)).unwrap());
        assert!(!raw.windows(secret.len()).any(|window| window == secret.as_bytes()));
    }
    // Secrets that a configuration must not even have, and one that is no TOML.
    for wrong in ["[[opcua]]\nname = \"o\"\npassword = \"CANARY-inline\"\n", "password = \"CANARY-open\n[x"] {
        site.configure(wrong);
        let file = site.path("second.tar.gz");
        let _ = fs::remove_file(&file);
        with_token(&[
            "bugreport",
            "-o",
            &file.display().to_string(),
            "--config",
            &config,
            "--data-dir",
            &data,
            "--listen",
            &grpc,
            "--http",
            &http,
            "--offline",
        ]);
        let all = report(&file).1;
        assert!(!all.contains("CANARY"), "{}", all.lines().find(|line| line.contains("CANARY")).unwrap());
    }
    historian.stop().unwrap();
}
