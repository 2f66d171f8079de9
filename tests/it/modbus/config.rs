//! Configurations that cannot be meant: each is refused with file, line, key and a message that says what would be right.

use std::fs;

use historian::{
    collector::ConfigProblem,
    model::ValueType,
    server::config::{Overrides, parse},
};

use super::{configuration, try_build};

const DEVICE: &str = "name = \"d\"\nendpoint = \"127.0.0.1:502\"\n";

fn problems(text: &str) -> Vec<ConfigProblem> {
    try_build(text).err().unwrap_or_default()
}

#[test]
fn every_problem_of_a_tag_names_its_line_its_key_and_the_remedy() {
    for (tag, key, parts) in [
        ("address = \"holding\"", "address", "neither area:number"),
        ("address = \"holding:65536\"", "address", "out of range"),
        ("address = \"holding:65535\"\nformat = \"f32\"", "address", "reaches to register 65536"),
        ("address = \"holding:65533\"\nformat = \"u64\"", "address", "reaches to register 65536"),
        ("address = \"holding:1\"\nformat = \"u24\"", "format", "unknown format \"u24\"; known are u16, i16"),
        ("address = \"holding:1\"\nformat = \"string:0\"", "format", "1 to 125 registers"),
        ("address = \"holding:1\"\nformat = \"string:126\"", "format", "1 to 125 registers"),
        ("address = \"holding:1\"\nformat = \"bool\"", "format", "holding:100.3"),
        ("address = \"holding:1\"\ntype = \"bool\"", "address", "holding:100.3"),
        ("address = \"holding:1\"\ntype = \"string\"", "format", "string:8"),
        ("address = \"holding:1\"\ntype = \"double\"", "type", "unknown value type \"double\""),
        ("address = \"holding:1\"\nformat = \"u64\"\ntype = \"i64\"", "type", "without loss"),
        ("address = \"holding:1\"\nformat = \"i16\"\ntype = \"u64\"", "type", "without loss"),
        ("address = \"holding:1\"\nformat = \"f64\"\ntype = \"f32\"", "type", "without loss"),
        ("address = \"holding:1\"\nformat = \"u16\"\nscale = 0.1\ntype = \"i64\"", "type", "where scale and offset are whole numbers"),
        ("address = \"holding:1\"\nformat = \"u16\"\nscale = 10\noffset = 0.5\ntype = \"u64\"", "type", "whole numbers"),
        ("address = \"holding:1\"\nformat = \"f32\"\nscale = 10\ntype = \"i64\"", "type", "scaled values are f64"),
        ("address = \"holding:1\"\nformat = \"u16\"\nscale = 10\ntype = \"state\"", "type", "scaled values are f64"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"holding:2\"\ntype = \"i64\"", "type", "no scale_from"),
        ("address = \"holding:1\"\nformat = \"i16\"\nread_single = true\nscale_from = \"holding:2\"", "scale_from", "read_single = false"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"input:2\"", "scale_from", "the same area"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"2!holding:2\"", "scale_from", "the same unit"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"holding:2.1\"", "scale_from", "a whole register"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"hr:2\"", "scale_from", "did you mean holding:2?"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"holding:200\"", "scale_from", "lie 200 registers apart"),
        ("address = \"holding:1\"\nformat = \"i32\"\nscale_from = \"holding:2\"", "scale_from", "one of the registers of its value"),
        ("address = \"holding:1\"\nformat = \"i16\"\nscale_from_kind = \"multiplier\"", "scale_from_kind", "there is no scale_from"),
        (
            "address = \"holding:1\"\nformat = \"i16\"\nscale_from = \"holding:2\"\nscale_from_kind = \"factor\"",
            "scale_from_kind",
            "known are power-of-ten, multiplier",
        ),
        ("address = \"holding:1\"\nformat = \"unix32\"\nscale = 2.0", "scale", "need a number"),
        ("address = \"holding:1\"\nformat = \"FLOAT32\"", "format", "did you mean f32?"),
        ("address = \"hr:100\"", "address", "did you mean holding:100?"),
        ("address = \"4x0102\"", "address", "did you mean 40102?"),
        ("address = \"0x64\"", "address", "did you mean holding:100?"),
        ("address = \"holding:1\"\nword_order = \"little-endian\"", "word_order", "did you mean DCBA?"),
        ("address = \"holding:1\"\nstate_set = \"off|on\"\ntype = \"f64\"", "state_set", "belongs to tags of type state"),
        ("address = \"holding:1\"\nstate_set = \"0=off|on\"", "state_set", "has no number"),
        ("address = \"holding:1.7-4\"", "address", "write .4-7"),
        ("address = \"holding:1.32\"\nformat = \"u32\"", "address", "bits 0 to 31"),
        ("address = \"holding:1\"\nformat = \"bcd16\"\nnot_available = 65535", "not_available", "bits are written in quotes"),
        ("address = \"holding:1\"\nformat = \"string:2\"\nnot_available = 0", "not_available", "only \"empty\""),
        ("address = \"holding:1\"\ntype = \"f64\"\nscale = 0.1", "format", "say how the raw value lies"),
        ("address = \"holding:1.3\"\nscale = 2.0", "scale", "need a number"),
        ("address = \"coil:1\"\noffset = 2.0", "scale", "need a number"),
        ("address = \"coil:1\"\nformat = \"u16\"", "format", "a coil is a bool"),
        ("address = \"coil:1\"\nword_order = \"CDAB\"", "word_order", "no word order"),
        ("address = \"holding:1.3\"\nformat = \"i16\"", "format", "names bit 3"),
        ("address = \"holding:1.16\"", "address", "bits 0 to 15"),
        ("address = \"coil:1.1\"", "address", "one bit already"),
        ("address = \"holding:1\"\nword_order = \"ACDB\"", "word_order", "known are ABCD, CDAB, BADC, DCBA"),
        ("address = \"holding:1\"\nscale = 0.0", "scale", "every value the offset"),
        ("address = \"holding:1\"\nscale = nan", "scale", "not a finite number"),
        ("address = \"holding:1\"\noffset = inf", "offset", "not a finite number"),
        ("address = \"holding:1\"\nrange_low = 2.0\nrange_high = 1.0", "range_low", "above range_high"),
        ("address = \"holding:1\"\nscan_ms = 0", "scan_ms", "10 to 86400000"),
        ("address = \"holding:1\"\nsampling_ms = 100", "sampling_ms", "OPC UA"),
        ("address = \"holding:1\"\ndeadband = 0.5", "deadband", "OPC UA"),
        ("address = \"holding:1\"\nformat = \"i16\"\nnot_available = 0x10000", "not_available", "no raw value of i16"),
        ("address = \"holding:1\"\nnot_available = -1", "not_available", "no raw value of u16"),
        ("address = \"coil:1\"\nnot_available = 1", "not_available", "needs a number"),
        ("address = \"holding:1\"\nformat = \"characters:126\"", "format", "1 to 125 registers"),
        ("address = \"300!holding:1\"", "address", "above 255"),
        ("address = \"formula:{boiler} + 1\"", "address", "the device has no tag \"boiler\""),
        ("address = \"formula:{area/t} + 1\"", "address", "calculated from itself: area/t from area/t"),
        ("address = \"formula:area/t + 1\"", "address", "names of tags stand in braces: {area/t}"),
        ("address = \"formula:{area/t} +\"", "address", "ends where a value was expected"),
        ("address = \"formula:1 + 1\"", "address", "names no tag"),
        ("address = \"formula:{a} * 2\"\nscale = 0.1", "scale", "write the number into its formula"),
        ("address = \"formula:{a} * 2\"\nscan_ms = 500", "scan_ms", "at each poll of its fastest input"),
        ("address = \"formula:{a} * 2\"\nformat = \"u16\"", "format", "not read from registers"),
        ("address = \"formula:{a} * 2\"\ntype = \"state\"", "type", "f64, or i64 or u64"),
        ("address = \"formula:{a} * 2\"\nstate_set = \"off|on\"", "state_set", "not"),
        ("address = \"holding:1\"\nstored = false", "stored", "no formula of the device takes the tag"),
        ("address = \"holding:1\"\nstored = false\nrenamed_from = \"b\"", "stored", "renamed_from"),
        ("address = \"holding:1\"\nstored = false\nexception_deadband = 1.0", "stored", "nothing of the tag is stored"),
        ("address = \"formula:{a} * 2\"\nstored = false\nrenamed_from = \"b\"", "stored", "renamed_from"),
        ("address = \"holding:1\"\nexception_deadband = -1.0", "exception_deadband", "0 or a positive number"),
        ("address = \"coil:1\"\nexception_deadband = 1.0", "exception_deadband", "0 passes changes only"),
        ("address = \"holding:1\"\nexception_deadband_percent = 1.0", "exception_deadband_percent", "set range_low and range_high"),
        ("address = \"holding:1\"\nexception_deadband = 1.0\nexception_max_ms = 10", "exception_max_ms", "1000 to 86400000"),
        ("address = \"holding:1\"\nexception_deadband = 1.0\nexception_min_ms = 700000", "exception_min_ms", "above the longest interval"),
        ("address = \"holding:1\"\nformat = \"f32\"\ncompression_deviation = 0.0", "compression_deviation", "a positive number"),
        ("address = \"holding:1\"\ncompression_deviation = 1.0", "compression_deviation", "use exception_deadband"),
        ("address = \"holding:1\"\ncompression_max_ms = 5000", "compression_max_ms", "has no effect without compression_deviation"),
    ] {
        let text = format!("{DEVICE}\n[[tag]]\nname = \"area/t\"\n{tag}\n");
        let mut problems = problems(&text);
        // A device whose only tag cannot be read has none.
        problems.retain(|problem| !problem.message.contains("the device has no tag;"));
        assert_eq!(problems.len(), 1, "{tag}: {problems:#?}");
        let shown = problems[0].to_string();
        // The line of the key itself, or of the tag where the key is not written.
        let line = 5 + configuration(&text).lines().skip(4).position(|line| line.starts_with(&format!("{key} ="))).unwrap_or(0);
        assert!(shown.starts_with(&format!("historian.toml:{line}: modbus.d.tag.area/t.{key}: ")), "{tag}: {shown}");
        assert!(shown.contains(parts), "{tag}: {shown}");
    }
}

