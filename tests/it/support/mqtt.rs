//! MQTT peers: mosquitto as the broker, a plain client of paho, and Sparkplug edges of four makes. `make setup` installs them all.

use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use historian_test_support::{
    process::{Process, Signal},
    program::free_port,
    skip,
};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{
    cable::Cable,
    peer::{Peer, interpreter, root},
};

/// Long enough for a loaded machine; nothing waits so long when it works.
const PATIENCE: Duration = Duration::from_mins(1);

/// A mosquitto on a port of loopback, with what it keeps in a directory of its own; ended when dropped.
pub struct Broker {
    pub port: u16,
    directory: TempDir,
    process: Option<Process>,
}

impl Broker {
    /// Starts one with these settings of its listener, as `allow_anonymous true`. It drops no message by itself, and what it holds for
    /// clients that are away outlives it. `None` where there is no mosquitto and a test may be passed over for want of it.
    pub fn start(settings: &str) -> Option<Broker> {
        let mut broker = Broker { port: free_port(), directory: tempfile::tempdir().expect("a temporary directory"), process: None };
        let directory = broker.directory.path().display();
        // `user` is read where it is started by root only, and keeps it from becoming somebody who may not write there.
        let text = format!(
            "user root\nlistener {} 127.0.0.1\n{settings}\npersistence true\npersistence_location {directory}/\nmax_queued_messages 0\n\
             log_dest file {directory}/mosquitto.log\nlog_type all\n",
            broker.port
        );
        std::fs::write(broker.directory.path().join("mosquitto.conf"), text).expect("the directory can be written");
        broker.up().then_some(broker)
    }

    /// Starts it again where it was stopped; false where it may be passed over.
    pub fn up(&mut self) -> bool {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
        let mut command = Command::new("mosquitto");
        command.env("PATH", &path).arg("-c").arg(self.directory.path().join("mosquitto.conf"));
        let mut process = match Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())) {
            Ok(process) => process,
            Err(error) => {
                skip::without("mosquitto", &error.to_string());
                return false;
            }
        };
        let port = self.port;
        let listens = process.until(PATIENCE, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        assert!(listens.is_ok_and(|listens| listens.is_some()), "mosquitto does not listen: {}", self.log());
        self.process = Some(process);
        true
    }

    /// It is asked to stop, and writes down what it holds.
    pub fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::TERM).expect("mosquitto runs");
            process.end(PATIENCE).expect("mosquitto ends");
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("mosquitto.log")).unwrap_or_default()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the log of mosquitto on {}:\n{}", self.port, lines[lines.len().saturating_sub(16)..].join("\n"));
        }
    }
}

/// Where `make setup` puts what it fetches.
fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/historian");
    std::env::var_os("HISTORIAN_CACHE").map_or_else(home, PathBuf::from)
}

/// The interpreter of a venv beside that of the other peers.
fn interpreter_of(edge: &str) -> PathBuf {
    let python = cache().join(format!("venv-{edge}/bin/python"));
    assert!(python.exists(), "{} is missing: run `make setup` first", python.display());
    python
}

fn peers() -> PathBuf {
    root().join("tests/peers")
}

