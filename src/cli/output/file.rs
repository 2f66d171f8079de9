//! Standard output or a file: whether its reader went away, and its name when it is complete.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use super::screen::Screen;

static READER_GONE: AtomicBool = AtomicBool::new(false);

/// True when a write failed because nobody reads our output any more.
pub fn reader_is_gone() -> bool {
    READER_GONE.load(Ordering::Relaxed)
}

/// A destination that remembers whether its reader went away, and that shows a file only when it is complete.
pub struct OutputFile {
    /// `None` only while it is being closed.
    inner: Option<Box<dyn Write + Send>>,
    /// Name under which the file is written, and the one it gets in the end.
    partial: Option<(PathBuf, PathBuf)>,
    screen: Screen,
}

impl OutputFile {
    pub fn stdout() -> OutputFile {
        OutputFile { inner: Some(Box::new(BufWriter::with_capacity(64 << 10, io::stdout()))), partial: None, screen: Screen::of_stdout() }
    }

    /// What the output is shown on.
    pub fn screen(&self) -> Screen {
        self.screen
    }

    /// A file that gets its name when it is complete.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn file(path: &Path) -> io::Result<OutputFile> {
        // Devices and pipes (/dev/stdout) cannot be renamed to.
        if fs::metadata(path).is_ok_and(|about| !about.is_file()) {
            let file = File::options().write(true).open(path)?;
            return Ok(OutputFile { inner: Some(Box::new(BufWriter::new(file))), partial: None, screen: Screen::default() });
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let file = File::create(&partial)?;
        Ok(OutputFile {
            inner: Some(Box::new(BufWriter::with_capacity(1 << 20, file))),
            partial: Some((partial.into(), path.to_owned())),
            screen: Screen::default(),
        })
    }

    /// Writes what is buffered and gives a file its name.
    ///
    /// # Errors
    /// The disk is full, the directory went away, …
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.inner = None;
        match self.partial.take() {
            Some((partial, path)) => fs::rename(partial, path),
            None => Ok(()),
        }
    }

    fn watched<T>(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<T>) -> io::Result<T> {
        let Some(inner) = &mut self.inner else { return Err(io::Error::other("the output is closed")) };
        write(inner).inspect_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                READER_GONE.store(true, Ordering::Relaxed);
            }
        })
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watched(|inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.watched(|inner| inner.flush())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        // Unfinished text on standard output is still shown; an unfinished file is not left behind.
        let _ = self.inner.as_mut().map(Write::flush);
        if let Some((partial, _)) = self.partial.take() {
            let _ = fs::remove_file(partial);
        }
    }
}
