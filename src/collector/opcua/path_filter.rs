//! Which paths of variables are wanted, and which ways lead to them. A path has the browse names of nodes below Objects, from the top down,
//! with `/` between them.

use std::fmt;

use historian_model::TagSelection;

/// Paths that any of some globs means.
#[derive(Clone)]
pub struct PathFilter(Vec<PathGlob>);

/// One glob over paths.
#[derive(Clone)]
struct PathGlob {
    text: String,
    paths: TagSelection,
    excluded: Option<TagSelection>,
    /// Of the levels that stand for one level each.
    levels: Vec<TagSelection>,
    /// No path has more levels than `levels`.
    is_deep: bool,
    /// The server's own object is asked for by name.
    has_server: bool,
}

impl PathFilter {
    pub fn all() -> PathFilter {
        let (paths, text) = (TagSelection::all(), "**".to_owned());
        PathFilter(vec![PathGlob { text, paths, excluded: None, levels: Vec::new(), is_deep: true, has_server: false }])
    }

    /// Reads a glob over paths below Objects; `Objects/` in front may be written.
    ///
    /// # Errors
    /// It is no glob.
    pub fn parse(glob: &str) -> Result<PathFilter, String> {
        let glob = below_objects(glob);
        let parse = |glob: &str| TagSelection::parse(&[glob]).map_err(|error| error.to_string());
        let paths = parse(glob)?;
        let mut levels = Vec::new();
        let mut is_deep = false;
        for level in glob.split('/') {
            // Alternatives may go over several levels.
            if level.contains("**") || glob.contains('{') {
                is_deep = true;
                break;
            }
            levels.push(parse(level)?);
        }
        let has_server = glob.starts_with("Server");
        Ok(PathFilter(vec![PathGlob { text: glob.to_owned(), paths, excluded: None, levels, is_deep, has_server }]))
    }

    /// Without the paths of these globs.
    ///
    /// # Errors
    /// One of them is no glob.
    pub fn without(mut self, globs: &[String]) -> Result<PathFilter, String> {
        if globs.is_empty() {
            return Ok(self);
        }
        let globs: Vec<&str> = globs.iter().map(|glob| below_objects(glob)).collect();
        let excluded = TagSelection::parse(&globs).map_err(|error| error.to_string())?;
        self.0.iter_mut().for_each(|glob| glob.excluded = Some(excluded.clone()));
        Ok(self)
    }

    /// What any of these wants.
    pub fn any<'a>(filters: impl IntoIterator<Item = &'a PathFilter>) -> PathFilter {
        PathFilter(filters.into_iter().flat_map(|filter| filter.0.iter().cloned()).collect())
    }

    pub fn wants(&self, path: &str) -> bool {
        let excluded = |glob: &PathGlob| glob.excluded.as_ref().is_some_and(|excluded| excluded.matches(path));
        self.0.iter().any(|glob| glob.paths.matches(path) && !excluded(glob))
    }

    /// Whether a wanted path may begin with this one, whose last level is `name`.
    pub fn leads_on(&self, depth: usize, name: &str) -> bool {
        self.0.iter().any(|glob| glob.levels.get(depth).map_or(glob.is_deep, |level| level.matches(name)))
    }

    pub fn has_server(&self) -> bool {
        self.0.iter().any(|glob| glob.has_server)
    }
}

/// As it is written.
impl fmt::Debug for PathFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = |glob: &PathGlob| {
            let excluded = glob.excluded.as_ref().map(|excluded| excluded.patterns().map(str::to_owned).collect::<Vec<_>>());
            (glob.text.clone(), excluded)
        };
        f.debug_list().entries(self.0.iter().map(written)).finish()
    }
}

/// A glob without the name of the folder that all paths begin in.
pub fn below_objects(glob: &str) -> &str {
    glob.strip_prefix("Objects/").unwrap_or(glob)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ways_that_lead_to_a_wanted_path_are_gone() {
        for (glob, path, wanted, leads_on) in [
            ("Boiler*/**", "Boiler1", false, true),
            ("Boiler*/**", "Pump1", false, false),
            ("Boiler*/**", "Boiler1/Sensors/T", true, true),
            ("Objects/Boiler1/*", "Boiler1/T", true, true),
            ("Boiler1/*", "Boiler1/Sensors/T", false, false),
            ("Boiler1/T", "Boiler1/T", true, true),
            ("{Boiler1/T,Pump}", "Pump", true, true),
            ("{Boiler1/T,Pump}", "Boiler1", false, true),
            ("**", "Anything/at/all", true, true),
        ] {
            let filter = PathFilter::parse(glob).unwrap();
            let names: Vec<&str> = path.split('/').collect();
            let leads = names.iter().enumerate().all(|(depth, name)| filter.leads_on(depth, name));
            assert_eq!((filter.wants(path), leads), (wanted, leads_on), "{glob} and {path}");
        }
        assert!(PathFilter::parse("[").is_err());
        assert!(PathFilter::parse("Server/**").unwrap().has_server() && !PathFilter::all().has_server());
        let two = [
            PathFilter::parse("Boiler*/T").unwrap().without(&["Objects/Boiler2/*".to_owned()]).unwrap(),
            PathFilter::parse("Pump/**").unwrap(),
        ];
        let any = PathFilter::any(&two);
        for (path, wanted) in [("Boiler1/T", true), ("Boiler2/T", false), ("Pump/a/b", true), ("Boiler1/P", false)] {
            assert_eq!(any.wants(path), wanted, "{path}");
        }
        assert!(any.leads_on(0, "Boiler2") && any.leads_on(0, "Pump") && !any.leads_on(0, "Fan"));
    }
}
