//! What was probably meant: a better word for a mistyped one, and for the refusals that beginners meet the line that helps.

use std::{collections::BTreeSet, path::Path, time::Duration};

use clap::{
    Command,
    error::{ContextKind, ContextValue, ErrorKind},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tonic::Code;

use super::{
    client::{self, ServerRefusal, in_words, spoken_with},
    tag::Pages,
};

/// Names that a hint tells at most.
const NAMES_MAX: usize = 3;
/// Tags that are compared with a mistyped name.
const TAGS_MAX: usize = 100_000;
/// A process that speaks HTTP answers within this.
const PROBED_FOR: Duration = Duration::from_secs(2);

/// Words that other programs have for our flags.
const FLAGS: [(&[&str], &str); 12] = [
    (&["--from", "--since", "--begin", "--start-time"], "--start"),
    (&["--to", "--until", "--stop", "--end-time"], "--end"),
    (&["--tz", "--timezone", "--time-zone"], "--zone"),
    (&["--host", "--url", "--address", "--addr", "--port", "--connect"], "--server"),
    (&["--function", "--func", "--fn", "--aggregate"], "--functions"),
    (&["--every", "--step", "--bucket", "--resolution"], "--interval"),
    (&["--json", "--csv", "--table", "--parquet", "--arrow", "--output-format"], "--format"),
    (&["--out", "--file", "--to-file"], "--output"),
    (&["--max-points", "--n-points", "--samples"], "--points"),
    (&["--comment", "--why", "--message"], "--reason"),
    (&["--password", "--api-key", "--api-token"], "--token-file"),
    (&["--force", "--no-confirm", "--assume-yes"], "--yes"),
];

/// Words that other programs have for our commands.
const COMMANDS: [(&[&str], &str); 18] = [
    (&["range", "read", "history", "raw", "get", "samples"], "query range"),
    (&["current", "latest", "last", "live", "snapshot"], "query current"),
    (&["aggregate", "avg", "aggregates"], "query aggregate"),
    (&["downsample", "plot", "trend"], "query downsample"),
    (&["anomalies", "findings", "detect"], "query anomalies"),
    (&["measure"], "measure"),
    (&["asof", "join"], "as-of"),
    (&["sql", "shell", "select"], "sql"),
    (&["subscribe", "watch", "follow", "tail", "stream"], "subscribe"),
    (&["list", "ls", "tags", "find", "search"], "tag list"),
    (&["set", "update", "edit"], "tag set"),
    (&["rename", "mv", "move"], "tag rename"),
    (&["annotate", "comment", "note", "notes", "annotations"], "annotation create"),
    (&["start", "run", "server", "up", "daemon"], "serve"),
    (&["write", "insert", "load", "put", "upload"], "import"),
    (&["login", "user", "me"], "whoami"),
    (&["ping", "alive", "ready"], "health"),
    (&["dump", "save"], "export"),
];

/// Words that other systems have for functions of OPC UA Part 13.
const FUNCTIONS: [(&[&str], &str); 8] = [
    (&["mean", "avg"], "average"),
    (&["twa", "time_weighted_average", "timeaverage"], "time_average"),
    (&["min"], "minimum"),
    (&["max"], "maximum"),
    (&["sum", "integral"], "total"),
    (&["first"], "start"),
    (&["last"], "end"),
    (&["stddev", "std", "stdev"], "standard_deviation_sample"),
];

/// The refusal of the parser, with the word that was probably meant.
pub fn of_parser(mut refused: clap::Error, root: &Command, words: &[String]) -> clap::Error {
    let text = |kind| match refused.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    match refused.kind() {
        ErrorKind::InvalidSubcommand => {
            let Some(word) = text(ContextKind::InvalidSubcommand) else { return refused };
            let within = words.iter().take_while(|known| **known != word).cloned().collect::<Vec<_>>();
            let is_near = refused.get(ContextKind::SuggestedSubcommand).is_some() && nearest(&word, names_of(root, &within)).is_some();
            if let Some(meant) = synonym(&COMMANDS, &word)
                && !is_near
            {
                refused.insert(ContextKind::SuggestedSubcommand, ContextValue::Strings(vec![meant.to_owned()]));
            }
        }
        ErrorKind::UnknownArgument => {
            let Some(flag) = text(ContextKind::InvalidArg) else { return refused };
            let flag = flag.split('=').next().unwrap_or_default().to_owned();
            let has = |long: &str| command_of(root, words).get_arguments().any(|argument| argument.get_long() == long.strip_prefix("--"));
            if let Some(meant) = synonym(&FLAGS, &flag).filter(|meant| has(meant)) {
                let meant = match flag.as_str() {
                    "--json" | "--csv" | "--table" | "--parquet" | "--arrow" => format!("--format {}", flag.trim_start_matches('-')),
                    _ => meant.to_owned(),
                };
                refused.remove(ContextKind::Suggested);
                refused.insert(ContextKind::SuggestedArg, ContextValue::String(meant));
            } else if matches!(flag.as_str(), "-t" | "--tag" | "--tags") {
                refused.remove(ContextKind::SuggestedArg);
                let tip = "tags have no flag: write them behind the command, in quotes where they have a '*'";
                refused.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
            }
        }
        _ => {}
    }
    refused
}

/// The command that the words name, as far as they are names of commands.
fn command_of<'command>(root: &'command Command, words: &[String]) -> &'command Command {
    let mut command = root;
    for word in words {
        match command.find_subcommand(word) {
            Some(found) => command = found,
            None => break,
        }
    }
    command
}

