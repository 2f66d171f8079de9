//! One value of a file into the type of its tag, exactly or not at all.

use historian_proto::v1::{
    self, BoolColumn, DoubleColumn, FloatColumn, SignedColumn, StateColumn, StringColumn, TagSamples, UnsignedColumn, ValueType, Values,
    values::Column,
};

use super::{
    mistake::Mistakes,
    portion::{FileRow, FileValue, TagRows},
    settings::Settings,
};
use historian_api::write::exact::narrowed;
use historian_model as model;
use historian_query::widened;

impl TagRows {
    /// The rows as columns of the tag's type. What does not fit becomes a mistake with its place, and a value that must not be used.
    pub fn columns(self, tag: &v1::Tag, mistakes: &mut Mistakes) -> TagSamples {
        let mut reading = ColumnReading { rows: &self.rows, mistakes, is_string: tag.value_type() == ValueType::String };
        let column = match tag.value_type() {
            ValueType::F64 => Column::F64(DoubleColumn { values: reading.values(f64) }),
            ValueType::F32 => Column::F32(FloatColumn { values: reading.values(f32) }),
            ValueType::I64 => Column::I64(SignedColumn {
                values: reading.values(|cell| integer(cell).and_then(|value| value.try_into().ok()).ok_or("an integer of 64 bits")),
            }),
            ValueType::U64 => Column::U64(UnsignedColumn {
                values: reading
                    .values(|cell| integer(cell).and_then(|value| value.try_into().ok()).ok_or("an unsigned integer of 64 bits")),
            }),
            ValueType::Bool => Column::Bool(BoolColumn { values: reading.values(|cell| truth(cell).ok_or("true or false")) }),
            ValueType::State => Column::State(StateColumn {
                values: reading.values(|cell| state(cell, &tag.state_set).ok_or("the number or name of a state")),
            }),
            ValueType::String | ValueType::Unspecified => Column::String(StringColumn { values: reading.values(text) }),
        };
        let is_null = |row: &FileRow| row.is_null(tag.value_type() == ValueType::String);
        TagSamples {
            timestamps: self.rows.iter().map(|row| row.timestamp).collect(),
            values: Some(Values { column: Some(column) }),
            qualities: self.rows.iter().map(|row| row.quality.0).collect(),
            nulls: (0..).zip(&self.rows).filter(|(_, row)| is_null(row)).map(|(index, _)| index).collect(),
            tag: self.name,
        }
    }
}

impl FileRow {
    /// An empty cell under a quality that is not Good is no value. Of a string with a Good quality it is the empty text.
    fn is_null(&self, is_string: bool) -> bool {
        let is_empty = match &self.value {
            FileValue::Empty => true,
            FileValue::Text(text) => text.trim().is_empty() && !is_string,
            _ => false,
        };
        is_empty && !self.quality.is_good()
    }
}

struct ColumnReading<'a> {
    rows: &'a [FileRow],
    mistakes: &'a mut Mistakes,
    is_string: bool,
}

impl ColumnReading<'_> {
    fn values<T: Default>(&mut self, read: impl Fn(&FileValue) -> Result<T, &'static str>) -> Vec<T> {
        let mut values = Vec::with_capacity(self.rows.len());
        for row in self.rows {
            let is_empty = matches!(&row.value, FileValue::Empty) || matches!(&row.value, FileValue::Text(text) if text.trim().is_empty());
            let value = match &row.value {
                _ if row.is_null(self.is_string) => Ok(T::default()),
                _ if is_empty && !self.is_string => {
                    Err("is empty, and the quality is Good; a sample without a value needs a Bad quality".to_owned())
                }
                cell => read(cell).map_err(|wanted| format!("{} is not {wanted}{}", cell.shown(), cell.hint())),
            };
            values.push(value.unwrap_or_else(|reason| {
                self.mistakes.at(row.place, "value", &reason);
                T::default()
            }));
        }
        values
    }
}

impl FileValue {
    fn shown(&self) -> String {
        match self {
            FileValue::Empty => "\"\"".into(),
            FileValue::Text(text) | FileValue::String(text) => format!("{:?}", text.trim().chars().take(60).collect::<String>()),
            FileValue::F64(value) => value.to_string(),
            FileValue::F32(value) => value.to_string(),
            FileValue::Integer(value) => value.to_string(),
            FileValue::Bool(value) => value.to_string(),
        }
    }

