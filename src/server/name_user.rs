//! Who names a tag by its exact name, in the configuration and among the rights, and goes on doing so when the tag gets another name.
//!
//! Nothing of this follows by itself: a right that moved with a tag would be given by whoever may rename it, and the files belong to people. So a
//! right on the old name is one on nothing until somebody gives it anew, and that is said where the tag is renamed.

use std::sync::Arc;

use historian_access::AccessBook;
use historian_model::{Clock, RetentionGroup, TagName, TagRename, TagSelection};
use historian_sql::View;

/// What may name tags beside the catalog.
pub struct NameUsers {
    pub book: Arc<AccessBook>,
    pub views: Vec<View>,
    /// By which tokens are valid.
    pub clock: Arc<dyn Clock>,
}

impl NameUsers {
    /// Who names a tag exactly, in words. Of tokens and grants only how many there are: whose they are is for administrators.
    pub fn of(&self, name: &TagName, retention: &[RetentionGroup]) -> Vec<String> {
        let rights = match self.book.naming(name.as_str(), self.clock.now()) {
            0 => None,
            1 => Some("1 token or grant".to_owned()),
            count => Some(format!("{count} tokens and grants")),
        };
        let is_in = |selection: &TagSelection| selection.named().any(|named| named == name.as_str());
        let groups = retention.iter().enumerate().filter(|(_, group)| is_in(&group.selection));
        let views = self.views.iter().filter(|view| is_in(&view.tags));
        let groups = groups.map(|(place, _)| format!("retention[{}]", place + 1));
        rights.into_iter().chain(groups).chain(views.map(|view| format!("view {}", view.name))).collect()
    }

    /// A sentence for each of these renames whose old name is named by somebody still. The log has them too.
    pub fn left_behind(&self, renamed: &[TagRename], retention: &[RetentionGroup]) -> Vec<String> {
        let sentence = |TagRename { from, to }: &TagRename| {
            let users = self.of(from, retention);
            (!users.is_empty()).then(|| format!("{from} is {to} now, and still named by {}, which do not follow", users.join(", ")))
        };
        let told: Vec<String> = renamed.iter().filter_map(sentence).collect();
        for told in &told {
            tracing::warn!("{told}");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_access::AccessFile;
    use historian_model::{ManualClock, Timestamp};

    #[test]
    fn exact_names_are_told_and_globs_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let book = AccessBook::open(&AccessFile::in_directory(directory.path())).unwrap();
        let users = NameUsers { book, views: Vec::new(), clock: Arc::new(ManualClock::at(Timestamp(0))) };
        let group = |tags: &[&str]| RetentionGroup { selection: TagSelection::parse(tags).unwrap(), age: None, bytes_max: None };
        let retention = [group(&["a/**"]), group(&["b/x", "a/old"])];
        let name = |name: &str| TagName::new(name).unwrap();
        assert_eq!(users.of(&name("a/old"), &retention), ["retention[2]"]);
        assert_eq!(users.of(&name("a/other"), &retention), [""; 0]);
        let renamed = [("a/old", "a/new"), ("a/other", "c")].map(|(from, to)| TagRename { from: name(from), to: name(to) });
        assert_eq!(users.left_behind(&renamed, &retention), ["a/old is a/new now, and still named by retention[2], which do not follow"]);
    }
}
