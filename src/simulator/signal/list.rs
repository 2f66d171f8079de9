//! The list itself, in the order of the way of the product: intake, heating, product, utilities.

use super::{
    NodeType::{self, Boolean, Double, Float, Int32, Text, UInt32},
    SensorFault, Signal, SignalAddress, SignalFormat,
    SignalFormat::{Bit, F32, F64, I16, I32, U16, U32, U64},
    SignalWordOrder,
    SignalWordOrder::{ABCD, BADC, CDAB, DCBA},
    Table::{self, Coil, Discrete, Holding, Input},
    Truth,
    Truth::{Count, Flag, Number, State},
};
use crate::process::{MODES, PLANT_STATES, Process};
use historian_model::ValueType::{self, Bool, String};

type SignalFunction = fn(&Process) -> Truth;

/// Every signal of the plant.
pub static SIGNALS: &[Signal] = &[
    // Intake: raw tank T101, inlet valve, feed pump P101. On Modbus.
    analogue("demo/intake/tank101/level", "Level of raw tank T101", Input, 0, 100.0, |p| Number(p.tank101.percent()))
        .unit("%", 0.0, 100.0)
        .noise(0.06)
        .lag(0.8),
    scaled("demo/intake/inlet/flow", "Raw product into T101", Input, 1, U16, 0.1, |p| Number(p.inlet_flow.value))
        .unit("L/min", 0.0, 200.0)
        .noise(0.6),
    scaled("demo/intake/inlet/temperature", "Temperature of the raw product", Input, 2, I16, 0.1, |p| Number(p.raw_temperature.value))
        .unit("Cel", -20.0, 60.0)
        .noise(0.04)
        .lag(5.0),
    analogue("demo/intake/pump101/pressure", "Discharge pressure of feed pump P101", Input, 3, 10.0, |p| Number(p.pump101_pressure.value))
        .unit("bar", 0.0, 10.0)
        .noise(0.012),
    scaled("demo/intake/pump101/current", "Motor current of P101", Input, 4, U16, 0.01, |p| Number(p.pump101_current.value))
        .unit("A", 0.0, 16.0)
        .noise(0.03),
    scaled("demo/intake/pump101/starts", "Starts of P101, 16-bit counter", Input, 5, U16, 1.0, |p| Count(p.pump101.starts))
        .unit("", 0.0, 65_535.0),
    float("demo/intake/pump101/flow", "Feed from T101 to T201", Input, 10, F32, ABCD, |p| Number(p.feed_flow.value))
        .unit("L/min", 0.0, 200.0)
        .noise(0.35)
        .lag(0.5)
        .resolution(0.01),
    counter("demo/intake/pump101/total", "Feed since commissioning", 20, U32, ABCD, |p| Count(p.feed_total_l as u64)).unit("L", 0.0, 4.3e9),
    measured("demo/intake/pump101/running_hours", "Running time of P101", Input, 26, U32, CDAB, 0.01, |p| {
        Number(p.pump101.running_s / 3600.0)
    })
    .unit("h", 0.0, 200_000.0),
    float("demo/intake/conductivity", "Conductivity of the raw product; its card fails now and then", Holding, 200, F32, ABCD, |p| {
        Number(p.conductivity.value)
    })
    .unit("uS/cm", 0.0, 2000.0)
    .noise(0.8)
    .lag(3.0)
    .resolution(0.1)
    .fails(SensorFault::DeviceFailure),
    scaled("demo/intake/level_start_setpoint", "Level of T201 at which feeding starts", Holding, 1, U16, 0.1, |p| {
        Number(p.feed_start_level)
    })
    .unit("%", 0.0, 100.0),
    scaled("demo/intake/level_stop_setpoint", "Level of T201 at which feeding stops", Holding, 2, U16, 0.1, |p| Number(p.feed_stop_level))
        .unit("%", 0.0, 100.0),
    flag("demo/intake/pump101/running", "P101 runs", Coil, 0, |p| Flag(p.pump101.running)),
    flag("demo/intake/inlet_valve/open", "Inlet valve XV101 is open", Coil, 1, |p| Flag(p.inlet_open)),
    flag("demo/intake/tank101/level_high", "Level switch LSH101 of T101", Discrete, 0, |p| Flag(p.tank101.percent() > 82.0)),
    flag("demo/intake/tank101/level_low", "Level switch LSL101 of T101", Discrete, 1, |p| Flag(p.tank101.percent() < 40.0)),
    flag("demo/intake/pump101/overload", "Motor protection of P101 has tripped", Discrete, 2, |p| Flag(p.pump101_current.value > 12.0)),
    // Heating: steam-jacketed tank T201 under temperature control, discharge pump P201. On Modbus.
    float("demo/heating/tank201/level", "Level of heated tank T201", Input, 12, F32, CDAB, |p| Number(p.tank201.percent()))
        .unit("%", 0.0, 100.0)
        .noise(0.05)
        .lag(0.8)
        .resolution(0.01),
    float("demo/heating/tank201/temperature", "Temperature in T201; the sensor breaks now and then", Input, 14, F32, DCBA, |p| {
        Number(p.tank201_temperature)
    })
    .unit("Cel", 0.0, 150.0)
    .noise(0.03)
    .lag(4.0)
    .resolution(0.01)
    .fails(SensorFault::NotANumber),
    float("demo/heating/steam_flow", "Steam to the jacket of T201", Input, 16, F32, BADC, |p| Number(p.steam_flow.value))
        .unit("kg/h", 0.0, 1000.0)
        .noise(1.5)
        .resolution(0.1),
    float("demo/heating/pump201/flow", "Discharge of T201", Input, 18, F32, ABCD, |p| Number(p.discharge_flow.value))
        .unit("L/min", 0.0, 120.0)
        .noise(0.25)
        .lag(0.5)
        .resolution(0.01),
    float("demo/heating/pump201/total", "Discharge since commissioning", Input, 22, F64, ABCD, |p| Number(p.discharge_total_l / 1000.0))
        .unit("m3", 0.0, 1e7)
        .resolution(0.001),
    scaled("demo/heating/temperature_setpoint", "Set point of TIC201", Holding, 0, I16, 0.1, |p| Number(p.temperature_setpoint))
        .unit("Cel", 0.0, 150.0),
    scaled("demo/heating/steam_valve/position", "Position of steam valve TCV201", Holding, 10, U16, 0.01, |p| Number(p.steam_valve.value))
        .unit("%", 0.0, 100.0)
        .noise(0.02),
    scaled("demo/heating/pump201/speed", "Speed of P201", Holding, 11, U16, 0.1, |p| Number(p.pump201_speed.value)).unit("%", 0.0, 100.0),
    flag("demo/heating/pump201/running", "P201 runs", Coil, 2, |p| Flag(p.pump201.running)),
    // Electricity, on the same Modbus gateway.
    measured("demo/utility/electricity/power", "Active power of the plant", Input, 28, I32, CDAB, 0.001, |p| Number(p.power.value))
        .unit("kW", -50.0, 100.0)
        .noise(0.05),
    counter("demo/utility/electricity/energy", "Active energy since commissioning", 30, U64, ABCD, |p| Count(p.energy_wh as u64))
        .unit("W.h", 0.0, 1e12),
    scaled("demo/utility/electricity/frequency", "Mains frequency", Input, 36, U16, 0.001, |p| Number(p.frequency.value))
        .unit("Hz", 45.0, 55.0),
    scaled("demo/utility/electricity/voltage", "Mains voltage, phase to phase", Input, 37, U16, 0.1, |p| Number(p.mains_voltage()))
        .unit("V", 0.0, 500.0)
        .noise(0.1),
    // Product: cooler, product tank T301, truck loading pump P301. On OPC UA.
    node("demo/product/tank301/level", "Level of product tank T301", "Product.T301.Level", Double, |p| Number(p.tank301.percent()))
        .unit("%", 0.0, 100.0)
        .noise(0.04)
        .lag(0.8)
        .resolution(0.01),
    node("demo/product/cooler/outlet_temperature", "Product after the cooler", "Product.E301.Outlet", Double, |p| {
        Number(p.product_temperature.value)
    })
    .unit("Cel", -10.0, 60.0)
    .noise(0.03)
    .lag(4.0)
    .resolution(0.01),
    node("demo/product/cooler/water_flow", "Cooling water", "Product.E301.WaterFlow", Double, |p| Number(p.water_flow.value))
        .unit("m3/h", 0.0, 10.0)
        .noise(0.02)
        .resolution(0.01),
    node("demo/product/cooler/water_outlet", "Cooling water return", "Product.E301.WaterReturn", Double, |p| Number(p.water_return.value))
        .unit("Cel", 0.0, 60.0)
        .noise(0.03)
        .lag(3.0)
        .resolution(0.01),
    node("demo/product/ph", "Acidity of the product; the probe breaks now and then", "Product.QT301.pH", Double, |p| Number(p.ph.value))
        .unit("pH", 0.0, 14.0)
        .noise(0.004)
        .lag(6.0)
        .resolution(0.001)
        .fails(SensorFault::SensorFailure),
    node("demo/product/ph_check", "Acidity of the product, a second probe to compare with", "Product.QT303.pH", Double, |p| {
        Number(p.ph.value)
    })
    .unit("pH", 0.0, 14.0)
    .noise(0.006)
    .lag(10.0)
    .resolution(0.001),
    node("demo/product/turbidity", "Turbidity of the product", "Product.QT302.Turbidity", Double, |p| Number(p.turbidity.value))
        .unit("NTU", 0.0, 20.0)
        .noise(0.01)
        .lag(2.0)
        .resolution(0.001),
    node("demo/product/loading/flow", "Flow to the truck", "Product.P301.Flow", Double, |p| Number(p.loading_flow.value))
        .unit("L/min", 0.0, 400.0)
        .noise(0.5)
        .resolution(0.1),
    node("demo/product/loading/total", "Loaded since commissioning", "Product.P301.Total", Double, |p| Number(p.loading_total_l))
        .unit("L", 0.0, 1e10)
        .resolution(0.1),
    node("demo/product/loading/valve_open", "Loading valve XV301 is open", "Product.XV301.Open", Boolean, |p| Flag(p.pump301.running)),
    node("demo/product/loading/lot", "Lot in the truck or the next one", "Product.Lot", Text, |p| Truth::Text(format!("LOT-{:06}", p.lot))),
    node("demo/product/loading/lots", "Lots loaded", "Product.Lots", UInt32, |p| Count(p.lots_loaded)).unit("", 0.0, 4.3e9),
    node("demo/product/pump301/running", "P301 runs", "Product.P301.Running", Boolean, |p| Flag(p.pump301.running)),
    node("demo/product/pump301/running_time", "Running time of P301", "Product.P301.RunningTime", UInt32, |p| {
        Count(p.pump301.running_s as u64)
    })
    .unit("s", 0.0, 4.3e9),
    node("demo/product/pump301/starts", "Starts of P301", "Product.P301.Starts", Int32, |p| Count(p.pump301.starts)).unit("", 0.0, 2.1e9),
    node("demo/product/pump301/current", "Motor current of P301", "Product.P301.Current", Float, |p| Number(p.pump301_current.value))
        .unit("A", 0.0, 25.0)
        .noise(0.04)
        .resolution(0.01),
    node("demo/product/pump301/vibration", "Vibration velocity of P301", "Product.P301.Vibration", Float, |p| Number(p.vibration.value))
        .unit("mm/s", 0.0, 20.0)
        .noise(0.06)
        .resolution(0.01),
    // Utilities: steam boiler, compressed air, the plant as a whole. On OPC UA.
    node("demo/utility/boiler/pressure", "Steam pressure", "Utility.Boiler.Pressure", Double, |p| Number(p.boiler_pressure))
        .unit("bar", 0.0, 10.0)
        .noise(0.006)
        .lag(0.5)
        .resolution(0.001),
    node("demo/utility/boiler/water_level", "Water level of the boiler", "Utility.Boiler.Level", Double, |p| Number(p.boiler_level))
        .unit("%", 0.0, 100.0)
        .noise(0.15)
        .lag(2.0)
        .resolution(0.1),
    node("demo/utility/boiler/gas_flow", "Fuel gas", "Utility.Boiler.GasFlow", Double, |p| Number(p.gas_flow.value))
        .unit("m3/h", 0.0, 100.0)
        .noise(0.15)
        .resolution(0.01),
    node("demo/utility/boiler/flue_temperature", "Flue gas temperature", "Utility.Boiler.Flue", Float, |p| {
        Number(p.flue_temperature.value)
    })
    .unit("Cel", 0.0, 400.0)
    .noise(0.25)
    .lag(4.0)
    .resolution(0.1),
    node("demo/utility/boiler/oxygen", "Oxygen in the flue gas; drifts out of calibration now and then", "Utility.Boiler.O2", Float, |p| {
        Number(p.oxygen.value)
    })
    .unit("%", 0.0, 25.0)
    .noise(0.03)
    .lag(5.0)
    .resolution(0.01)
    .fails(SensorFault::NotAccurate),
    node("demo/utility/boiler/burner_on", "Burner is on", "Utility.Boiler.Burner", Boolean, |p| Flag(p.burner.running)),
    node("demo/utility/air/pressure", "Compressed air", "Utility.Air.Pressure", Float, |p| Number(p.air_pressure))
        .unit("bar", 0.0, 10.0)
        .noise(0.004)
        .resolution(0.001),
    node("demo/utility/air/compressor_on", "Compressor runs", "Utility.Air.Compressor", Boolean, |p| Flag(p.compressor.running)),
    node("demo/utility/ambient_temperature", "Temperature in the hall", "Utility.Ambient", Float, |p| Number(p.ambient.value))
        .unit("Cel", -20.0, 60.0)
        .noise(0.01)
        .lag(20.0)
        .resolution(0.1),
    node("demo/plant/state", "What the plant does", "Plant.State", Int32, |p| State(p.plant_state())).digital(PLANT_STATES),
    node("demo/plant/mode", "Mode of the temperature controller", "Plant.Mode", Int32, |p| State(p.mode())).digital(MODES),
];

