//! One call from its first to its last byte: its id, what is known of it, and the line in the log that tells of its end. [`layer`] stands in
//! front of all services of the gRPC port, [`web`] in front of the routes of the HTTP port; what serves a call adds what it learns to its
//! [`CallRecord`].

mod end;
mod id;
mod layer;
mod record;
mod web;

pub use self::{
    end::CallLog,
    layer::{CalledLayer, CalledService},
    record::CallRecord,
    web::called_web,
};
