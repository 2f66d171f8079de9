//! What a device answers, for the fuzz targets (`tests/fuzz`): any bytes in, whether they were taken out.

use super::{
    address::RegisterArea,
    frame::{self, Heard},
    transport::{Leniency, ModbusReply, ReadRequest},
};

/// Bytes that come as the answer to a request, in either framing. Four bytes say what was asked: area, unit, count, and how lenient the collector is.
pub fn answer(bytes: &[u8]) -> bool {
    let [area, unit, count, leniency, received @ ..] = bytes else { return false };
    let area = [RegisterArea::Coil, RegisterArea::Discrete, RegisterArea::Holding, RegisterArea::Input][usize::from(area % 4)];
    let request = ReadRequest { unit: *unit, area, start: 0, count: u16::from(count % 125) + 1 };
    let leniency = Leniency { any_unit: leniency & 1 == 1, any_transaction: leniency & 2 == 2 };
    let heard = frame::listen(request, leniency, received);
    if let Heard::Answer(reply, end) = &heard {
        assert!(*end <= received.len() && is_whole(reply, request), "{heard:?}");
    }
    let Ok(Some(found)) = frame::tcp_frame(received) else { return matches!(heard, Heard::Answer(..)) };
    let reply = frame::tcp_reply(request, &received[..found.bytes]);
    reply.is_ok_and(|reply| {
        assert!(is_whole(&reply, request), "{reply:?}");
        true
    })
}

/// Has as many values as were asked for.
fn is_whole(reply: &ModbusReply, request: ReadRequest) -> bool {
    let count = usize::from(request.count);
    match reply {
        ModbusReply::Registers(words) => words.len() == count,
        ModbusReply::Bits(bits) => bits.len() == count,
        ModbusReply::Exception(_) => true,
    }
}
