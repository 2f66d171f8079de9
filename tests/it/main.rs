//! The one integration test binary: the historian from outside, with peers that no one here wrote.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod access;
mod api;
mod audit;
mod backup;
mod bad_input;
mod bi;
mod cli;
mod clients;
mod connections;
mod corrections;
mod default_clients;
mod delivery;
mod demo;
mod documents;
mod go;
mod house;
mod http_api;
mod jdbc;
mod modbus;
mod mutated;
mod opcua;
mod opcua_session;
mod opcua_times;
mod opcua_wire;
mod operations;
mod oversized;
mod packaging;
mod page;
mod path;
mod peers;
mod protos;
mod query;
mod read_only;
mod salvage;
mod selection;
mod shares;
mod silence;
mod sql;
mod support;
mod tls;
mod told;
mod types;
mod write_doors;
mod zones;
