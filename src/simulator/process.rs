//! The process of the simulated plant: a skid that takes in raw product, heats it with steam, cools it and loads it into trucks.
//!
//! ```text
//! supply → XV101 → T101 → P101 → T201 (steam jacket, TIC201) → P201 → cooler E301 → T301 → P301 → truck
//!                                  ↑ boiler, compressed air, electricity
//! ```
//!
//! Each step moves litres between tanks, heat into product and steam, and lets the controllers act: what leaves one tank arrives in the
//! next, counters are the integral of what flows. Constants are those of a small pilot plant, chosen so that something happens every minute.

use rand::{Rng, rngs::StdRng};
use serde::{Deserialize, Serialize};

/// Names of [`Process::plant_state`].
pub(super) static PLANT_STATES: &[&str] = &["idle", "filling", "heating", "producing", "loading"];
/// Names of [`Process::mode`].
pub(super) static MODES: &[&str] = &["manual", "automatic", "cascade"];

/// Heat capacity of the product, kJ per litre and kelvin; it is nearly water.
const HEAT_CAPACITY: f64 = 4.1;
/// Heat that a kilogram of steam gives to the jacket, kJ.
const STEAM_HEAT: f64 = 2080.0;
/// Heat to the steam side while the burner is on, kW.
const BURNER_KW: f64 = 480.0;
/// Heat that raises the boiler pressure by a bar, kJ.
const BOILER_KJ_PER_BAR: f64 = 30_000.0;
/// Part of the product's heat that the cooler gives back to the feed.
const HEAT_RECOVERY: f64 = 0.55;
/// Deposits in the cooler after it was cleaned, by which it leaves more of its heat to the product. They grow the faster the more there are.
const FOULING_CLEAN: f64 = 0.01;
const FOULING_TIME_S: f64 = 24.0 * 3600.0;
/// Deposits at which the cooler is taken out of service, and how long cleaning takes.
const FOULING_MAX: f64 = 4.0;
const CLEANING_S: f64 = 7200.0;

/// What acts on the process from outside: people, the mains, wear.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Conditions {
    /// Speed of production, as a part of full speed.
    pub rate: f64,
    /// How far demand and stem of the steam valve come apart before it moves, in percent of its stroke; 0 for a sound valve.
    pub stiction: f64,
    /// The cooler is out of service, and P201 stands.
    pub cleaning: bool,
    /// What is left of the mains voltage.
    pub mains: f64,
}

impl Default for Conditions {
    /// Full speed, and nothing wrong.
    fn default() -> Conditions {
        Conditions { rate: 1.0, stiction: 0.0, cleaning: false, mains: 1.0 }
    }
}

/// A vessel that holds litres.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Tank {
    pub litres: f64,
    pub capacity_l: f64,
}

impl Tank {
    pub fn percent(&self) -> f64 {
        100.0 * self.litres / self.capacity_l
    }

    /// Takes what fits and gives what is there; returns the litres that really moved in.
    fn fill(&mut self, litres: f64) -> f64 {
        let moved = litres.clamp(-self.litres, self.capacity_l - self.litres);
        self.litres += moved;
        moved
    }
}

/// A value that follows its input with a time constant: a valve stem, a flow that builds up, a motor current.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Lag {
    pub value: f64,
    time_constant_s: f64,
}

impl Lag {
    fn at(value: f64, time_constant_s: f64) -> Lag {
        Lag { value, time_constant_s }
    }

    fn follow(&mut self, input: f64, dt: f64) {
        self.value += (input - self.value) * (1.0 - (-dt / self.time_constant_s).exp());
    }
}

/// A value that wanders about its mean (an Ornstein–Uhlenbeck process): weather, mains, supply.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Drift {
    pub value: f64,
    mean: f64,
    deviation: f64,
    time_constant_s: f64,
}

impl Drift {
    fn about(mean: f64, deviation: f64, time_constant_s: f64) -> Drift {
        Drift { value: mean, mean, deviation, time_constant_s }
    }

    fn wander(&mut self, dt: f64, random: &mut StdRng) {
        let keep = (-dt / self.time_constant_s).exp();
        self.value = self.mean + (self.value - self.mean) * keep + self.deviation * (1.0 - keep * keep).sqrt() * normal(random);
    }
}

/// A motor with its counters.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Motor {
    pub running: bool,
    pub starts: u64,
    pub running_s: f64,
}

