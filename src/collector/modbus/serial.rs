//! A serial port: its parameters, how long a character takes on the line, and opening it for this process alone.

use std::{
    fmt,
    io::{self, ErrorKind},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock},
    io::Errno,
    termios::{ioctl_tiocexcl, ioctl_tiocnxcl},
};
use serde::Deserialize;
use serial2_tokio::{CharSize, FlowControl, Parity, SerialPort, Settings, StopBits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Up to this speed the silence between frames is 3.5 characters; above it, it is fixed ("MODBUS over Serial Line", 2.5.1.1).
const SLOW_MAX: u32 = 19_200;
const SILENCE_FAST: Duration = Duration::from_micros(1_750);
/// Ports of this machine that a message names.
const PORTS_NAMED_MAX: usize = 6;

/// Parity of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SerialParity {
    None,
    Even,
    Odd,
}

/// How characters travel on a serial line. RTU has eight data bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SerialLine {
    pub baud_rate: u32,
    pub parity: SerialParity,
    /// 1 or 2.
    pub stop_bits: u8,
}

impl SerialLine {
    /// Time on the line of so many characters.
    pub fn time_of(self, characters: u32) -> Duration {
        Duration::from_secs_f64(f64::from(characters * self.bits()) / f64::from(self.baud_rate))
    }

    /// Silence that parts two frames.
    pub fn silence(self) -> Duration {
        if self.baud_rate > SLOW_MAX { SILENCE_FAST } else { self.time_of(7) / 2 }
    }

    /// Bits of a character: start, data, parity and stop.
    fn bits(self) -> u32 {
        1 + 8 + u32::from(self.parity != SerialParity::None) + u32::from(self.stop_bits)
    }

    fn apply(self, settings: &mut Settings) -> io::Result<()> {
        settings.set_raw();
        settings.set_baud_rate(self.baud_rate)?;
        settings.set_char_size(CharSize::Bits8);
        settings.set_parity(match self.parity {
            SerialParity::None => Parity::None,
            SerialParity::Even => Parity::Even,
            SerialParity::Odd => Parity::Odd,
        });
        settings.set_stop_bits(if self.stop_bits == 2 { StopBits::Two } else { StopBits::One });
        settings.set_flow_control(FlowControl::None);
        Ok(())
    }
}

/// As people write it: `19200 8E1`.
impl fmt::Display for SerialLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            SerialParity::None => 'N',
            SerialParity::Even => 'E',
            SerialParity::Odd => 'O',
        };
        write!(f, "{} 8{parity}{}", self.baud_rate, self.stop_bits)
    }
}

/// True for what names a serial port: a path, or a name such as `COM3`.
pub fn is_port(text: &str) -> bool {
    let numbered = text.get(..3).is_some_and(|begin| begin.eq_ignore_ascii_case("com")) && text.len() > 3;
    text.starts_with('/') || (numbered && text[3..].bytes().all(|byte| byte.is_ascii_digit()))
}

/// A port that no other process opens while this one has it.
pub struct HeldPort {
    port: SerialPort,
    /// The same port once more, with the lock.
    lock: OwnedFd,
}

/// The port is anybody's again, though some other program may have it open still.
impl Drop for HeldPort {
    fn drop(&mut self) {
        let _ = ioctl_tiocnxcl(&self.lock);
    }
}

/// Opens a port with its parameters. Must be called within the runtime.
///
/// # Errors
/// The reason, and what to do about it.
pub fn open(path: &str, line: SerialLine) -> Result<HeldPort, String> {
    let settings = |mut settings: Settings| {
        line.apply(&mut settings)?;
        Ok(settings)
    };
    // The lock first: a port that another process uses is left as it is, its parameters too.
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let lock = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| refused(path, line, &error.into()))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| refused(path, line, &error.into()))?;
    let port = SerialPort::open(path, settings).map_err(|error| refused(path, line, &error))?;
    // For programs that know nothing of such locks.
    ioctl_tiocexcl(&lock).map_err(|error| refused(path, line, &error.into()))?;
    // What came before is the answer to nothing.
    port.discard_input_buffer().map_err(|error| refused(path, line, &error))?;
    Ok(HeldPort { port, lock })
}

