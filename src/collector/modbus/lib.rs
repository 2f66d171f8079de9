//! Modbus collector: polls registers and bits of one device, or of the units behind one gateway, over TCP or RTU-over-TCP.
//!
//! The way of a value: [`config`] turns `[[modbus]]` and its tags ([`address`], [`mod@format`], [`tag`], [`overlap`]) into a plan
//! ([`plan`]); the loop in [`poll`] reads what is due over one connection ([`link`], [`lateness`], [`client`], [`frame`], [`transport`]),
//! learns what the device refuses ([`group`], [`read`]), decodes the answers ([`decode`], [`scaling`], [`text`]), and hands samples with
//! their quality ([`outcome`]) to the spool ([`delivery`]).
//! Reading only: the transport can express functions 01 to 04 and no other.

pub mod address;
mod check;
mod client;
pub mod config;
pub mod decode;
mod delivery;
pub mod format;
mod frame;
mod group;
mod lateness;
mod link;
pub mod outcome;
mod overlap;
pub mod plan;
mod poll;
mod read;
pub mod scaling;
pub mod tag;
mod text;
pub mod transport;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;

pub use config::ModbusConfig;

use self::{
    group::Group,
    link::{Endpoint, Link, Pace},
    plan::{Item, Limits},
    tag::ModbusTag,
};
use historian_collector::{CheckRow, Collector, CollectorContext, DeviceStatus, schedule::ScanClass};
use historian_model::{Clock, TagDefinition, TagId};

/// Collector of one `[[modbus]]` device, made by [`ModbusConfig::build`].
#[derive(Clone, Debug)]
pub struct ModbusCollector {
    name: String,
    endpoint: Endpoint,
    /// Unit that addresses need not name.
    default_unit: u8,
    pace: Pace,
    register_limits: Limits,
    bit_limits: Limits,
    /// Number that the configuration gives to the first address, 0 or 1.
    first_address: u32,
    reprobe: Duration,
    tags: Vec<ModbusTag>,
}

impl ModbusCollector {
    /// Scan classes by ascending period, and the groups of each unit with their first plans.
    fn plan(&self) -> (Vec<ScanClass>, BTreeMap<u8, Vec<Group>>) {
        let mut periods: Vec<u64> = self.tags.iter().map(|tag| tag.scan_ms).collect();
        periods.sort_unstable();
        periods.dedup();
        let mut items: BTreeMap<_, Vec<Item>> = BTreeMap::new();
        for (number, tag) in self.tags.iter().enumerate() {
            let class = periods.partition_point(|period| *period < tag.scan_ms);
            items.entry((tag.unit, class, tag.area)).or_default().push(Item { start: tag.start, count: tag.count(), tag: number });
        }
        let mut units: BTreeMap<u8, Vec<Group>> = BTreeMap::new();
        for ((unit, class, area), items) in items {
            let limits = if area.is_bits() { self.bit_limits } else { self.register_limits };
            units.entry(unit).or_default().push(Group::new(unit, area, class, limits, items));
        }
        (periods.into_iter().map(|period| ScanClass::of(&self.name, Duration::from_millis(period))).collect(), units)
    }

    fn link(&self, status: Arc<DeviceStatus>, clock: Arc<dyn Clock>) -> Link {
        Link::new(self.endpoint.clone(), self.pace, status, clock)
    }

    /// Addresses in the notation of the configuration.
    fn notation(&self, unit: u8, area: address::Area, start: u16, count: u16) -> String {
        let unit = if unit == self.default_unit { String::new() } else { format!("{unit}!") };
        let first = u32::from(start) + self.first_address;
        if count == 1 { format!("{unit}{area}:{first}") } else { format!("{unit}{area}:{first}-{}", first + u32::from(count) - 1) }
    }
}

#[async_trait]
impl Collector for ModbusCollector {
    fn device(&self) -> &str {
        &self.name
    }

    fn protocol(&self) -> &'static str {
        "modbus"
    }

    fn endpoint(&self) -> &str {
        &self.endpoint.address
    }

    fn tags(&self) -> Vec<TagDefinition> {
        self.tags.iter().map(|tag| tag.definition.clone()).collect()
    }

    async fn run(self: Arc<Self>, ids: Vec<TagId>, context: CollectorContext) {
        poll::run(&self, ids, context).await;
    }

    async fn check(&self, timeout: Duration) -> Vec<CheckRow> {
        check::check(self, timeout).await
    }
}
