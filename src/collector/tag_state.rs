//! What a device's collector knows of each of its tags: whether the device has taken it, how often it is asked for, why it does not deliver.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use historian_model::{Quality, TagId, TagName, Timestamp};

/// A tag that does not deliver, as status tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndeliveredTag {
    pub tag: String,
    /// Quality of the last sample, with what more is known of it, or why it was not taken.
    pub reason: String,
    pub since: Timestamp,
}

/// A quality other than Good, and why a tag has it, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedQuality {
    pub quality: Quality,
    pub reason: String,
}

/// One tag of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagState {
    pub name: TagName,
    /// The device has taken it: its address answered, or the server monitors its node.
    pub created: bool,
    /// How often it is polled, or sampled as the server granted it.
    pub interval: Option<Duration>,
    /// Why it does not deliver, where that is known.
    pub trouble: Option<UndeliveredTag>,
    /// What its collector knows of the last quality that it explained, whether that is still the tag's or not.
    pub explained: Option<ExplainedQuality>,
    /// Samples that its filter left out so far, those that wait included; `None` where it has none.
    pub left_out: Option<u64>,
}

impl TagState {
    /// How far the tag has come: `wanted`, `created` or `delivering`.
    pub fn delivery(&self) -> &'static str {
        match (self.created, &self.trouble) {
            (false, _) => "wanted",
            (true, Some(_)) => "created",
            (true, None) => "delivering",
        }
    }

    pub fn is_delivering(&self) -> bool {
        self.created && self.trouble.is_none()
    }

    /// Why the tag's latest sample, of this quality, is Uncertain; `None` where it is not, or nobody knows more. Why one is Bad its trouble says.
    pub fn why_uncertain(&self, quality: Quality) -> Option<&str> {
        let explained = self.explained.as_ref().filter(|explained| explained.quality == quality)?;
        (!quality.is_good() && !quality.is_bad()).then_some(explained.reason.as_str())
    }
}

/// By tag, what collectors tell beside their counters.
#[derive(Debug, Default)]
pub(crate) struct TagFacts {
    pub created: HashSet<TagId>,
    pub intervals: HashMap<TagId, Duration>,
}
