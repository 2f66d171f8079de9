//! A write on its way from a door to the sink: the tags and samples that a door has read are drafted, then prepared, then written.

use std::sync::Arc;

use tonic::Status;
use tracing::Instrument as _;

use super::{Options, incoming::IncomingSamples, new_tag::NewTags, refusal::TagRefusal};
use crate::{Caller, Services, status};
use historian_access::Right;
use historian_model::{
    SampleBatch, Tag, TagScope, ValueType, Values,
    sink::{Acknowledgement, Actor, Rejected},
};

/// A write that a door puts together. Blocks on the catalog.
pub struct WriteDraft<'a> {
    services: &'a Services,
    /// What the writer may write: tags that are there, and those that are to be made.
    writable: &'a TagScope,
    /// Who makes tags that are missing.
    actor: Actor,
    options: Options,
    batch: SampleBatch,
    new: NewTags,
    refused: RefusedTags,
}

/// Tags that are told by name among those that a write leaves out; the others are counted.
const REFUSED_SHOWN_MAX: usize = 100;

/// The tags that a write leaves out.
#[derive(Debug, Default)]
pub struct RefusedTags {
    pub shown: Vec<RefusedTag>,
    /// How many there are beside those.
    pub more: usize,
}

/// Samples of one tag that are left out of a write of which the rest is taken.
#[derive(Debug)]
pub struct RefusedTag {
    /// As the client named it.
    pub tag: String,
    pub refusal: TagRefusal,
}

impl<'a> WriteDraft<'a> {
    pub fn new(services: &'a Services, writer: &'a Caller, options: Options) -> WriteDraft<'a> {
        WriteDraft {
            services,
            writable: writer.principal.scope(Right::Write),
            actor: writer.actor(),
            options,
            batch: SampleBatch::default(),
            new: NewTags::default(),
            refused: RefusedTags::default(),
        }
    }

    /// The tag of this name. Where there is none and the write makes tags, one that is to be made; the first who asks says its type.
    ///
    /// # Errors
    /// When there is no such tag, or can be none.
    pub fn tag(&mut self, name: &str, value_type: ValueType) -> Result<Arc<Tag>, TagRefusal> {
        // Said of the name, whether or not there is such a tag.
        if !self.writable.has(name) {
            return Err(TagRefusal::NotPermitted);
        }
        match self.services.catalog.within(self.writable).get(name) {
            Some(tag) => Ok(tag),
            None if self.options.create_tags => Ok(self.new.tag(name, value_type)?),
            None => Err(TagRefusal::UnknownTag),
        }
    }

    /// All of these tags in their order, for a write that is taken whole.
    ///
    /// # Errors
    /// Names the tags that are missing, or the rule that a name breaks.
    pub fn tags(&mut self, names: &[&str], value_type: ValueType) -> Result<Vec<Arc<Tag>>, Status> {
        let mut tags = Vec::with_capacity(names.len());
        let mut missing = Vec::new();
        for name in names {
            match self.tag(name, value_type) {
                Ok(tag) => tags.push(tag),
                Err(TagRefusal::UnknownTag) => missing.push((*name).to_owned()),
                Err(TagRefusal::NotPermitted) => {
                    return Err(status::denied(format!("{:?}: {}", status::shortened(name), TagRefusal::NotPermitted)));
                }
                Err(refusal) => return Err(status::invalid("tag", refusal.to_string())),
            }
        }
        if missing.is_empty() { Ok(tags) } else { Err(status::tags_not_found(&missing)) }
    }

    /// Adds samples of a tag, with their values in its type.
    ///
    /// # Errors
    /// Why the samples cannot be taken; none of them is added then.
    pub fn add(&mut self, name: &str, samples: IncomingSamples) -> Result<(), TagRefusal> {
        let tag = self.tag(name, samples.value_type())?;
        self.batch.runs.push((tag.id, samples.fit(&tag)?));
        Ok(())
    }

    /// Adds what a door has fitted itself to the tags of this draft ([`WriteDraft::tag`], [`IncomingSamples::fit`]), because its errors name rows.
    pub fn add_fitted(&mut self, batch: SampleBatch) {
        self.batch.runs.extend(batch.runs);
    }

    /// Leaves out samples of one tag; the answer to the write says so.
    pub fn leave_out(&mut self, tag: &str, refusal: TagRefusal) {
        if self.refused.shown.len() < REFUSED_SHOWN_MAX {
            self.refused.shown.push(RefusedTag { tag: status::shortened(tag), refusal });
        } else {
            self.refused.more += 1;
        }
    }

    /// Makes the tags that are missing: nothing else can refuse the write now but the sink.
    ///
    /// # Errors
    /// Why the write cannot be taken, or the tags not made; no tag is made then.
    pub fn prepare(mut self) -> Result<PreparedWrite, Status> {
        let rejected = self.new.make(self.services, &self.actor, &mut self.batch)?;
        Ok(PreparedWrite { batch: self.batch, options: self.options, refused: self.refused, rejected })
    }
}

/// A write whose tags are known and whose values fit them.
pub struct PreparedWrite {
    batch: SampleBatch,
    options: Options,
    refused: RefusedTags,
    /// Samples of tags that were not made for them.
    rejected: Rejected,
}

/// What became of a write.
#[derive(Debug)]
pub struct WriteOutcome {
    pub acknowledgement: Acknowledgement,
    pub refused: RefusedTags,
}

/// Of a sample with a value of at most 8 bytes.
const SAMPLE_BYTES: usize = 20;

impl PreparedWrite {
    /// Memory that its samples take, about.
    pub fn bytes(&self) -> usize {
        let texts = |values: &Values| if let Values::String(texts) = values { texts.heap_bytes() } else { 0 };
        self.batch.runs.iter().map(|(_, run)| run.len() * SAMPLE_BYTES + texts(&run.values)).sum()
    }

    /// Hands the write to the sink, and answers when it is as durable as was asked. A write of nothing is acknowledged with the watermark of
    /// now.
    ///
    /// # Errors
    /// What the sink says.
    pub async fn write(self, services: Services) -> Result<WriteOutcome, Status> {
        let PreparedWrite { batch, options, refused, rejected } = self;
        let mut acknowledgement = if batch.is_empty() {
            Acknowledgement { watermark: services.admin.status().watermark, ..Acknowledgement::default() }
        } else {
            let commit = tracing::info_span!(target: historian_trace::STAGE, "commit");
            let written = services.sink.write(batch, options.mode, options.durability).instrument(commit).await;
            written.map_err(|refused| status::from_write(&refused.error))?
        };
        acknowledgement.rejected.extend(rejected);
        Ok(WriteOutcome { acknowledgement, refused })
    }
}
