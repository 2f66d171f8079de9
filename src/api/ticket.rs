//! Tickets of our own making: commands that mean the same samples whenever they are fetched, and never more bytes than `DoGet` takes.
//!
//! Where the names of the tags are few the ticket names them. A plant has more names than a ticket has room, and the answers of one query in
//! the WIDE layout do not join: there the ticket has the names and globs of the client, which fitted into its command, and says which of
//! the tags they select are meant: those up to an id, since ids count up and are never given twice, from one name to another.

use std::sync::Arc;

use prost::{Message, Name};
use tonic::Status;

use crate::{
    ApiLimits,
    request::{self, AnyMessage, TYPE_PREFIX},
    status,
};
use historian_model::{Tag, TagId};

/// Bytes of names that a ticket has itself; more are said as the client said them. All tickets of one `FlightInfo` fit in one message.
const NAMES_BYTES_MAX: usize = 16 << 10;
/// What a ticket may have beyond the command that it was made of: times in full, two names, the form of protobuf.
const BEYOND_COMMAND_BYTES: usize = 64 << 10;
/// Name of the message, after the last slash of its type URL.
const NAME: &str = "historian.v1.PinnedCommand";

/// Which of the selected tags a ticket means. Its own message, as it is nobody's but ours.
#[derive(Clone, PartialEq, Message)]
pub struct TicketTags {
    /// Tags with this id and lesser ones.
    #[prost(uint32, tag = "1")]
    pub id_max: u32,
    /// First and last name, both meant.
    #[prost(string, tag = "2")]
    pub first: String,
    #[prost(string, tag = "3")]
    pub last: String,
}

impl TicketTags {
    /// The part that these tags are, in the order of their names, of all that were selected; `id_max` is the greatest id of all.
    fn of(tags: &[Arc<Tag>], id_max: TagId) -> TicketTags {
        let name = |tag: Option<&Arc<Tag>>| tag.map_or_else(String::new, |tag| tag.name().to_string());
        // None selected: no id is 0.
        let id_max = if tags.is_empty() { 0 } else { id_max.0 };
        TicketTags { id_max, first: name(tags.first()), last: name(tags.last()) }
    }

    pub fn has(&self, tag: &Tag) -> bool {
        let name = tag.name().as_str();
        tag.id.0 <= self.id_max && self.first.as_str() <= name && name <= self.last.as_str()
    }
}

/// A command, and which of the tags that it selects are meant.
#[derive(Clone, PartialEq, Message)]
pub struct PinnedCommand {
    /// The command, as an `Any`.
    #[prost(bytes = "vec", tag = "1")]
    pub command: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub part: Option<TicketTags>,
}

/// Makes the tickets of one query.
pub struct TicketMaker<'a> {
    /// Names and globs as the client has them.
    pub patterns: &'a [String],
    id_max: TagId,
}

impl<'a> TicketMaker<'a> {
    /// `tags` are all that the patterns selected.
    pub fn new(patterns: &'a [String], tags: &[Arc<Tag>]) -> TicketMaker<'a> {
        TicketMaker { patterns, id_max: tags.iter().map(|tag| tag.id).max().unwrap_or(TagId(0)) }
    }

    /// The ticket for some of the tags, neighbours in the order of names. `command` makes the request for names and globs.
    pub fn ticket<M: Message + Name>(&self, tags: &[Arc<Tag>], command: impl FnOnce(Vec<String>) -> M) -> Vec<u8> {
        let bytes: usize = tags.iter().map(|tag| tag.name().as_str().len() + 4).sum();
        if !tags.is_empty() && bytes <= NAMES_BYTES_MAX {
            return request::any(&command(tags.iter().map(|tag| tag.name().to_string()).collect()));
        }
        let pinned =
            PinnedCommand { command: request::any(&command(self.patterns.to_vec())), part: Some(TicketTags::of(tags, self.id_max)) };
        AnyMessage { type_url: format!("{TYPE_PREFIX}{NAME}"), value: pinned.encode_to_vec() }.encode_to_vec()
    }
}

/// Limits for what is in a ticket.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is longer than any of ours.
pub fn limits(bytes: &[u8], limits: &ApiLimits) -> Result<ApiLimits, Status> {
    // What is longer than a command can only be ours: it was made of a command with what the server knows.
    let bytes_max = limits.ticket_bytes_max + BEYOND_COMMAND_BYTES;
    if bytes.len() > bytes_max {
        return Err(status::invalid("ticket", format!("has {} bytes, at most {bytes_max} are taken", bytes.len())));
    }
    Ok(ApiLimits { ticket_bytes_max: bytes_max, ..limits.clone() })
}

/// The command in a ticket that names it by its globs, and which of their tags are meant; `None` for any other ticket.
///
/// # Errors
/// `INVALID_ARGUMENT` when it is damaged.
pub fn pinned(bytes: &[u8]) -> Result<Option<PinnedCommand>, Status> {
    let any = AnyMessage::decode(bytes).ok().filter(|any| any.type_url.rsplit('/').next() == Some(NAME));
    let Some(any) = any else { return Ok(None) };
    let pinned = PinnedCommand::decode(any.value.as_slice());
    pinned.map(Some).map_err(|error| status::invalid("ticket", format!("is none of this historian's: {error}")))
}

#[cfg(test)]
mod tests {
    use historian_proto::v1::CurrentValuesRequest;

