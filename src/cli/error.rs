//! Errors of a command: those that no repeat mends, and all of them in one line.

use historian_collector::ConfigProblem;

/// A configuration that was refused; its problems are printed one per line.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct RefusedConfiguration(pub Vec<ConfigProblem>);

/// A command that can never do what it says: flags that contradict each other, a value that is none. As those that the parser refuses itself.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

/// What is told of an error in its place: what was probably meant.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct MeantLine(pub String);

/// The error and its causes in one line, each cause once.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string().replace('\n', "; ");
        if !line.contains(&text) {
            if !line.is_empty() {
                line.push_str(": ");
            }
            line.push_str(&text);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_in_one_line_and_once() {
        let error = anyhow::anyhow!("refused").context("cannot connect: refused").context("first\nsecond");
        assert_eq!(one_line(&error), "first; second: cannot connect: refused");
    }
}
