//! `[[zone]]`: what clients may do that come by a listener of their own.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use historian_access::{Right, RightSet};
use historian_api::NetworkZone;
use historian_collector::ConfigProblem;

use super::{
    document::Document,
    settings::{ZoneSection, ZoneSettings},
};

/// Reads all zones; what is wrong with them goes to the problems of the document.
pub(super) fn read(document: &mut Document) -> Vec<ZoneSettings> {
    let mut zones = Vec::new();
    let mut names = HashSet::new();
    for table in document.devices("zone") {
        let (key, position) = (table.key.clone(), table.position.clone());
        let Some((section, has_tags)) = document.tagless::<ZoneSection>(table) else { continue };
        let repeated = !names.insert(section.name.clone());
        let ZoneSection { name, listen, http, rights } = section;
        let parsed: Result<Vec<Right>, String> = rights.iter().map(|right| right.parse()).collect();
        let refused = match &parsed {
            _ if has_tags => "a zone has rights and no tags; tags are those of the grants of who calls".to_owned(),
            _ if repeated => format!("there are two zones {name:?}; they are told apart by their names"),
            _ if listen.is_none() && http.is_none() => "listens nowhere; give it `listen`, `http` or both".to_owned(),
            Ok(rights) if rights.is_empty() => {
                format!("lets nothing through; `rights` are some of {}", Right::ALL.map(Right::name).join(", "))
            }
            Err(wrong) => wrong.clone(),
            Ok(rights) => {
                zones.push(ZoneSettings { zone: Arc::new(NetworkZone { name, rights: RightSet::of(rights) }), listen, http });
                continue;
            }
        };
        document.problems.push(ConfigProblem { position, key, message: refused });
    }
    zones
}

/// All addresses that zones listen on, with the key of each.
pub fn addresses(zones: &[ZoneSettings]) -> impl Iterator<Item = (String, SocketAddr)> {
    zones.iter().flat_map(|zone| {
        let key = |setting: &str| format!("zone.{}.{setting}", zone.zone.name);
        [zone.listen.map(|address| (key("listen"), address)), zone.http.map(|address| (key("http"), address))].into_iter().flatten()
    })
}
