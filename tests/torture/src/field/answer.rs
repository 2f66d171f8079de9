//! Answers of a Modbus device as bytes, right and wrong ones.

use super::Ailment;

/// The registers from 0 on: the number of the device, and the count in two of them, the high one first. Those behind are 0.
pub fn registers(request: &[u8; 12], number: u16, count: u32) -> Vec<u8> {
    let asked = u16::from_be_bytes([request[10], request[11]]);
    let first = u16::from_be_bytes([request[8], request[9]]);
    let held = [number, (count >> 16) as u16, count as u16];
    let values = (first..first.saturating_add(asked)).map(|place| held.get(usize::from(place)).copied().unwrap_or(0));
    let bytes: Vec<u8> = values.flat_map(u16::to_be_bytes).collect();
    let mut body = vec![request[7], bytes.len() as u8];
    body.extend(bytes);
    frame([request[0], request[1]], request[6], &body)
}

/// An answer with the fault of a device that answers at once.
pub fn spoilt(request: &[u8; 12], ailment: Ailment, number: u16) -> Vec<u8> {
    let (function, mut transaction, mut unit) = (request[7], [request[0], request[1]], request[6]);
    let mut body = registers(request, number, 0).split_off(7);
    match ailment {
        Ailment::Short => {
            body.truncate(body.len() - 2);
            body[1] -= 2;
        }
        Ailment::OtherTransaction => transaction[1] = transaction[1].wrapping_add(7),
        Ailment::OtherUnit => unit = unit.wrapping_add(1),
        Ailment::OtherFunction => body[0] = if function == 3 { 4 } else { 3 },
        Ailment::Fails => body = vec![function | 0x80, 4],
        Ailment::Busy => body = vec![function | 0x80, 6],
        Ailment::Refuses | Ailment::Hangs | Ailment::Silent | Ailment::Late | Ailment::Cut | Ailment::Babbles => {}
    }
    frame(transaction, unit, &body)
}

fn frame(transaction: [u8; 2], unit: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 1).to_be_bytes();
    let mut bytes = vec![transaction[0], transaction[1], 0, 0, length[0], length[1], unit];
    bytes.extend(body);
    bytes
}