fn names_of(root: &Command, words: &[String]) -> Vec<String> {
    command_of(root, words).get_subcommands().map(|command| command.get_name().to_owned()).collect()
}

fn synonym(known: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    known.iter().find(|(words, _)| words.contains(&word)).map(|(_, meant)| *meant)
}

/// The line of an error with what was probably meant, where something is known of it.
pub async fn of_refusal(error: &anyhow::Error) -> Option<String> {
    let refusal = error.downcast_ref::<ServerRefusal>()?;
    let better = match (refusal.code, refusal.field.as_str()) {
        _ if refusal.of_the_way => of_connection(refusal).await,
        (Code::NotFound, _) if refusal.reason == "TAG_NOT_FOUND" => of_tags(refusal).await,
        (Code::InvalidArgument, _) if refusal.message.contains("is not after the start") => {
            Some(format!("{}; exchange --start and --end", refusal.message))
        }
        (Code::InvalidArgument, "start" | "end") => of_time(refusal),
        (Code::InvalidArgument, "zone") => of_zone(refusal),
        (Code::InvalidArgument, _) => of_list(refusal),
        (Code::Unauthenticated, _) if spoken_with().is_some_and(client::ServerArgs::is_nobody) => Some(format!(
            "{}; put a token into the variable HISTORIAN_TOKEN or give --token-file FILE (`historian token create` makes one on the machine \
             of the historian)",
            refusal.message
        )),
        _ => None,
    };
    better.map(|line| if refusal.of_the_way { line } else { format!("{line} ({})", in_words(refusal.code)) })
}

/// A port that speaks HTTP instead of gRPC.
async fn of_connection(refusal: &ServerRefusal) -> Option<String> {
    let server = spoken_with()?;
    let probed = async {
        let mut stream = TcpStream::connect(server.authority()).await.ok()?;
        stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await.ok()?;
        let mut begin = [0; 5];
        stream.read_exact(&mut begin).await.ok()?;
        Some(begin)
    };
    let begin = tokio::time::timeout(PROBED_FOR, probed).await.ok()??;
    (begin == *b"HTTP/").then(|| {
        format!(
            "{} speaks HTTP, and commands speak gRPC: take the other port of the historian, by default 8815 ({})",
            server.authority(),
            refusal.message
        )
    })
}

/// Tags that do not exist: files of this directory, where the shell has expanded a glob; else what is called almost so.
async fn of_tags(refusal: &ServerRefusal) -> Option<String> {
    let names = quoted(&refusal.message);
    let first = names.first()?;
    if names.iter().filter(|name| Path::new(name).exists()).count() > names.len() / 2 {
        let level = first.split_once('/').map_or("**".to_owned(), |(level, _)| format!("{level}/**"));
        return Some(format!(
            "{}, but files of that name: the shell has expanded a glob; put it in quotes, as in '{level}'",
            refusal.message
        ));
    }
    let near = nearest_tags(first, &all_tags().await?);
    (!near.is_empty()).then(|| format!("{}; did you mean {}?", refusal.message, near.join(", ")))
}

