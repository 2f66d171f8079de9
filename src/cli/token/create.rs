//! `historian token create`: a new token, its secret on standard output, and what to do with it on standard error.

use std::{io::Write, process::ExitCode};

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;

use super::{
    grant::{GrantArgs, note, told},
    place::{DataDirArgs, refused},
};
use crate::{
    Misuse,
    output::{OutputFile, TextFormat},
};
use historian_access::{AccessFile, CreatedToken, NewToken};
use historian_model::{Clock, SystemClock, Timestamp, time::length_of_time};

#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// Whom the token is for: a person, a program, a machine. The audit log names it.
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    place: DataDirArgs,
    #[command(flatten)]
    grants: GrantArgs,
    /// When the token ends: after a time such as 90d, at a time of RFC 3339, or never.
    #[arg(long, value_name = "TIME", default_value = "365d")]
    expires: String,
    /// Output format.
    #[arg(long, value_enum, default_value_t)]
    format: TextFormat,
}

pub fn run(args: TokenCreateArgs) -> anyhow::Result<ExitCode> {
    let now = SystemClock.now();
    let expires = expiry(&args.expires, now)?;
    let grants = args.grants.needed()?;
    let file = args.place.file()?;
    let new = NewToken { name: args.name, grants, expires };
    let CreatedToken { id, secret } = AccessFile::create_token(&file, new.clone(), now).map_err(refused)?;
    let mut output = OutputFile::stdout();
    let told = match args.format {
        TextFormat::Table => secret,
        TextFormat::Json => {
            let grants: Vec<_> = new.grants.iter().map(|grant| json!({"role": grant.role.name(), "tags": grant.tags})).collect();
            let expires = new.expires.map(|at| at.to_string());
            json!({"id": id, "name": new.name, "secret": secret, "grants": grants, "expires": expires}).to_string()
        }
    };
    if let Err(error) = writeln!(output, "{told}").and_then(|()| output.finish()) {
        // Nobody has it, so nobody will miss it.
        AccessFile::revoke(&file, &id.to_string(), now).map_err(refused)?;
        return Err(error.into());
    }
    let _ = write!(std::io::stderr(), "{}", summary(id, &new));
    Ok(ExitCode::SUCCESS)
}

/// When a token ends that is made now; `None` for never.
fn expiry(text: &str, now: Timestamp) -> Result<Option<Timestamp>, Misuse> {
    let text = text.trim();
    if text == "never" {
        return Ok(None);
    }
    let is_length = text.ends_with(|letter: char| letter.is_ascii_lowercase());
    if let Some(length) = length_of_time(text).filter(|length| is_length && *length > 0) {
        return Ok(Some(Timestamp(now.0.saturating_add(length))));
    }
    let refuse = |reason: String| Misuse(format!("--expires {text}: {reason}"));
    let at = Timestamp::parse(text, now, &TimeZone::UTC);
    at.map(Some).map_err(|error| refuse(format!("is no length of time such as 90d, not `never`, and no time: {}", error.reason)))
}

/// What the token is, and what to do with it. Its secret is on standard output alone, so that a script can take it from there.
fn summary(id: u64, new: &NewToken) -> String {
    let expires = new.expires.map_or_else(|| "does not expire".to_owned(), |at| format!("expires {at}"));
    let mut text = format!("token {id} ({}): {}; {expires}\n", new.name, told(&new.grants));
    text += note(&new.grants);
    text += "It is shown this once; only its hash is kept. Where TOKEN stands, it is meant:\n";
    for (client, line) in [
        ("commands, Python package", "export HISTORIAN_TOKEN=TOKEN"),
        ("pyarrow", "FlightCallOptions(headers=[(b\"authorization\", b\"Bearer TOKEN\")])"),
        ("ADBC", "db_kwargs={\"adbc.flight.sql.authorization_header\": \"Bearer TOKEN\"}"),
        ("JDBC", "jdbc:arrow-flight-sql://127.0.0.1:8815/?useEncryption=false&token=TOKEN"),
    ] {
        text += &format!("  {client:<24}  {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_access::{Grant, Role};

    #[test]
    fn an_expiry_is_a_length_a_time_or_never() {
        let now = Timestamp(1_774_785_600_000_000_000); // 2026-03-29T12:00:00Z
        for (text, expected) in [
            ("never", None),
            ("90d", Some("2026-06-27T12:00:00Z")),
            ("1h30m", Some("2026-03-29T13:30:00Z")),
            ("2027-01-01T00:00:00+01:00", Some("2026-12-31T23:00:00Z")),
            ("2027-01-01", Some("2027-01-01T00:00:00Z")),
        ] {
            assert_eq!(expiry(text, now).unwrap().map(|at| at.to_string()).as_deref(), expected, "{text}");
        }
        for text in ["", "90", "soon", "0d", "-1d", "Never"] {
            assert!(expiry(text, now).unwrap_err().to_string().starts_with(&format!("--expires {text}: ")), "{text}");
        }
    }

    #[test]
    fn the_summary_tells_what_the_token_may_do_and_nothing_secret() {
        let tags = (0..7).map(|number| format!("area{number}/**")).collect();
        let grants = vec![Grant { role: Role::Reader, tags }, Grant { role: Role::Auditor, tags: Vec::new() }];
        let text = summary(3, &NewToken { name: "ana".to_owned(), grants, expires: None });
        let first = "token 3 (ana): reader on area0/**, area1/**, area2/**, area3/**, area4/** and 2 more; auditor; does not expire\n";
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains("export HISTORIAN_TOKEN=TOKEN") && !text.contains("hst_"), "{text}");
    }
}
