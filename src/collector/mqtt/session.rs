//! One link to the broker: connected, subscribed, held until it is lost or the collector stops.

use std::{
    collections::{HashSet, VecDeque},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    announce::Announcement,
    client::{BrokerLink, BrokerUser, LinkEvent, LinkOptions, LinkReceipt, LinkVoice},
    device::MqttSettings,
    intake::Intake,
    sparkplug,
};
use historian_collector::{DeviceStatus, status::DeviceState};
use historian_model::Timestamp;
use tokio_util::sync::CancellationToken;

/// Filters of one subscription.
const FILTERS_AT_ONCE: usize = 100;
/// How often filters that the broker refuses are asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Least time between two of our states, where the broker gives us another one.
const STATE_SPACING: Duration = Duration::from_secs(1);
/// How often it is looked whether messages are stored that are not acknowledged yet.
const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(5);
/// Nodes that are asked for their births at once, and how long until the next ones: they all answer.
const NODES_AT_ONCE: usize = 10;
const NODES_SPACING: Duration = Duration::from_millis(50);
/// How long the goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(1);
/// Longest password that is read.
const PASSWORD_BYTES_MAX: u64 = 65_535;

/// Who connects.
pub(super) struct BrokerSession<'run> {
    pub(super) device: &'run MqttSettings,
    pub(super) status: &'run DeviceStatus,
    pub(super) shutdown: &'run CancellationToken,
    /// Says that the host is there; a check does not.
    pub(super) announces: bool,
    pub(super) client_id: String,
    pub(super) session_expiry: Duration,
    /// When the link was subscribed, the last time.
    pub(super) subscribed: Option<Instant>,
}

/// What goes on while a link is held.
struct LinkState {
    voice: LinkVoice,
    /// What is to be acknowledged once the spool has written up to its place, in the order of the messages.
    receipts: VecDeque<(u64, LinkReceipt)>,
    /// Nodes that are still to be asked for their births, and when.
    silent: VecDeque<(String, String)>,
    silent_due: Instant,
    /// Subscriptions that wait for their answers.
    asked: VecDeque<Vec<String>>,
    asked_at: Instant,
    refused: HashSet<String>,
    ask_again: Option<Instant>,
    /// Time of the session's state.
    connected_at: Timestamp,
    /// When our state was told last.
    stated: Option<Instant>,
    state_due: Option<Instant>,
}