impl Motor {
    fn commissioned(starts: u64, running_h: f64) -> Motor {
        Motor { running: false, starts, running_s: running_h * 3600.0 }
    }

    /// On-off control with hysteresis: starts on `start`, stops on `stop`, else stays as it is.
    fn switch(&mut self, start: bool, stop: bool, dt: f64) {
        let run = !stop && (self.running || start);
        self.starts += u64::from(run && !self.running);
        self.running = run;
        self.running_s += if run { dt } else { 0.0 };
    }
}

/// State of the whole plant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Process {
    pub conditions: Conditions,
    pub tank101: Tank,
    pub tank201: Tank,
    pub tank301: Tank,
    pub inlet_open: bool,
    pub inlet_flow: Lag,
    supply_pressure: Drift,
    pub raw_temperature: Drift,
    pub conductivity: Drift,
    pub pump101: Motor,
    pub pump101_pressure: Lag,
    pub pump101_current: Lag,
    pub feed_flow: Lag,
    pub feed_total_l: f64,
    pub feed_start_level: f64,
    pub feed_stop_level: f64,

    pub tank201_temperature: f64,
    pub temperature_setpoint: f64,
    setpoint_changes_in_s: f64,
    integral: f64,
    /// Where the positioner of the steam valve drives its stem.
    stem: f64,
    pub steam_valve: Lag,
    pub steam_flow: Lag,
    jacket_kw: Lag,
    pub pump201: Motor,
    pub pump201_speed: Lag,
    pub discharge_flow: Lag,
    pub discharge_total_l: f64,

    fouling: f64,
    /// Seconds to the end of a cleaning that deposits made necessary.
    cleaning_left_s: f64,
    pub product_temperature: Lag,
    pub water_flow: Lag,
    water_inlet: Drift,
    pub water_return: Lag,
    pub ph: Drift,
    haze: Drift,
    pub turbidity: Lag,
    pub pump301: Motor,
    pub pump301_current: Lag,
    pub vibration: Lag,
    pub loading_flow: Lag,
    pub loading_total_l: f64,
    pub lot: u64,
    pub lots_loaded: u64,

    pub boiler_pressure: f64,
    pub boiler_level: f64,
    feed_water: bool,
    pub burner: Motor,
    pub gas_flow: Lag,
    pub flue_temperature: Lag,
    pub oxygen: Lag,
    pub air_pressure: f64,
    air_demand: Drift,
    pub compressor: Motor,
    pub ambient: Drift,
    base_load_kw: Drift,
    pub power: Lag,
    pub energy_wh: f64,
    pub frequency: Drift,
    pub voltage: Drift,
}

impl Process {
    /// A plant that has been in service for some years and stands still.
    pub fn new() -> Process {
        Process {
            conditions: Conditions::default(),
            tank101: Tank { litres: 800.0, capacity_l: 1200.0 },
            tank201: Tank { litres: 240.0, capacity_l: 400.0 },
            tank301: Tank { litres: 1500.0, capacity_l: 2500.0 },
            inlet_open: false,
            inlet_flow: Lag::at(0.0, 1.2),
            supply_pressure: Drift::about(3.0, 0.12, 90.0),
            raw_temperature: Drift::about(11.8, 0.5, 900.0),
            conductivity: Drift::about(486.0, 9.0, 300.0),
            pump101: Motor::commissioned(18_412, 6_120.0),
            pump101_pressure: Lag::at(0.4, 0.8),
            pump101_current: Lag::at(0.0, 0.6),
            feed_flow: Lag::at(0.0, 1.5),
            feed_total_l: 41_370_210.0,
            feed_start_level: 45.0,
            feed_stop_level: 80.0,
            tank201_temperature: 66.0,
            temperature_setpoint: 72.0,
            setpoint_changes_in_s: 600.0,
            integral: 5.0,
            stem: 40.0,
            steam_valve: Lag::at(40.0, 2.5),
            steam_flow: Lag::at(0.0, 1.5),
            jacket_kw: Lag::at(0.0, 8.0),
            pump201: Motor::commissioned(2_204, 11_870.0),
            pump201_speed: Lag::at(0.0, 2.0),
            discharge_flow: Lag::at(0.0, 1.0),
            discharge_total_l: 41_362_884.0,
            fouling: FOULING_CLEAN,
            cleaning_left_s: 0.0,
            product_temperature: Lag::at(8.6, 12.0),
            water_flow: Lag::at(0.8, 3.0),
            water_inlet: Drift::about(4.2, 0.15, 400.0),
            water_return: Lag::at(9.0, 15.0),
            ph: Drift::about(6.68, 0.025, 240.0),
            haze: Drift::about(0.78, 0.05, 120.0),
            turbidity: Lag::at(0.8, 20.0),
            pump301: Motor::commissioned(3_377, 1_940.0),
            pump301_current: Lag::at(0.0, 0.6),
            vibration: Lag::at(0.1, 2.0),
            loading_flow: Lag::at(0.0, 2.0),
            loading_total_l: 41_360_100.0,
            lot: 3_378,
            lots_loaded: 3_377,
            boiler_pressure: 6.1,
            boiler_level: 56.0,
            feed_water: false,
            burner: Motor::commissioned(61_950, 9_002.0),
            gas_flow: Lag::at(0.0, 2.0),
            flue_temperature: Lag::at(130.0, 40.0),
            oxygen: Lag::at(12.0, 8.0),
            air_pressure: 6.9,
            air_demand: Drift::about(0.012, 0.003, 60.0),
            compressor: Motor::commissioned(88_310, 7_713.0),
            ambient: Drift::about(21.4, 0.8, 3600.0),
            base_load_kw: Drift::about(6.2, 0.4, 120.0),
            power: Lag::at(6.0, 0.5),
            energy_wh: 512_804_330.0,
            frequency: Drift::about(50.0, 0.012, 20.0),
            voltage: Drift::about(400.6, 1.1, 60.0),
        }
    }

