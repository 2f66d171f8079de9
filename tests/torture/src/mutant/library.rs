//! A gRPC server that is the HTTP/2 library and nothing else: no gate before it, and nothing that looks at its frames.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use tonic::transport::{Server, server::TcpIncoming};

/// Serves health alone, until it is dropped.
pub struct LibraryAlone {
    pub address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl LibraryAlone {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// There is none.
    pub fn start() -> io::Result<LibraryAlone> {
        let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = incoming.local_addr()?;
        let (_, health) = tonic_health::server::health_reporter();
        let serving = tokio::spawn(async move {
            // Ends with the task; what ends it earlier is seen by whoever attacks it.
            let _ = Server::builder().add_service(health).serve_with_incoming(incoming).await;
        });
        Ok(LibraryAlone { address, serving })
    }
}

impl Drop for LibraryAlone {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
