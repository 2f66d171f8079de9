//! What has to change before a statement can be parsed: escapes of JDBC and ODBC in braces, names in square brackets, `N'…'`, the order of the
//! arguments of `CONVERT`, and how far `IS DISTINCT FROM` reaches. Texts, quoted names and comments are tokens of their own, so that nothing in them is taken for SQL.

use datafusion::sql::sqlparser::{
    dialect::GenericDialect,
    keywords::Keyword,
    tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Word},
};

use super::{super::SqlError, format, types};

/// As one operator. The parser takes everything behind the words for their right side, `AND` and `OR` too; behind an operator of its own making it
/// takes what binds closer, and none that it knows binds like `IS` but these.
pub const DISTINCT: &str = "IS DISTINCT FROM";
pub const NOT_DISTINCT: &str = "IS NOT DISTINCT FROM";

/// The tokens of a statement, as the parser knows them.
///
/// # Errors
/// [`SqlError::Invalid`] where the text has no tokens of SQL, or an escape stands for what there is not.
pub fn rewritten(text: &str, dialect: GenericDialect) -> Result<Vec<TokenWithSpan>, SqlError> {
    let tokens = Tokenizer::new(&dialect, text)
        .tokenize_with_location()
        .map_err(|error| SqlError::Invalid(format!("the statement is no SQL: {error}")))?;
    // White space and comments mean nothing to the parser, but for hints, which mean nothing to us.
    let mut tokens: Vec<TokenWithSpan> = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    without_isolation(&mut tokens);
    let mut tokens = with_distinct(tokens);
    if !tokens.iter().any(|token| is_of_concern(&token.token)) {
        return Ok(tokens);
    }
    for index in 2..tokens.len() {
        let [TokenWithSpan { token: Token::LBrace, .. }, marker, name] = &tokens[index - 2..=index] else { continue };
        if is_word(marker, "fn")
            && let Some(own) = own_name(&name.token)
        {
            tokens[index].token = Token::make_word(own, None);
        }
    }
    let mut writer = TokenWriter { ends: ends(&tokens), tokens: &tokens, text, out: Vec::with_capacity(tokens.len()) };
    writer.write(0, tokens.len())?;
    Ok(writer.out)
}

/// Makes an operator of the words `IS [NOT] DISTINCT FROM`.
fn with_distinct(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is_word(token, "DISTINCT")) {
        return tokens;
    }
    let begins = |at: usize, words: &str| {
        let mut behind = tokens[at..].iter();
        words.split(' ').all(|word| behind.next().is_some_and(|token| is_word(token, word)))
    };
    let mut joined = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if let Some(words) = [DISTINCT, NOT_DISTINCT].into_iter().find(|words| begins(at, words)) {
            joined.push(TokenWithSpan { token: Token::CustomBinaryOperator(words.to_owned()), span: tokens[at].span });
            at += words.split(' ').count();
        } else {
            joined.push(tokens[at].clone());
            at += 1;
        }
    }
    joined
}

/// Takes off how DB2 ends a statement that reads only.
fn without_isolation(tokens: &mut Vec<TokenWithSpan>) {
    while tokens.last().is_some_and(|token| matches!(token.token, Token::SemiColon | Token::EOF)) {
        tokens.pop();
    }
    let ends = |words: &[&[&str]]| {
        tokens.len() > words.len()
            && tokens[tokens.len() - words.len()..].iter().zip(words).all(|(token, words)| words.iter().any(|word| is_word(token, word)))
    };
    let length = if ends(&[&["WITH"], &["UR", "CS", "RS", "RR"]]) {
        2
    } else if ends(&[&["FOR"], &["READ", "FETCH"], &["ONLY"]]) {
        3
    } else {
        0
    };
    tokens.truncate(tokens.len() - length);
}

/// Functions that mean something else in an escape than elsewhere, or that are words of another kind there.
fn own_name(name: &Token) -> Option<&'static str> {
    match name {
        Token::Word(word) if word.value.eq_ignore_ascii_case("LOG") => Some("LN"),
        Token::Word(word) if word.value.eq_ignore_ascii_case("INSERT") => Some("STUFF"),
        _ => None,
    }
}

