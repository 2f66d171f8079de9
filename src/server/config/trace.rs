//! The collector of `[trace]`: whether it can be reached at all by what is written, and whether its authority can be read.

use std::path::{Path, PathBuf};

use historian_collector::{ConfigProblem, SettingPosition};
use historian_tls::ClientTls;
use historian_trace::{TraceAddress, TraceSettings};
use serde::Deserialize;

const SERVICE_NAME: &str = "historian";

/// Where traces of calls go: `[trace]`, as written.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TraceSection {
    /// A collector of OpenTelemetry that takes OTLP over gRPC. Without it nothing is traced.
    endpoint: Option<String>,
    /// An authority to trust beside those of this machine.
    ca: Option<PathBuf>,
    /// Share of the calls that are traced, of those whose clients do not say.
    share: Option<f64>,
    /// What this historian is called there.
    service_name: Option<String>,
}

/// The collector, where one is configured. Relative paths start at `directory`.
pub(super) fn collector(
    written: TraceSection,
    directory: &Path,
    position_of: impl Fn(&str) -> SettingPosition,
    problems: &mut Vec<ConfigProblem>,
) -> Option<TraceSettings> {
    if written == TraceSection::default() {
        return None;
    }
    let before = problems.len();
    let mut refuse = |key: &str, message: String| {
        let key = format!("trace.{key}");
        problems.push(ConfigProblem { position: position_of(&key), key, message });
    };
    let TraceSection { endpoint, ca, share, service_name } = written;
    let endpoint = match endpoint.as_deref().map(str::parse::<TraceAddress>) {
        Some(Ok(endpoint)) => Some(endpoint),
        Some(Err(message)) => {
            refuse("endpoint", message);
            None
        }
        None => {
            refuse("endpoint", "is needed: the address of a collector that takes OTLP over gRPC".to_owned());
            None
        }
    };
    let ca = ca.map(|path| directory.join(path));
    if ca.is_some() && endpoint.as_ref().is_some_and(|endpoint| !endpoint.has_tls) {
        refuse("ca", "is for TLS, and the endpoint is without; write https://".to_owned());
    } else if let Err(problem) = (ClientTls { ca: ca.clone(), pair: None }).config() {
        refuse("ca", problem.to_string());
    }
    let share = share.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&share) {
        refuse("share", format!("{share} is not from 0 to 1"));
    }
    let service_name = service_name.unwrap_or_else(|| SERVICE_NAME.to_owned());
    if service_name.trim().is_empty() {
        refuse("service_name", "is empty; leave it out for \"historian\"".to_owned());
    }
    let endpoint = endpoint.filter(|_| problems.len() == before)?;
    Some(TraceSettings { endpoint, ca, share, service_name })
}

#[cfg(test)]
mod tests {
    use super::super::{Overrides, parse};
    use super::*;

    fn told(text: &str) -> Result<Option<TraceSettings>, Vec<String>> {
        let parsed = parse("f.toml", text, Path::new("/nowhere"), &Overrides::default());
        parsed.map(|configuration| configuration.trace).map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_collector_is_read_with_its_defaults() {
        assert_eq!(told("").unwrap(), None);
        let collector = told("[trace]\nendpoint = \"http://127.0.0.1:4317\"\n").unwrap().unwrap();
        assert_eq!(collector.endpoint.to_string(), "http://127.0.0.1:4317");
        assert_eq!((collector.ca, collector.share.to_string(), collector.service_name.as_str()), (None, "1".to_owned(), "historian"));
    }

    #[test]
    fn what_is_wrong_with_a_collector_is_told_with_its_line() {
        let whole = "[trace]\nendpoint = \"http://127.0.0.1:4317\"\n";
        for (text, expected) in [
            ("[trace]\nshare = 0.5\n".to_owned(), "f.toml: trace.endpoint: is needed"),
            (whole.replace("http://", ""), "f.toml:2: trace.endpoint: \"127.0.0.1:4317\" is no address of a collector"),
            (format!("{whole}ca = \"ca.crt\"\n"), "f.toml:3: trace.ca: is for TLS"),
            (format!("{}ca = \"ca.crt\"\n", whole.replace("http", "https")), "f.toml:3: trace.ca: /nowhere/ca.crt: there is no such file"),
            (format!("{whole}share = 1.5\n"), "f.toml:3: trace.share: 1.5 is not from 0 to 1"),
            (format!("{whole}share = nan\n"), "f.toml:3: trace.share: NaN is not from 0 to 1"),
            (format!("{whole}service_name = \"\"\n"), "f.toml:3: trace.service_name: is empty"),
            (format!("{whole}url = \"x\"\n"), "f.toml:3: trace.url"),
        ] {
            let found = told(&text).unwrap_err();
            assert!(found.len() == 1 && found[0].starts_with(expected), "{found:#?}");
        }
    }
}
