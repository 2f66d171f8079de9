//! The port of a device: it can be closed and opened again, and its connections can be cut.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How often an address is tried that is to be listened on again.
const RETRY: Duration = Duration::from_millis(50);

/// A port of loopback.
pub struct FieldPort {
    pub address: SocketAddr,
    refuses: AtomicBool,
    /// Cancelled when the state of the device changes; connections of before end then.
    changed: Mutex<CancellationToken>,
    connections: AtomicU64,
}

impl FieldPort {
    /// A free port, and what listens on it.
    ///
    /// # Errors
    /// There is none.
    pub async fn open() -> io::Result<(TcpListener, Arc<FieldPort>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let port = FieldPort { address, refuses: AtomicBool::new(false), changed: Mutex::default(), connections: AtomicU64::new(0) };
        Ok((listener, Arc::new(port)))
    }

    /// Cuts what there is of connections. From then on nobody listens, or somebody does.
    pub fn change(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
        std::mem::take(&mut *self.changed.lock()).cancel();
    }

    /// Connections taken so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Takes connections until it is told to stop; `talk` has each of them until it ends or is cut.
    pub async fn serve<Talk>(self: Arc<Self>, listener: TcpListener, stop: CancellationToken, talk: impl Fn(TcpStream) -> Talk + Send)
    where
        Talk: Future<Output = io::Result<()>> + Send + 'static,
    {
        let mut listener = Some(listener);
        let mut open = JoinSet::new();
        while !stop.is_cancelled() {
            let changed = self.changed.lock().clone();
            if self.refuses.load(Ordering::SeqCst) {
                listener = None;
            } else if listener.is_none() {
                // It is the same address again; where another program took it meanwhile, that is seen by the device staying away.
                listener = TcpListener::bind(self.address).await.ok();
            }
            let accepted = async {
                match &listener {
                    Some(listener) => listener.accept().await.map(|(stream, _)| stream),
                    None => std::future::pending().await,
                }
            };
            let retry = async {
                if listener.is_none() && !self.refuses.load(Ordering::SeqCst) {
                    tokio::time::sleep(RETRY).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = changed.cancelled() => {}
                () = retry => {}
                Ok(stream) = accepted => {
                    self.connections.fetch_add(1, Ordering::Relaxed);
                    let (talking, stop) = (talk(stream), stop.clone());
                    open.spawn(async move {
                        tokio::select! {
                            _ended = talking => {}
                            () = changed.cancelled() => {}
                            () = stop.cancelled() => {}
                        }
                    });
                }
            }
            while open.try_join_next().is_some() {}
        }
    }
}
