//! The client libraries, one per version of MQTT, as one: a link that subscribes, gives events, and can publish announcements and nothing else.

use std::time::Duration;

use bytes::Bytes;

use super::{announce::Announcement, connect::BrokerAddress, resumed::ResumedSession};

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MqttVersion {
    V311,
    #[default]
    V5,
}

/// A user, and a password where there is one.
pub type BrokerUser = (String, Option<Vec<u8>>);

/// What a link is made with.
pub struct LinkOptions {
    pub version: MqttVersion,
    pub address: BrokerAddress,
    pub client_id: String,
    /// User and password.
    pub user: Option<BrokerUser>,
    pub keep_alive: Duration,
    pub timeout: Duration,
    /// How long the broker keeps subscriptions and messages while we are away; none from 0 on.
    pub session_expiry: Duration,
    pub will: Option<Announcement>,
}

/// What comes.
pub enum LinkEvent {
    Connected {
        session_present: bool,
    },
    /// `receipt` is what the broker waits for, where it does: until it is acknowledged the broker keeps the message for us.
    Message {
        topic: Bytes,
        payload: Bytes,
        retained: bool,
        receipt: Option<LinkReceipt>,
    },
    /// Answer to one subscription, per filter why it was refused.
    Subscribed(Vec<Result<(), String>>),
    /// Nothing that concerns us.
    Other,
}

/// Acknowledges one message.
#[derive(PartialEq, Eq)]
pub enum LinkReceipt {
    V311(rumqttc_v4::ManualAck),
    V5(rumqttc_v5::ManualAck),
}

/// A client of either version, and what drives it.
pub enum BrokerLink {
    V311(Box<v311::MqttLink>),
    V5(Box<v5::MqttLink>),
}

/// Largest packet that is read at all; a larger one ends the connection.
pub const PACKET_BYTES_MAX: u32 = 64 << 20;
/// Requests that wait to be sent: subscriptions, announcements, acknowledgements.
const REQUESTS_MAX: usize = 4_096;
/// Messages of quality of service 1 that a broker sends ahead of our acknowledgements.
const UNACKNOWLEDGED_MAX: u16 = 2_000;

impl BrokerLink {
    /// Prepares a link; the first call of [`BrokerLink::next`] connects.
    ///
    /// # Errors
    /// Why the options are refused.
    pub fn new(options: LinkOptions) -> Result<BrokerLink, String> {
        match options.version {
            MqttVersion::V311 => v311::MqttLink::new(options).map(|link| BrokerLink::V311(Box::new(link))),
            MqttVersion::V5 => v5::MqttLink::new(options).map(|link| BrokerLink::V5(Box::new(link))),
        }
    }

    /// The next event. Its future is to be awaited to the end, or the link given up.
    ///
    /// # Errors
    /// Why the link ended, or was not made.
    pub async fn next(&mut self) -> Result<LinkEvent, String> {
        match self {
            BrokerLink::V311(link) => link.next().await,
            BrokerLink::V5(link) => link.next().await,
        }
    }

    /// Speaks for the link while its next event is awaited.
    pub fn voice(&self) -> LinkVoice {
        match self {
            BrokerLink::V311(link) => LinkVoice::V311(link.client.clone()),
            BrokerLink::V5(link) => LinkVoice::V5(link.client.clone()),
        }
    }
}

/// What may be asked of a broker. What is asked is sent as the link goes on.
#[derive(Clone)]
pub enum LinkVoice {
    V311(rumqttc_v4::AsyncClient),
    V5(rumqttc_v5::AsyncClient),
}

impl LinkVoice {
    /// Subscribes to filters at once.
    ///
    /// # Errors
    /// When too much waits to be sent.
    pub fn subscribe(&self, filters: &[String], at_least_once: bool) -> Result<(), String> {
        match self {
            LinkVoice::V311(client) => v311::subscribe(client, filters, at_least_once),
            LinkVoice::V5(client) => v5::subscribe(client, filters, at_least_once),
        }
    }

    /// The one way out: see [`super::announce`].
    ///
    /// # Errors
    /// When too much waits to be sent.
    pub fn announce(&self, announcement: &Announcement) -> Result<(), String> {
        let message = announcement.message();
        match self {
            LinkVoice::V311(client) => v311::announce(client, message),
            LinkVoice::V5(client) => v5::announce(client, message),
        }
    }

