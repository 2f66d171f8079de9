//! Every kind of attacker, to be sent in turn: each goes on until it is told to stop, and comes back as often as it is refused or cut. What must
//! become of each is asserted where it is tested alone; here it is only counted.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use historian_test_support::program::Historian;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    KINDS, Kind, Material, Messages,
    aside::aside,
    call::Caller,
    flood::{FLOODS, flood},
    idle::{beginnings, hold},
    malformed::{CLIENTS, Told, client},
    silent::{Left, read_nothing, with_small_windows},
    strike,
};
use crate::{
    context::Context,
    crowd::Crowd,
    doors::{self, Door},
    honest::{ATTACKER, endpoint_to},
    lane::{self, Lane},
    oracle::Dice,
    stock::{NUMBERS_GLOB, Stock},
    wire::Wire,
};

/// Before an attacker that was refused as a whole comes back.
const PAUSE: Duration = Duration::from_millis(50);
const SILENT_READERS: usize = 50;
/// A reader goes on to read nothing for so long after it must have been cut.
const AFTER_CUT: Duration = Duration::from_secs(3);
/// Connections of each kind that do not go on.
const UNFINISHED: usize = 5;
/// How long such a connection is waited for.
const UNFINISHED_PATIENCE: Duration = Duration::from_mins(1);
const SERVED_WITHIN: Duration = Duration::from_secs(10);
/// What an attacker holds, unless it is told to hold more.
const CONNECTIONS: usize = 500;
const CROWD_READERS: usize = 200;
/// The lane that damaged messages write to: no other lane is one damage away.
const DAMAGED_LANE: usize = 8;

/// A kind of attacker.
pub enum Attacker {
    /// Calls that are permitted, or nearly, by the hundred.
    Calls(&'static Kind),
    /// Readers that read nothing.
    Silent,
    /// Connections that are held, and those that do not go on.
    Idle,
    Floods,
    Malformed,
    /// Very many heavy readers.
    Crowd,
}

pub static ATTACKERS: [Attacker; 10] = [
    Attacker::Calls(&KINDS[0]),
    Attacker::Calls(&KINDS[1]),
    Attacker::Calls(&KINDS[2]),
    Attacker::Calls(&KINDS[3]),
    Attacker::Calls(&KINDS[4]),
    Attacker::Silent,
    Attacker::Idle,
    Attacker::Floods,
    Attacker::Malformed,
    Attacker::Crowd,
];

/// What attackers need to know.
pub struct Scene {
    server: SocketAddr,
    http: SocketAddr,
    material: Material,
    doors: Arc<Vec<Door>>,
    /// How long the server waits for a reader.
    stalled: Duration,
    /// Connections that an attacker holds.
    pub connections: usize,
    seed: u64,
}

/// What came of an attack.
#[derive(Clone, Copy, Debug, Default)]
pub struct Met {
    /// Answered, served, or held until the end.
    pub served: u64,
    /// Refused, cut or closed by the server.
    pub refused: u64,
}

impl Scene {
    /// Asks a server, which waits for a reader until it has `stalled` for so long, for what attacks are made of.
    ///
    /// # Errors
    /// It does not serve what a sound client asks for.
    pub async fn new(context: &Context, server: &Historian, stock: &Stock, stalled: Duration) -> anyhow::Result<Scene> {
        let damaged = Lane::new(context.seed, DAMAGED_LANE, lane::Door::Flight, 3, 20, &context.work)?;
        let mut doors = doors::services()?;
        // What the doors of Flight ask for.
        Told::default().sound(&Caller::new(server.grpc, ATTACKER), &doors).await;
        doors.extend(doors::flights(&server.channel().await?, &damaged).await?);
        let material = Material { messages: Messages::new().await?, times: stock.times() };
        let (doors, seed) = (Arc::new(doors), context.seed);
        Ok(Scene { server: server.grpc, http: server.http, material, doors, stalled, connections: CONNECTIONS, seed })
    }
}

impl Attacker {
    pub fn name(&self) -> &'static str {
        match self {
            Attacker::Calls(kind) => kind.name,
            Attacker::Silent => "silent",
            Attacker::Idle => "connections",
            Attacker::Floods => "floods",
            Attacker::Malformed => "malformed",
            Attacker::Crowd => "crowd",
        }
    }

