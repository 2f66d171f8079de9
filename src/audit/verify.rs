//! Whether a log is the one that was written.

use std::{collections::HashMap, fmt};

use serde::Serialize;

use crate::{AuditHash, ChainCheck, ChainedEntry, ExportLine, FaultKind, SignedHead};

/// Faults that a report tells one by one.
const FAULTS_TOLD: usize = 100;

/// Where a log is not the one that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditFault {
    pub kind: FaultKind,
    /// The last entry that is certainly as it was written; 0 for none.
    pub after: u64,
    /// Where it shows: at this entry or, with a kind that says so, behind it.
    pub at: u64,
    pub message: String,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What was found in a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditReport {
    /// Entries read.
    pub entries: u64,
    /// Number of the first entry; 0 where there is none.
    pub first: u64,
    /// Number of the last entry; 0 where there is none.
    pub last: u64,
    /// Hash of the last entry, 64 digits.
    pub hash: String,
    /// Heads that the log was compared with.
    pub heads: u64,
    /// The public keys of their signatures, each once.
    pub public_keys: Vec<String>,
    /// The first ones, in the order in which they were found.
    pub faults: Vec<AuditFault>,
    /// All.
    pub faults_count: u64,
}

impl AuditReport {
    pub fn is_whole(&self) -> bool {
        self.faults_count == 0
    }
}

/// Compares a log with itself and with heads.
#[derive(Debug)]
pub struct AuditVerifier {
    chain: ChainCheck,
    /// Hashes of the entries by their numbers, to be compared with heads, which may come in any order.
    seen: HashMap<u64, AuditHash>,
    heads: Vec<SignedHead>,
    public_key: Option<String>,
    report: AuditReport,
}

impl AuditVerifier {
    /// `heads` are compared with the log, wherever they were kept. Where `public_key` is given (64 digits), each head must be of that key.
    pub fn new(heads: Vec<SignedHead>, public_key: Option<String>) -> AuditVerifier {
        let mut verifier = AuditVerifier {
            chain: ChainCheck::from_start(),
            seen: HashMap::from([(0, AuditHash::START)]),
            heads: Vec::new(),
            public_key: public_key.map(|key| key.to_ascii_lowercase()),
            report: AuditReport::default(),
        };
        for head in heads {
            verifier.head(head);
        }
        verifier
    }

    /// A line of an exported log.
    pub fn line(&mut self, line: &str) {
        match ExportLine::parse(line) {
            Ok(ExportLine::Entry { previous, entry }) => {
                if self.report.entries == 0 && entry.number > 1 {
                    // An export of a part: what it follows stands in its first line, and a head can vouch for that, too.
                    self.chain = ChainCheck::behind(entry.number - 1, previous);
                    self.seen.insert(entry.number - 1, previous);
                }
                self.entry(&entry);
            }
            Ok(ExportLine::Head(head)) => self.head(head),
            Err(error) => self.unreadable(self.report.last.saturating_add(1), format!("behind entry {}: {error}", self.report.last)),
        }
    }

    /// The next entry of the log.
    pub fn entry(&mut self, entry: &ChainedEntry) {
        let before = self.report.last;
        if self.report.entries == 0 {
            self.report.first = entry.number;
        }
        if let Err(kind) = self.chain.next(entry) {
            let message = match kind {
                FaultKind::Missing if entry.number == before.saturating_add(2) => format!("entry {} is missing", before + 1),
                FaultKind::Missing => format!("entries {} to {} are missing", before + 1, entry.number - 1),
                FaultKind::Order => format!("entry {} comes behind entry {before}", entry.number),
                _ => format!("entry {} was changed, or the hash of the entry before it was", entry.number),
            };
            self.fault(kind, entry.number, message);
        }
        if let Err(error) = entry.entry() {
            self.unreadable(entry.number, error.to_string());
        }
        self.report.entries += 1;
        self.report.last = entry.number;
        self.report.hash = entry.hash.to_string();
        self.seen.insert(entry.number, entry.hash);
    }

    /// Something that is no entry, where the entry `number` should be.
    pub fn unreadable(&mut self, number: u64, reason: String) {
        self.fault(FaultKind::Unreadable, number, reason);
    }

