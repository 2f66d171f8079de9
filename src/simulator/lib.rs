//! A simulated plant: a small process, the instruments on it, and the two devices that serve them over real Modbus TCP and real OPC UA.
//!
//! It stands where the devices stand, before the first room of the house, and knows nothing of the house but the model. [`SIGNALS`] is the
//! one list of its signals; the demo makes the configuration of the collectors from it.

mod instrument;
mod modbus;
mod opcua;
mod process;
pub mod signal;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::{
    instrument::{InstrumentReading, Instruments},
    modbus::{ModbusDevice, Registers},
    opcua::OpcUaDevice,
    process::Process,
};
pub use self::{
    opcua::NAMESPACE,
    signal::{SIGNALS, Signal, SignalAddress},
};
use historian_model::{Clock, SystemClock};

/// Simulated time that passes before the devices come up, so that nobody sees the plant find its balance.
const WARM_UP: Duration = Duration::from_mins(30);
/// Longest wait for the devices to close their connections.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// How to start a [`Plant`].
pub struct PlantOptions {
    /// The same seed and step give the same course of the process, its noise and its faults.
    pub seed: u64,
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
            seed: 1,
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

/// A running plant. Dropped, it stops without waiting.
pub struct Plant {
    /// Where the Modbus device listens.
    pub modbus_address: SocketAddr,
    /// Where the OPC UA device listens.
    pub opcua_address: SocketAddr,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Plant {
    /// Starts the process and both devices; they are ready to serve when this returns.
    ///
    /// # Errors
    /// When an address is taken, or the OPC UA server refuses its settings.
    pub async fn start(options: PlantOptions) -> Result<Plant, PlantError> {
        if !(Duration::from_millis(10)..=Duration::from_secs(1)).contains(&options.step) {
            return Err(PlantError::Step(options.step));
        }
        let modbus = listen("Modbus", options.modbus_address).await?;
        let opcua = listen("OPC UA", options.opcua_address).await?;
        let (modbus_address, opcua_address) = (local(&modbus, options.modbus_address), local(&opcua, options.opcua_address));

        let step_s = options.step.as_secs_f64();
        let mut course = Course::new(options.seed, step_s);
        for _ in 0..(WARM_UP.as_secs_f64() / step_s) as usize {
            course.process.step(step_s, &mut course.random);
        }
        let first = course.scan();

        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let registers = Arc::new(Registers::new());
        registers.publish(&first);
        tasks.spawn(ModbusDevice::new(registers.clone()).serve(modbus, stop.clone()));
        let nodes = OpcUaDevice::start(opcua, opcua_address, &options.pki_dir, &stop, &mut tasks).map_err(PlantError::OpcUa)?;
        nodes.publish(&first, options.clock.now());

        let (clock, until) = (options.clock, stop.clone());
        let mut ticks = tokio::time::interval(options.step);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        tasks.spawn(async move {
            while until.run_until_cancelled(ticks.tick()).await.is_some() {
                let readings = course.scan();
                registers.publish(&readings);
                nodes.publish(&readings, clock.now());
            }
        });
        Ok(Plant { modbus_address, opcua_address, stop, tasks })
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

/// The process with its instruments and its chance, scan after scan.
struct Course {
    process: Process,
    instruments: Instruments,
    random: StdRng,
    step_s: f64,
}

impl Course {
    fn new(seed: u64, step_s: f64) -> Course {
        let mut random = StdRng::seed_from_u64(seed);
        let instruments = Instruments::new(&mut random);
        Course { process: Process::new(), instruments, random, step_s }
    }

    /// One step of the process, and a reading of each signal in the order of [`SIGNALS`].
    fn scan(&mut self) -> Vec<InstrumentReading> {
        self.process.step(self.step_s, &mut self.random);
        self.instruments.read(&self.process, self.step_s, &mut self.random)
    }
}

async fn listen(device: &'static str, address: SocketAddr) -> Result<TcpListener, PlantError> {
    TcpListener::bind(address).await.map_err(|reason| PlantError::Listen { device, address, reason })
}

fn local(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_course_and_another_seed_another() {
        let course = |seed| {
            let mut course = Course::new(seed, 0.2);
            (0..500).map(|_| course.scan()).collect::<Vec<_>>()
        };
        // Debug text, because a NaN of a sensor fault is not equal to itself.
        assert_eq!(format!("{:?}", course(7)), format!("{:?}", course(7)));
        assert_ne!(format!("{:?}", course(7)), format!("{:?}", course(8)));
    }
}
