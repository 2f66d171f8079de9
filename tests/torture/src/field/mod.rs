//! Devices of a plant, each of which can be made bad in a way that devices and gateways are known for: Modbus devices here, OPC UA servers
//! in [`server`], which a [`line`] makes bad.
//!
//! A Modbus device answers with its own number and with how many requests it has answered properly, so that of each sample it is known
//! which device it came from, and whether one is missing. What it answers while it is bad carries a number that no device has.

mod answer;
mod chunk;
mod line;
mod port;
mod read;
mod server;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::port::FieldPort;
pub use self::{
    line::LineAilment,
    read::{delivering, now, read},
    server::{FieldServer, NODES, Written, value_of},
};

/// What a device has in place of its number in answers that nobody may take.
pub const FOREIGN: u16 = 60_000;

/// How a device is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// Nobody listens.
    Refuses,
    /// Connections are taken and closed.
    Hangs,
    /// Requests are taken and not answered.
    Silent,
    /// Answers come after the collector has given up.
    Late,
    /// Fewer registers than were asked for.
    Short,
    /// An answer that breaks off within the frame.
    Cut,
    /// The answer names another transaction.
    OtherTransaction,
    /// The answer names another unit.
    OtherUnit,
    /// The answer names another function.
    OtherFunction,
    /// Exception 4, device failure.
    Fails,
    /// Exception 6, busy.
    Busy,
    /// Bytes of no protocol, without end.
    Babbles,
}

impl Ailment {
    pub const ALL: [Ailment; 12] = [
        Ailment::Refuses,
        Ailment::Hangs,
        Ailment::Silent,
        Ailment::Late,
        Ailment::Short,
        Ailment::Cut,
        Ailment::OtherTransaction,
        Ailment::OtherUnit,
        Ailment::OtherFunction,
        Ailment::Fails,
        Ailment::Busy,
        Ailment::Babbles,
    ];
}

/// One device, which serves until it is dropped.
pub struct FieldDevice {
    pub address: SocketAddr,
    state: Arc<FieldState>,
    _stop: DropGuard,
}

struct FieldState {
    number: u16,
    ailment: Mutex<Option<Ailment>>,
    port: Arc<FieldPort>,
    /// Requests answered properly.
    answered: AtomicU32,
    /// The next so many proper answers are spoilt without a trace in the protocol: for mutants.
    spoil: Mutex<Option<Spoilt>>,
    late_by: Duration,
}

/// A fault that no collector can see and that the test must: the device answers in the name of another, or leaves one out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    /// Once with the number of another device.
    Crossed,
    /// Once it counts an answer that it does not give.
    Skipped,
}

impl FieldDevice {
    /// Listens on a free port of loopback. Late answers are late by `late_by`.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(number: u16, late_by: Duration) -> io::Result<FieldDevice> {
        let (listener, port) = FieldPort::open().await?;
        let state = Arc::new(FieldState {
            number,
            ailment: Mutex::new(None),
            port: port.clone(),
            answered: AtomicU32::new(0),
            spoil: Mutex::new(None),
            late_by,
        });
        let (address, stop, talking) = (port.address, CancellationToken::new(), state.clone());
        tokio::spawn(port.serve(listener, stop.clone(), move |stream| talk(stream, talking.clone())));
        Ok(FieldDevice { address, state, _stop: stop.drop_guard() })
    }

    /// Makes the device bad, or good again. What it has of connections is closed.
    pub fn set(&self, ailment: Option<Ailment>) {
        *self.state.ailment.lock() = ailment;
        self.state.port.change(ailment == Some(Ailment::Refuses));
    }

    pub fn spoil(&self, how: Spoilt) {
        *self.state.spoil.lock() = Some(how);
    }

    /// Connections taken so far.
    pub fn connections(&self) -> u64 {
        self.state.port.connections()
    }
}

/// Answers requests until the client goes.
async fn talk(mut stream: TcpStream, state: Arc<FieldState>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let ailment = *state.ailment.lock();
    if ailment == Some(Ailment::Hangs) {
        return Ok(());
    }
    loop {
        let mut request = [0; 12];
        stream.read_exact(&mut request).await?;
        match ailment {
            None => {
                let count = state.answered.fetch_add(1, Ordering::Relaxed) + 1;
                let number = match state.spoil.lock().take() {
                    Some(Spoilt::Crossed) => state.number + 1,
                    // The count goes on without it.
                    Some(Spoilt::Skipped) => {
                        state.answered.fetch_add(1, Ordering::Relaxed);
                        state.number
                    }
                    None => state.number,
                };
                stream.write_all(&answer::registers(&request, number, count)).await?;
            }
            Some(Ailment::Refuses | Ailment::Hangs) => return Ok(()),
            Some(Ailment::Silent) => {}
            Some(Ailment::Late) => {
                tokio::time::sleep(state.late_by).await;
                // It is the answer to its request all the same, and may be taken for that.
                let count = state.answered.fetch_add(1, Ordering::Relaxed) + 1;
                stream.write_all(&answer::registers(&request, state.number, count)).await?;
            }
            Some(Ailment::Cut) => {
                let whole = answer::registers(&request, FOREIGN + state.number, 0);
                stream.write_all(&whole[..whole.len() - 3]).await?;
            }
            Some(Ailment::Babbles) => loop {
                stream.write_all(&[0x5A; 256]).await?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            },
            Some(other) => stream.write_all(&answer::spoilt(&request, other, FOREIGN + state.number)).await?,
        }
    }
}