    fn head(&mut self, head: SignedHead) {
        self.report.heads += 1;
        if !head.is_signed() {
            self.fault(FaultKind::Unsigned, head.number, format!("the signature of the head of entry {} is wrong", head.number));
        } else if self.public_key.as_ref().is_some_and(|key| *key != head.public_key.to_ascii_lowercase()) {
            let message = format!("the head of entry {} is signed by another key, {}", head.number, head.public_key);
            self.fault(FaultKind::Unsigned, head.number, message);
        } else {
            if !self.report.public_keys.contains(&head.public_key) {
                self.report.public_keys.push(head.public_key.clone());
            }
            self.heads.push(head);
        }
    }

    fn fault(&mut self, kind: FaultKind, at: u64, message: String) {
        self.report.faults_count += 1;
        if self.report.faults.len() < FAULTS_TOLD {
            self.report.faults.push(AuditFault { kind, after: 0, at, message });
        }
    }

    /// What was found, after the last line or entry.
    pub fn report(mut self) -> AuditReport {
        let mut heads = std::mem::take(&mut self.heads);
        heads.sort_by_key(|head| head.number);
        let (first, last) = (self.report.first, self.report.last);
        let mut good = 0;
        for head in heads.iter().filter(|head| head.number.saturating_add(1) >= first) {
            let at = head.signed_at();
            match self.seen.get(&head.number) {
                Some(hash) if *hash == head.hash => good = head.number,
                Some(_) => {
                    let message = format!(
                        "entry {} is not the one whose head was signed at {at}: entries between {} and {} were written anew",
                        head.number,
                        good.saturating_add(1),
                        head.number
                    );
                    self.fault(FaultKind::Rewritten, head.number, message);
                }
                None if head.number > last => {
                    let message = format!("the log ends with entry {last}, and had {} when its head was signed at {at}", head.number);
                    self.fault(FaultKind::Cut, last + 1, message);
                }
                None => {
                    self.fault(FaultKind::Cut, head.number, format!("entry {}, whose head was signed at {at}, is not there", head.number));
                }
            }
        }
        let vouched: Vec<u64> =
            heads.iter().filter(|head| self.seen.get(&head.number) == Some(&head.hash)).map(|head| head.number).collect();
        for fault in &mut self.report.faults {
            fault.after = vouched.iter().copied().filter(|number| *number < fault.at).max().unwrap_or(0);
        }
        self.report
    }
}

#[cfg(test)]
mod tests {
    use historian_model::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{AuditEntry, AuditHead, HeadKey, entry_line, head_line};

    fn log(entries: u64) -> Vec<ChainedEntry> {
        let mut chain = Vec::new();
        let mut last = AuditHash::START;
        for number in 1..=entries {
            let entry = AuditEntry {
                time: Timestamp(number as i64),
                action: "delete_range".into(),
                principal: "token:ana".into(),
                detail: format!("reason {number}, \"quoted\", \n in two lines"),
                ..AuditEntry::default()
            };
            let entry = ChainedEntry::after(&last, number, &entry).unwrap();
            last = entry.hash;
            chain.push(entry);
        }
        chain
    }

    /// Numbered and hashed anew from an entry on, as whoever can write to the disk may do.
    fn chained_again(entries: &mut [ChainedEntry]) {
        let mut last = AuditHash::START;
        for (number, entry) in (1..).zip(entries) {
            entry.number = number;
            entry.hash = AuditHash::of(&last, number, &entry.text);
            last = entry.hash;
        }
    }

    fn export(entries: &[ChainedEntry]) -> Vec<String> {
        let previous = std::iter::once(AuditHash::START).chain(entries.iter().map(|entry| entry.hash));
        previous.zip(entries).map(|(previous, entry)| entry_line(&previous, entry)).collect()
    }

    fn key() -> HeadKey {
        HeadKey::of_directory(tempfile::tempdir().unwrap().path()).unwrap()
    }

    fn head_at(key: &HeadKey, log: &[ChainedEntry], number: usize) -> SignedHead {
        let hash = if number == 0 { AuditHash::START } else { log[number - 1].hash };
        key.sign(AuditHead { number: number as u64, hash }, Timestamp(5))
    }

    fn verified(lines: &[String], heads: &[SignedHead], key: Option<&HeadKey>) -> AuditReport {
        let mut verifier = AuditVerifier::new(heads.to_vec(), key.map(HeadKey::public_key));
        for line in lines {
            verifier.line(line);
        }
        verifier.report()
    }

    fn kinds(report: &AuditReport) -> Vec<(FaultKind, u64, u64)> {
        report.faults.iter().map(|fault| (fault.kind, fault.after, fault.at)).collect()
    }

