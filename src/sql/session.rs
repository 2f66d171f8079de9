//! Sessions of `DataFusion`: one base with our tables and functions, and from it one per statement with its memory, its present time and its
//! limits.

use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
    temporal_conversions::timestamp_ns_to_datetime,
};
use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList},
    execution::{
        FunctionRegistry, SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{GreedyMemoryPool, MemoryPool},
        runtime_env::RuntimeEnvBuilder,
    },
    prelude::SessionConfig,
};

use super::{
    CATALOG, INFORMATION_SCHEMA, SCHEMA, SqlError, SqlOptions, Statement, aggregate, analyze, dialect, function, group,
    memory::StatementMemory,
    planning,
    scan::StatementLimits,
    table::{InformationSchema, Tables},
    time_range,
};
use historian_query::QueryEngine;
use historian_store::Catalog;

/// The state that every statement begins with.
pub fn base(query: &QueryEngine, catalog: &Arc<Catalog>, tables: &Arc<Tables>, options: &SqlOptions) -> SessionState {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.threads.max(1))
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        // Ours is registered below.
        .with_information_schema(false);
    // Views of strings are younger than many clients.
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    // Batches that a merge reads ahead of each part; the default may take all the memory of a statement.
    config.options_mut().execution.sort_pushdown_buffer_capacity = (options.memory_bytes_max / 16).clamp(64 << 10, 8 << 20);
    let mut builder = SessionStateBuilder::new()
        .with_config(config)
        .with_default_features()
        .with_analyzer_rules(analyze::rules())
        .with_optimizer_rules(time_range::rules());
    if options.use_states {
        builder = builder.with_physical_optimizer_rules(group::rules());
    }
    let mut state = builder.build();

    aggregate::register(&mut state);
    // Registering fails for registries that cannot; a session's can.
    let _ = state.register_expr_planner(Arc::new(dialect::Operators));
    function::register(&mut state, query, catalog, options);
    // After the functions, of which the information schema tells.
    let ours = schemas(&state, tables);
    state.catalog_list().register_catalog(CATALOG.to_owned(), ours);
    state
}

/// The schemas that statements read: the tables, and what tells of them.
fn schemas(state: &SessionState, tables: &Arc<Tables>) -> Arc<dyn CatalogProvider> {
    let ours = MemoryCatalogProvider::new();
    // A fresh catalog has no schema of that name.
    let _ = ours.register_schema(SCHEMA, tables.clone());
    let _ = ours.register_schema(INFORMATION_SCHEMA, Arc::new(InformationSchema::new(state, tables)));
    Arc::new(ours)
}

/// A state for one statement.
pub fn of_statement(
    base: &SessionState,
    tables: &Tables,
    options: &SqlOptions,
    all: &Arc<GreedyMemoryPool>,
    statement: &Statement,
    bounds: &Arc<StatementLimits>,
) -> Result<SessionState, SqlError> {
    let memory: Arc<dyn MemoryPool> = Arc::new(StatementMemory::new(options.memory_bytes_max, all.clone(), bounds.limits()));
    bounds.held_in(&memory);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(memory)
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let mut config = base.config().clone().with_extension(bounds.clone());
    if !statement.zone.is_empty() {
        config.options_mut().execution.time_zone = Some(statement.zone.to_string());
    }
    let mut builder = planning::ending_with(base, bounds).with_config(config).with_runtime_env(runtime);
    let scope = &bounds.limits().scope;
    if !scope.is_everything() {
        // Views have columns of tags; somebody who sees some tags only has views of these.
        let all = MemoryCatalogProviderList::new();
        all.register_catalog(CATALOG.to_owned(), schemas(base, &Arc::new(tables.within(scope))));
        builder = builder.with_catalog_list(Arc::new(all));
    }
    let mut state = builder.build();
    let options = state.config_options().clone();
    let properties = state.execution_props_mut();
    properties.query_execution_start_time = timestamp_ns_to_datetime(statement.now.0).map(|time| time.and_utc());
    properties.config_options = Some(options);
    Ok(state)
}

/// A batch of a plan with the schema that the plan tells; some operators tell more of their nulls than they keep to.
#[expect(clippy::needless_pass_by_value, reason = "the batch goes into the one with the schema")]
pub fn with_schema(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)
        .map_err(|error| SqlError::Internal(format!("a batch could not be formed: {error}")))
}
