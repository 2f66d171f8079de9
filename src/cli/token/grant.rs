//! Grants as flags: `--role reader --tags area1/**`, `--grant engineer=area1/**,area2/{a,b}`.

use std::str::FromStr;

use clap::Args;
use historian_access::{Grant, Role};

use crate::{Misuse, output};

/// Tags of a grant that a line names.
const TAGS_SHOWN: usize = 5;

/// What somebody may do.
#[derive(Clone, Debug, Default, Args)]
pub struct GrantArgs {
    /// What is granted: reader, writer (stores samples, sees nothing), engineer (reads, writes, changes tags, corrects), auditor (reads the audit
    /// log only), admin (everything). May be repeated.
    #[arg(long, value_name = "ROLE")]
    role: Vec<Role>,
    /// Tags that --role holds for: a name or a glob, `*` within a level, `**` across levels; may be repeated [default: all].
    #[arg(long, value_name = "GLOB", requires = "role")]
    tags: Vec<String>,
    /// A role on some tags, as in `engineer=area1/**,area2/**`; may be repeated, and joins --role.
    #[arg(long, value_name = "ROLE=GLOB,…")]
    grant: Vec<GrantArg>,
}

impl GrantArgs {
    /// What the flags say; none where there are none.
    ///
    /// # Errors
    /// A role has tags that is not divided by tags.
    pub fn grants(self) -> Result<Vec<Grant>, Misuse> {
        let GrantArgs { role, tags, grant } = self;
        let mut grants: Vec<Grant> = role.into_iter().map(|role| Grant { role, tags: tags.clone() }).collect();
        grants.extend(grant.into_iter().map(|GrantArg(grant)| grant));
        if grants.iter().any(|grant| grant.role == Role::Auditor && !grant.tags.is_empty()) {
            return Err(Misuse("the audit log is of the whole server: the role auditor takes no tags".to_owned()));
        }
        Ok(grants)
    }

    /// As [`GrantArgs::grants`], where there must be one.
    ///
    /// # Errors
    /// Also where there is none.
    pub fn needed(self) -> Result<Vec<Grant>, Misuse> {
        let grants = self.grants()?;
        if grants.is_empty() {
            return Err(Misuse("nothing is granted; name a role with --role, or roles with their tags with --grant".to_owned()));
        }
        Ok(grants)
    }
}

/// Grants in a line.
pub fn told(grants: &[Grant]) -> String {
    grants.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What a note should say of grants; empty where it need not.
pub fn note(grants: &[Grant]) -> &'static str {
    if grants.iter().any(|grant| grant.role == Role::Admin && !grant.tags.is_empty()) {
        "note: admin on some tags gives no rights on the server, such as its audit log and backups\n"
    } else {
        ""
    }
}

fn one(grant: &Grant) -> String {
    if grant.tags.is_empty() {
        return grant.role.to_string();
    }
    let shown: Vec<String> = grant.tags.iter().take(TAGS_SHOWN).map(|tag| output::printable(tag)).collect();
    let more = grant.tags.len().saturating_sub(TAGS_SHOWN);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{} on {}{more}", grant.role, shown.join(", "))
}

/// One `--grant`.
#[derive(Clone, Debug)]
pub struct GrantArg(pub Grant);

impl FromStr for GrantArg {
    type Err = String;

    fn from_str(text: &str) -> Result<GrantArg, String> {
        let (role, tags) = text.split_once('=').map_or((text, None), |(role, tags)| (role, Some(tags)));
        let role: Role = role.parse().map_err(|unknown| format!("{unknown}"))?;
        let tags = tags.map(split).unwrap_or_default();
        if text.contains('=') && tags.iter().any(String::is_empty) {
            return Err(format!("a name or glob behind {role}= is empty; {role} alone means all tags"));
        }
        Ok(GrantArg(Grant { role, tags }))
    }
}

/// At commas, but not at those within the alternatives or the characters of a glob.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0_u32);
    for letter in text.chars() {
        match letter {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_with_their_globs() {
        let read = |text: &str| text.parse::<GrantArg>().map(|GrantArg(Grant { role, tags })| (role, tags.join(" ")));
        assert_eq!(read("admin"), Ok((Role::Admin, String::new())));
        assert_eq!(read("reader=a/**"), Ok((Role::Reader, "a/**".to_owned())));
        assert_eq!(read("engineer=a/{b,c}/*,d[,]e,f=g"), Ok((Role::Engineer, "a/{b,c}/* d[,]e f=g".to_owned())));
        for (text, reason) in [("", "is no role"), ("root=a", "is no role"), ("reader=", "is empty"), ("reader=a,,b", "is empty")] {
            assert!(read(text).unwrap_err().contains(reason), "{text}");
        }
    }
}
