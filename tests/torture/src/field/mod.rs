//! Modbus devices of a plant, each of which can be made bad in a way that devices and gateways are known for.
//!
//! A device answers with its own number and with how many requests it has answered properly, so that of each sample it is known which device
//! it came from, and whether one is missing. What it answers while it is bad carries a number that no device has.

mod answer;
mod read;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::read::read;

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
    /// Cancelled when the state of the device changes; connections of before end then.
    changed: Mutex<CancellationToken>,
    /// Requests answered properly.
    answered: AtomicU32,
    /// The next so many proper answers are spoilt without a trace in the protocol: for mutants.
    spoil: Mutex<Option<Spoilt>>,
    late_by: Duration,
    connections: AtomicU64,
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
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(FieldState {
            number,
            ailment: Mutex::new(None),
            changed: Mutex::new(CancellationToken::new()),
            answered: AtomicU32::new(0),
            spoil: Mutex::new(None),
            late_by,
            connections: AtomicU64::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, address, state.clone(), stop.clone()));
        Ok(FieldDevice { address, state, _stop: stop.drop_guard() })
    }

    /// Makes the device bad, or good again. What it has of connections is closed.
    pub fn set(&self, ailment: Option<Ailment>) {
        *self.state.ailment.lock() = ailment;
        std::mem::take(&mut *self.state.changed.lock()).cancel();
    }

    pub fn spoil(&self, how: Spoilt) {
        *self.state.spoil.lock() = Some(how);
    }

    /// Connections taken so far.
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }
}

async fn serve(listener: TcpListener, address: SocketAddr, state: Arc<FieldState>, stop: CancellationToken) {
    let mut listener = Some(listener);
    let mut open = JoinSet::new();
    while !stop.is_cancelled() {
        let changed = state.changed.lock().clone();
        if *state.ailment.lock() == Some(Ailment::Refuses) {
            listener = None;
        } else if listener.is_none() {
            // It is the same address again; where another program took it meanwhile, that is seen by the device staying away.
            listener = TcpListener::bind(address).await.ok();
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await.map(|(stream, _)| stream),
                None => std::future::pending().await,
            }
        };
        let retry = async {
            if listener.is_none() && *state.ailment.lock() != Some(Ailment::Refuses) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = changed.cancelled() => {}
            () = retry => {}
            Ok(stream) = accepted => {
                state.connections.fetch_add(1, Ordering::Relaxed);
                let (state, stop) = (state.clone(), stop.clone());
                open.spawn(async move {
                    tokio::select! {
                        _ended = talk(stream, &state) => {}
                        () = changed.cancelled() => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
        }
        while open.try_join_next().is_some() {}
    }
}

/// Answers requests until the client goes.
async fn talk(mut stream: TcpStream, state: &FieldState) -> io::Result<()> {
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
