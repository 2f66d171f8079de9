//! SQL from outside: the ADBC driver for Flight SQL, and what stands on it.

use historian::api::ApiLimits;

use crate::api::{Historian, python};

#[test]
fn adbc_reads_and_nothing_is_written() {
    let limits = ApiLimits { sql_memory_bytes_max: 16 << 20, ..ApiLimits::default() };
    let historian = Historian::start(limits);
    python("sql_adbc.py", &[&historian.grpc.to_string()]);
}