impl BrokerSession<'_> {
    /// Holds a link until it is lost.
    ///
    /// # Errors
    /// Why it was lost, or not made; `Ok` when told to stop.
    pub(super) async fn hold(&mut self, intake: &mut Intake<'_>) -> Result<(), String> {
        let device = self.device;
        let connected_at = intake.held.now();
        let will = self.state(false, connected_at);
        let options = LinkOptions {
            version: device.version,
            address: device.address.clone(),
            client_id: self.client_id.clone(),
            user: credentials(device)?,
            keep_alive: device.keep_alive,
            timeout: device.timeout,
            session_expiry: self.session_expiry,
            will,
        };
        let mut link = BrokerLink::new(options)?;
        let connected = tokio::select! {
            connected = tokio::time::timeout(device.timeout, connected(&mut link)) => connected,
            () = self.shutdown.cancelled() => return Ok(()),
        };
        let endpoint = &device.endpoint;
        let session_present = match connected {
            Ok(Ok(session_present)) => session_present,
            // A broker with TLS ends what is none without a word.
            Ok(Err(error)) if device.address.tls.is_none() && ["closed", "reset", "aborted"].iter().any(|word| error.contains(word)) => {
                return Err(format!("{endpoint}: {error}; does this port speak TLS? Then say `tls = true`"));
            }
            Ok(Err(error)) if error.contains(endpoint) => return Err(error),
            Ok(Err(error)) => return Err(format!("{endpoint}: {error}")),
            Err(_) => return Err(format!("{endpoint}: the broker does not answer within {} ms", device.timeout.as_millis())),
        };
        DeviceStatus::count(&self.status.connects, 1);
        tracing::info!(device = device.name, endpoint = device.endpoint, session_present, "connected");
        let mut state = LinkState {
            voice: link.voice(),
            receipts: VecDeque::new(),
            silent: VecDeque::new(),
            silent_due: Instant::now(),
            asked: VecDeque::new(),
            asked_at: Instant::now(),
            refused: HashSet::new(),
            ask_again: None,
            connected_at,
            stated: None,
            state_due: None,
        };
        self.subscribe(&mut state, &device.subscriptions())?;
        loop {
            // Awaited to its end: giving it up half way could lose what was read.
            let next = link.next();
            tokio::pin!(next);
            let event = loop {
                let due = self.due(&state, intake);
                tokio::select! {
                    biased;
                    event = &mut next => break Some(event?),
                    () = self.shutdown.cancelled() => break None,
                    () = tokio::time::sleep_until(due.into()) => self.on_time(&mut state, intake).await?,
                }
            };
            match event {
                Some(event) => self.on_event(event, &mut state, intake).await?,
                None => break,
            }
        }
        self.say_goodbye(link, &mut state, intake).await;
        Ok(())
    }

    /// When something is to be done by time alone; within a minute.
    fn due(&self, state: &LinkState, intake: &Intake<'_>) -> Instant {
        let answer = (!state.asked.is_empty()).then_some(state.asked_at + self.device.timeout);
        let stored = (!state.receipts.is_empty()).then(|| Instant::now() + ACKNOWLEDGE_EVERY);
        let silent = (!state.silent.is_empty()).then_some(state.silent_due);
        let all = [intake.due(), answer, stored, silent, state.ask_again, state.state_due];
        all.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + Duration::from_mins(1))
    }

    async fn on_time(&mut self, state: &mut LinkState, intake: &mut Intake<'_>) -> Result<(), String> {
        let now = Instant::now();
        acknowledge(state, intake);
        if !state.asked.is_empty() && now >= state.asked_at + self.device.timeout {
            return Err("the broker does not answer a subscription".to_owned());
        }
        if state.ask_again.is_some_and(|due| now >= due) {
            state.ask_again = None;
            let refused: Vec<String> = state.refused.iter().cloned().collect();
            self.subscribe(state, &refused)?;
        }
        if state.state_due.is_some_and(|due| now >= due) {
            self.tell_state(state)?;
        }
        if !state.silent.is_empty() && now >= state.silent_due {
            state.silent_due = now + NODES_SPACING;
            let asked = state.silent.len().min(NODES_AT_ONCE);
            let at = intake.held.now();
            let rebirths: Vec<Announcement> =
                state.silent.drain(..asked).map(|(group, node)| Announcement::Rebirth { group, node, at }).collect();
            self.announce(state, &rebirths)?;
        }
        let announcements = intake.tick().await;
        self.announce(state, &announcements)
    }

    async fn on_event(&mut self, event: LinkEvent, state: &mut LinkState, intake: &mut Intake<'_>) -> Result<(), String> {
        match event {
            LinkEvent::Message { topic, payload, retained, receipt } => {
                let mut announcements = Vec::new();
                match std::str::from_utf8(&topic) {
                    Err(_) => intake.refuse("a message", "its topic is no UTF-8"),
                    Ok(topic) if self.own_state(topic, &payload, state) => {}
                    Ok(topic) => announcements = intake.message(topic, &payload, retained).await,
                }
                // A check stores nothing.
                let place = if self.announces { intake.held.place() } else { 0 };
                // A broker that waits long may send one again, which is acknowledged once.
                if let Some(receipt) = receipt.filter(|receipt| !state.receipts.iter().any(|(_, waiting)| waiting == receipt)) {
                    state.receipts.push_back((place, receipt));
                }
                acknowledge(state, intake);
                self.announce(state, &announcements)
            }
            LinkEvent::Subscribed(answers) => {
                let filters = state.asked.pop_front().unwrap_or_default();
                state.asked_at = Instant::now();
                for (filter, answer) in filters.into_iter().zip(answers) {
                    match answer {
                        Ok(()) => drop(state.refused.remove(&filter)),
                        Err(reason) => {
                            if state.refused.insert(filter.clone()) {
                                intake.refuse(&filter, &reason);
                            }
                        }
                    }
                }
                if state.asked.is_empty() {
                    self.subscribed(state, intake)?;
                }
                Ok(())
            }
            // A library that connected again by itself would have forgotten the subscriptions.
            LinkEvent::Connected { .. } => Err("the connection was made twice".to_owned()),
            LinkEvent::Other => Ok(()),
        }
    }

    /// All filters are answered.
    fn subscribed(&mut self, state: &mut LinkState, intake: &mut Intake<'_>) -> Result<(), String> {
        self.subscribed = Some(Instant::now());
        intake.subscribed(state.refused.clone());
        let all = state.refused.is_empty();
        self.status.set_state(if all { DeviceState::Running } else { DeviceState::Degraded });
        state.ask_again = (!all).then(|| Instant::now() + ASK_AGAIN);
        if state.stated.is_some() {
            return Ok(());
        }
        // Nothing is known of those who are there already, and what does not change they do not tell by themselves.
        state.silent = intake.nodes().into();
        self.tell_state(state)
    }

    fn subscribe(&self, state: &mut LinkState, filters: &[String]) -> Result<(), String> {
        for filters in filters.chunks(FILTERS_AT_ONCE) {
            state.voice.subscribe(filters, self.device.at_least_once)?;
            DeviceStatus::count(&self.status.requests, 1);
            state.asked.push_back(filters.to_vec());
        }
        state.asked_at = Instant::now();
        Ok(())
    }

    /// Our state, where we are a Sparkplug host.
    fn state(&self, online: bool, at: Timestamp) -> Option<Announcement> {
        let sparkplug = self.device.sparkplug.as_ref().filter(|_| self.announces)?;
        Some(Announcement::HostState { host_id: sparkplug.host_id.clone(), online, at })
    }

    fn tell_state(&self, state: &mut LinkState) -> Result<(), String> {
        state.state_due = None;
        let Some(online) = self.state(true, state.connected_at) else { return Ok(()) };
        state.stated = Some(Instant::now());
        state.voice.announce(&online)
    }

    /// Whether a message is our own state. Where the broker has us offline (the will of a session before came late, or another host has our
    /// id), it is told again.
    fn own_state(&self, topic: &str, payload: &[u8], state: &mut LinkState) -> bool {
        let Some(sparkplug) = &self.device.sparkplug else { return false };
        if topic != sparkplug::state_topic(&sparkplug.host_id) {
            return false;
        }
        let is_online = sparkplug::read_state(topic, payload).is_some_and(|told| told.online);
        if let Some(stated) = state.stated.filter(|_| !is_online && self.announces) {
            state.state_due = Some(stated + STATE_SPACING);
        }
        true
    }

    fn announce(&self, state: &LinkState, announcements: &[Announcement]) -> Result<(), String> {
        if self.announces {
            announcements.iter().try_for_each(|announcement| state.voice.announce(announcement))?;
        }
        Ok(())
    }

    /// Says that the host is gone, and disconnects, so that the broker does not send our will. What is on its way to the store is
    /// acknowledged before; what comes from now on is not, so that the broker keeps it for the next link.
    async fn say_goodbye(&self, mut link: BrokerLink, state: &mut LinkState, intake: &Intake<'_>) {
        let until = Instant::now() + GOODBYE_MAX;
        acknowledge(state, intake);
        while !state.receipts.is_empty() && Instant::now() < until {
            tokio::time::sleep(ACKNOWLEDGE_EVERY).await;
            acknowledge(state, intake);
        }
        let offline = self.state(false, state.connected_at).filter(|_| state.stated.is_some());
        let said = offline.map_or(Ok(()), |offline| state.voice.announce(&offline)).and_then(|()| state.voice.disconnect());
        if let Err(error) = said {
            tracing::debug!(device = self.device.name, error, "no goodbye");
            return;
        }
        // The end of the link is an error of it.
        let ended = async { while link.next().await.is_ok() {} };
        let _ = tokio::time::timeout(GOODBYE_MAX, ended).await;
    }
}

