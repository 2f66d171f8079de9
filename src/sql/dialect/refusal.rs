//! Statements that do more than read are refused before they are parsed, in words that say what to write instead.

use datafusion::sql::sqlparser::{
    keywords::Keyword,
    tokenizer::{Token, TokenWithSpan},
};

use super::super::SqlError;

const WITH: &str = "name a query inside the statement instead: WITH name AS (SELECT …) SELECT … FROM name";
const WRITE: &str = "write samples with DoPut or WriteService, tags with TagService; WriteService also corrects and deletes";
const SETTING: &str = "there are no settings in SQL: say the zone where it counts, timestamp AT TIME ZONE 'Europe/Berlin', and bounds in the \
                       connection";
const TRANSACTION: &str = "there are no transactions: each statement sees one moment; leave it out, or connect with autocommit";
const PROCEDURE: &str = "there are no procedures and no variables: parameters are ? or $1, and a function that answers rows is read with SELECT * FROM \
                         f(…)";

/// Looks at how a statement begins.
///
/// # Errors
/// [`SqlError::ReadOnly`] for what would change something, [`SqlError::Invalid`] for what there is nothing of.
pub fn check(tokens: &[TokenWithSpan]) -> Result<(), SqlError> {
    let word = |index: usize| match tokens.get(index).map(|token| &token.token) {
        Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
        _ => String::new(),
    };
    let verb = word(0);
    let advice = match verb.as_str() {
        "SELECT" | "WITH" if tokens.iter().any(|token| matches!(&token.token, Token::Word(word) if word.keyword == Keyword::INTO)) => {
            return Err(SqlError::ReadOnly(format!("SELECT … INTO makes a table; {WITH}")));
        }
        "CREATE" if (1..8).map(word).any(|word| word == "TABLE" || word == "VIEW") => WITH,
        "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "TRUNCATE" | "REPLACE" | "UPSERT" | "COPY" | "LOAD" | "CREATE" | "DROP" | "ALTER"
        | "GRANT" | "REVOKE" | "COMMENT" | "RENAME" | "VACUUM" | "LOCK" | "UNLOCK" => WRITE,
        "SET" | "RESET" | "PRAGMA" => SETTING,
        "BEGIN" | "START" | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "ABORT" | "END" => TRANSACTION,
        "USE" => "there is one catalog, historian, and one schema in it, public; leave it out",
        "CALL" | "EXEC" | "EXECUTE" | "DECLARE" | "DO" | "PREPARE" | "DEALLOCATE" | "DISCARD" | "LISTEN" => PROCEDURE,
        "SHOW" if !matches!(word(1).as_str(), "TABLES" | "COLUMNS" | "FUNCTIONS" | "ALL" | "DATAFUSION" | "TIME" | "TIMEZONE") => {
            return Err(SqlError::Invalid(format!(
                "there is no SHOW {}; write SHOW TABLES, SHOW COLUMNS FROM samples, or SELECT from information_schema",
                word(1)
            )));
        }
        _ => return Ok(()),
    };
    Err(SqlError::ReadOnly(format!("{verb} is not taken; {advice}")))
}
