//! S3: floods of HTTP/2 frames that cost a server work and the client nothing. Whoever sends them is cut within a second, again and again as
//! it comes back, and an honest client at another address goes on.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};

use super::{Mutant, Test};
use crate::{
    attack::flood::{FLOODS, PATIENCE, flood, odd},
    context::Context,
    honest::{ATTACKER, HONEST, Honest, ms},
    mutant::LibraryAlone,
    report::Report,
    wire::{RST_STREAM, WINDOW_UPDATE, Wire, call, frame, greeting},
};

const LIBRARY_ALONE: &str = "library-alone";

pub const TEST: Test = Test {
    id: "S3",
    about: "floods of HTTP/2 frames: cut within a second, others go on",
    unit: "rounds of all floods",
    cycles: [1, 6, 60],
    mutants: &[Mutant { kind: LIBRARY_ALONE, about: "is the HTTP/2 library alone, which nothing watches", cycles: 1 }],
    run,
};

/// Within this time of its first frame a flood ends with its connection.
const CUT_MAX: Duration = Duration::from_secs(1);
/// How long an attacker comes back with one kind of flood.
const ATTACK: Duration = Duration::from_millis(400);
const IDLE: Duration = Duration::from_millis(1_500);
/// Requests on one connection whose answers nobody takes, and after what time the server is configured to end them. It looks each time this
/// has passed, so that it sees at the second look what has waited for so long.
const UNREAD: u32 = 256;
const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);
const UNREAD_MAX: Duration = Duration::from_secs(4);

fn run(context: &Context) -> BoxFuture<'_, anyhow::Result<Report>> {
    floods(context).boxed()
}

async fn floods(context: &Context) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.opt("floods", FLOODS.len());
    let configuration = format!("[limits]\nunread_answer_s = {}\n", UNREAD_TIMEOUT.as_secs());
    let server = context.real_launcher(&context.work.join("data"), &configuration)?.start()?;
    let alone = if context.mutant == Some(LIBRARY_ALONE) { Some(LibraryAlone::start()?) } else { None };
    let attacked = alone.as_ref().map_or(server.grpc, |alone| alone.address);

    let honest = Honest::start(context, &server, HONEST).await?;
    tokio::time::sleep(if context.mutant.is_none() { IDLE } else { ATTACK }).await;
    let idle = honest.take();
    idle.require_unrefused(&mut report, "before");

    let mut slowest = (Duration::ZERO, "");
    'rounds: for round in 0..context.cycles {
        for kind in FLOODS {
            let begun = Instant::now();
            while begun.elapsed() < ATTACK {
                let Some(cut) = flood(attacked, kind).await? else {
                    report.fail(format!("{} flood: the connection is open after {PATIENCE:?}", kind.name));
                    break 'rounds;
                };
                report.count("floods_cut", 1);
                slowest = slowest.max((cut, kind.name));
            }
        }
        report.cycles = round + 1;
        context.progress("S3", round + 1, &report);
    }
    report.figure("slowest_cut_ms", ms(slowest.0));
    report.figure("slowest_cut", slowest.1);
    if slowest.0 > CUT_MAX {
        report.fail(format!("{} flood: the connection was cut after {:?}", slowest.1, slowest.0));
    }
    let flooded = honest.take();
    flooded.require_unrefused(&mut report, "under floods");
    if report.failures.is_empty() {
        unread(attacked, &mut report).await?;
    }

    report.rss(server.rss_peak_kb());
    let after = honest.end(&mut report).await?;
    after.require_unrefused(&mut report, "while answers were not taken");
    report.figure("write_p99_idle_ms", ms(idle.writes(99)));
    report.figure("write_p99_flooded_ms", ms(flooded.writes(99)));
    report.figure("read_p99_idle_ms", ms(idle.reads(99)));
    report.figure("read_p99_flooded_ms", ms(flooded.reads(99)));
    report.figure("within_target", flooded.writes(99) <= idle.writes(99) * 2 && flooded.reads(99) <= idle.reads(99) * 2);
    Ok(report)
}

/// Many calls on a connection of which the client takes nothing: each is ended in time, and the connection goes on.
async fn unread(address: SocketAddr, report: &mut Report) -> anyhow::Result<()> {
    // SETTINGS_INITIAL_WINDOW_SIZE of 0.
    let mut wire = Wire::open(address, ATTACKER, &greeting(&[0, 4, 0, 0, 0, 0])).await?;
    let begun = Instant::now();
    for number in 0..UNREAD {
        wire.send(&call(odd(number))).await?;
    }
    let mut ended = 0;
    let ending = async {
        while ended < UNREAD {
            match wire.frame().await {
                Some(frame) if frame.kind == RST_STREAM => ended += 1,
                Some(_) => {}
                None => break,
            }
        }
    };
    let waited = tokio::time::timeout(UNREAD_MAX, ending).await;
    report.figure("unread_ended_ms", ms(begun.elapsed()));
    if waited.is_err() || ended < UNREAD {
        report.fail(format!("of {UNREAD} calls whose answers nobody takes {ended} were ended after {:?}", begun.elapsed()));
        return Ok(());
    }
    let room = frame(WINDOW_UPDATE, 0, odd(UNREAD), &1_000_u32.to_be_bytes());
    wire.send(&[call(odd(UNREAD)), room].concat()).await?;
    if !wire.is_answered(odd(UNREAD), UNREAD_MAX).await {
        report.fail("a connection whose calls were ended does not go on");
    }
    Ok(())
}
