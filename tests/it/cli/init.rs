//! `historian init modbus`: lists of registers as plants have them become configurations that are valid.

use std::fs;

use historian::server::config::{self, Overrides};

use super::{directory, historian, path, stderr, stdout};

/// As a German spreadsheet saves it: a title, semicolons, decimal commas, and rows that cannot be meant.
const GERMAN: &str = "Registerliste Trockner 3;;;;;;;;\n\
    ;;;;;;;;\n\
    Lfd.;Bezeichnung;Register-Adresse [dez];Datentyp;Einheit;Faktor;Min;Max;Beschreibung\n\
    1;DRYE-TE101;40001;REAL;°C;1;20;95,5;Zulufttemperatur\n\
    2;DRYE-TE102;40003;FLOAT32 (CDAB);°C;;20;95;\"Ablufttemperatur; hinten\"\n\
    Drehzahlen;;;;;;;;\n\
    3;DRYE-SC301;40005;INT;1/min;0,1;;;Drehzahl\n\
    4;DRYE-XS001;40006.3;BOOL;;;;;Störung\n\
    5;DRYE-ZZ001;40010;FLOAT24;;;;;\n\
    6;DRYE-SC302;;INT;1/min;0,1;;;\n\
    7;DRYE-SC303;40012;INT;1/min;1.000;;;\n\
    8;DRYE-TE103;40002;REAL;°C;;;;liegt auf TE101 und TE102\n\
    9;DRYE-TE101;40020;REAL;°C;;;;zweimal\n";

fn latin(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("a character of Latin-1")).collect()
}

/// The tag file without its heading, and each line without the name of the device.
fn tags(text: &str) -> Vec<String> {
    text.lines().skip(1).map(|line| line.replacen(",dryer,", ",", 1)).collect()
}

#[test]
fn a_german_list_becomes_a_valid_configuration_and_what_cannot_be_meant_is_told_with_its_line() {
    let files = directory(&[]);
    fs::write(files.path().join("liste.csv"), latin(GERMAN)).unwrap();
    let (list, out) = (path(&files, "liste.csv"), path(&files, "out"));
    let arguments = ["init", "modbus", &list, "--output", &out, "--device", "dryer", "--endpoint", "10.0.0.7:502"];
    let output = historian(&arguments);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "rows were left out: {text}{}", stderr(&output));
    assert!(text.contains("Latin-1, semicolons, decimal comma, heading in line 3\n"), "{text}");
    assert!(text.contains("  Register-Adresse [dez]  address\n") && text.contains("  Lfd.                    not used\n"), "{text}");
    for (line, part) in [
        (9, "\"FLOAT24\" is no type that is known"),
        (10, "DRYE-SC302 has no address"),
        (11, "\"1.000\" could be a number of thousands"),
        (12, "overlaps"),
        (13, "twice"),
    ] {
        let told = text.lines().find(|told| told.starts_with(&format!("line {line}: "))).unwrap_or_else(|| panic!("line {line}: {text}"));
        assert!(told.contains(part), "{told}");
    }
    assert!(text.contains("4 tags in ") && text.contains("; 5 rows left out\n"), "{text}");
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    assert_eq!(
        tags(&written),
        [
            "DRYE-TE101,40001,f32,,,,°C,20,95.5,Zulufttemperatur",
            "DRYE-TE102,40003,f32,CDAB,,,°C,20,95,Ablufttemperatur; hinten",
            "DRYE-SC301,40005,i16,,0.1,,1/min,,,Drehzahl",
            "DRYE-XS001,40006.3,,,,,,,,Störung",
        ]
    );
    let toml = files.path().join("out/historian.toml");
    let checked = historian(&["check", "--offline", "--config", &toml.display().to_string()]);
    assert_eq!(checked.status.code(), Some(0), "{}{}", stdout(&checked), stderr(&checked));
    let configuration = config::load(Some(&toml), &Overrides::default()).unwrap();
    assert_eq!((configuration.collectors[0].device(), configuration.collectors[0].endpoint()), ("dryer", "10.0.0.7:502"));

    // A second time nothing is written over.
    let again = historian(&arguments);
    assert_eq!(again.status.code(), Some(2), "{}", stderr(&again));
    assert!(stderr(&again).contains("is there already"), "{}", stderr(&again));
    assert_eq!(fs::read_to_string(files.path().join("out/tags.csv")).unwrap(), written);
}

