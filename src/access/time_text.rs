//! Times in the access file: RFC 3339 in UTC, which people can read. For serde's `with`; [`optional`] is for those that may be missing.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

use historian_model::Timestamp;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: jiff::Timestamp = text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no time of RFC 3339")))?;
    let nanoseconds = i64::try_from(time.as_nanosecond()).map_err(|_| D::Error::custom(format!("the time {text} is out of range")))?;
    Ok(Timestamp(nanoseconds))
}

pub mod optional {
    use serde::{Deserialize, Deserializer, Serializer};

    use historian_model::Timestamp;

    #[derive(Deserialize)]
    struct TimeText(#[serde(with = "super")] Timestamp);

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serializer.collect_str(time),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        Ok(Option::<TimeText>::deserialize(deserializer)?.map(|TimeText(time)| time))
    }
}
