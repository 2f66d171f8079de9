//! Sparkplug B as host application: what edge nodes publish, as births, readings and deaths of named metrics. No I/O and no clock: a
//! message and two times go in, events come out.
//!
//! The rules, where the standard (Sparkplug 3.0) leaves room or makes do not keep to it:
//! - **Nothing is lost in silence.** A value is reported as a reading, or what was not taken is a [`HostEvent::Refused`] with its reason.
//!   Data before a birth is taken where it has a name and a type of its own; by an alias that no birth told it is refused, and the node is
//!   asked for a rebirth.
//! - **Order.** Messages of a node are put in the order of their `seq`; one that is ahead waits for those before it, up to the timeout and
//!   a bounded number. Then those that came are taken in order and the node is asked for a rebirth. One without `seq` has its place where
//!   it arrived. A node whose numbers fail three times between two births is taken as it comes.
//! - **Aliases** are those of the edge that the topic names, so that makes that number each device anew are read right, too. Once order is
//!   lost (a gap, a lost link, a death) a birth may have been missed: until the next one, what comes by alias alone is Uncertain, not
//!   Good. So is what was sent before the birth that it came behind.
//! - **Death.** A node's death with the `bdSeq` of its birth, or where one of both has none, ends the node and its devices. One with
//!   another `bdSeq` may be the will of an older session, or the clean farewell of a make that counts on: it ends them as well, *and* the
//!   node is asked for a rebirth at once, with which a living one proves itself. Data after a death is taken, and the edge lives again.
//! - **Birth of a node** ends what was known of order and aliases. Its devices have the reorder timeout to be born again or to send data
//!   by name; those that do neither are dead.
//! - **Names** of data that no birth told: where exactly one metric of the birth ends in `/name` and has the type (`DATA/t` for `t`), it
//!   is that one; otherwise it is a metric of its own, and the edge's metrics are told again.
//! - **Times** in ms are taken from the metric, then from the payload, then from the receipt: 0, before 2000, or more than a day ahead of
//!   the receipt count as none, the latter two with a refusal of the time.
//! - **Quality** is that of the property `Quality`, Good without one. Null and NaN are `BadNoData`; what is Bad has no value. What a value
//!   or its type does not allow is Bad with a refusal that says why.
//! - **A birth behind a death** repeats values from before it: those are historical, and hold again from the birth on, with a second
//!   reading at its time.
//! - **Retained** messages teach metrics; their values are historical and their edges dead until they say something themselves.
//! - **Left out**: `bdSeq`, `Node Control/…` and `Device Control/…` are no measurements; definitions of templates and their parameters.
//!   `is_transient` makes no difference: which metrics are stored is a matter of the configuration.

mod convert;
mod edge;
mod host;
mod node;
mod order;
mod payload;
mod properties;
mod rebirth;
mod scalar;
mod state;
mod times;
mod topic;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use historian_model::{Quality, Timestamp, Value, ValueType};

pub use host::SparkplugHost;
pub use rebirth::rebirth_request;
pub use state::{HostState, read_state, state_payload, state_topic};

/// Who publishes: an edge node, or a device behind it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeName {
    pub group: String,
    pub node: String,
    pub device: Option<String>,
}

/// `group/node` or `group/node/device`; none of the three has a `/`.
impl fmt::Display for EdgeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.node)?;
        self.device.as_ref().map_or(Ok(()), |device| write!(f, "/{device}"))
    }
}

/// What a message, or time alone, says about edges.
#[derive(Clone, Debug, PartialEq)]
pub enum HostEvent {
    /// All metrics of this edge, by name; births of devices come on their own. Metrics that were told before and are not among them are
    /// gone. Comes at a birth, and before the first reading of a metric that no birth told or whose type has changed.
    Born { edge: EdgeName, metrics: Vec<BornMetric> },
    /// One reading of a metric that a `Born` told.
    Reading { edge: EdgeName, metric: Arc<str>, reading: MetricReading },
    /// Nothing of this edge is known from then on: its metrics are Bad. For a node its devices are told one by one as well. `at` is behind
    /// every reading of the edge that was not historical.
    Dead { edge: EdgeName, at: Timestamp, reason: DeathReason },
    /// Ask this node for a rebirth, with [`rebirth_request`]. Rate-limited already.
    Rebirth { group: String, node: String, reason: String },
    /// Something that could not be taken, in words for an engineer.
    Refused { edge: Option<EdgeName>, metric: Option<String>, reason: String },
}