/// Hands lines on until one is the end of the command; that line.
fn until_ended(peer: &mut Peer, mut take: impl FnMut(&str)) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        match peer.next_line() {
            Some(line) if line == "done" || line == "unsupported" => return line,
            Some(line) => take(&line),
            None => {
                assert!(Instant::now() < until, "the peer does not end its command");
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// A plain client: `tests/peers/mqtt_client.py`.
pub struct Client {
    peer: Peer,
    heard: Vec<Json>,
}

impl Client {
    /// Publishes and hears texts; speaks both versions of the protocol.
    pub fn plain(port: u16, arguments: &[&str]) -> Client {
        Client::start(Command::new(interpreter()), port, arguments)
    }

    /// Publishes and hears payloads of Sparkplug as well, of the messages of pysparkplug.
    pub fn sparkplug(port: u16, arguments: &[&str]) -> Client {
        Client::start(Command::new(interpreter_of("pysparkplug")), port, arguments)
    }

    /// A plain one at the other end of a cable.
    pub fn behind(cable: &Cable, port: u16, arguments: &[&str]) -> Client {
        Client::start(cable.command(interpreter()), port, arguments)
    }

    fn start(mut command: Command, port: u16, arguments: &[&str]) -> Client {
        command.arg("-u").arg(peers().join("mqtt_client.py")).arg(port.to_string()).args(arguments);
        let mut peer = Peer::start(&mut command);
        peer.line_starting("ready", PATIENCE);
        Client { peer, heard: Vec::new() }
    }

    pub fn command(&mut self, command: &Json) {
        writeln!(self.peer.stdin, "{command}").expect("the client takes commands");
        let heard = &mut self.heard;
        until_ended(&mut self.peer, |line| heard.extend(message(line)));
    }

    pub fn text(&mut self, topic: &str, text: &str) {
        self.command(&json!({ "publish": topic, "text": text }));
    }

    /// A payload of Sparkplug: `kind` is `NDATA/node`, `DBIRTH/node/device`.
    pub fn edge(&mut self, kind: &str, payload: &Json) {
        let (kind, edge) = kind.split_once('/').expect("a kind and an edge");
        self.command(&json!({ "publish": format!("spBv1.0/{GROUP}/{kind}/{edge}"), "sparkplug": payload }));
    }

    /// What was heard so far.
    pub fn heard(&mut self) -> &[Json] {
        while let Some(line) = self.peer.next_line() {
            self.heard.extend(message(&line));
        }
        &self.heard
    }

    /// How many requests for a rebirth of a node were heard.
    pub fn rebirths(&mut self, node: &str) -> usize {
        let topic = format!("spBv1.0/{GROUP}/NCMD/{node}");
        self.heard().iter().filter(|heard| heard["topic"] == topic.as_str() && heard["metrics"]["Node Control/Rebirth"] == true).count()
    }

    /// Waits until something was heard.
    pub fn until(&mut self, what: &str, within: Duration, is_it: impl Fn(&[Json]) -> bool) {
        let begun = Instant::now();
        while !is_it(self.heard()) {
            assert!(begun.elapsed() < within, "{what} was not heard within {within:?}: {:#?}", self.heard);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn message(line: &str) -> Option<Json> {
    line.strip_prefix("heard ").map(|text| serde_json::from_str(text).expect("what is heard is JSON"))
}

/// The group of every edge, and the one device of each.
pub const GROUP: &str = "plant";
pub const DEVICE: &str = "dryer";

/// Who made an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    PySparkplug,
    MqttSpb,
    Node,
    Tahu,
}

/// A value as an edge published it.
#[derive(Clone, Debug, Deserialize)]
pub struct Published {
    pub device: bool,
    pub metric: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub value: Json,
    /// In ms.
    pub time: i64,
    pub birth: bool,
    pub historical: bool,
}

/// A Sparkplug edge: a node with one device; killed when dropped, so that the broker publishes its will.
pub struct Edge {
    pub make: Make,
    pub node: String,
    pub published: Vec<Published>,
    /// How often it was asked for births.
    pub rebirths: usize,
    peer: Peer,
}

impl Edge {
    /// Starts one that waits for commands, with `extra` further metrics of its device. `None` where it may be passed over.
    pub fn start(make: Make, port: u16, node: &str, extra: usize) -> Option<Edge> {
        let mut command = match make {
            Make::PySparkplug => python("pysparkplug", "mqtt_pysparkplug.py"),
            Make::MqttSpb => python("mqtt-spb", "mqtt_spb.py"),
            Make::Node => {
                let modules = cache().join("mqtt-node");
                let is_there =
                    Command::new("node").arg("--version").output().is_ok() && modules.join("node_modules/sparkplug-client").is_dir();
                if !is_there {
                    skip::without("node", "Node or the npm package sparkplug-client is not there");
                    return None;
                }
                let mut command = Command::new("node");
                command.env("HISTORIAN_MQTT_MODULES", modules).arg(peers().join("mqtt/node/edge.mjs"));
                command
            }
            Make::Tahu => {
                let archives = cache().join("mqtt-tahu");
                assert!(archives.join("pom.stamp").exists(), "{} has no Java archives: run `make setup` first", archives.display());
                let mut command = Command::new("java");
                command.args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx128m"]);
                command.arg(format!("-Dhistorian.metrics={}", peers().join("mqtt/metrics.json").display()));
                command.arg("-cp").arg(archives.join("*")).arg(peers().join("mqtt/tahu/Edge.java"));
                command
            }
        };
        command.args(["127.0.0.1", &port.to_string(), GROUP, node, DEVICE, &extra.to_string()]);
        let mut peer = Peer::start(&mut command);
        peer.line_starting("ready", PATIENCE);
        Some(Edge { make, node: node.to_owned(), published: Vec::new(), rebirths: 0, peer })
    }

    /// Gives a command and waits for its end; false where the make has no such thing.
    pub fn tell(&mut self, command: &str) -> bool {
        writeln!(self.peer.stdin, "{command}").unwrap_or_else(|error| panic!("{:?} takes no commands: {error}", self.make));
        let (published, rebirths) = (&mut self.published, &mut self.rebirths);
        until_ended(&mut self.peer, |line| take(line, published, rebirths)) == "done"
    }

    /// Takes what it published meanwhile because a host asked.
    pub fn listen(&mut self) {
        while let Some(line) = self.peer.next_line() {
            take(&line, &mut self.published, &mut self.rebirths);
        }
    }

    /// It kills itself, so that its connections end without a word; what it has published.
    pub fn die(mut self) -> Vec<Published> {
        writeln!(self.peer.stdin, "die").expect("the edge takes commands");
        let until = Instant::now() + PATIENCE;
        while std::path::Path::new(&format!("/proc/{}/fd/0", self.peer.pid())).exists() {
            assert!(Instant::now() < until, "the edge does not die");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.listen();
        std::mem::take(&mut self.published)
    }

    /// The metric's part of the name of its tag. mqtt-spb-wrapper names `DATA/x` in births and `x` in what follows; both are one metric.
    pub fn metric(&self, name: &str) -> String {
        if self.make == Make::MqttSpb && !name.starts_with("DATA/") { format!("DATA/{name}") } else { name.to_owned() }
    }

    /// The tag of a metric.
    pub fn tag(&self, of_device: bool, name: &str) -> String {
        let (node, metric) = (&self.node, self.metric(name));
        if of_device { format!("{GROUP}/{node}/{DEVICE}/{metric}") } else { format!("{GROUP}/{node}/{metric}") }
    }
}

fn python(venv: &str, program: &str) -> Command {
    let mut command = Command::new(interpreter_of(venv));
    command.arg("-u").arg(peers().join(program));
    command
}

fn take(line: &str, published: &mut Vec<Published>, rebirths: &mut usize) {
    if line == "rebirth" {
        *rebirths += 1;
    } else if line.starts_with('{') {
        published.push(serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")));
    }
}
