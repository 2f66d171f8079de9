//! A Modbus device that misbehaves on demand. Each register holds its own address (plus 10,000 for each unit above the first), so that a
//! value that ends up at the wrong tag gives itself away; or what a test puts into it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedWriteHalf},
    task::{JoinHandle, JoinSet},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Tcp,
    Rtu,
}

impl Framing {
    pub fn as_str(self) -> &'static str {
        match self {
            Framing::Tcp => "tcp",
            Framing::Rtu => "rtu-over-tcp",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub unit: u8,
    pub function: u8,
    pub start: u16,
    pub count: u16,
    /// Number of the connection, from 1.
    pub connection: u64,
}

impl Request {
    pub fn touches(&self, address: u16) -> bool {
        (self.start..self.start + self.count).contains(&address)
    }
}

#[derive(Clone, Copy, Debug)]
pub enum Answer {
    Good,
    /// The right answer, but so much later; the next request is looked at after it.
    Late(Duration),
    /// The right answer, but so much later, while the next requests are answered; it goes out on whatever connection is the latest then, as
    /// a serial server does it.
    Aside(Duration),
    /// None.
    Lost,
    /// The right answer with a flipped bit in it.
    Damaged,
    /// The right answer, with so many stray bytes before and after it.
    Noisy(u8, u8),
    /// The right answer, said to come from this unit.
    AsUnit(u8),
    /// The right answer, said to answer this transaction.
    AsTransaction(u16),
    /// As many registers as were asked for, of which the first alone is right and the others are 0.
    FirstOnly,
    /// Each register holds how many requests were received so far, this one among them.
    Counted,
    /// A well-formed answer with this many registers.
    Registers(u16),
    Exception(u8),
    /// A well-formed answer with one value too few.
    Short,
    /// Only the first bytes of the answer, then the end of the stream.
    Truncated,
    WrongTransaction,
    WrongUnit,
    WrongFunction,
    Garbage,
    /// The right answer two times.
    Twice,
    Hang,
    Close,
    Reset,
    /// The right answer, then the end of the stream.
    GoodThenClose,
}

type Script = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

pub struct Device {
    pub port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    framing: Framing,
    script: Mutex<Script>,
    connections: AtomicU64,
    functions: Mutex<BTreeSet<u8>>,
    requests: AtomicU64,
    latest: Mutex<Weak<tokio::sync::Mutex<OwnedWriteHalf>>>,
    /// Registers by address, and bits as what is not 0; `None` for a device whose registers hold their addresses.
    contents: Option<Vec<u16>>,
}

impl Device {
    /// A device that is well.
    pub async fn start(framing: Framing) -> Device {
        Device::with(framing, None).await
    }

    /// A device that is well, with these words in the registers of every area, and bits that are set where a word is not 0.
    pub async fn holding(contents: Vec<u16>) -> Device {
        Device::with(Framing::Tcp, Some(contents)).await
    }

    async fn with(framing: Framing, contents: Option<Vec<u16>>) -> Device {
        let shared = Shared {
            framing,
            contents,
            script: Mutex::new(Arc::new(|_| Answer::Good)),
            connections: AtomicU64::new(0),
            functions: Mutex::default(),
            requests: AtomicU64::new(0),
            latest: Mutex::default(),
        };
        let mut device = Device { port: 0, shared: Arc::new(shared), accepting: None };
        device.listen().await;
        device
    }