    /// What would help, for texts that people write for numbers.
    fn hint(&self) -> &'static str {
        let (FileValue::Text(text) | FileValue::String(text)) = self else { return "" };
        let text = text.trim();
        if text.parse::<f64>().is_ok() {
            return "";
        }
        if text.contains(',') && text.replace(',', ".").parse::<f64>().is_ok() {
            return "; write it with a decimal point";
        }
        "; words that stand for a state of the signal are told with --states 'WORD=BadNoCommunication', texts with --text"
    }
}

/// Which of the columns of a row holds its value, by the type that the row says it is of.
pub fn chosen(
    declared: Option<model::ValueType>,
    value: impl Fn() -> FileValue,
    integer: impl Fn() -> FileValue,
    text: impl Fn() -> FileValue,
) -> FileValue {
    let or = |first: FileValue, second: &dyn Fn() -> FileValue| if first == FileValue::Empty { second() } else { first };
    let as_string = |cell: FileValue| if let FileValue::Text(text) = cell { FileValue::String(text) } else { cell };
    match declared {
        Some(model::ValueType::String) => as_string(or(text(), &value)),
        Some(model::ValueType::I64 | model::ValueType::U64) => or(integer(), &value),
        Some(_) => value(),
        // A number in `value` may be rounded where there is an exact one, and may be a state whose name is in `text`.
        None => or(or(integer(), &value), &|| as_string(text())),
    }
}

/// Value and quality of a row: a word that stands for a state of the signal is its quality, and no value.
///
/// # Errors
/// The value's are those of [`typed`]; what was wrong with the quality stays so.
pub fn meant<E>(
    cell: FileValue,
    declared: Option<model::ValueType>,
    quality: Result<model::Quality, E>,
    settings: &Settings,
) -> (Result<FileValue, String>, Result<model::Quality, E>) {
    let state = if let FileValue::Text(text) | FileValue::String(text) = &cell { settings.state(text) } else { None };
    match state {
        Some(state) => (Ok(FileValue::Empty), quality.map(|_| state)),
        None => (typed(cell, declared), quality),
    }
}

/// A text as a value of the type that its row says it is of.
///
/// # Errors
/// Says what it is not.
pub fn typed(cell: FileValue, declared: Option<model::ValueType>) -> Result<FileValue, String> {
    let Some(declared) = declared else { return Ok(cell) };
    if matches!(&cell, FileValue::Text(text) if text.trim().is_empty()) && declared != model::ValueType::String {
        return Ok(FileValue::Empty);
    }
    let read = match (&cell, declared) {
        (FileValue::Text(_), model::ValueType::F64) => f64(&cell).map(FileValue::F64),
        (FileValue::Text(_) | FileValue::F64(_), model::ValueType::F32) => f32(&cell).map(FileValue::F32),
        (FileValue::Text(_) | FileValue::F64(_), model::ValueType::I64 | model::ValueType::U64) => {
            integer(&cell).map(FileValue::Integer).ok_or("an integer")
        }
        (FileValue::Text(_) | FileValue::F64(_), model::ValueType::Bool) => truth(&cell).map(FileValue::Bool).ok_or("true or false"),
        _ => return Ok(cell),
    };
    read.map_err(|wanted| format!("{} is not {wanted}, and the type is {declared}", cell.shown()))
}

const NUMBER: &str = "a number";
const INEXACT: &str = "a number that f64 holds exactly; give the tag the type i64 or u64, or the file a column type";

/// What a text is as a number, where nothing of it is lost.
pub fn number(text: &str) -> Result<f64, &'static str> {
    let value: f64 = text.parse().map_err(|_| NUMBER)?;
    let digits = text.trim_start_matches(['+', '-']);
    if value.is_infinite() && digits.starts_with(|letter: char| letter.is_ascii_digit() || letter == '.') {
        return Err("a number within the range of f64");
    }
    // An integer of more than 53 bits is a counter or a key. Programs that print a float without an exponent print its shortest digits.
    let is_integer = digits.len() > 15 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_exact = || text.parse::<i128>().is_ok_and(|integer| value as i128 == integer) || format!("{}", value.abs()) == digits;
    if is_integer && !is_exact() {
        return Err(INEXACT);
    }
    Ok(value)
}

