//! Tags that get another name while the historian runs, by command and by configuration: history and id stay, nothing that is written is lost, and
//! no start makes the old name anew.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use historian_proto::v1::{
    self, CreateTagRequest, DoubleColumn, RenameTagRequest, Tag, TagSamples, ValueType, WriteSamplesRequest,
    tag_service_client::TagServiceClient, write_service_client::WriteServiceClient,
};
use serde_json::Value as Json;
use tokio::runtime::Runtime;
use tonic::{Code, transport::Channel};

use super::{
    PATIENCE, Site,
    reload::{Counted, device, hang_up},
};
use crate::{
    silence::{await_good, gaps, is_good, rows, told},
    support::{
        historian::{Historian, run},
        peer::Peer,
    },
};

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_767_225_600 * SECOND;

fn id(historian: &Historian, name: &str) -> u64 {
    let listed = told(historian, &["tag", "list", name, "--format", "json"]);
    let tag: Json = serde_json::from_str(listed.trim()).unwrap_or_else(|error| panic!("{name}: {error}: {listed}"));
    tag["id"].as_u64().unwrap()
}

fn is_there(historian: &Historian, name: &str) -> bool {
    !told(historian, &["tag", "list", name, "--format", "json"]).is_empty()
}

fn renames_told(historian: &Historian) -> Vec<String> {
    let log = told(historian, &["audit", "--format", "json"]);
    let entries = log.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    entries.filter(|entry| entry["action"] == "rename_tag").map(|entry| entry["detail"].as_str().unwrap().to_owned()).collect()
}

/// One sample, durably; under the first name that there is a tag of.
async fn write(client: &mut WriteServiceClient<Channel>, names: &[&str], number: i64) {
    for name in names {
        let column = v1::values::Column::F64(DoubleColumn { values: vec![number as f64] });
        let values = Some(v1::Values { column: Some(column) });
        let samples = TagSamples { tag: (*name).into(), timestamps: vec![START + number * SECOND], values, ..TagSamples::default() };
        let request = WriteSamplesRequest { options: None, samples: vec![samples] };
        let answer = client.write_samples(request).await.unwrap().into_inner();
        match answer.failures.as_slice() {
            [] => return,
            [failure] => assert_eq!(failure.code, Code::NotFound as i32, "{failure:?}"),
            more => panic!("{more:?}"),
        }
    }
    panic!("none of {names:?} takes sample {number}");
}

