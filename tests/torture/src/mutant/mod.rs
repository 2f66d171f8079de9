//! Servers with a fault built in: the real server in another world. Each differs from `historian serve` in that one fault, and lives here, so
//! that no mutant code is in the product.

mod sink;
mod store;

use std::sync::Arc;

use anyhow::bail;
use historian::{
    cli::serve::{ServeArgs, start_logging, stop_on_signal},
    server::{self, World},
};

use self::{sink::SinkFault, store::StoreFault};

/// Runs a mutant until it is told to stop.
///
/// # Errors
/// There is no such mutant, or the server fails.
pub async fn serve(kind: &str, args: ServeArgs) -> anyhow::Result<()> {
    let configuration = args.load()?;
    start_logging()?;
    server::run_in(world(kind)?, configuration, stop_on_signal()?).await
}

fn world(kind: &str) -> anyhow::Result<World> {
    Ok(match kind {
        "ack-early" => with_sink(SinkFault::Early),
        "ack-all" => with_sink(SinkFault::All),
        "no-sync" => with_store(StoreFault::NoSync),
        "retry-sync" => with_store(StoreFault::RetrySync),
        "short-answers" => with_store(StoreFault::ShortAnswers),
        "slow" => with_store(StoreFault::Slow),
        _ => bail!("there is no mutant {kind}"),
    })
}

fn with_sink(fault: SinkFault) -> World {
    World { sink: Box::new(move |sink| Arc::new(sink::Faulty { sink, fault })), ..World::default() }
}

fn with_store(fault: StoreFault) -> World {
    World { store: Box::new(move |store| Arc::new(store::Faulty { store, fault })), ..World::default() }
}
