//! Who calls: what the headers of a call say, and the client that its share is counted by.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tonic::{Extensions, Request, metadata::MetadataMap, transport::server::TcpConnectInfo};

use super::connection::network;

/// The client of calls that come over no connection.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    pub headers: MetadataMap,
    /// The peer's address; of IPv6 its network.
    pub client: IpAddr,
}

impl Caller {
    /// Who sent a request, and what is asked.
    pub fn take<T>(request: Request<T>) -> (Caller, T) {
        let client = client_of(request.extensions());
        let (headers, _, asked) = request.into_parts();
        (Caller { headers, client }, asked)
    }

    /// Who sent a request.
    pub fn of<T>(request: &Request<T>) -> Caller {
        Caller { headers: request.metadata().clone(), client: client_of(request.extensions()) }
    }

    /// The same client, in a call without headers.
    #[must_use]
    pub fn without_headers(&self) -> Caller {
        Caller { headers: MetadataMap::new(), client: self.client }
    }
}

/// The client of a request with these extensions.
pub fn client_of(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    peer.map_or(NOBODY, |peer: SocketAddr| network(peer.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_over_no_connection_are_of_nobody() {
        let (caller, asked) = Caller::take(Request::new(7));
        assert_eq!((caller.client, asked), (NOBODY, 7));
        assert_eq!(Caller::of(&Request::new(())).without_headers().client, NOBODY);
    }
}
