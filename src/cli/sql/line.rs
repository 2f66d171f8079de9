//! A line typed on a terminal, with the usual keys and a history. The crates for this bring features of `libc` or `mio` with them that have every
//! other crate compiled anew; a line needs little.

use std::{
    env, fs,
    fs::{File, OpenOptions},
    io::{self, IsTerminal, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Statements that are kept.
const HISTORY_MAX: usize = 1000;

/// What came of reading a line.
#[derive(Debug, PartialEq, Eq)]
pub enum TypedLine {
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D on an empty line, or the input ended.
    End,
}

/// Reads lines and keeps what was said.
pub struct LineEditor {
    history: Vec<String>,
    file: Option<PathBuf>,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Letter(char),
    Enter,
    Backspace,
    Delete,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    /// To the end of the line.
    KillEnd,
    /// To its beginning.
    KillStart,
    KillWord,
    Clear,
    Interrupt,
    EndOfInput,
    Nothing,
}

/// A line on its way.
#[derive(Default)]
struct Draft {
    letters: Vec<char>,
    cursor: usize,
}

impl Draft {
    fn of(text: &str) -> Draft {
        let letters: Vec<char> = text.chars().collect();
        Draft { cursor: letters.len(), letters }
    }

    fn text(&self) -> String {
        self.letters.iter().collect()
    }

    fn edit(&mut self, key: Key) {
        let Draft { letters, cursor } = self;
        match key {
            Key::Letter(letter) => {
                letters.insert(*cursor, letter);
                *cursor += 1;
            }
            Key::Backspace if *cursor > 0 => {
                *cursor -= 1;
                letters.remove(*cursor);
            }
            Key::Delete if *cursor < letters.len() => _ = letters.remove(*cursor),
            Key::Left => *cursor = cursor.saturating_sub(1),
            Key::Right => *cursor = (*cursor + 1).min(letters.len()),
            Key::Home => *cursor = 0,
            Key::End => *cursor = letters.len(),
            Key::KillEnd => letters.truncate(*cursor),
            Key::KillStart => {
                letters.drain(..*cursor);
                *cursor = 0;
            }
            Key::KillWord => {
                let blanks = letters[..*cursor].iter().rev().take_while(|letter| letter.is_whitespace()).count();
                let word = letters[..*cursor - blanks].iter().rev().take_while(|letter| !letter.is_whitespace()).count();
                letters.drain(*cursor - blanks - word..*cursor);
                *cursor -= blanks + word;
            }
            _ => {}
        }
    }

    /// The part around the cursor that fits, and where in it the cursor stands.
    fn shown(&self, room: usize) -> (String, usize) {
        let width = |letter: &char| letter.width().unwrap_or(0);
        let mut start = self.cursor;
        let mut before = 0;
        while start > 0 && before + width(&self.letters[start - 1]) < room {
            start -= 1;
            before += width(&self.letters[start]);
        }
        let mut taken = 0;
        let fits = |letter: &&char| {
            taken += width(letter);
            taken < room
        };
        (self.letters[start..].iter().take_while(fits).collect(), before)
    }
}

/// The terminal as it was, given back when this goes.
struct RawTerminal(Termios);

impl RawTerminal {
    fn new() -> io::Result<RawTerminal> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        // Lines of others, such as the log of a program in the background, still end as they should.
        raw.output_modes = before.output_modes;
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(RawTerminal(before))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

impl LineEditor {
    /// With the history of earlier shells, where there is one.
    pub fn open() -> LineEditor {
        let file = history_file();
        let text = file.as_ref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let mut history: Vec<String> = text.lines().map(str::to_owned).collect();
        history.drain(..history.len().saturating_sub(HISTORY_MAX));
        LineEditor { history, file }
    }

    /// Keeps a statement, for the next shell as well.
    pub fn remember(&mut self, line: &str) {
        if line.is_empty() || self.history.last().is_some_and(|last| last == line) {
            return;
        }
        self.history.push(line.to_owned());
        self.history.drain(..self.history.len().saturating_sub(HISTORY_MAX));
        // A history that cannot be kept is no reason to stop.
        let _ = self.save();
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file: File = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(file)?;
        for line in &self.history {
            writeln!(file, "{line}")?;
        }
        Ok(())
    }

    /// Reads one line.
    ///
    /// # Errors
    /// The terminal fails.
    pub fn read(&mut self, prompt: &str) -> io::Result<TypedLine> {
        if env::var_os("TERM").is_some_and(|kind| kind == "dumb") || !io::stdout().is_terminal() {
            let mut line = String::new();
            print!("{prompt}");
            io::stdout().flush()?;
            return Ok(match io::stdin().read_line(&mut line)? {
                0 => TypedLine::End,
                _ => TypedLine::Line(line.trim_end_matches(['\r', '\n']).to_owned()),
            });
        }
        let _raw = RawTerminal::new()?;
        let mut input = io::stdin();
        let (mut draft, mut kept) = (Draft::default(), Draft::default());
        let mut place = self.history.len();
        loop {
            draw(prompt, &draft)?;
            let key = key(&mut || {
                let mut byte = [0];
                Ok((input.read(&mut byte)? > 0).then_some(byte[0]))
            })?;
            match key {
                None | Some(Key::EndOfInput) if draft.letters.is_empty() => {
                    end_line()?;
                    return Ok(TypedLine::End);
                }
                None | Some(Key::Enter) => {
                    draft.edit(Key::End);
                    draw(prompt, &draft)?;
                    end_line()?;
                    return Ok(TypedLine::Line(draft.text()));
                }
                Some(Key::Interrupt) => {
                    end_line()?;
                    return Ok(TypedLine::Interrupted);
                }
                Some(Key::EndOfInput) => draft.edit(Key::Delete),
                Some(Key::Clear) => print!("\x1b[H\x1b[2J"),
                Some(Key::Up) if place > 0 => {
                    if place == self.history.len() {
                        kept = std::mem::take(&mut draft);
                    }
                    place -= 1;
                    draft = Draft::of(&self.history[place]);
                }
                Some(Key::Down) if place < self.history.len() => {
                    place += 1;
                    draft = if place == self.history.len() { std::mem::take(&mut kept) } else { Draft::of(&self.history[place]) };
                }
                Some(key) => draft.edit(key),
            }
        }
    }
}

fn end_line() -> io::Result<()> {
    println!();
    io::stdout().flush()
}

/// ECMA-48: to the start of the line, what is there, nothing behind it, and to the cursor.
fn draw(prompt: &str, draft: &Draft) -> io::Result<()> {
    let columns = tcgetwinsize(io::stdout()).map_or(80, |size| usize::from(size.ws_col).max(20));
    let (shown, cursor) = draft.shown(columns.saturating_sub(prompt.width() + 1).max(8));
    let mut out = io::stdout().lock();
    write!(out, "\r{prompt}{shown}\x1b[K\r\x1b[{}C", prompt.width() + cursor)?;
    out.flush()
}

/// The next key; `None` where the input has ended.
fn key(next: &mut impl FnMut() -> io::Result<Option<u8>>) -> io::Result<Option<Key>> {
    let Some(byte) = next()? else { return Ok(None) };
    Ok(Some(match byte {
        b'\r' | b'\n' => Key::Enter,
        0x7F | 0x08 => Key::Backspace,
        0x01 => Key::Home,
        0x02 => Key::Left,
        0x03 => Key::Interrupt,
        0x04 => Key::EndOfInput,
        0x05 => Key::End,
        0x06 => Key::Right,
        0x0B => Key::KillEnd,
        0x0C => Key::Clear,
        0x0E => Key::Down,
        0x10 => Key::Up,
        0x15 => Key::KillStart,
        0x17 => Key::KillWord,
        b'\t' => Key::Letter(' '),
        0x1B => escaped(next)?,
        0x20..=0x7E => Key::Letter(char::from(byte)),
        0xC2..=0xF4 => {
            let mut bytes = vec![byte];
            for _ in 0..usize::from(byte >= 0xC2) + usize::from(byte >= 0xE0) + usize::from(byte >= 0xF0) {
                bytes.extend(next()?);
            }
            std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next()).map_or(Key::Nothing, Key::Letter)
        }
        _ => Key::Nothing,
    }))
}

/// Keys that are more than a character: `ESC [ A`, `ESC O H`, `ESC [ 3 ~`.
fn escaped(next: &mut impl FnMut() -> io::Result<Option<u8>>) -> io::Result<Key> {
    let Some(b'[' | b'O') = next()? else { return Ok(Key::Nothing) };
    let mut number = 0_u32;
    loop {
        return Ok(match next()? {
            Some(digit @ b'0'..=b'9') => {
                number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
                continue;
            }
            Some(b';') => continue,
            Some(b'A') => Key::Up,
            Some(b'B') => Key::Down,
            Some(b'C') => Key::Right,
            Some(b'D') => Key::Left,
            Some(b'H') => Key::Home,
            Some(b'F') => Key::End,
            Some(b'~') => match number {
                1 | 7 => Key::Home,
                3 => Key::Delete,
                4 | 8 => Key::End,
                _ => Key::Nothing,
            },
            _ => Key::Nothing,
        });
    }
}

/// `$XDG_STATE_HOME/historian/sql_history`, by default in `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("historian/sql_history"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut bytes = bytes.iter().copied();
        let mut found = Vec::new();
        while let Some(key) = key(&mut || Ok(bytes.next())).unwrap() {
            found.push(key);
        }
        found
    }

    #[test]
    fn keys_edit_the_line() {
        for (typed, text, cursor) in [
            (&b"SELECT 1"[..], "SELECT 1", 8),
            (b"ab\x7Fc", "ac", 2),
            (b"abc\x1b[D\x1b[DX", "aXbc", 2),
            (b"abc\x1b[H\x1b[3~", "bc", 0),
            (b"abc\x01X\x05Y", "XabcY", 5),
            (b"one two  \x17", "one ", 4),
            (b"one two\x1b[D\x15", "o", 0),
            (b"abc\x02\x02\x0B", "a", 1),
            ("m\u{b3}/h \u{2192}".as_bytes(), "m\u{b3}/h \u{2192}", 6),
            (b"a\x1b[5~b\x1b[1;5Cc", "abc", 3),
        ] {
            let mut draft = Draft::default();
            for key in keys(typed) {
                draft.edit(key);
            }
            assert_eq!((draft.text().as_str(), draft.cursor), (text, cursor), "{typed:?}");
        }
        assert_eq!(keys(b"\x1b[A\x1b[B\x03\x04\r"), [Key::Up, Key::Down, Key::Interrupt, Key::EndOfInput, Key::Enter]);
    }

    #[test]
    fn a_long_line_shows_what_is_around_the_cursor() {
        let mut draft = Draft::of("0123456789");
        assert_eq!(draft.shown(5), ("6789".to_owned(), 4));
        draft.edit(Key::Home);
        assert_eq!(draft.shown(5), ("0123".to_owned(), 0));
        assert_eq!(draft.shown(20), ("0123456789".to_owned(), 0));
    }
}
