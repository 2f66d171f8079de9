//! Running the historian: what its log and its metrics tell, whether its health tells the truth, and a configuration that changes while it runs.

use std::{fs, path::PathBuf, time::Duration};

use historian_proto::v1::{GetTagRequest, ListTagsRequest, tag_service_client::TagServiceClient};
use tonic::{Request, Response, Status, metadata::MetadataValue};

use crate::support::historian::{Historian, Launcher, launcher, run};

mod doctor;
mod health;
mod log;
mod metrics;
mod reload;
mod rename;
mod trace;

pub use metrics::FORMS;

const PATIENCE: Duration = Duration::from_mins(1);

/// A directory with a configuration, and a historian that runs by it.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Site {
        Site { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn configure(&self, text: &str) {
        fs::write(self.path("historian.toml"), text).unwrap();
    }

    /// How to start it; `level` is `HISTORIAN_LOG`, which wins over the configuration unless it is empty.
    fn launcher(&self, level: &'static str) -> Launcher {
        let config = self.path("historian.toml").display().to_string();
        Launcher { level, ..launcher(&self.path("data"), &["--config", &config]) }
    }

    fn start(&self, level: &'static str) -> Historian {
        self.launcher(level).start().unwrap()
    }

    /// A token of an administrator.
    fn token(&self) -> String {
        fs::create_dir_all(self.path("data")).unwrap();
        let data = self.path("data").display().to_string();
        let (code, out, err) = run(&["token", "create", "watcher", "--role", "admin", "--data-dir", &data]);
        assert_eq!(code, 0, "{out}{err}");
        let token = format!("{out}{err}").split_whitespace().find(|word| word.starts_with("hst_")).map(str::to_owned);
        token.unwrap_or_else(|| panic!("{out}{err}"))
    }
}

/// A call with these headers.
fn with<T>(message: T, headers: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in headers {
        request.metadata_mut().insert(*name, MetadataValue::try_from(*value).unwrap());
    }
    request
}

async fn list_tags(
    historian: &Historian,
    headers: &[(&'static str, &str)],
) -> Result<Response<historian_proto::v1::ListTagsResponse>, Status> {
    TagServiceClient::new(historian.channel().await.unwrap()).list_tags(with(ListTagsRequest::default(), headers)).await
}

async fn get_tag(historian: &Historian, name: &str, headers: &[(&'static str, &str)]) -> Status {
    let mut client = TagServiceClient::new(historian.channel().await.unwrap());
    client.get_tag(with(GetTagRequest { name: name.to_owned() }, headers)).await.expect_err("there is no such tag")
}
