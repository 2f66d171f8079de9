//! Plain values at the ground of the house: tags, samples, qualities, times. No I/O, no async; every other module may import this one.

pub mod quality;
pub mod range;
pub mod sample;
pub mod selection;
pub mod sink;
pub mod tag;
pub mod time;

pub use quality::Quality;
pub use range::TimeRange;
pub use sample::{Bitmap, SampleBatch, Samples, StringColumn, Value, ValueType, Values};
pub use selection::TagSelection;
pub use tag::{Tag, TagDefinition, TagId, TagName};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