    /// Moves the plant on by `dt` seconds.
    pub fn step(&mut self, dt: f64, random: &mut StdRng) {
        for drift in [
            &mut self.supply_pressure,
            &mut self.raw_temperature,
            &mut self.conductivity,
            &mut self.water_inlet,
            &mut self.ph,
            &mut self.haze,
            &mut self.air_demand,
            &mut self.ambient,
            &mut self.base_load_kw,
            &mut self.frequency,
            &mut self.voltage,
        ] {
            drift.wander(dt, random);
        }
        self.change_setpoint(dt, random);
        let steam_kw = self.heat(dt);
        self.move_product(dt);
        self.cool(dt);
        self.raise_steam(steam_kw, dt);
        self.supply(dt);
    }

    /// Number of [`PLANT_STATES`].
    pub fn plant_state(&self) -> u8 {
        if self.pump301.running {
            4
        } else if self.pump201.running {
            3
        } else if self.steam_valve.value > 5.0 {
            2
        } else {
            u8::from(self.inlet_open || self.pump101.running)
        }
    }

    /// Number of [`MODES`].
    #[expect(clippy::unused_self, reason = "shape of the list of signals; the controller of this plant is always automatic")]
    pub fn mode(&self) -> u8 {
        1
    }

    /// Mains voltage, phase to phase.
    pub fn mains_voltage(&self) -> f64 {
        self.voltage.value * self.conditions.mains
    }

    fn is_cleaned(&self) -> bool {
        self.conditions.cleaning || self.cleaning_left_s > 0.0
    }

    /// The operator chooses another temperature every now and then.
    fn change_setpoint(&mut self, dt: f64, random: &mut StdRng) {
        self.setpoint_changes_in_s -= dt;
        if self.setpoint_changes_in_s <= 0.0 {
            self.setpoint_changes_in_s = random.random_range(300.0..1200.0);
            self.temperature_setpoint = [70.0, 72.0, 72.0, 74.5, 75.0][random.random_range(0..5)];
        }
    }