#[test]
fn problems_of_the_device_name_their_key() {
    for (line, key, parts) in [
        ("scan_ms = 0", "scan_ms", "10 to 86400000"),
        ("timeout_ms = 0", "timeout_ms", "10 to 60000"),
        ("timeout_ms = 3600000", "timeout_ms", "10 to 60000"),
        ("max_registers = 126", "max_registers", "1 to 125"),
        ("max_registers = 0", "max_registers", "1 to 125"),
        ("max_bits = 2001", "max_bits", "1 to 2000"),
        ("pause_after_connect_ms = 600000", "pause_after_connect_ms", "0 to 60000"),
        ("word_order = \"little\"", "word_order", "known are ABCD"),
        ("transport = \"rtu-over-tcp\"\nunit = 0", "unit", "1 to 247"),
        ("transport = \"rtu-over-tcp\"\naccept_any_transaction = true", "accept_any_transaction", "no transaction ids"),
        ("not_available = [0x8000]", "not_available", "i16 0x8000"),
    ] {
        let problems = problems(&format!("{DEVICE}{line}\n[[tag]]\nname = \"t\"\naddress = \"holding:1\"\n"));
        assert_eq!(problems.len(), 1, "{line}: {problems:#?}");
        assert_eq!(problems[0].key, format!("modbus.d.{key}"));
        assert!(problems[0].message.contains(parts), "{line}: {}", problems[0]);
    }
    for endpoint in ["plc", "plc:", ":502", "plc:0", "plc:70000", "tcp://plc:502", "fe80::1:502", "a b:502"] {
        let problems = problems(&format!("name = \"d\"\nendpoint = \"{endpoint}\"\n[[tag]]\nname = \"t\"\naddress = \"coil:1\"\n"));
        assert_eq!(problems.len(), 1, "{endpoint}: {problems:#?}");
        assert!(problems[0].message.contains("192.168.1.10:502"), "{}", problems[0]);
    }
    let problems = problems(DEVICE);
    assert!(problems[0].message.contains("has no tag"), "{problems:#?}");
}

