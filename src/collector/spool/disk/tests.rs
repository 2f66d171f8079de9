//! Units of the segments on disk: what comes back after a kill at any byte, and what the bounds take.

use super::*;
use crate::spool::share::SpoolLimits;
use historian_format::{Value, ValueType};
use parking_lot::Mutex;

const SECOND: i64 = 1_000_000_000;

fn run(times: &[i64]) -> Samples {
    let mut samples = Samples::new(ValueType::F64);
    for &time in times {
        samples.push(time, Some(&Value::F64(time as f64)), 0).unwrap();
    }
    samples
}

fn frame(since: i64, runs: &[(u32, &[i64])]) -> EncodedFrame {
    let runs: Vec<(TagId, Samples)> = runs.iter().map(|(tag, times)| (TagId(*tag), run(times))).collect();
    let (frame, unwritable) = EncodedFrame::of(Timestamp(since), runs.iter().map(|(tag, run)| (*tag, run)));
    assert_eq!(unwritable, 0);
    frame
}

/// A directory with room as it is told.
struct Ground {
    root: tempfile::TempDir,
    share: Arc<SpoolShare>,
    room: Arc<AtomicU64>,
}

impl Ground {
    fn new(bytes_max: u64, age_max: Option<Duration>) -> Ground {
        let (root, room) = (tempfile::tempdir().unwrap(), Arc::new(AtomicU64::new(u64::MAX)));
        let asked = room.clone();
        let probe = Arc::new(move |_: &Path| Ok(asked.load(Ordering::Relaxed)));
        let share = Arc::new(SpoolShare::new(root.path().to_owned(), SpoolLimits { bytes_max, age_max }, probe));
        Ground { root, share, room }
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join("d")
    }

