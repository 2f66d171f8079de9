//! Messages of a server made fit for the client library, which gives up the connection for one value that it cannot decode.
//!
//! The library takes no text but UTF-8, no matrix with a dimension of 0, no structure that it knows and that is wrong inside, and nothing
//! beyond its limits; and the next session gets the same value again. So every message with values is walked through before, field by
//! field, and each value that can be no sample is replaced by one that says why: a Bad status, and the reason beside it (see [`reason`]).
//! What no tag can hold (arrays) is passed over and only named by its type, but for what is read of an address space: names of states, lengths
//! ([`mod@array`]). Structures pass by the library undecoded, but for ranges, units and states ([`structure`]). Answers to Browse are read whole
//! ([`browsed`]), those to `HistoryRead` like others ([`history`]).
//!
//! Where the encoding itself is broken the next value is not known to begin anywhere. The message ends with the value that broke it then: an
//! answer to Read has fewer values than were asked for, and the caller asks for the rest. A notification names the item, which is left out. The
//! items behind it are looked for: where exactly one place begins as many as there must be, ending where the notification ends, they are those;
//! else it is told how many are lost.

mod array;
mod browsed;
mod history;
mod identifier;
mod structure;
#[cfg(test)]
mod tests;

use opcua::types::{LocalizedText, ObjectId, StatusCode, Variant};

pub use structure::raw_structure;

use super::{
    certificate,
    walk::{MalformedMessage, MessageWalk, Text, WalkResult, size_of},
};

/// Built-in type of a text, and the mark of an array of any type.
const TEXT: u8 = 0x0c;
const ARRAY: u8 = 0x80;
const BAD: u32 = 0x8000_0000;
/// With these words begins the reason of a value after which nothing can be found.
pub const BROKEN: &str = "the value cannot be decoded";

/// What a value may be, and what the sieve must know of the connection.
#[derive(Clone, Debug)]
pub struct SieveLimits {
    /// Longest text that becomes a value.
    pub text_bytes_max: usize,
    /// Client handles are 1 to this.
    pub handle_max: u32,
    /// Certificate that stands for the server's own in the answer to `CreateSession`: without security some servers send none there,
    /// and a password must be encrypted with it all the same.
    pub certificate: Option<Vec<u8>>,
}

/// An item whose value is not as the device sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedValue {
    /// Client handle of the item; position in the answer to a Read.
    pub handle: u32,
    pub reason: String,
    /// The encoding of this value is broken.
    pub broken: bool,
    /// Values behind it in the same notification that could not be found.
    pub lost: usize,
}

/// A clean message, and what was replaced in it. Of one that is broken outside its values there is what came before, which is no message: the library
/// makes room for what a length says, whatever follows. One of another kind comes without what its header has beside the result.
pub fn clean(body: &[u8], limits: &SieveLimits) -> (Vec<u8>, Vec<ReplacedValue>) {
    let mut sieve = Sieve { walk: MessageWalk::new(body), limits, findings: Vec::new(), unfit: None };
    match sieve.message() {
        Ok(()) => (sieve.walk.out, sieve.findings),
        Err(MalformedMessage(_)) => (sieve.walk.out, Vec::new()),
    }
}

/// The reason that stands beside a Bad status in place of a value, and what is left of the text that came.
pub fn reason(value: &Variant) -> Option<(&str, Option<&str>)> {
    // A Variant within a Variant is not allowed on the wire, and the sieve lets none through.
    let Variant::Variant(inner) = value else { return None };
    let Variant::LocalizedText(text) = &**inner else { return None };
    let LocalizedText { locale, text } = &**text;
    Some((text.as_ref(), (!locale.is_null()).then(|| locale.as_ref())))
}

struct Sieve<'a> {
    walk: MessageWalk<'a>,
    limits: &'a SieveLimits,
    findings: Vec<ReplacedValue>,
    /// What the present value is, when no tag can hold such.
    unfit: Option<&'static str>,
}

/// Why a value is no sample.
struct Flaw {
    status: StatusCode,
    reason: String,
    kept: Option<String>,
}

impl Flaw {
    fn new(status: StatusCode, reason: impl Into<String>) -> Flaw {
        Flaw { status, reason: reason.into(), kept: None }
    }
}