fn f64(cell: &FileValue) -> Result<f64, &'static str> {
    match cell {
        FileValue::Text(text) => number(text.trim()),
        FileValue::F64(value) => Ok(*value),
        FileValue::F32(value) => Ok(widened(*value)),
        FileValue::Integer(value) => Some(*value as f64).filter(|float| *float as i128 == *value).ok_or(INEXACT),
        _ => Err(NUMBER),
    }
}

fn f32(cell: &FileValue) -> Result<f32, &'static str> {
    const EXACT: &str = "a number that f32 holds exactly";
    match cell {
        FileValue::Text(text) => {
            // Its own digits: rounding to f64 first could round twice.
            number(text.trim()).or_else(|reason| if reason == INEXACT { Ok(0.0) } else { Err(reason) })?;
            let value: f32 = text.trim().parse().map_err(|_| NUMBER)?;
            let is_infinity = text.trim_start_matches([' ', '+', '-']).starts_with(['i', 'I']);
            if value.is_infinite() && !is_infinity { Err("a number within the range of f32") } else { Ok(value) }
        }
        FileValue::F64(value) => narrowed(*value).ok_or(EXACT),
        FileValue::F32(value) => Ok(*value),
        FileValue::Integer(value) => Some(*value as f32).filter(|float| *float as i128 == *value).ok_or(EXACT),
        _ => Err(NUMBER),
    }
}

fn whole(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() < 2.0_f64.powi(65)).then_some(value as i128)
}

fn integer(cell: &FileValue) -> Option<i128> {
    match cell {
        // A whole number that went through a float is one as long as floats count in ones.
        FileValue::Text(text) => text.trim().parse().ok().or_else(|| {
            let value = number(text.trim()).ok()?;
            whole(value).filter(|_| value.abs() <= 2.0_f64.powi(53))
        }),
        FileValue::Integer(value) => Some(*value),
        FileValue::F64(value) => whole(*value),
        FileValue::F32(value) => whole(f64::from(*value)),
        _ => None,
    }
}

fn truth(cell: &FileValue) -> Option<bool> {
    match cell {
        FileValue::Bool(value) => Some(*value),
        FileValue::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "1.0" => Some(true),
            "false" | "0" | "0.0" => Some(false),
            _ => None,
        },
        cell => match integer(cell)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
    }
}

fn state(cell: &FileValue, names: &[String]) -> Option<u32> {
    let named = |text: &str| names.iter().position(|name| name == text).and_then(|index| u32::try_from(index).ok());
    match cell {
        FileValue::Text(text) | FileValue::String(text) => {
            integer(&FileValue::Text(text.clone())).and_then(|value| value.try_into().ok()).or_else(|| named(text.trim()))
        }
        cell => integer(cell)?.try_into().ok(),
    }
}

