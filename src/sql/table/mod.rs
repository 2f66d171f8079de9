//! The tables: one file each and one line in the list; and the views of the configuration beside them.

mod annotations;
mod current;
mod gaps;
mod information;
mod interval;
pub mod partition;
mod predicate;
mod remark;
pub mod samples;
pub mod samples_exec;
mod samples_table;
mod tags;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    catalog::{SchemaProvider, TableProvider},
    error::Result,
    execution::SessionState,
    logical_expr::TableType,
};
use futures::FutureExt;

pub use self::information::InformationSchema;
use self::interval::{LongTable, WideView};
use super::{
    function::calendar::CalendarStep,
    name::{CATALOG, INFORMATION_SCHEMA, SCHEMA, TABLES},
    options::SqlOptions,
    statement::TableDescription,
    view::TableOptions,
};
use historian_model::TagScope;
use historian_query::QueryEngine;
use historian_store::Catalog;

/// The tables that tell of tables.
pub fn system(base: &SessionState) -> Vec<TableDescription> {
    let Some(schema) = base.catalog_list().catalog(CATALOG).and_then(|catalog| catalog.schema(INFORMATION_SCHEMA)) else {
        return Vec::new();
    };
    let one = |name: String| {
        // It does not wait for anything.
        let table = schema.table(&name).now_or_never()?.ok()??;
        let (schema, remark) = (table.schema(), remark::of_system_table(&name));
        Some(TableDescription { schema_name: INFORMATION_SCHEMA, name, is_system: true, schema, remark, column_remarks: Vec::new() })
    };
    let mut all: Vec<TableDescription> = schema.table_names().into_iter().filter_map(one).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// All tables: those that every historian has, and its views.
pub struct Tables {
    engine: QueryEngine,
    catalog: Arc<Catalog>,
    /// They ask the statement for the tags that it may read.
    fixed: [(&'static str, Arc<dyn TableProvider>); TABLES.len()],
    options: TableOptions,
    /// The tags that views have.
    scope: TagScope,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("tables")
    }
}

impl Tables {
    pub fn new(engine: &QueryEngine, catalog: &Arc<Catalog>, options: &SqlOptions) -> Tables {
        let fixed: [Arc<dyn TableProvider>; TABLES.len()] = [
            Arc::new(annotations::AnnotationsTable::new(engine, catalog)),
            Arc::new(current::Current::new(engine, catalog, options)),
            Arc::new(LongTable::new("daily", CalendarStep::DAY, engine, catalog, options)),
            Arc::new(gaps::Gaps::new(engine)),
            Arc::new(LongTable::new("hourly", CalendarStep::HOUR, engine, catalog, options)),
            Arc::new(samples_table::SamplesTable::new(engine, catalog, options)),
            Arc::new(tags::TagsTable::new(catalog)),
        ];
        let mut names = TABLES.into_iter();
        let fixed = fixed.map(|table| (names.next().unwrap_or_default(), table));
        Tables { engine: engine.clone(), catalog: catalog.clone(), fixed, options: options.tables.clone(), scope: TagScope::Everything }
    }

    /// The tables as somebody sees them.
    pub fn within(&self, scope: &TagScope) -> Tables {
        let Tables { engine, catalog, fixed, options, scope: _ } = self;
        Tables { engine: engine.clone(), catalog: catalog.clone(), fixed: fixed.clone(), options: options.clone(), scope: scope.clone() }
    }

    fn fixed(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.fixed.iter().find(|(known, _)| *known == name).map(|(_, table)| table.clone())
    }

    /// A view with the tags that there are now.
    fn view(&self, name: &str) -> Option<WideView> {
        let view = self.options.views.iter().find(|view| view.name == name)?;
        Some(WideView::new(view, &self.engine, self.catalog.within(&self.scope), &self.options.zone))
    }

    /// What people and programs are told of every table, in the order of the names.
    pub fn descriptions(&self) -> Vec<TableDescription> {
        let fixed = self.fixed.iter().map(|(name, table)| TableDescription {
            schema_name: SCHEMA,
            is_system: false,
            name: (*name).to_owned(),
            schema: table.schema(),
            remark: remark::of_table(name),
            column_remarks: remark::of_columns(name),
        });
        let views = self.options.views.iter().filter_map(|view| self.view(&view.name)).map(|view| TableDescription {
            schema_name: SCHEMA,
            is_system: false,
            name: format!("{view:?}"),
            schema: view.schema(),
            remark: view.remark(),
            column_remarks: view.remarks(),
        });
        let mut all: Vec<TableDescription> = fixed.chain(views).collect();
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let views = self.options.views.iter().map(|view| view.name.clone());
        TABLES.into_iter().map(str::to_owned).chain(views).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.fixed(name).or_else(|| self.view(name).map(|view| Arc::new(view) as Arc<dyn TableProvider>)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        TABLES.contains(&name) || self.options.views.iter().any(|view| view.name == name)
    }
}
