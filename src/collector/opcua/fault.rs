//! Why a connection was not made or ended, in words for an operator, and what is left of it.

use std::{future::Future, time::Duration};

use opcua::types::StatusCode;

use historian_collector::guard::Panicked;

/// Why a connection was not made or ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConnectionFault {
    pub message: String,
    /// The same for whoever may read a tag, where the message may say where in the network or in which file something is.
    pub told: Option<String>,
    /// The server did not answer in time.
    pub timeout: bool,
    /// That of a service or of the channel; Good where there is none.
    pub status: StatusCode,
    pub end: End,
}

/// What is left after a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum End {
    /// Nothing that could be gone on with.
    #[default]
    Unknown,
    /// The channel ended with this status; the session may still be in the server.
    Lost(StatusCode),
    /// Nothing comes any more; the session may still be in the server.
    Silence,
    /// The session is sound, its subscriptions are not.
    Subscriptions,
    /// The server has forgotten the session.
    Session,
    /// The server says that it is not to be used now.
    Standby,
    /// The member of this number in the set of redundant servers is better.
    Better(usize),
}

impl ConnectionFault {
    pub fn new(message: impl Into<String>) -> ConnectionFault {
        ConnectionFault { message: message.into(), told: None, timeout: false, status: StatusCode::Good, end: End::Unknown }
    }

    pub fn timeout(what: &str, after: Duration) -> ConnectionFault {
        ConnectionFault { timeout: true, ..ConnectionFault::new(format!("{what}: no answer within {} ms", after.as_millis())) }
    }

    /// A status that a service or the channel ended with.
    pub fn status(what: &str, status: StatusCode, detail: &str) -> ConnectionFault {
        let detail = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
        let timeout = status == StatusCode::BadTimeout;
        let mut fault = ConnectionFault { timeout, status, ..ConnectionFault::new(format!("{what}: {status}{detail}")) };
        fault.message.push_str(hint(&fault));
        fault
    }

    /// What the library says of it is not for whoever may read a tag: it has its own words, and those of our files.
    pub fn library(what: &str, error: &opcua::types::Error) -> ConnectionFault {
        let told = ConnectionFault::status(what, error.status(), "").message;
        ConnectionFault { told: Some(told), ..ConnectionFault::status(what, error.status(), &error.to_string()) }
    }

    /// One whose cause names files or machines; `told` is what remains of it for whoever may read a tag.
    pub fn of_place(why: String, told: &str) -> ConnectionFault {
        ConnectionFault { told: Some(told.to_owned()), ..ConnectionFault::new(why) }
    }

    /// What goes on record with the gaps of tags: neither endpoint nor file.
    pub fn for_tags(&self) -> &str {
        self.told.as_deref().unwrap_or(&self.message)
    }

    /// Adds words that name no place.
    pub fn add(&mut self, words: &str) {
        self.message.push_str(words);
        if let Some(told) = &mut self.told {
            told.push_str(words);
        }
    }

    /// Adds words that may name files.
    pub fn add_place(&mut self, words: &str) {
        self.told.get_or_insert_with(|| self.message.clone());
        self.message.push_str(words);
    }

    /// The server does not let this user in.
    pub fn refuses_user(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BadUserAccessDenied
                | StatusCode::BadIdentityTokenRejected
                | StatusCode::BadIdentityTokenInvalid
                | StatusCode::BadUserSignatureInvalid
        )
    }

    /// The server does not trust a certificate that it was shown.
    pub fn distrusts(&self) -> bool {
        matches!(
            self.status,
            StatusCode::BadCertificateUntrusted
                | StatusCode::BadSecurityChecksFailed
                | StatusCode::BadCertificateInvalid
                | StatusCode::BadCertificateUriInvalid
        )
    }

    /// The same in the words of a set: which server it was, and which may take its place.
    pub fn of_server(self, endpoint: &str, instead: Option<&str>) -> ConnectionFault {
        let next = instead.map(|endpoint| format!("; fails over to {endpoint}")).unwrap_or_default();
        let told = Some(self.for_tags().to_owned());
        ConnectionFault { message: format!("{endpoint}: {}{next}", self.message), told, ..self }
    }
}

impl From<Panicked> for ConnectionFault {
    fn from(panicked: Panicked) -> ConnectionFault {
        ConnectionFault::new(panicked.to_string())
    }
}

/// What an operator does about a status.
fn hint(fault: &ConnectionFault) -> &'static str {
    match fault.status {
        // What to look at depends on as whom the historian logs on.
        _ if fault.refuses_user() => "; the server refuses the user",
        _ if fault.distrusts() => {
            "; the server may not trust our certificate: let it trust own/cert.der of pki_dir, and look at the server's log"
        }
        StatusCode::BadTooManySessions => "; the server has no session left: close other clients, or wait until theirs expire",
        StatusCode::BadCommunicationError | StatusCode::BadConnectionClosed => {
            "; is the server running, and does it listen at this endpoint?"
        }
        _ => "",
    }
}

/// Bounds a step.
///
/// # Errors
/// A [`ConnectionFault`] when it has not ended in time.
pub async fn within<T>(limit: Duration, what: &str, step: impl Future<Output = T>) -> Result<T, ConnectionFault> {
    tokio::time::timeout(limit, step).await.map_err(|_| ConnectionFault::timeout(what, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_record_with_a_gap_names_neither_endpoint_nor_file() {
        let mut fault = ConnectionFault::library(
            "taking up the session",
            &opcua::types::Error::new(StatusCode::BadConfigurationError, "token_file /run/plant/token: it is not there"),
        );
        fault.add(": look at it");
        fault.add_place("; token_file /run/plant/token: the token expired");
        let fault = fault.of_server("opc.tcp://10.1.2.3:4840", Some("opc.tcp://10.1.2.4:4840"));
        assert!(
            fault.message.starts_with("opc.tcp://10.1.2.3:4840: ") && fault.message.ends_with("; fails over to opc.tcp://10.1.2.4:4840")
        );
        assert_eq!(fault.message.matches("/run/plant/token").count(), 2);
        assert_eq!(fault.for_tags(), "taking up the session: BadConfigurationError: look at it");
        let mut plain = ConnectionFault::new("no answer");
        assert_eq!(plain.for_tags(), "no answer");
        plain.add_place("; /run/plant");
        assert_eq!((plain.for_tags(), plain.message.as_str()), ("no answer", "no answer; /run/plant"));
    }
}