    /// TIC201 and the jacket; returns the heat taken from the boiler in kW.
    fn heat(&mut self, dt: f64) -> f64 {
        const GAIN: f64 = 6.0;
        const INTEGRAL_TIME_S: f64 = 100.0;
        /// Heat per percent of the valve at nominal boiler pressure, kW.
        const KW_PER_PERCENT: f64 = 8.0 / 3600.0 * STEAM_HEAT;
        let error = self.temperature_setpoint - self.tank201_temperature;
        // Cold feed is a disturbance that can be measured: most of the heat it takes is given at once.
        let feed_kw = HEAT_CAPACITY * self.feed_flow.value / 60.0 * (self.temperature_setpoint - self.feed_temperature());
        let wanted = GAIN * error + self.integral + 0.8 * feed_kw / KW_PER_PERCENT;
        // The integral stands still while the valve is at its end and the error would drive it further: no wind-up.
        if (wanted < 100.0 || error < 0.0) && (wanted > 0.0 || error > 0.0) {
            self.integral += GAIN / INTEGRAL_TIME_S * error * dt;
        }
        let demand = wanted.clamp(0.0, 100.0);
        if (demand - self.stem).abs() >= self.conditions.stiction {
            self.stem = demand;
        }
        self.steam_valve.follow(self.stem, dt);
        let drive = (self.boiler_pressure / 6.0).clamp(0.0, 1.5).sqrt();
        self.steam_flow.follow(8.0 * self.steam_valve.value * drive, dt);
        let steam_kw = self.steam_flow.value / 3600.0 * STEAM_HEAT;
        self.jacket_kw.follow(steam_kw, dt);
        let loss_kw = 0.09 * (self.tank201_temperature - self.ambient.value);
        let capacity = HEAT_CAPACITY * self.tank201.litres.max(20.0);
        self.tank201_temperature = (self.tank201_temperature + (self.jacket_kw.value - loss_kw) / capacity * dt).min(120.0);
        steam_kw
    }

    /// The feed comes warmed by what leaves T201.
    fn feed_temperature(&self) -> f64 {
        let recovery = if self.pump201.running { HEAT_RECOVERY } else { 0.0 };
        self.raw_temperature.value + recovery * (self.tank201_temperature - self.raw_temperature.value)
    }

    /// Litres on their way from the supply to the truck.
    fn move_product(&mut self, dt: f64) {
        self.inlet_open = if self.inlet_open { self.tank101.percent() < 85.0 } else { self.tank101.percent() < 42.0 };
        let supply = if self.inlet_open { 152.0 * (self.supply_pressure.value / 3.0).max(0.0).sqrt() } else { 0.0 };
        self.inlet_flow.follow(supply, dt);
        self.tank101.fill(self.inlet_flow.value / 60.0 * dt);

        let (level, empty) = (self.tank201.percent(), self.tank101.percent() < 5.0);
        self.pump101.switch(level < self.feed_start_level && !empty, level > self.feed_stop_level || empty, dt);
        self.feed_flow.follow(if self.pump101.running { 121.0 } else { 0.0 }, dt);
        let fed = -self.tank101.fill(-self.feed_flow.value / 60.0 * dt);
        self.feed_total_l += fed;
        let feed_temperature = self.feed_temperature();
        let mixed = self.tank201.litres + fed;
        self.tank201_temperature += (feed_temperature - self.tank201_temperature) * fed / mixed.max(1.0);
        self.tank201.fill(fed);
        let running = f64::from(u8::from(self.pump101.running));
        self.pump101_pressure.follow(0.002 * self.tank101.litres / 12.0 + 0.3 + running * (3.4 - 0.004 * self.feed_flow.value), dt);
        self.pump101_current.follow(running * (3.9 + 0.021 * self.feed_flow.value), dt);

        let warm = self.tank201_temperature > self.temperature_setpoint - 2.5;
        let cold = self.tank201_temperature < self.temperature_setpoint - 5.0;
        let full = self.tank301.percent() > 96.0;
        let level = self.tank201.percent();
        let held = full || self.is_cleaned();
        self.pump201.switch(warm && level > 25.0 && !held, cold || level < 12.0 || held, dt);
        let speed = if self.pump201.running { (self.conditions.rate * (48.0 + 0.5 * (level - 40.0))).clamp(15.0, 100.0) } else { 0.0 };
        self.pump201_speed.follow(speed, dt);
        self.discharge_flow.follow(1.05 * self.pump201_speed.value, dt);
        let discharged = -self.tank201.fill(-self.discharge_flow.value / 60.0 * dt);
        self.discharge_total_l += discharged;
        self.tank301.fill(discharged);

        let loading_before = self.pump301.running;
        self.pump301.switch(self.tank301.percent() > 76.0, self.tank301.percent() < 32.0, dt);
        if loading_before && !self.pump301.running {
            self.lots_loaded += 1;
            self.lot += 1;
        }
        let running = f64::from(u8::from(self.pump301.running));
        self.loading_flow.follow(running * 285.0, dt);
        self.loading_total_l -= self.tank301.fill(-self.loading_flow.value / 60.0 * dt);
        self.pump301_current.follow(running * (5.1 + 0.016 * self.loading_flow.value), dt);
        self.vibration.follow(0.08 + running * 1.9, dt);
        let turbulence = if self.loading_flow.value > 5.0 { 0.25 } else { 0.0 };
        self.turbidity.follow(self.haze.value + turbulence, dt);
    }