    /// Acknowledges a message; false where too much waits to be sent.
    pub fn acknowledge(&self, receipt: &LinkReceipt) -> bool {
        match (self, receipt) {
            (LinkVoice::V311(client), LinkReceipt::V311(receipt)) => client.try_manual_ack(receipt.clone()).is_ok(),
            (LinkVoice::V5(client), LinkReceipt::V5(receipt)) => client.try_manual_ack(receipt.clone()).is_ok(),
            // A receipt of another link.
            _ => true,
        }
    }

    /// Says goodbye, after what was asked before.
    ///
    /// # Errors
    /// When too much waits to be sent.
    pub fn disconnect(&self) -> Result<(), String> {
        match self {
            LinkVoice::V311(client) => client.try_disconnect().map_err(|error| error.to_string()),
            LinkVoice::V5(client) => client.try_disconnect().map_err(|error| error.to_string()),
        }
    }
}

/// What both libraries have alike; `$own` sets what they have not, `$will` makes a will, `$variant` is the receipt of this version.
macro_rules! version {
    ($module:ident, $library:ident, $own:ident, $will:ident, $variant:ident) => {
        mod $module {
            use crate::announce::AnnouncedMessage;
            use $library::{
                AckMode, AsyncClient, Event, EventLoop, MqttOptions, Packet, PublishOptions, QoS, SubscribeFilter, SubscribeReasonCode,
            };

            use crate::client::{LinkEvent, LinkOptions, LinkReceipt, MqttVersion, REQUESTS_MAX};
            use crate::connect;

            pub struct MqttLink {
                pub(super) client: AsyncClient,
                events: EventLoop,
                version: MqttVersion,
            }

            impl MqttLink {
                pub(super) fn new(link: LinkOptions) -> Result<MqttLink, String> {
                    let mut options = MqttOptions::new(link.client_id.clone(), (link.address.host.clone(), link.address.port));
                    options.set_keep_alive(u16::try_from(link.keep_alive.as_secs()).unwrap_or(u16::MAX));
                    match &link.user {
                        Some((user, Some(password))) => {
                            options.set_credentials(user.clone(), password.clone());
                        }
                        Some((user, None)) => {
                            options.set_username(user.clone());
                        }
                        None => {}
                    }
                    if let Some(will) = &link.will {
                        let AnnouncedMessage { topic, payload, retain, at_least_once } = will.message();
                        options.set_last_will(crate::client::$will(topic, payload, quality_of_service(at_least_once), retain));
                    }
                    // Not before a message is stored.
                    options.set_ack_mode(AckMode::Manual);
                    crate::client::$own(&mut options, &link);
                    let (address, timeout, version) = (link.address, link.timeout, link.version);
                    options.set_socket_connector(move |_, _| connect::connect(address.clone(), timeout));
                    let built = AsyncClient::builder(options).capacity(REQUESTS_MAX).try_build();
                    let (client, events) = built.map_err(|error| error.to_string())?;
                    Ok(MqttLink { client, events, version })
                }

                pub(super) async fn next(&mut self) -> Result<LinkEvent, String> {
                    let event = self.events.poll().await.map_err(|error| crate::client::in_words(&error.to_string(), self.version))?;
                    Ok(match event {
                        Event::Incoming(Packet::ConnAck(answer)) => LinkEvent::Connected { session_present: answer.session_present },
                        Event::Incoming(Packet::Publish(message)) => {
                            let receipt = self.client.prepare_ack(&message).map(LinkReceipt::$variant);
                            LinkEvent::Message { topic: message.topic, payload: message.payload, retained: message.retain, receipt }
                        }
                        Event::Incoming(Packet::SubAck(answer)) => {
                            LinkEvent::Subscribed(answer.return_codes.into_iter().map(granted).collect())
                        }
                        _ => LinkEvent::Other,
                    })
                }
            }

            fn granted(code: SubscribeReasonCode) -> Result<(), String> {
                match code {
                    SubscribeReasonCode::Success(_) => Ok(()),
                    refused => Err(format!("the broker refuses the subscription ({refused:?})")),
                }
            }

            fn quality_of_service(at_least_once: bool) -> QoS {
                if at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce }
            }

            pub(super) fn subscribe(client: &AsyncClient, filters: &[String], at_least_once: bool) -> Result<(), String> {
                let qos = quality_of_service(at_least_once);
                let filters: Vec<SubscribeFilter> = filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos)).collect();
                client.try_subscribe_many(filters).map_err(|error| error.to_string())
            }

            pub(super) fn announce(client: &AsyncClient, message: AnnouncedMessage) -> Result<(), String> {
                let AnnouncedMessage { topic, payload, retain, at_least_once } = message;
                let options = PublishOptions::new(quality_of_service(at_least_once)).retain(retain);
                client.try_publish(topic, payload, options).map_err(|error| error.to_string())
            }
        }
    };
}

