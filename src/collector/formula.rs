//! Formulas of calculated tags: a small arithmetic over the values of other tags. Total: every text is a formula or says where it is none, and
//! every formula ends with a number or with the reason why there is none.
//!
//! ```text
//! sum     = product { ("+" | "-") product }
//! product = signed { ("*" | "/") signed }
//! signed  = [ "-" ] value
//! value   = number | "{" tag "}" | "(" sum ")" | ("min" | "max") "(" sum { "," sum } ")" | "abs" "(" sum ")"
//!         | "default" "(" sum "," sum ")"
//! ```
//!
//! Names stand in braces, which no name of a tag has: `area1/flow-in` is one name and no quotient.

use std::cmp::Ordering;

use super::decimal::{NoNumber, Number};

/// Longest formula, in bytes.
const BYTES_MAX: usize = 4096;
/// Tags that one formula takes its values from.
const INPUTS_MAX: usize = 64;
/// Parentheses, functions and signs within each other.
const DEPTH_MAX: usize = 32;

/// A formula that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct TagFormula {
    /// Names of tags, each once, in the order in which they come up.
    inputs: Vec<String>,
    root: FormulaNode,
}

#[derive(Clone, Debug, PartialEq)]
enum FormulaNode {
    Constant(Number),
    /// Number of an input.
    Input(usize),
    Negated(Box<FormulaNode>),
    Absolute(Box<FormulaNode>),
    /// Each with whether it is subtracted.
    Sum(Vec<(bool, FormulaNode)>),
    /// Each with whether it divides.
    Product(Vec<(bool, FormulaNode)>),
    Least(Vec<FormulaNode>),
    Greatest(Vec<FormulaNode>),
    /// The first, or the second where an input of the first has no value.
    Default(Box<(FormulaNode, FormulaNode)>),
}

impl TagFormula {
    /// Reads a formula.
    ///
    /// # Errors
    /// Says at which character it cannot be one, and why.
    pub fn parse(text: &str) -> Result<TagFormula, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("the formula has {} bytes, at most {BYTES_MAX} are taken", text.len()));
        }
        let mut reader = Reader { text, at: 0, inputs: Vec::new(), depth: 0 };
        let root = reader.sum()?;
        if let Some(found) = reader.peek() {
            return Err(reader.refused(&format!("an operator was expected here, not {found:?}{}", hint(found))));
        }
        if reader.inputs.is_empty() {
            return Err("the formula names no tag; names stand in braces, as in {area1/flow} * 3.6".to_owned());
        }
        Ok(TagFormula { inputs: reader.inputs, root })
    }

    /// Names of the tags whose values it takes.
    pub fn inputs(&self) -> &[String] {
        &self.inputs
    }

    /// True when the result is a whole number where the inputs are for which `is_whole` says so, by their number.
    pub fn is_whole(&self, is_whole: &impl Fn(usize) -> bool) -> bool {
        self.root.is_whole(is_whole)
    }

    /// The result for the values of [`TagFormula::inputs`], in their order; `None` for one that has no value.
    ///
    /// # Errors
    /// A divisor is 0, a number on the way is too large, or there is no value and no default for it.
    pub fn of(&self, values: &[Option<Number>]) -> Result<Number, NoNumber> {
        self.root.of(values)
    }
}

impl FormulaNode {
    fn is_whole(&self, input: &impl Fn(usize) -> bool) -> bool {
        match self {
            FormulaNode::Constant(number) => number.whole().is_some(),
            FormulaNode::Input(number) => input(*number),
            FormulaNode::Negated(node) | FormulaNode::Absolute(node) => node.is_whole(input),
            FormulaNode::Sum(parts) => parts.iter().all(|(_, node)| node.is_whole(input)),
            FormulaNode::Product(parts) => parts.iter().all(|(divides, node)| !divides && node.is_whole(input)),
            FormulaNode::Least(nodes) | FormulaNode::Greatest(nodes) => nodes.iter().all(|node| node.is_whole(input)),
            FormulaNode::Default(nodes) => nodes.0.is_whole(input) && nodes.1.is_whole(input),
        }
    }