/// Acknowledges what is stored.
fn acknowledge(state: &mut LinkState, intake: &Intake<'_>) {
    let written = intake.held.written();
    while let Some((place, receipt)) = state.receipts.front()
        && *place <= written
        && state.voice.acknowledge(receipt)
    {
        state.receipts.pop_front();
    }
}

/// Waits for the answer to our first packet; whether the broker kept our session.
async fn connected(link: &mut BrokerLink) -> Result<bool, String> {
    loop {
        if let LinkEvent::Connected { session_present } = link.next().await? {
            return Ok(session_present);
        }
    }
}

/// User and password of a connect.
fn credentials(device: &MqttSettings) -> Result<Option<BrokerUser>, String> {
    let Some(user) = &device.user else { return Ok(None) };
    let password = device.password_file.as_deref().map(password).transpose()?;
    Ok(Some((user.clone(), password)))
}

/// The first line of a password file.
fn password(file: &Path) -> Result<Vec<u8>, String> {
    let told = |reason: String| format!("the password file {} {reason}", file.display());
    let length = fs::metadata(file).map_err(|error| told(format!("cannot be read: {error}")))?.len();
    if length > PASSWORD_BYTES_MAX {
        return Err(told("is longer than a password can be".to_owned()));
    }
    let bytes = fs::read(file).map_err(|error| told(format!("cannot be read: {error}")))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(told("is empty".to_owned()));
    }
    Ok(line.to_vec())
}