fn is_word(token: &TokenWithSpan, word: &str) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
}

fn is_of_concern(token: &Token) -> bool {
    match token {
        Token::LBrace | Token::LBracket | Token::NationalStringLiteral(_) => true,
        Token::Word(word) => {
            matches!(
                word.keyword,
                Keyword::CONVERT | Keyword::TRY_CONVERT | Keyword::TOP | Keyword::USER | Keyword::CURRENT_USER | Keyword::SESSION_USER
            ) || word.keyword == Keyword::CURRENT_CATALOG
        }
        _ => false,
    }
}

/// For each opening bracket the place of the one that closes it.
fn ends(tokens: &[TokenWithSpan]) -> Vec<Option<usize>> {
    let mut ends = vec![None; tokens.len()];
    let mut open: Vec<(usize, Token)> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let closed_by = match token.token {
            Token::LBrace => Some(Token::RBrace),
            Token::LBracket => Some(Token::RBracket),
            Token::LParen => Some(Token::RParen),
            _ => None,
        };
        if let Some(closed_by) = closed_by {
            open.push((index, closed_by));
        } else if open.last().is_some_and(|(_, closed_by)| *closed_by == token.token)
            && let Some((from, _)) = open.pop()
        {
            ends[from] = Some(index);
        }
    }
    ends
}

struct TokenWriter<'a> {
    tokens: &'a [TokenWithSpan],
    ends: Vec<Option<usize>>,
    text: &'a str,
    out: Vec<TokenWithSpan>,
}