    fn open(&self) -> SpoolDisk {
        assert!(self.share.enter(&self.folder()), "nobody else has it");
        SpoolDisk::open(self.folder(), self.share.clone()).unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder()).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

type LostRuns = Vec<(u32, i64)>;

fn append(disk: &mut SpoolDisk, frames: &[EncodedFrame]) -> (io::Result<Vec<DiskPlace>>, LostRuns) {
    let lost = Mutex::new(Vec::new());
    let appended = disk.append(frames, &mut |runs, _| lost.lock().extend(times(runs)));
    (appended, lost.into_inner())
}

fn times(runs: &[(TagId, Samples)]) -> Vec<(u32, i64)> {
    runs.iter().flat_map(|(tag, run)| run.timestamps.iter().map(|&at| (tag.0, at))).collect()
}

/// Tag and time of each sample, and the spans that are damaged.
type Drained = (Vec<(u32, i64)>, Vec<(i64, i64)>);

/// All that is there, and what is told to be damaged.
fn drained(disk: &mut SpoolDisk) -> Drained {
    let (mut all, mut damaged) = (Vec::new(), Vec::new());
    while let Some(read) = disk.read(5) {
        all.extend(read.frames.iter().flat_map(|(_, batch)| times(&batch.runs)));
        damaged.extend(read.damaged.iter().map(|(from, to)| (from.0, to.0)));
        disk.drained(read.place);
    }
    (all, damaged)
}

#[test]
fn what_was_appended_is_there_after_a_kill_in_its_order_until_it_is_stored() {
    let ground = Ground::new(1 << 20, None);
    let mut disk = ground.open();
    assert!(ground.files().is_empty() && disk.is_empty());
    append(&mut disk, &[frame(10, &[(1, &[1, 2]), (2, &[1])])]).0.unwrap();
    append(&mut disk, &[frame(20, &[(1, &[3])]), frame(30, &[(2, &[2, 3, 4])])]).0.unwrap();
    assert_eq!((disk.samples(), disk.figures().since()), (7, Some(Timestamp(10))));
    drop(disk);

    let mut disk = ground.open();
    assert_eq!((disk.samples(), disk.figures().since()), (7, Some(Timestamp(10))));
    let newest: Vec<(u32, i64)> = [1, 2].map(|tag| (tag, disk.newest()[&TagId(tag)].timestamp)).to_vec();
    assert_eq!(newest, [(1, 3), (2, 4)]);
    // Read and not stored: it comes again. Read and stored: it does not.
    let first = disk.read(1).unwrap();
    assert_eq!(disk.read(1).unwrap().place, first.place);
    disk.drained(first.place);
    assert_eq!((disk.samples(), disk.figures().since()), (4, Some(Timestamp(20))));
    drop(disk);

    let mut disk = ground.open();
    assert_eq!(drained(&mut disk), (vec![(1, 3), (2, 2), (2, 3), (2, 4)], vec![]));
    assert!(disk.is_empty() && disk.figures().is_empty() && !ground.folder().exists(), "an empty folder tells that nothing waits");
    append(&mut disk, &[frame(40, &[(1, &[5])])]).0.unwrap();
    assert_eq!(drained(&mut disk).0, [(1, 5)]);
    drop(disk);
    assert!(!ground.share.is_over(1 << 20, 1 << 20), "all bytes are given back");
}

#[test]
fn a_tail_that_is_torn_at_any_byte_costs_its_frame_and_no_other() {
    let ground = Ground::new(1 << 20, None);
    let mut disk = ground.open();
    let mut ends = vec![(SPOOL_HEADER_BYTES as u64, vec![])];
    for at in 1..4 {
        let place = append(&mut disk, &[frame(at, &[(1, &[at]), (2, &[at])])]).0.unwrap()[0];
        ends.push((place.offset, (1..=at).flat_map(|at| [(1, at), (2, at)]).collect()));
    }
    drop(disk);
    let file = ground.files()[0].clone();
    let whole = fs::read(&file).unwrap();
    for cut in 0..=whole.len() {
        for tail in [&[][..], &[0; 70], &[0xA5; 70], &whole[..whole.len().min(60)]] {
            fs::create_dir_all(ground.folder()).unwrap();
            fs::write(&file, [&whole[..cut], tail].concat()).unwrap();
            let mut disk = ground.open();
            let kept = ends.iter().rev().find(|(end, _)| *end <= cut as u64).map_or(&[][..], |(_, kept)| kept);
            assert_eq!(disk.samples(), kept.len() as u64, "cut at {cut}");
            // What comes next is whole, too.
            append(&mut disk, &[frame(9, &[(3, &[9])])]).0.unwrap();
            let (all, damaged) = drained(&mut disk);
            assert_eq!((all, damaged), ([kept, &[(3, 9)]].concat(), vec![]), "cut at {cut}");
        }
    }
}

#[test]
fn damage_in_the_middle_costs_its_frame_which_is_told_and_the_rest_is_kept() {
    let ground = Ground::new(1 << 20, None);
    let mut disk = ground.open();
    let places: Vec<DiskPlace> = (1..4).map(|at| append(&mut disk, &[frame(10 * at, &[(1, &[at]), (2, &[at])])]).0.unwrap()[0]).collect();
    drop(disk);
    let file = ground.files()[0].clone();
    let whole = fs::read(&file).unwrap();
    for byte in places[0].offset..places[1].offset {
        let mut damaged = whole.clone();
        damaged[byte as usize] ^= 0x40;
        fs::create_dir_all(ground.folder()).unwrap();
        fs::write(&file, damaged).unwrap();
        let (all, told) = drained(&mut ground.open());
        assert_eq!((all, told), (vec![(1, 1), (2, 1), (1, 3), (2, 3)], vec![(10, 30)]), "at {byte}");
    }
    // A header costs nothing, and a segment of a later version is left alone.
    let mut damaged = whole.clone();
    damaged[9] ^= 1;
    fs::create_dir_all(ground.folder()).unwrap();
    fs::write(&file, damaged).unwrap();
    assert_eq!(drained(&mut ground.open()).0.len(), 6);
    let mut later = whole;
    later[4] = 2;
    fs::create_dir_all(ground.folder()).unwrap();
    fs::write(&file, &later).unwrap();
    let mut disk = ground.open();
    assert!(disk.is_empty());
    append(&mut disk, &[frame(1, &[(1, &[1])])]).0.unwrap();
    assert_eq!((drained(&mut disk).0, fs::read(&file).unwrap()), (vec![(1, 1)], later));
}

#[test]
fn of_more_than_may_be_the_oldest_goes_and_every_sample_is_either_told_or_there() {
    let ground = Ground::new(64 << 10, None);
    let mut disk = ground.open();
    let mut lost = Vec::new();
    for at in 0..400 {
        let times: Vec<i64> = (100 * at..100 * at + 100).collect();
        let (appended, gone) = append(&mut disk, &[frame(at, &[(1, &times)])]);
        appended.unwrap();
        lost.extend(gone);
        assert!(disk.bytes() <= 64 << 10);
    }
    assert!(lost.len() > 10_000 && disk.samples() > 3_000, "{} {}", lost.len(), disk.samples());
    lost.extend(drained(&mut disk).0);
    assert_eq!(lost, (0..40_000).map(|at| (1, at)).collect::<Vec<_>>(), "in their order");
    // What is more than all of it at once takes nothing with it.
    append(&mut disk, &[frame(1, &[(1, &[1])])]).0.unwrap();
    let many: Vec<i64> = (0..20_000).map(|at| at * at).collect();
    let (appended, gone) = append(&mut disk, &[frame(2, &[(1, &many)])]);
    assert_eq!((appended.unwrap_err().kind(), gone, disk.samples()), (io::ErrorKind::StorageFull, vec![], 1));
}

#[test]
fn a_device_with_much_on_disk_leaves_the_others_their_part() {
    let ground = Ground::new(128 << 10, None);
    let mut large = ground.open();
    let fill = |disk: &mut SpoolDisk, from: i64| {
        let times: Vec<i64> = (from..from + 100).collect();
        append(disk, &[frame(from, &[(1, &times)])])
    };
    for at in 0..200 {
        fill(&mut large, at * 100).0.unwrap();
    }
    assert!(large.bytes() > 100 << 10);
    let folder = ground.root.path().join("e");
    assert!(ground.share.enter(&folder));
    let mut small = SpoolDisk::open(folder, ground.share.clone()).unwrap();
    for at in 0..40 {
        let (appended, lost) = fill(&mut small, at * 100);
        assert_eq!((appended.unwrap().len(), lost), (1, vec![]), "it has less than its part");
    }
    // The one that has more gives up of it when it looks next.
    let mut lost = 0;
    large.keep_bounds(Timestamp(0), &mut |runs, _| lost += times(runs).len());
    assert!(lost > 0 && large.bytes() + small.bytes() <= 128 << 10);
}

#[test]
fn what_is_too_old_goes_by_when_it_came() {
    let ground = Ground::new(1 << 20, Some(Duration::from_mins(1)));
    let mut disk = ground.open();
    append(&mut disk, &[frame(10 * SECOND, &[(1, &[1])])]).0.unwrap();
    drop(disk);
    let mut disk = ground.open();
    append(&mut disk, &[frame(50 * SECOND, &[(1, &[2])])]).0.unwrap();
    let mut lost = Vec::new();
    let mut at = |seconds: i64| {
        disk.keep_bounds(Timestamp(seconds * SECOND), &mut |runs, since| lost.push((since.0 / SECOND, times(runs).len())));
        lost.clone()
    };
    assert_eq!(at(70), Vec::new(), "just so old");
    assert_eq!(at(71), [(10, 1)]);
    // A clock that is set back, or to the end of time, breaks nothing.
    assert_eq!(at(0).len(), 1);
    assert_eq!(at(i64::MAX / SECOND).len(), 2);
    assert!(disk.is_empty());
}

#[test]
fn a_disk_without_room_or_with_errors_keeps_nothing_of_it_and_all_from_before() {
    let ground = Ground::new(1 << 20, None);
    let mut disk = ground.open();
    append(&mut disk, &[frame(1, &[(1, &[1])])]).0.unwrap();
    ground.room.store(60, Ordering::Relaxed);
    let (appended, lost) = append(&mut disk, &[frame(2, &[(1, &[2, 3, 4])])]);
    assert_eq!((appended.unwrap_err().kind(), lost, disk.samples()), (io::ErrorKind::StorageFull, vec![], 1));
    ground.room.store(u64::MAX, Ordering::Relaxed);
    // The second of two frames finds no segment: a file stands where it would be. The first is not kept either.
    let big: Vec<i64> = (0..70_000).map(|at| at * at).collect();
    let next = ground.folder().join(format!("{:020}.spool", disk.next_number));
    fs::create_dir(&next).unwrap();
    let before = (disk.bytes(), ground.files()[0].metadata().unwrap().len());
    append(&mut disk, &[frame(2, &[(1, &[2])]), frame(2, &[(1, &big)])]).0.unwrap_err();
    assert_eq!((disk.bytes(), ground.files()[0].metadata().unwrap().len()), before);
    append(&mut disk, &[frame(2, &[(1, &[2])])]).0.unwrap();
    assert_eq!(drained(&mut disk).0, [(1, 1), (1, 2)]);
}