#[test]
fn keys_that_nobody_knows_are_refused() {
    let tag = "[[tag]]\nname = \"t\"\naddress = \"coil:1\"\n";
    for (text, expected) in [
        (format!("{DEVICE}scan_m = 5\n{tag}"), "historian.toml:4: modbus.d.scan_m: unknown key; did you mean \"scan_ms\"?"),
        (format!("{DEVICE}tags = 5\n{tag}"), "historian.toml:4: modbus.d.tags: unknown key; did you mean \"tag\"?"),
        (
            format!("{DEVICE}{tag}wordorder = \"ABCD\"\n"),
            "historian.toml:7: modbus.d.tag.t.wordorder: unknown key; did you mean \"word_order\"?",
        ),
        (
            format!("{DEVICE}{tag}endianness = \"ABCD\"\n"),
            "historian.toml:7: modbus.d.tag.t.endianness: unknown key; did you mean \"word_order\"?",
        ),
        (format!("{DEVICE}slave_id = 5\n{tag}"), "historian.toml:4: modbus.d.slave_id: unknown key; did you mean \"unit\"?"),
        (
            format!("{DEVICE}{tag}slave_id = 5\n"),
            "historian.toml:7: modbus.d.tag.t.slave_id: unknown key; the unit is part of the address, as in 2!holding:100",
        ),
        (
            format!("{DEVICE}{tag}colour = \"red\"\n"),
            "historian.toml:7: modbus.d.tag.t.colour: unknown key; known are name, type, unit, description, stepped, range_low, \
             range_high, state_set, renamed_from, exception_deadband, exception_deadband_percent, exception_min_ms, exception_max_ms, \
             compression_deviation, compression_deviation_percent, compression_max_ms, address, format, word_order, scale, offset, \
             scale_from, scale_from_kind, scan_ms, read_single, not_available, stored",
        ),
        (format!("{DEVICE}{tag}rang_low = 1\n"), "historian.toml:7: modbus.d.tag.t.rang_low: unknown key; did you mean \"range_low\"?"),
        (
            format!("{DEVICE}{tag}timestamps = \"source\"\n"),
            "historian.toml:7: modbus.d.tag.t.timestamps: is a key of OPC UA tags; Modbus tags have format, word_order, scale, offset, \
             scale_from, scale_from_kind, scan_ms, read_single, not_available, stored",
        ),
        (format!("{DEVICE}[[tag]]\nname = \"t\"\n"), "historian.toml:4: modbus.d.tag.t.address: this key is needed and is not there"),
        (format!("{DEVICE}[[tag]]\naddress = \"coil:1\"\n"), "historian.toml:4: modbus.d.tag[1].name: this key is needed and is not there"),
        (
            format!("{DEVICE}{tag}scan_ms = -1\n"),
            "historian.toml:7: modbus.d.tag.t.scan_ms: expected a whole number from 0, found integer -1",
        ),
        (format!("{DEVICE}{tag}scale = \"x\"\n"), "historian.toml:7: modbus.d.tag.t.scale: expected a number, found the text \"x\""),
        (format!("{DEVICE}{tag}stepped = 1\n"), "historian.toml:7: modbus.d.tag.t.stepped: expected true or false, found integer 1"),
        (format!("{DEVICE}{tag}unit = 1\n"), "historian.toml:7: modbus.d.tag.t.unit: expected a text in quotes, found integer 1"),
    ] {
        let told: Vec<String> = problems(&text).iter().map(ToString::to_string).collect();
        // A device whose only tag cannot be read has none.
        let told: Vec<&String> = told.iter().filter(|problem| !problem.contains("the device has no tag;")).collect();
        assert_eq!(told, [expected], "{text}");
    }
}

