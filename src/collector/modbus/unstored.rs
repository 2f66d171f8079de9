//! `stored = false`: a tag that is polled and decoded as every other one, for formulas that take it, and of which nothing is stored. It is
//! none of the catalog and has no gaps.

use historian_collector::{TagConfig, filter_key::FilterKeys};

/// What is wrong with such a tag that no formula takes.
pub const UNUSED: &str = "no formula of the device takes the tag, and nothing of it is stored; name it in a formula, or take it out";

/// Why a tag cannot be one of which nothing is stored, if so: it has keys about what is.
pub fn contradiction(config: &TagConfig) -> Option<&'static str> {
    if config.is_stored() {
        return None;
    }
    if !config.renamed_from.is_empty() {
        return Some("nothing of the tag is stored, so it cannot go on from renamed_from; take one of the two out");
    }
    (config.filter != FilterKeys::default())
        .then_some("nothing of the tag is stored, so none of it is left out; take its exception and compression keys out, or stored")
}

#[cfg(test)]
mod tests {
    use super::*;
    use historian_collector::tag_key::{STORED, Setting};

    #[test]
    fn keys_about_what_is_stored_are_for_tags_that_are() {
        let mut config = TagConfig { renamed_from: "before".into(), ..TagConfig::default() };
        config.filter.deadband = Some(1.0);
        assert!(config.is_stored());
        assert_eq!(contradiction(&config), None);
        config.set(STORED, Setting::Flag(false));
        assert!(!config.is_stored());
        assert!(contradiction(&config).is_some_and(|told| told.contains("renamed_from")));
        config.renamed_from.clear();
        assert!(contradiction(&config).is_some_and(|told| told.contains("exception")));
        config.filter = FilterKeys::default();
        assert_eq!(contradiction(&config), None);
    }
}
