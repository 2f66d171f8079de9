//! Rights, and the roles that bundle them. Everything that is not granted is denied.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// One thing that a principal may do. Those on tags hold for the tags of the grant; [`Right::Audit`] and [`Right::Administer`] are of the
/// whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// See tags and their samples, gaps and findings, and of devices what is of these tags.
    Read,
    /// Store samples, and create tags by writing.
    Write,
    /// Create, change, rename, retype and delete tags.
    Configure,
    /// Delete and replace the samples of time ranges.
    Correct,
    /// Read the audit log.
    Audit,
    /// Everything about the server: compaction, backups, scrub, inspection, metrics, reload, and all of the devices.
    Administer,
}

impl Right {
    pub const ALL: [Right; 6] = [Right::Read, Right::Write, Right::Configure, Right::Correct, Right::Audit, Right::Administer];

    /// As messages name it.
    pub fn name(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
            Right::Configure => "configure",
            Right::Correct => "correct",
            Right::Audit => "audit",
            Right::Administer => "administer",
        }
    }

    /// True when it is a right on tags, which a grant may limit to some of them.
    pub fn is_of_tags(self) -> bool {
        !matches!(self, Right::Audit | Right::Administer)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RightSet(u8);

impl RightSet {
    pub const ALL: RightSet = RightSet(u8::MAX);

    pub fn of(rights: &[Right]) -> RightSet {
        RightSet(rights.iter().fold(0, |set, right| set | 1 << *right as u8))
    }

    pub fn has(self, right: Right) -> bool {
        self.0 & 1 << right as u8 != 0
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: RightSet) -> RightSet {
        RightSet(self.0 & other.0)
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(name: &str) -> Result<Right, String> {
        let known = || Right::ALL.map(Right::name).join(", ");
        Right::ALL.into_iter().find(|right| right.name() == name).ok_or_else(|| format!("{name:?} is no right; these are: {}", known()))
    }
}

/// What a grant gives: the rights of one kind of user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Reader,
    /// Stores samples and sees nothing: for data sources.
    Writer,
    /// Reads, writes, changes tags and corrects samples.
    Engineer,
    /// Reads the audit log and no samples.
    Auditor,
    /// Has every right.
    Admin,
}

impl Role {
    pub const ALL: [Role; 5] = [Role::Reader, Role::Writer, Role::Engineer, Role::Auditor, Role::Admin];

    pub fn rights(self) -> &'static [Right] {
        match self {
            Role::Reader => &[Right::Read],
            Role::Writer => &[Right::Write],
            Role::Engineer => &[Right::Read, Right::Write, Right::Configure, Right::Correct],
            Role::Auditor => &[Right::Audit],
            Role::Admin => &Right::ALL,
        }
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Engineer => "engineer",
            Role::Auditor => "auditor",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; use reader, writer, engineer, auditor or admin")]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Role, UnknownRole> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| UnknownRole(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_the_rights_that_the_document_names() {
        use Right::{Administer, Audit, Configure, Correct, Read, Write};
        for (role, rights) in [
            (Role::Reader, &[Read][..]),
            (Role::Writer, &[Write]),
            (Role::Engineer, &[Read, Write, Configure, Correct]),
            (Role::Auditor, &[Audit]),
            (Role::Admin, &[Read, Write, Configure, Correct, Audit, Administer]),
        ] {
            assert_eq!(role.rights(), rights, "{role}");
        }
        let document = include_str!("../../docs/security.md");
        for role in Role::ALL {
            let row =
                document.lines().find(|line| line.starts_with(&format!("| `{role}` |"))).unwrap_or_else(|| panic!("no row of {role}"));
            let told: Vec<&str> = row.split('|').nth(2).unwrap().split(',').map(str::trim).collect();
            let rights: Vec<&str> = role.rights().iter().map(|right| right.name()).collect();
            assert_eq!(told, rights, "{role}");
        }
    }

    #[test]
    fn names_of_roles_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_string(&role).unwrap(), format!("\"{role}\""), "serde writes the same word");
        }
        for text in ["", "Reader", "root", "reader "] {
            assert!(text.parse::<Role>().unwrap_err().to_string().contains("use reader, writer"), "{text}");
        }
    }
}