    fn of(&self, values: &[Option<Number>]) -> Result<Number, NoNumber> {
        match self {
            FormulaNode::Constant(number) => Ok(*number),
            FormulaNode::Input(number) => values[*number].ok_or(NoNumber::NoValue(*number)),
            FormulaNode::Negated(node) => Ok(node.of(values)?.negated()),
            FormulaNode::Absolute(node) => Ok(node.of(values)?.absolute()),
            FormulaNode::Sum(parts) => parts.iter().try_fold(Number::from(0), |sum, (is_subtracted, node)| {
                let part = node.of(values)?;
                sum.plus(if *is_subtracted { part.negated() } else { part })
            }),
            FormulaNode::Product(parts) => parts.iter().try_fold(Number::from(1), |product, (divides, node)| {
                let part = node.of(values)?;
                if *divides { product.over(part) } else { product.times(part) }
            }),
            FormulaNode::Least(nodes) => outermost(nodes, values, Ordering::Less),
            FormulaNode::Greatest(nodes) => outermost(nodes, values, Ordering::Greater),
            FormulaNode::Default(nodes) => match nodes.0.of(values) {
                Err(NoNumber::NoValue(_)) => nodes.1.of(values),
                // That there is no result for the values that are there is not what a default is for.
                result => result,
            },
        }
    }
}

/// The least or greatest of several; they are never none.
fn outermost(nodes: &[FormulaNode], values: &[Option<Number>], wanted: Ordering) -> Result<Number, NoNumber> {
    let mut found: Option<Number> = None;
    for node in nodes {
        let number = node.of(values)?;
        found = Some(found.filter(|found| number.compared(*found) != wanted).unwrap_or(number));
    }
    Ok(found.unwrap_or(Number::from(0)))
}

struct Reader<'text> {
    text: &'text str,
    /// Byte that comes next.
    at: usize,
    inputs: Vec<String>,
    depth: usize,
}

