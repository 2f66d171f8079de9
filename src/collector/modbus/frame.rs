//! Frames of Modbus: requests to bytes, and answers found in bytes.
//!
//! Modbus TCP puts a header with a transaction id and a length before each frame, so frames follow each other without doubt and say which
//! request they answer. RTU has neither: only a checksum tells a frame from noise, and nothing says to which of two like requests an answer
//! belongs. An RTU answer is therefore looked for at every byte, by the one form it can have; what stands around it is noise.

use serde::Deserialize;

use super::{
    address::RegisterArea,
    transport::{Leniency, ModbusReply, ReadRequest},
};

/// How Modbus frames travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Framing {
    /// Modbus TCP (MBAP header with transaction id).
    #[default]
    Tcp,
    /// Serial frames with checksum inside a TCP stream, as transparent serial servers forward them.
    RtuOverTcp,
    /// The same on a serial port of this machine.
    Rtu,
}

impl Framing {
    /// Frames have a checksum and no transaction id.
    pub fn is_rtu(self) -> bool {
        matches!(self, Framing::RtuOverTcp | Framing::Rtu)
    }

    /// Why a unit number cannot be used with the framing, if so.
    pub fn refused_unit(self, unit: u8) -> Option<String> {
        (self.is_rtu() && !(1..=247).contains(&unit))
            .then(|| format!("unit {unit} cannot be read over RTU: devices have 1 to 247, 0 is broadcast"))
    }
}

/// Bytes of a Modbus TCP header, unit included.
const HEADER: usize = 7;
/// Longest frame after the length field: unit and 253 bytes.
const LENGTH_MAX: u16 = 254;
/// Unit, function, exception code, checksum: the shortest RTU answer.
pub const RTU_ANSWER_MIN: usize = 5;
/// Added to the function code of a refusal.
const EXCEPTION: u8 = 0x80;

const fn function(area: RegisterArea) -> u8 {
    match area {
        RegisterArea::Coil => 1,
        RegisterArea::Discrete => 2,
        RegisterArea::Holding => 3,
        RegisterArea::Input => 4,
    }
}

/// Bytes of a request. The transaction id is of no use to RTU.
pub fn encode(framing: Framing, transaction: u16, request: ReadRequest) -> Vec<u8> {
    let mut frame = Vec::with_capacity(12);
    if framing == Framing::Tcp {
        frame.extend(transaction.to_be_bytes());
        frame.extend([0, 0, 0, 6]);
    }
    frame.extend([request.unit, function(request.area)]);
    frame.extend(request.start.to_be_bytes());
    frame.extend(request.count.to_be_bytes());
    if framing.is_rtu() {
        frame.extend(checksum(&frame).to_le_bytes());
    }
    frame
}

/// Characters of a request over RTU and of its full answer.
pub fn rtu_characters(request: ReadRequest) -> u32 {
    (encode(Framing::Rtu, 0, request).len() + data_bytes(request) + RTU_ANSWER_MIN) as u32
}

/// Data bytes of a full answer.
fn data_bytes(request: ReadRequest) -> usize {
    if request.area.is_bits() { usize::from(request.count).div_ceil(8) } else { usize::from(request.count) * 2 }
}