fn text(cell: &FileValue) -> Result<String, &'static str> {
    match cell {
        FileValue::Empty => Ok(String::new()),
        FileValue::Text(text) | FileValue::String(text) => Ok(text.clone()),
        _ => Err("a text"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::mistake::Mistake, *};
    use historian_model::Quality;

    fn columns(cells: Vec<(FileValue, u32)>, value_type: ValueType) -> Result<(Column, Vec<u32>), Vec<Mistake>> {
        let rows =
            cells.into_iter().zip(2..).map(|((value, quality), place)| FileRow { place, timestamp: 1, value, quality: Quality(quality) });
        let rows = TagRows { name: "a".into(), declared: None, rows: rows.collect() };
        let tag = v1::Tag { value_type: value_type.into(), state_set: vec!["stopped".into(), "running".into()], ..v1::Tag::default() };
        let mut mistakes = Mistakes::default();
        let samples = rows.columns(&tag, &mut mistakes);
        if mistakes.count() > 0 { Err(mistakes.list().to_vec()) } else { Ok((samples.values.unwrap().column.unwrap(), samples.nulls)) }
    }

    fn texts(texts: &[&str], value_type: ValueType) -> Result<(Column, Vec<u32>), Vec<Mistake>> {
        columns(texts.iter().map(|text| (FileValue::Text((*text).into()), 0)).collect(), value_type)
    }

    #[test]
    fn texts_become_values_of_the_tags_type() {
        let values = vec![1.5, -2500.0, 0.1, f64::INFINITY, 1e300];
        assert_eq!(texts(&["1.5", " -2.5e3", "+0.1", "inf", "1e300"], ValueType::F64), Ok((Column::F64(DoubleColumn { values }), vec![])));
        let values = vec![0.1_f32, 16_777_216.0];
        assert_eq!(texts(&["0.10000000149011612", "16777217"], ValueType::F32), Ok((Column::F32(FloatColumn { values }), vec![])));
        let values = vec![i64::MIN, 3, 9_007_199_254_740_993];
        let read = texts(&["-9223372036854775808", "3.0", "9007199254740993"], ValueType::I64);
        assert_eq!(read, Ok((Column::I64(SignedColumn { values }), vec![])));
        let values = vec![true, false, true, false];
        assert_eq!(texts(&["TRUE", "0", "1.0", "false"], ValueType::Bool), Ok((Column::Bool(BoolColumn { values }), vec![])));
        let values = vec![1, 0, 7];
        assert_eq!(texts(&["running", "0", "7.0"], ValueType::State), Ok((Column::State(StateColumn { values }), vec![])));
        let values = vec![" x ".to_owned(), String::new(), "1".to_owned()];
        assert_eq!(texts(&[" x ", "", "1"], ValueType::String), Ok((Column::String(StringColumn { values }), vec![])));
    }

    #[test]
    fn typed_values_convert_where_nothing_is_lost() {
        let one = |cell: FileValue, value_type| columns(vec![(cell, 0)], value_type).map(|(column, _)| column);
        assert_eq!(one(FileValue::F64(f64::from(0.1_f32)), ValueType::F32), Ok(Column::F32(FloatColumn { values: vec![0.1] })));
        assert_eq!(one(FileValue::Integer(u64::MAX.into()), ValueType::U64), Ok(Column::U64(UnsignedColumn { values: vec![u64::MAX] })));
        assert_eq!(one(FileValue::F64(1.0), ValueType::Bool), Ok(Column::Bool(BoolColumn { values: vec![true] })));
        for (cell, value_type) in [
            (FileValue::F64(0.1), ValueType::F32),
            (FileValue::F64(1.5), ValueType::I64),
            (FileValue::Integer(-1), ValueType::U64),
            (FileValue::Integer((1 << 53) + 1), ValueType::F64),
            (FileValue::F64(2.0), ValueType::Bool),
            (FileValue::String("1".into()), ValueType::F64),
            (FileValue::F64(1.0), ValueType::String),
            (FileValue::Bool(true), ValueType::F64),
        ] {
            assert!(one(cell.clone(), value_type).is_err(), "{cell:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_row_by_row() {
        let told = texts(&["1", "x", "2", "1,5", "", "9007199254740993", "1e400"], ValueType::F64).unwrap_err();
        let expected = [
            (3, ", value: \"x\" is not a number; words"),
            (5, ", value: \"1,5\" is not a number; write it with a decimal point"),
            (6, ", value: is empty, and the quality is Good"),
            (7, ", value: \"9007199254740993\" is not a number that f64 holds exactly"),
            (8, ", value: \"1e400\" is not a number within the range"),
        ];
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (mistake, (line, start)) in told.iter().zip(expected) {
            assert!(mistake.place == line && mistake.told.starts_with(start), "{mistake:?}");
        }
        // As JavaScript prints 2^64, and as an integer it holds exactly.
        assert!(texts(&["18446744073709552000", "18446744073709551616", "9007199254740992"], ValueType::F64).is_ok());
        assert!(texts(&["3.5"], ValueType::I64).is_err() && texts(&["paused"], ValueType::State).is_err());
    }

    #[test]
    fn a_sample_without_a_value_has_a_quality_that_is_not_good() {
        let bad = 0x8000_0000;
        for value_type in [ValueType::F64, ValueType::I64, ValueType::State] {
            let cells = vec![(FileValue::Empty, bad), (FileValue::Text(" ".into()), bad), (FileValue::Text("1".into()), bad)];
            assert_eq!(columns(cells, value_type).unwrap().1, [0, 1], "{value_type:?}");
        }
        // Of a string `""` is a value, and nothing is none.
        let cells = vec![(FileValue::Empty, bad), (FileValue::Text(String::new()), bad), (FileValue::Empty, 0)];
        assert_eq!(columns(cells, ValueType::String).unwrap().1, [0]);
    }
}
