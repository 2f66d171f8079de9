//! The tables: one file each and one line in the list.

mod gaps;
pub mod partition;
mod predicate;
pub mod samples;
pub mod samples_exec;
mod tags;

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use super::{SqlOptions, TableDescription};
use crate::{query::QueryEngine, store::Catalog};

/// Every table with its name, in the order of the names.
pub fn all(query: &QueryEngine, catalog: &Arc<Catalog>, options: &SqlOptions) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    vec![
        ("gaps", Arc::new(gaps::Gaps::new(query))),
        ("samples", Arc::new(samples::SamplesTable::new(query, catalog, options))),
        ("tags", Arc::new(tags::Tags::new(catalog))),
    ]
}

/// Names and columns of the same tables.
pub fn descriptions() -> Vec<TableDescription> {
    vec![
        TableDescription { name: "gaps", schema: gaps::schema() },
        TableDescription { name: "samples", schema: samples::schema() },
        TableDescription { name: "tags", schema: tags::schema() },
    ]
}
