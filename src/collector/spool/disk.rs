//! The spool of one device on disk: segments that are appended to behind and read in front, oldest first. Everything here blocks.
//!
//! What is appended is synced before it counts as kept; where that fails nothing of it is, and the segment is left. What is read stays until it
//! is said to be stored: after a kill it is read again. The bytes are specified in `storage-format/spool.md`.

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::share::SpoolShare;
use historian_format::spool::{
    SPOOL_FRAME_HEADER_BYTES, SPOOL_HEADER_BYTES, SPOOL_MARK_OFFSET, SPOOL_VERSION, SpoolFrame, decode_spool_frame, decode_spool_header,
    encode_spool_frame, encode_spool_header, encode_spool_mark, find_spool_frame, spool_frame_length, spool_version,
};
use historian_model::{Sample, SampleBatch, Samples, TagId, Timestamp};

/// No sample is there.
const NONE: i64 = i64::MAX;
/// What files of segments end with.
const SEGMENT_FILE: &str = "spool";

/// What a spool has on disk now, for whoever asks meanwhile.
#[derive(Debug)]
pub(super) struct DiskFigures {
    pub(super) samples: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) segments: AtomicU64,
    /// When the first sample came, or [`i64::MAX`].
    since: AtomicI64,
}

impl DiskFigures {
    pub(super) fn since(&self) -> Option<Timestamp> {
        Some(self.since.load(Ordering::Relaxed)).filter(|&since| since != NONE).map(Timestamp)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.load(Ordering::Relaxed) == 0
    }
}

/// The end of a frame: all before it is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DiskPlace {
    segment: u64,
    offset: u64,
}

/// Samples as they are appended.
pub(super) struct EncodedFrame {
    since: Timestamp,
    samples: u64,
    bytes: Vec<u8>,
}

impl EncodedFrame {
    /// Runs as one frame. Those that cannot be written alone are left out, and their samples counted in the second part.
    pub(super) fn of<'a>(since: Timestamp, runs: impl Iterator<Item = (TagId, &'a Samples)> + Clone) -> (EncodedFrame, u64) {
        let count = |(_, run): (TagId, &Samples)| run.len() as u64;
        let samples = runs.clone().map(count).sum();
        let mut bytes = Vec::new();
        if encode_spool_frame(since.0, runs.clone().map(|(tag, run)| (tag.0, run)), &mut bytes).is_ok() {
            return (EncodedFrame { since, samples, bytes }, 0);
        }
        // One that nobody can write must not keep the others from the disk.
        let mut kept = 0;
        for (tag, run) in runs {
            if encode_spool_frame(since.0, std::iter::once((tag.0, run)), &mut bytes).is_ok() {
                kept += run.len() as u64;
            } else {
                tracing::error!(tag = tag.0, samples = run.len(), "samples that cannot be written");
            }
        }
        (EncodedFrame { since, samples: kept, bytes }, samples - kept)
    }
}

/// What is read at once.
pub(super) struct DiskBatch {
    /// Runs of frames that follow each other, each with the time its first sample came.
    pub(super) frames: Vec<(Timestamp, SampleBatch)>,
    pub(super) since: Timestamp,
    /// To be given to [`SpoolDisk::drained`] once all of it is stored.
    pub(super) place: DiskPlace,
    /// Parts in front of it that are damaged: between when their samples came.
    pub(super) damaged: Vec<(Timestamp, Timestamp)>,
}

/// Takes the runs that are given up because of a bound, with when the first of them came.
pub(super) type Losing<'a> = &'a mut dyn FnMut(&[(TagId, Samples)], Timestamp);

/// The segments of one device. Nobody else has them while it lives.
pub struct SpoolDisk {
    folder: PathBuf,
    share: Arc<SpoolShare>,
    segments: VecDeque<DiskSegment>,
    next_number: u64,
    /// The last segment, while it is appended to.
    tail: Option<File>,
    /// The first segment, while it is read.
    head: Option<File>,
    reading: Option<DiskReading>,
    figures: Arc<DiskFigures>,
    newest: HashMap<TagId, Sample>,
}

struct DiskSegment {
    number: u64,
    /// Bytes that are sound, the header included.
    length: u64,
    /// What stands before it is stored.
    drained: u64,
    /// Samples behind that.
    samples: u64,
    /// When the first of them came.
    since: Timestamp,
    /// When the first sample of the last frame came.
    last: Timestamp,
}

