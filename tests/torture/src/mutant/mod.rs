//! Servers with a fault built in: the real server in another world. Each differs from `historian serve` in that one fault, and lives here, so
//! that no mutant code is in the product.

mod door;
mod library;
mod scripted;
mod secret;
mod sink;
mod store;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, bail};
use historian::{
    cli::serve::{ServeArgs, start_logging, stop_on_signal},
    server::{self, World},
};

pub use self::{library::LibraryAlone, scripted::CLOCK_FILE};
use self::{sink::SinkFault, store::StoreFault};

/// Runs a mutant until it is told to stop.
///
/// # Errors
/// There is no such mutant, or the server fails.
pub async fn serve(kind: &str, args: ServeArgs) -> anyhow::Result<()> {
    let (kind, args, _open) = door::before(kind, args)?;
    let configuration = args.load()?;
    let kind = secret::before(kind, &configuration.server.data_dir)?;
    let _traces = start_logging(&configuration)?;
    let clock = args.data_dir.as_deref().map(|data_dir| data_dir.with_file_name(CLOCK_FILE));
    server::run_in(world(kind, clock.as_deref())?, configuration, stop_on_signal()?).await
}

/// The world of a mutant; several faults are joined by `+`.
fn world(kinds: &str, clock: Option<&Path>) -> anyhow::Result<World> {
    let mut world = World::default();
    for kind in kinds.split('+') {
        match kind {
            door::SOUND => {}
            "ack-early" => sink(&mut world, SinkFault::Early),
            "ack-all" => sink(&mut world, SinkFault::All),
            "loses" => sink(&mut world, SinkFault::Loses),
            "leaks" => sink(&mut world, SinkFault::Leaks),
            "panics" => sink(&mut world, SinkFault::Panics),
            "no-sync" => store(&mut world, StoreFault::NoSync),
            "retry-sync" => store(&mut world, StoreFault::RetrySync),
            "short-answers" => store(&mut world, StoreFault::ShortAnswers),
            "stays-full" => store(&mut world, StoreFault::StaysFull),
            "forgets-audit" => store(&mut world, StoreFault::ForgetsAudit),
            "slow" => store(&mut world, StoreFault::Slow),
            "scripted-clock" => world.clock = scripted::follow(clock.context("the clock needs --data-dir")?)?,
            "wall-retention" => store(&mut world, StoreFault::WallRetention),
            _ => bail!("there is no mutant {kind}"),
        }
    }
    Ok(world)
}

fn sink(world: &mut World, fault: SinkFault) {
    world.sink = Box::new(move |sink| Arc::new(sink::Faulty { sink, fault }));
}

fn store(world: &mut World, fault: StoreFault) {
    let clock = world.clock.clone();
    world.store = Box::new(move |store| Arc::new(store::Faulty { store, fault, clock, met_full: AtomicBool::new(false) }));
}
