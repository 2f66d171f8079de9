//! Grants, and how those of one principal become one scope per right.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{Right, Role};
use historian_model::{TagScope, TagSelection, selection::InvalidSelection};

/// A role on some tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub role: Role,
    /// Names and globs. None: all tags, and the rights on the server that the role has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A scope for each right, in the order of [`Right::ALL`].
pub type Scopes = [TagScope; Right::ALL.len()];

/// Selections by their patterns. Rights of one role, and tokens with equal grants, share one.
#[derive(Default)]
pub struct Selections<'a>(HashMap<Vec<&'a str>, TagSelection>);

impl<'a> Selections<'a> {
    /// What the grants give together. The globs of all grants of a right become one selection: a name is looked up once, however many
    /// grants there are.
    ///
    /// # Errors
    /// A glob is not valid, or all together are too long.
    pub fn scopes(&mut self, grants: &'a [Grant]) -> Result<Scopes, InvalidSelection> {
        let mut scopes = Scopes::default();
        for right in Right::ALL {
            scopes[right as usize] = self.scope(grants.iter().filter(|grant| grant.role.rights().contains(&right)), right)?;
        }
        Ok(scopes)
    }

    fn scope(&mut self, grants: impl Iterator<Item = &'a Grant>, right: Right) -> Result<TagScope, InvalidSelection> {
        let mut patterns: Vec<&str> = Vec::new();
        for grant in grants {
            if grant.tags.is_empty() {
                return Ok(TagScope::Everything);
            }
            // Audit and Administer are of the whole server: a grant on some tags does not give them.
            if right.is_of_tags() {
                patterns.extend(grant.tags.iter().map(String::as_str));
            }
        }
        if patterns.is_empty() {
            return Ok(TagScope::Nothing);
        }
        patterns.sort_unstable();
        patterns.dedup();
        let selection = match self.0.get(&patterns) {
            Some(selection) => selection.clone(),
            None => self.0.entry(patterns.clone()).or_insert(TagSelection::parse(&patterns)?).clone(),
        };
        // Every name matches `**`: nobody has to look at names.
        Ok(if patterns.contains(&"**") { TagScope::Everything } else { TagScope::Of(selection) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, tags: &[&str]) -> Grant {
        Grant { role, tags: tags.iter().map(|tag| (*tag).to_owned()).collect() }
    }

    fn scope(grants: &[Grant], right: Right) -> TagScope {
        Selections::default().scopes(grants).unwrap()[right as usize].clone()
    }

    #[test]
    fn grants_of_a_right_become_one_selection() {
        let grants = [grant(Role::Reader, &["a/**", "b/x"]), grant(Role::Engineer, &["c/*"]), grant(Role::Writer, &["d/**"])];
        let TagScope::Of(read) = scope(&grants, Right::Read) else { panic!("a selection") };
        assert_eq!(read.patterns().collect::<Vec<_>>(), ["a/**", "b/x", "c/*"]);
        for (tag, may_read, may_write, may_correct) in [
            ("a/1/2", true, false, false),
            ("b/x", true, false, false),
            ("b/y", false, false, false),
            ("c/1", true, true, true),
            ("d/1", false, true, false),
        ] {
            assert_eq!(scope(&grants, Right::Read).has(tag), may_read, "{tag}");
            assert_eq!(scope(&grants, Right::Write).has(tag), may_write, "{tag}");
            assert_eq!(scope(&grants, Right::Correct).has(tag), may_correct, "{tag}");
            assert!(!scope(&grants, Right::Administer).has(tag), "{tag}");
        }
    }

    #[test]
    fn a_grant_on_everything_wins_and_no_grant_is_nothing() {
        let grants = [grant(Role::Reader, &["a/**"]), grant(Role::Reader, &[])];
        assert!(scope(&grants, Right::Read).is_everything());
        assert!(matches!(scope(&grants, Right::Write), TagScope::Nothing));
        assert!(scope(&[grant(Role::Reader, &["a", "**"])], Right::Read).is_everything());
        assert!(matches!(scope(&[], Right::Read), TagScope::Nothing));
    }

    #[test]
    fn a_grant_on_some_tags_gives_no_right_on_the_server() {
        for tags in [&["a/**"][..], &["**"]] {
            let some = [grant(Role::Admin, tags), grant(Role::Auditor, tags)];
            assert!(scope(&some, Right::Configure).has("a/1"));
            assert!(matches!(scope(&some, Right::Administer), TagScope::Nothing));
            assert!(matches!(scope(&some, Right::Audit), TagScope::Nothing));
        }
        assert!(scope(&[grant(Role::Admin, &["a/**"]), grant(Role::Admin, &[])], Right::Administer).is_everything());
        assert!(scope(&[grant(Role::Auditor, &[])], Right::Audit).is_everything());
        assert!(matches!(scope(&[grant(Role::Auditor, &[])], Right::Read), TagScope::Nothing));
    }

    #[test]
    fn ten_thousand_grants_are_one_selection_of_few_ranges() {
        let grants: Vec<Grant> = (0..10_000).map(|unit| grant(Role::Engineer, &[&format!("area{}/unit{unit}/**", unit % 7)])).collect();
        let mut selections = Selections::default();
        let scopes = selections.scopes(&grants).unwrap();
        assert_eq!(selections.0.len(), 1, "the rights of the role share one");
        assert!(scopes[Right::Read as usize].has("area3/unit10/pressure"));
        assert!(!scopes[Right::Read as usize].has("area4/unit10/pressure"));
    }

    #[test]
    fn a_glob_that_is_none_is_told() {
        let grants = [grant(Role::Reader, &["a/[", "b"])];
        let Err(error) = Selections::default().scopes(&grants) else { panic!("refused") };
        assert!(error.to_string().contains("a/["), "{error}");
    }
}