/// Says of globs that match nothing what would match.
pub async fn of_empty_globs(tags: &[String]) -> Option<String> {
    let [glob] = tags else { return None };
    let levels: Vec<&str> = glob.split('/').collect();
    let plain = levels.iter().take_while(|level| !level.contains(['*', '?', '[', '{'])).count();
    if plain == 0 || plain == levels.len() {
        return None;
    }
    let heads: BTreeSet<String> = all_tags().await?.iter().map(|name| name.split('/').take(plain).collect::<Vec<_>>().join("/")).collect();
    let near = nearest(&levels[..plain].join("/"), heads)?;
    Some(format!("did you mean '{near}/{}'?", levels[plain..].join("/")))
}

async fn all_tags() -> Option<Vec<String>> {
    let channel = spoken_with()?.connect().await.ok()?;
    let mut pages = Pages::new(channel, Vec::new(), String::new());
    let mut names = Vec::new();
    while names.len() < TAGS_MAX
        && let Some(page) = pages.next().await.ok()?
    {
        names.extend(page.into_iter().map(|tag| tag.name));
    }
    Some(names)
}

/// Existing names that are almost the given one, or whose last levels are.
fn nearest_tags(name: &str, all: &[String]) -> Vec<String> {
    let name = name.replace("\\\\", "/").replace('\\', "/").to_lowercase();
    let distance = |known: &String| {
        let known = known.to_lowercase();
        let levels = name.matches('/').count() + 1;
        let tail = known.rsplitn(levels + 1, '/').take(levels).collect::<Vec<_>>();
        let tail: String = tail.into_iter().rev().collect::<Vec<_>>().join("/");
        let whole = strsim::damerau_levenshtein(&name, &known);
        whole.min(strsim::damerau_levenshtein(&name, &tail) + usize::from(tail != known))
    };
    let mut near: Vec<(usize, &String)> = all.iter().map(|known| (distance(known), known)).collect();
    near.retain(|(distance, _)| *distance <= slips(&name));
    near.sort();
    near.into_iter().take(NAMES_MAX).map(|(_, name)| name.clone()).collect()
}

/// So many letters may be wrong of a word.
fn slips(word: &str) -> usize {
    (word.chars().count() / 4).clamp(1, 4)
}

/// The name that is almost the word.
pub fn nearest(word: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let distances = known.into_iter().map(|known| (strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase()), known));
    distances.min().filter(|(distance, _)| *distance <= slips(word)).map(|(_, known)| known)
}

/// A time in other words than ours.
fn of_time(refusal: &ServerRefusal) -> Option<String> {
    let text = quoted(&refusal.message).into_iter().next()?;
    let meant = time_meant(&text)?;
    let head = refusal.message.split(" is not valid").next().unwrap_or_default();
    Some(format!("{head} is not valid; did you mean '{meant}'?"))
}

fn time_meant(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    for (words, meant) in [("now", "*"), ("today", "t"), ("yesterday", "y"), ("tomorrow", "t+1d"), ("midnight", "t")] {
        if let Some(rest) = text.strip_prefix(words)
            && (rest.is_empty() || rest.starts_with(['-', '+']))
        {
            return Some(format!("{meant}{}", rest.replace(' ', "")));
        }
    }
    // `-8h`, `8h`, `8 hours ago`
    let length = text.trim_start_matches('-').trim_end_matches("ago").trim();
    let digits = length.chars().take_while(char::is_ascii_digit).count();
    let (number, unit) = length.split_at(digits);
    let unit = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => "s",
        "m" | "min" | "minute" | "minutes" => "m",
        "h" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        "w" | "week" | "weeks" => "w",
        "mo" | "month" | "months" => "mo",
        _ => return of_date(&text),
    };
    (!number.is_empty() && (unit != "s" || text.starts_with('-') || text.ends_with("ago"))).then(|| format!("*-{number}{unit}"))
}

