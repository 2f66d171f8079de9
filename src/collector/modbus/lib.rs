//! Modbus collector: polls registers and bits of one device, or of the units behind one gateway, over TCP, TLS,
//! RTU-over-TCP or a serial port.
//!
//! The way of a value: [`config`] turns `[[modbus]]` and its tags ([`address`], [`others`], [`mod@format`], [`bit_field`], [`factor`],
//! [`tag`], [`unstored`], [`overlap`]) into a plan ([`plan`]); the loop in [`poll`] reads what is due over one connection ([`link`],
//! [`lateness`], [`client`], [`frame`], [`transport`]) that [`endpoint`] makes ([`serial`], [`secure`]), learns what the device refuses ([`group`],
//! [`read`]), decodes the answers ([`decode`], [`word_order`], [`packed`], [`scaling`], [`text`]), and hands samples with their quality
//! ([`outcome`]) to the spool ([`delivery`]), together with what is calculated from them ([`calculated`]). `historian check` reads once
//! ([`check`]) and judges the word orders ([`doubt`]); `historian browse` lists what a SunSpec device has ([`sunspec`]).
//! Reading only: the transport can express functions 01 to 04 and no other.

pub mod address;
mod bit_field;
mod calculated;
mod check;
mod client;
pub mod config;
pub mod decode;
mod delivery;
mod device;
mod doubt;
mod endpoint;
mod factor;
pub mod format;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod lateness;
mod link;
mod others;
pub mod outcome;
mod overlap;
mod packed;
pub mod plan;
mod poll;
mod read;
mod secure;
mod serial;
mod sunspec;
pub mod tag;
mod text;
pub mod transport;
mod unstored;
pub mod word_order;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use config::ModbusConfig;
pub use device::ModbusCollector;
pub use historian_collector::scaling;

use historian_collector::{BrowseAnswer, BrowseRequest, CheckRow, Collector, CollectorContext, PlannedRead};
use historian_model::{TagDefinition, TagId};

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
        self.items().filter(|item| item.stored).map(|item| item.definition.clone()).collect()
    }

    fn fingerprint(&self) -> u64 {
        historian_collector::fingerprint::of(self)
    }

    async fn run(self: Arc<Self>, ids: Vec<TagId>, context: CollectorContext) {
        poll::run(&self, ids, context).await;
    }

    async fn check(&self, timeout: Duration) -> Vec<CheckRow> {
        check::check(self, timeout).await
    }

    fn exclusive_port(&self) -> Option<&str> {
        self.port()
    }

    fn planned_reads(&self) -> Vec<PlannedRead> {
        check::planned_reads(self)
    }

    async fn browse(&self, request: &BrowseRequest) -> Result<BrowseAnswer, String> {
        sunspec::browse(self, request).await
    }

    fn advice(&self, rows: &[CheckRow]) -> Vec<String> {
        doubt::advice(&self.name, self.word_order, rows)
    }
}