    use super::*;
    use crate::command::Command;
    use historian_model::{TagDefinition, TagName, Timestamp, ValueType};

    fn tags(count: u32) -> Vec<Arc<Tag>> {
        let tag = |id| Tag {
            id: TagId(id),
            definition: TagDefinition::new(
                TagName::new(format!("area/a tag of the plant with the number {id:06}")).unwrap(),
                ValueType::F64,
            ),
            created: Timestamp(0),
            updated: Timestamp(0),
        };
        (1..=count).map(|id| Arc::new(tag(id))).collect()
    }

    fn current(tags: Vec<String>) -> CurrentValuesRequest {
        CurrentValuesRequest { tags, ..CurrentValuesRequest::default() }
    }

    fn parse(bytes: &[u8], limits: &ApiLimits) -> Result<(CurrentValuesRequest, Option<TicketTags>), Status> {
        let (command, part) = Command::parse_ticket(bytes, limits)?;
        Ok((command.request::<CurrentValuesRequest>().expect("a request for current values").clone(), part))
    }

    #[test]
    fn few_tags_are_named_and_many_are_the_clients_globs_cut_to_a_part() {
        let (limits, tags, patterns) = (ApiLimits::default(), tags(10_000), ["area/**".to_owned()]);
        let tickets = TicketMaker::new(&patterns, &tags[..9_000]);
        let (command, part) = parse(&tickets.ticket(&tags[..2], current), &limits).unwrap();
        assert_eq!((command, part), (current(tags[..2].iter().map(|tag| tag.name().to_string()).collect()), None));

        let ticket = tickets.ticket(&tags[1_000..8_000], current);
        assert!(ticket.len() < 400, "{}", ticket.len());
        let (command, part) = parse(&ticket, &limits).unwrap();
        assert_eq!(command, current(patterns.to_vec()));
        let part = part.unwrap();
        let meant: Vec<u32> = tags.iter().filter(|tag| part.has(tag)).map(|tag| tag.id.0).collect();
        assert_eq!(meant, (1_001..=8_000).collect::<Vec<_>>());

        // A tag that was made later and lies between the names is not meant.
        let mut later = Tag::clone(&tags[9_000]);
        later.definition.name = TagName::new("area/a tag of the plant with the number 004000 and more").unwrap();
        assert!(later.name() > tags[1_000].name() && later.name() < tags[7_999].name() && !part.has(&later));
    }

    #[test]
    fn what_selected_nothing_means_nothing_later_either() {
        let (patterns, tags) = (["none/**".to_owned()], tags(3));
        let (command, part) = parse(&TicketMaker::new(&patterns, &[]).ticket(&[], current), &ApiLimits::default()).unwrap();
        assert_eq!(command, current(patterns.to_vec()));
        assert!(tags.iter().all(|tag| !part.as_ref().unwrap().has(tag)));
    }

    #[test]
    fn a_ticket_of_any_command_that_is_taken_is_taken() {
        let limits = ApiLimits::default();
        // As long as a command may be, in JSON; its ticket has more.
        let mut text = "{\"current\":{\"tags\":[\"".to_owned();
        while text.len() < limits.ticket_bytes_max - 300 {
            text.push_str(&format!("{}\",\"", "x".repeat(200)));
        }
        text.push_str("**\"]}}");
        let (command, _) = Command::parse(text.as_bytes(), &limits).unwrap();
        let request = command.request::<CurrentValuesRequest>().unwrap();
        let ticket = TicketMaker::new(&request.tags, &tags(10_000)).ticket(&tags(10_000), current);
        assert_eq!(parse(&ticket, &limits).unwrap().0, *request);
        let endless = vec![b' '; limits.ticket_bytes_max + BEYOND_COMMAND_BYTES + 1];
        assert_eq!(parse(&endless, &limits).unwrap_err().code(), tonic::Code::InvalidArgument);
        let broken = AnyMessage { type_url: format!("{TYPE_PREFIX}{NAME}"), value: vec![0xff; 3] }.encode_to_vec();
        assert_eq!(parse(&broken, &limits).unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
