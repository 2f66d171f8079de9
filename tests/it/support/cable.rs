//! A network of its own behind a cable that can be pulled: a device in a network namespace of the kernel, and a pair of virtual network
//! cards between it and this machine. What is pulled says nothing: no reset and no end comes over it, and each side goes on believing in its
//! connections.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use historian_test_support::{process::Process, skip};

const PATIENCE: Duration = Duration::from_mins(1);
static CABLES: AtomicU32 = AtomicU32::new(0);

/// The cable, and the network at its other end; both are gone when dropped, with the processes in it ended before by their owners.
pub struct Cable {
    /// Of the namespace, and the card on this side.
    name: String,
    /// Of the other end.
    pub address: Ipv4Addr,
    forwarders: Vec<Process>,
}

impl Cable {
    /// Plugged in; `None` where this process may make no network and a test may be passed over for want of it.
    pub fn new() -> Option<Cable> {
        let number = CABLES.fetch_add(1, Ordering::Relaxed);
        // Of 198.18.0.0/15, which is for the measuring of networks: a pair of addresses for each process and cable.
        let pair = std::process::id().wrapping_mul(16).wrapping_add(number) % 0x7FFF;
        let first = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + 4 * pair;
        let (near, address) = (Ipv4Addr::from(first + 1), Ipv4Addr::from(first + 2));
        let name = format!("hist{:x}c{number}", std::process::id() % 0xFFFF_FFFF);
        if let Err(error) = ip(&["netns", "add", &name]) {
            skip::without("netns", &error);
            return None;
        }
        let cable = Cable { name, address, forwarders: Vec::new() };
        let name = cable.name.as_str();
        // The card of the other end is called `far`, and lies in the namespace.
        let steps: [&[&str]; 6] = [
            &["link", "add", name, "type", "veth", "peer", "name", "far", "netns", name],
            &["address", "add", &format!("{near}/30"), "dev", name],
            &["link", "set", name, "up"],
            &["-n", name, "address", "add", &format!("{address}/30"), "dev", "far"],
            &["-n", name, "link", "set", "far", "up"],
            &["-n", name, "link", "set", "lo", "up"],
        ];
        for step in steps {
            if let Err(error) = ip(step) {
                skip::without("netns", &error);
                return None;
            }
        }
        Some(cable)
    }

    /// A program at the other end.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Makes a port of the other end's loopback one of its address as well, where it is reached from here.
    pub fn forward(&mut self, port: u16) -> Option<()> {
        let mut command = self.command("socat");
        command.arg(format!("TCP-LISTEN:{port},bind={},reuseaddr,fork,nodelay", self.address)).arg(format!("TCP:127.0.0.1:{port},nodelay"));
        let process = match Process::start(command.stdin(Stdio::null())) {
            Ok(process) => process,
            Err(error) => {
                skip::without("socat", &error.to_string());
                return None;
            }
        };
        self.forwarders.push(process);
        let begun = Instant::now();
        while TcpStream::connect_timeout(&SocketAddr::from((self.address, port)), Duration::from_secs(1)).is_err() {
            assert!(begun.elapsed() < PATIENCE, "{}:{port} is not reached", self.address);
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(())
    }

    /// Nothing comes through any more, in either direction, and nobody hears of it.
    pub fn pull(&self) {
        self.loss("add");
    }

    /// Everything comes through again.
    pub fn plug(&self) {
        self.loss("del");
    }

    fn loss(&self, change: &str) {
        for far in [false, true] {
            let mut command = if far { self.command("tc") } else { Command::new("tc") };
            command.args(["qdisc", change, "dev", if far { "far" } else { &self.name }, "root"]);
            if change == "add" {
                command.args(["pfifo", "limit", "0"]);
            }
            run(&mut command).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.forwarders.clear();
        // With one card goes the other.
        let _ = ip(&["link", "delete", &self.name]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())) }
}
