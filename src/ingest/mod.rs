//! From the sample sink to sealed chunks: journal (durable acknowledgement), heads, current values, sealing.

pub mod sink;