    /// The cooler behind T201: the water valve follows the product, and deposits keep heat in the product.
    fn cool(&mut self, dt: f64) {
        if self.fouling >= FOULING_MAX {
            self.cleaning_left_s = CLEANING_S;
        }
        self.cleaning_left_s = (self.cleaning_left_s - dt).max(0.0);
        self.fouling = if self.is_cleaned() { FOULING_CLEAN } else { self.fouling * (dt / FOULING_TIME_S).exp() };
        let product = self.discharge_flow.value / 60.0 * HEAT_CAPACITY; // kW per kelvin
        let entering = self.tank201_temperature - HEAT_RECOVERY * (self.tank201_temperature - self.raw_temperature.value);
        self.water_flow.follow(if self.pump201.running { 3.1 + 0.03 * self.discharge_flow.value } else { 0.8 }, dt);
        let left = 0.11 * (1.0 + 1.3 * self.fouling);
        self.product_temperature.follow(self.water_inlet.value + left * (entering - self.water_inlet.value) * (product / 3.4).min(1.5), dt);
        let taken_kw = product * (entering - self.product_temperature.value);
        let water = self.water_flow.value / 3.6 * 4.19;
        self.water_return.follow(self.water_inlet.value + taken_kw / water, dt);
    }

    /// The boiler makes what the jacket takes; burner and feed water switch on and off.
    fn raise_steam(&mut self, steam_kw: f64, dt: f64) {
        self.burner.switch(self.boiler_pressure < 5.6, self.boiler_pressure > 6.6, dt);
        let burning = self.burner.running;
        let heat_kw = if burning { BURNER_KW } else { 0.0 };
        self.boiler_pressure = (self.boiler_pressure + (heat_kw - steam_kw - 6.0) / BOILER_KJ_PER_BAR * dt).clamp(0.0, 9.0);
        self.feed_water = if self.feed_water { self.boiler_level < 62.0 } else { self.boiler_level < 48.0 };
        let water_kg_h = if self.feed_water { 900.0 } else { 0.0 };
        self.boiler_level = (self.boiler_level + (water_kg_h - self.steam_flow.value) / 3600.0 / 4.0 * dt).clamp(0.0, 100.0);
        self.gas_flow.follow(if burning { 53.5 } else { 0.0 }, dt);
        self.flue_temperature.follow(if burning { 204.0 } else { 118.0 }, dt);
        self.oxygen.follow(if burning { 3.7 } else { 20.6 }, dt);
    }

    /// Compressed air and electricity.
    fn supply(&mut self, dt: f64) {
        self.compressor.switch(self.air_pressure < 6.4, self.air_pressure > 7.4, dt);
        let made = if self.compressor.running { 0.055 } else { 0.0 };
        self.air_pressure = (self.air_pressure + (made - self.air_demand.value.max(0.0)) * dt).clamp(0.0, 9.0);
        let load = |running: bool, kilowatts: f64| if running { kilowatts } else { 0.0 };
        let speed = self.pump201_speed.value / 100.0;
        let kilowatts = self.base_load_kw.value
            + load(self.pump101.running, 3.1)
            + 2.6 * speed * speed * speed
            + load(self.pump301.running, 4.4)
            + load(self.compressor.running, 7.6)
            + load(self.burner.running, 1.3);
        self.power.follow(kilowatts, dt);
        self.energy_wh += self.power.value * 1000.0 / 3600.0 * dt;
    }
}