/// Two tags, and whether they may stand beside each other.
#[test]
fn values_share_all_their_registers_or_none_unless_one_is_a_part_of_the_other() {
    for (first, second, allowed) in [
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"holding:101\"", false),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"holding:102\"", true),
        ("address = \"holding:101\"\nformat = \"f32\"", "address = \"holding:100\"\nformat = \"u64\"", false),
        ("address = \"holding:100\"\nformat = \"u16\"", "address = \"holding:100\"\nformat = \"i16\"", true),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"holding:100\"\nformat = \"f32\"\nword_order = \"CDAB\"", true),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"holding:100\"\nformat = \"u32\"\nscan_ms = 60000", true),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"holding:100\"", false),
        ("address = \"holding:100\"\nformat = \"u32\"", "address = \"holding:100\"", false),
        ("address = \"holding:100.4-7\"", "address = \"holding:100\"", true),
        ("address = \"holding:100.20\"\nformat = \"u32\"", "address = \"holding:101\"", true),
        ("address = \"holding:100\"\nformat = \"i16\"\nscale_from = \"holding:101\"", "address = \"holding:101\"\nformat = \"u32\"", true),
        ("address = \"holding:100\"\nformat = \"i16\"", "address = \"holding:100\"\nformat = \"i16\"\nscale = 0.1", true),
        ("address = \"holding:100.1\"", "address = \"holding:100.2\"", true),
        ("address = \"holding:100.1\"", "address = \"holding:100\"", true),
        ("address = \"holding:101.1\"", "address = \"holding:100\"\nformat = \"u32\"", true),
        ("address = \"holding:101.1\"", "address = \"holding:100\"\nformat = \"f32\"", false),
        ("address = \"holding:100\"\nformat = \"u8-low\"", "address = \"holding:100\"\nformat = \"u8-high\"", true),
        ("address = \"holding:100\"\nformat = \"string:4\"", "address = \"holding:103\"", false),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"input:101\"", true),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"2!holding:101\"", true),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"40102\"", false),
        ("address = \"holding:100\"\nformat = \"f32\"", "address = \"holding:101\"\nscan_ms = 5000", false),
    ] {
        let text = format!("{DEVICE}[[tag]]\nname = \"one\"\n{first}\n[[tag]]\nname = \"two\"\n{second}\n");
        let problems = problems(&text);
        assert_eq!(problems.is_empty(), allowed, "{first} and {second}: {problems:#?}");
        if let [problem] = &problems[..] {
            let shown = problem.to_string();
            assert!(
                shown.contains("modbus.d.tag.two.address") && shown.contains("\"one\"") && shown.contains("at historian.toml:4;"),
                "{shown}"
            );
        }
    }
}

