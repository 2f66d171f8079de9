//! `match` of the tags: what a person types while looking for one.

use serde_json::Value;

use super::{asked::HttpAsked, problem::Problem};

/// The parameter beside those of the list.
pub const MATCH: &str = "match";
/// More words than anybody types; a filter has room for as many beside its own conditions.
const WORDS_MAX: usize = 16;

/// Makes the words conditions of the filter: each occurs in one of the texts that describe a tag.
///
/// # Errors
/// When there are too many.
pub fn into_filter(asked: &mut HttpAsked) -> Result<(), Problem> {
    let Some(typed) = asked.take_text(MATCH)? else { return Ok(()) };
    let words: Vec<&str> = typed.split_whitespace().collect();
    if words.len() > WORDS_MAX {
        return Err(Problem::invalid(MATCH, format!("has more than {WORDS_MAX} words")));
    }
    let filter = asked.take_text("filter")?.filter(|filter| !filter.trim().is_empty());
    // In lower case no word is the one that joins conditions.
    let conditions = filter.into_iter().chain(words.iter().map(|word| format!("any~{}", word.to_lowercase())));
    let filter = conditions.collect::<Vec<_>>().join(" AND ");
    asked.fields.insert("filter".into(), Value::from(filter));
    Ok(())
}
