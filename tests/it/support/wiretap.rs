//! Listens on the way from the historian to a device: which functions of Modbus, which services of OPC UA it asks for. Bytes go through as they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What is spoken on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    ModbusTcp,
    /// Binary, without encryption.
    OpcUa,
}

/// How often each function or service was asked for, by its number.
pub type Asked = BTreeMap<u32, u64>;

/// A proxy that listens; it ends when dropped.
pub struct Wiretap {
    pub port: String,
    asked: Arc<Mutex<Asked>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Wiretap {
    /// In front of a device on loopback.
    pub async fn start(protocol: Protocol, device_port: &str) -> Wiretap {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let (asked, device) = (Arc::new(Mutex::new(Asked::new())), format!("127.0.0.1:{device_port}"));
        let heard = asked.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(device) = TcpStream::connect(&device).await else { continue };
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_device, mut to_device) = device.into_split();
                let heard = heard.clone();
                tokio::spawn(async move {
                    let (mut bytes, mut kept) = (vec![0; 65_536], Vec::new());
                    while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
                        kept.extend_from_slice(&bytes[..length]);
                        listen(protocol, &mut kept, &mut heard.lock().unwrap());
                        if to_device.write_all(&bytes[..length]).await.is_err() {
                            break;
                        }
                    }
                    let _ = to_device.shutdown().await;
                });
                tokio::spawn(async move {
                    let _ = tokio::io::copy(&mut from_device, &mut to_client).await;
                    let _ = to_client.shutdown().await;
                });
            }
        });
        Wiretap { port, asked, accepting }
    }

    pub fn asked(&self) -> Asked {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What a frame that cannot be read is counted as: it is none of those that are allowed.
const UNREADABLE: u32 = u32::MAX;

/// Takes whole frames off what was heard.
fn listen(protocol: Protocol, heard: &mut Vec<u8>, asked: &mut Asked) {
    loop {
        let (length, number) = match protocol {
            // MBAP: transaction, protocol, length of what follows, unit; then the function.
            Protocol::ModbusTcp => {
                let Some(head) = heard.get(..8) else { return };
                (6 + usize::from(u16::from_be_bytes([head[4], head[5]])), Some(u32::from(head[7])))
            }
            Protocol::OpcUa => {
                let Some(head) = heard.get(..8) else { return };
                (u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize, None)
            }
        };
        if length < 8 {
            asked.insert(UNREADABLE, 1);
            return;
        }
        let Some(frame) = heard.get(..length) else { return };
        if let Some(number) = number.or_else(|| service(frame)) {
            *asked.entry(number).or_default() += 1;
        }
        heard.drain(..length);
    }
}

/// The service that a chunk asks for; `None` for those that ask for none: HEL, OPN, and further chunks of a request.
fn service(frame: &[u8]) -> Option<u32> {
    if &frame[..3] != b"MSG" {
        return None;
    }
    // Channel, token, sequence number, request; then the node that names the type: four bytes with a namespace, or two.
    match frame.get(24..28) {
        Some([1, 0, low, high]) => Some(u32::from(u16::from_le_bytes([*low, *high]))),
        Some([0, number, ..]) => Some(u32::from(*number)),
        _ => Some(UNREADABLE),
    }
}

#[test]
fn what_is_asked_for_is_heard_in_whatever_pieces_it_comes() {
    let mut asked = Asked::new();
    let write = [0, 1, 0, 0, 0, 6, 1, 6, 0, 0, 0, 7];
    let read = [0, 2, 0, 0, 0, 6, 1, 3, 0, 0, 0, 7];
    let mut heard = Vec::new();
    for byte in write.into_iter().chain(read) {
        heard.push(byte);
        listen(Protocol::ModbusTcp, &mut heard, &mut asked);
    }
    assert_eq!(asked, Asked::from([(6, 1), (3, 1)]));
    let mut message = b"MSGF\x20\0\0\0".to_vec();
    message.extend([0; 16]);
    message.extend([1, 0, 0xA1, 0x02, 0, 0, 0, 0]); // WriteRequest: 673
    let mut asked = Asked::new();
    listen(Protocol::OpcUa, &mut message, &mut asked);
    assert_eq!(asked, Asked::from([(673, 1)]));
}
