//! The signals of the plant, one static list: name, meaning, where it is served, how its instrument behaves, and what it measures.
//!
//! Addresses follow the habits of real devices: 12-bit analogue inputs, scaled integers, floats in every word order, counters of 32 and 64
//! bits, set points in holding registers. The one signal that answers with exceptions lies apart from the others, so that a device that
//! refuses a block of registers costs one tag and not its neighbours.

mod list;

pub use self::list::SIGNALS;
use super::process::Process;
use historian_model::ValueType;

/// One signal of the plant.
#[derive(Clone, Copy, Debug)]
pub struct Signal {
    pub tag: &'static str,
    pub value_type: ValueType,
    pub unit: &'static str,
    pub description: &'static str,
    /// Range of the instrument in engineering units; none for flags, texts and states.
    pub range: Option<(f64, f64)>,
    /// Names of the digital states by number.
    pub state_set: &'static [&'static str],
    pub wire: SignalAddress,
    pub(super) sensor: Sensor,
    pub(super) truth: fn(&Process) -> Truth,
}

/// Where a signal is served.
#[derive(Clone, Copy, Debug)]
pub enum SignalAddress {
    Modbus {
        table: Table,
        address: u16,
        format: SignalFormat,
        order: SignalWordOrder,
        scale: f64,
    },
    /// String identifier in [`super::NAMESPACE`], and the type of the node.
    OpcUa {
        node: &'static str,
        node_type: NodeType,
    },
}

/// The four tables of a Modbus device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Coil,
    Discrete,
    Input,
    Holding,
}

/// How a number lies in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalFormat {
    Bit,
    U16,
    I16,
    U32,
    I32,
    U64,
    F32,
    F64,
}

/// Order of the bytes of a value over its registers; `ABCD` is big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalWordOrder {
    ABCD,
    CDAB,
    BADC,
    DCBA,
}

/// Data type of an OPC UA node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    Double,
    Float,
    Int32,
    UInt32,
    Boolean,
    Text,
}

/// How the instrument of a signal sees the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sensor {
    /// Standard deviation of its noise, in engineering units.
    pub noise: f64,
    /// Time constant of its lag in seconds.
    pub lag_s: f64,
    /// Smallest difference it shows, in engineering units; 0 where the wire alone decides.
    pub resolution: f64,
    /// What goes wrong with it now and then.
    pub fault: Option<SensorFault>,
}

/// How a broken sensor shows on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SensorFault {
    /// Modbus float: the register holds NaN.
    NotANumber,
    /// Modbus: the device answers exception 04 to every read that touches the register.
    DeviceFailure,
    /// OPC UA: `BadSensorFailure`, the null value.
    SensorFailure,
    /// OPC UA: `UncertainSensorNotAccurate` beside a value that is off.
    NotAccurate,
}

/// What a signal is, before an instrument has seen it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Truth {
    Number(f64),
    Count(u64),
    Flag(bool),
    State(u8),
    Text(String),
}

impl Table {
    /// Name of the table in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Table::Coil => "coil",
            Table::Discrete => "discrete",
            Table::Input => "input",
            Table::Holding => "holding",
        }
    }
}

impl SignalFormat {
    pub fn as_str(self) -> &'static str {
        match self {
            SignalFormat::Bit => "bit",
            SignalFormat::U16 => "u16",
            SignalFormat::I16 => "i16",
            SignalFormat::U32 => "u32",
            SignalFormat::I32 => "i32",
            SignalFormat::U64 => "u64",
            SignalFormat::F32 => "f32",
            SignalFormat::F64 => "f64",
        }
    }

    /// Registers (or bits) that one value takes.
    pub fn registers(self) -> u16 {
        match self {
            SignalFormat::Bit | SignalFormat::U16 | SignalFormat::I16 => 1,
            SignalFormat::U32 | SignalFormat::I32 | SignalFormat::F32 => 2,
            SignalFormat::U64 | SignalFormat::F64 => 4,
        }
    }
}

impl SignalWordOrder {
    pub fn as_str(self) -> &'static str {
        match self {
            SignalWordOrder::ABCD => "ABCD",
            SignalWordOrder::CDAB => "CDAB",
            SignalWordOrder::BADC => "BADC",
            SignalWordOrder::DCBA => "DCBA",
        }
    }
}

/// Words in which `list.rs` is written.
impl Signal {
    const fn new(
        tag: &'static str,
        value_type: ValueType,
        description: &'static str,
        wire: SignalAddress,
        truth: fn(&Process) -> Truth,
    ) -> Signal {
        let sensor = Sensor { noise: 0.0, lag_s: 0.0, resolution: 0.0, fault: None };
        Signal { tag, value_type, unit: "", description, range: None, state_set: &[], wire, sensor, truth }
    }

    const fn unit(mut self, unit: &'static str, low: f64, high: f64) -> Signal {
        self.unit = unit;
        self.range = Some((low, high));
        self
    }

    const fn noise(mut self, noise: f64) -> Signal {
        self.sensor.noise = noise;
        self
    }

    const fn lag(mut self, lag_s: f64) -> Signal {
        self.sensor.lag_s = lag_s;
        self
    }

    const fn resolution(mut self, resolution: f64) -> Signal {
        self.sensor.resolution = resolution;
        self
    }

    const fn fails(mut self, fault: SensorFault) -> Signal {
        self.sensor.fault = Some(fault);
        self
    }

    const fn states(mut self, state_set: &'static [&'static str]) -> Signal {
        self.state_set = state_set;
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use historian_model::TagName;

    #[test]
    fn names_nodes_and_registers_are_used_once() {
        let (mut tags, mut nodes, mut cells) = (HashSet::new(), HashSet::new(), HashSet::new());
        for signal in SIGNALS {
            assert!(tags.insert(signal.tag), "{}", signal.tag);
            TagName::new(signal.tag).unwrap();
            match signal.wire {
                SignalAddress::OpcUa { node, .. } => assert!(nodes.insert(node), "{node}"),
                SignalAddress::Modbus { table, address, format, .. } => {
                    for cell in address..address + format.registers() {
                        assert!(cells.insert((table.as_str(), cell)), "{}: {} {cell} is taken", signal.tag, table.as_str());
                    }
                }
            }
        }
        let modbus = SIGNALS.iter().filter(|signal| matches!(signal.wire, SignalAddress::Modbus { .. })).count();
        assert!(modbus >= 25 && SIGNALS.len() - modbus >= 25, "{modbus} of {} are on Modbus", SIGNALS.len());
    }

    #[test]
    fn a_fault_is_one_that_its_wire_can_show() {
        for signal in SIGNALS {
            match (signal.sensor.fault, signal.wire) {
                (None, _)
                | (Some(SensorFault::NotANumber), SignalAddress::Modbus { format: SignalFormat::F32 | SignalFormat::F64, .. })
                | (Some(SensorFault::DeviceFailure), SignalAddress::Modbus { .. })
                | (Some(SensorFault::SensorFailure | SensorFault::NotAccurate), SignalAddress::OpcUa { .. }) => {}
                (Some(fault), wire) => panic!("{}: {fault:?} on {wire:?}", signal.tag),
            }
        }
    }
}