/// The reply in function code and data of a frame; otherwise what is wrong with it.
fn reply(request: ReadRequest, frame: &[u8]) -> Result<ModbusReply, String> {
    let asked = function(request.area);
    match frame {
        [function, code] if *function == asked | EXCEPTION => Ok(ModbusReply::Exception(*code)),
        [function, count, data @ ..] if *function == asked && data.len() == usize::from(*count) => {
            if data.len() != data_bytes(request) {
                let (what, answered) = if request.area.is_bits() {
                    ("bits", format!("{} bytes", data.len()))
                } else {
                    ("registers", format!("{}", data.len() / 2))
                };
                return Err(format!("{} {what} asked for, {answered} answered", request.count));
            }
            Ok(if request.area.is_bits() {
                ModbusReply::Bits((0..usize::from(request.count)).map(|bit| data[bit / 8] >> (bit % 8) & 1 == 1).collect())
            } else {
                ModbusReply::Registers(data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
            })
        }
        [function, ..] if function & !EXCEPTION != asked => {
            Err(format!("function {asked:02} asked for, function {:02} answered", function & !EXCEPTION))
        }
        _ => Err("the answer says another length than it has".into()),
    }
}

/// A Modbus TCP frame at the beginning of the bytes received.
#[derive(Debug, PartialEq, Eq)]
pub struct TcpFrame {
    pub transaction: u16,
    pub unit: u8,
    /// Bytes of the frame, header included.
    pub bytes: usize,
}

/// The first Modbus TCP frame of `received`, `None` while it is not complete.
///
/// # Errors
/// The bytes are no frame; where the next one begins cannot be known.
pub fn tcp_frame(received: &[u8]) -> Result<Option<TcpFrame>, String> {
    let Some(header) = received.first_chunk::<HEADER>() else { return Ok(None) };
    let number = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (protocol, length) = (number(2), number(4));
    if protocol != 0 {
        return Err("bytes that are no Modbus TCP; is it a serial device server that wants transport = \"rtu-over-tcp\"?".into());
    }
    if !(3..=LENGTH_MAX).contains(&length) {
        return Err(format!("a frame of {length} bytes, which Modbus TCP does not know"));
    }
    let bytes = HEADER - 1 + usize::from(length);
    Ok((received.len() >= bytes).then_some(TcpFrame { transaction: number(0), unit: header[6], bytes }))
}

/// The reply in a frame that [`tcp_frame`] found.
///
/// # Errors
/// What is wrong with it.
pub fn tcp_reply(request: ReadRequest, frame: &[u8]) -> Result<ModbusReply, String> {
    reply(request, &frame[HEADER..])
}

/// What an RTU line has brought since the request was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer, which ends at this byte.
    Answer(ModbusReply, usize),
    /// No answer yet. Frames of others, if any, with what is wrong with the first one.
    Nothing(Option<Stranger>),
}

/// A frame with a right checksum that does not answer the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// From the unit that was asked, with the right function, but not with the values asked for.
    Unusable(String),
    /// From another unit, of another function.
    Other(String),
}

/// Looks for the answer to `request` at every byte of `received`.
pub fn listen(request: ReadRequest, leniency: Leniency, received: &[u8]) -> Heard {
    let mut stranger = None;
    let mut at = 0;
    while at + RTU_ANSWER_MIN <= received.len() {
        let Some(bytes) = rtu_bytes(&received[at..]) else {
            at += 1;
            continue;
        };
        let frame = &received[at..at + bytes];
        let (unit, found) = (frame[0], reply(request, &frame[1..bytes - 2]));
        match found {
            Ok(reply) if unit == request.unit || leniency.any_unit => return Heard::Answer(reply, at + bytes),
            Ok(_) => stranger = stranger.or_else(|| Some(Stranger::Other(other_unit(request.unit, unit)))),
            Err(reason) if unit == request.unit && frame[1] & !EXCEPTION == function(request.area) => {
                stranger = stranger.or(Some(Stranger::Unusable(reason)));
            }
            Err(reason) if unit == request.unit => stranger = stranger.or(Some(Stranger::Other(reason))),
            Err(_) => stranger = stranger.or_else(|| Some(Stranger::Other(other_unit(request.unit, unit)))),
        }
        at += bytes;
    }
    Heard::Nothing(stranger)
}

/// What to say of an answer that names another unit.
pub fn other_unit(asked: u8, answered: u8) -> String {
    format!("unit {asked} was asked and unit {answered} answered; set accept_any_unit = true if the gateway always answers like this")
}

/// True when bytes that nobody asked for may be an answer, or the beginning of one, and not just noise on the line.
pub fn may_be_answer(bytes: &[u8]) -> bool {
    bytes.len() >= RTU_ANSWER_MIN
}

/// Length of the RTU answer to a reading function that begins here, when all of it is there and its checksum is right.
fn rtu_bytes(received: &[u8]) -> Option<usize> {
    let (code, count) = (received[1], usize::from(received[2]));
    let bytes = match code & !EXCEPTION {
        1..=4 if code & EXCEPTION != 0 => RTU_ANSWER_MIN,
        1..=4 => count + RTU_ANSWER_MIN,
        _ => return None,
    };
    let frame = received.get(..bytes)?;
    let (content, sum) = frame.split_at(bytes - 2);
    (checksum(content).to_le_bytes() == sum).then_some(bytes)
}

