//! Operators: aggregates of OPC UA Part 13, plots, detectors of anomalies and key figures. Pure: samples and states of one tag in, answers
//! out. They know neither Arrow nor the store, and read no clock.

pub mod aggregate;
pub mod anomaly;
pub mod downsample;
pub mod kpi;
