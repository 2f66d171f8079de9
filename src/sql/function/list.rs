//! Every function that a session has, by what it may make of its arguments. What is not in this list is not in a session: a function of a new
//! `DataFusion` has to be looked at first, and the test below names it.

use datafusion::execution::{FunctionRegistry, SessionState};

/// What a function makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionGrowth {
    /// A value of a fixed size, one of its arguments, or not more than a few times their bytes.
    Small,
    /// More than its arguments hold, or of more work than they have bytes: [`super::bounded`] looks at their sizes before.
    Bounded,
    /// Of no use here.
    Refused,
}

use FunctionGrowth::{Bounded, Refused, Small};

/// Scalar functions.
#[rustfmt::skip]
const SCALAR: &[(FunctionGrowth, &[&str])] = &[
    // The longest text of a constant that they choose or cut is bounded with the rows of a batch (`watch`); types of a fixed size that somebody
    // names are bounded with the statement (`extent`).
    (Small, &[
        "arrow_cast", "arrow_field", "arrow_metadata", "arrow_try_cast", "arrow_typeof", "cast_to_type", "coalesce", "get_field", "greatest",
        "least", "named_struct", "nullif", "nvl", "nvl2", "struct", "try_cast_to_type", "union_extract", "union_tag", "version", "with_metadata",
    ]),
    (Small, &[
        "current_date", "current_time", "date_bin", "dateadd", "datediff", "date_part", "date_trunc", "from_unixtime", "make_date",
        "make_time", "now", "time_bucket", "timestampdiff", "to_date", "to_local_time", "to_time", "to_timestamp", "to_timestamp_micros", "to_timestamp_millis",
        "to_timestamp_nanos", "to_timestamp_seconds", "to_unixtime",
    ]),
    (Small, &[
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil", "cos", "cosh", "cot", "degrees", "exp", "factorial",
        "floor", "gcd", "isnan", "iszero", "lcm", "ln", "log", "log10", "log2", "nanvl", "pi", "power", "radians", "random", "round", "signum",
        "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    ]),
    // A letter has at most three times the bytes in another case, and four instead of one where it is translated.
    (Small, &[
        "ascii", "bit_length", "btrim", "character_length", "chr", "contains", "decode", "encode", "ends_with", "find_in_set", "initcap", "left", "like_pattern",
        "lower", "ltrim", "octet_length", "regexp_count", "regexp_instr", "regexp_like", "reverse", "right", "rtrim", "split_part",
        "starts_with", "strpos", "substr", "substr_index", "to_hex", "translate", "upper", "uuid",
    ]),
    (Small, &["is_bad", "is_good", "is_uncertain"]),
    (Bounded, &[
        "concat", "concat_ws", "levenshtein", "lpad", "overlay", "regexp_match", "regexp_replace", "repeat", "replace", "rpad", "to_char",
    ]),
    // There are no files.
    (Refused, &["file_row_index", "input_file_name"]),
];

/// Aggregates. What they keep is counted in the memory of the statement, as they tell it.
#[rustfmt::skip]
const AGGREGATES: &[(FunctionGrowth, &[&str])] = &[
    (Small, &[
        "any_value", "approx_distinct", "avg", "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "corr", "count", "covar_pop", "covar_samp",
        "first_value", "grouping", "last_value", "max", "min", "regr_avgx", "regr_avgy", "regr_count", "regr_intercept", "regr_r2",
        "regr_slope", "regr_sxx", "regr_sxy", "regr_syy", "stddev", "stddev_pop", "sum", "var", "var_pop",
    ]),
    // Keep values of all rows.
    (Small, &["array_agg", "median", "nth_value", "percentile_cont", "string_agg"]),
    // The size of a digest is an argument: `aggregate` looks at it.
    (Bounded, &["approx_median", "approx_percentile_cont", "approx_percentile_cont_with_weight"]),
];

/// Functions of windows. What a window gathers is counted in `watch`.
#[rustfmt::skip]
const WINDOWS: &[(FunctionGrowth, &[&str])] = &[(Small, &[
    "cume_dist", "dense_rank", "first_value", "lag", "last_value", "lead", "nth_value", "ntile", "percent_rank", "rank", "row_number",
])];

/// Functions that are tables: their rows come batch by batch.
const TABLES: &[(FunctionGrowth, &[&str])] = &[(Small, &["aggregate", "anomalies", "current", "downsample", "generate_series", "range"])];

fn class(list: &[(FunctionGrowth, &[&str])], name: &str) -> Option<FunctionGrowth> {
    list.iter().find(|(_, names)| names.contains(&name)).map(|(class, _)| *class)
}

/// Takes from a session what is not in the list.
pub fn keep(state: &mut SessionState) {
    let is_kept = |list: &[(FunctionGrowth, &[&str])], name: &str| class(list, name).is_some_and(|class| class != Refused);
    let scalar: Vec<_> = state.scalar_functions().values().filter(|function| !is_kept(SCALAR, function.name())).cloned().collect();
    let aggregates: Vec<_> =
        state.aggregate_functions().values().filter(|function| !is_kept(AGGREGATES, function.name())).cloned().collect();
    let windows: Vec<_> = state.window_functions().values().filter(|function| !is_kept(WINDOWS, function.name())).cloned().collect();
    let tables: Vec<_> = state.table_functions().keys().filter(|name| !is_kept(TABLES, name)).cloned().collect();
    // Nothing is lost where a session cannot: the test looks at what it has.
    for function in scalar {
        let _ = state.deregister_udf(function.name());
    }
    for function in aggregates {
        let _ = state.deregister_udaf(function.name());
    }
    for function in windows {
        let _ = state.deregister_udwf(function.name());
    }
    for name in tables {
        let _ = state.deregister_udtf(&name);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::execution::SessionStateDefaults;

    use super::*;

    /// Names that are in the one and not in the other.
    fn compared(kind: &str, list: &[(FunctionGrowth, &[&str])], found: impl Iterator<Item = String>) {
        let found: BTreeSet<String> = found.collect();
        let listed: Vec<String> = list.iter().flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())).collect();
        let known: BTreeSet<String> = listed.iter().cloned().collect();
        assert_eq!(known.len(), listed.len(), "{kind} functions are listed twice");
        let new: Vec<_> = found.difference(&known).collect();
        let gone: Vec<_> = known.difference(&found).collect();
        assert!(new.is_empty() && gone.is_empty(), "{kind} functions that have no class: {new:?}, that there are not: {gone:?}");
    }

    #[test]
    fn every_function_has_its_class_and_no_other_is_in_a_session() {
        let state = crate::tests::session();
        let here = |class: FunctionGrowth| class != Refused;
        let scalar = SessionStateDefaults::default_scalar_functions();
        let ours = state.scalar_functions().values().cloned();
        compared("scalar", SCALAR, scalar.into_iter().chain(ours).map(|function| function.name().to_owned()));
        let aggregates = SessionStateDefaults::default_aggregate_functions();
        compared("aggregate", AGGREGATES, aggregates.into_iter().map(|function| function.name().to_owned()));
        let windows = SessionStateDefaults::default_window_functions();
        compared("window", WINDOWS, windows.into_iter().map(|function| function.name().to_owned()));
        let tables = SessionStateDefaults::default_table_functions().into_iter().map(|function| function.name().to_owned());
        compared("table", TABLES, tables.chain(state.table_functions().keys().cloned()));
        assert!(SessionStateDefaults::default_higher_order_functions().is_empty());

        // Under each of its names.
        for (name, function) in state.scalar_functions() {
            assert!(class(SCALAR, function.name()).is_some_and(here), "{name}");
            let is_bounded = super::super::bounded::is_bounded(function);
            assert_eq!(is_bounded, class(SCALAR, function.name()) == Some(Bounded), "{name}");
        }
        assert!(state.aggregate_functions().values().all(|function| class(AGGREGATES, function.name()).is_some_and(here)));
        assert!(state.window_functions().values().all(|function| class(WINDOWS, function.name()).is_some_and(here)));
        assert!(state.table_functions().keys().all(|name| class(TABLES, name).is_some_and(here)));
        assert!(!state.scalar_functions().contains_key("input_file_name"));
    }
}