#[test]
fn all_problems_are_told_at_once_and_names_are_used_once() {
    let text = format!(
        "{DEVICE}timeout_ms = 0\n[[tag]]\nname = \"a\"\naddress = \"holding:1\"\n[[tag]]\nname = \"a\"\naddress = \"holding:2\"\n\
         [[tag]]\nname = \"b*\"\naddress = \"holding:x\"\nformat = \"?\"\n"
    );
    let keys: Vec<_> = problems(&text).into_iter().map(|problem| problem.key).collect();
    assert_eq!(
        keys,
        ["modbus.d.timeout_ms", "modbus.d.tag.a.name", "modbus.d.tag.b*.name", "modbus.d.tag.b*.address", "modbus.d.tag.b*.format"]
    );
}

#[test]
fn value_types_follow_from_format_and_scale_and_tags_of_a_file_come_after() {
    let text = format!(
        "{DEVICE}zero_based = false\nword_order = \"CDAB\"\n[[tag]]\nname = \"a\"\naddress = \"holding:1\"\nunit = \"bar\"\nrange_high = 6.0\n\
         [[tag]]\nname = \"b\"\naddress = \"holding:2\"\nformat = \"i32\"\n[[tag]]\nname = \"c\"\naddress = \"holding:4\"\nscale = 0.1\nformat = \"u16\"\n\
         [[tag]]\nname = \"d\"\naddress = \"holding:5\"\ntype = \"f64\"\n[[tag]]\nname = \"e\"\naddress = \"coil:1\"\n"
    );
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("t.csv"), "name,device,address,format\nf,d,input:1,f32\n").unwrap();
    let text = format!("tag_files = [\"t.csv\"]\n{}", configuration(&text));
    let read = parse("historian.toml", &text, directory.path(), &Overrides::default()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let collector = &read.collectors[0];
    let types: Vec<_> = collector.tags().iter().map(|tag| (tag.name.to_string(), tag.value_type, tag.stepped)).collect();
    let expected = [
        ("a", ValueType::U64, true),
        ("b", ValueType::I64, true),
        ("c", ValueType::F64, false),
        ("d", ValueType::F64, false),
        ("e", ValueType::Bool, true),
        ("f", ValueType::F32, false),
    ];
    assert_eq!(types, expected.map(|(name, value_type, stepped)| (name.to_owned(), value_type, stepped)));
    let first = &collector.tags()[0];
    assert_eq!((first.unit.as_str(), first.range_high), ("bar", Some(6.0)));
    assert_eq!(first.source.as_ref().map(|source| (source.device.as_str(), source.address.as_str())), Some(("d", "holding:1")));
}

#[test]
fn a_formula_takes_numbers_of_one_unit_and_says_which_are_none() {
    let others = "[[tag]]\nname = \"a\"\naddress = \"holding:1\"\n[[tag]]\nname = \"b\"\naddress = \"2!holding:1\"\n\
                  [[tag]]\nname = \"text\"\naddress = \"holding:10\"\nformat = \"string:4\"\n";
    for (formula, expected) in [
        ("{a} + {b}", "t.address: {a} is of unit 1, and {b} of unit 2"),
        ("{a} + {text}", "t.address: {text} is a text"),
        ("{a} / 2\"\ntype = \"i64", "t.type: calculated values are f64; they are i64 where"),
        ("{a} * 0.5\"\ntype = \"u64", "t.type: calculated values are f64; they are u64 where"),
        ("{t2} + 1", "t.address: the tag is calculated from itself: t from t2 from t"),
    ] {
        let t2 = if formula.contains("t2") { "[[tag]]\nname = \"t2\"\naddress = \"formula:{t} * 2\"\n" } else { "" };
        let problems = problems(&format!("{DEVICE}{others}{t2}[[tag]]\nname = \"t\"\naddress = \"formula:{formula}\"\n"));
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert!(told.iter().any(|line| line.contains(expected)), "{formula}: {told:#?}");
        assert_eq!(told.len(), 1 + usize::from(!t2.is_empty()), "{told:#?}");
    }
}
