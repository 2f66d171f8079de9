//! The catalog behind a configuration: that of the historian that runs on its data directory, or what lies in there.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use super::{
    client::{ServerArgs, TokenArgs},
    tag,
};
use historian_model::{SystemClock, ValueType};
use historian_server::config::ServerSettings;
use historian_store::{Catalog, StoppedStore, StoreError};
use historian_tls::TlsFiles;

/// Value types of all tags by name; none where there is no data directory yet.
///
/// # Errors
/// When neither the directory nor the historian on it can be read.
pub async fn held_types(server: &ServerSettings, tls: Option<&TlsFiles>, token: &TokenArgs) -> anyhow::Result<HashMap<String, ValueType>> {
    let directory = server.data_dir.clone();
    if !directory.join("rocksdb").exists() {
        return Ok(HashMap::new());
    }
    let at_rest = tokio::task::spawn_blocking(move || -> Result<_, StoreError> {
        let stopped = StoppedStore::open(&directory)?;
        let catalog = Catalog::open(stopped.store.clone(), Arc::new(SystemClock), usize::MAX)?;
        let tags = catalog.ids().into_iter().filter_map(|id| catalog.by_id(id));
        Ok(tags.map(|tag| (tag.name().to_string(), tag.value_type())).collect())
    });
    match at_rest.await? {
        Ok(held) => Ok(held),
        Err(refused) => match ask(server, tls, token).await {
            Ok(held) => Ok(held),
            Err(error) => Err(error.context(refused)),
        },
    }
}

/// As the historian tells them that listens where the configuration says.
async fn ask(server: &ServerSettings, tls: Option<&TlsFiles>, token: &TokenArgs) -> anyhow::Result<HashMap<String, ValueType>> {
    let mut listen = server.listen;
    if listen.ip().is_unspecified() {
        listen.set_ip(if listen.is_ipv4() { IpAddr::from([127, 0, 0, 1]) } else { IpAddr::from([0_u16, 0, 0, 0, 0, 0, 0, 1]) });
    }
    let channel = ServerArgs::at(listen, tls, token.clone())?.connect().await?;
    let mut pages = tag::Pages::new(channel, Vec::new(), String::new());
    let mut held = HashMap::new();
    while let Some(tags) = pages.next().await? {
        held.extend(tags.into_iter().filter_map(|tag| Some((tag.name.clone(), tag::value_type(&tag)?))));
    }
    Ok(held)
}