/// The checksum of RTU frames: reflected polynomial 0xA001, start 0xFFFF.
fn checksum(bytes: &[u8]) -> u16 {
    bytes
        .iter()
        .fold(0xFFFF, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Leniency = Leniency { any_unit: false, any_transaction: false };

    fn request(area: RegisterArea, start: u16, count: u16) -> ReadRequest {
        ReadRequest { unit: 17, area, start, count }
    }

    fn rtu(unit: u8, pdu: &[u8]) -> Vec<u8> {
        let mut frame = vec![unit];
        frame.extend(pdu);
        frame.extend(checksum(&frame).to_le_bytes());
        frame
    }

    /// Function code and data of a reply to a request for holding registers.
    fn pdu(reply: &ModbusReply) -> Vec<u8> {
        match reply {
            ModbusReply::Exception(code) => vec![0x83, *code],
            ModbusReply::Registers(words) => {
                let mut pdu = vec![3, (words.len() * 2) as u8];
                pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
                pdu
            }
            ModbusReply::Bits(_) => panic!("registers were asked for"),
        }
    }

    /// The examples of "MODBUS over Serial Line" and of "MODBUS Application Protocol", and a frame whose checksum everyone prints.
    #[test]
    fn requests_are_the_bytes_of_the_specification() {
        let asked = ReadRequest { unit: 1, area: RegisterArea::Holding, start: 0, count: 10 };
        assert_eq!(encode(Framing::RtuOverTcp, 9, asked), [0x01, 0x03, 0x00, 0x00, 0x00, 0x0A, 0xC5, 0xCD]);
        assert_eq!((encode(Framing::Rtu, 9, asked), rtu_characters(asked)), (encode(Framing::RtuOverTcp, 9, asked), 8 + 25));
        let asked = request(RegisterArea::Coil, 19, 37);
        assert_eq!(encode(Framing::Tcp, 0x1501, asked), [0x15, 0x01, 0, 0, 0, 6, 17, 1, 0, 19, 0, 37]);
        assert_eq!(checksum(b"123456789"), 0x4B37, "the published check value of CRC-16/MODBUS");
    }

    #[test]
    fn bits_are_counted_from_the_lowest_of_the_first_byte() {
        // Coils 20 to 56 in the specification's example.
        let found = reply(request(RegisterArea::Coil, 19, 37), &[1, 5, 0xCD, 0x6B, 0xB2, 0x0E, 0x1B]).unwrap();
        let ModbusReply::Bits(bits) = found else { panic!("{found:?}") };
        assert_eq!(bits.len(), 37);
        assert_eq!(bits[..8], [true, false, true, true, false, false, true, true]);
        assert_eq!(bits[32..], [true, true, false, true, true]);
    }

    #[test]
    fn what_does_not_answer_the_request_says_why() {
        for (frame, part) in [
            (&[3, 2, 0, 1][..], "2 registers asked for, 1 answered"),
            (&[4, 4, 0, 1, 0, 2], "function 03 asked for, function 04 answered"),
            (&[0x84, 2], "function 03 asked for, function 04 answered"),
            (&[3, 4, 0, 1], "another length"),
            (&[3], "another length"),
        ] {
            let error = reply(request(RegisterArea::Holding, 0, 2), frame).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn frames_of_modbus_tcp_end_where_their_length_says() {
        let frame = [0, 7, 0, 0, 0, 7, 17, 3, 4, 0, 1, 0, 2];
        assert_eq!(tcp_frame(&frame[..frame.len() - 1]), Ok(None));
        assert_eq!(tcp_frame(&[&frame[..], &[9, 9]].concat()), Ok(Some(TcpFrame { transaction: 7, unit: 17, bytes: 13 })));
        assert!(tcp_frame(&rtu(17, &[3, 4, 0, 1, 0, 2])).unwrap_err().contains("rtu-over-tcp"));
        assert!(tcp_frame(&[0, 7, 0, 0, 1, 0, 17]).unwrap_err().contains("256 bytes"));
    }

    #[test]
    fn a_stranger_on_the_line_is_told_apart_from_the_answer() {
        let asked = request(RegisterArea::Holding, 0, 2);
        let answer = rtu(17, &[3, 4, 0, 1, 0, 2]);
        let heard = |frames: &[Vec<u8>]| listen(asked, STRICT, &frames.concat());
        assert_eq!(heard(&[rtu(1, &[3, 4, 0, 9, 0, 9]), answer.clone()]), Heard::Answer(ModbusReply::Registers(vec![1, 2]), 18));
        assert!(
            matches!(heard(&[rtu(1, &[3, 4, 0, 9, 0, 9])]), Heard::Nothing(Some(Stranger::Other(text))) if text.contains("accept_any_unit"))
        );
        assert!(matches!(heard(&[rtu(17, &[3, 2, 0, 9])]), Heard::Nothing(Some(Stranger::Unusable(_)))));
        assert!(matches!(heard(&[rtu(17, &[4, 4, 0, 9, 0, 9])]), Heard::Nothing(Some(Stranger::Other(_)))));
        let lenient = Leniency { any_unit: true, ..STRICT };
        assert_eq!(listen(asked, lenient, &rtu(1, &[3, 4, 0, 9, 0, 9])), Heard::Answer(ModbusReply::Registers(vec![9, 9]), 9));
        assert_eq!(heard(&[rtu(17, &[0x83, 2])]), Heard::Answer(ModbusReply::Exception(2), 5));
    }

    proptest! {
        #[test]
        fn an_rtu_answer_is_found_whatever_noise_stands_around_it(
            // Noise that by chance had a right checksum would be a frame; without function codes it cannot.
            before in proptest::collection::vec(5..0x80_u8, 0..40), after in proptest::collection::vec(5..0x80_u8, 0..40),
            words in proptest::collection::vec(any::<u16>(), 1..20),
        ) {
            let asked = request(RegisterArea::Input, 5, words.len() as u16);
            let mut pdu = vec![4, (words.len() * 2) as u8];
            pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            let answer = rtu(17, &pdu);
            let end = before.len() + answer.len();
            let line = [&before[..], &answer, &after].concat();
            prop_assert_eq!(listen(asked, STRICT, &line), Heard::Answer(ModbusReply::Registers(words), end));
            prop_assert_eq!(listen(asked, STRICT, &line[..end - 1]), Heard::Nothing(None));
        }

        #[test]
        fn a_damaged_bit_is_no_answer(words in proptest::collection::vec(any::<u16>(), 1..20), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let asked = request(RegisterArea::Input, 5, words.len() as u16);
            let mut pdu = vec![4, (words.len() * 2) as u8];
            pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            let mut answer = rtu(17, &pdu);
            let at = at.index(answer.len());
            answer[at] ^= 1 << bit;
            prop_assert!(matches!(listen(asked, STRICT, &answer), Heard::Nothing(_)));
        }

        #[test]
        fn whatever_comes_a_reply_is_what_stands_in_its_bytes(
            noise in proptest::collection::vec(any::<u8>(), 0..300), words in proptest::collection::vec(any::<u16>(), 1..20),
            change in any::<(bool, prop::sample::Index, u8)>(), is_refused in any::<bool>(),
        ) {
            let asked = request(RegisterArea::Holding, 0, words.len() as u16);
            let right = pdu(&if is_refused { ModbusReply::Exception(words[0] as u8) } else { ModbusReply::Registers(words) });
            let mut header = vec![0, 7, 0, 0, 0, right.len() as u8 + 1, 17];
            header.extend(&right);
            for (is_tcp, mut bytes) in [(true, noise.clone()), (false, noise.clone()), (true, header), (false, [noise, rtu(17, &right)].concat())] {
                if change.0 && !bytes.is_empty() {
                    let at = change.1.index(bytes.len());
                    bytes[at] ^= change.2;
                }
                if is_tcp {
                    if let Ok(Some(frame)) = tcp_frame(&bytes) {
                        prop_assert!((HEADER + 2..=bytes.len()).contains(&frame.bytes));
                        if let Ok(reply) = tcp_reply(asked, &bytes[..frame.bytes]) {
                            prop_assert_eq!(&bytes[HEADER..frame.bytes], pdu(&reply));
                        }
                    }
                } else if let Heard::Answer(reply, end) = listen(asked, STRICT, &bytes) {
                    prop_assert!(bytes[..end].ends_with(&rtu(17, &pdu(&reply))));
                }
            }
        }
    }
}