    /// Listens, again after [`Device::stop`] on the same port.
    pub async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.expect("the port is free");
        self.port = listener.local_addr().expect("bound").port();
        let shared = self.shared.clone();
        self.accepting = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new(); // aborted with this task
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let shared = shared.clone();
                connections.spawn(async move {
                    let _ = shared.serve(stream, number).await;
                });
            }
        }));
    }

    /// Ends the listener and every connection.
    pub async fn stop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    pub fn behave(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap() = Arc::new(script);
    }

    /// Function codes that were ever asked for.
    pub fn functions(&self) -> BTreeSet<u8> {
        self.shared.functions.lock().unwrap().clone()
    }

    /// Requests that were ever received.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl Shared {
    async fn serve(self: Arc<Self>, stream: TcpStream, connection: u64) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut stream, writer) = stream.into_split();
        let writer = Arc::new(tokio::sync::Mutex::new(writer));
        *self.latest.lock().unwrap() = Arc::downgrade(&writer);
        loop {
            let mut transaction = [0; 6];
            if self.framing == Framing::Tcp {
                stream.read_exact(&mut transaction).await?;
            }
            let mut head = [0; 6];
            stream.read_exact(&mut head).await?;
            if self.framing == Framing::Rtu {
                stream.read_exact(&mut [0; 2]).await?; // checksum
            }
            let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
            let request = Request { unit: head[0], function: head[1], start: number(2), count: number(4), connection };
            self.functions.lock().unwrap().insert(request.function);
            self.requests.fetch_add(1, Ordering::SeqCst);
            let transaction = u16::from_be_bytes([transaction[0], transaction[1]]);
            let answer = self.script.lock().unwrap().clone()(&request);
            let frame = |pdu: &[u8]| self.frame(transaction, request.unit, pdu);
            let right = frame(&self.values(&request, request.count));
            let mut out = writer.lock().await;
            match answer {
                Answer::Good => out.write_all(&frame(&self.values(&request, request.count))).await?,
                Answer::Late(by) => {
                    tokio::time::sleep(by).await;
                    out.write_all(&frame(&self.values(&request, request.count))).await?;
                }
                Answer::Aside(by) => {
                    let shared = self.clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(by).await;
                        let latest = shared.latest.lock().unwrap().upgrade();
                        if let Some(latest) = latest {
                            let _ = latest.lock().await.write_all(&right).await;
                        }
                    });
                }
                Answer::Lost => {}
                Answer::Damaged => {
                    let mut frame = right;
                    let at = frame.len() - 4;
                    frame[at] ^= 0x10;
                    out.write_all(&frame).await?;
                }
                Answer::Noisy(before, after) => {
                    let noise = |count: u8| (0..count).map(|byte| byte.wrapping_mul(97) ^ 0xF0).collect::<Vec<u8>>();
                    out.write_all(&[noise(before), right, noise(after)].concat()).await?;
                }
                Answer::AsUnit(unit) => out.write_all(&self.frame(transaction, unit, &self.values(&request, request.count))).await?,
                Answer::AsTransaction(other) => {
                    out.write_all(&self.frame(other, request.unit, &self.values(&request, request.count))).await?;
                }
                Answer::FirstOnly => {
                    let mut pdu = self.values(&request, request.count);
                    pdu[4..].fill(0);
                    out.write_all(&frame(&pdu)).await?;
                }
                Answer::Counted => {
                    let mut pdu = self.values(&request, request.count);
                    let count = self.requests.load(Ordering::SeqCst) as u16;
                    pdu[2..].chunks_mut(2).for_each(|word| word.copy_from_slice(&count.to_be_bytes()));
                    out.write_all(&frame(&pdu)).await?;
                }
                Answer::Registers(count) => out.write_all(&frame(&self.values(&request, count))).await?,
                Answer::Exception(code) => out.write_all(&frame(&[request.function | 0x80, code])).await?,
                Answer::Short => {
                    let fewer = if request.function <= 2 { request.count.saturating_sub(8) } else { request.count - 1 };
                    out.write_all(&frame(&self.values(&request, fewer))).await?;
                }
                Answer::Truncated => {
                    let frame = frame(&self.values(&request, request.count));
                    out.write_all(&frame[..frame.len() - 1]).await?;
                    return Ok(());
                }
                Answer::WrongTransaction => {
                    out.write_all(&self.frame(transaction.wrapping_add(17), request.unit, &self.values(&request, request.count))).await?;
                }
                Answer::WrongUnit => {
                    out.write_all(&self.frame(transaction, request.unit + 1, &self.values(&request, request.count))).await?;
                }
                Answer::WrongFunction => {
                    let mut pdu = self.values(&request, request.count);
                    pdu[0] = if request.function == 3 { 4 } else { 3 };
                    out.write_all(&frame(&pdu)).await?;
                }
                Answer::Garbage => out.write_all(&[0xA5; 300]).await?,
                Answer::Twice => out.write_all(&frame(&self.values(&request, request.count)).repeat(2)).await?,
                Answer::Hang => std::future::pending().await,
                Answer::Close => return Ok(()),
                Answer::Reset => {
                    socket2::SockRef::from(stream.as_ref()).set_linger(Some(Duration::ZERO))?;
                    return Ok(());
                }
                Answer::GoodThenClose => {
                    out.write_all(&frame(&self.values(&request, request.count))).await?;
                    return Ok(());
                }
            }
        }
    }

    fn frame(&self, transaction: u16, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        if self.framing == Framing::Tcp {
            frame.extend(transaction.to_be_bytes());
            frame.extend([0, 0]);
            frame.extend((pdu.len() as u16 + 1).to_be_bytes());
        }
        frame.push(unit);
        frame.extend(pdu);
        if self.framing == Framing::Rtu {
            let checksum = crc16(&frame);
            frame.extend(checksum.to_le_bytes());
        }
        frame
    }

    fn values(&self, request: &Request, count: u16) -> Vec<u8> {
        let kept = |address: u16| self.contents.as_ref().map(|contents| contents.get(usize::from(address)).copied().unwrap_or(0));
        let mut pdu = vec![request.function];
        if request.function <= 2 {
            let mut bytes = vec![0_u8; usize::from(count).div_ceil(8)];
            for bit in 0..count {
                let address = request.start + bit;
                let is_set = kept(address).map_or(address % 2 == 1, |word| word != 0);
                bytes[usize::from(bit / 8)] |= u8::from(is_set) << (bit % 8);
            }
            pdu.push(bytes.len() as u8);
            pdu.extend(bytes);
        } else {
            pdu.push((count * 2) as u8);
            let word = |address: u16| kept(address).unwrap_or_else(|| register(request.unit, address));
            pdu.extend((0..count).flat_map(|offset| word(request.start + offset).to_be_bytes()));
        }
        pdu
    }
}

/// Value of a register of this device where no test has put another into it.
pub fn register(unit: u8, address: u16) -> u16 {
    address.wrapping_add(u16::from(unit.saturating_sub(1)) * 10_000)
}

/// The checksum of RTU frames: reflected polynomial 0xA001, start 0xFFFF.
fn crc16(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0xFFFF, |crc, byte| (0..8).fold(crc ^ u16::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 }))
}
