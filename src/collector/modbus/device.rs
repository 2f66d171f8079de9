//! One device as it was configured: what is polled when, and how addresses are written.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    address,
    calculated::CalculatedTag,
    endpoint::{Endpoint, LineCarrier},
    group::ScanGroup,
    link::{Link, LinkTiming},
    plan::{RegisterSpan, RequestLimits},
    tag::ModbusTag,
    transport::ReadRequest,
    word_order::WordOrder,
};
use historian_collector::{DeviceStatus, schedule::ScanClass};
use historian_model::{Clock, TagDefinition, ValueType};

/// Collector of one `[[modbus]]` device, made by [`crate::ModbusConfig`].
#[derive(Clone, Debug)]
pub struct ModbusCollector {
    pub(super) name: String,
    pub(super) endpoint: Endpoint,
    /// Unit that addresses need not name.
    pub(super) default_unit: u8,
    pub(super) pace: LinkTiming,
    pub(super) register_limits: RequestLimits,
    pub(super) bit_limits: RequestLimits,
    /// Number that the configuration gives to the first address, 0 or 1.
    pub(super) first_address: u32,
    /// That of the device itself.
    pub(super) word_order: WordOrder,
    pub(super) reprobe: Duration,
    /// The connection is ended after each poll.
    pub(super) close_after_poll: bool,
    pub(super) tags: Vec<ModbusTag>,
    /// Numbered on behind the others, each behind those that it is calculated from.
    pub(super) calculated: Vec<CalculatedTag>,
}

/// What a reading of the device brings a value for.
pub struct PolledItem<'a> {
    pub definition: &'a TagDefinition,
    pub value_type: ValueType,
    pub scan_ms: u64,
    /// False where only formulas take the value.
    pub stored: bool,
}

impl ModbusCollector {
    /// Everything that has a value, in the order of its numbers: what is read, then what is calculated.
    pub(super) fn items(&self) -> impl Iterator<Item = PolledItem<'_>> {
        let read = self.tags.iter().map(|tag| PolledItem {
            definition: &tag.definition,
            value_type: tag.decoder.value_type,
            scan_ms: tag.scan_ms,
            stored: tag.stored,
        });
        let calculated = self.calculated.iter().map(|tag| PolledItem {
            definition: &tag.definition,
            value_type: tag.definition.value_type,
            scan_ms: tag.scan_ms,
            stored: tag.stored,
        });
        read.chain(calculated)
    }

    /// Scan classes by ascending period, and the groups of each unit with their first plans.
    pub(super) fn plan(&self) -> (Vec<ScanClass>, BTreeMap<u8, Vec<ScanGroup>>) {
        let mut periods: Vec<u64> = self.tags.iter().map(|tag| tag.scan_ms).collect();
        periods.sort_unstable();
        periods.dedup();
        let mut items: BTreeMap<_, Vec<RegisterSpan>> = BTreeMap::new();
        for (number, tag) in self.tags.iter().enumerate() {
            let class = periods.partition_point(|period| *period < tag.scan_ms);
            let (start, count) = tag.span();
            items.entry((tag.unit, class, tag.area, tag.read_single)).or_default().push(RegisterSpan { start, count, tag: number });
        }
        let mut units: BTreeMap<u8, Vec<ScanGroup>> = BTreeMap::new();
        for ((unit, class, area, alone), items) in items {
            let limits = RequestLimits { alone, ..if area.is_bits() { self.bit_limits } else { self.register_limits } };
            units.entry(unit).or_default().push(ScanGroup::new(unit, area, class, limits, items));
        }
        (periods.into_iter().map(|period| ScanClass::of(&self.name, Duration::from_millis(period))).collect(), units)
    }

    /// The requests of the first plan.
    pub(super) fn first_requests(&self) -> Vec<ReadRequest> {
        let (_, units) = self.plan();
        let of_group = |mut group: ScanGroup| {
            let (unit, area) = (group.unit, group.area);
            group.start().into_iter().map(move |block| ReadRequest { unit, area, start: block.start, count: block.count })
        };
        units.into_values().flatten().flat_map(of_group).collect()
    }

    /// The serial port of the device, if it has one.
    pub(super) fn port(&self) -> Option<&str> {
        matches!(self.endpoint.carrier, LineCarrier::Serial(_)).then_some(self.endpoint.address.as_str())
    }

    pub(super) fn link(&self, status: Arc<DeviceStatus>, clock: Arc<dyn Clock>) -> Link {
        Link::new(self.endpoint.clone(), self.pace, status, clock)
    }

    /// Addresses in the notation of the configuration.
    pub(super) fn notation(&self, unit: u8, area: address::RegisterArea, start: u16, count: u16) -> String {
        let unit = if unit == self.default_unit { String::new() } else { format!("{unit}!") };
        let first = u32::from(start) + self.first_address;
        if count == 1 { format!("{unit}{area}:{first}") } else { format!("{unit}{area}:{first}-{}", first + u32::from(count) - 1) }
    }
}