impl Reader<'_> {
    fn sum(&mut self) -> Result<FormulaNode, String> {
        self.joined(Reader::product, ('+', '-'), FormulaNode::Sum)
    }

    fn product(&mut self) -> Result<FormulaNode, String> {
        self.joined(Reader::signed, ('*', '/'), FormulaNode::Product)
    }

    /// Parts between either of two operators, of which the second undoes the first.
    fn joined(
        &mut self,
        part: fn(&mut Self) -> Result<FormulaNode, String>,
        (does, undoes): (char, char),
        node: fn(Vec<(bool, FormulaNode)>) -> FormulaNode,
    ) -> Result<FormulaNode, String> {
        let first = part(self)?;
        let mut parts = vec![(false, first)];
        while let Some(operator) = self.peek().filter(|found| *found == does || *found == undoes) {
            self.step();
            parts.push((operator == undoes, part(self)?));
        }
        Ok(if parts.len() == 1 { parts.swap_remove(0).1 } else { node(parts) })
    }

    fn signed(&mut self) -> Result<FormulaNode, String> {
        if self.peek() != Some('-') {
            return self.value();
        }
        self.step();
        self.deeper(|reader| Ok(FormulaNode::Negated(Box::new(reader.signed()?))))
    }

    fn value(&mut self) -> Result<FormulaNode, String> {
        match self.peek() {
            Some('{') => self.input(),
            Some('(') => {
                self.step();
                self.deeper(|reader| {
                    let node = reader.sum()?;
                    reader.expect(')')?;
                    Ok(node)
                })
            }
            Some(digit) if digit.is_ascii_digit() || digit == '.' => self.number(),
            Some(letter) if letter.is_alphabetic() => self.function(),
            Some(found) => Err(self.refused(&format!("a value was expected here, not {found:?}{}", hint(found)))),
            None => Err("the formula ends where a value was expected".to_owned()),
        }
    }

    fn input(&mut self) -> Result<FormulaNode, String> {
        let rest = &self.text[self.at..];
        let Some(end) = rest.find('}') else { return Err(self.refused("this brace is not closed")) };
        let name = rest[1..end].trim();
        if name.is_empty() {
            return Err(self.refused("there is no name of a tag in these braces"));
        }
        let number = match self.inputs.iter().position(|known| known == name) {
            Some(number) => number,
            None if self.inputs.len() == INPUTS_MAX => return Err(format!("the formula names more than {INPUTS_MAX} tags")),
            None => {
                self.inputs.push(name.to_owned());
                self.inputs.len() - 1
            }
        };
        self.at += end + 1;
        Ok(FormulaNode::Input(number))
    }

    fn number(&mut self) -> Result<FormulaNode, String> {
        let rest = &self.text[self.at..];
        let mut end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').unwrap_or(rest.len());
        // The sign of a power of ten.
        if rest[..end].ends_with(['e', 'E']) && rest[end..].starts_with(['+', '-']) {
            let power = &rest[end + 1..];
            end += 1 + power.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(power.len());
        }
        let number = Number::written(&rest[..end]);
        let number = number.ok_or_else(|| self.refused(&format!("{:?} is no number such as 12, 0.1 or 1e-3", &rest[..end])))?;
        self.at += end;
        Ok(FormulaNode::Constant(number))
    }

    fn function(&mut self) -> Result<FormulaNode, String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '/' | '.')).unwrap_or(rest.len());
        let (name, start) = (&rest[..end], self.at);
        if !["min", "max", "abs", "default"].contains(&name) {
            return Err(self.refused(&format!(
                "{name:?} is no function; known are min, max, abs, default, and names of tags stand in braces: {{{name}}}"
            )));
        }
        self.at += end;
        self.expect('(')?;
        let mut arguments = self.deeper(|reader| {
            let mut arguments = vec![reader.sum()?];
            while reader.peek() == Some(',') {
                reader.step();
                arguments.push(reader.sum()?);
            }
            reader.expect(')')?;
            Ok(arguments)
        })?;
        let wanted = match (name, arguments.len()) {
            ("min", _) => return Ok(FormulaNode::Least(arguments)),
            ("max", _) => return Ok(FormulaNode::Greatest(arguments)),
            ("abs", 1) => return Ok(FormulaNode::Absolute(Box::new(arguments.swap_remove(0)))),
            ("abs", _) => "abs takes one value",
            (_, 2) => {
                let fallback = arguments.swap_remove(1);
                return Ok(FormulaNode::Default(Box::new((arguments.swap_remove(0), fallback))));
            }
            _ => "default takes two values: default({pv3/power}, 0)",
        };
        self.at = start;
        Err(self.refused(wanted))
    }

    fn deeper<Read>(&mut self, read: impl FnOnce(&mut Self) -> Result<Read, String>) -> Result<Read, String> {
        if self.depth == DEPTH_MAX {
            return Err(self.refused(&format!("parentheses, functions and signs lie within each other at most {DEPTH_MAX} deep")));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.step();
                Ok(())
            }
            Some(found) => Err(self.refused(&format!("{wanted:?} was expected here, not {found:?}{}", hint(found)))),
            None => Err(format!("the formula ends where {wanted:?} was expected")),
        }
    }

    /// The next character that is no blank.
    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        self.text[self.at..].chars().next()
    }

    fn step(&mut self) {
        self.at += self.text[self.at..].chars().next().map_or(0, char::len_utf8);
    }

    /// What is wrong at the next character; the first of the formula is number 1.
    fn refused(&self, why: &str) -> String {
        format!("character {} of the formula: {why}", self.text[..self.at].chars().count() + 1)
    }
}

