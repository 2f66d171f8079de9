//! Numbers, times and network addresses that are packed into registers in other ways than as a binary number. What the registers hold may
//! be none of these; then there is no value.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::format::{NetworkFormat, TimeFormat};

/// Decimal digits of four bits each; `None` where four bits are no digit.
pub fn bcd(number: u64, registers: u8) -> Option<u64> {
    (0..u32::from(registers) * 4).rev().try_fold(0, |decimal, place| {
        let digit = number >> (place * 4) & 0xF;
        (digit <= 9).then_some(decimal * 10 + digit)
    })
}

/// Registers of -9999 to 9999, digits to the base of 10,000; `None` where one is beyond, or their signs differ.
pub fn m10k(words: impl Iterator<Item = u16>) -> Option<i64> {
    let (mut number, mut negative, mut positive) = (0, false, false);
    for word in words {
        let digits = i64::from(word as i16);
        if !(-9999..=9999).contains(&digits) {
            return None;
        }
        negative |= digits < 0;
        positive |= digits > 0;
        number = number * 10_000 + digits;
    }
    (!(negative && positive)).then_some(number)
}

/// Milliseconds since 1970 in UTC, the device's clock taken for UTC; `None` where the registers hold no time, or one beyond an i64.
pub fn time(format: TimeFormat, words: &[u16]) -> Option<i64> {
    let number = || words.iter().fold(0_u64, |bits, word| bits << 16 | u64::from(*word));
    let bits = |place: usize, shift: u32, width: u32| i64::from(words[place] >> shift & (0xFFFF >> (16 - width)));
    match format {
        TimeFormat::Unix32 | TimeFormat::Unix64 => i64::try_from(number()).ok()?.checked_mul(1000),
        TimeFormat::Unix64Ms => i64::try_from(number()).ok(),
        TimeFormat::Bytes => {
            let [year, month, day, hour, minute, second] =
                [bits(0, 8, 8), bits(0, 0, 8), bits(1, 8, 8), bits(1, 0, 8), bits(2, 8, 8), bits(2, 0, 8)];
            (year <= 99).then(|| calendar(2000 + year, month, day, hour, minute, second * 1000))?
        }
        TimeFormat::Iec => {
            let (year, is_invalid) = (bits(0, 0, 7), bits(2, 7, 1) == 1);
            (year <= 99 && !is_invalid)
                .then(|| calendar(2000 + year, bits(1, 8, 4), bits(1, 0, 5), bits(2, 8, 5), bits(2, 0, 6), i64::from(words[3])))?
        }
        TimeFormat::Words => {
            let [year, month, day, hour, minute, second] = [0, 1, 2, 3, 4, 5].map(|place| i64::from(words[place]));
            let year = if year <= 99 { 2000 + year } else { year };
            (1970..=9999).contains(&year).then(|| calendar(year, month, day, hour, minute, second * 1000))?
        }
    }
}

/// Milliseconds from 1970 to a time of the Gregorian calendar; `None` for one that does not exist. A minute has 60,000 ms.
fn calendar(year: i64, month: i64, day: i64, hour: i64, minute: i64, ms: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || !(0..24).contains(&hour) || !(0..60).contains(&minute) || !(0..60_000).contains(&ms) {
        return None;
    }
    // Years begin in March here, so that the day of a leap year is the last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + ms)
}

