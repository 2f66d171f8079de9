//! The shell of `historian sql`: statements of several lines, a history, and four commands.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use super::{
    Parameter,
    ask::SqlClient,
    line::{LineEditor, TypedLine},
    statement::{is_complete, split},
};
use crate::{
    error::one_line,
    hint,
    output::{self, OutputArgs},
};

const PROMPT: &str = "historian> ";
const PROMPT_WITHIN: &str = "       ... ";
const TABLES: &str = "SELECT table_name, remarks FROM information_schema.tables WHERE table_schema = 'public' ORDER BY table_name";
const HELP: &str = "\
a statement of SQL ends with ; and may have several lines
\\d           tables
\\d TABLE     columns of a table
\\timing      shows how long each answer takes, or no longer
\\q           ends the shell, as Ctrl-D does
Ctrl-C       drops what is typed, or cancels what runs";

/// Asks until the input ends.
///
/// # Errors
/// The terminal fails, or the output. What the historian refuses is told, and the shell goes on.
pub async fn run(mut asker: SqlClient, parameters: Vec<Parameter>, output: &OutputArgs) -> anyhow::Result<ExitCode> {
    let mut editor = LineEditor::open();
    let mut typed = String::new();
    let mut timing = false;
    say("Statements end with ; — \\? for help")?;
    loop {
        let prompt = if typed.is_empty() { PROMPT } else { PROMPT_WITHIN };
        // Reading blocks, and nothing else is to be done meanwhile.
        let (line, back) = tokio::task::spawn_blocking(move || {
            let mut editor = editor;
            (editor.read(prompt), editor)
        })
        .await?;
        editor = back;
        let line = match line? {
            TypedLine::Line(line) => line,
            TypedLine::Interrupted => {
                typed.clear();
                continue;
            }
            TypedLine::End => break,
        };
        if typed.is_empty() && line.trim_start().starts_with('\\') {
            editor.remember(line.trim());
            let mut words = line.split_whitespace();
            let statement = match (words.next().unwrap_or_default(), words.next()) {
                ("\\q" | "\\quit", None) => break,
                ("\\timing", None) => {
                    timing = !timing;
                    say(if timing { "answers tell how long they take" } else { "answers do not tell how long they take" })?;
                    continue;
                }
                ("\\d", None) => TABLES.to_owned(),
                ("\\d", Some(table)) => {
                    let table = table.trim_end_matches(';').replace('\'', "''");
                    format!(
                        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
                    )
                }
                ("\\?" | "\\h", None) => {
                    say(HELP)?;
                    continue;
                }
                _ => {
                    say("there is no such command; \\? lists them")?;
                    continue;
                }
            };
            answer(&mut asker, &statement, &[], output, timing).await?;
            continue;
        }
        if !typed.is_empty() {
            typed.push('\n');
        }
        typed += &line;
        if typed.trim().is_empty() {
            typed.clear();
        } else if is_complete(&typed) {
            editor.remember(&typed.split_whitespace().collect::<Vec<_>>().join(" "));
            for statement in split(&typed) {
                let named: Vec<Parameter> =
                    parameters.iter().filter(|parameter| statement.contains(&format!("${}", parameter.name))).cloned().collect();
                answer(&mut asker, &statement, &named, output, timing).await?;
            }
            typed.clear();
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows one answer, or why there is none. Ctrl-C cancels it.
async fn answer(asker: &mut SqlClient, statement: &str, parameters: &[Parameter], output: &OutputArgs, timing: bool) -> anyhow::Result<()> {
    let begun = Instant::now();
    let answered = tokio::select! {
        answered = asker.answer(statement, parameters, output) => answered,
        _ = tokio::signal::ctrl_c() => return say("cancelled"),
    };
    match answered {
        Ok(1) => say("1 row")?,
        Ok(rows) => say(&format!("{rows} rows"))?,
        Err(error) if output::reader_is_gone() => return Err(error),
        Err(error) => say(&hint::of_refusal(&error).await.unwrap_or_else(|| one_line(&error)))?,
    }
    if timing {
        say(&format!("{:.1} ms", begun.elapsed().as_secs_f64() * 1e3))?;
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for line in text.lines() {
        writeln!(out, "{}", output::printable(line))?;
    }
    Ok(out.flush()?)
}