/// Why an edge counts as dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeathReason {
    /// Its node's death, of the session that was born.
    NodeDeath,
    /// Its node's death, with another `bdSeq` than the birth: the node is asked for a rebirth.
    NodeDeathOfOtherSession,
    /// The death of the device.
    DeviceDeath,
    /// Its node was born anew and the device was not.
    NotBornAgain,
    /// The link to the broker is lost.
    LinkLost,
    /// What was known came from a message that the broker had kept, so that nobody need be alive.
    Retained,
}

impl fmt::Display for DeathReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeathReason::NodeDeath => "the edge node is dead (NDEATH)",
            DeathReason::NodeDeathOfOtherSession => "NDEATH with a bdSeq that is not that of the birth; the node is asked for a rebirth",
            DeathReason::DeviceDeath => "the device is dead (DDEATH)",
            DeathReason::NotBornAgain => "the edge node was born anew, this device was not",
            DeathReason::LinkLost => "the link to the broker is lost",
            DeathReason::Retained => "only a retained message is known; the node is asked for a rebirth",
        })
    }
}

/// One metric as a birth announces it, flattened: a member of a template is `name/member`, a column of a data set `name/column`, an element
/// of an array `name[0]`.
#[derive(Clone, Debug, PartialEq)]
pub struct BornMetric {
    pub name: Arc<str>,
    pub value_type: ValueType,
    /// Engineering unit, empty where none is told.
    pub unit: String,
    pub description: String,
    /// Expected range in engineering units, low end; finite.
    pub range_low: Option<f64>,
    /// Expected range in engineering units, high end; finite.
    pub range_high: Option<f64>,
    /// `sparkplug:group/node:name` or `sparkplug:group/node/device:name`, as configurations have it.
    pub address: String,
}

/// One value of a metric, at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricReading {
    pub at: Timestamp,
    /// None where the quality is Bad.
    pub value: Option<Value>,
    pub quality: Quality,
    /// The type of the metric, also where there is no value.
    pub value_type: ValueType,
    /// True for what the edge kept while it had no link, and for what a birth repeats of the time before a death: not the current value.
    pub historical: bool,
    /// Why the value is Uncertain, in words; empty where it is not, or the edge itself says so.
    pub doubt: String,
}

/// Bounds of the host, each with a refusal in words where it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    /// How long a message waits for those before it, and devices for their birth behind that of their node.
    pub reorder_timeout: Duration,
    /// Least time between two requests for a rebirth of one node; doubles up to 64 times as long while no birth follows.
    pub rebirth_spacing: Duration,
    pub payload_bytes_max: usize,
    pub nodes_max: usize,
    pub devices_per_node_max: usize,
    /// Flattened metrics of a node and its devices.
    pub metrics_per_node_max: usize,
    /// Messages of one node that wait for those before them.
    pub held_messages_max: usize,
    /// Bytes of the messages of all nodes that wait for those before them.
    pub held_bytes_max: usize,
    /// Elements of one array; those behind them are refused.
    pub array_elements_max: usize,
}

impl Default for HostOptions {
    fn default() -> HostOptions {
        HostOptions {
            reorder_timeout: Duration::from_secs(5),
            rebirth_spacing: Duration::from_secs(10),
            payload_bytes_max: 4 << 20,
            nodes_max: 1_000,
            devices_per_node_max: 2_000,
            metrics_per_node_max: 100_000,
            held_messages_max: 100,
            held_bytes_max: 64 << 20,
            array_elements_max: 1_000,
        }
    }
}
