//! Names of what statements read.

/// Name of the one catalog.
pub const CATALOG: &str = "historian";
/// Name of its one schema.
pub const SCHEMA: &str = "public";

/// Name of the schema that tells of it.
pub const INFORMATION_SCHEMA: &str = "information_schema";

/// The tables that every historian has, in the order of their names.
pub const TABLES: [&str; 7] = ["annotations", "current", "daily", "gaps", "hourly", "samples", "tags"];