version!(v311, rumqttc_v4, v311_options, v311_will, V311);
version!(v5, rumqttc_v5, v5_options, v5_will, V5);

fn v311_options(options: &mut rumqttc_v4::MqttOptions, link: &LinkOptions) {
    options.set_clean_session(link.session_expiry.is_zero());
    options.set_max_packet_size(PACKET_BYTES_MAX as usize, PACKET_BYTES_MAX as usize);
}

fn v311_will(topic: String, payload: Vec<u8>, qos: rumqttc_v4::QoS, retain: bool) -> rumqttc_v4::LastWill {
    rumqttc_v4::LastWill::new(topic, payload, qos, retain)
}

fn v5_options(options: &mut rumqttc_v5::MqttOptions, link: &LinkOptions) {
    options.set_clean_start(link.session_expiry.is_zero());
    let session_expiry_s = u32::try_from(link.session_expiry.as_secs()).unwrap_or(u32::MAX);
    options.set_session_expiry_interval(Some(session_expiry_s));
    options.set_session_store(ResumedSession { session_expiry_s });
    options.set_incoming_packet_size_limit(rumqttc_v5::IncomingPacketSizeLimit::Bytes(PACKET_BYTES_MAX));
    options.set_receive_maximum(Some(UNACKNOWLEDGED_MAX));
    options.set_connect_timeout(link.timeout);
}

fn v5_will(topic: String, payload: Vec<u8>, qos: rumqttc_v5::QoS, retain: bool) -> rumqttc_v5::LastWill {
    rumqttc_v5::LastWill::new(topic, payload, qos, retain, None)
}

/// What the libraries say, for an engineer.
fn in_words(error: &str, version: MqttVersion) -> String {
    let error = error.strip_prefix("I/O: ").or_else(|| error.strip_prefix("Mqtt state: ")).unwrap_or(error);
    if let Some(cause) = error.strip_prefix("Mqtt serialization/deserialization error: IO: ")
        && !cause.contains("CertificateRequired")
    {
        return format!("the connection is lost: {cause}");
    }
    // With TLS 1.3 a broker judges its client last.
    if error.contains("CertificateRequired") {
        return "the broker asks for a certificate of its clients; give certificate_file and key_file".to_owned();
    }
    let Some(code) = error.strip_prefix("Connection refused, return code: ") else { return error.to_owned() };
    let code = code.trim_matches('`');
    match code {
        "RefusedProtocolVersion" | "UnsupportedProtocolVersion" if version == MqttVersion::V5 => {
            "the broker does not speak MQTT 5; say `version = \"3.1.1\"`".to_owned()
        }
        "BadUserNamePassword" | "NotAuthorized" => format!("the broker refuses user, password or certificate ({code})"),
        "BadClientId" | "ClientIdentifierNotValid" => format!("the broker refuses the client_id ({code})"),
        code => format!("the broker refuses the connection ({code})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_with_what_to_do() {
        let told = |code: &str| in_words(&format!("Connection refused, return code: `{code}`"), MqttVersion::V5);
        assert!(told("UnsupportedProtocolVersion").contains("3.1.1"));
        assert!(told("NotAuthorized").contains("user, password"));
        assert!(told("ServerBusy").contains("ServerBusy"));
        assert_eq!(in_words("I/O: no connection within 5 ms", MqttVersion::V5), "no connection within 5 ms");
        let reset = "Mqtt state: Mqtt serialization/deserialization error: IO: Connection reset by peer (os error 104)";
        assert_eq!(in_words(reset, MqttVersion::V5), "the connection is lost: Connection reset by peer (os error 104)");
    }
}
