//! How long the messages of an answer are. A client of gRPC that sets no limit of its own takes 4 MiB, and what is longer it refuses itself, in
//! words that say nothing of the historian.

use historian_proto::v1::TagFailure;
use prost::Message;
use tonic::{Code, Status};

use super::status;
use historian_model::Tag;
use historian_query::QueryError;

/// Longest message that a client takes which sets no limit of its own.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Bytes that a page, or a message of a stream, stays under where its parts allow it.
pub const PAGE_BYTES: usize = 3 << 20;

/// Bytes of a message among others of its kind in an answer.
pub fn bytes_within(message: &impl Message) -> usize {
    // The number of the field, and the length in front.
    message.encoded_len() + 6
}

/// How many items fit on a page, of which each has so many bytes; the first always does.
pub fn fitting(bytes: impl IntoIterator<Item = usize>) -> usize {
    let mut all = 0_usize;
    let fits = |(index, bytes): &(usize, usize)| {
        all += bytes;
        *index == 0 || all <= PAGE_BYTES
    };
    bytes.into_iter().enumerate().take_while(fits).count()
}

/// Refuses an answer that is longer than any client takes.
///
/// # Errors
/// `RESOURCE_EXHAUSTED`, with what to do instead.
pub fn whole<M: Message>(answer: M, instead: &str) -> Result<M, Status> {
    let bytes = answer.encoded_len();
    if bytes <= MESSAGE_BYTES_MAX {
        return Ok(answer);
    }
    let message = format!("the answer has {bytes} bytes, and a message of gRPC has at most {MESSAGE_BYTES_MAX} by default; {instead}");
    Err(status::too_much("message_bytes_max", message))
}

/// Of an exact name that no tag has.
pub const NO_TAG: &str = "there is no tag of this name";

/// A row for an exact name that no tag has.
pub fn unknown(tag: String) -> TagFailure {
    TagFailure { tag, code: Code::NotFound.into(), message: NO_TAG.into() }
}

/// Failures as far as they fit into an answer; a last one tells how many there are beside them, `more` of which are not in the list. None is
/// longer than it needs to be.
pub fn failures(mut failures: Vec<TagFailure>, more: usize) -> Vec<TagFailure> {
    for failure in &mut failures {
        failure.tag = status::shortened(&failure.tag);
        failure.message = status::shortened(&failure.message);
    }
    let kept = fitting(failures.iter().map(bytes_within));
    let more = failures.len() - kept + more;
    if more > 0 {
        let code = failures.get(kept).or(failures.last()).map_or(Code::InvalidArgument.into(), |failure| failure.code);
        failures.truncate(kept);
        failures.push(TagFailure { tag: String::new(), code, message: format!("and {more} tags more") });
    }
    failures
}

/// A row for a tag that cannot be read.
pub fn damaged(tag: &Tag, error: &QueryError) -> TagFailure {
    TagFailure { tag: tag.name().to_string(), code: Code::DataLoss.into(), message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_before_they_grow_too_long_and_have_something_on_them() {
        assert_eq!(fitting([]), 0);
        assert_eq!(fitting([PAGE_BYTES + 1, 1]), 1);
        assert_eq!(fitting([1, PAGE_BYTES - 1, 1]), 2);
        assert_eq!(fitting(vec![3; 10]), 10);
    }

    #[test]
    fn failures_beyond_the_room_are_counted() {
        let failure = |tag: String| TagFailure { tag, code: 5, message: "there is no tag of this name".into() };
        let few: Vec<_> = (0..3).map(|n| failure(n.to_string())).collect();
        assert_eq!(failures(few.clone(), 0), few);
        assert_eq!(failures(few, 12_000_000)[3].message, "and 12000000 tags more");
        let many = failures((0..100_000).map(|n| failure(format!("a tag of the plant, number {n:08}"))).collect(), 0);
        let bytes: usize = many.iter().map(bytes_within).sum();
        assert!((PAGE_BYTES - 200..MESSAGE_BYTES_MAX).contains(&bytes), "{bytes}");
        assert_eq!(many.last().unwrap().message, format!("and {} tags more", 100_001 - many.len()));
        let long = failures(vec![failure("x".repeat(10 << 20))], 0);
        assert!(bytes_within(&long[0]) < 2_000);
    }
}