    /// Attacks until `stop`.
    ///
    /// # Errors
    /// There is no thread for it.
    pub async fn attack(&self, scene: &Scene, server: &Historian, dice: Dice, stop: CancellationToken) -> anyhow::Result<Met> {
        match self {
            Attacker::Calls(kind) => calls(scene, kind, dice, stop).await,
            Attacker::Silent => silent(scene, stop).await,
            Attacker::Idle => idle(scene, stop).await,
            Attacker::Floods => floods(scene, stop).await,
            Attacker::Malformed => malformed(scene, dice, stop).await,
            Attacker::Crowd => {
                let crowd = Crowd::start(server, ATTACKER, CROWD_READERS, NUMBERS_GLOB, &scene.material.times)?;
                stop.cancelled().await;
                let met = crowd.met();
                // Its end is waited for, on a thread that may.
                tokio::task::spawn_blocking(move || drop(crowd)).await?;
                Ok(Met { served: met.answered, refused: met.refused + met.failed })
            }
        }
    }
}

async fn calls(scene: &Scene, kind: &Kind, mut dice: Dice, stop: CancellationToken) -> anyhow::Result<Met> {
    let mut met = Met::default();
    while !stop.is_cancelled() {
        let outcomes = strike(scene.server, (kind.calls)(&scene.material, &mut dice), stop.clone()).await?;
        met.served += outcomes.answered;
        met.refused += outcomes.refused + outcomes.gone;
        stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
    }
    Ok(met)
}

async fn silent(scene: &Scene, stop: CancellationToken) -> anyhow::Result<Met> {
    let (server, times, silence) = (scene.server, scene.material.times.clone(), scene.stalled + AFTER_CUT);
    let endpoint = with_small_windows(endpoint_to(server, ATTACKER)?);
    let met = Arc::new(std::sync::Mutex::new(Met::default()));
    let counted = met.clone();
    aside(move || async move {
        let mut readers = JoinSet::new();
        for _ in 0..SILENT_READERS {
            let (endpoint, times, counted) = (endpoint.clone(), times.clone(), counted.clone());
            readers.spawn(async move {
                loop {
                    if let Ok(channel) = endpoint.connect().await {
                        let left = read_nothing(channel, times.clone(), silence).await;
                        let mut met = counted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        match left {
                            Left::Served(_) => met.served += 1,
                            Left::Refused(_) | Left::Cut(_) => met.refused += 1,
                        }
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        stop.cancelled().await;
    })
    .await?;
    let met = *met.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(met)
}

async fn idle(scene: &Scene, stop: CancellationToken) -> anyhow::Result<Met> {
    let (grpc, http, count) = (scene.server, scene.http, scene.connections);
    aside(move || async move {
        let mut unfinished = JoinSet::new();
        let begin = |address, first: Vec<u8>| async move {
            if let Ok(mut wire) = Wire::open(address, ATTACKER, &first).await {
                let _ = wire.end(UNFINISHED_PATIENCE).await;
            }
            tokio::time::sleep(PAUSE).await;
            (address, first)
        };
        for (_, address, first) in beginnings(grpc, http) {
            for _ in 0..UNFINISHED {
                unfinished.spawn(begin(address, first.clone()));
            }
        }
        let (mut met, mut held) = (Met::default(), Vec::with_capacity(count));
        {
            let holding = async {
                let _ = stop.run_until_cancelled(hold(grpc, count, SERVED_WITHIN, &mut held)).await;
                stop.cancelled().await;
            };
            tokio::pin!(holding);
            loop {
                tokio::select! {
                    () = &mut holding => break,
                    Some(Ok((address, first))) = unfinished.join_next() => {
                        met.refused += 1;
                        unfinished.spawn(begin(address, first));
                    }
                }
            }
        }
        met.served = held.len() as u64;
        met
    })
    .await
}

async fn floods(scene: &Scene, stop: CancellationToken) -> anyhow::Result<Met> {
    let server = scene.server;
    aside(move || async move {
        let mut met = Met::default();
        for kind in FLOODS.iter().cycle() {
            match stop.run_until_cancelled(flood(server, kind)).await {
                None => break,
                Some(Ok(None)) => met.served += 1,
                Some(Ok(Some(_))) => met.refused += 1,
                // Not even a connection.
                Some(Err(_)) => {
                    met.refused += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        met
    })
    .await
}

async fn malformed(scene: &Scene, mut dice: Dice, stop: CancellationToken) -> anyhow::Result<Met> {
    let (server, doors) = (scene.server, scene.doors.clone());
    let seed = scene.seed.wrapping_add(dice.below(1 << 32));
    aside(move || async move {
        let next = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(client(server, doors.clone(), seed, u64::MAX, next.clone(), stop.clone()));
        }
        let mut told = Told::default();
        for of_client in clients.join_all().await {
            told.merge(of_client);
        }
        let served = told.by_code.remove("Ok").unwrap_or(0);
        Met { served, refused: told.by_code.values().sum() }
    })
    .await
}
