//! The Modbus side of the plant: a device with one unit, whose registers hold the readings of the last scan. It can be read and not written.

use std::{future, sync::Arc};

use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio_modbus::{
    ExceptionCode, Request, Response, SlaveRequest,
    server::{
        Service,
        tcp::{Server, accept_tcp_connection},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    instrument::InstrumentReading,
    signal::{SIGNALS, SensorFault, SignalAddress, SignalFormat, SignalWordOrder, Table, Truth},
};

/// The unit that answers; others are refused as a gateway refuses a unit it cannot reach.
pub(super) const UNIT: u8 = 1;
/// Addresses below this exist in every table, whether a signal lies there or not, as in most devices.
const ADDRESSES: usize = 256;
/// Limits of the protocol for one request.
const BITS_MAX: u16 = 2000;
const REGISTERS_MAX: u16 = 125;

/// The tables of the device.
pub(super) struct Registers(RwLock<Image>);

#[derive(Clone)]
struct Image {
    coils: [bool; ADDRESSES],
    discrete: [bool; ADDRESSES],
    input: [u16; ADDRESSES],
    holding: [u16; ADDRESSES],
    /// Registers behind a failed card: a read that touches one is answered with exception 04.
    failed: Vec<(Table, u16)>,
}

impl Registers {
    pub fn new() -> Registers {
        Registers(RwLock::new(Image {
            coils: [false; ADDRESSES],
            discrete: [false; ADDRESSES],
            input: [0; ADDRESSES],
            holding: [0; ADDRESSES],
            failed: Vec::new(),
        }))
    }

    /// Puts the readings of one scan into the tables, all at once: a value is never torn between two scans.
    pub fn publish(&self, readings: &[InstrumentReading]) {
        let mut image = self.0.read().clone();
        image.failed.clear();
        for (signal, reading) in SIGNALS.iter().zip(readings) {
            let SignalAddress::Modbus { table, address, format, order, scale } = signal.wire else { continue };
            let at = usize::from(address);
            if reading.fault == Some(SensorFault::DeviceFailure) {
                image.failed.extend((address..address + format.registers()).map(|register| (table, register)));
                continue;
            }
            match table {
                Table::Coil => image.coils[at] = reading.value == Truth::Flag(true),
                Table::Discrete => image.discrete[at] = reading.value == Truth::Flag(true),
                Table::Input | Table::Holding => {
                    let registers = if table == Table::Input { &mut image.input } else { &mut image.holding };
                    let encoded = encode(reading, format, order, scale);
                    registers[at..at + encoded.len()].copy_from_slice(&encoded);
                }
            }
        }
        *self.0.write() = image;
    }

    fn answer(&self, request: &Request<'_>) -> Result<Response, ExceptionCode> {
        let image = self.0.read();
        Ok(match *request {
            Request::ReadCoils(address, count) => Response::ReadCoils(image.read(Table::Coil, &image.coils, address, count, BITS_MAX)?),
            Request::ReadDiscreteInputs(address, count) => {
                Response::ReadDiscreteInputs(image.read(Table::Discrete, &image.discrete, address, count, BITS_MAX)?)
            }
            Request::ReadInputRegisters(address, count) => {
                Response::ReadInputRegisters(image.read(Table::Input, &image.input, address, count, REGISTERS_MAX)?)
            }
            Request::ReadHoldingRegisters(address, count) => {
                Response::ReadHoldingRegisters(image.read(Table::Holding, &image.holding, address, count, REGISTERS_MAX)?)
            }
            _ => return Err(ExceptionCode::IllegalFunction),
        })
    }
}

impl Image {
    fn read<T: Copy>(&self, table: Table, cells: &[T], address: u16, count: u16, count_max: u16) -> Result<Vec<T>, ExceptionCode> {
        if count == 0 || count > count_max {
            return Err(ExceptionCode::IllegalDataValue);
        }
        let asked = usize::from(address)..usize::from(address) + usize::from(count);
        let read = cells.get(asked.clone()).ok_or(ExceptionCode::IllegalDataAddress)?;
        if self.failed.iter().any(|(failed, register)| *failed == table && asked.contains(&usize::from(*register))) {
            return Err(ExceptionCode::ServerDeviceFailure);
        }
        Ok(read.to_vec())
    }
}

/// A reading as registers. Integers saturate at their ends, as a converter does; counters wrap, as a counter does.
fn encode(reading: &InstrumentReading, format: SignalFormat, order: SignalWordOrder, scale: f64) -> Vec<u16> {
    let number = match (reading.fault, &reading.value) {
        (Some(SensorFault::NotANumber), _) | (_, Truth::Text(_)) => f64::NAN,
        (_, Truth::Number(number)) => *number,
        (_, Truth::Count(count)) => {
            return to_registers(&count.to_be_bytes()[8 - 2 * usize::from(format.registers())..], order);
        }
        (_, Truth::Flag(flag)) => f64::from(u8::from(*flag)),
        (_, Truth::State(state)) => f64::from(*state),
    };
    let raw = (number / scale).round();
    match format {
        SignalFormat::Bit | SignalFormat::U16 => to_registers(&(raw as u16).to_be_bytes(), order),
        SignalFormat::I16 => to_registers(&(raw as i16).to_be_bytes(), order),
        SignalFormat::U32 => to_registers(&(raw as u32).to_be_bytes(), order),
        SignalFormat::I32 => to_registers(&(raw as i32).to_be_bytes(), order),
        SignalFormat::U64 => to_registers(&(raw as u64).to_be_bytes(), order),
        SignalFormat::F32 => to_registers(&((number / scale) as f32).to_be_bytes(), order),
        SignalFormat::F64 => to_registers(&(number / scale).to_be_bytes(), order),
    }
}

fn to_registers(big_endian: &[u8], order: SignalWordOrder) -> Vec<u16> {
    let swap_bytes = matches!(order, SignalWordOrder::BADC | SignalWordOrder::DCBA);
    let mut registers: Vec<u16> = big_endian
        .chunks_exact(2)
        .map(|pair| if swap_bytes { u16::from_le_bytes([pair[0], pair[1]]) } else { u16::from_be_bytes([pair[0], pair[1]]) })
        .collect();
    if matches!(order, SignalWordOrder::CDAB | SignalWordOrder::DCBA) {
        registers.reverse();
    }
    registers
}

/// The device on its socket.
#[derive(Clone)]
pub(super) struct ModbusDevice(Arc<Registers>);

impl ModbusDevice {
    pub fn new(registers: Arc<Registers>) -> ModbusDevice {
        ModbusDevice(registers)
    }

    /// Serves any number of clients until `stop`.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let new_service = |_| Ok(Some(self.clone()));
        let on_connected = |stream, peer| async move { accept_tcp_connection(stream, peer, new_service) };
        let on_error = |error| tracing::debug!(%error, "a client of the simulated Modbus device went away");
        let served = Server::new(listener).serve_until(&on_connected, on_error, stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the simulated Modbus device stopped");
        }
    }
}