fn refused(path: &str, line: SerialLine, error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => not_there(path, &SerialPort::available_ports().unwrap_or_default()),
        ErrorKind::PermissionDenied => format!(
            "permission denied: the user of the historian must be in the group of the port, mostly dialout (usermod -aG dialout historian), \
             and be started anew; `ls -l {path}` shows the group"
        ),
        ErrorKind::WouldBlock | ErrorKind::ResourceBusy => {
            format!("another program holds the port; `fuser {path}` tells which")
        }
        _ if error.raw_os_error() == Some(Errno::NOTTY.raw_os_error()) => "this is no serial port".to_owned(),
        _ => format!("the port does not take {line}: {error}"),
    }
}

/// Why a port is not there, and which there are.
fn not_there(path: &str, there: &[PathBuf]) -> String {
    if there.iter().any(|port| port == Path::new(path)) {
        return "this machine has the port, and this process does not see it: a service needs PrivateDevices=no".to_owned();
    }
    let mut ports: Vec<String> = there.iter().map(|port| port.display().to_string()).collect();
    ports.sort();
    let more = ports.len().saturating_sub(PORTS_NAMED_MAX);
    ports.truncate(PORTS_NAMED_MAX);
    let has = match (ports.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => ports.join(", "),
        (false, more) => format!("{} and {more} more", ports.join(", ")),
    };
    format!("there is no such port; is the adapter plugged in? This machine has {has}")
}

impl AsyncRead for HeldPort {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().port).poll_read(context, buffer)
    }
}

impl AsyncWrite for HeldPort {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().port).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().port).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().port).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_take_their_bits_and_frames_are_parted_as_the_specification_says() {
        let line = |baud_rate, parity, stop_bits| SerialLine { baud_rate, parity, stop_bits };
        let modest = line(9600, SerialParity::Even, 1);
        assert_eq!(modest.time_of(960), Duration::from_millis(1100), "11 bits each");
        assert_eq!(line(9600, SerialParity::None, 1).time_of(960), Duration::from_secs(1), "10 bits each");
        assert_eq!(modest.silence().as_micros(), 4010, "3.5 characters");
        assert_eq!(line(19_200, SerialParity::Odd, 1).silence().as_micros(), 2005);
        assert_eq!(line(115_200, SerialParity::None, 2).silence(), SILENCE_FAST);
        assert_eq!(modest.to_string(), "9600 8E1");
    }

    #[test]
    fn ports_are_told_from_hosts() {
        for (text, expected) in [
            ("/dev/ttyUSB0", true),
            ("COM3", true),
            ("com12", true),
            ("COM", false),
            ("comX", false),
            ("compressor:502", false),
            ("10.0.0.7:502", false),
            ("", false),
        ] {
            assert_eq!(is_port(text), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_opened_says_what_to_do() {
        let line = SerialLine { baud_rate: 9600, parity: SerialParity::None, stop_bits: 1 };
        let reason = |path: &str| open(path, line).err().unwrap_or_default();
        assert!(reason("/dev/ttyNOBODY").contains("is the adapter plugged in?"), "{}", reason("/dev/ttyNOBODY"));
        assert_eq!(reason("/dev/null"), "this is no serial port");
        let there: Vec<PathBuf> = (0..8).map(|number| PathBuf::from(format!("/dev/ttyS{number}"))).collect();
        assert!(not_there("/dev/ttyS3", &there).contains("PrivateDevices=no"));
        let others = not_there("/dev/ttyUSB0", &there);
        assert!(
            others.ends_with("This machine has /dev/ttyS0, /dev/ttyS1, /dev/ttyS2, /dev/ttyS3, /dev/ttyS4, /dev/ttyS5 and 2 more"),
            "{others}"
        );
        let denied = refused("/dev/ttyUSB0", line, &ErrorKind::PermissionDenied.into());
        assert!(denied.contains("dialout"), "{denied}");
    }
}
