//! What is taken from a `[[mqtt]]` table, and what is refused of it.

use super::*;

fn built(device: &str, tags: &[(&str, &str)]) -> Result<MqttCollector, Vec<String>> {
    let config: MqttConfig = toml::from_str(&format!("name = \"b\"\n{device}")).unwrap();
    let tag = |(name, address): &(&str, &str)| TagConfig { name: (*name).into(), address: (*address).into(), ..TagConfig::default() };
    let built = config.collector(SettingPosition::default(), tags.iter().map(tag).collect());
    built.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

const ENDPOINT: &str = "endpoint = \"h:1883\"\n";

#[test]
fn a_table_of_defaults_is_taken() {
    let collector = built(ENDPOINT, &[("t", "plant/t")]).unwrap();
    let device = &collector.device;
    assert_eq!((device.version, device.client_id.as_str(), device.at_least_once), (MqttVersion::V5, "historian-b", true));
    assert_eq!(device.subscriptions(), ["plant/t"]);
    let plain: MqttConfig = toml::from_str(MqttConfig::PLAIN).unwrap();
    plain.collector(SettingPosition::default(), Vec::new()).unwrap();
}

#[test]
fn subscriptions_begin_with_the_own_state_and_cover_nothing_twice() {
    let device = "endpoint = \"h:1\"\nsparkplug = { host_id = \"me\", groups = [\"A\", \"B\"] }\n\
                  [[topic]]\nfilter = \"plant/#\"\ntag_name = \"{1}\"\n";
    let collector = built(device, &[("t", "plant/t"), ("u", "other/u"), ("v", "other/u#/x"), ("m", "sparkplug:A/n:x")]).unwrap();
    assert_eq!(collector.device.subscriptions(), ["spBv1.0/STATE/me", "spBv1.0/A/#", "spBv1.0/B/#", "plant/#", "other/u"]);
}

#[test]
fn what_is_wrong_is_told_with_its_key() {
    for (device, key, told) in [
        ("endpoint = \"h\"", "b.endpoint", "host:port"),
        ("endpoint = \"mqtts://h:8883\"", "b.endpoint", "tls = true"),
        ("endpoint = \"u:secret@h:1\"", "b.endpoint", "password_file"),
        ("endpoint = \"::1:1883\"", "b.endpoint", "[address]:port"),
        ("endpoint = \"h:1\"\nversion = \"4\"", "b.version", "3.1.1"),
        ("endpoint = \"h:1\"\nqos = 2", "b.qos", "0 to 1"),
        ("endpoint = \"h:1\"\nclient_id = \"\"", "b.client_id", "empty"),
        ("endpoint = \"h:1\"\npassword_file = \"p\"", "b.user", "missing"),
        ("endpoint = \"h:1\"\nca_file = \"p\"", "b.ca_file", "tls = true"),
        ("endpoint = \"h:1\"\ntls = true\ncertificate_file = \"p\"", "b.key_file", "missing"),
        ("endpoint = \"h:1\"\nkeep_alive_s = 0", "b.keep_alive_s", "1 to 65535"),
        ("endpoint = \"h:1\"\nsparkplug = { host_id = \"a/b\" }", "b.sparkplug.host_id", "one of"),
        ("endpoint = \"h:1\"\nsparkplug = { host_id = \"a\", groups = [] }", "b.sparkplug.groups", "[\"+\"]"),
        ("endpoint = \"h:1\"\nsparkplug = { host_id = \"a\", tag_name = \"{node}\" }", "b.sparkplug.tag_name", "{metric}"),
        ("endpoint = \"h:1\"\ntopic = [{ filter = \"a/#/b\", tag_name = \"x\" }]", "b.topic[1].filter", "last level"),
        ("endpoint = \"h:1\"\ntopic = [{ filter = \"a/+\", tag_name = \"{2}\" }]", "b.topic[1].tag_name", "1 to 1"),
        ("endpoint = \"h:1\"\ntopic = [{ filter = \"a/+\", tag_name = \"{1}\", fields = [\"*\"] }]", "b.topic[1].tag_name", "{field}"),
        ("endpoint = \"h:1\"\ntopic = [{ filter = \"a\", tag_name = \"x\", value = \"t\" }]", "b.topic[1].value", "begins with /"),
        (
            "endpoint = \"h:1\"\ntopic = [{ filter = \"a\", tag_name = \"x\", time = \"/t\", time_format = \"iso\" }]",
            "b.topic[1].time_format",
            "unix_ms",
        ),
        (
            "endpoint = \"h:1\"\ntopic = [{ filter = \"a\", tag_name = \"x\", payload = \"text\", value = \"/t\" }]",
            "b.topic[1].value",
            "json",
        ),
        ("endpoint = \"h:1\"\ntopic = [{ filter = \"a\", tag_name = \"x\", type = \"int\" }]", "b.topic[1].type", "i64"),
        (
            "endpoint = \"h:1\"\ntopic = [{ filter = \"a\", tag_name = \"x\", exception_deadband_percent = 1 }]",
            "b.topic[1].exception_deadband_percent",
            "use exception_deadband",
        ),
        (
            "endpoint = \"h:1\"\ntopic = [{ filter = \"a\", tag_name = \"x\", type = \"bool\", compression_deviation = 1 }]",
            "b.topic[1].compression_deviation",
            "f64 or f32",
        ),
        (
            "endpoint = \"h:1\"\nsparkplug = { host_id = \"a\", compression_max_ms = 5000 }",
            "b.sparkplug.compression_max_ms",
            "without compression_deviation",
        ),
        ("endpoint = \"h:1\"", "b.tag", "nothing is collected"),
    ] {
        let told_all = built(device, &[]).err().unwrap_or_default();
        assert!(told_all.iter().any(|line| line.contains(key) && line.contains(told)), "{device}: {told_all:?}");
        assert!(told_all.iter().all(|line| !line.contains("secret")), "{told_all:?}");
    }
}

#[test]
fn tags_are_checked_one_by_one() {
    for (address, told) in [
        ("plant/+/x", "[[mqtt.topic]]"),
        ("plant/x#t", "JSON pointer"),
        ("sparkplug:a/b:c", "no [mqtt.sparkplug]"),
        ("holding:100", "write it with # at its end"),
        ("nsu=urn:plant;s=a/b", "OPC UA"),
    ] {
        let problems = built(ENDPOINT, &[("t", address)]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].contains("b.tag.t.address") && problems[0].contains(told), "{problems:?}");
    }
    assert!(built(ENDPOINT, &[("t", "holding:100#")]).is_ok());
    let twice = built(ENDPOINT, &[("t", "a/b"), ("t", "a/c"), ("u", "a/b")]).unwrap_err();
    assert!(twice[0].contains("one source") && twice[1].contains("that of tag t already"), "{twice:?}");
}