#[test]
fn an_english_list_with_units_functions_and_lengths_is_mapped_whole() {
    let list = "Tag Name,Slave ID,Function Code,Register,Data Type,Length,Divisor,Eng Units,Description\n\
        pump/speed,1,3,100,Unsigned,1,10,Hz,\"Speed, actual\"\n\
        pump/energy,1,4,200,Unsigned,2,,kWh,Energy\n\
        pump/run,1,1,7,Boolean,,,,\n\
        fan/flow,2,3,4x0021,Float,2,,m3/h,\n\
        fan/name,2,3,300,String,8,,,\n";
    let files = directory(&[("list.csv", list)]);
    let out = path(&files, "out");
    let output = historian(&["init", "modbus", &path(&files, "list.csv"), "--output", &out, "--device", "dryer", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    let object: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!((object["tags"].as_u64(), object["left_out"].as_array().map(Vec::len)), (Some(5), Some(0)), "{object}");
    assert!(object["notes"].as_array().unwrap().iter().any(|note| note.as_str().unwrap().contains("--one-based")), "{object}");
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    assert_eq!(
        tags(&written),
        [
            "pump/speed,holding:100,u16,,0.1,,Hz,,,\"Speed, actual\"",
            "pump/energy,input:200,u32,,,,kWh,,,Energy",
            "pump/run,coil:7,,,,,,,,",
            "fan/flow,2!holding:20,f32,,,,m3/h,,,",
            "fan/name,2!holding:300,string:8,,,,,,,",
        ]
    );
    let checked = historian(&["check", "--offline", "--config", &format!("{out}/historian.toml")]);
    assert_eq!(checked.status.code(), Some(0), "{}{}", stdout(&checked), stderr(&checked));
}

/// The columns of a Kepware export.
#[test]
fn an_export_of_kepware_is_mapped_and_what_it_scales_by_two_ranges_is_left_out() {
    let list = "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Eng Units,Description,Negate Value\n\
        \"Pump1.Speed\",\"400101\",Float,1,R/W,100,None,,,rpm,\"\",\n\
        \"Pump1.Run\",\"000017\",Boolean,1,R/W,100,,,,,\"Running\",\n\
        \"Pump1.Level\",\"300005\",Word,1,RO,100,Linear,0,4095,%,\"\",\n";
    let files = directory(&[("kepware.csv", list)]);
    let output = historian(&["init", "modbus", &path(&files, "kepware.csv"), "--output", &path(&files, "out"), "--device", "dryer"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    assert!(text.contains("line 4: scale: \"Linear\" is no number"), "{text}");
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    assert_eq!(tags(&written), ["Pump1.Speed,400101,f32,,,,rpm,,,", "Pump1.Run,000017,,,,,,,,Running"]);
}

/// The columns of Kepware with its scaling, its texts and its bits.
#[test]
fn two_ranges_of_kepware_are_scale_and_offset_and_its_order_is_told() {
    let list = "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value\n\
        \"Pump1.Level\",\"300005\",Word,1,RO,100,Linear,0,1000,0,100,Float,0,0,%,\"\",0\n\
        \"Pump1.Temperature\",\"400010\",Short,1,RO,100,Linear,4000,20000,-40,120,Float,0,0,degC,\"\",0\n\
        \"Pump1.Back\",\"400011\",Short,1,RO,100,Linear,0,1000,0,100,Float,0,0,,\"\",1\n\
        \"Pump1.Alarm\",\"400012.3\",Boolean,1,RO,100,,,,,,,,,,,\n\
        \"Pump1.Total\",\"400020\",DWord,1,RO,100,None,,,,,,,,kWh,,\n\
        \"Pump1.Count\",\"400022\",LBCD,1,RO,100,None,,,,,,,,,,\n\
        \"Pump1.Name\",\"400030.20H\",String,1,RO,100,,,,,,,,,,,\n\
        \"Pump1.Maker\",\"400050.7L\",String,1,RO,100,,,,,,,,,,,\n\
        \"Pump1.Root\",\"400060\",Word,1,RO,100,Square Root,0,1000,0,100,Float,0,0,,,0\n\
        \"Pump1.Array\",\"400070[8]\",Word Array,1,RO,100,,,,,,,,,,,\n";
    let files = directory(&[("kepware.csv", list)]);
    let out = path(&files, "out");
    let output = historian(&["init", "modbus", &path(&files, "kepware.csv"), "--output", &out, "--device", "dryer"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    for part in
        ["line 10: scale: \"Square Root\" is no number", "line 11: ", "3 rows are scaled from one range", "2 values take several registers"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    assert_eq!(
        tags(&written),
        [
            "Pump1.Level,300005,u16,,0.1,,%,0,100,",
            "Pump1.Temperature,400010,i16,,0.01,-80,degC,-40,120,",
            "Pump1.Back,400011,i16,,-0.1,,,,,",
            "Pump1.Alarm,400012.3,,,,,,,,",
            "Pump1.Total,400020,u32,,,,kWh,,,",
            "Pump1.Count,400022,bcd32,,,,,,,",
            "Pump1.Name,400030,string:10,,,,,,,",
            "Pump1.Maker,400050,string:4,BADC,,,,,,",
        ]
    );
    let checked = historian(&["check", "--offline", "--config", &format!("{out}/historian.toml")]);
    assert_eq!(checked.status.code(), Some(0), "{}{}", stdout(&checked), stderr(&checked));
}

/// A tag table of TIA Portal: inputs and outputs have their place in an `MB_SERVER`, memory has none that the table tells.
#[test]
fn a_tag_table_of_tia_is_mapped_as_far_as_modbus_reaches() {
    let list = "Name;Path;Data Type;Logical Address;Comment;Hmi Visible\n\
        Motor_Run;Default tag table;Bool;%I0.3;Motor runs;True\n\
        Valve_Open;Default tag table;Bool;%Q1.0;;True\n\
        Level;Default tag table;Int;%IW64;Level of the tank;True\n\
        Flow;Default tag table;Real;%ID68;;True\n\
        Setpoint;Default tag table;Real;%MD100;;True\n\
        Speed;Default tag table;Int;%QW80;;True\n";
    let files = directory(&[("tags.csv", list)]);
    let out = path(&files, "out");
    let output = historian(&["init", "modbus", &path(&files, "tags.csv"), "--output", &out, "--device", "plc"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(1), "{text}{}", stderr(&output));
    for part in ["line 6: which register %MD100 is depends on MB_HOLD_REG", "line 7: words of outputs such as %QW80"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let written = fs::read_to_string(files.path().join("out/tags.csv")).unwrap();
    let tags: Vec<String> = written.lines().skip(1).map(|line| line.replacen(",plc,", ",", 1)).collect();
    assert_eq!(
        tags,
        [
            "Motor_Run,discrete:3,,,,,,,,Motor runs",
            "Valve_Open,coil:8,,,,,,,,",
            "Level,input:32,i16,,,,,,,Level of the tank",
            "Flow,input:34,f32,,,,,,,",
        ]
    );
    let checked = historian(&["check", "--offline", "--config", &format!("{out}/historian.toml")]);
    assert_eq!(checked.status.code(), Some(0), "{}{}", stdout(&checked), stderr(&checked));
}

#[test]
fn what_is_no_list_leaves_nothing_behind() {
    let files =
        directory(&[("no.csv", "a;b\n1;2\n"), ("none.csv", "name;address;type\nx;40001;FLOAT24\n"), ("book.csv", "PK\u{3}\u{4}...")]);
    for (name, part) in
        [("no.csv", "no row of headings"), ("none.csv", "FLOAT24"), ("book.csv", "is no whole XLSX file"), ("gone.csv", "cannot be read")]
    {
        let output = historian(&["init", "modbus", &path(&files, name), "--output", &path(&files, "out")]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(stderr(&output).contains(part), "{name}: {}", stderr(&output));
        assert!(!files.path().join("out/historian.toml").exists() && !files.path().join("out/tags.csv").exists(), "{name}");
    }
    // A mistake in what was typed is the configuration's, in its words.
    let list = directory(&[("list.csv", "name;address\nx;40001\n")]);
    let output = historian(&["init", "modbus", &path(&list, "list.csv"), "--output", &path(&list, "out"), "--endpoint", "COM1"]);
    assert_eq!(output.status.code(), Some(2), "{}{}", stdout(&output), stderr(&output));
    assert!(stderr(&output).contains("serial port"), "{}", stderr(&output));
}
