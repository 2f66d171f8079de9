//! Bounds of SQL, and the tables of its configuration.

use super::view::TableOptions;

/// Bounds of all statements.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// Threads that work on one statement; also the partitions of its plan.
    pub threads: usize,
    /// Memory of one statement for sorting, grouping and joining.
    pub memory_bytes_max: usize,
    /// Memory of all statements together.
    pub memory_total_bytes_max: usize,
    /// Statements at the same time.
    pub statements_max: usize,
    /// Longest text of a statement.
    pub text_bytes_max: usize,
    /// Most tags that one scan may read.
    pub tags_max: usize,
    /// The views, and the zone of days.
    pub tables: TableOptions,
    /// False: groups are made of samples. The answer is the same, but for the order in which floats are added.
    pub use_states: bool,
}

impl Default for SqlOptions {
    fn default() -> SqlOptions {
        SqlOptions {
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            memory_bytes_max: 512 << 20,
            memory_total_bytes_max: 1 << 30,
            statements_max: 32,
            text_bytes_max: 1 << 20,
            tags_max: 1_000_000,
            tables: TableOptions::default(),
            use_states: true,
        }
    }
}