/// An address as text, and whether it is the one that means "none": of zeros alone, or an EUI-48 of ones.
pub fn network(format: NetworkFormat, words: &[u16]) -> (String, bool) {
    let word = |place: usize| words.get(place).copied().unwrap_or(0);
    match format {
        NetworkFormat::Ipv4 => {
            let bits = u32::from(word(0)) << 16 | u32::from(word(1));
            (Ipv4Addr::from(bits).to_string(), bits == 0)
        }
        NetworkFormat::Ipv6 => {
            let address = Ipv6Addr::from([0, 1, 2, 3, 4, 5, 6, 7].map(word));
            (address.to_string(), address.is_unspecified())
        }
        NetworkFormat::Eui48 => {
            let used = [word(1), word(2), word(3)];
            let bytes: Vec<String> = used.iter().flat_map(|word| word.to_be_bytes()).map(|byte| format!("{byte:02X}")).collect();
            (bytes.join(":"), used == [0; 3] || used == [0xFFFF; 3])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decimal_digits_are_read_and_others_are_none() {
        for (number, registers, expected) in [
            (0x1234, 1, Some(1234)),
            (0x9999, 1, Some(9999)),
            (0x0000_0001, 2, Some(1)),
            (0x1234_5678, 2, Some(12_345_678)),
            (0x9999_9999_9999_9999, 4, Some(9_999_999_999_999_999)),
            (0x123A, 1, None),
            (0xFFFF, 1, None),
            (0xA000_0000, 2, None),
        ] {
            assert_eq!(bcd(number, registers), expected, "{number:x}");
        }
        let m10k = |words: &[i16]| super::m10k(words.iter().map(|word| *word as u16));
        assert_eq!(m10k(&[12, 3456]), Some(123_456));
        assert_eq!(m10k(&[-12, -3456]), Some(-123_456));
        assert_eq!(m10k(&[0, -1]), Some(-1));
        assert_eq!(m10k(&[9999, 9999, 9999, 9999]), Some(9_999_999_999_999_999));
        for none in [&[0, 10_000][..], &[-10_000, 0], &[1, -1], &[-1, 0, 1]] {
            assert_eq!(m10k(none), None, "{none:?}");
        }
    }

    /// Against `date -u -d … +%s`.
    #[test]
    fn times_are_milliseconds_since_1970() {
        for (format, words, expected) in [
            (TimeFormat::Unix32, &[0x6553, 0xF100][..], Some(1_700_000_000_000)),
            (TimeFormat::Unix32, &[0xFFFF, 0xFFFF], Some(4_294_967_295_000)),
            (TimeFormat::Unix64, &[0, 0, 0x6553, 0xF100], Some(1_700_000_000_000)),
            (TimeFormat::Unix64, &[0x7FFF, 0, 0, 0], None),
            (TimeFormat::Unix64Ms, &[0, 0x018B, 0xCFE5, 0x6800], Some(1_700_000_000_000)),
            (TimeFormat::Unix64Ms, &[0x8000, 0, 0, 0], None),
            // 2023-11-14T22:13:20Z.
            (TimeFormat::Words, &[2023, 11, 14, 22, 13, 20], Some(1_700_000_000_000)),
            (TimeFormat::Words, &[23, 11, 14, 22, 13, 20], Some(1_700_000_000_000)),
            (TimeFormat::Bytes, &[0x170B, 0x0E16, 0x0D14], Some(1_700_000_000_000)),
            // With a day of the week, a flag of summer time and milliseconds.
            (TimeFormat::Iec, &[0x0017, 0x0B4E, 0x960D, 20_123], Some(1_700_000_000_123)),
            (TimeFormat::Words, &[2024, 2, 29, 0, 0, 0], Some(1_709_164_800_000)),
            (TimeFormat::Words, &[2000, 3, 1, 23, 59, 59], Some(951_955_199_000)),
            (TimeFormat::Words, &[1970, 1, 1, 0, 0, 0], Some(0)),
            (TimeFormat::Words, &[2023, 2, 29, 0, 0, 0], None),
            (TimeFormat::Words, &[2100, 2, 29, 0, 0, 0], None),
            (TimeFormat::Words, &[2023, 13, 1, 0, 0, 0], None),
            (TimeFormat::Words, &[2023, 0, 0, 0, 0, 0], None),
            (TimeFormat::Words, &[2023, 4, 31, 0, 0, 0], None),
            (TimeFormat::Words, &[2023, 1, 1, 24, 0, 0], None),
            (TimeFormat::Words, &[1900, 1, 1, 0, 0, 0], None),
            (TimeFormat::Bytes, &[0xFFFF, 0xFFFF, 0xFFFF], None),
            (TimeFormat::Iec, &[23, 0x0B0E, 0x160D, 60_000], None),
            (TimeFormat::Iec, &[23, 0x0B0E, 0x168D, 0], None), // said to be invalid
            (TimeFormat::Iec, &[0, 0, 0, 0], None),
        ] {
            assert_eq!(time(format, words), expected, "{format:?} {words:x?}");
        }
    }

    #[test]
    fn network_addresses_are_texts() {
        assert_eq!(network(NetworkFormat::Ipv4, &[0xC000, 0x020A]), ("192.0.2.10".to_owned(), false));
        assert_eq!(network(NetworkFormat::Eui48, &[0, 0x1234, 0x5678, 0x90AB]), ("12:34:56:78:90:AB".to_owned(), false));
        let address = [0x2001, 0x0DB8, 0x85A3, 0, 0, 0x8A2E, 0x0370, 0x7334];
        assert_eq!(network(NetworkFormat::Ipv6, &address), ("2001:db8:85a3::8a2e:370:7334".to_owned(), false));
        for (format, words) in [
            (NetworkFormat::Ipv4, &[0, 0][..]),
            (NetworkFormat::Ipv6, &[0; 8]),
            (NetworkFormat::Eui48, &[0; 4]),
            (NetworkFormat::Eui48, &[0, 0xFFFF, 0xFFFF, 0xFFFF]),
        ] {
            assert!(network(format, words).1, "{format:?}");
        }
    }

    proptest! {
        #[test]
        fn digits_survive(number in 0..10_000_000_000_000_000_u64, negative in any::<bool>()) {
            let packed = u64::from_str_radix(&number.to_string(), 16).unwrap();
            prop_assert_eq!(bcd(packed, 4), Some(number));
            let sign = if negative { -1 } else { 1 };
            let words = [1_000_000_000_000, 100_000_000, 10_000, 1].map(|unit| ((number / unit % 10_000) as i16 * sign) as u16);
            prop_assert_eq!(m10k(words.into_iter()), Some(number as i64 * i64::from(sign)));
        }

        /// Day by day: no day is missing and none is there twice.
        #[test]
        fn the_next_second_is_the_next_second(seconds in 946_684_800_i64..4_102_444_799) {
            let day = |at: i64| {
                let (mut days, mut year) = (at.div_euclid(86_400), 1970);
                let length = |year: i64| if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) { 366 } else { 365 };
                while days >= length(year) {
                    days -= length(year);
                    year += 1;
                }
                let february = length(year) - 337;
                let mut month = 0;
                for in_month in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                    month += 1;
                    if days < in_month {
                        break;
                    }
                    days -= in_month;
                }
                [year, month, days + 1, at / 3600 % 24, at / 60 % 60, at % 60].map(|part| part as u16)
            };
            prop_assert_eq!(time(TimeFormat::Words, &day(seconds)), Some(seconds * 1000));
        }
    }
}
