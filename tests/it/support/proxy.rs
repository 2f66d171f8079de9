//! A raw TCP proxy between client and server, whose link a test cuts, holds and mends.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// State of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Up,
    /// Connections end, and new ones end at once.
    Cut,
    /// Connections stand, and nothing comes through them, now or later.
    Held,
}

/// A running proxy; it ends when dropped.
pub struct Proxy {
    pub port: String,
    link: watch::Sender<Link>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of a server on loopback.
    pub async fn start(server_port: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let server = format!("127.0.0.1:{server_port}");
        let (link, state) = watch::channel(Link::Up);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() != Link::Cut {
                    tokio::spawn(carry(client, server.clone(), state.clone()));
                }
            }
        });
        Proxy { port, link, accepting }
    }

    pub fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.link.send_replace(Link::Cut);
    }
}

/// Carries bytes both ways until the link is cut, or one side ends. A connection that was held stays mute for ever.
async fn carry(mut client: TcpStream, server: String, mut state: watch::Receiver<Link>) {
    let link = *state.borrow_and_update();
    if link == Link::Held {
        let _ = state.wait_for(|link| *link == Link::Cut).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut from_server) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            _ = state.changed() => {
                let link = *state.borrow_and_update();
                if link == Link::Held {
                    let _ = state.wait_for(|link| *link == Link::Cut).await;
                }
                if link != Link::Up {
                    return;
                }
            },
            read = client.read(&mut from_client) => match read {
                Ok(length) if length > 0 => if server.write_all(&from_client[..length]).await.is_err() { return },
                _ => return,
            },
            read = server.read(&mut from_server) => match read {
                Ok(length) if length > 0 => if client.write_all(&from_server[..length]).await.is_err() { return },
                _ => return,
            },
        }
    }
}
