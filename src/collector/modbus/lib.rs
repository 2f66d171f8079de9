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
mod device;
pub mod format;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod lateness;
mod link;
pub mod outcome;
mod overlap;
pub mod plan;
mod poll;
mod read;
pub mod tag;
mod text;
pub mod transport;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

pub use config::ModbusConfig;
pub use device::ModbusCollector;
pub use historian_collector::scaling;

use historian_collector::{CheckRow, Collector, CollectorContext};
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
        self.tags.iter().map(|tag| tag.definition.clone()).collect()
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
}
