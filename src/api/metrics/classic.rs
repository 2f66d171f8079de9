//! The classic text form of Prometheus, made of the OpenMetrics form: every scraper reads it, and it is what is answered where nobody asks for
//! the other. The forms differ in few places: the name of a counter has its ending everywhere, help does not end with a dot, and there is no mark
//! at the end.

/// The classic form of a text in OpenMetrics form, as `prometheus_client` writes it.
pub(super) fn text(open_metrics: &str) -> String {
    let mut classic = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "# EOF" || line.starts_with("# UNIT ") {
            continue;
        }
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) else {
            match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                Some((name, kind)) => classic += &format!("# TYPE {} {kind}\n", full(name, kind)),
                None => classic += &format!("{line}\n"),
            }
            continue;
        };
        // The type of a family comes behind its help.
        let kind =
            lines.peek().and_then(|next| next.strip_prefix("# TYPE ")).and_then(|rest| rest.split_once(' ')).map_or("", |(_, kind)| kind);
        classic += &format!("# HELP {} {}\n", full(name, kind), help.strip_suffix('.').unwrap_or(help));
    }
    classic
}

/// The name of a family as its samples have it.
fn full(name: &str, kind: &str) -> String {
    if kind == "counter" { format!("{name}_total") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_ending_everywhere_and_nothing_else_changes() {
        let open = "# HELP a_requests Requests. Of all.\n# TYPE a_requests counter\na_requests_total{m=\"x\"} 1\n# HELP b Bytes.\n# TYPE b gauge\n# UNIT b bytes\nb 2\n# EOF\n";
        let classic = "# HELP a_requests_total Requests. Of all\n# TYPE a_requests_total counter\na_requests_total{m=\"x\"} 1\n# HELP b Bytes\n# TYPE b gauge\nb 2\n";
        assert_eq!(text(open), classic);
    }
}