impl Signal {
    /// A digital state instead of a number.
    const fn digital(mut self, state_set: &'static [&'static str]) -> Signal {
        self.value_type = ValueType::State;
        self.states(state_set)
    }
}

/// A 12-bit converter: the raw value 4095 is full scale.
const fn analogue(
    tag: &'static str,
    description: &'static str,
    table: Table,
    address: u16,
    full_scale: f64,
    truth: SignalFunction,
) -> Signal {
    measured(tag, description, table, address, U16, ABCD, full_scale / 4095.0, truth)
}

/// One register with a decimal scale; unscaled it is a count.
const fn scaled(
    tag: &'static str,
    description: &'static str,
    table: Table,
    address: u16,
    format: SignalFormat,
    scale: f64,
    truth: SignalFunction,
) -> Signal {
    measured(tag, description, table, address, format, ABCD, scale, truth)
}

#[expect(clippy::too_many_arguments, reason = "one line of the list above, each argument of another type")]
#[expect(clippy::float_cmp, reason = "a scale of exactly 1 is the absence of a scale")]
const fn measured(
    tag: &'static str,
    description: &'static str,
    table: Table,
    address: u16,
    format: SignalFormat,
    order: SignalWordOrder,
    scale: f64,
    truth: SignalFunction,
) -> Signal {
    let value_type = if scale == 1.0 { ValueType::U64 } else { ValueType::F64 };
    Signal::new(tag, value_type, description, SignalAddress::Modbus { table, address, format, order, scale }, truth)
}

