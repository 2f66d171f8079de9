//! What a kind of query tells of itself: its request and how that becomes a resolved query, and what the answer is at each door.

use std::{
    any::Any,
    fmt::{self, Debug},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use prost::{Message, Name};
use tonic::Status;

use super::asker::Asker;
use crate::{Services, request, status};
use historian_model::TimeRange;
use historian_query::{QueryEngine, QueryError, QueryLimits};

/// Exact names of a request that no tag has. Unlike a glob they are a mistake of the asker.
pub type UnknownNames = Vec<String>;

/// Receives batches; answers false to stop.
pub type Emit<'a> = &'a mut dyn FnMut(RecordBatch) -> bool;

/// Which calls of Flight answer a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `DoGet`, which `GetFlightInfo` and `GetSchema` plan.
    Get,
    /// `DoGet` alone: the answer has no end.
    Follow,
    /// `DoExchange`, which takes rows of the client.
    Exchange,
}

/// A kind of query; the type is its resolved query.
pub trait QueryKind: Sized + Send + Sync + 'static {
    /// Its command: the key in JSON, and the name in messages and documents.
    const NAME: &'static str;
    /// Its method of `QueryService`.
    const METHOD: &'static str;
    const DOOR: Door;
    /// Its table function of SQL.
    const SQL: Option<&'static str>;
    /// Body of the command and input of the method.
    type Request: Message + Name + Default + Debug + Send + Sync + 'static;

    /// Resolves a request against catalog and clock: the one place where that is done. Blocks on the catalog.
    ///
    /// # Errors
    /// Names the field that cannot be answered.
    fn resolve(asker: &Asker<'_>, request: Self::Request) -> Result<(Self, UnknownNames), Status>;

    /// Resolves a request for `DoGet`, `GetFlightInfo` and `GetSchema`; kinds of another door refuse it. Blocks on the catalog.
    ///
    /// # Errors
    /// As [`QueryKind::resolve`].
    fn plan(asker: &Asker<'_>, request: Self::Request) -> Result<(Box<dyn Resolved>, UnknownNames), Status>;
}

/// A resolved query of the door [`Door::Get`]: its answer as Arrow.
pub trait Resolved: Send + Sync {
    /// Schema of the answer; its metadata has the bounds as resolved.
    ///
    /// # Errors
    /// When there is none, for a wide answer of too many tags.
    fn schema(&self, engine: &QueryEngine) -> Result<SchemaRef, Status>;

    /// What `GetFlightInfo` tells besides the schema. Blocks on the store for estimates.
    ///
    /// # Errors
    /// When an estimate cannot be read, or the limits say that nobody waits for it.
    fn endpoints(&self, services: &Services, limits: &QueryLimits) -> Result<Endpoints, Status>;

    /// What comes first: the schema, and batches that are there before it. Blocks.
    ///
    /// # Errors
    /// As [`Resolved::schema`], and of the batches.
    fn begin(&self, engine: &QueryEngine, _limits: &QueryLimits) -> Result<(SchemaRef, Vec<RecordBatch>), Status> {
        Ok((self.schema(engine)?, Vec::new()))
    }

    /// Hands all further batches to `emit`, in order. Blocks.
    ///
    /// # Errors
    /// See [`QueryError`]; batches handed out before stand.
    fn batches(&self, engine: &QueryEngine, limits: &QueryLimits, emit: Emit<'_>) -> Result<(), QueryError>;
}

/// Where the answer of a query is to be had, and about how large it is.
pub struct Endpoints {
    /// The bounds, of kinds that have some.
    pub range: Option<TimeRange>,
    pub rows: Option<u64>,
    pub bytes: Option<u64>,
    /// The answers to these tickets, joined in their order, are the answer.
    pub tickets: Vec<Vec<u8>>,
}

impl Endpoints {
    /// One endpoint for the whole answer, of unknown size.
    pub fn whole(range: Option<TimeRange>, ticket: Vec<u8>) -> Endpoints {
        Endpoints { range, rows: None, bytes: None, tickets: vec![ticket] }
    }
}

/// A request of some kind, which came as a command or a ticket.
pub trait Asked: Debug + Send + Sync {
    /// The request as a self-contained protobuf ticket.
    fn to_ticket(&self) -> Vec<u8>;

    /// See [`QueryKind::plan`].
    ///
    /// # Errors
    /// As there.
    fn plan(self: Box<Self>, asker: &Asker<'_>) -> Result<(Box<dyn Resolved>, UnknownNames), Status>;

    /// See [`QueryKind::NAME`].
    fn kind(&self) -> &'static str;

    /// The request itself, for who looks for one of a certain kind.
    fn request(&self) -> &dyn Any;
}

/// A request of a known kind.
struct RequestOf<K: QueryKind>(K::Request);

impl<K: QueryKind> Debug for RequestOf<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple(K::NAME).field(&self.0).finish()
    }
}

impl<K: QueryKind> Asked for RequestOf<K> {
    fn to_ticket(&self) -> Vec<u8> {
        request::any(&self.0)
    }

    fn plan(self: Box<Self>, asker: &Asker<'_>) -> Result<(Box<dyn Resolved>, UnknownNames), Status> {
        K::plan(asker, self.0)
    }

    fn kind(&self) -> &'static str {
        K::NAME
    }

    fn request(&self) -> &dyn Any {
        &self.0
    }
}

/// Reads the body of a command.
type FromJson = fn(serde_json::Value) -> Result<Box<dyn Asked>, Status>;
/// Reads the content of an `Any`.
type FromProtobuf = fn(&[u8]) -> Result<Box<dyn Asked>, Status>;

/// A kind as the list has it.
pub struct Kind {
    /// See [`QueryKind::NAME`].
    pub name: &'static str,
    /// See [`QueryKind::METHOD`].
    pub method: &'static str,
    pub door: Door,
    /// See [`QueryKind::SQL`].
    pub sql: Option<&'static str>,
    /// Full name of the request.
    pub message: fn() -> String,
    pub from_json: FromJson,
    pub from_protobuf: FromProtobuf,
}

impl Kind {
    pub const fn of<K: QueryKind>() -> Kind {
        Kind {
            name: K::NAME,
            method: K::METHOD,
            door: K::DOOR,
            sql: K::SQL,
            message: K::Request::full_name,
            from_json: |body| Ok(Box::new(RequestOf::<K>(request::from_json(K::NAME, body)?))),
            from_protobuf: |value| Ok(Box::new(RequestOf::<K>(request::from_protobuf(value)?))),
        }
    }
}

/// A resolved query as one of any kind.
pub fn boxed<Q: Resolved + 'static>((query, missing): (Q, UnknownNames)) -> (Box<dyn Resolved>, UnknownNames) {
    (Box::new(query), missing)
}

/// The refusal of a kind by the calls of another door.
pub fn refused<K: QueryKind>() -> Status {
    let why = match K::DOOR {
        Door::Get => "is a command of DoGet".to_owned(),
        Door::Follow => "has no end, so there is nothing to plan; use it as a ticket of DoGet".to_owned(),
        Door::Exchange => {
            format!("is a command of DoExchange, which takes the rows to join; or use the method {} of gRPC", K::METHOD)
        }
    };
    status::invalid(K::NAME, why)
}
