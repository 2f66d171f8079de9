//! Who calls: the principal, what the headers of a call say, and the client that its share is counted by.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tonic::{Extensions, Request, metadata::MetadataMap, transport::server::TcpConnectInfo};

use super::connection::network;
use historian_access::Principal;

/// The client of calls that come over no connection.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Nobody where no layer has found out who it is.
    pub principal: Principal,
    pub headers: MetadataMap,
    /// The peer's address; of IPv6 its network.
    pub client: IpAddr,
}

impl Caller {
    /// Who sent a request, and what is asked.
    pub fn take<T>(request: Request<T>) -> (Caller, T) {
        let (principal, client) = (principal_of(request.extensions()), client_of(request.extensions()));
        let (headers, _, asked) = request.into_parts();
        (Caller { principal, headers, client }, asked)
    }

    /// Who sent a request.
    pub fn of<T>(request: &Request<T>) -> Caller {
        let (principal, client) = (principal_of(request.extensions()), client_of(request.extensions()));
        Caller { principal, headers: request.metadata().clone(), client }
    }

    /// The same one, in a call without headers.
    #[must_use]
    pub fn without_headers(&self) -> Caller {
        Caller { principal: self.principal.clone(), headers: MetadataMap::new(), client: self.client }
    }
}

fn principal_of(extensions: &Extensions) -> Principal {
    extensions.get::<Principal>().cloned().unwrap_or_else(Principal::nobody)
}

/// The client of a request with these extensions.
pub fn client_of(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<TcpConnectInfo>().and_then(TcpConnectInfo::remote_addr);
    peer.map_or(NOBODY, |peer: SocketAddr| network(peer.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_access::Right;

    #[test]
    fn calls_over_no_connection_are_of_nobody() {
        let (caller, asked) = Caller::take(Request::new(7));
        assert_eq!((caller.client, asked), (NOBODY, 7));
        assert!(Right::ALL.into_iter().all(|right| !caller.principal.may(right)), "nobody may anything");
        assert_eq!(Caller::of(&Request::new(())).without_headers().client, NOBODY);
    }
}
