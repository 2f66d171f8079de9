//! Answers to `HistoryRead`: the values of each node within a structure, each made decodable like any other.

use opcua::types::ObjectId;

use super::{NO_ARRAY, NO_STRUCTURE, Sieve};
use crate::wire::walk::{MalformedMessage, WalkResult};

const HISTORY: u32 = ObjectId::HistoryData_Encoding_DefaultBinary as u32;

impl Sieve<'_> {
    pub(super) fn histories(&mut self) -> WalkResult<()> {
        let results = self.walk.length()?;
        self.walk.put_length(results);
        for index in 0..results.unwrap_or(0) {
            self.walk.copy(4)?;
            self.walk.copy_bytes()?;
            self.history(u32::try_from(index).unwrap_or(u32::MAX))?;
        }
        self.walk.put(&NO_ARRAY);
        Ok(())
    }

    /// The values of one node, up to the one after which nothing can be found. Any other structure was not asked for.
    fn history(&mut self, index: u32) -> WalkResult<()> {
        let begin = self.walk.out.len();
        let kind = self.walk.copy_node_id()?;
        let encoding = self.walk.byte()?;
        match (kind, encoding) {
            (Some(HISTORY), 1) => {}
            (_, 0..=2) => {
                if encoding > 0 {
                    self.walk.bytes()?;
                }
                self.walk.out.truncate(begin);
                self.walk.put(&NO_STRUCTURE);
                return Ok(());
            }
            _ => return Err(MalformedMessage("a structure has an unknown encoding")),
        }
        self.walk.put(&[encoding]);
        let length = self.walk.length()?.unwrap_or(0);
        let end = self.walk.position().checked_add(length).ok_or(MalformedMessage("a length is beyond all bounds"))?;
        let begin = self.walk.out.len();
        self.walk.put_length(Some(0));
        let count = self.walk.length()?;
        let place = self.walk.out.len();
        self.walk.put_length(count);
        let mut done = 0;
        while done < count.unwrap_or(0) {
            done += 1;
            if self.value(index) {
                break;
            }
        }
        if count.is_some() {
            self.count(place, done);
        }
        self.count(begin, self.walk.out.len() - begin - 4);
        self.walk.skip_to(end)
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{
        BinaryDecodable, BinaryEncodable, ByteString, ContextOwned, DataChangeNotification, DataValue, DateTime, ExtensionObject,
        HistoryData, HistoryReadResponse, HistoryReadResult, NodeId, ObjectId, StatusCode, Variant,
    };

    use crate::wire::sieve::{SieveLimits, clean};

    const KIND: ObjectId = ObjectId::HistoryReadResponse_Encoding_DefaultBinary;

    fn value(variant: Variant) -> DataValue {
        let at = DateTime::from(133_000_000_000_000_001);
        DataValue { value: Some(variant), status: Some(StatusCode::Good), source_timestamp: Some(at), ..DataValue::null() }
    }

    fn result(history_data: ExtensionObject) -> HistoryReadResult {
        HistoryReadResult { status_code: StatusCode::GoodMoreData, continuation_point: ByteString::from(&[7, 8]), history_data }
    }

    fn history(values: Vec<DataValue>) -> HistoryReadResult {
        result(ExtensionObject::from_message(HistoryData { data_values: Some(values) }))
    }

    /// What the client library decodes of an answer, after `spoil`.
    fn sieved(results: Vec<HistoryReadResult>, spoil: impl Fn(&mut Vec<u8>)) -> Vec<HistoryReadResult> {
        let context = ContextOwned::default();
        let context = context.context();
        let mut bytes = NodeId::from(KIND).encode_to_vec(&context);
        bytes.extend(HistoryReadResponse { results: Some(results), ..HistoryReadResponse::default() }.encode_to_vec(&context));
        spoil(&mut bytes);
        let (clean, _) = clean(&bytes, &SieveLimits { text_bytes_max: 100, handle_max: 20, certificate: None });
        let mut stream = clean.as_slice();
        NodeId::decode(&mut stream, &context).unwrap();
        let message = HistoryReadResponse::decode(&mut stream, &context).unwrap();
        assert_eq!(stream, b"", "nothing is left over");
        message.results.unwrap()
    }

    #[test]
    fn histories_pass_as_they_are_and_what_was_not_asked_for_is_emptied() {
        let values = || history(vec![value(Variant::Double(1.5)), value(Variant::from("text")), DataValue::null()]);
        let other = result(ExtensionObject::from_message(DataChangeNotification::default()));
        let found = sieved(vec![values(), other.clone(), result(ExtensionObject::null())], |_| {});
        assert_eq!((&found[0], &found[2]), (&values(), &result(ExtensionObject::null())));
        assert!(found[1].history_data.is_null() && found[1].continuation_point == other.continuation_point);
    }

    #[test]
    fn a_text_of_another_encoding_costs_no_other_value_and_a_broken_value_those_behind_it_in_its_node() {
        let both = || vec![history(vec![value(Variant::from("ABCD")), value(Variant::Int32(7))]), history(vec![value(Variant::Int32(8))])];
        let of = |results: &[HistoryReadResult], node: usize| -> Vec<DataValue> {
            results[node].history_data.inner_as::<HistoryData>().unwrap().data_values.clone().unwrap()
        };
        let at = |bytes: &[u8]| bytes.windows(4).position(|part| part == b"ABCD").unwrap();
        let latin = sieved(both(), |bytes| {
            let place = at(bytes);
            bytes[place] = 0xe4;
        });
        assert!(of(&latin, 0)[0].status.unwrap().is_bad());
        assert_eq!((of(&latin, 0)[1].clone(), of(&latin, 1)), (value(Variant::Int32(7)), vec![value(Variant::Int32(8))]));
        // The length of the text is beyond all that is there.
        let broken = sieved(both(), |bytes| {
            let place = at(bytes);
            bytes[place - 1] = 0x7f;
        });
        assert_eq!(of(&broken, 0).iter().map(|value| value.status).collect::<Vec<_>>(), [Some(StatusCode::BadDecodingError)]);
        assert_eq!(of(&broken, 1), [value(Variant::Int32(8))]);
    }
}
