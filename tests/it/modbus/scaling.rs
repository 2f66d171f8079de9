//! Scaled values are the doubles nearest to the decimal results, judged by Python's `decimal`.

use std::{io::Write, process::Stdio};

use historian::modbus::scaling::Scaling;

use crate::support::peer::interpreter;

/// Scale and offset as they are written in a configuration.
const CASES: [(&str, &str); 14] = [
    ("0.1", "0"),
    ("0.01", "0"),
    ("0.001", "0"),
    ("0.05", "0"),
    ("0.25", "0"),
    ("0.1", "-40"),
    ("0.01", "-273.15"),
    ("0.0244140625", "-12.5"),
    ("1.8", "32"),
    ("-0.1", "0.05"),
    ("0.000123", "1e-7"),
    ("6.103515625e-5", "4"),
    ("1e3", "0.5"),
    ("0.3333333333333333", "0.1"),
];

const JUDGE: &str = r"
import struct, sys
from decimal import Decimal, getcontext
getcontext().prec = 100
for line in sys.stdin:
    scale, offset = (Decimal(word) for word in line.split())
    raws = list(range(65536)) + list(range(-32768, 0)) + [2**32 - 1, -2**31, 2**53 + 1, 2**63 - 1, -2**63, 2**64 - 1]
    for raw in raws:
        sys.stdout.buffer.write(struct.pack('<d', float(raw * scale + offset)))
";

#[test]
fn scaled_values_are_the_doubles_nearest_to_the_decimal_results() {
    let mut judge = std::process::Command::new(interpreter());
    let mut judge = judge.args(["-c", JUDGE]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = judge.stdin.take().unwrap();
    for (scale, offset) in CASES {
        writeln!(input, "{scale} {offset}").unwrap();
    }
    drop(input);
    let output = judge.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut judged = output.stdout.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()));
    let wide = [u32::MAX.into(), i32::MIN.into(), (1_i128 << 53) + 1, i64::MAX.into(), i64::MIN.into(), u64::MAX.into()];
    for (scale, offset) in CASES {
        let scaling = Scaling::new(scale.parse().unwrap(), offset.parse().unwrap());
        for raw in (0..65_536).chain(-32_768..0).chain(wide) {
            let (found, expected) = (scaling.of_integer(raw), judged.next().unwrap());
            assert_eq!(found.to_string(), expected.to_string(), "{raw} × {scale} + {offset}");
        }
    }
    assert_eq!(judged.next(), None);
}
