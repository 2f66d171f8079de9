//! Tables for people: one row a line, as wide as the terminal and no wider. Where there is no room, texts are shortened, then columns are left out,
//! and a line says which; no cell is ever wrapped. Where no terminal is, everything is there.

use std::{
    fmt::Display,
    io::{self, Write},
};

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{file::OutputFile, quality, screen::Screen, text::printable};
use historian_model::{Quality, Timestamp};

/// Rows of a table that are held to find the widths of its columns.
pub const TABLE_ROWS: usize = 1000;
/// Blanks between columns.
const GAP: usize = 2;

/// What may happen to a column where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Its cells are whole, or it is not there.
    Whole,
    /// As `Whole`; its heading is a name that may lose its beginning.
    Named,
    /// Its cells may lose their end.
    Text,
    /// As `Text`, but what the answer is about: other columns go before it is cut much.
    Sentence,
    /// As `Text`, but with the names of tags: what matters stands at the beginning.
    Words,
    /// As `Text`, but numbers among its cells are whole.
    Value,
    /// Its cells may lose their beginning, after all texts: the last level of a tag tells more than the first.
    Name,
}

impl Shape {
    /// Fewest cells of the terminal, as long as there is another column to leave out; and when there is none.
    fn least(self) -> (usize, usize) {
        match self {
            Shape::Whole => (usize::MAX, usize::MAX),
            Shape::Named | Shape::Value => (12, 8),
            Shape::Text => (16, 8),
            Shape::Sentence => (40, 8),
            Shape::Words => (20, 8),
            Shape::Name => (24, 14),
        }
    }
}

/// A column with its heading.
#[derive(Clone, Debug)]
pub struct TableColumn {
    heading: String,
    shape: Shape,
    spare: u8,
}

impl TableColumn {
    fn of(heading: impl Display, shape: Shape) -> TableColumn {
        TableColumn { heading: printable(&heading.to_string()), shape, spare: 0 }
    }

    /// Words, numbers and times, which are whole or not there.
    pub fn whole(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Whole)
    }

    /// Values below a name.
    pub fn named(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Named)
    }

    /// Sentences that tell what is to be known.
    pub fn sentence(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Sentence)
    }

    /// Qualities.
    pub fn words(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Words)
    }

    /// Remarks, addresses, lists.
    pub fn text(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Text)
    }

    /// Values of any type: numbers, states, texts.
    pub fn value(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Value)
    }

    /// Names of tags and files.
    pub fn name(heading: impl Display) -> TableColumn {
        TableColumn::of(heading, Shape::Name)
    }

    /// May be left out; of several, that of the greatest rank first.
    pub fn spare(mut self, rank: u8) -> TableColumn {
        self.spare = rank;
        self
    }
}

/// What a cell is in colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// Yellow: Uncertain, or a warning.
    Doubtful,
    /// Red: Bad, or a failure.
    Bad,
}

impl Tone {
    /// That of a quality.
    pub fn of(quality: Quality) -> Tone {
        match quality {
            bad if bad.is_bad() => Tone::Bad,
            good if good.is_good() => Tone::Plain,
            _ => Tone::Doubtful,
        }
    }

