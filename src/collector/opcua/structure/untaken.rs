//! Why a structure, or a field of it, gives no value.

use opcua::types::NodeId;

use crate::wire::walk::MalformedMessage;
use historian_model::Quality;

/// Why there is no value, as a quality and in words.
#[derive(Clone, Debug, PartialEq)]
pub struct UntakenField {
    pub quality: Quality,
    pub problem: String,
    /// The encoding whose type is to be asked for, where that is all that is missing.
    pub encoding: Option<NodeId>,
}

impl UntakenField {
    pub fn new(quality: Quality, problem: impl Into<String>) -> UntakenField {
        UntakenField { quality, problem: problem.into(), encoding: None }
    }

    /// The bytes are not those that the definition says.
    pub fn malformed(why: &str) -> UntakenField {
        UntakenField::new(Quality::BAD_DECODING_ERROR, format!("the structure does not follow its definition: {why}"))
    }

    /// The path of the tag leads nowhere in this type.
    pub fn misled(why: impl Into<String>) -> UntakenField {
        UntakenField::new(Quality::BAD_CONFIGURATION_ERROR, why)
    }
}

impl From<MalformedMessage> for UntakenField {
    fn from(MalformedMessage(why): MalformedMessage) -> UntakenField {
        UntakenField::malformed(why)
    }
}
