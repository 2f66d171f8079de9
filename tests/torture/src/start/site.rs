//! What starts are given: a certificate and keys in every state, directories with tokens and without, and addresses that the test holds, so that
//! nobody can listen there whatever goes wrong.

use std::{
    cell::Cell,
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::ensure;
use historian_test_support::program::{self, free_addresses, free_port};
use tokio::net::TcpSocket;

use crate::{
    certificate::authority::{Authority, CA, Pair, Wanted},
    context::Context,
};

const SERVER: &str = "basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost\n";

/// Where cases find what they need.
pub struct Site {
    pub directory: PathBuf,
    /// The program, and how `serve` is called, of it or of a mutant.
    pub program: PathBuf,
    pub serve: Vec<OsString>,
    pub authority: Authority,
    pub pair: Pair,
    /// Another pair of the same authority.
    pub other: Pair,
    /// A file with one token.
    access: PathBuf,
    made: Cell<usize>,
}

impl Site {
    /// Makes it in the directory of a test.
    ///
    /// # Errors
    /// `openssl` or the program cannot be run, or refuses.
    pub fn new(context: &Context) -> anyhow::Result<Site> {
        let directory = context.work.clone();
        let authority = Authority::root(&directory, "servers", &Wanted::new("servers", CA))?;
        let pair = authority.issue("server", &Wanted::new("localhost", SERVER))?;
        let other = authority.issue("other", &Wanted::new("localhost", SERVER))?;
        let tokens = directory.join("tokens");
        fs::create_dir(&tokens)?;
        let mut command = program::command(&context.program);
        let output = command.args(["token", "create", "boss", "--role", "admin", "--data-dir"]).arg(&tokens).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let serve = context.server_words()?;
        let access = tokens.join("access.json");
        Ok(Site { directory, program: context.program.clone(), serve, authority, pair, other, access, made: Cell::new(0) })
    }

    /// A path that nothing has yet.
    pub fn fresh(&self, ending: &str) -> PathBuf {
        self.made.set(self.made.get() + 1);
        self.directory.join(format!("{}-{ending}", self.made.get()))
    }

    /// A data directory without tokens, which is not made, or with one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn data(&self, has_token: bool) -> anyhow::Result<PathBuf> {
        let data = self.fresh("data");
        if has_token {
            fs::create_dir(&data)?;
            fs::copy(&self.access, data.join("access.json"))?;
        }
        Ok(data)
    }

    /// A data directory whose file of tokens is this text, with this mode.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn data_with(&self, text: Option<&str>, mode: u32) -> anyhow::Result<PathBuf> {
        let data = self.data(true)?;
        let access = data.join("access.json");
        if let Some(text) = text {
            fs::write(&access, text)?;
        }
        fs::set_permissions(&access, fs::Permissions::from_mode(mode))?;
        Ok(data)
    }

    /// A file with this text and mode.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn file(&self, text: &str, mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.fresh("file");
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    /// A copy of a file with this mode.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn copy(&self, of: &Path, mode: u32) -> anyhow::Result<PathBuf> {
        self.file(&fs::read_to_string(of)?, mode)
    }
}

/// An address that is taken: bound by this process and not listened on, so that nobody reaches it, and nobody else can listen there.
pub struct Held {
    pub address: SocketAddr,
    _socket: Option<TcpSocket>,
}

impl Held {
    /// A free port of an address of this machine. Where that is none of its addresses, nobody could listen there anyway.
    pub fn on(host: IpAddr) -> Held {
        let bound = || -> std::io::Result<(SocketAddr, TcpSocket)> {
            let socket = if host.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind((host, 0).into())?;
            Ok((socket.local_addr()?, socket))
        };
        match bound() {
            Ok((address, socket)) => Held { address, _socket: Some(socket) },
            Err(_) => Held { address: (host, free_port()).into(), _socket: None },
        }
    }
}

/// Two addresses of loopback that nobody listens on.
pub fn free() -> [SocketAddr; 2] {
    free_addresses()
}

/// Another address of loopback, with a free port.
pub fn loopback(last: u8) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, last), free_port()).into()
}
