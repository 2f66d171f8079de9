//! Who calls: the principal, what the headers of a call say, the client that its share is counted by, and whose certificate it has shown.

use std::{net::IpAddr, sync::Arc};

use historian_tls::ClientIdentity;
use tonic::{Extensions, Request, metadata::MetadataMap};

use super::{
    call::CallRecord,
    connection::{NO_ADDRESS, Peer, network},
};
use historian_access::Principal;
use historian_model::sink::Actor;
use historian_query::ClientKey;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Nobody where no layer has found out who it is.
    pub principal: Principal,
    pub headers: MetadataMap,
    /// By what its share of places, memory and turns is counted: its name where it is known, else the address; of IPv6 the network.
    pub client: ClientKey,
    /// The peer's address; `None` for a call that comes over no connection.
    pub address: Option<IpAddr>,
    /// Of the certificate that was shown when the connection was made. Where no token was sent, the principal is its.
    pub identity: Option<Arc<ClientIdentity>>,
    /// What becomes known of the call is added here.
    pub call: Arc<CallRecord>,
}

impl Caller {
    /// Who sent a request, and what is asked.
    pub fn take<T>(request: Request<T>) -> (Caller, T) {
        let (headers, extensions, asked) = request.into_parts();
        (Caller::with(headers, &extensions), asked)
    }

    /// Who sent a request.
    pub fn of<T>(request: &Request<T>) -> Caller {
        Caller::with(request.metadata().clone(), request.extensions())
    }

    fn with(headers: MetadataMap, extensions: &Extensions) -> Caller {
        Caller {
            principal: principal_of(extensions),
            headers,
            client: client_of(extensions),
            address: address_of(extensions),
            identity: identity_of(extensions),
            call: extensions.get::<Arc<CallRecord>>().cloned().unwrap_or_default(),
        }
    }

    /// As the audit log names it.
    pub fn actor(&self) -> Actor {
        actor(&self.principal, self.address)
    }

    /// The same one, in a call without headers.
    #[must_use]
    pub fn without_headers(&self) -> Caller {
        Caller { headers: MetadataMap::new(), ..self.clone() }
    }
}

/// Somebody at an address, as the audit log names them.
pub fn actor(principal: &Principal, address: Option<IpAddr>) -> Actor {
    Actor { principal: principal.name().to_owned(), client: address.map_or_else(String::new, |address| address.to_string()) }
}

fn principal_of(extensions: &Extensions) -> Principal {
    extensions.get::<Principal>().cloned().unwrap_or_else(Principal::nobody)
}

/// By what the share of a request with these extensions is counted.
pub fn client_of(extensions: &Extensions) -> ClientKey {
    client_of_principal(&principal_of(extensions), extensions)
}

/// [`client_of`] a request of a principal that is not among the extensions yet.
pub fn client_of_principal(principal: &Principal, extensions: &Extensions) -> ClientKey {
    if principal.is_named() { ClientKey::of(principal.name()) } else { of_address(address_of(extensions)) }
}

fn of_address(address: Option<IpAddr>) -> ClientKey {
    ClientKey::of(address.map(network))
}

/// The address that a request with these extensions comes from.
pub fn address_of(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.address.ip().to_canonical()).filter(|address| *address != NO_ADDRESS)
}

fn identity_of(extensions: &Extensions) -> Option<Arc<ClientIdentity>> {
    extensions.get::<Peer>()?.identity.clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_access::Right;

    #[test]
    fn calls_over_no_connection_are_of_nobody() {
        let (caller, asked) = Caller::take(Request::new(7));
        assert_eq!((caller.client, caller.identity.clone(), asked), (of_address(None), None, 7));
        assert!(Right::ALL.into_iter().all(|right| !caller.principal.may(right)), "nobody may anything");
        assert_eq!(Caller::of(&Request::new(())).without_headers().client, of_address(None));
    }

    #[test]
    fn a_call_is_of_the_address_and_of_the_certificate_of_its_connection() {
        let identity = ClientIdentity { name: "erp".to_owned(), subject: "CN=erp".to_owned(), fingerprint: String::new() };
        let mut request = Request::new(());
        request.extensions_mut().insert(Peer {
            address: ([192, 0, 2, 1], 5).into(),
            identity: Some(Arc::new(identity)),
            user: None,
            zone: None,
        });
        let caller = Caller::of(&request).without_headers();
        assert_eq!((&*caller.actor().client, &*caller.actor().principal), ("192.0.2.1", "nobody"));
        let address = Some([192, 0, 2, 1].into());
        assert_eq!((caller.client, caller.identity.map(|identity| identity.name.clone())), (of_address(address), Some("erp".to_owned())));
        // Who is known has one share, from wherever it calls.
        let of = |last: u8, principal: Principal| {
            let mut extensions = Extensions::new();
            extensions.insert(Peer { address: ([192, 0, 2, last], 5).into(), identity: None, user: None, zone: None });
            extensions.insert(principal);
            client_of(&extensions)
        };
        assert_eq!(of(1, Principal::local(7)), of(2, Principal::local(7)));
        assert_ne!(of(1, Principal::local(7)), of(1, Principal::local(8)));
        assert_ne!(of(1, Principal::anonymous()), of(2, Principal::anonymous()));
        assert_eq!(of(1, Principal::nobody()), of_address(address));
    }
}
