//! A simulated plant: a small process, the instruments on it, and the two devices that serve them over real Modbus TCP and real OPC UA.
//!
//! It stands where the devices stand, before the first room of the house, and knows nothing of the house but the model. [`SIGNALS`] is the
//! one list of its signals; the demo makes the configuration of the collectors from it.

mod course;
mod instrument;
mod modbus;
mod opcua;
mod past;
mod planted;
mod process;
pub mod signal;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub use self::{
    course::{Course, UnreadablePlant},
    opcua::NAMESPACE,
    past::{Past, PlantedCorrection},
    planted::{PLANTED, PlantedEvent},
    signal::{SIGNALS, Signal, SignalAddress},
};
use self::{
    modbus::{ModbusDevice, Registers},
    opcua::OpcUaDevice,
};
use historian_model::{Clock, SystemClock};

/// Longest wait for the devices to close their connections.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// How to start a [`Plant`].
pub struct PlantOptions {
    /// Time between two scans of the process.
    pub step: Duration,
    /// Port 0 takes a free one.
    pub modbus_address: SocketAddr,
    /// Port 0 takes a free one.
    pub opcua_address: SocketAddr,
    /// Where the OPC UA server keeps its (empty) certificate store.
    pub pki_dir: PathBuf,
    /// Source of the OPC UA timestamps.
    pub clock: Arc<dyn Clock>,
}

impl PlantOptions {
    /// Free ports on loopback, five scans a second.
    pub fn new(pki_dir: impl Into<PathBuf>) -> PlantOptions {
        PlantOptions {
            step: Duration::from_millis(200),
            modbus_address: (Ipv4Addr::LOCALHOST, 0).into(),
            opcua_address: (Ipv4Addr::LOCALHOST, 0).into(),
            pki_dir: pki_dir.into(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why a plant did not start.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    #[error("the simulated {device} device cannot listen on {address}: {reason}; name another port or 0 for any free one")]
    Listen { device: &'static str, address: SocketAddr, reason: std::io::Error },
    #[error("the simulated OPC UA device did not start: {0}")]
    OpcUa(String),
    #[error("the step of the plant is {0:?}; it must be from 10 ms to 1 s for its controllers to be stable")]
    Step(Duration),
}

/// The sockets of the two devices. Clients that come now are answered as soon as the plant runs.
pub struct PlantSockets {
    /// Where the Modbus device listens.
    pub modbus_address: SocketAddr,
    /// Where the OPC UA device listens.
    pub opcua_address: SocketAddr,
    modbus: TcpListener,
    opcua: TcpListener,
    options: PlantOptions,
}

impl PlantSockets {
    /// Takes the ports.
    ///
    /// # Errors
    /// When an address is taken, or the step is none that a plant can have.
    pub async fn open(options: PlantOptions) -> Result<PlantSockets, PlantError> {
        if !(Duration::from_millis(10)..=Duration::from_secs(1)).contains(&options.step) {
            return Err(PlantError::Step(options.step));
        }
        let modbus = listen("Modbus", options.modbus_address).await?;
        let opcua = listen("OPC UA", options.opcua_address).await?;
        let (modbus_address, opcua_address) = (local(&modbus, options.modbus_address), local(&opcua, options.opcua_address));
        Ok(PlantSockets { modbus_address, opcua_address, modbus, opcua, options })
    }

    /// Starts both devices; they serve what the plant does from now on.
    ///
    /// # Errors
    /// When the OPC UA server refuses its settings.
    pub fn serve(self, mut course: Course) -> Result<Plant, PlantError> {
        let PlantSockets { modbus_address, opcua_address, modbus, opcua, options } = self;
        let (clock, step_s) = (options.clock, options.step.as_secs_f64());
        let now = clock.now();
        let first = course.scan(step_s, now);

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let registers = Arc::new(Registers::new());
        registers.publish(&first);
        tasks.spawn(ModbusDevice::new(registers.clone()).serve(modbus, stop.clone()));
        let nodes = OpcUaDevice::start(opcua, opcua_address, &options.pki_dir, &stop, &mut tasks).map_err(PlantError::OpcUa)?;
        nodes.publish(&first, now);

        let until = stop.clone();
        let mut ticks = tokio::time::interval(options.step);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let course = Arc::new(Mutex::new(course));
        let running = course.clone();
        tasks.spawn(async move {
            while until.run_until_cancelled(ticks.tick()).await.is_some() {
                let now = clock.now();
                let readings = running.lock().scan(step_s, now);
                registers.publish(&readings);
                nodes.publish(&readings, now);
            }
        });
        Ok(Plant { modbus_address, opcua_address, course, stop, tasks })
    }
}

/// A running plant. Dropped, it stops without waiting.
pub struct Plant {
    /// Where the Modbus device listens.
    pub modbus_address: SocketAddr,
    /// Where the OPC UA device listens.
    pub opcua_address: SocketAddr,
    course: Arc<Mutex<Course>>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Plant {
    /// Starts a plant that nobody knew before, and both devices; they are ready to serve when this returns.
    ///
    /// # Errors
    /// When an address is taken, or the OPC UA server refuses its settings.
    pub async fn start(options: PlantOptions) -> Result<Plant, PlantError> {
        let course = Course::begin(1, options.step, options.clock.now());
        PlantSockets::open(options).await?.serve(course)
    }

    /// Tanks, counters and controllers as they are now, as text for [`Course::restored`].
    pub fn saved(&self) -> String {
        self.course.lock().saved()
    }

    /// Stops the process and closes both devices.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(device: &'static str, address: SocketAddr) -> Result<TcpListener, PlantError> {
    TcpListener::bind(address).await.map_err(|reason| PlantError::Listen { device, address, reason })
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}