const fn float(
    tag: &'static str,
    description: &'static str,
    table: Table,
    address: u16,
    format: SignalFormat,
    order: SignalWordOrder,
    truth: SignalFunction,
) -> Signal {
    let value_type = if matches!(format, F64) { ValueType::F64 } else { ValueType::F32 };
    Signal::new(tag, value_type, description, SignalAddress::Modbus { table, address, format, order, scale: 1.0 }, truth)
}

const fn counter(
    tag: &'static str,
    description: &'static str,
    address: u16,
    format: SignalFormat,
    order: SignalWordOrder,
    truth: SignalFunction,
) -> Signal {
    measured(tag, description, Input, address, format, order, 1.0, truth)
}

const fn flag(tag: &'static str, description: &'static str, table: Table, address: u16, truth: SignalFunction) -> Signal {
    Signal::new(tag, Bool, description, SignalAddress::Modbus { table, address, format: Bit, order: ABCD, scale: 1.0 }, truth)
}

const fn node(tag: &'static str, description: &'static str, node: &'static str, node_type: NodeType, truth: SignalFunction) -> Signal {
    let value_type = match node_type {
        Double => ValueType::F64,
        Float => ValueType::F32,
        Int32 => ValueType::I64,
        UInt32 => ValueType::U64,
        Boolean => Bool,
        Text => String,
    };
    Signal::new(tag, value_type, description, SignalAddress::OpcUa { node, node_type }, truth)
}