    #[test]
    fn a_log_as_it_was_written_is_whole_also_a_part_of_it_and_one_without_entries() {
        let (log, key) = (log(20), key());
        let lines = export(&log);
        let heads = [head_at(&key, &log, 20), head_at(&key, &log, 7), head_at(&key, &log, 0)];
        let report = verified(&lines, &heads, Some(&key));
        assert!(report.is_whole() && report.heads == 3 && (report.first, report.last, report.entries) == (1, 20, 20), "{report:?}");
        assert_eq!(report.public_keys, [key.public_key()]);
        // Heads of a time before the part say nothing about it; the one right before it does.
        let report = verified(&lines[10..], &[head_at(&key, &log, 7), head_at(&key, &log, 10)], None);
        assert!(report.is_whole() && (report.first, report.last) == (11, 20), "{report:?}");
        // A head stands behind the entries of an export.
        let mut told = lines;
        told.push(head_line(&head_at(&key, &log, 20)).unwrap());
        assert!(verified(&told, &[], Some(&key)).is_whole());
        assert!(verified(&[], &[head_at(&key, &log, 0)], None).is_whole());
    }

    #[test]
    fn each_kind_of_change_is_located() {
        let (log, key) = (log(20), key());
        let lines = export(&log);
        let heads = [head_at(&key, &log, 5), head_at(&key, &log, 20)];
        let with = |change: &dyn Fn(&mut Vec<String>)| {
            let mut lines = lines.clone();
            change(&mut lines);
            kinds(&verified(&lines, &heads, Some(&key)))
        };
        assert_eq!(with(&|_| ()), []);
        assert_eq!(with(&|lines| lines[8] = lines[8].replace("reason 9", "reason 8")), [(FaultKind::Changed, 5, 9)]);
        assert_eq!(with(&|lines| drop(lines.remove(8))), [(FaultKind::Missing, 5, 10)]);
        assert_eq!(with(&|lines| lines.swap(8, 9)), [(FaultKind::Missing, 5, 10), (FaultKind::Order, 5, 9), (FaultKind::Missing, 5, 11)]);
        assert_eq!(with(&|lines| lines.insert(9, lines[3].clone())), [(FaultKind::Order, 0, 4), (FaultKind::Missing, 5, 10)]);
        assert_eq!(with(&|lines| lines.truncate(15)), [(FaultKind::Cut, 5, 16)]);
        assert_eq!(with(&|lines| lines[2] = "{}".into()), [(FaultKind::Unreadable, 0, 3), (FaultKind::Missing, 0, 4)]);
        // Who changes an entry and makes the chain agree with itself is found by the head.
        let mut again = log.clone();
        again[8].text = again[8].text.replace("ana", "bob");
        chained_again(&mut again);
        assert_eq!(kinds(&verified(&export(&again), &heads, None)), [(FaultKind::Rewritten, 5, 20)]);
        assert!(verified(&export(&again), &[], None).is_whole(), "a chain alone does not show it: keep heads elsewhere");
        again.truncate(19);
        assert_eq!(kinds(&verified(&export(&again), &heads, None)), [(FaultKind::Cut, 5, 20)]);
        // A head of another key, and one that was changed.
        let foreign = head_at(&self::key(), &log, 20);
        assert_eq!(kinds(&verified(&lines, &[foreign], Some(&key))), [(FaultKind::Unsigned, 0, 20)]);
        let changed = SignedHead { number: 19, ..head_at(&key, &log, 20) };
        assert_eq!(kinds(&verified(&lines, &[changed], None)), [(FaultKind::Unsigned, 0, 19)]);
    }

    proptest! {
        /// A single changed character of an export is found, wherever it stands, or changes nothing that the log says.
        #[test]
        fn no_character_can_be_changed(line in 0_usize..10, at in any::<prop::sample::Index>(), by in 1_u8..128) {
            let (log, key) = (log(10), key());
            let mut lines = export(&log);
            let mut bytes = lines[line].clone().into_bytes();
            let at = at.index(bytes.len() - 1);
            bytes[at] = (bytes[at] ^ by) & 0x7F;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assume!(changed != lines[line]);
            lines[line] = changed;
            let report = verified(&lines, &[head_at(&key, &log, 10)], None);
            let same = ExportLine::parse(&lines[line]).is_ok_and(|line| matches!(line, ExportLine::Entry { entry, .. } if log.contains(&entry)));
            prop_assert!(same || !report.is_whole(), "{}", lines[line]);
        }
    }
}
