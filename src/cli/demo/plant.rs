//! The plant of a demo over its starts: its ports, its devices once they serve, and a file beside the data from which the next start goes on.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;

use super::history::write_whole;
use historian_model::{Clock, SystemClock};
use historian_simulator::{Course, Plant, PlantOptions, PlantSockets};

/// Name of the file in the data directory that has tanks, counters and controllers of the plant.
const STATE_FILE: &str = "demo-plant.json";
/// How much of the plant's course a demo that is killed loses.
const SAVE_EVERY: Duration = Duration::from_secs(10);

pub struct DemoPlant {
    pub modbus_address: SocketAddr,
    pub opcua_address: SocketAddr,
    seed: u64,
    step: Duration,
    file: PathBuf,
    /// Until the devices serve.
    sockets: Option<PlantSockets>,
    running: Option<Plant>,
}

impl DemoPlant {
    /// Takes the ports of the devices, which do not serve yet.
    ///
    /// # Errors
    /// A port is taken.
    pub async fn open(directory: &Path, seed: u64, [modbus, opcua]: [SocketAddr; 2]) -> anyhow::Result<DemoPlant> {
        let mut options = PlantOptions::new(directory.join("plant-pki"));
        (options.modbus_address, options.opcua_address) = (modbus, opcua);
        let step = options.step;
        let sockets = PlantSockets::open(options).await?;
        let (modbus_address, opcua_address) = (sockets.modbus_address, sockets.opcua_address);
        let file = directory.join(STATE_FILE);
        Ok(DemoPlant { modbus_address, opcua_address, seed, step, file, sockets: Some(sockets), running: None })
    }

    /// The plant where the last run left it, or a new one.
    pub fn of_last_run(&self) -> Course {
        let new = || Course::begin(self.seed, self.step, SystemClock.now());
        match fs::read_to_string(&self.file) {
            Ok(saved) => Course::restored(&saved, self.seed).unwrap_or_else(|error| {
                tracing::warn!(file = %self.file.display(), "{error}; the plant begins anew, and its counters with it");
                new()
            }),
            Err(_) => new(),
        }
    }

    /// Keeps a plant for the next run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, course: &Course) -> anyhow::Result<()> {
        write_whole(&self.file, course.saved().as_bytes())
    }

    /// Lets the devices serve this plant.
    ///
    /// # Errors
    /// The OPC UA device does not start.
    pub fn serve(&mut self, course: Course) -> anyhow::Result<()> {
        let sockets = self.sockets.take().context("the plant runs already")?;
        self.running = Some(sockets.serve(course)?);
        Ok(())
    }

    /// Keeps the plant now and then, without end.
    pub async fn keep_on(&self) -> ! {
        loop {
            tokio::time::sleep(SAVE_EVERY).await;
            self.keep_running();
        }
    }

    fn keep_running(&self) {
        let Some(plant) = &self.running else { return };
        if let Err(error) = write_whole(&self.file, plant.saved().as_bytes()) {
            tracing::warn!("after a restart the plant goes on from an earlier state: {error:#}");
        }
    }

    /// Stops the devices, and keeps the plant for the next run.
    pub async fn stop(mut self) {
        self.keep_running();
        if let Some(plant) = self.running.take() {
            plant.stop().await;
        }
    }
}