/// A standard normal number (Box and Muller).
pub(super) fn normal(random: &mut StdRng) -> f64 {
    let (a, b): (f64, f64) = (random.random_range(f64::MIN_POSITIVE..1.0), random.random());
    (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    const DT: f64 = 0.2;

    fn run(hours: f64, mut seen: impl FnMut(&Process)) -> Process {
        let mut random = StdRng::seed_from_u64(1);
        let mut process = Process::new();
        for _ in 0..(hours * 3600.0 / DT) as usize {
            process.step(DT, &mut random);
            seen(&process);
        }
        process
    }

    #[test]
    fn no_litre_is_lost_between_the_tanks() {
        let before = Process::new();
        let mut taken_in = 0.0;
        let after = run(3.0, |process| taken_in += process.inlet_flow.value / 60.0 * DT);
        let held = |process: &Process| process.tank101.litres + process.tank201.litres + process.tank301.litres;
        let loaded = after.loading_total_l - before.loading_total_l;
        let balance = held(&before) + taken_in - loaded - held(&after);
        assert!(loaded > 3000.0, "{loaded}");
        assert!(balance.abs() < 1e-3, "{balance} L are missing of {taken_in}");
        let through = after.tank201.litres - before.tank201.litres + after.discharge_total_l - before.discharge_total_l;
        assert!((after.feed_total_l - before.feed_total_l - through).abs() < 1e-3);
    }

    #[test]
    fn controllers_hold_the_plant_and_everything_happens_within_an_hour() {
        let (mut worst_kelvin, mut seconds) = (0.0_f64, 0.0);
        let (mut pressures, mut levels) = ((f64::MAX, f64::MIN), (f64::MAX, f64::MIN));
        let mut states = std::collections::BTreeSet::new();
        let start = Process::new();
        let end = run(1.5, |process| {
            seconds += DT;
            states.insert(process.plant_state());
            if seconds > 1800.0 && process.setpoint_changes_in_s < 200.0 {
                worst_kelvin = worst_kelvin.max((process.tank201_temperature - process.temperature_setpoint).abs());
            }
            pressures = (pressures.0.min(process.boiler_pressure), pressures.1.max(process.boiler_pressure));
            levels = (levels.0.min(process.tank101.percent()), levels.1.max(process.tank101.percent()));
        });
        assert!(worst_kelvin < 4.0, "TIC201 is off by {worst_kelvin} K long after a change of its set point");
        assert!(pressures.0 > 5.0 && pressures.1 < 7.0, "boiler {pressures:?}");
        assert!(levels.0 > 20.0 && levels.1 < 90.0, "T101 {levels:?}");
        for (motor, before, after) in [
            ("P101", start.pump101, end.pump101),
            ("P301", start.pump301, end.pump301),
            ("burner", start.burner, end.burner),
            ("compressor", start.compressor, end.compressor),
        ] {
            let starts = after.starts - before.starts;
            assert!((1..300).contains(&starts), "{motor} started {starts} times");
        }
        assert!(states.contains(&3) && states.contains(&4), "{states:?}");
        assert!(end.lots_loaded > start.lots_loaded);
        assert!((40.0..65.0).contains(&end.boiler_level), "{}", end.boiler_level);
    }

    #[test]
    fn a_cooler_fouls_for_days_is_cleaned_and_cools_again() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut process, mut outlets, mut stood_s) = (Process::new(), Vec::new(), 0);
        for second in 0..7 * 86_400 {
            process.step(1.0, &mut random);
            stood_s += u32::from(process.is_cleaned());
            if process.pump201.running && second % 60 == 0 {
                outlets.push(process.product_temperature.value);
            }
        }
        let of_day = |day: usize| {
            let of_it = &outlets[outlets.len() * day / 7..outlets.len() * (day + 1) / 7];
            of_it.iter().sum::<f64>() / of_it.len() as f64
        };
        assert!(of_day(0) < 11.0 && of_day(5) > of_day(0) + 4.0, "{} then {}", of_day(0), of_day(5));
        assert!((7000..7500).contains(&stood_s), "cleaned for {stood_s} s");
        assert!(of_day(6) < of_day(5) - 3.0, "{} then {}", of_day(5), of_day(6));
    }

    #[test]
    fn a_valve_that_sticks_moves_in_jumps_and_the_temperature_swings() {
        let course = |stiction| {
            let mut random = StdRng::seed_from_u64(2);
            let mut process = Process::new();
            process.conditions.stiction = stiction;
            let (mut moves, mut squares, mut stem) = (0, 0.0, process.stem);
            for _ in 0..4 * 3600 {
                process.step(1.0, &mut random);
                moves += u32::from((process.stem - stem).abs() > 0.0);
                stem = process.stem;
                squares += (process.tank201_temperature - process.temperature_setpoint).powi(2);
            }
            (moves, squares)
        };
        let ((sound_moves, sound), (sticking_moves, sticking)) = (course(0.0), course(30.0));
        assert!(sticking_moves * 20 < sound_moves, "{sticking_moves} of {sound_moves}");
        assert!(sticking > 1.5 * sound, "{sticking} of {sound}");
    }
}
