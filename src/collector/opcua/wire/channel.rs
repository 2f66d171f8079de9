//! Opening and renewing the secure channel, without a look at the server's clock.
//!
//! The client library renews a channel when three quarters of the time since `CreatedAt` of its token, by the *server's* clock, have
//! passed on *ours*. With a server ahead it renews too late or never, with one behind before every request. Here the time is measured from
//! our request by the monotonic clock, and the library is given a token that it takes for young.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use opcua::{
    client::transport::SecureChannelState,
    core::comms::{message_chunk::MessageChunk, secure_channel::SecureChannel, security_header::SecurityHeader},
    crypto::{KeySize, PrivateKey, SecurityPolicy, X509},
    types::{
        ByteString, Error, MessageSecurityMode, NodeId, OpenSecureChannelRequest, OpenSecureChannelResponse, RequestHeader,
        SecurityTokenRequestType, StatusCode,
    },
};

use super::{certificate, frame::HEADER_BYTES};
use crate::convert::protocol_time;
use historian_model::{Clock, Timestamp};

/// Lifetime that the library believes in. It drops keys of tokens that are older by a quarter, so not for ever; it computes three times
/// the lifetime in 32 bits, so no more.
const BELIEVED_MS: u32 = u32::MAX / 3;
/// However short a lifetime a server grants, renewals are no flood.
const RENEWAL_MIN: Duration = Duration::from_millis(500);

/// Takes over what the server answered: the token and, with security, its keys. Returns when to renew, from the request on.
///
/// # Errors
/// When the answer is not for this channel, or its nonce is wrong.
pub fn adopt(state: &SecureChannelState, answer: &OpenSecureChannelResponse, now: Timestamp) -> Result<Option<Duration>, Error> {
    let mut token = answer.security_token.clone();
    let lifetime = Duration::from_millis(token.revised_lifetime.into());
    token.created_at = protocol_time(now);
    token.revised_lifetime = BELIEVED_MS;
    let mut channel = state.secure_channel().write();
    let before = channel.secure_channel_id();
    if before != 0 && before != token.channel_id {
        let why = format!("the server renewed channel {before} as {}", token.channel_id);
        return Err(Error::new(StatusCode::BadSecureChannelIdInvalid, why));
    }
    channel.set_security_token(token);
    if channel.security_policy() != SecurityPolicy::None && channel.security_mode() != MessageSecurityMode::None {
        channel.validate_secure_channel_nonce_length(&answer.server_nonce)?;
        channel.set_remote_nonce_from_byte_string(&answer.server_nonce)?;
        channel.derive_keys();
    }
    Ok((!lifetime.is_zero()).then(|| (lifetime / 4 * 3).max(RENEWAL_MIN)))
}

/// The request to renew the channel.
pub fn renewal(state: &SecureChannelState, clock: &Arc<dyn Clock>, lifetime_ms: u32, handle: u32) -> OpenSecureChannelRequest {
    let mut channel = state.secure_channel().write();
    let client_nonce = channel.security_policy().random_nonce();
    channel.set_local_nonce(client_nonce.as_ref());
    OpenSecureChannelRequest {
        request_header: RequestHeader::new(&NodeId::null(), &protocol_time(clock.now()), handle),
        client_protocol_version: 0,
        request_type: SecurityTokenRequestType::Renew,
        security_mode: channel.security_mode(),
        client_nonce,
        requested_lifetime: lifetime_ms,
    }
}

/// Removes security from a chunk. Only an answer of a server that sends a chain of certificates is not left to the library.
///
/// # Errors
/// When it is not from the server, or not for us.
pub fn unseal(channel: &SecureChannel, key: Option<&PrivateKey>, frame: Bytes) -> Result<MessageChunk, Error> {
    if !frame.starts_with(b"OPN") {
        return channel.verify_and_remove_security(frame);
    }
    let header =
        SecurityHeader::decode_from_stream(&mut frame.get(HEADER_BYTES + 4..).unwrap_or_default(), true, &channel.decoding_options())?;
    let SecurityHeader::Asymmetric(header) = header else { return channel.verify_and_remove_security(frame) };
    let chain = header.sender_certificate.as_ref();
    let leaf = certificate::leaf(chain);
    if leaf.len() == chain.len() || channel.security_policy() == SecurityPolicy::None {
        return channel.verify_and_remove_security(frame);
    }
    let refuse = |why: &'static str| Error::new(StatusCode::BadSecurityChecksFailed, why);
    let policy = SecurityPolicy::from_uri(header.security_policy_uri.as_ref());
    if policy != channel.security_policy() {
        return Err(refuse("the server opens the channel with another security policy"));
    }
    let (Some(own), Some(key)) = (channel.cert(), key) else { return Err(refuse("there is no own certificate")) };
    if own.thumbprint().value() != header.receiver_certificate_thumbprint.as_ref() {
        return Err(refuse("the server's answer is encrypted for another certificate"));
    }
    if channel.remote_cert_as_byte_string().as_ref() != leaf {
        return Err(refuse("the server opens the channel with another certificate than it showed"));
    }
    let sender = X509::from_byte_string(&ByteString::from(leaf))?.public_key()?;
    let begin = HEADER_BYTES
        + 4
        + 12
        + header.security_policy_uri.as_ref().len()
        + chain.len()
        + header.receiver_certificate_thumbprint.as_ref().len();
    let sealed = frame.get(begin..).filter(|sealed| !sealed.is_empty() && sealed.len().is_multiple_of(key.size()));
    let sealed = sealed.ok_or_else(|| refuse("the server's answer is no whole number of encrypted blocks"))?;
    let mut plain = vec![0; sealed.len()];
    let size = policy.asymmetric_decrypt(key, sealed, &mut plain)?;
    let mut chunk = frame[..begin].to_vec();
    chunk.extend_from_slice(plain.get(..size).unwrap_or_default());
    let signed = chunk.len().checked_sub(sender.size()).filter(|signed| *signed > begin);
    let signed = signed.ok_or_else(|| refuse("the server's answer has no signature"))?;
    policy.asymmetric_verify_signature(&sender, &chunk[..signed], &chunk[signed..])?;
    // Behind the content stand so many bytes of padding, the number itself (with its high byte last where keys are long), the signature.
    let long = usize::from(key.size() > 256);
    let number = |back: usize| usize::from(chunk[signed - back]);
    let padding = if long == 1 { (number(1) << 8) | number(2) } else { number(1) };
    let end = signed.checked_sub(padding + 1 + long).filter(|end| *end > begin);
    chunk.truncate(end.ok_or_else(|| refuse("the server's answer is padded beyond its content"))?);
    let size = u32::try_from(chunk.len()).unwrap_or(u32::MAX);
    chunk[4..HEADER_BYTES].copy_from_slice(&size.to_le_bytes());
    Ok(MessageChunk { data: chunk.into() })
}
