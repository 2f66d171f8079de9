//! The acknowledgement of a write as the wire has it.

use historian_proto::v1;
use prost::Message;

use crate::command::Form;
use historian_model::sink::Acknowledgement;

/// The answer to a write in the form of its command.
pub fn encoded(written: Acknowledgement, form: Form) -> Vec<u8> {
    let message = message(written);
    match form {
        Form::Protobuf => message.encode_to_vec(),
        Form::Json => {
            // Integers of 64 bits are text in the JSON of proto3; both of these are told also when they are 0.
            let mut text = format!("{{\"watermark\":\"{}\",\"samples\":\"{}\"", message.watermark, message.samples);
            if message.rejected > 0 {
                let shown: Vec<_> = message
                    .rejections
                    .iter()
                    .map(|one| serde_json::json!({"tag": one.tag, "timestamp": one.timestamp.to_string(), "reason": one.reason}))
                    .collect();
                text.push_str(&format!(",\"rejected\":\"{}\",\"rejections\":{}", message.rejected, serde_json::Value::Array(shown)));
            }
            text.push('}');
            text.into_bytes()
        }
    }
}

/// The answer to a write as a message.
pub fn message(written: Acknowledgement) -> v1::WriteAcknowledgement {
    let rejections = written.rejected.shown.into_iter();
    v1::WriteAcknowledgement {
        watermark: written.watermark,
        samples: written.samples,
        rejected: written.rejected.count,
        rejections: rejections.map(|one| v1::Rejection { tag: one.tag, timestamp: one.timestamp.0, reason: one.reason }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_model::{Timestamp, sink::Rejection};

    #[test]
    fn acknowledgements_have_the_form_of_the_command() {
        let mut written = Acknowledgement { watermark: u64::MAX, samples: 3, ..Acknowledgement::default() };
        assert_eq!(encoded(written.clone(), Form::Json), br#"{"watermark":"18446744073709551615","samples":"3"}"#);
        written.rejected.add(|| Rejection { tag: "a \"b\"".into(), timestamp: Timestamp(7), reason: "late".into() });
        let expected = br#"{"watermark":"18446744073709551615","samples":"3","rejected":"1","rejections":[{"reason":"late","tag":"a \"b\"","timestamp":"7"}]}"#;
        assert_eq!(encoded(written.clone(), Form::Json), expected);
        let decoded = v1::WriteAcknowledgement::decode(encoded(written, Form::Protobuf).as_slice()).unwrap();
        assert_eq!((decoded.watermark, decoded.samples, decoded.rejected, decoded.rejections.len()), (u64::MAX, 3, 1, 1));
    }
}
