//! The ground of the house: tags, samples, qualities, times as plain values, and the trait of the sample sink, through which samples enter.
//! No I/O and no runtime; every other room may build on this one.

pub mod bounds;
pub mod filter;
pub mod quality;
pub mod range;
pub mod retention;
pub mod sample;
pub mod scope;
pub mod selection;
pub mod sink;
pub mod tag;
pub mod time;

pub use bounds::TimeBounds;
pub use filter::TagFilter;
pub use quality::Quality;
pub use range::TimeRange;
pub use retention::RetentionGroup;
pub use sample::{Bitmap, PushError, Sample, SampleBatch, Samples, StringColumn, Value, ValueType, Values};
pub use scope::TagScope;
pub use selection::TagSelection;
pub use tag::{Tag, TagDefinition, TagId, TagName, TagRename};
pub use time::{Clock, ManualClock, SystemClock, Timestamp};
