//! Samples that wait on disk while the store takes nothing: over a stop, over kills, and when there are more than may wait.

use std::{
    fs,
    path::Path,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    delivery::{Narrow, await_gaps, device},
    silence::{Row, Serving, await_good, await_rows, gaps, is_good, percent_good},
    support::{
        historian::{Historian, launcher},
        peer::Peer,
    },
};

/// Longest time between two samples that come every 100 ms, on a busy machine.
const STEP_MAX: i64 = 900_000_000;

/// The Bad samples, each with the Good ones on both sides of it: times at which nothing was collected.
fn holes(rows: &[Row], step_max: i64) -> Vec<(i64, i64, i64)> {
    let holes: Vec<_> = (1..rows.len() - 1)
        .filter(|&row| !is_good(&rows[row]))
        .inspect(|&row| assert_eq!((rows[row].1.as_str(), rows[row].2.as_str()), ("", "BadDataLost"), "{rows:?}"))
        .map(|row| (rows[row - 1].0, rows[row].0, rows[row + 1].0))
        .collect();
    let good: Vec<i64> = rows.iter().filter(|row| is_good(row)).map(|row| row.0).collect();
    let absent = good.windows(2).filter(|pair| pair[1] - pair[0] > step_max).count();
    assert_eq!(absent, holes.len(), "nothing is absent but what is told: {rows:?}");
    holes
}

#[test]
fn what_waits_when_the_historian_stops_is_written_by_the_next_start_that_has_room() {
    let narrow = Narrow::new("");
    let run = narrow.run();
    let before = await_good(&run.listen, "plc/a", 0, 5).len();
    narrow.full.store(true, Ordering::SeqCst);
    std::thread::sleep(Duration::from_secs(4));
    run.stop();
    // The disk is as full when it starts again, and for some time after.
    let run = narrow.run();
    std::thread::sleep(Duration::from_secs(4));
    assert!(gaps(&run.listen).is_empty());
    narrow.full.store(false, Ordering::SeqCst);
    await_good(&run.listen, "plc/a", before, 70);
    let found = await_rows(&run.listen, "plc/a", |found| !found.iter().all(is_good));
    let holes = holes(&found, STEP_MAX);
    let [(_, bad, next)] = holes[..] else { panic!("the time in which it did not run: {holes:?}") };
    assert!(percent_good(&run.listen, "plc/a", bad, next).abs() < 1e-9);
    let told = await_gaps(&run.listen, "collector_down", 1);
    let [(None, start, end)] = told[..] else { panic!("{told:?}") };
    assert!(start <= bad && bad < end && end <= next, "{told:?} {holes:?}");
    assert_eq!(device(&run.listen, "plc").samples_dropped, 0);
    assert_eq!(gaps(&run.listen).len(), 1);
    run.stop();
}

