//! Configurations with a mistake each: what the program says, with file, line and key, and that it ends with 2.

use super::{directory, historian, path, stderr};

/// A file, and for each problem the start of its line; `{}` stands for the directory.
struct Broken {
    name: &'static str,
    toml: &'static str,
    csv: &'static str,
    problems: &'static [&'static str],
}

const fn toml(name: &'static str, toml: &'static str, problems: &'static [&'static str]) -> Broken {
    Broken { name, toml, csv: "", problems }
}

const MODBUS_CSV: &str =
    "tag_files = [\"tags.csv\"]\n[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\n";

const BROKEN: &[Broken] = &[
    toml("syntax", "[server]\nlisten = \n", &["{}/f.toml:2: syntax: "]),
    toml("a key twice", "[server]\nhttp = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n", &["{}/f.toml:3: syntax: duplicate key"]),
    toml("unknown section", "[sever]\nlisten = \"127.0.0.1:1\"\n", &["{}/f.toml:1: sever: unknown key; did you mean \"server\"?"]),
    toml("typo in a key", "\n[server]\nlisen = \"127.0.0.1:1\"\n", &["{}/f.toml:3: server.lisen: unknown key; did you mean \"listen\"?"]),
    toml("unlike any key", "[server]\nzzz = 1\n", &["{}/f.toml:2: server.zzz: unknown key; known are listen, http, data_dir"]),
    toml(
        "wrong type",
        "[storage]\ngroup_commit_ms = \"two\"\n",
        &["{}/f.toml:2: storage.group_commit_ms: expected a whole number from 0, found the text \"two\""],
    ),
    toml("below its bounds", "[storage]\ninterval_sync_ms = 0\n", &["{}/f.toml:2: storage.interval_sync_ms: 0 is not from 1 to 10000"]),
    toml("above its bounds", "[storage]\ngroup_commit_ms = 5000\n", &["{}/f.toml:2: storage.group_commit_ms: 5000 is not from 0 to 1000"]),
    toml(
        "a size in the wrong unit",
        "[storage]\ncache_bytes = \"64 MB\"\n",
        &["{}/f.toml:2: storage.cache_bytes: expected a number of bytes, or a text such as \"256 MiB\""],
    ),
    toml("no address", "[server]\nlisten = \"8815\"\n", &["{}/f.toml:2: server.listen: expected an address such as 127.0.0.1:8815"]),
    toml(
        "reachable from outside",
        "[server]\nlisten = \"0.0.0.0:8815\"\n",
        &["{}/f.toml:2: server.listen: 0.0.0.0:8815 can be reached from other machines; that takes TLS, which is not configured"],
    ),
    toml(
        "TLS without its files",
        "[tls]\ncertificate = \"/nowhere/a.crt\"\nclient_certificates = \"on\"\n",
        &["{}/f.toml:3: tls.client_certificates: expected \"off\", \"optional\" or \"required\", found the text \"on\""],
    ),
    toml(
        "a certificate without its key",
        "[tls]\ncertificate = \"/nowhere/a.crt\"\n",
        &["{}/f.toml: tls.key: is needed for TLS and is not there", "{}/f.toml:2: tls.certificate: /nowhere/a.crt: there is no such file"],
    ),
    toml(
        "one address for both",
        "[server]\nhttp = \"127.0.0.1:8815\"\n",
        &["{}/f.toml:2: server.http: 127.0.0.1:8815 is server.listen as well"],
    ),
    toml("one bracket", "[modbus]\nname = \"plc\"\n", &["{}/f.toml:1: modbus: expected an array of tables; write [[modbus]]"]),
    toml(
        "a device without its needs",
        "[[modbus]]\nname = \"plc\"\n",
        &["{}/f.toml:1: modbus.plc.endpoint: this key is needed and is not there"],
    ),
    toml(
        "several mistakes in one file",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\nscan = 5\nunit = 300\n\n[[modbus.tag]]\nname = \"a\"\naddres = \"holding:0\"\n",
        &[
            "{}/f.toml:4: modbus.plc.scan: unknown key",
            "{}/f.toml:5: modbus.plc.unit: expected a whole number from 0 to 255, found integer 300",
            "{}/f.toml:7: modbus.plc.tag.a.address: this key is needed and is not there",
            "{}/f.toml:9: modbus.plc.tag.a.addres: unknown key; did you mean \"address\"?",
        ],
    ),
    toml(
        "a bad address",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\n[[modbus.tag]]\nname = \"b\"\nunit = \"bar\"\naddress = \"holdin:1\"\n",
        &["{}/f.toml:10: modbus.plc.tag.b.address: "],
    ),
    toml(
        "overlapping addresses",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\nformat = \"f32\"\n[[modbus.tag]]\nname = \"b\"\naddress = \"holding:1\"\nformat = \"f32\"\n",
        &["{}/f.toml:10: modbus.plc.tag.b.address: holding:1 (f32 ABCD) overlaps \"a\", which is holding:0 (f32 ABCD) at {}/f.toml:4"],
    ),
    toml(
        "a password in an endpoint",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"plant:secret@h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\n[[opcua]]\nname = \"ua\"\nendpoint = \"opc.tcp://plant:secret@h:1\"\nsecurity_policy = \"None\"\n[[opcua.tag]]\nname = \"b\"\naddress = \"i=2258\"\n",
        &[
            "{}/f.toml:3: modbus.plc.endpoint: endpoint has a user, which this protocol does not know",
            "{}/f.toml:9: opcua.ua.endpoint: is not of the form opc.tcp://host:port/path; a user and a password go into user and password_file",
        ],
    ),
    toml(
        "two devices of one name",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\n[[opcua]]\nname = \"plc\"\nendpoint = \"opc.tcp://h:1\"\nsecurity_policy = \"None\"\n[[opcua.tag]]\nname = \"b\"\naddress = \"i=2258\"\n",
        &["{}/f.toml:8: opcua.plc.name: device \"plc\" is at {}/f.toml:1 already"],
    ),
    toml(
        "one tag from two devices",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\n[[opcua]]\nname = \"ua\"\nendpoint = \"opc.tcp://h:1\"\nsecurity_policy = \"None\"\n[[opcua.tag]]\naddress = \"i=2258\"\nname = \"a\"\n",
        &["{}/f.toml:13: opcua.ua.tag.a.name: tag \"a\" is at {}/f.toml:4 already"],
    ),
    toml(
        "one tag twice in a device",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:1\"\n",
        &["{}/f.toml:8: modbus.plc.tag.a.name: "],
    ),
    toml(
        "a key of the other protocol",
        "[[modbus]]\nname = \"plc\"\nendpoint = \"h:502\"\n[[modbus.tag]]\nname = \"a\"\naddress = \"holding:0\"\ndeadband = 0.5\n",
        &["{}/f.toml:7: modbus.plc.tag.a.deadband: "],
    ),
    toml(
        "no password file",
        "[[opcua]]\nname = \"ua\"\nendpoint = \"opc.tcp://h:1\"\nuser = \"u\"\npassword_file = \"none\"\npki_dir = \"pki\"\n[[opcua.tag]]\nname = \"a\"\naddress = \"i=2258\"\n",
        &["{}/f.toml:5: opcua.ua.password_file: there is no file {}/none"],
    ),
    toml("no tag file", "\ntag_files = [\"none.csv\"]\n", &["{}/f.toml:2: tag_files: there is no file {}/none.csv"]),
    Broken {
        name: "a row for a device that is not there",
        toml: MODBUS_CSV,
        csv: "name,type,device,address\nb,,plx,holding:1\nc,,zzzzzz,holding:2\n",
        problems: &[
            "{}/tags.csv:2: device: \"plx\": unknown device; did you mean \"plc\"?",
            "{}/tags.csv:3: device: \"zzzzzz\": unknown device; known are plc",
        ],
    },
    Broken {
        name: "an unknown column",
        toml: MODBUS_CSV,
        csv: "name,type,uint\nb,f64,bar\n",
        problems: &["{}/tags.csv:1: uint: unknown column; did you mean \"unit\"?"],
    },
    Broken {
        name: "problems of rows that joined a device",
        toml: MODBUS_CSV,
        csv: "name,device,address,format\nb,plc,holding:99999,\na,plc,holding:4,\nc,plc,holding:8,f33\n",
        problems: &[
            "{}/tags.csv:2: modbus.plc.tag.b.address: ",
            "{}/tags.csv:3: modbus.plc.tag.a.name: ",
            "{}/tags.csv:4: modbus.plc.tag.c.format: ",
        ],
    },
    Broken {
        name: "a written tag with the name of a collected one",
        toml: MODBUS_CSV,
        csv: "name,type\na,f64\n",
        problems: &["{}/tags.csv:2: name: tag \"a\" is at {}/f.toml:5 already"],
    },
    Broken {
        name: "a written tag without a type",
        toml: MODBUS_CSV,
        csv: "name,unit\nb,bar\n",
        problems: &["{}/tags.csv:2: type: a tag without a device needs a type"],
    },
];