/// An item has a handle and at least the mask of a value.
const ITEM_BYTES_MIN: usize = 5;
/// Bytes that are read to find the items behind a broken value, at most.
const SEARCH_BYTES_MAX: usize = 4 << 20;
/// What the encoding has in place of each: no diagnostics, no text, no structure.
const NO_DIAGNOSTICS: [u8; 1] = [0];
const NO_ARRAY: [u8; 4] = [0xff; 4];
const NO_STRUCTURE: [u8; 3] = [0; 3];

impl Sieve<'_> {
    fn message(&mut self) -> WalkResult<()> {
        const READ: u32 = ObjectId::ReadResponse_Encoding_DefaultBinary as u32;
        const PUBLISH: u32 = ObjectId::PublishResponse_Encoding_DefaultBinary as u32;
        const REPUBLISH: u32 = ObjectId::RepublishResponse_Encoding_DefaultBinary as u32;
        const ENDPOINTS: u32 = ObjectId::GetEndpointsResponse_Encoding_DefaultBinary as u32;
        const SESSION: u32 = ObjectId::CreateSessionResponse_Encoding_DefaultBinary as u32;
        const BROWSE: u32 = ObjectId::BrowseResponse_Encoding_DefaultBinary as u32;
        const BROWSE_NEXT: u32 = ObjectId::BrowseNextResponse_Encoding_DefaultBinary as u32;
        const HISTORY_READ: u32 = ObjectId::HistoryReadResponse_Encoding_DefaultBinary as u32;
        let kind = self.walk.copy_node_id()?;
        match kind {
            Some(READ) => {
                self.header()?;
                self.values()
            }
            Some(PUBLISH) => {
                self.header()?;
                self.walk.copy(4)?;
                self.walk.copy_array(4)?;
                self.walk.copy(1)?;
                self.notification()?;
                self.walk.copy_array(4)?;
                self.walk.put(&NO_ARRAY);
                Ok(())
            }
            Some(REPUBLISH) => {
                self.header()?;
                self.notification()
            }
            Some(ENDPOINTS) => {
                self.header()?;
                self.endpoints()
            }
            Some(SESSION) => {
                self.header()?;
                self.session()
            }
            Some(BROWSE | BROWSE_NEXT) => {
                self.header()?;
                self.browsed()
            }
            Some(HISTORY_READ) => {
                self.header()?;
                self.histories()
            }
            // Every answer has a header.
            _ => {
                self.header()?;
                self.walk.copy(self.walk.end() - self.walk.position())
            }
        }
    }

    fn header(&mut self) -> WalkResult<()> {
        self.walk.copy(16)?;
        self.walk.skip_diagnostic_info()?;
        self.walk.put(&NO_DIAGNOSTICS);
        for _ in 0..self.walk.length()?.unwrap_or(0) {
            self.walk.bytes()?;
        }
        self.walk.put(&NO_ARRAY);
        self.walk.skip_extension_object()?;
        self.walk.put(&NO_STRUCTURE);
        Ok(())
    }

    /// Answer to a Read, up to the value after which nothing can be found.
    fn values(&mut self) -> WalkResult<()> {
        let count = self.walk.length()?;
        let place = self.walk.out.len();
        self.walk.put_length(count);
        let mut done = 0;
        for index in 0..count.unwrap_or(0) {
            done = index + 1;
            if self.value(u32::try_from(index).unwrap_or(u32::MAX)) {
                break;
            }
        }
        if count.is_some() {
            self.count(place, done);
        }
        self.walk.put(&NO_ARRAY);
        Ok(())
    }

    fn notification(&mut self) -> WalkResult<()> {
        const CHANGES: u32 = ObjectId::DataChangeNotification_Encoding_DefaultBinary as u32;
        const STATUS: u32 = ObjectId::StatusChangeNotification_Encoding_DefaultBinary as u32;
        self.walk.copy(12)?;
        let parts = self.walk.length()?;
        self.walk.put_length(parts);
        for _ in 0..parts.unwrap_or(0) {
            let begin = self.walk.out.len();
            let kind = self.walk.copy_node_id()?;
            let encoding = self.walk.byte()?;
            self.walk.put(&[encoding]);
            match (kind, encoding) {
                (Some(CHANGES), 1) => self.changes()?,
                (Some(STATUS), 1) => {
                    let length = self.walk.length()?.unwrap_or(0);
                    let end = self.walk.position().checked_add(length).ok_or(MalformedMessage("a length is beyond all bounds"))?;
                    self.walk.put_length(Some(5));
                    self.walk.copy(4)?;
                    self.walk.put(&NO_DIAGNOSTICS);
                    self.walk.skip_to(end)?;
                }
                // Nothing else is subscribed to.
                (_, 0..=2) => {
                    if encoding > 0 {
                        self.walk.bytes()?;
                    }
                    self.walk.out.truncate(begin);
                    self.walk.put(&NO_STRUCTURE);
                }
                _ => return Err(MalformedMessage("a structure has an unknown encoding")),
            }
        }
        Ok(())
    }

    fn changes(&mut self) -> WalkResult<()> {
        let length = self.walk.length()?.unwrap_or(0);
        let end = self.walk.position().checked_add(length).ok_or(MalformedMessage("a length is beyond all bounds"))?;
        let begin = self.walk.out.len();
        self.walk.put_length(Some(0));
        let count = self.walk.length()?;
        let place = self.walk.out.len();
        self.walk.put_length(count);
        let mut done = 0;
        while done < count.unwrap_or(0) {
            let handle = self.walk.number()?;
            self.walk.put(&handle.to_le_bytes());
            done += 1;
            let begin = self.walk.position();
            let left = count.unwrap_or(0) - done;
            if self.value(handle) && left > 0 {
                if let Some(next) = self.next_items(begin, end, left) {
                    self.walk.skip_to(next)?;
                    continue;
                }
                self.findings.last_mut().into_iter().for_each(|finding| finding.lost = left);
                break;
            }
        }
        if count.is_some() {
            self.count(place, done);
        }
        self.walk.put(&NO_ARRAY);
        self.count(begin, self.walk.out.len() - begin - 4);
        self.walk.skip_to(end)
    }

    /// Where the `left` items behind a broken value that began at `begin` begin, when there is one place that fits, and one only. The whole
    /// notification ends at `end`.
    fn next_items(&self, begin: usize, end: usize, left: usize) -> Option<usize> {
        // A length that reaches beyond the message is part of the fault.
        if end > self.walk.end() {
            return None;
        }
        let mut found = None;
        let mut walked = 0;
        for place in begin + 1..end.saturating_sub(left * ITEM_BYTES_MIN) {
            let mut probe = self.walk.probe(place);
            let fits = self.items_end_at(&mut probe, end, left).is_ok();
            walked += 1 + probe.position().saturating_sub(place);
            if walked > SEARCH_BYTES_MAX || fits && found.is_some() {
                return None;
            }
            found = found.or(fits.then_some(place));
        }
        found
    }

    fn items_end_at(&self, probe: &mut MessageWalk<'_>, end: usize, left: usize) -> WalkResult<()> {
        const NO: MalformedMessage = MalformedMessage("no items begin here");
        for _ in 0..left {
            if !(1..=self.limits.handle_max).contains(&probe.number()?) || !(1..=0x3f).contains(&probe.peek()?) {
                return Err(NO);
            }
            probe.skip_data_value()?;
        }
        for _ in 0..probe.length()?.unwrap_or(0) {
            probe.skip_diagnostic_info()?;
        }
        if probe.position() == end { Ok(()) } else { Err(NO) }
    }

    fn count(&mut self, place: usize, count: usize) {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        self.walk.out[place..place + 4].copy_from_slice(&count.to_le_bytes());
    }

    /// One `DataValue`; true when its encoding is broken, and what comes after it is not known to begin anywhere.
    fn value(&mut self, handle: u32) -> bool {
        let begin = self.walk.out.len();
        self.unfit = None;
        let (flaw, broken) = match self.data_value() {
            Ok(None) => {
                // It passes as what it is, without what is in it, and does not fit its tag.
                let reason = self.unfit.map(|what| format!("the node holds {what}, which no tag can hold"));
                self.findings.extend(reason.map(|reason| ReplacedValue { handle, reason, broken: false, lost: 0 }));
                return false;
            }
            Ok(Some(flaw)) => (flaw, false),
            Err(MalformedMessage(why)) => {
                self.walk.out.truncate(begin);
                // No times either: what was read of them may be part of something else.
                self.walk.put(&[0x03]);
                let reason = format!("{BROKEN}: {why}");
                let flaw = Flaw::new(StatusCode::BadDecodingError, reason);
                self.put_flaw(&flaw);
                self.walk.put(&flaw.status.bits().to_le_bytes());
                (flaw, true)
            }
        };
        self.findings.push(ReplacedValue { handle, reason: flaw.reason, broken, lost: 0 });
        broken
    }

    fn data_value(&mut self) -> WalkResult<Option<Flaw>> {
        let begin = self.walk.out.len();
        let mut mask = self.walk.byte()? & 0x3f;
        self.walk.put(&[mask]);
        let mut flaw = if mask & 0x01 == 0 { None } else { self.variant()? };
        let status = if mask & 0x02 == 0 { 0 } else { self.walk.number()? };
        if status & BAD != 0 {
            // A Bad status stands for itself.
            self.walk.out.truncate(begin + 1);
            mask &= !0x01;
            flaw = None;
            self.unfit = None;
        }
        let status = match &flaw {
            None => status,
            Some(flaw) => {
                self.walk.out.truncate(begin + 1);
                mask |= 0x03;
                self.put_flaw(flaw);
                flaw.status.bits()
            }
        };
        self.walk.out[begin] = mask;
        if mask & 0x02 != 0 {
            self.walk.put(&status.to_le_bytes());
        }
        for (bit, size) in [(0x04, 8), (0x10, 2), (0x08, 8), (0x20, 2)] {
            if mask & bit != 0 {
                self.walk.copy(size)?;
            }
        }
        Ok(flaw)
    }

    fn put_flaw(&mut self, flaw: &Flaw) {
        self.walk.put(&[24, 21]);
        self.walk.put_localized(flaw.kept.as_deref(), Some(&flaw.reason));
    }

    fn variant(&mut self) -> WalkResult<Option<Flaw>> {
        let mask = self.walk.byte()?;
        let kind = mask & 0x3f;
        if mask & ARRAY != 0 {
            return self.array(mask);
        }
        // Without an array there are no dimensions, whatever the mask says.
        match kind {
            1 => {
                let value = self.walk.byte()?;
                self.walk.put(&[1, u8::from(value != 0)]);
            }
            TEXT | 16 => {
                let text = self.walk.text()?;
                if let Some(flaw) = text.as_ref().and_then(|text| self.flaw(text)) {
                    return Ok(Some(flaw));
                }
                self.walk.put(&[kind]);
                let text = text.as_ref().map(|text| text.text.as_bytes());
                // The client library has no other way to tell that there is no XML.
                self.walk.put_bytes(if kind == TEXT { text } else { Some(text.unwrap_or_default()) });
            }
            15 => {
                let bytes = self.walk.bytes()?;
                let (length, most) = (bytes.map_or(0, <[u8]>::len), self.limits.text_bytes_max);
                // It becomes a text of four letters for three bytes.
                if length.div_ceil(3).saturating_mul(4) > most {
                    let reason = format!("the ByteString has {length} bytes, and is longer in base64 than text_bytes_max = {most} allows");
                    return Ok(Some(Flaw::new(StatusCode::BadEncodingLimitsExceeded, reason)));
                }
                self.walk.put(&[15]);
                self.walk.put_bytes(bytes);
            }
            17 | 18 => return self.node_id(kind),
            20 => return self.qualified_name(),
            22 => return self.structure(),
            21 => {
                let (_, text) = self.walk.localized()?;
                if let Some(flaw) = text.as_ref().and_then(|text| self.flaw(text)) {
                    return Ok(Some(flaw));
                }
                self.walk.put(&[21]);
                self.walk.put_localized(None, text.as_ref().map(|text| &*text.text));
            }
            24 => return self.inner(),
            26..=31 => {
                self.walk.bytes()?;
                return Ok(Some(Flaw::new(StatusCode::BadDecodingError, format!("the value has the reserved type {kind}"))));
            }
            _ => {
                if size_of(kind).is_some() {
                    self.walk.put(&[kind]);
                    self.walk.copy(size_of(kind).unwrap_or(0))?;
                } else {
                    self.walk.skip_scalar(kind)?;
                    self.put_empty(kind);
                }
            }
        }
        Ok(None)
    }

    /// The Variant within a Variant: its value alone, and no more of them.
    fn inner(&mut self) -> WalkResult<Option<Flaw>> {
        let mut wrapped = 0;
        while self.walk.peek()? == 24 {
            self.walk.byte()?;
            wrapped += 1;
            if wrapped > 16 {
                return Err(MalformedMessage("values are nested too deeply"));
            }
        }
        self.variant()
    }

    fn flaw(&self, Text { bytes, text }: &Text<'_>) -> Option<Flaw> {
        let most = self.limits.text_bytes_max;
        if *bytes > most {
            let reason = format!("the text has {bytes} bytes, more than text_bytes_max = {most} allows");
            return Some(Flaw::new(StatusCode::BadEncodingLimitsExceeded, reason));
        }
        // Invalid text was replaced, so it is owned; it may have grown beyond the limit by that.
        let std::borrow::Cow::Owned(lossy) = text else { return None };
        Some(Flaw {
            status: StatusCode::BadDecodingError,
            reason: "the text is not UTF-8; what could not be read is marked with \u{fffd}".into(),
            kept: (lossy.len() <= most).then(|| lossy.clone()),
        })
    }

    /// A value of a type that no tag can hold.
    fn put_empty(&mut self, kind: u8) {
        self.unfit = Some("a value of another kind");
        self.walk.put(&[kind, 0]);
    }

    fn endpoints(&mut self) -> WalkResult<()> {
        let count = self.walk.length()?;
        self.walk.put_length(count);
        for _ in 0..count.unwrap_or(0) {
            self.endpoint()?;
        }
        Ok(())
    }

    fn endpoint(&mut self) -> WalkResult<()> {
        self.walk.copy_text()?;
        // The server's description of itself: URIs, a name that may be in any encoding, addresses.
        self.walk.copy_text()?;
        self.walk.copy_text()?;
        self.walk.copy_localized()?;
        self.enumeration(3)?;
        self.walk.copy_text()?;
        self.walk.copy_text()?;
        let addresses = self.walk.length()?;
        self.walk.put_length(addresses);
        for _ in 0..addresses.unwrap_or(0) {
            self.walk.copy_text()?;
        }
        let shown = self.walk.bytes()?;
        self.walk.put_bytes(shown.map(certificate::leaf));
        self.enumeration(3)?;
        self.walk.copy_text()?;
        let tokens = self.walk.length()?;
        let place = self.walk.out.len();
        self.walk.put_length(tokens);
        let mut known = 0;
        for _ in 0..tokens.unwrap_or(0) {
            let begin = self.walk.out.len();
            self.walk.copy_text()?;
            let kind = self.walk.number()?;
            self.walk.put(&kind.to_le_bytes());
            self.walk.copy_text()?;
            self.walk.copy_text()?;
            self.walk.copy_text()?;
            if kind <= 3 {
                known += 1;
            } else {
                self.walk.out.truncate(begin);
            }
        }
        if tokens.is_some() {
            self.count(place, known);
        }
        self.walk.copy_text()?;
        self.walk.copy(1)
    }

    /// A number that the client library knows up to `most`, and takes for nothing but an error beyond.
    fn enumeration(&mut self, most: u32) -> WalkResult<()> {
        let value = self.walk.number()?;
        self.walk.put(&if value <= most { value } else { 0 }.to_le_bytes());
        Ok(())
    }

    /// Answer to `CreateSession`. The endpoints in it repeat what discovery told, and are left out.
    fn session(&mut self) -> WalkResult<()> {
        self.walk.copy_node_id()?;
        self.walk.copy_node_id()?;
        self.walk.copy(8)?;
        self.walk.copy_bytes()?;
        let shown = self.walk.bytes()?.map(certificate::leaf);
        match &self.limits.certificate {
            Some(known) => {
                let known = known.clone();
                self.walk.put_bytes((!known.is_empty()).then_some(&*known));
            }
            None => self.walk.put_bytes(shown),
        }
        let place = self.walk.out.len();
        self.endpoints()?;
        self.walk.out.truncate(place);
        self.walk.put(&NO_ARRAY);
        for _ in 0..self.walk.length()?.unwrap_or(0) {
            self.walk.bytes()?;
            self.walk.bytes()?;
        }
        self.walk.put(&NO_ARRAY);
        self.walk.copy_text()?;
        self.walk.copy_bytes()?;
        self.walk.copy(4)
    }
}
