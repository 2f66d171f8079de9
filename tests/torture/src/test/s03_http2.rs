//! S3: floods of HTTP/2 frames that cost a server work and the client nothing. Whoever sends them is cut within a second, again and again as
//! it comes back, and an honest client at another address goes on.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Mutant, Test};
use crate::{
    context::Context,
    honest::{ATTACKER, HONEST, Honest, ms},
    mutant::LibraryAlone,
    report::Report,
    wire::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, begun, call, fields, frame,
        greeting,
    },
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
/// How long the flood of a connection goes on that is not cut.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an attacker comes back with one kind of flood.
const ATTACK: Duration = Duration::from_millis(400);
const IDLE: Duration = Duration::from_millis(1_500);
/// Requests on one connection whose answers nobody takes, and after what time the server is configured to end them. It looks each time this
/// has passed, so that it sees at the second look what has waited for so long.
const UNREAD: u32 = 256;
const UNREAD_TIMEOUT: Duration = Duration::from_secs(1);
const UNREAD_MAX: Duration = Duration::from_secs(4);
const FRAMES_AT_ONCE: u32 = 100;

struct Flood {
    name: &'static str,
    /// What comes before it.
    first: fn() -> Vec<u8>,
    /// The parts of the flood, by number.
    part: fn(u32) -> Vec<u8>,
}

const NONE: fn() -> Vec<u8> = Vec::new;

const FLOODS: &[Flood] = &[
    Flood { name: "priority", first: NONE, part: |_| frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7]) },
    Flood { name: "settings", first: NONE, part: |_| frame(SETTINGS, 0, 0, &[]) },
    Flood { name: "ping", first: NONE, part: |_| frame(PING, 0, 0, &[0; 8]) },
    Flood { name: "window update", first: NONE, part: |_| frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()) },
    Flood { name: "unknown frame", first: NONE, part: |_| frame(77, 0, 0, &[]) },
    // CVE-2019-9518: data without bytes, to a call whose message does not come.
    Flood { name: "empty data", first: || begun(1), part: |_| frame(DATA, 0, 1, &[]) },
    // CVE-2024-27316: headers that never end.
    Flood { name: "continuation", first: || frame(HEADERS, 0, 1, &fields()), part: |_| frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y']) },
    // CVE-2023-44487: calls that are taken back at once.
    Flood {
        name: "reset",
        first: NONE,
        part: |number| [call(odd(number)), frame(RST_STREAM, 0, odd(number), &8_u32.to_be_bytes())].concat(),
    },
    // CVE-2025-8671: calls that the server must end itself, for what comes on them is wrong.
    Flood {
        name: "reset by the server",
        first: NONE,
        part: |number| [frame(HEADERS, END_HEADERS, odd(number), &fields()), frame(WINDOW_UPDATE, 0, odd(number), &[0; 4])].concat(),
    },
];

/// Streams of clients have odd numbers.
fn odd(number: u32) -> u32 {
    2 * number + 1
}

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

/// Floods on one connection, reading whatever is answered; how long it took until that was cut, if it was.
async fn flood(address: SocketAddr, kind: &Flood) -> anyhow::Result<Option<Duration>> {
    let wire = Wire::open(address, ATTACKER, &[greeting(&[]), (kind.first)()].concat()).await?;
    let (mut reader, mut writer) = wire.stream.into_split();
    let begun = Instant::now();
    let reading = async move {
        let mut answers = vec![0; 64 << 10];
        while reader.read(&mut answers).await.is_ok_and(|count| count > 0) {}
    };
    let writing = async move {
        let mut number = 0;
        loop {
            let parts: Vec<u8> = (number..number + FRAMES_AT_ONCE).flat_map(kind.part).collect();
            number += FRAMES_AT_ONCE;
            if writer.write_all(&parts).await.is_err() {
                break;
            }
        }
    };
    // Either side sees the end.
    Ok(tokio::select! {
        () = reading => Some(begun.elapsed()),
        () = writing => Some(begun.elapsed()),
        () = tokio::time::sleep(PATIENCE) => None,
    })
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
