//! Who asks, and when: what requests of all kinds are resolved against. The limits of a query carry the tags that the caller may read;
//! [`Asker::tags`] finds no others.

use tonic::Status;

use crate::{
    Services,
    resolve::{self, SelectedTags},
    ticket::TicketTags,
};
use historian_model::Timestamp;
use historian_query::QueryLimits;

/// What one request is resolved against.
pub struct Asker<'a> {
    pub services: &'a Services,
    /// How long may be looked for what the request means.
    pub limits: &'a QueryLimits,
    /// The one clock reading that all times of the request are relative to.
    pub now: Timestamp,
    /// Which of the selected tags are meant; `None` all.
    part: Option<&'a TicketTags>,
}

impl<'a> Asker<'a> {
    pub fn new(services: &'a Services, limits: &'a QueryLimits) -> Asker<'a> {
        Asker::of_part(services, limits, None)
    }

    /// Of a ticket that means a part of the tags.
    pub fn of_part(services: &'a Services, limits: &'a QueryLimits, part: Option<&'a TicketTags>) -> Asker<'a> {
        Asker { services, limits, now: services.clock.now(), part }
    }

    /// Tags of a query. Blocks on the catalog.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for patterns, `RESOURCE_EXHAUSTED` where they select too many, `DEADLINE_EXCEEDED` and `CANCELLED`.
    pub fn tags(&self, patterns: &[String]) -> Result<SelectedTags, Status> {
        let mut selected = resolve::tags(self.services, patterns, self.limits)?;
        if let Some(part) = self.part {
            selected.tags.retain(|tag| part.has(tag));
        }
        Ok(selected)
    }
}
