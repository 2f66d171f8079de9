//! A set of redundant servers: which of them is used. To the plant they are one device with the same nodes (OPC UA Part 4, 6.6.2,
//! non-transparent redundancy); a client has one connection and makes another when it has to (failover mode Cold).
//!
//! [`set`] says which server is tried next, [`level`] what a server says of itself, [`watch`] looks at that beside the subscriptions and looks for a
//! better server while there is still a connection.

pub mod level;
pub mod set;
pub mod watch;