    /// The text in its colour, where there are colours (ECMA-48, SGR).
    pub fn painted(self, text: &str, colours: bool) -> String {
        match self {
            Tone::Bad if colours => format!("\x1b[31m{text}\x1b[0m"),
            Tone::Doubtful if colours => format!("\x1b[33m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

/// One cell.
#[derive(Clone, Debug)]
pub struct TableCell {
    text: String,
    right: bool,
    tone: Tone,
}

impl TableCell {
    /// A text, without what would steer the terminal.
    pub fn new(text: impl Display) -> TableCell {
        TableCell { text: printable(&text.to_string()), right: false, tone: Tone::Plain }
    }

    /// A number, at the right of its column.
    pub fn number(text: impl Display) -> TableCell {
        TableCell { right: true, ..TableCell::new(text) }
    }

    /// A time to the millisecond.
    pub fn time(at: Timestamp) -> TableCell {
        TableCell::new(to_ms(at))
    }

    /// A time that may not be known.
    pub fn time_or_none(at: Option<Timestamp>) -> TableCell {
        at.map_or_else(|| TableCell::new("-"), TableCell::time)
    }

    /// A quality in words, coloured.
    pub fn quality(quality: Quality) -> TableCell {
        TableCell::new(quality::in_words(quality)).toned(Tone::of(quality))
    }

    pub fn toned(self, tone: Tone) -> TableCell {
        TableCell { tone, ..self }
    }
}

/// A time as tables have it: `2026-01-01T00:00:00.007Z`.
pub fn to_ms(at: Timestamp) -> String {
    let milliseconds = at.0.div_euclid(1_000_000);
    let text = Timestamp(milliseconds.saturating_mul(1_000_000)).to_string();
    match text.strip_suffix('Z') {
        Some(whole) if whole.contains('.') => format!("{whole:0<23}Z"),
        Some(whole) => format!("{whole}.000Z"),
        None => text,
    }
}

/// A table that is written when it is complete.
#[derive(Clone, Debug)]
pub struct TextTable {
    columns: Vec<TableColumn>,
    rows: Vec<Vec<TableCell>>,
    /// Of rows that were written already and go on; empty when the next row is the first.
    widths_before: Vec<usize>,
}

impl TextTable {
    pub fn new(columns: impl IntoIterator<Item = TableColumn>) -> TextTable {
        TextTable { columns: columns.into_iter().collect(), rows: Vec::new(), widths_before: Vec::new() }
    }

    /// Adds a row, a cell for each column.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = TableCell>) {
        let cells: Vec<TableCell> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    pub fn row_count(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes the rows away; the columns stay.
    pub fn clear(&mut self) {
        self.rows.clear();
    }

    /// Writes it, as it fits the screen of the output.
    ///
    /// # Errors
    /// The destination refuses.
    pub fn write(&self, output: &mut OutputFile) -> io::Result<()> {
        for line in self.lines(output.screen()) {
            writeln!(output, "{line}")?;
        }
        Ok(())
    }

    /// Writes the rows and takes them away. The headings are above the first ones only; columns become wider where later rows are.
    ///
    /// # Errors
    /// The destination refuses.
    pub fn write_more(&mut self, output: &mut OutputFile) -> io::Result<()> {
        let first = self.widths_before.is_empty();
        for line in self.lines(output.screen()).into_iter().skip(usize::from(!first)) {
            writeln!(output, "{line}")?;
        }
        self.widths_before = self.natural();
        self.rows.clear();
        output.flush()
    }

    fn lines(&self, screen: Screen) -> Vec<String> {
        let widths = self.widths(screen.width);
        let mut lines = Vec::with_capacity(self.rows.len() + 2);
        let headings: Vec<TableCell> = self.columns.iter().map(|column| TableCell::new(&column.heading)).collect();
        for (index, cells) in std::iter::once(&headings).chain(&self.rows).enumerate() {
            let mut line = String::new();
            let mut blanks = 0;
            for ((cell, column), width) in cells.iter().zip(&self.columns).zip(&widths) {
                let Some(width) = *width else { continue };
                let at_start = column.shape == Shape::Name || (index == 0 && column.shape == Shape::Named);
                let text = shortened(&cell.text, width, at_start);
                let left = width.saturating_sub(text.width());
                let before = if cell.right { left } else { 0 };
                line.extend(std::iter::repeat_n(' ', blanks + before));
                line += &cell.tone.painted(&text, screen.colours);
                blanks = left - before + GAP;
            }
            lines.push(line.trim_end().to_owned());
        }
        let absent = self.columns.iter().zip(&widths).filter(|(_, width)| width.is_none());
        let absent: Vec<&str> = absent.map(|(column, _)| column.heading.as_str()).collect();
        if !absent.is_empty() && self.widths_before.is_empty() {
            let all = format!("(no room for {}; --format json has all)", absent.join(", "));
            lines.push(shortened(&all, screen.width.unwrap_or(usize::MAX), false));
        }
        lines
    }

    fn widest(&self, column: usize, of: impl Fn(&TableCell) -> bool) -> usize {
        self.rows.iter().map(|cells| &cells[column]).filter(|cell| of(cell)).map(|cell| cell.text.width()).max().unwrap_or(0)
    }

    /// Width that each column asks for.
    fn natural(&self) -> Vec<usize> {
        let of = |(at, column): (usize, &TableColumn)| {
            let before = self.widths_before.get(at).copied().unwrap_or(0);
            column.heading.width().max(self.widest(at, |_| true)).max(before)
        };
        self.columns.iter().enumerate().map(of).collect()
    }

    /// Width of each column; `None` for those that are left out.
    fn widths(&self, available: Option<usize>) -> Vec<Option<usize>> {
        let natural = self.natural();
        // What must not be cut of a column that may be: its numbers, or all its cells below a heading that may.
        let uncut: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| match column.shape {
                Shape::Named => self.widest(at, |_| true),
                Shape::Value => self.widest(at, |cell| cell.right),
                _ => 0,
            })
            .collect();
        let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
        let Some(available) = available else { return widths };
        let least = |hard: bool| -> Vec<usize> {
            let of = |((column, natural), uncut): ((&TableColumn, &usize), &usize)| {
                let (least, hardest) = column.shape.least();
                let least = if hard { hardest } else { least };
                let heading = if hard { 0 } else { column.heading.width() };
                let heading = if column.shape == Shape::Named { 0 } else { heading };
                least.max(heading).max(*uncut).min(*natural)
            };
            self.columns.iter().zip(&natural).zip(&uncut).map(of).collect()
        };
        let taken = |widths: &[Option<usize>]| {
            let kept = widths.iter().flatten();
            kept.clone().sum::<usize>() + kept.count().saturating_sub(1) * GAP
        };
        let (soft, hard) = (least(false), least(true));
        let at_least = |widths: &[Option<usize>], least: &[usize]| -> Vec<Option<usize>> {
            widths.iter().zip(least).map(|(width, least)| width.map(|_| *least)).collect()
        };
        while taken(&at_least(&widths, &soft)) > available {
            let kept = self.columns.iter().enumerate().filter(|(at, column)| widths[*at].is_some() && column.spare > 0);
            let Some((at, _)) = kept.max_by_key(|(at, column)| (column.spare, *at)) else { break };
            widths[at] = None;
        }
        let least = if taken(&at_least(&widths, &soft)) > available { hard } else { soft };
        // Texts give way before names of tags, and of each the widest first.
        for shapes in [&[Shape::Text, Shape::Sentence, Shape::Value, Shape::Named][..], &[Shape::Name, Shape::Words]] {
            while taken(&widths) > available {
                let may = |(at, width): (usize, &Option<usize>)| {
                    width.filter(|width| shapes.contains(&self.columns[at].shape) && *width > least[at]).map(|width| (width, at))
                };
                let Some((width, at)) = widths.iter().enumerate().filter_map(may).max() else { break };
                widths[at] = Some(width - 1);
            }
        }
        // Nothing is left to take: the last columns go, whatever they are, so that no line is wrapped.
        while taken(&widths) > available && widths.iter().flatten().count() > 1 {
            let Some(last) = widths.iter().rposition(Option::is_some) else { break };
            widths[last] = None;
        }
        if let Some(width) = widths.iter_mut().flatten().next().filter(|width| **width > available) {
            *width = available;
        }
        widths
    }
}

/// A text in so many cells of the terminal.
pub fn shortened(text: &str, width: usize, at_start: bool) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut taken = 0;
    let mut fits = |letter: &char| {
        taken += letter.width().unwrap_or(0);
        taken <= room
    };
    if at_start {
        let mut end: Vec<char> = text.chars().rev().take_while(|letter| fits(letter)).collect();
        end.push('…');
        end.into_iter().rev().collect()
    } else {
        text.chars().take_while(|letter| fits(letter)).chain(['…']).collect()
    }
}

/// A sentence in lines of the screen, broken between words, those behind the first behind so many blanks.
pub fn wrapped(first: &str, text: &str, screen: Screen) -> Vec<String> {
    let indent = first.width();
    let width = screen.width.unwrap_or(usize::MAX).max(indent + 16);
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.width() + 1 + word.width() > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line += word;
        empty = false;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TextTable {
        let columns = [
            TableColumn::name("TAG"),
            TableColumn::whole("VALUE"),
            TableColumn::whole("QUALITY"),
            TableColumn::text("DETAIL"),
            TableColumn::text("ADDRESS").spare(2),
            TableColumn::whole("SAMPLES").spare(1),
        ];
        let mut table = TextTable::new(columns);
        for (tag, quality) in [("demo/heating/tank201/temperature", Quality::GOOD), ("a/b", Quality(0x808C_0000))] {
            table.add_row([
                TableCell::new(tag),
                TableCell::number(1.5),
                TableCell::quality(quality),
                TableCell::new("what the device said of it, which takes a whole sentence"),
                TableCell::new("holding:100"),
                TableCell::number(12_345),
            ]);
        }
        table
    }

    fn at(width: usize) -> Vec<String> {
        table().lines(Screen { width: Some(width), colours: false })
    }

    #[test]
    fn a_table_is_as_wide_as_its_terminal_and_no_wider() {
        let whole = table().lines(Screen::default());
        assert_eq!(whole.len(), 3);
        assert!(whole[1].starts_with("demo/heating/tank201/temperature    1.5  Good              what the device said"), "{whole:#?}");
        for width in 20..200 {
            let lines = at(width);
            assert!(lines.iter().all(|line| line.width() <= width), "{width}: {lines:#?}");
            assert!(lines.len() <= 4 && lines[1].contains("tur"), "{width}: {lines:#?}");
        }
        assert_eq!(at(199), whole);
        assert!(at(100)[0].contains("ADDRESS") && at(100)[1].contains("tank201/temperature    1.5  Good"), "{:#?}", at(100));
        let narrow = at(60);
        assert!(narrow[0].starts_with("TAG") && !narrow[0].contains("ADDRESS") && narrow[0].contains("DETAIL"), "{narrow:#?}");
        assert_eq!(narrow[3], "(no room for ADDRESS, SAMPLES; --format json has all)");
        assert!(narrow[1].contains("…") && narrow[1].contains("/temperature "), "{narrow:#?}");
    }

    #[test]
    fn colours_take_no_room() {
        let lines = table().lines(Screen { width: Some(80), colours: true });
        assert!(lines[2].contains("\x1b[31mBadSensorFailure\x1b[0m"), "{lines:#?}");
        let plain: Vec<String> = lines.iter().map(|line| line.replace("\x1b[31m", "").replace("\x1b[0m", "")).collect();
        assert_eq!(plain, at(80));
    }

    #[test]
    fn times_have_milliseconds() {
        for (ns, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_767_225_600_007_000_001, "2026-01-01T00:00:00.007Z"),
            (1_767_225_600_120_999_999, "2026-01-01T00:00:00.120Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(to_ms(Timestamp(ns)), text);
        }
    }

    #[test]
    fn texts_are_shortened_by_the_cells_they_take() {
        assert_eq!(shortened("temperature", 6, false), "tempe…");
        assert_eq!(shortened("a/b/temperature", 8, true), "…erature");
        assert_eq!(shortened("温度温度", 5, false), "温度…");
        assert_eq!(shortened("\x1b[31m", 10, false), "\x1b[31m");
        assert_eq!(TableCell::new("\x1b[31m").text, "\u{FFFD}[31m");
        let screen = Screen { width: Some(24), colours: false };
        assert_eq!(wrapped("WARN  ", "raise the number of open files", screen), ["WARN  raise the number", "      of open files"]);
    }
}
