//! What is done is told where the person looks, or does not happen: the audit log, the log, exit codes, health.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

mod audit;
mod demo;
mod directory;
mod signals;
mod start;

const PATIENCE: Duration = Duration::from_mins(1);

/// The program with none of the variables that it listens to.
fn historian(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_historian"));
    for variable in ["CONFIG", "DATA_DIR", "LISTEN", "HTTP", "SERVER", "BACKUP_DIR", "LOG"] {
        command.env_remove(format!("HISTORIAN_{variable}"));
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs to the end and gives the exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = historian(arguments).output().expect("the program starts");
    (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
}

/// `historian serve` as a child whose log is kept; killed when dropped.
struct Serve {
    child: Child,
    listen: SocketAddr,
    http: SocketAddr,
    log: Arc<Mutex<String>>,
    stderr: Option<ChildStderr>,
}

impl Serve {
    /// Starts it, and does not wait for anything.
    fn begin(data_dir: &Path, arguments: &[&str]) -> Serve {
        // Held at once, so that they differ.
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [listen, http] = held.map(|listener| listener.local_addr().unwrap());
        let mut child = historian(&["serve"])
            .args(arguments)
            .args(["--listen", &listen.to_string(), "--http", &http.to_string(), "--data-dir"])
            .arg(data_dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let stderr = child.stderr.take();
        Serve { child, listen, http, log: Arc::default(), stderr }
    }

    /// Starts it and waits until it is ready, its log read along.
    fn start(data_dir: &Path, arguments: &[&str]) -> Serve {
        let mut serve = Serve::begin(data_dir, arguments);
        serve.read_log();
        serve.wait_ready();
        serve
    }

    fn read_log(&mut self) {
        let (log, mut lines) = (self.log.clone(), BufReader::new(self.stderr.take().unwrap()));
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                log.lock().unwrap().push_str(&std::mem::take(&mut line));
            }
        });
    }

    fn wait_ready(&mut self) {
        // Of every version; `/readyz` has a test of its own.
        self.wait("ready", |serve| serve.get("/healthz").is_some_and(|(code, _)| code == 200));
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Serve) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "not {what}; ended {ended:?}: {}", self.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Code and body of a GET; `None` where nothing answers.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let code = answer.split(' ').nth(1)?.parse().ok()?;
        Some((code, answer.split_once("\r\n\r\n")?.1.to_owned()))
    }

    fn server(&self) -> String {
        format!("grpc://{}", self.listen)
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs").success());
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the audit log says, as JSON.
    fn audit(&self) -> Vec<serde_json::Value> {
        let (code, out, err) = run(&["audit", "--format", "json", "--server", &self.server()]);
        assert_eq!(code, 0, "{err}");
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every file and directory below a directory, with its size and the time of its last change.
fn snapshot(directory: &Path) -> Vec<(String, u64, i64, i64)> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let (path, about) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            found.push((path.display().to_string(), about.len(), about.mtime(), about.mtime_nsec()));
            if about.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}