impl TokenWriter<'_> {
    fn write(&mut self, from: usize, to: usize) -> Result<(), SqlError> {
        let mut at = from;
        while at < to {
            at = self.one(at)?;
        }
        Ok(())
    }

    /// Writes what begins at a token, and tells where the next begins.
    fn one(&mut self, at: usize) -> Result<usize, SqlError> {
        let token = &self.tokens[at];
        let end = self.ends[at];
        match (&token.token, end) {
            (Token::LBrace, Some(end)) => {
                self.escape(at, end)?;
                return Ok(end + 1);
            }
            (Token::LBracket, Some(end)) if self.is_name(at, end) => {
                let name = self.between(at, end);
                self.put(Token::make_word(&name, Some('"')), at);
                return Ok(end + 1);
            }
            (Token::NationalStringLiteral(text), _) => {
                self.put(Token::SingleQuotedString(text.clone()), at);
                return Ok(at + 1);
            }
            (Token::Word(word), _) if word.quote_style.is_none() => {
                if let Some(next) = self.word(at, word)? {
                    return Ok(next);
                }
            }
            _ => {}
        }
        self.out.push(token.clone());
        Ok(at + 1)
    }

    /// What a word becomes together with what follows it; `None` when it stays as it is.
    fn word(&mut self, at: usize, word: &Word) -> Result<Option<usize>, SqlError> {
        let next = at + 1;
        let opens = self.tokens.get(next).is_some_and(|token| token.token == Token::LParen);
        match word.keyword {
            Keyword::CONVERT | Keyword::TRY_CONVERT if opens => {
                let Some(end) = self.ends[next] else { return Ok(None) };
                Ok(self.convert(at, next, end)?.then_some(end + 1))
            }
            // As a function, which the parser does not know it to be.
            Keyword::USER | Keyword::CURRENT_USER | Keyword::SESSION_USER | Keyword::CURRENT_CATALOG if opens => {
                if self.ends[next] != Some(next + 1) {
                    return Ok(None);
                }
                self.out.push(self.tokens[at].clone());
                Ok(Some(next + 2))
            }
            // The parser takes an expression in brackets only.
            Keyword::TOP if self.tokens.get(next).is_some_and(|token| matches!(token.token, Token::Placeholder(_))) => {
                self.out.push(self.tokens[at].clone());
                self.put(Token::LParen, next);
                self.out.push(self.tokens[next].clone());
                self.put(Token::RParen, next);
                Ok(Some(next + 1))
            }
            _ => Ok(None),
        }
    }

    /// `{fn f(…)}`, `{ts '…'}`, `{oj …}` and others.
    fn escape(&mut self, at: usize, end: usize) -> Result<(), SqlError> {
        let first = at + 1;
        let word = match &self.tokens[first].token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
            Token::Placeholder(_) | Token::Question => "call".into(),
            _ => String::new(),
        };
        let typed = match word.as_str() {
            "fn" | "oj" | "guid" => return self.write(first + 1, end),
            "limit" | "escape" | "interval" => return self.write(first, end),
            "ts" => "TIMESTAMP",
            "d" => "DATE",
            "t" => "TIME",
            "call" => {
                return Err(SqlError::Invalid(
                    "there are no procedures; a function that answers rows is read with SELECT * FROM f(…)".into(),
                ));
            }
            _ => {
                self.out.push(self.tokens[at].clone());
                self.write(first, end)?;
                self.out.push(self.tokens[end].clone());
                return Ok(());
            }
        };
        let is_literal =
            end == first + 2 && matches!(self.tokens[first + 1].token, Token::SingleQuotedString(_) | Token::NationalStringLiteral(_));
        if is_literal {
            self.put(Token::make_word(typed, None), first);
            return self.write(first + 1, end);
        }
        self.cast("CAST", (first + 1, end), &[Token::make_word(typed, None)])
    }

    /// `CONVERT(type, expression [, style])` of SQL Server and `CONVERT(expression, SQL_TYPE)` of JDBC and ODBC as a `CAST`. False when it is
    /// neither: that of `MySQL` is known to the parser.
    fn convert(&mut self, at: usize, open: usize, end: usize) -> Result<bool, SqlError> {
        let arguments = self.arguments(open, end);
        let verb = if is_word(&self.tokens[at], "TRY_CONVERT") { "TRY_CAST" } else { "CAST" };
        let is_type = |(from, to): (usize, usize)| match &self.tokens[from].token {
            // A type, and at most its length behind it.
            Token::Word(word) if word.quote_style.is_none() => {
                types::is_name(&word.value) && (to == from + 1 || self.ends[from + 1].is_some_and(|closed| closed + 1 == to))
            }
            _ => false,
        };
        match arguments.as_slice() {
            [value, (from, to)] if to - from == 1 => {
                let escape_type = match &self.tokens[*from].token {
                    Token::Word(word) => types::of_escape(&word.value),
                    _ => None,
                };
                if let Some(own) = escape_type {
                    let own: Vec<Token> = own.split(' ').map(|word| Token::make_word(word, None)).collect();
                    self.cast(verb, *value, &own)?;
                    return Ok(true);
                }
                // Two of our columns are called like types.
                let is_column = |at: usize| is_word(&self.tokens[at], "timestamp") || is_word(&self.tokens[at], "text");
                let is_of_column = is_column(*from) && !is_column(arguments[0].0);
                if !is_type(arguments[0]) || (is_type((*from, *to)) && !is_of_column) {
                    return Ok(false);
                }
                let target = self.copied(arguments[0]);
                self.cast(verb, (*from, *to), &target)?;
                Ok(true)
            }
            [target, value] if is_type(*target) => {
                let target = self.copied(*target);
                self.cast(verb, *value, &target)?;
                Ok(true)
            }
            [target, value, style] if is_type(*target) => {
                let number = match &self.tokens[style.0].token {
                    Token::Number(number, _) if style.1 - style.0 == 1 => number.parse().ok(),
                    _ => None,
                };
                let Some(pattern) = number.and_then(format::of_style) else {
                    let known = format::styles();
                    return Err(SqlError::Invalid(format!(
                        "CONVERT knows the styles {known}; write to_char(timestamp, '%d.%m.%Y') for others"
                    )));
                };
                let of_text = matches!(&self.tokens[target.0].token, Token::Word(word) if types::is_text(&word.value));
                let target = self.copied(*target);
                // What ISO 8601 writes is read with and without its time.
                if !of_text && pattern.starts_with("%Y-") {
                    self.cast(verb, *value, &target)?;
                    return Ok(true);
                }
                // A text of a time, or the time of a text.
                let function = if of_text { "to_char" } else { "to_timestamp" };
                self.words(&[Token::make_word(verb, None), Token::LParen, Token::make_word(function, None), Token::LParen], at);
                self.write(value.0, value.1)?;
                self.words(&[Token::Comma, Token::SingleQuotedString(pattern.into()), Token::RParen], at);
                self.put(Token::make_word("AS", None), at);
                self.words(&target, at);
                self.put(Token::RParen, at);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn cast(&mut self, verb: &str, (from, to): (usize, usize), target: &[Token]) -> Result<(), SqlError> {
        self.words(&[Token::make_word(verb, None), Token::LParen], from);
        self.write(from, to)?;
        self.put(Token::make_word("AS", None), from);
        self.words(target, from);
        self.put(Token::RParen, from);
        Ok(())
    }

    /// Where each argument of a call begins and ends. None is empty.
    fn arguments(&self, open: usize, end: usize) -> Vec<(usize, usize)> {
        let (mut arguments, mut from, mut at) = (Vec::new(), open + 1, open + 1);
        while at < end {
            if self.tokens[at].token == Token::Comma {
                arguments.push((from, at));
                from = at + 1;
            }
            at = self.ends[at].unwrap_or(at) + 1;
        }
        arguments.push((from, end));
        if arguments.iter().any(|(from, to)| from >= to) { Vec::new() } else { arguments }
    }

    /// A name in square brackets begins with a word. Anything else there is a place in a list, or a list.
    fn is_name(&self, at: usize, end: usize) -> bool {
        let inside = &self.tokens[at + 1..end];
        let of_list = at > 0 && is_word(&self.tokens[at - 1], "ARRAY");
        let begins_as_name = matches!(inside.first().map(|token| &token.token), Some(Token::Word(word)) if word.quote_style.is_none());
        let is_plain = !inside
            .iter()
            .any(|token| matches!(token.token, Token::Comma | Token::LParen | Token::LBracket | Token::SingleQuotedString(_)));
        begins_as_name && is_plain && !of_list
    }

    /// What stands between two brackets, letter for letter.
    fn between(&self, at: usize, end: usize) -> String {
        let mut place = (1, 1);
        let (from, to) = (self.tokens[at].span.end, self.tokens[end].span.start);
        let within = |place: (u64, u64)| place >= (from.line, from.column) && place < (to.line, to.column);
        let mut name = String::new();
        for letter in self.text.chars() {
            if within(place) {
                name.push(letter);
            }
            place = if letter == '\n' { (place.0 + 1, 1) } else { (place.0, place.1 + 1) };
        }
        name.trim().to_owned()
    }

    fn copied(&self, (from, to): (usize, usize)) -> Vec<Token> {
        self.tokens[from..to].iter().map(|token| token.token.clone()).collect()
    }

    fn words(&mut self, words: &[Token], at: usize) {
        for word in words {
            self.put(word.clone(), at);
        }
    }

    /// A token that stands for what is at a place.
    fn put(&mut self, token: Token, at: usize) {
        let span = self.tokens.get(at).map_or_else(Span::empty, |token| token.span);
        self.out.push(TokenWithSpan { token, span });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        let tokens = rewritten(text, GenericDialect {}).unwrap();
        tokens.iter().map(|token| token.token.to_string()).filter(|token| !token.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn escapes_become_sql_and_texts_are_left_alone() {
        for (text, expected) in [
            ("SELECT {fn UCASE(tag)} FROM samples", "SELECT UCASE ( tag ) FROM samples"),
            ("SELECT {fn LOG({fn ABS(value)})}", "SELECT LN ( ABS ( value ) )"),
            (
                "SELECT {ts '2026-01-01 00:00:00'}, { d '2026-01-01' }, {t '12:00:00'}",
                "SELECT TIMESTAMP '2026-01-01 00:00:00' , DATE '2026-01-01' , TIME '12:00:00'",
            ),
            ("SELECT {ts $1}", "SELECT CAST ( $1 AS TIMESTAMP )"),
            ("SELECT * FROM {oj a LEFT OUTER JOIN b ON a.x = b.x}", "SELECT * FROM a LEFT OUTER JOIN b ON a . x = b . x"),
            ("SELECT * FROM a WHERE x LIKE 'a!_%' {escape '!'}", "SELECT * FROM a WHERE x LIKE 'a!_%' escape '!'"),
            ("SELECT {fn CONVERT(value, SQL_VARCHAR)}", "SELECT CAST ( value AS VARCHAR )"),
            ("SELECT CONVERT(VARCHAR(10), a + f(b, c))", "SELECT CAST ( a + f ( b , c ) AS VARCHAR ( 10 ) )"),
            ("SELECT CONVERT(DATE, timestamp), TRY_CONVERT(INT, text)", "SELECT CAST ( timestamp AS DATE ) , TRY_CAST ( text AS INT )"),
            ("SELECT CONVERT(VARCHAR(10), t, 104)", "SELECT CAST ( to_char ( t , '%d.%m.%Y' ) AS VARCHAR ( 10 ) )"),
            (
                "SELECT CONVERT(timestamp, DATE), CONVERT(TIMESTAMP, '2026')",
                "SELECT CONVERT ( timestamp , DATE ) , CAST ( '2026' AS TIMESTAMP )",
            ),
            ("SELECT CONVERT(DATETIME, '2026-03-29', 120)", "SELECT CAST ( '2026-03-29' AS DATETIME )"),
            ("SELECT CONVERT(DATE, '29.03.2026', 104)", "SELECT CAST ( to_timestamp ( '29.03.2026' , '%d.%m.%Y' ) AS DATE )"),
            ("SELECT CONVERT(value, DECIMAL(10, 2))", "SELECT CONVERT ( value , DECIMAL ( 10 , 2 ) )"),
            (
                "SELECT [tag], [My Tag-1] FROM [historian].[public].[samples] AS [S]",
                "SELECT \"tag\" , \"My Tag-1\" FROM \"historian\" . \"public\" . \"samples\" AS \"S\"",
            ),
            ("SELECT a[1], ARRAY[b], ['x'], [a, b]", "SELECT a [ 1 ] , ARRAY [ b ] , [ 'x' ] , [ a , b ]"),
            ("SELECT N'Kessel'", "SELECT 'Kessel'"),
            ("SELECT a is not Distinct from b", "SELECT a IS NOT DISTINCT FROM b"),
            ("SELECT DISTINCT x FROM a WHERE \"is\" DISTINCT", "SELECT DISTINCT x FROM a WHERE \"is\" DISTINCT"),
            ("SELECT 1 FROM a FOR READ ONLY;", "SELECT 1 FROM a"),
            ("SELECT 1 FROM a FETCH FIRST 3 ROWS ONLY WITH UR", "SELECT 1 FROM a FETCH FIRST 3 ROWS ONLY"),
            ("SELECT TOP $1 x, USER(), CURRENT_USER", "SELECT TOP ( $1 ) x , USER , CURRENT_USER"),
            ("SELECT '{fn UCASE(x)}', \"{d}\" -- {fn X\n, N'a' /* [b] */", "SELECT '{fn UCASE(x)}' , \"{d}\" , 'a'"),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
        for text in ["{call p(1)}", "{? = call f()}", "SELECT CONVERT(VARCHAR(10), t, 9999)", "SELECT 'open"] {
            assert!(rewritten(text, GenericDialect {}).is_err(), "{text}");
        }
    }

    #[test]
    fn brackets_that_do_not_close_are_left_to_the_parser() {
        for text in [
            "SELECT {fn X(",
            "SELECT [a",
            "}",
            "{",
            "SELECT {fn}",
            "SELECT {ts}",
            "SELECT CONVERT(",
            "SELECT CONVERT()",
            "SELECT CONVERT(,)",
            "SELECT [",
            "SELECT []",
            "{}",
            "TOP",
        ] {
            let _ = rewritten(text, GenericDialect {});
        }
    }
}
