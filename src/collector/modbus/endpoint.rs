//! Where a device is, what carries the bytes to it, and how a connection is made.

use tokio::net::TcpStream;

use super::{
    client::{ModbusConnection, Stream},
    frame::Framing,
    secure::{self, SecureSettings},
    serial::{self, SerialLine},
    transport::Leniency,
};

/// What carries the frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineCarrier {
    Tcp,
    Tls(SecureSettings),
    Serial(SerialLine),
}

/// Where a device is, and how it talks.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// `host:port`, or the name of a serial port.
    pub address: String,
    pub carrier: LineCarrier,
    pub framing: Framing,
    pub leniency: Leniency,
}

impl Endpoint {
    /// True when a late answer cannot be told from the answer to the next request.
    pub fn is_ambiguous(&self) -> bool {
        self.framing.is_rtu() || self.leniency.any_transaction
    }

    /// Connects, without a limit of time.
    ///
    /// # Errors
    /// The reason in words.
    pub async fn connect(&self) -> Result<ModbusConnection, String> {
        let stream: Box<dyn Stream> = match &self.carrier {
            LineCarrier::Tcp => Box::new(self.socket().await?),
            LineCarrier::Tls(settings) => Box::new(secure::secured(self.socket().await?, host(&self.address), settings).await?),
            LineCarrier::Serial(line) => Box::new(serial::open(&self.address, *line)?),
        };
        Ok(ModbusConnection::new(stream, self.framing, self.leniency))
    }

    async fn socket(&self) -> Result<TcpStream, String> {
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(stream)
    }
}

/// The host of `host:port`, without the brackets of IPv6.
pub fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// What is wrong with the address of a device over the network.
///
/// # Errors
/// The reason, and what would be right.
pub fn check_socket(endpoint: &str) -> Result<(), String> {
    if serial::is_port(endpoint) {
        return Err(format!(
            "endpoint {endpoint:?} is a serial port; write transport = \"rtu\" beside it, or host:port of a device on the network"
        ));
    }
    // What stands before an @ may be a password, and is not told.
    let shown = if endpoint.contains('@') { String::new() } else { format!("{endpoint:?} ") };
    let refused = |reason: &str| Err(format!("endpoint {shown}{reason}; write host:port, for example 192.168.1.10:502"));
    let Some((host, port)) = endpoint.rsplit_once(':') else { return refused("has no port") };
    if host.is_empty() {
        return refused("has no host");
    }
    if host.contains("//") {
        return refused("is a URL");
    }
    if host.contains('@') {
        return refused("has a user, which this protocol does not know");
    }
    if host.contains(|character: char| character.is_whitespace() || character == '/') {
        return refused("has a host with a blank or slash");
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return refused("has an IPv6 address without [brackets]");
    }
    match port.parse::<u16>() {
        Ok(0) | Err(_) => refused("has no port from 1 to 65535"),
        Ok(_) => Ok(()),
    }
}

/// What is wrong with the name of a serial port.
///
/// # Errors
/// The reason, and what would be right.
pub fn check_port(endpoint: &str) -> Result<(), String> {
    if serial::is_port(endpoint) {
        return Ok(());
    }
    let meant = if check_socket(endpoint).is_ok() {
        "; a serial device server on the network has transport = \"rtu-over-tcp\", a Modbus TCP device transport = \"tcp\""
    } else {
        ""
    };
    Err(format!("endpoint {endpoint:?} is no serial port, such as /dev/ttyUSB0 or /dev/serial/by-id/…{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_by_an_address_of_the_other_kind_is_told() {
        for (endpoint, part) in [("/dev/ttyUSB0", "transport = \"rtu\""), ("COM1", "transport = \"rtu\""), ("plc", "has no port")] {
            let message = check_socket(endpoint).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
        assert!(check_port("10.0.0.7:502").unwrap_err().contains("rtu-over-tcp"));
        assert!(!check_port("ttyUSB0").unwrap_err().contains("rtu-over-tcp"));
        assert_eq!((check_port("/dev/serial/by-id/usb-FTDI"), check_socket("10.0.0.7:502")), (Ok(()), Ok(())));
    }

    #[test]
    fn hosts_have_no_port_and_no_brackets() {
        assert_eq!((host("plc.plant:802"), host("[fe80::1]:802"), host("10.0.0.7:802")), ("plc.plant", "fe80::1", "10.0.0.7"));
    }
}
