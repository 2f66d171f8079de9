//! Messages of a server made fit for the client library, which gives up the connection for one value that it cannot decode.
//!
//! The library takes no text but UTF-8, no matrix with a dimension of 0, no structure that it knows and that is wrong inside, and nothing
//! beyond its limits; and the next session gets the same value again. So every message with values is walked through before, field by
//! field, and each value that can be no sample is replaced by one that says why: a Bad status, and the reason beside it (see [`reason`]).
//! What no tag can hold (structures, byte strings, elements of matrices) is passed over and only named by its type.
//!
//! Where the encoding itself is broken the next value cannot be found. The message ends with the value that broke it then: an answer to
//! Read has fewer values than were asked for, and the caller asks for the rest; a notification names the item, which is left out.

use opcua::types::{LocalizedText, ObjectId, StatusCode, Variant};

use super::{
    certificate,
    walk::{Broken, Step, Text, Walk, size_of},
};

/// Elements of an array of texts that are kept; only the namespaces of a server are read as such.
const TEXTS_MAX: usize = 65_536;
/// Built-in type of a text, and the mark of an array of any type.
const TEXT: u8 = 0x0c;
const ARRAY: u8 = 0x80;
const BAD: u32 = 0x8000_0000;
/// With these words begins the reason of a value after which nothing can be found.
pub const BROKEN: &str = "the value cannot be decoded";

/// What a value may be, and what the sieve must know of the connection.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest text that becomes a value.
    pub text_bytes_max: usize,
    /// Certificate that stands for the server's own in the answer to `CreateSession`: without security some servers send none there,
    /// and a password must be encrypted with it all the same.
    pub certificate: Option<Vec<u8>>,
}

/// An item whose value is not as the device sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Client handle of the item; position in the answer to a Read.
    pub handle: u32,
    pub reason: String,
    /// Nothing after this value could be decoded.
    pub broken: bool,
}

