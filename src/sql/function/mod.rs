//! Functions of SQL: table functions that are queries of the engine, one file each and one line in the list, and scalar functions.

mod aggregate;
mod anomalies;
mod argument;
pub mod bounded;
pub mod calendar;
mod current;
mod date_add;
mod date_diff;
mod downsample;
mod guess;
pub mod like;
mod list;
mod quality;
mod range;
pub mod time_bucket;
mod trunc;

use std::{fmt, sync::Arc};

use datafusion::{
    catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider},
    error::Result,
    execution::{FunctionRegistry, SessionState},
};

pub use self::guess::CallParameters;

use self::argument::{CallArguments, FunctionSource, TableFunction};
use super::SqlOptions;
use historian_query::QueryEngine;
use historian_store::Catalog;

/// Every table function.
static FUNCTIONS: [TableFunction; 5] = [aggregate::FUNCTION, anomalies::FUNCTION, current::FUNCTION, downsample::FUNCTION, range::FUNCTION];

/// One table function as a catalog tells it.
#[derive(Clone, Copy, Debug)]
pub struct FunctionDescription {
    pub name: &'static str,
    /// How it is called.
    pub usage: &'static str,
    /// What it answers.
    pub remark: &'static str,
}

/// The table functions, in the order of their names.
pub fn descriptions() -> Vec<FunctionDescription> {
    FUNCTIONS.iter().map(|TableFunction { name, usage, remark, .. }| FunctionDescription { name, usage, remark }).collect()
}

struct Registered {
    function: &'static TableFunction,
    source: Arc<FunctionSource>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.function.name)
    }
}

impl TableFunctionImpl for Registered {
    fn call_with_args(&self, arguments: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let mut arguments = CallArguments::new(self.function, &arguments);
        let table = (self.function.build)(&self.source, &mut arguments)?;
        arguments.end()?;
        Ok(Arc::new(table))
    }
}

/// Adds all functions to a session.
pub fn register(state: &mut SessionState, engine: &QueryEngine, catalog: &Arc<Catalog>, options: &SqlOptions) {
    let source = Arc::new(FunctionSource { engine: engine.clone(), catalog: catalog.clone(), tags_max: options.tags_max });
    for function in &FUNCTIONS {
        state.register_udtf(function.name, Arc::new(Registered { function, source: source.clone() }));
    }
    let of_tools = [date_add::function(), like::function(), trunc::function()];
    for function in quality::functions().into_iter().chain(time_bucket::functions()).chain(date_diff::functions()).chain(of_tools) {
        // Registering fails for registries that cannot; a session's can.
        let _ = state.register_udf(Arc::new(function));
    }
    bounded::register(state);
    list::keep(state);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_told_in_the_usage_and_the_manual() {
        let manual = include_str!("../../../docs/api.md");
        for (index, function) in FUNCTIONS.iter().enumerate() {
            assert!(FUNCTIONS[..index].iter().all(|before| before.name != function.name), "{}", function.name);
            assert!(function.usage.starts_with(&format!("{}(", function.name)), "{}", function.usage);
            assert!(manual.contains(&format!("`{}(", function.name)), "docs/api.md has no row for {}", function.name);
        }
    }
}