#[test]
fn each_is_refused_with_file_line_and_key() {
    let mut wrong = Vec::new();
    for broken in BROKEN {
        let directory = directory(&[("f.toml", broken.toml), ("tags.csv", broken.csv)]);
        let output = historian(&["check", "--offline", "--config", &path(&directory, "f.toml")]);
        let text = stderr(&output);
        let base = directory.path().display().to_string();
        let expected: Vec<String> = broken.problems.iter().map(|problem| problem.replace("{}", &base)).collect();
        let count = match expected.len() {
            1 => "historian: the configuration has 1 problem".to_owned(),
            count => format!("historian: the configuration has {count} problems"),
        };
        let lines: Vec<&str> = text.lines().collect();
        let as_expected = lines.len() == expected.len() + 1
            && lines.iter().zip(&expected).all(|(line, expected)| line.starts_with(expected))
            && lines.last() == Some(&count.as_str())
            && output.status.code() == Some(2);
        if !as_expected {
            wrong.push(format!("{} (exit {:?})\n  is\n{text}  expected\n{}\n", broken.name, output.status.code(), expected.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_is_not_there_or_no_text_is_told() {
    let directory = directory(&[]);
    std::fs::write(directory.path().join("binary.toml"), [0x66, 0xFF, 0xFE]).expect("the file is written");
    for (file, expected) in [
        (path(&directory, "none.toml"), "none.toml: --config: cannot be read: No such file"),
        (path(&directory, "."), "--config: is a directory"),
        (path(&directory, "binary.toml"), "binary.toml: --config: is not UTF-8 from byte 1 on"),
    ] {
        for command in [["check", "--config"], ["serve", "--config"]] {
            let output = historian(&[command[0], command[1], &file]);
            assert_eq!(output.status.code(), Some(2), "{file}");
            assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        }
    }
}
