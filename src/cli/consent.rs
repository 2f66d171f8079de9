//! Whether somebody consents to what cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;

/// Asks on the terminal. Without one nobody can consent.
pub fn asked(question: &str) -> anyhow::Result<bool> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        bail!("there is no terminal to ask on; add --yes to do this without asking: {question}");
    }
    write!(std::io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    let consents = matches!(answer.trim().to_lowercase().as_str(), "y" | "yes");
    if !consents {
        writeln!(std::io::stderr(), "nothing was changed")?;
    }
    Ok(consents)
}