/// A clean message, and what was replaced in it. A message of another kind, and one that is broken outside its values, comes unchanged.
pub fn clean(body: &[u8], limits: &Limits) -> (Vec<u8>, Vec<Finding>) {
    let mut sieve = Sieve { walk: Walk::new(body), limits, findings: Vec::new(), unfit: None };
    match sieve.message() {
        Ok(()) => (sieve.walk.out, sieve.findings),
        Err(Broken(_)) => (body.to_vec(), Vec::new()),
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
    walk: Walk<'a>,
    limits: &'a Limits,
    findings: Vec<Finding>,
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

/// What the encoding has in place of each: no diagnostics, no text, no structure.
const NO_DIAGNOSTICS: [u8; 1] = [0];
const NO_ARRAY: [u8; 4] = [0xff; 4];
const NO_STRUCTURE: [u8; 3] = [0; 3];

impl Sieve<'_> {
    fn message(&mut self) -> Step<()> {
        const READ: u32 = ObjectId::ReadResponse_Encoding_DefaultBinary as u32;
        const PUBLISH: u32 = ObjectId::PublishResponse_Encoding_DefaultBinary as u32;
        const REPUBLISH: u32 = ObjectId::RepublishResponse_Encoding_DefaultBinary as u32;
        const ENDPOINTS: u32 = ObjectId::GetEndpointsResponse_Encoding_DefaultBinary as u32;
        const SESSION: u32 = ObjectId::CreateSessionResponse_Encoding_DefaultBinary as u32;
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
            _ => Err(Broken("a message without values")),
        }
    }

    fn header(&mut self) -> Step<()> {
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
    fn values(&mut self) -> Step<()> {
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

    fn notification(&mut self) -> Step<()> {
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
                    let end = self.walk.position().checked_add(length).ok_or(Broken("a length is beyond all bounds"))?;
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
                _ => return Err(Broken("a structure has an unknown encoding")),
            }
        }
        Ok(())
    }

    fn changes(&mut self) -> Step<()> {
        let length = self.walk.length()?.unwrap_or(0);
        let end = self.walk.position().checked_add(length).ok_or(Broken("a length is beyond all bounds"))?;
        let begin = self.walk.out.len();
        self.walk.put_length(Some(0));
        let count = self.walk.length()?;
        let place = self.walk.out.len();
        self.walk.put_length(count);
        let mut done = 0;
        for _ in 0..count.unwrap_or(0) {
            let handle = self.walk.number()?;
            self.walk.put(&handle.to_le_bytes());
            done += 1;
            if self.value(handle) {
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

    fn count(&mut self, place: usize, count: usize) {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        self.walk.out[place..place + 4].copy_from_slice(&count.to_le_bytes());
    }

    /// One `DataValue`; true when nothing after it can be found.
    fn value(&mut self, handle: u32) -> bool {
        let begin = self.walk.out.len();
        self.unfit = None;
        let (flaw, broken) = match self.data_value() {
            Ok(None) => {
                // It passes as what it is, without what is in it, and does not fit its tag.
                let reason = self.unfit.map(|what| format!("the node holds {what}, which no tag can hold"));
                self.findings.extend(reason.map(|reason| Finding { handle, reason, broken: false }));
                return false;
            }
            Ok(Some(flaw)) => (flaw, false),
            Err(Broken(why)) => {
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
        self.findings.push(Finding { handle, reason: flaw.reason, broken });
        broken
    }

    fn data_value(&mut self) -> Step<Option<Flaw>> {
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

    fn variant(&mut self) -> Step<Option<Flaw>> {
        let mask = self.walk.byte()?;
        let kind = mask & 0x3f;
        if mask & ARRAY != 0 {
            return self.array(mask).map(|()| None);
        }
        // Without an array there are no dimensions, whatever the mask says.
        match kind {
            1 => {
                let value = self.walk.byte()?;
                self.walk.put(&[1, u8::from(value != 0)]);
            }
            TEXT => {
                let text = self.walk.text()?;
                if let Some(flaw) = text.as_ref().and_then(|text| self.flaw(text)) {
                    return Ok(Some(flaw));
                }
                self.walk.put(&[TEXT]);
                self.walk.put_bytes(text.as_ref().map(|text| text.text.as_bytes()));
            }
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
    fn inner(&mut self) -> Step<Option<Flaw>> {
        let mut wrapped = 0;
        while self.walk.peek()? == 24 {
            self.walk.byte()?;
            wrapped += 1;
            if wrapped > 16 {
                return Err(Broken("values are nested too deeply"));
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

    /// Texts are kept, as the namespaces of a server are read so. No tag takes any other array: its type is all that is said of it.
    fn array(&mut self, mask: u8) -> Step<()> {
        let kind = mask & 0x3f;
        self.unfit = Some("an array");
        if kind != TEXT {
            self.walk.skip_elements(mask)?;
            // The client library knows no array of nulls or of reserved types.
            self.walk.put(&[ARRAY | if matches!(kind, 1..=25) { kind } else { 15 }]);
            self.walk.put_length(Some(0));
            return Ok(());
        }
        let count = self.walk.length()?.unwrap_or(0);
        let kept = if count > TEXTS_MAX { 0 } else { count };
        self.walk.put(&[ARRAY | TEXT]);
        self.walk.put_length(Some(kept));
        for _ in 0..count {
            let text = self.walk.text()?;
            if kept > 0 {
                let text = text.as_ref().map(|text| text.text.as_bytes()).filter(|text| text.len() <= self.limits.text_bytes_max);
                self.walk.put_bytes(text);
            }
        }
        self.walk.skip_dimensions(mask)
    }

    /// A value of a type that no tag can hold.
    fn put_empty(&mut self, kind: u8) {
        self.unfit = Some(match kind {
            15 => "a ByteString",
            22 => "a structure",
            _ => "a value of another kind",
        });
        self.walk.put(&[kind]);
        match kind {
            17 | 18 => self.walk.put(&[0, 0]),
            20 => self.walk.put(&[0, 0, 0xff, 0xff, 0xff, 0xff]),
            22 => self.walk.put(&NO_STRUCTURE),
            23 | 25 => self.walk.put(&[0]),
            _ => self.walk.put(&NO_ARRAY),
        }
    }

    fn endpoints(&mut self) -> Step<()> {
        let count = self.walk.length()?;
        self.walk.put_length(count);
        for _ in 0..count.unwrap_or(0) {
            self.endpoint()?;
        }
        Ok(())
    }

    fn endpoint(&mut self) -> Step<()> {
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
    fn enumeration(&mut self, most: u32) -> Step<()> {
        let value = self.walk.number()?;
        self.walk.put(&if value <= most { value } else { 0 }.to_le_bytes());
        Ok(())
    }

    /// Answer to `CreateSession`. The endpoints in it repeat what discovery told, and are left out.
    fn session(&mut self) -> Step<()> {
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

#[cfg(test)]
mod tests {
    use opcua::types::{
        Array, BinaryDecodable, BinaryEncodable, ByteString, ContextOwned, DataChangeNotification, DataValue, DateTime, ExtensionObject,
        Guid, MonitoredItemNotification, NodeId, NotificationMessage, PublishResponse, ReadResponse, VariantScalarTypeId,
    };
    use proptest::prelude::*;

    use super::*;

    fn limits() -> Limits {
        Limits { text_bytes_max: 100, certificate: None }
    }

    fn encoded(kind: ObjectId, message: &impl BinaryEncodable) -> Vec<u8> {
        let context = ContextOwned::default();
        let context = context.context();
        let mut bytes = NodeId::from(kind).encode_to_vec(&context);
        bytes.extend(message.encode_to_vec(&context));
        bytes
    }

    fn decoded<T: BinaryDecodable>(bytes: &[u8]) -> T {
        let context = ContextOwned::default();
        let context = context.context();
        let mut stream = bytes;
        NodeId::decode(&mut stream, &context).unwrap();
        let message = T::decode(&mut stream, &context).unwrap();
        assert_eq!(stream, b"", "nothing is left over");
        message
    }

    fn read(values: Vec<DataValue>) -> Vec<u8> {
        let response = ReadResponse { results: Some(values), ..ReadResponse::default() };
        encoded(ObjectId::ReadResponse_Encoding_DefaultBinary, &response)
    }

    fn value(variant: Variant) -> DataValue {
        DataValue {
            value: Some(variant),
            status: Some(StatusCode::from(0x4000_0480)),
            source_timestamp: Some(DateTime::from(133_000_000_000_000_001)),
            source_picoseconds: Some(17),
            server_timestamp: Some(DateTime::from(133_000_000_000_000_002)),
            server_picoseconds: Some(18),
        }
    }

    #[test]
    fn what_a_tag_can_hold_passes_unchanged() {
        let mut values: Vec<DataValue> = [
            Variant::Boolean(true),
            Variant::SByte(-1),
            Variant::Byte(1),
            Variant::Int16(-2),
            Variant::UInt16(2),
            Variant::Int32(-3),
            Variant::UInt32(3),
            Variant::Int64(i64::MIN),
            Variant::UInt64(u64::MAX),
            Variant::Float(f32::INFINITY),
            Variant::Double(-0.0),
            Variant::from("Größe ✓"),
            Variant::from(""),
            Variant::LocalizedText(Box::new(LocalizedText::new("", "offen"))),
            Variant::from(DateTime::from(5)),
            Variant::from(Guid::from_bytes([7; 16])),
            Variant::StatusCode(StatusCode::BadTimeout),
        ]
        .into_iter()
        .map(value)
        .collect();
        values.extend([DataValue::null(), DataValue { status: Some(StatusCode::BadNodeIdUnknown), ..DataValue::null() }]);
        let (clean, findings) = clean(&read(values.clone()), &limits());
        assert_eq!(findings, []);
        let mut results = decoded::<ReadResponse>(&clean).results.unwrap();
        // The locale of a text is of no use.
        for text in results.iter_mut().chain(&mut values) {
            if let Some(Variant::LocalizedText(text)) = &mut text.value {
                text.locale = opcua::types::UAString::null();
            }
        }
        assert_eq!(results, values);
    }

    #[test]
    fn of_what_no_tag_can_hold_only_the_type_is_left_but_texts_of_arrays() {
        let texts = Array::new(VariantScalarTypeId::String, vec![Variant::from("a"), Variant::from("ü")]).unwrap();
        let numbers = Array::new_multi(VariantScalarTypeId::Double, vec![Variant::Double(1.0); 6], vec![2, 3]).unwrap();
        let texts = Variant::Array(Box::new(texts));
        let bytes = Variant::ByteString(ByteString::from(&[1, 2, 3]));
        let (clean, findings) = clean(&read(vec![value(texts.clone()), value(Variant::Array(Box::new(numbers))), value(bytes)]), &limits());
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[2].reason.contains("a ByteString"), "{findings:?}");
        let results = decoded::<ReadResponse>(&clean).results.unwrap();
        assert_eq!(results[0], value(texts));
        assert!(matches!(&results[1].value, Some(Variant::Array(array)) if array.values.is_empty()), "{results:?}");
        assert!(matches!(&results[2].value, Some(Variant::ByteString(_))), "{results:?}");
    }

    #[test]
    fn a_flaw_keeps_status_and_times_in_place() {
        let mut bytes = read(vec![value(Variant::from("Kxlte")), value(Variant::from("y".repeat(101))), value(Variant::Double(1.5))]);
        let at = bytes.windows(5).position(|window| window == b"Kxlte").unwrap();
        bytes[at + 1] = 0xe4;
        let (clean, findings) = clean(&bytes, &limits());
        assert_eq!(findings.iter().map(|finding| (finding.handle, finding.broken)).collect::<Vec<_>>(), [(0, false), (1, false)]);
        let results = decoded::<ReadResponse>(&clean).results.unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(results[2], value(Variant::Double(1.5)));
        for (result, status, kept) in
            [(&results[0], StatusCode::BadDecodingError, Some("K\u{fffd}lte")), (&results[1], StatusCode::BadEncodingLimitsExceeded, None)]
        {
            assert_eq!(result.status, Some(status));
            assert_eq!(reason(result.value.as_ref().unwrap()).unwrap().1, kept);
            assert_eq!((result.source_picoseconds, result.server_picoseconds), (Some(17), Some(18)));
            assert_eq!(result.source_timestamp, value(Variant::Empty).source_timestamp);
        }
    }

    fn notification(items: &[(u32, Variant)]) -> Vec<u8> {
        let item = |(handle, variant): &(u32, Variant)| MonitoredItemNotification { client_handle: *handle, value: value(variant.clone()) };
        let change = DataChangeNotification { monitored_items: Some(items.iter().map(item).collect()), diagnostic_infos: None };
        let message = NotificationMessage {
            sequence_number: 5,
            publish_time: DateTime::from(9),
            notification_data: Some(vec![ExtensionObject::from_message(change)]),
        };
        let response =
            PublishResponse { subscription_id: 3, notification_message: message, more_notifications: true, ..Default::default() };
        encoded(ObjectId::PublishResponse_Encoding_DefaultBinary, &response)
    }

    #[test]
    fn a_broken_item_ends_the_notification_by_name() {
        let mut bytes = notification(&[(7, Variant::Double(1.0)), (8, Variant::Int32(0x0a0b_0c0d)), (9, Variant::Double(2.0))]);
        let at = bytes.windows(4).position(|window| window == [0x0d, 0x0c, 0x0b, 0x0a]).unwrap();
        bytes[at - 1] = 0x3f; // a type that does not exist
        let (clean, findings) = clean(&bytes, &limits());
        assert_eq!(findings.iter().map(|finding| (finding.handle, finding.broken)).collect::<Vec<_>>(), [(8, true)]);
        let response = decoded::<PublishResponse>(&clean);
        assert!(response.more_notifications);
        assert_eq!((response.subscription_id, response.notification_message.sequence_number), (3, 5));
        let part = response.notification_message.notification_data.unwrap().remove(0);
        let items = part.into_inner_as::<DataChangeNotification>().unwrap().monitored_items.unwrap();
        assert_eq!(items.iter().map(|item| item.client_handle).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(items[0].value, value(Variant::Double(1.0)));
        assert_eq!(items[1].value.status, Some(StatusCode::BadDecodingError));
    }

    proptest! {
        /// Whatever the bytes: no panic, no endless work, and what comes out as a message with values can be decoded.
        #[test]
        fn every_message_comes_out_decodable(changes in prop::collection::vec((0_usize..400, any::<u8>()), 1..6), cut in 0_usize..400) {
            let structure = ExtensionObject::from_message(DataChangeNotification::default());
            let mut bytes = notification(&[
                (1, Variant::from("text")),
                (2, Variant::ExtensionObject(structure)),
                (3, Variant::ByteString(ByteString::from(&[1, 2, 3]))),
                (4, Variant::Array(Box::new(Array::new_multi(VariantScalarTypeId::Double, vec![Variant::Double(1.0); 6], vec![2, 3]).unwrap()))),
                (5, Variant::LocalizedText(Box::new(LocalizedText::new("de", "offen")))),
            ]);
            // Behind the header of the response, which the client library reads as it is.
            let begin = 40;
            for (at, byte) in changes {
                let at = begin + at % (bytes.len() - begin);
                bytes[at] = byte;
            }
            let mut sieve = Sieve { walk: Walk::new(&bytes), limits: &limits(), findings: Vec::new(), unfit: None };
            if sieve.message().is_ok() {
                decoded::<PublishResponse>(&sieve.walk.out);
            }
            let _ = clean(&bytes[..cut.min(bytes.len())], &limits());
        }
    }
}