/// `31.12.2025` and `12/31/2025` as a date of ISO 8601, where only one reading is possible.
fn of_date(text: &str) -> Option<String> {
    let (date, rest) = text.split_once([' ', 't']).unwrap_or((text, ""));
    let german = date.contains('.');
    let parts: Vec<u32> = date.split(['.', '/']).map(str::parse).collect::<Result<_, _>>().ok()?;
    let [first, second, year @ 1000..=9999] = parts[..] else { return None };
    let (day, month) = if german || first > 12 { (first, second) } else { (second, first) };
    let is_plain = german || first > 12 || second > 12;
    let time = if rest.is_empty() { String::new() } else { format!("T{rest}") };
    (is_plain && (1..=12).contains(&month) && (1..=31).contains(&day)).then(|| format!("{year}-{month:02}-{day:02}{time}"))
}

fn of_zone(refusal: &ServerRefusal) -> Option<String> {
    let text = quoted(&refusal.message).into_iter().next()?;
    let zones: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    let is_city = |zone: &&String| zone.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&text.replace(' ', "_")));
    let meant = zones.iter().find(is_city).cloned().or_else(|| nearest(&text, zones))?;
    let head = refusal.message.split(" is no ").next().unwrap_or_default();
    Some(format!("{head} is no IANA time zone; did you mean {meant}?"))
}

/// A word of a list that the refusal tells: functions, detectors, parameters, fields.
fn of_list(refusal: &ServerRefusal) -> Option<String> {
    let heads = ["; expected one of ", "; known are ", "; it takes "];
    let (head, list) = heads.iter().find_map(|between| refusal.message.split_once(between))?;
    let word = quoted(head).into_iter().next_back()?;
    let known = list.trim_end_matches('…').split(", ").map(str::to_owned);
    let meant = synonym(&FUNCTIONS, &word.to_lowercase())
        .filter(|meant| list.contains(meant) && refusal.field == "functions")
        .map_or_else(|| nearest(&word, known), |meant| Some(meant.to_owned()))?;
    Some(format!("{head}; did you mean {meant}?"))
}

/// What stands in quotes or backticks.
fn quoted(message: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = message;
    while let Some(at) = rest.find(['"', '`']) {
        let quote = rest[at..].chars().next().unwrap_or('"');
        let after = &rest[at + 1..];
        let Some(end) = after.find(quote) else { break };
        found.push(after[..end].to_owned());
        rest = &after[end + 1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_other_words_have_ours() {
        for (text, meant) in [
            ("now", Some("*")),
            ("now-8h", Some("*-8h")),
            ("yesterday", Some("y")),
            ("today + 6h", None),
            ("today+6h", Some("t+6h")),
            ("-8h", Some("*-8h")),
            ("8h", Some("*-8h")),
            ("8 hours ago", Some("*-8h")),
            ("30 min ago", Some("*-30m")),
            ("31.12.2025", Some("2025-12-31")),
            ("31.12.2025 06:00", Some("2025-12-31T06:00")),
            ("12/31/2025", Some("2025-12-31")),
            ("01/02/2025", None),
            ("long ago", None),
            ("1767225600", None),
        ] {
            assert_eq!(time_meant(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn tags_are_found_by_almost_their_name_or_their_last_level() {
        let all: Vec<String> = ["area1/boiler/steam_pressure", "area1/boiler/mode", "area2/level"].map(str::to_owned).into();
        for (name, near) in [
            ("area1/boiler/steam_presure", Some("area1/boiler/steam_pressure")),
            ("AREA1/Boiler/Mode", Some("area1/boiler/mode")),
            ("area1\\boiler\\mode", Some("area1/boiler/mode")),
            ("steam_pressure", Some("area1/boiler/steam_pressure")),
            ("boiler/mode", Some("area1/boiler/mode")),
            ("area2/levle", Some("area2/level")),
            ("temperature", None),
        ] {
            assert_eq!(nearest_tags(name, &all).first().map(String::as_str), near, "{name}");
        }
    }
}
