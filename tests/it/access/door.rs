//! The doors: for each way into the historian a small call about a tag, what it takes by the promise, and what is answered to who has it.
//!
//! Written from what is promised, not from the table of the interface: the two are compared by calling.

pub mod flight;
mod grpc;
pub mod http;
pub mod listed;
pub mod sql;

use bytes::Bytes;
use futures::future::BoxFuture;
use prost::Message;

use super::{call::Client, call::Outcome, plant::Who};

/// What a door takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: supervisors and load balancers have no name.
    Open,
    /// That it is known who calls, whoever it is.
    Known,
    Read,
    Write,
    Configure,
    Correct,
    Audit,
    Administer,
}

impl Need {
    /// The promise: which role has what.
    pub fn is_met_by(self, who: Who) -> bool {
        use Need::{Administer, Audit, Configure, Correct, Known, Open, Read, Write};
        let of_role: &[Need] = match who {
            Who::Nobody | Who::Unknown | Who::Expired | Who::Revoked => &[],
            Who::Reader | Who::SeenReader | Who::Certificate => &[Known, Read],
            Who::Writer => &[Known, Write],
            Who::Engineer | Who::SeenEngineer | Who::OidcRole => &[Known, Read, Write, Configure, Correct],
            Who::Auditor => &[Known, Audit],
            Who::Admin | Who::Local => &[Known, Read, Write, Configure, Correct, Audit, Administer],
        };
        self == Open || of_role.contains(&self)
    }
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// No tag, or all that one sees.
    Nothing,
    /// A tag that is there, and stays as it is.
    Tag,
    /// A tag that the call makes.
    NewTag,
    /// A tag that is another one, or none, afterwards.
    TagThatGoes,
}

/// How two answers to the same question are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// Byte for byte.
    Bytes,
    /// By their lengths: they have times of the run, or random handles.
    Lengths,
    /// By code and message: they have what goes on meanwhile.
    Code,
}

type Ask = Box<dyn Fn(Client, String) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// One way in.
pub struct Door {
    /// What it is a cell of, by the names of [`listed`].
    pub cells: Vec<String>,
    /// What tells it from other calls of the same.
    pub variant: String,
    pub need: Need,
    pub about: About,
    /// What is answered to who may, about a tag that he may it on.
    pub ok: &'static str,
    /// What is answered about a tag that is not there, or not for who asks.
    pub absent: &'static str,
    /// True where the name may be a glob, and the answer has names.
    pub globs: bool,
    pub same: Same,
    ask: Ask,
}

impl Door {
    fn new<F>(cell: impl Into<String>, need: Need, about: About, ask: impl Fn(Client, String) -> F + Send + Sync + 'static) -> Door
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let ask: Ask = Box::new(move |client, tag| Box::pin(ask(client, tag)));
        let (cells, variant) = (vec![cell.into()], String::new());
        Door { cells, variant, need, about, ok: "Ok", absent: "NotFound", globs: false, same: Same::Bytes, ask }
    }

    /// A method with one request.
    fn method<Q: Message + 'static>(
        method: &'static str,
        need: Need,
        about: About,
        request: impl Fn(String) -> Q + Send + Sync + 'static,
    ) -> Door {
        Door::new(format!("grpc {method}"), need, about, move |client, tag| {
            let request = request(tag);
            async move { client.ask(method, &request).await }
        })
    }

    fn also(mut self, cell: impl Into<String>) -> Door {
        self.cells.push(cell.into());
        self
    }

    fn variant(self, variant: impl Into<String>) -> Door {
        Door { variant: variant.into(), ..self }
    }

    fn ok(self, ok: &'static str) -> Door {
        Door { ok, ..self }
    }

    fn absent(self, absent: &'static str) -> Door {
        Door { absent, ..self }
    }

    fn globs(self) -> Door {
        Door { globs: true, ..self }
    }

    fn same(self, same: Same) -> Door {
        Door { same, ..self }
    }

    /// True where the code of an outcome is the number of HTTP. The problem documents of the API have the codes of gRPC.
    pub fn has_numbers(&self) -> bool {
        self.cells[0].starts_with("http ") && !self.cells[0].starts_with("http /api/")
    }

    pub fn name(&self) -> String {
        let variant = if self.variant.is_empty() { String::new() } else { format!(" ({})", self.variant) };
        format!("{}{variant}", self.cells.join(", "))
    }

    pub async fn ask(&self, client: Client, tag: &str) -> Outcome {
        (self.ask)(client, tag.to_owned()).await
    }
}

/// Every door of a historian.
pub fn doors() -> Vec<Door> {
    grpc::doors().into_iter().chain(flight::doors()).chain(sql::doors()).chain(http::doors()).collect()
}

/// A message of the wire.
fn bytes(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}