#[test]
fn a_tag_that_is_written_is_renamed_and_loses_nothing_though_the_historian_is_killed() {
    let (site, runtime) = (Site::new(), Runtime::new().unwrap());
    site.configure("");
    let mut historian = site.start("");
    let channel = runtime.block_on(historian.channel()).unwrap();
    let tags = TagServiceClient::new(channel.clone());
    let create = |name: &str| {
        let tag = Tag { name: name.into(), value_type: ValueType::F64.into(), unit: "bar".into(), ..Tag::default() };
        runtime.block_on(tags.clone().create_tag(CreateTagRequest { tag: Some(tag) })).unwrap().into_inner().tag.unwrap().id
    };
    let rename = |name: &str, new_name: &str| {
        let request = RenameTagRequest { name: name.into(), new_name: new_name.into(), reason: "as on the drawing".into() };
        runtime.block_on(tags.clone().rename_tag(request)).map(|answer| answer.into_inner().tag.unwrap())
    };
    let made = create("plant/old");
    create("plant/taken");
    // A version that no longer counts, and samples in chunks as well as in the head.
    runtime.block_on(write(&mut WriteServiceClient::new(channel.clone()), &["plant/old"], -1));
    let replacing = site.path("replacing.csv");
    fs::write(&replacing, "tag,timestamp,value\nplant/old,2025-12-31T23:59:59Z,5\n").unwrap();
    told(&historian, &["import", replacing.to_str().unwrap()]);
    told(&historian, &["compact"]);

    let (ended, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let writing = {
        let (ended, written, mut client) = (ended.clone(), written.clone(), WriteServiceClient::new(channel));
        runtime.spawn(async move {
            for number in 0.. {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                write(&mut client, &["plant/old", "plant/new"], number).await;
                written.store(number as usize + 1, Ordering::SeqCst);
            }
        })
    };
    let wait_for = |count: usize| {
        let until = Instant::now() + PATIENCE;
        while written.load(Ordering::SeqCst) < count {
            assert!(Instant::now() < until && !writing.is_finished(), "{} written", written.load(Ordering::SeqCst));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(50);
    assert_eq!(rename("plant/old", "plant/taken").unwrap_err().code(), Code::AlreadyExists);
    assert_eq!(rename("plant/none", "plant/new").unwrap_err().code(), Code::NotFound);
    assert_eq!(rename("plant/old", "plant//new").unwrap_err().code(), Code::InvalidArgument);
    let renamed = rename("plant/old", "plant/new").unwrap();
    assert_eq!((renamed.id, renamed.name.as_str(), renamed.unit.as_str()), (made, "plant/new", "bar"));
    assert_eq!(rename("plant/old", "plant/other").unwrap_err().code(), Code::NotFound);
    wait_for(written.load(Ordering::SeqCst) + 50);
    ended.store(true, Ordering::SeqCst);
    runtime.block_on(writing).unwrap();
    let count = written.load(Ordering::SeqCst);

    let complete = |historian: &Historian, name: &str| {
        let found = rows(historian, name);
        let times: Vec<i64> = found.iter().map(|row| row.0).collect();
        assert_eq!(times, (-1..count as i64).map(|number| START + number * SECOND).collect::<Vec<_>>());
        assert!(found[0].1.starts_with('5') && found.iter().all(is_good), "{:?}", found[0]);
        let versions = told(historian, &["superseded", name, "--start", "2025-12-31", "--end", "2026-01-01", "--format", "csv"]);
        assert_eq!(versions.lines().count(), 2, "{versions}");
    };
    complete(&historian, "plant/new");
    let (code, _, err) =
        run(&["query", "range", "plant/old", "--start", "2025-12-31", "--end", "2026-01-02", "--server", &historian.url()]);
    assert!(code != 0 && err.contains("plant/old"), "{code} {err}");

    // Acknowledged is durable, and a rename back and forth is two.
    rename("plant/new", "plant/between").unwrap();
    rename("plant/between", "plant/newest").unwrap();
    historian.kill();
    let historian = site.start("");
    assert_eq!(id(&historian, "plant/newest"), u64::from(made));
    assert!(!["plant/old", "plant/new", "plant/between"].iter().any(|name| is_there(&historian, name)));
    complete(&historian, "plant/newest");
    let details = renames_told(&historian);
    assert_eq!(details.len(), 3, "what was refused is no change: {details:?}");
    assert_eq!(details[0], format!("plant/old → plant/new; tag id {made}; as on the drawing"));
    // The old name is free, for another tag.
    let out = told(&historian, &["tag", "rename", "plant/taken", "plant/old"]);
    assert!(out.contains("plant/taken is plant/old from now on"), "{out}");
    assert_ne!(id(&historian, "plant/old"), u64::from(made));
    historian.stop().unwrap();
}

#[test]
fn of_renames_at_once_one_counts() {
    let (site, runtime) = (Site::new(), Runtime::new().unwrap());
    site.configure("");
    let historian = site.start("");
    let file = site.path("tags.csv");
    fs::write(&file, "name,type\nplant/one,f64\nplant/two,f64\n").unwrap();
    told(&historian, &["tag", "import", file.to_str().unwrap()]);
    let outcomes: Vec<Code> = runtime.block_on(async {
        let tags = TagServiceClient::new(historian.channel().await.unwrap());
        let rename = |name: &str, new_name: &str| {
            let (mut tags, request) =
                (tags.clone(), RenameTagRequest { name: name.into(), new_name: new_name.into(), reason: String::new() });
            tokio::spawn(async move { tags.rename_tag(request).await.map_or_else(|status| status.code(), |_| Code::Ok) })
        };
        // From one name to several, and from several names to one.
        let begun: Vec<_> = (0..20).map(|number| rename("plant/one", &format!("plant/{number}"))).collect();
        let others: Vec<_> = (0..20).map(|number| rename("plant/two", if number % 2 == 0 { "plant/a" } else { "plant/b" })).collect();
        let mut outcomes = Vec::new();
        for one in begun.into_iter().chain(others) {
            outcomes.push(one.await.unwrap());
        }
        outcomes
    });
    for outcomes in [&outcomes[..20], &outcomes[20..]] {
        let count = |code: Code| outcomes.iter().filter(|outcome| **outcome == code).count();
        assert_eq!((count(Code::Ok), count(Code::NotFound)), (1, 19), "{outcomes:?}");
    }
    assert_eq!(told(&historian, &["tag", "list", "plant/**", "--format", "json"]).lines().count(), 2);
    historian.stop().unwrap();
}

/// A device as [`device`], whose first tag had another name.
fn renamed(name: &str, port: u16, tags: &[(&str, u16)], from: &str) -> String {
    device(name, port, tags).replacen("address = ", &format!("renamed_from = \"{from}\"\naddress = "), 1)
}

#[test]
fn a_configuration_renames_tags_over_a_reload_and_over_a_start_and_touches_no_other_device() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let runtime = Runtime::new().unwrap();
    let [kept, plc] = [(); 2].map(|()| Counted::start(&runtime, &port));
    let site = Site::new();
    let kept_text = device("kept", kept.port, &[("kept/a", 10)]);
    fs::write(site.path("written.csv"), "name,type,renamed_from\nlab/ph,f64,\n").unwrap();
    let text = |plc: &str| format!("tag_files = [\"written.csv\"]\n{kept_text}{plc}");
    site.configure(&text(&device("plc", plc.port, &[("plc/a", 11), ("plc/b", 12)])));
    let mut historian = site.start("");
    for tag in ["kept/a", "plc/a", "plc/b"] {
        await_good(&historian, tag, 0, 3);
    }
    let ids = ["plc/a", "plc/b", "lab/ph"].map(|name| id(&historian, name));

    // Beside the configuration it is not renamed: the next start would make it anew.
    for (name, source) in [("plc/a", "device \"plc\""), ("lab/ph", "is in a tag file")] {
        let (code, out, err) = run(&["tag", "rename", name, "plc/x", "--server", &historian.url()]);
        let remedy = format!("renamed_from = \"{name}\"");
        assert!(code == 1 && err.contains(source) && err.contains(&remedy) && err.contains("reload"), "{code} {out}{err}");
    }
    assert!(!is_there(&historian, "plc/x"));

    let before = rows(&historian, "plc/a");
    fs::write(site.path("written.csv"), "name,type,renamed_from\nlab/acidity,f64,lab/ph\n").unwrap();
    site.configure(&text(&renamed("plc", plc.port, &[("plc/level", 11), ("plc/b", 12)], "plc/a")));
    let (code, out, err) = run(&["reload", "--server", &historian.url()]);
    assert!(code == 0 && out.contains("tags: 0 added, 2 changed, 0 removed"), "{code} {out}{err}");
    assert_eq!(["plc/level", "plc/b", "lab/acidity"].map(|name| id(&historian, name)), ids);
    assert!(!is_there(&historian, "plc/a") && !is_there(&historian, "lab/ph"));
    let after = await_good(&historian, "plc/level", before.len(), 5);
    assert_eq!(after[..before.len()], before, "the history is that of before");
    assert!(after.iter().all(is_good), "{after:?}");
    assert_eq!([&kept, &plc].map(Counted::accepted), [1, 2]);
    let held = rows(&historian, "kept/a");
    assert!(held.windows(2).all(|pair| pair[1].0 - pair[0].0 < 900_000_000), "{held:?}");
    let not_configured = |historian: &Historian| gaps(historian).iter().filter(|gap| gap["reason"] == "not_configured").count();
    assert_eq!(not_configured(&historian), 0, "no tag went, and none came");

    // What is written there says nothing new to the next reload.
    hang_up(&mut historian, "applied");
    assert_eq!(renames_told(&historian).len(), 2);

    // Over a start, and back.
    historian.stop().unwrap();
    site.configure(&text(&renamed("plc", plc.port, &[("plc/a", 11), ("plc/b", 12)], "plc/level")));
    let count = after.len();
    let historian = site.start("");
    let started = await_good(&historian, "plc/a", count, 3);
    assert_eq!(started[..count], after);
    assert_eq!((id(&historian, "plc/a"), is_there(&historian, "plc/level")), (ids[0], false));
    let bad: Vec<_> = started.iter().filter(|row| !is_good(row)).collect();
    assert!(bad.len() == 1 && bad[0].2 == "BadDataLost", "the time of the restart: {bad:?}");
    assert_eq!(not_configured(&historian), 0);
    let details = renames_told(&historian);
    assert_eq!(details[2], format!("plc/level → plc/a; tag id {}; renamed_from of the configuration", ids[0]));
    historian.stop().unwrap();
}

#[test]
fn the_gaps_of_a_tag_are_told_under_its_new_name_and_one_whose_names_are_both_taken_stays() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let port: u16 = port.parse().unwrap();
    let site = Site::new();
    site.configure(&device("plc", port, &[("plc/a", 11), ("plc/b", 12)]));
    let historian = site.start("");
    await_good(&historian, "plc/a", 0, 3);
    let made = id(&historian, "plc/a");
    historian.stop().unwrap();

    // Taken out, renamed by command, and collected again under that name.
    site.configure(&device("plc", port, &[("plc/b", 12)]));
    let mut historian = site.start("");
    told(&historian, &["tag", "rename", "plc/a", "plc/level", "--reason", "as on the drawing"]);
    let of = |historian: &Historian, tag: &str| {
        let found = gaps(historian).into_iter().filter(|gap| gap["tag"] == tag && gap["reason"] == "not_configured");
        found.map(|gap| (gap["start"].clone(), gap["end"].is_null())).collect::<Vec<_>>()
    };
    let (old, new) = (of(&historian, "plc/a"), of(&historian, "plc/level"));
    assert_eq!((old.len(), old[0].1, old[1].1, new.len(), new[0].1), (2, true, false, 1, true), "{old:?} {new:?}");
    assert_eq!(old[0].0, new[0].0);
    site.configure(&device("plc", port, &[("plc/level", 11), ("plc/b", 12)]));
    let count = rows(&historian, "plc/level").len();
    hang_up(&mut historian, "applied");
    await_good(&historian, "plc/level", count, 3);
    assert_eq!(id(&historian, "plc/level"), made);
    assert!(!of(&historian, "plc/level")[1].1, "it ends where the tag is collected again");

    // Another tag of the old name: what the configuration says cannot be done, and is told.
    let file = site.path("tags.csv");
    fs::write(&file, "name,type\nplc/a,f64\n").unwrap();
    told(&historian, &["tag", "import", file.to_str().unwrap()]);
    site.configure(&renamed("plc", port, &[("plc/level", 11), ("plc/b", 12)], "plc/a"));
    hang_up(&mut historian, "applied");
    historian.wait("told", |historian| historian.log().contains("there are tags of both names"));
    assert!(id(&historian, "plc/level") == made && id(&historian, "plc/a") != made);
    historian.stop().unwrap();
}

#[test]
fn who_names_a_tag_exactly_does_not_follow_its_new_name_and_is_told() {
    let site = Site::new();
    let named = "[[retention]]\ntags = [\"lab/**\"]\nage = \"10y\"\n\n[[retention]]\ntags = [\"plant/old\", \"lab/ph\"]\nage = \"10y\"\n\n\
                 [[view]]\nname = \"shift\"\ntags = [\"plant/old\", \"lab/*\"]\ninterval = \"8h\"\n";
    site.configure(&format!("tag_files = [\"written.csv\"]\n\n{named}"));
    fs::write(site.path("written.csv"), "name,type\nlab/ph,f64\n").unwrap();
    let mut historian = site.start("");
    fs::write(site.path("more.csv"), "name,type\nplant/old,f64\n").unwrap();
    told(&historian, &["tag", "import", site.path("more.csv").to_str().unwrap()]);
    let rename = |from: &str, to: &str| -> Json {
        serde_json::from_str(told(&historian, &["tag", "rename", from, to, "--format", "json"]).trim()).unwrap()
    };
    assert_eq!(rename("plant/old", "plant/new")["still_named_by"], serde_json::json!(["retention[2]", "view shift"]));
    assert_eq!(rename("plant/new", "plant/old")["still_named_by"], serde_json::json!([]), "globs go by the new name");
    let line = told(&historian, &["tag", "rename", "plant/old", "plant/new"]);
    assert!(line.contains("plant/old is still named by retention[2], view shift, which do not follow"), "{line}");

    fs::write(site.path("written.csv"), "name,type,renamed_from\nlab/acidity,f64,lab/ph\n").unwrap();
    let reload = |historian: &Historian| -> Json { serde_json::from_str(told(historian, &["reload", "--format", "json"]).trim()).unwrap() };
    let reloaded = reload(&historian);
    let left = "lab/ph is lab/acidity now, and still named by retention[2], which do not follow";
    assert_eq!(reloaded["left_behind"], serde_json::json!([left]), "{reloaded}");
    assert_eq!(reload(&historian)["left_behind"], serde_json::json!([]), "nothing is renamed twice");
    historian.wait("told in the log", |historian| historian.log().contains(left));
    historian.stop().unwrap();
}
