//! The text of a statement before it is parsed: `?` becomes `$1`, `$2`, …, and what would make too deep a tree is refused. Plans are trees, and
//! trees are walked recursively, so that depth is stack.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    keywords::Keyword,
    tokenizer::{Token, Tokenizer},
};

use super::SqlError;

/// Most operators and clauses in one statement. Each can make the tree one deeper; names in an `IN` list do not.
pub const OPERATORS_MAX: usize = 1_000;
/// Most items in all lists of one statement: each is an expression, which is far larger than its text.
pub const ITEMS_MAX: usize = 32_768;

/// Reads a statement.
///
/// # Errors
/// [`SqlError::Invalid`] when it has no tokens of SQL, is too long or too deep, or mixes `?` with numbered parameters.
pub fn normalised(text: &str, bytes_max: usize) -> Result<String, SqlError> {
    if text.len() > bytes_max {
        return Err(SqlError::Invalid(format!("the statement has {} bytes, at most {bytes_max} are taken; use parameters", text.len())));
    }
    let dialect = GenericDialect {};
    // Not unescaped, so that the tokens make the same text again.
    let tokens = Tokenizer::new(&dialect, text)
        .with_unescape(false)
        .tokenize()
        .map_err(|error| SqlError::Invalid(format!("the statement is no SQL: {error}")))?;
    let operators = tokens.iter().filter(|token| deepens(token)).count();
    if operators > OPERATORS_MAX {
        return Err(SqlError::Invalid(format!(
            "the statement has {operators} operators and clauses, at most {OPERATORS_MAX} are taken; use IN for long lists"
        )));
    }
    let items = tokens.iter().filter(|token| **token == Token::Comma).count();
    if items > ITEMS_MAX {
        return Err(SqlError::Invalid(format!(
            "the statement has {items} items in its lists, at most {ITEMS_MAX} are taken; select by a pattern, or run it in parts"
        )));
    }
    let placeholder = |token: &Token| matches!(token, Token::Placeholder(name) if name == "?") || *token == Token::Question;
    if !tokens.iter().any(placeholder) {
        return Ok(text.to_owned());
    }
    if tokens.iter().any(|token| matches!(token, Token::Placeholder(name) if name != "?")) {
        return Err(SqlError::Invalid("the statement mixes ? with $1; write all parameters in one way".into()));
    }
    let mut number = 0;
    let numbered = tokens.iter().map(|token| {
        if !placeholder(token) {
            return token.to_string();
        }
        number += 1;
        format!("${number}")
    });
    Ok(numbered.collect())
}

fn deepens(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::NOT
                | Keyword::XOR
                | Keyword::BETWEEN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::IS
                | Keyword::CASE
                | Keyword::WHEN
                | Keyword::SELECT
                | Keyword::JOIN
                | Keyword::UNION
                | Keyword::EXCEPT
                | Keyword::INTERSECT
                | Keyword::WITH
                | Keyword::COLLATE
                | Keyword::AT
        ),
        Token::Comma
        | Token::Whitespace(_)
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::RParen
        | Token::SemiColon
        | Token::Period
        | Token::EOF => false,
        // Everything else is an operator, an opening bracket or text of an unusual kind.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_marks_are_numbered_and_texts_are_left_alone() {
        let of = |text: &str| normalised(text, 1000).unwrap();
        assert_eq!(of("SELECT 'it''s ?' FROM samples"), "SELECT 'it''s ?' FROM samples");
        assert_eq!(
            of("SELECT \"a?\" FROM samples WHERE tag = ? AND value > ? -- why?\n LIMIT ?"),
            "SELECT \"a?\" FROM samples WHERE tag = $1 AND value > $2 -- why?\n LIMIT $3"
        );
        assert_eq!(of("SELECT 'it''s', ?, 'a\\b'"), "SELECT 'it''s', $1, 'a\\b'");
        assert_eq!(of("SELECT $1 + $2"), "SELECT $1 + $2");
        assert!(normalised("SELECT ? + $1", 1000).is_err());
    }

    #[test]
    fn long_lists_are_taken_and_deep_trees_are_not() {
        let list = (0..20_000).map(|n| format!("'t{n}'")).collect::<Vec<_>>().join(",");
        normalised(&format!("SELECT * FROM samples WHERE tag IN ({list})"), 1 << 20).unwrap();
        for deep in [vec!["1"; 2000].join("+"), vec!["(SELECT 1)"; 600].join(" UNION "), "- ".repeat(1500) + "1"] {
            assert!(matches!(normalised(&format!("SELECT {deep}"), 1 << 20), Err(SqlError::Invalid(_))), "{deep:.40}");
        }
        let list = vec!["1"; ITEMS_MAX + 2].join(",");
        assert!(normalised(&format!("SELECT 1 IN ({list})"), 1 << 20).is_err());
        assert!(normalised("SELECT 1", 3).is_err());
        assert!(normalised("SELECT 'open", 100).is_err());
    }
}