impl Service for ModbusDevice {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: SlaveRequest<'static>) -> Self::Future {
        future::ready(if request.slave == UNIT { self.0.answer(&request.request) } else { Err(ExceptionCode::GatewayTargetDevice) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: f64) -> InstrumentReading {
        InstrumentReading { value: Truth::Number(value), fault: None }
    }

    #[test]
    fn numbers_lie_in_registers_as_their_format_and_order_say() {
        let float = |order| encode(&number(f64::from(f32::from_bits(0x1122_3344))), SignalFormat::F32, order, 1.0);
        assert_eq!(float(SignalWordOrder::ABCD), [0x1122, 0x3344]);
        assert_eq!(float(SignalWordOrder::CDAB), [0x3344, 0x1122]);
        assert_eq!(float(SignalWordOrder::BADC), [0x2211, 0x4433]);
        assert_eq!(float(SignalWordOrder::DCBA), [0x4433, 0x2211]);
        assert_eq!(encode(&number(-0.5), SignalFormat::I16, SignalWordOrder::ABCD, 0.1), [(-5_i16) as u16]);
        assert_eq!(encode(&number(101.0), SignalFormat::U16, SignalWordOrder::ABCD, 100.0 / 65535.0), [65535], "a converter saturates");
        assert_eq!(encode(&number(-3.0), SignalFormat::U16, SignalWordOrder::ABCD, 1.0), [0], "a converter saturates");
        let count = InstrumentReading { value: Truth::Count(0x1_0002_0003), fault: None };
        assert_eq!(encode(&count, SignalFormat::U32, SignalWordOrder::ABCD, 1.0), [2, 3], "a counter wraps");
        assert_eq!(encode(&count, SignalFormat::U64, SignalWordOrder::ABCD, 1.0), [0, 1, 2, 3]);
    }

    #[test]
    fn a_failed_card_refuses_only_reads_that_touch_it() {
        let registers = Registers::new();
        let mut readings = vec![number(1.0); SIGNALS.len()];
        let index = SIGNALS.iter().position(|signal| signal.sensor.fault == Some(SensorFault::DeviceFailure)).unwrap();
        let SignalAddress::Modbus { address, .. } = SIGNALS[index].wire else { panic!() };
        readings[index].fault = Some(SensorFault::DeviceFailure);
        registers.publish(&readings);
        let read = |address, count| registers.answer(&Request::ReadHoldingRegisters(address, count));
        assert_eq!(read(address, 1), Err(ExceptionCode::ServerDeviceFailure));
        assert_eq!(read(address - 5, 6), Err(ExceptionCode::ServerDeviceFailure));
        assert!(read(address - 5, 5).is_ok());
        assert_eq!(read(250, 7), Err(ExceptionCode::IllegalDataAddress));
        assert_eq!(read(0, 126), Err(ExceptionCode::IllegalDataValue));
        assert_eq!(registers.answer(&Request::WriteSingleRegister(0, 1)), Err(ExceptionCode::IllegalFunction));
        readings[index].fault = None;
        registers.publish(&readings);
        assert!(read(address, 2).is_ok());
    }
}