/// What was read and is not stored yet.
struct DiskReading {
    place: DiskPlace,
    samples: u64,
}

impl SpoolDisk {
    /// Opens the folder of a device, which nobody else may have open, and cuts torn tails. What cannot be read is left out, and told.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub(super) fn open(folder: PathBuf, share: Arc<SpoolShare>) -> io::Result<SpoolDisk> {
        let figures =
            DiskFigures { samples: AtomicU64::new(0), bytes: AtomicU64::new(0), segments: AtomicU64::new(0), since: AtomicI64::new(NONE) };
        let mut disk = SpoolDisk {
            folder,
            share,
            segments: VecDeque::new(),
            next_number: 1,
            tail: None,
            head: None,
            reading: None,
            figures: Arc::new(figures),
            newest: HashMap::new(),
        };
        let mut files = Vec::new();
        let entries = match fs::read_dir(&disk.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(disk),
            entries => entries?,
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok());
            if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == SEGMENT_FILE)) {
                files.push((number, path));
            }
        }
        files.sort();
        for (number, path) in files {
            disk.next_number = number + 1;
            match disk.recover(number, &path) {
                Ok(Some(segment)) => {
                    disk.share.taken(segment.length);
                    disk.segments.push_back(segment);
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(segment = %path.display(), %error, "a segment of the spool cannot be read; it is left where it is");
                }
            }
        }
        disk.tell();
        Ok(disk)
    }

    /// Looks through a segment of an earlier run; `None` where there is nothing in it.
    fn recover(&mut self, number: u64, path: &Path) -> io::Result<Option<DiskSegment>> {
        let bytes = fs::read(path)?;
        let start = match decode_spool_header(&bytes) {
            Ok(header) => usize::try_from(header.drained).unwrap_or(usize::MAX),
            Err(error) => {
                if let Some(version) = spool_version(&bytes).filter(|&version| version > SPOOL_VERSION) {
                    let told = format!("it has version {version}, and this program reads up to {SPOOL_VERSION}; a later one drains it");
                    return Err(io::Error::other(told));
                }
                if bytes.len() > SPOOL_HEADER_BYTES {
                    tracing::error!(segment = %path.display(), %error, "the header of a segment of the spool is damaged; its frames are looked for");
                }
                SPOOL_HEADER_BYTES
            }
        };
        let (mut segment, mut at, mut damaged) = (None::<DiskSegment>, start, 0_usize);
        while let Some((found, frame)) = next_frame(&bytes, at) {
            damaged += found - at;
            at = found + frame.bytes;
            let samples: usize = frame.runs.iter().map(|(_, run)| run.len()).sum();
            let since = Timestamp(frame.since);
            let segment = segment.get_or_insert(DiskSegment { number, length: 0, drained: start as u64, samples: 0, since, last: since });
            segment.length = at as u64;
            segment.samples += samples as u64;
            segment.last = since;
            self.note_newest(&frame);
        }
        let torn = bytes.len().saturating_sub(at.max(SPOOL_HEADER_BYTES));
        if damaged > 0 || torn > 0 {
            tracing::warn!(segment = %path.display(), damaged, torn, "bytes of a spool segment are no samples: torn off, or damaged");
        }
        match &segment {
            Some(segment) => {
                // Cut, so that nothing is taken for a frame that is not one; what stands before a damaged part is told when it is read.
                OpenOptions::new().write(true).open(path)?.set_len(segment.length)?;
            }
            None => fs::remove_file(path)?,
        }
        Ok(segment)
    }

    fn note_newest(&mut self, frame: &SpoolFrame) {
        for (tag, run) in &frame.runs {
            let Some((row, &at)) = run.timestamps.iter().enumerate().max_by_key(|(_, at)| **at) else { continue };
            if self.newest.get(&TagId(*tag)).is_none_or(|known| known.timestamp <= at) {
                self.newest.insert(TagId(*tag), run.sample(row));
            }
        }
    }

    /// The newest sample of each tag that an earlier run left here.
    pub fn newest(&self) -> &HashMap<TagId, Sample> {
        &self.newest
    }

    /// It is known by now.
    pub(super) fn forget_newest(&mut self) {
        self.newest = HashMap::new();
    }

    pub(super) fn figures(&self) -> Arc<DiskFigures> {
        self.figures.clone()
    }

    /// Samples that wait here.
    pub fn samples(&self) -> u64 {
        self.figures.samples.load(Ordering::Relaxed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Whether what stands before a place was given up or is stored.
    pub(super) fn has_left(&self, place: DiskPlace) -> bool {
        self.segments.front().is_none_or(|segment| segment.number > place.segment)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}.{SEGMENT_FILE}"))
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    fn tell(&self) {
        let samples = self.segments.iter().map(|segment| segment.samples).sum();
        self.figures.samples.store(samples, Ordering::Relaxed);
        self.figures.bytes.store(self.bytes(), Ordering::Relaxed);
        self.figures.segments.store(self.segments.len() as u64, Ordering::Relaxed);
        self.figures.since.store(self.segments.front().map_or(NONE, |segment| segment.since.0), Ordering::Relaxed);
    }

    /// Appends frames and syncs them; answers where each of them ends. The oldest segments go where there would be more than may be, and are
    /// given to `losing`.
    ///
    /// # Errors
    /// When there is no room, or the disk fails: nothing of it is kept then.
    pub(super) fn append(&mut self, frames: &[EncodedFrame], losing: Losing<'_>) -> io::Result<Vec<DiskPlace>> {
        self.make_room(frames.iter().map(|frame| frame.bytes.len() as u64).sum(), losing)?;
        let (segments, length) = (self.segments.len(), self.segments.back().map(|segment| segment.length));
        let before = self.bytes();
        let appended = self.try_append(frames);
        match &appended {
            Ok(_) => {
                self.share.taken(self.bytes() - before);
            }
            Err(_) => self.leave(segments, length),
        }
        self.tell();
        appended
    }

    fn try_append(&mut self, frames: &[EncodedFrame]) -> io::Result<Vec<DiskPlace>> {
        let mut places = Vec::with_capacity(frames.len());
        let mut added: Vec<(usize, u64, Timestamp)> = Vec::new();
        for frame in frames {
            let length = self.segments.back().map_or(0, |segment| segment.length);
            let is_full = length + frame.bytes.len() as u64 > self.share.segment_bytes() && length > SPOOL_HEADER_BYTES as u64;
            if self.tail.is_none() || is_full {
                if let Some(tail) = self.tail.take() {
                    tail.sync_data()?;
                }
                self.begin_segment(frame.since)?;
            }
            let (Some(tail), Some(segment)) = (&self.tail, self.segments.back_mut()) else { continue };
            tail.write_all_at(&frame.bytes, segment.length)?;
            segment.length += frame.bytes.len() as u64;
            places.push(DiskPlace { segment: segment.number, offset: segment.length });
            added.push((self.segments.len() - 1, frame.samples, frame.since));
        }
        if let Some(tail) = &self.tail {
            tail.sync_data()?;
        }
        for (index, samples, since) in added {
            let segment = &mut self.segments[index];
            segment.samples += samples;
            segment.last = since;
        }
        Ok(places)
    }

    fn begin_segment(&mut self, since: Timestamp) -> io::Result<()> {
        let number = self.next_number;
        if !self.folder.exists() {
            fs::create_dir_all(&self.folder)?;
            if let Some(parent) = self.folder.parent() {
                File::open(parent)?.sync_all()?;
            }
        }
        self.next_number += 1;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(number))?;
        let length = SPOOL_HEADER_BYTES as u64;
        self.segments.push_back(DiskSegment { number, length, drained: length, samples: 0, since, last: since });
        file.write_all_at(&encode_spool_header(number), 0)?;
        file.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        self.tail = Some(file);
        Ok(())
    }

    /// After a failed append: what is not known to be synced goes, and what comes next begins a segment of its own.
    fn leave(&mut self, segments: usize, length: Option<u64>) {
        self.tail = None;
        while self.segments.len() > segments
            && let Some(begun) = self.segments.pop_back()
        {
            let _ = fs::remove_file(self.path(begun.number));
        }
        if let (Some(segment), Some(length)) = (self.segments.back_mut(), length)
            && segment.length > length
        {
            segment.length = length;
            // Where this fails as well, a later start finds samples twice, and writes the same again.
            let number = segment.number;
            let _ = OpenOptions::new().write(true).open(self.path(number)).and_then(|file| file.set_len(length));
        }
    }

    fn make_room(&mut self, need: u64, losing: Losing<'_>) -> io::Result<()> {
        if self.share.is_too_much(need, self.bytes()) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "there is more at once than this device's part of spool.bytes_max"));
        }
        while self.share.is_over(need, self.bytes()) && self.drop_oldest(losing) {}
        // What is full for others is not made free by giving up what is safe.
        let room = self.share.room()?;
        if need + SPOOL_HEADER_BYTES as u64 > room {
            return Err(io::Error::new(io::ErrorKind::StorageFull, format!("{room} bytes of the disk may be used, and {need} are needed")));
        }
        Ok(())
    }

    /// Gives up what is older than it may be, and what is more than this device's part where all have too much.
    pub(super) fn keep_bounds(&mut self, now: Timestamp, losing: Losing<'_>) {
        let is_old =
            |segment: &DiskSegment, age: Duration| u128::try_from(now.0.saturating_sub(segment.last.0)).is_ok_and(|ns| ns > age.as_nanos());
        while let (Some(age), Some(oldest)) = (self.share.age_max(), self.segments.front()) {
            if !is_old(oldest, age) {
                break;
            }
            self.drop_oldest(losing);
        }
        while self.share.is_over(0, self.bytes()) && self.drop_oldest(losing) {}
        self.tell();
    }

    /// Gives up the oldest segment, but for what was read of it and is held by who reads; false where there is none.
    fn drop_oldest(&mut self, losing: Losing<'_>) -> bool {
        let Some(segment) = self.segments.pop_front() else { return false };
        let path = self.path(segment.number);
        let read = self.reading.take_if(|reading| reading.place.segment == segment.number).map_or(0, |reading| reading.place.offset);
        match fs::read(&path) {
            Ok(bytes) => {
                let bytes = &bytes[..bytes.len().min(segment.length as usize)];
                let mut at = segment.drained.max(read) as usize;
                while let Some((found, frame)) = next_frame(bytes, at) {
                    at = found + frame.bytes;
                    let runs: Vec<(TagId, Samples)> = frame.runs.into_iter().map(|(tag, run)| (TagId(tag), run)).collect();
                    losing(&runs, Timestamp(frame.since));
                }
            }
            Err(error) => tracing::error!(segment = %path.display(), %error, "what is given up of the spool cannot be read"),
        }
        self.remove(&segment);
        if self.segments.is_empty() {
            self.tail = None;
        }
        self.head = None;
        self.tell();
        true
    }

    fn remove(&self, segment: &DiskSegment) {
        let path = self.path(segment.number);
        if let Err(error) = fs::remove_file(&path) {
            tracing::error!(segment = %path.display(), %error, "a segment of the spool that is done with cannot be removed; the next start reads it again");
        }
        self.share.given(segment.length);
    }

    /// The oldest frames that are not stored, of one segment and about `samples_max` samples; `None` where there are none. What was read before
    /// and is not [`SpoolDisk::drained`] comes again.
    pub(super) fn read(&mut self, samples_max: usize) -> Option<DiskBatch> {
        let mut damaged = Vec::new();
        self.reading = None;
        loop {
            let Some(segment) = self.segments.front() else {
                let nothing = DiskPlace { segment: 0, offset: 0 };
                let told = DiskBatch { frames: Vec::new(), since: Timestamp(NONE), place: nothing, damaged: Vec::new() };
                return (!damaged.is_empty()).then_some(DiskBatch { damaged, ..told });
            };
            let (number, length, since) = (segment.number, segment.length, segment.since);
            if segment.drained >= length {
                self.pass_first();
                continue;
            }
            let mut batch =
                DiskBatch { frames: Vec::new(), since, place: DiskPlace { segment: number, offset: segment.drained }, damaged: Vec::new() };
            let mut samples = 0;
            while batch.place.offset < length && samples < samples_max {
                match self.frame_at(batch.place.offset, length) {
                    Ok((frame, skipped)) => {
                        let came = Timestamp(frame.since);
                        if skipped > 0 {
                            damaged.push((batch.frames.last().map_or(since, |(came, _)| *came), came));
                        }
                        batch.place.offset += skipped + frame.bytes as u64;
                        let runs: Vec<(TagId, Samples)> = frame.runs.into_iter().map(|(tag, run)| (TagId(tag), run)).collect();
                        samples += runs.iter().map(|(_, run)| run.len()).sum::<usize>();
                        batch.frames.push((came, SampleBatch { runs }));
                    }
                    Err(error) => {
                        tracing::error!(segment = %self.path(number).display(), offset = batch.place.offset, %error, "a part of the spool cannot be read");
                        let last = self.segments.front().map_or(since, |segment| segment.last);
                        damaged.push((batch.frames.last().map_or(since, |(came, _)| *came), last));
                        batch.place.offset = length;
                    }
                }
            }
            if batch.frames.is_empty() {
                self.pass_first();
                continue;
            }
            batch.damaged = damaged;
            if let Some((came, _)) = batch.frames.first() {
                batch.since = *came;
            }
            self.reading = Some(DiskReading { place: batch.place, samples: samples as u64 });
            return Some(batch);
        }
    }

    /// The first sound frame at or behind an offset of the first segment, and the bytes in between.
    fn frame_at(&mut self, offset: u64, length: u64) -> io::Result<(SpoolFrame, u64)> {
        if self.head.is_none() {
            let number = self.segments.front().map_or(0, |segment| segment.number);
            self.head = Some(OpenOptions::new().read(true).write(true).open(self.path(number))?);
        }
        let Some(head) = &self.head else { return Err(io::ErrorKind::NotFound.into()) };
        let mut header = [0; SPOOL_FRAME_HEADER_BYTES];
        let room = length.saturating_sub(offset);
        if room >= header.len() as u64 {
            head.read_exact_at(&mut header, offset)?;
            if let Some((_, bytes)) = spool_frame_length(&header).filter(|(_, bytes)| *bytes as u64 <= room) {
                let mut frame = vec![0; bytes];
                head.read_exact_at(&mut frame, offset)?;
                if let Ok(frame) = decode_spool_frame(&frame) {
                    return Ok((frame, 0));
                }
            }
        }
        let mut rest = vec![0; usize::try_from(room).unwrap_or(0)];
        head.read_exact_at(&mut rest, offset)?;
        let (found, frame) = next_frame(&rest, 0).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no frame follows"))?;
        Ok((frame, found as u64))
    }

    /// What was read up to a place is stored.
    pub(super) fn drained(&mut self, place: DiskPlace) {
        let reading = self.reading.take_if(|reading| reading.place == place);
        let Some(segment) = self.segments.front_mut().filter(|segment| segment.number == place.segment && segment.drained < place.offset)
        else {
            return;
        };
        segment.drained = place.offset;
        match reading {
            Some(reading) => segment.samples = segment.samples.saturating_sub(reading.samples),
            None if segment.drained >= segment.length => segment.samples = 0,
            None => {}
        }
        if segment.drained >= segment.length {
            self.pass_first();
        } else {
            let mut header = [0; SPOOL_FRAME_HEADER_BYTES];
            if self.head.is_none() {
                self.head = OpenOptions::new().read(true).write(true).open(self.path(place.segment)).ok();
            }
            if let (Some(head), Some(segment)) = (&self.head, self.segments.front_mut()) {
                // Only spares a later start to write again what is stored: not synced, and no matter where it fails.
                let _ = head.write_all_at(&encode_spool_mark(place.offset), SPOOL_MARK_OFFSET as u64);
                if head.read_exact_at(&mut header, place.offset).is_ok()
                    && let Some((since, _)) = spool_frame_length(&header)
                {
                    segment.since = Timestamp(since);
                }
            }
        }
        self.tell();
    }

    /// Somebody has what ends at this place in hand, as if it had been read.
    pub(super) fn hold(&mut self, place: DiskPlace, samples: u64) {
        self.reading = Some(DiskReading { place, samples });
    }

    fn pass_first(&mut self) {
        if let Some(segment) = self.segments.pop_front() {
            self.remove(&segment);
        }
        self.head = None;
        if self.segments.is_empty() {
            self.tail = None;
            // An empty folder tells that nothing waits.
            let _ = fs::remove_dir(&self.folder);
        }
        self.tell();
    }
}

impl Drop for SpoolDisk {
    fn drop(&mut self) {
        self.share.given(self.bytes());
        self.share.leave(&self.folder);
    }
}

/// The first sound frame at or behind an offset, and where it begins.
fn next_frame(bytes: &[u8], at: usize) -> Option<(usize, SpoolFrame)> {
    if let Ok(frame) = decode_spool_frame(bytes.get(at..)?) {
        return Some((at, frame));
    }
    let found = find_spool_frame(bytes, at)?;
    Some((found, decode_spool_frame(&bytes[found..]).ok()?))
}