/// What is meant by what others write.
fn hint(found: char) -> &'static str {
    match found {
        '\u{d7}' | '\u{b7}' => "; a product is written with *",
        '\u{f7}' | ':' => "; a quotient is written with /",
        '\u{2212}' | '\u{2013}' => "; a difference is written with -",
        '^' => "; there are no powers, a square is written {a} * {a}",
        ',' => "; the decimal mark is a point",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(formula: &str, values: &[f64]) -> Result<f64, NoNumber> {
        let values: Vec<Option<Number>> = values.iter().map(|value| Number::of_f64(*value)).collect();
        TagFormula::parse(formula).unwrap_or_else(|error| panic!("{formula}: {error}")).of(&values).map(Number::as_f64)
    }

    #[test]
    fn formulas_are_calculated_by_the_usual_rules() {
        for (formula, expected) in [
            ("{a}", 6.0),
            ("{a} + {b} * {c}", 2.0),
            ("({a} + {b}) * {c}", -16.0),
            ("{a} - {b} - {c}", 6.0),
            ("{a} - ({b} - {c})", 2.0),
            ("{a} / {b} / {b}", 1.5),
            ("{a} / ({b} / {b})", 6.0),
            ("{a} / {b} * {b}", 6.0),
            ("-{a} + 1", -5.0),
            ("2 * -{a}", -12.0),
            ("--{a}", 6.0),
            ("abs({c}) * 1e1", 20.0),
            ("min({a}, {b}, {c})", -2.0),
            ("max({a},{b},{c}) + min({b})", 8.0),
            ("max(0, {c})", 0.0),
            ("max(0, -{c}) * 0.1", 0.2),
            (" ( ( {a} ) )", 6.0),
            ("{ a }*{a}", 36.0),
            ("{a}-1", 5.0),
            ("{a} * (1 - 2 * {b}) + 0*{c}", -18.0),
        ] {
            // `a`, `b` and `c` by the order in which each formula names them.
            let names = TagFormula::parse(formula).unwrap().inputs().to_vec();
            let values: Vec<f64> = names.iter().map(|name| [6.0, 2.0, -2.0][usize::from(name.as_bytes()[0] - b'a')]).collect();
            assert_eq!(result(formula, &values), Ok(expected), "{formula}");
        }
        assert_eq!(result("{l1} + {l2} + {l3}", &[0.1, 0.2, 0.3]), Ok(0.6));
        assert_eq!(TagFormula::parse("{area 1/flow-in.x} + {b}").unwrap().inputs(), ["area 1/flow-in.x", "b"]);
    }

    #[test]
    fn no_result_is_infinite() {
        assert_eq!(result("{a} / {b}", &[1.0, 0.0]), Err(NoNumber::DivisionByZero));
        assert_eq!(result("1 / (1 / {b})", &[0.0]), Err(NoNumber::DivisionByZero), "and not 0");
        assert_eq!(result("{a} / ({b} - {b})", &[0.0, 3.0]), Err(NoNumber::DivisionByZero));
        assert_eq!(result("min(1, {a} / 3 * {a} * {a})", &[1e200]), Err(NoNumber::TooLarge), "and not 1");
    }

    /// `Number::of_f64` has none for a NaN.
    #[test]
    fn a_default_counts_where_there_is_no_value_and_only_there() {
        let none = f64::NAN;
        for (formula, values, expected) in [
            ("default({a}, 0) + {b}", &[none, 5.0][..], Ok(5.0)),
            ("default({a}, 0) + {b}", &[3.0, 5.0], Ok(8.0)),
            ("default({a}, 0) + {b}", &[3.0, none], Err(NoNumber::NoValue(1))),
            ("default({a}, 0) + {b}", &[none, none], Err(NoNumber::NoValue(1))),
            ("default({a} * {b}, 100)", &[2.0, none], Ok(100.0)),
            ("default({a}, {b})", &[none, 7.0], Ok(7.0)),
            ("default({a}, {b})", &[none, none], Err(NoNumber::NoValue(1))),
            ("default({a}, default({b}, -1))", &[none, none], Ok(-1.0)),
            ("default({a} / {b}, 1)", &[1.0, 0.0], Err(NoNumber::DivisionByZero)),
            ("max(default({a}, 0), {b})", &[none, -4.0], Ok(0.0)),
            ("max({a}, {b})", &[none, -4.0], Err(NoNumber::NoValue(0))),
            // What is not asked for is not missed.
            ("default({a}, {b})", &[1.0, none], Ok(1.0)),
        ] {
            assert_eq!(result(formula, values), expected, "{formula} {values:?}");
        }
    }

    #[test]
    fn whole_numbers_stay_whole_without_a_quotient() {
        let is_whole = |formula: &str| TagFormula::parse(formula).unwrap().is_whole(&|input| input == 0);
        for (formula, expected) in [
            ("{a} * 1000 + 5 - 2.0", true),
            ("min(-{a}, abs({a}))", true),
            ("{a} / 1", false),
            ("{a} * 0.5", false),
            ("{a} + {b}", false),
            ("max({a}, {b})", false),
            ("default({a}, 0)", true),
            ("default({a}, 0.5)", false),
            ("default({a}, {b})", false),
        ] {
            assert_eq!(is_whole(formula), expected, "{formula}");
        }
    }

    #[test]
    fn what_is_no_formula_says_where_and_why() {
        for (formula, part) in [
            ("", "ends where a value"),
            ("1 + 2", "names no tag"),
            ("{a} +", "ends where a value"),
            ("{a} {b}", "character 5 of the formula: an operator was expected here, not '{'"),
            ("{a} + {b", "character 7 of the formula: this brace is not closed"),
            ("{ } + 1", "no name"),
            ("a + b", "names of tags stand in braces: {a}"),
            ("flow/in * 2", "braces: {flow/in}"),
            ("{a} * 0,1", "the decimal mark is a point"),
            ("{a} \u{d7} 2", "a product is written with *"),
            ("{a} ^ 2", "no powers"),
            ("({a}", "ends where ')' was expected"),
            ("{a})", "an operator was expected here, not ')'"),
            ("abs({a}, {a})", "character 1 of the formula: abs takes one value"),
            ("sqrt({a})", "\"sqrt\" is no function"),
            ("default({a})", "character 1 of the formula: default takes two values"),
            ("default({a}, 1, 2)", "default takes two values"),
            ("min {a}", "'(' was expected"),
            ("min()", "a value was expected"),
            ("{a} + 0x10", "\"0x10\" is no number"),
            ("{a} + 1.2.3", "is no number"),
            ("{a} + 1e", "is no number"),
            ("{a} + *", "a value was expected here, not '*'"),
        ] {
            let error = TagFormula::parse(formula).unwrap_err();
            assert!(error.contains(part), "{formula}: {error}");
        }
        let deep = |depth: usize| format!("{}{{a}}{}", "(".repeat(depth), ")".repeat(depth));
        assert!(TagFormula::parse(&deep(DEPTH_MAX)).is_ok() && TagFormula::parse(&deep(DEPTH_MAX + 1)).unwrap_err().contains("deep"));
        assert!(TagFormula::parse(&format!("{{a}}{}", " ".repeat(BYTES_MAX))).unwrap_err().contains("bytes"));
        let many = |count: usize| (0..count).map(|number| format!("{{t{number}}}")).collect::<Vec<_>>().join("+");
        assert!(
            TagFormula::parse(&many(INPUTS_MAX)).is_ok() && TagFormula::parse(&many(INPUTS_MAX + 1)).unwrap_err().contains("more than 64")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_a_formula_or_none_and_any_formula_ends(
            text in "[-+*/(){},.0-9abdefaultminx \u{d7}\u{e4}]{0,60}", values in proptest::collection::vec(-1e300..1e300_f64, INPUTS_MAX),
        ) {
            if let Ok(formula) = TagFormula::parse(&text) {
                let values: Vec<Option<Number>> = values.iter().map(|value| Number::of_f64(*value)).collect();
                if let Ok(Number::Double(number)) = formula.of(&values) {
                    prop_assert!(number.is_finite(), "{}: {}", text, number);
                }
            }
        }
    }
}