/// Waits until this many samples of the device wait on disk.
fn await_on_disk(historian: &Historian, count: u64) -> u64 {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let metrics = historian.get("/metrics").unwrap().1;
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("historian_device_spool_disk_samples{device=\"plc\",protocol=\"modbus\"} "));
        let found = line.and_then(|number| number.parse().ok()).unwrap_or(0);
        if found >= count {
            return found;
        }
        assert!(Instant::now() < until, "{found} of {count}: {metrics}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn kills_while_the_store_has_no_room_cost_nothing_but_the_time_in_which_it_did_not_run() {
    let (_peer, port) = Peer::python("modbus_server.py", &["tcp"]);
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("historian.toml"), directory.path().join("data"));
    let device = format!("[[modbus]]\nname = \"plc\"\nendpoint = \"127.0.0.1:{port}\"\nscan_ms = 100\n");
    let tag = "[[modbus.tag]]\nname = \"plc/a\"\naddress = \"input:10\"\n";
    let serve_with = |storage: &str| {
        fs::write(&file, format!("[spool]\npath = \"spool-elsewhere\"\ndisk_reserve_bytes = 0\n{storage}{device}{tag}")).unwrap();
        let mut historian = launcher(&data, &["--config", file.to_str().unwrap()]).spawn().unwrap();
        // Without room it serves, and is not ready: that means that it takes writes.
        historian.wait("serving", |historian| historian.get("/healthz").is_ok_and(|(code, _)| code == 200));
        historian
    };
    // No disk has so much room.
    let full = "[storage]\ndisk_reserve_bytes = 1125899906842624\n";

    let mut historian = serve_with("");
    let before = await_good(&historian, "plc/a", 0, 5).len() as u64;
    historian.kill();
    let mut waiting = 0;
    for _ in 0..2 {
        std::thread::sleep(Duration::from_secs(2));
        let mut historian = serve_with(full);
        waiting = await_on_disk(&historian, waiting + 30);
        historian.kill();
    }
    assert!(has_files(&directory.path().join("spool-elsewhere")) && !data.join("spool").exists());
    std::thread::sleep(Duration::from_secs(2));

    let historian = serve_with("");
    await_good(&historian, "plc/a", 0, usize::try_from(before + waiting).unwrap() + 10);
    let found = await_rows(&historian, "plc/a", |found| found.iter().filter(|row| !is_good(row)).count() == 3);
    let holes = holes(&found, STEP_MAX);
    let mut told = await_gaps(&historian, "collector_down", 3);
    told.sort();
    assert_eq!((holes.len(), told.len(), gaps(&historian).len()), (3, 3, 3), "{holes:?} {told:?}");
    for ((last, bad, next), (tag, start, end)) in holes.into_iter().zip(told) {
        assert!(tag.is_none() && start <= bad && bad < end && end <= next, "{start} {bad} {end} {next}");
        // The mark of the run, and what was not synced yet, are about a second behind the kill.
        assert!(last - start < 2_500_000_000, "the gap begins where the run ended: {last} {start}");
    }
    let until = Instant::now() + Duration::from_mins(1);
    while has_files(&directory.path().join("spool-elsewhere")) {
        assert!(Instant::now() < until, "what is stored does not wait any longer");
        std::thread::sleep(Duration::from_millis(50));
    }
    historian.stop().unwrap();
}

fn has_files(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().flatten().any(|folder| fs::read_dir(folder.path()).is_ok_and(|mut files| files.next().is_some()))
}

#[test]
fn of_more_than_may_wait_on_disk_the_oldest_goes_and_each_tag_has_a_gap_for_what_it_lost() {
    const TAGS: usize = 6_000;
    let tag = |n: usize| format!("[[modbus.tag]]\nname = \"plc/{n}\"\naddress = \"input:10\"\n");
    let tags: String = (0..TAGS).map(tag).collect();
    let narrow = Narrow::of("[spool]\nbytes_max = \"1 MiB\"\ndisk_reserve_bytes = 0\n", 1_000, &tags);
    let run = narrow.run();
    let before = await_good(&run.listen, "plc/7", 0, 2).len();
    narrow.full.store(true, Ordering::SeqCst);
    let until = Instant::now() + Duration::from_mins(1);
    while device(&run.listen, "plc").samples_dropped < 5 * TAGS as u64 {
        assert!(Instant::now() < until, "{:?}", device(&run.listen, "plc"));
        std::thread::sleep(Duration::from_millis(100));
    }
    narrow.full.store(false, Ordering::SeqCst);
    let told = await_gaps(&run.listen, "spool_overflow", TAGS);
    assert_eq!(told.len(), TAGS, "one of each tag");
    await_good(&run.listen, "plc/7", before, 5);
    for name in ["plc/0", "plc/7", "plc/5999"] {
        let found = await_rows(&run.listen, name, |found| found.iter().any(|row| !is_good(row)));
        let holes = holes(&found, 1_900_000_000);
        let [(_, bad, next)] = holes[..] else { panic!("{holes:?}") };
        let gap = told.iter().find(|gap| gap.0.as_deref() == Some(name)).unwrap();
        assert_eq!((gap.1, gap.2), (bad, next), "from the first that is lost to the next that is kept");
        assert!(next - bad > 4_000_000_000 && percent_good(&run.listen, name, bad, next).abs() < 1e-9);
    }
    assert_eq!(gaps(&run.listen.address()).len(), TAGS);
    run.stop();
}
