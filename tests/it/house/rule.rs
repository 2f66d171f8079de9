//! The rules that no compiler checks, one static list. STYLE.md and ARCHITECTURE.md tell why each one is there; `reason` is what a builder who broke it
//! needs to know.

use std::{collections::BTreeSet, ops::Range};

use super::source::{Source, words};

/// One rule of the house.
pub struct Rule {
    pub name: &'static str,
    pub reason: &'static str,
    /// Files it holds for: any of these prefixes …
    pub within: &'static [&'static str],
    /// … and none of these.
    pub but_not: &'static [&'static str],
    /// True when test modules inside the files are free of it.
    pub tests_are_free: bool,
    pub forbids: Forbids,
    pub exceptions: &'static [Exception],
}

/// What a rule forbids.
pub enum Forbids {
    /// Identifiers, or paths of identifiers (`SystemTime::now`); one that starts with a dot is a method call.
    Words(&'static [&'static str]),
    /// The same, in the bodies of `async fn` and in `async` blocks.
    WordsInAsync(&'static [&'static str]),
    /// Parts of `std` by their first name (`fs`).
    Std(&'static [&'static str]),
    /// A file that does not begin with `//!`.
    HeadWithoutComment,
}

/// A place where a rule does not hold, and why.
pub struct Exception {
    /// A file, or a folder with `/` at its end.
    pub file: &'static str,
    pub word: &'static str,
    pub reason: &'static str,
}

const EVERYWHERE: &[&str] = &["src/", "storage-format/", "proto/", "tests/", "benches/"];
const SHIPPED: &[&str] = &["src/", "storage-format/src/", "proto/src/"];

impl Rule {
    /// A library that may be named only in some places.
    pub const fn foreign(
        name: &'static str,
        reason: &'static str,
        libraries: &'static [&'static str],
        allowed_in: &'static [&'static str],
    ) -> Rule {
        Rule {
            name,
            reason,
            within: SHIPPED,
            but_not: allowed_in,
            tests_are_free: false,
            forbids: Forbids::Words(libraries),
            exceptions: &[],
        }
    }

    /// Violations in one file as `file:line: …`; exceptions that were needed are put into `used` by their index.
    pub fn check(&self, source: &Source, used: &mut BTreeSet<usize>) -> Vec<String> {
        let holds = self.within.iter().any(|prefix| source.name.starts_with(prefix));
        if !holds || self.but_not.iter().any(|prefix| source.name.starts_with(prefix)) {
            return Vec::new();
        }
        let mut violations = Vec::new();
        for (at, what) in self.found(source) {
            if self.tests_are_free && source.shipped.as_bytes().get(at) == Some(&b' ') {
                continue;
            }
            let exception = self.exceptions.iter().position(|exception| {
                let covered = exception.file == source.name || (exception.file.ends_with('/') && source.name.starts_with(exception.file));
                covered && exception.word == what && !exception.reason.is_empty()
            });
            match exception {
                Some(index) => _ = used.insert(index),
                None => violations.push(format!("{}:{}: {what}: {} ({})", source.name, source.line(at), self.reason, self.name)),
            }
        }
        violations
    }

    fn found(&self, source: &Source) -> Vec<(usize, String)> {
        match self.forbids {
            Forbids::Words(forbidden) => named(source, forbidden).collect(),
            Forbids::WordsInAsync(forbidden) => {
                let bodies = async_bodies(&source.code);
                named(source, forbidden).filter(|(at, _)| bodies.iter().any(|body| body.contains(at))).collect()
            }
            Forbids::Std(forbidden) => std_parts(&source.code).into_iter().filter(|(_, part)| forbidden.contains(&part.as_str())).collect(),
            Forbids::HeadWithoutComment if source.text.starts_with("//!") => Vec::new(),
            Forbids::HeadWithoutComment => vec![(0, "the first line".to_owned())],
        }
    }
}

/// Where these words are.
fn named<'a>(source: &'a Source, forbidden: &'a [&'a str]) -> impl Iterator<Item = (usize, String)> + 'a {
    forbidden.iter().flat_map(move |word| {
        let (name, is_call) = word.strip_prefix('.').map_or((*word, false), |name| (name, true));
        words(&source.code, name)
            .filter(move |at| !is_call || source.code[..*at].trim_end().ends_with('.'))
            .map(|at| (at, (*word).to_owned()))
    })
}

/// Bodies of functions and blocks that are `async`.
fn async_bodies(code: &str) -> Vec<Range<usize>> {
    let body = |at: usize| {
        let start = at + code[at..].find(['{', ';']).filter(|open| code[at + open..].starts_with('{'))?;
        let mut depth = 0;
        for (index, c) in code[start..].char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 1 => return Some(start..start + index),
                '}' => depth -= 1,
                _ => {}
            }
        }
        None
    };
    words(code, "async").filter_map(body).collect()
}

/// First names below `std` that the code uses: `std::fs::File` and `std::{fs, io}` give `fs` (and `io`).
fn std_parts(code: &str) -> Vec<(usize, String)> {
    let mut parts = Vec::new();
    for at in words(code, "std") {
        let Some(rest) = code[at + 3..].trim_start().strip_prefix("::").map(str::trim_start) else { continue };
        let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        let Some(group) = rest.strip_prefix('{') else {
            parts.push((at, name(rest)));
            continue;
        };
        let (mut depth, mut first) = (1, true);
        for (index, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => first = true,
                c if depth == 1 && first && c.is_alphabetic() => {
                    parts.push((at, name(&group[index..])));
                    first = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    parts
}

/// Every rule.
pub static RULES: &[Rule] = &[
    Rule {
        name: "format is pure",
        reason: "the storage format does no I/O",
        within: &["storage-format/src/"],
        but_not: &[],
        tests_are_free: true,
        forbids: Forbids::Std(&["fs", "net", "process", "env", "thread"]),
        exceptions: &[],
    },
    Rule {
        within: SHIPPED,
        tests_are_free: true,
        ..Rule::foreign(
            "wall clock",
            "the wall clock has one home, model::time::SystemClock, so that tests can replace it",
            &["SystemTime::now", "Timestamp::now", "Zoned::now", "DateTime::now", "Utc::now", "Local::now"],
            &["src/model/time.rs"],
        )
    },
    Rule {
        name: "configuration files",
        reason: "configuration is read by the server and the command line only, certificates by the room that follows them; the others get typed values",
        within: &["src/"],
        but_not: &[
            "src/server/",
            "src/cli/",
            "src/store/",
            "src/tls/",
            "src/access/tests.rs",
            "src/oidc/tests.rs",
            "src/operators/aggregate/tests/",
            "src/model/filter/tests.rs",
            "src/collector/spool/disk/tests.rs",
            "src/collector/spool/spill/tests.rs",
        ],
        tests_are_free: true,
        forbids: Forbids::Std(&["fs"]),
        exceptions: &[
            Exception {
                file: "src/collector/spool/directory.rs",
                word: "fs",
                reason: "segments of the spool are samples on their way, and no configuration",
            },
            Exception {
                file: "src/collector/spool/disk.rs",
                word: "fs",
                reason: "segments of the spool are samples on their way, and no configuration",
            },
            Exception {
                file: "src/collector/opcua/pki.rs",
                word: "fs",
                reason: "certificates, and what users log on with: secrets are read at each connect, and stay out of the configuration",
            },
            Exception {
                file: "src/collector/mqtt/session.rs",
                word: "fs",
                reason: "the password file: secrets are read at each connect, and stay out of the configuration",
            },
            Exception {
                file: "src/access/disk.rs",
                word: "fs",
                reason: "the file of the tokens is no configuration: the command line changes it while the historian runs, which reads it again",
            },
            Exception {
                file: "src/audit/key.rs",
                word: "fs",
                reason: "the key that signs the audit log is no configuration: the historian makes it, and nobody else reads it",
            },
            Exception {
                file: "src/oidc/file.rs",
                word: "fs",
                reason: "the keys of an identity provider are no configuration: they are read again when they changed",
            },
        ],
    },
    Rule {
        within: &["src/"],
        tests_are_free: true,
        ..Rule::foreign(
            "configuration files",
            "configuration is read by the server and the command line only, certificates by the room that follows them; the others get typed values",
            &["File::open", "read_to_string"],
            &[
                "src/server/",
                "src/cli/",
                "src/store/",
                "src/tls/",
                "src/access/disk.rs",
                "src/access/tests.rs",
                "src/audit/key.rs",
                "src/oidc/file.rs",
                "src/collector/opcua/pki.rs",
                "src/collector/spool/",
                "src/operators/aggregate/tests/",
                "src/model/filter/tests.rs",
            ],
        )
    },
    Rule {
        within: &["src/collector/"],
        tests_are_free: true,
        ..Rule::foreign(
            "read only",
            "collectors read and never write: no function that changes anything in a device is compiled in",
            &[
                "Writer",
                "write_single_coil",
                "write_single_register",
                "write_multiple_coils",
                "write_multiple_registers",
                "masked_write_register",
                "read_write_multiple_registers",
                "WriteSingleCoil",
                "WriteSingleRegister",
                "WriteMultipleCoils",
                "WriteMultipleRegisters",
                "MaskWriteRegister",
                "ReadWriteMultipleRegisters",
                "WriteRequest",
                "WriteValue",
                "CallRequest",
                "CallMethodRequest",
                "HistoryUpdateRequest",
                "history_update",
                "call_one",
                "call_method",
                "add_nodes",
                "add_references",
                "delete_nodes",
                "delete_references",
            ],
            &[],
        )
    },
    Rule {
        within: &["src/collector/opcua/"],
        tests_are_free: true,
        exceptions: &[
            Exception {
                file: "src/collector/opcua/deliver.rs",
                word: ".write",
                reason: "writes samples into a run; there is no session in that file",
            },
            Exception {
                file: "src/collector/opcua/wire/",
                word: ".write",
                reason: "locks the channel, and puts what the client library asks into the stream; there is no session in that folder",
            },
        ],
        ..Rule::foreign("read only", "a session is never asked to write or to call", &[".write", ".call"], &[])
    },
    Rule {
        within: &["src/collector/mqtt/"],
        tests_are_free: true,
        exceptions: &[Exception {
            file: "src/collector/mqtt/client.rs",
            word: ".try_publish",
            reason: "publishes an announcement, which is the state of a Sparkplug host or the request for a rebirth; nothing else becomes one",
        }],
        ..Rule::foreign(
            "read only",
            "a broker is told announcements and nothing else",
            &[".try_publish", ".publish", ".publish_bytes", ".try_publish_tracked", ".publish_tracked"],
            &[],
        )
    },
    Rule {
        name: "tags are selected on blocking threads",
        reason: "reading globs and selecting tags takes long: a function that is not async does it, and Api::bounded runs that",
        within: &["src/api/"],
        but_not: &[],
        tests_are_free: true,
        forbids: Forbids::WordsInAsync(&[
            "resolve::selection",
            "resolve::selection_or_all",
            "resolve::selection_of_some",
            "resolve::tags",
            "resolve::tags_or_all",
            "TagSelection::parse",
            "TagSelection::parse_while",
            "TagSelection::parse_or_all",
            ".select",
            ".select_while",
            ".page",
        ]),
        exceptions: &[],
    },
    Rule {
        within: &["src/api/"],
        tests_are_free: true,
        ..Rule::foreign(
            "one entry for work",
            "what a client asks to be read or computed goes through Api::stream or Api::bounded, which give it a place, a deadline, a turn and a share",
            &["spawn_blocking", "block_in_place", "thread::spawn"],
            // What is recorded of a call is no work of the client: it must not wait among theirs.
            &["src/api/work.rs", "src/api/stream.rs", "src/api/audit.rs"],
        )
    },
    Rule {
        within: &["src/api/", "src/sql/"],
        tests_are_free: true,
        exceptions: &[
            Exception {
                file: "src/sql/table/mod.rs",
                word: "TagScope::Everything",
                reason: "the tables of the base session, of which each statement of somebody who sees less has others",
            },
            Exception { file: "src/api/write/stream/tests.rs", word: "Principal::anonymous", reason: "tests" },
            Exception { file: "src/sql/tests/", word: "TagScope::Everything", reason: "tests" },
        ],
        ..Rule::foreign(
            "who asks",
            "what somebody may do is said by the principal of the call, which only the layer in front of all services makes",
            &["TagScope::Everything", "Principal::anonymous"],
            &["src/api/access/"],
        )
    },
    Rule {
        within: EVERYWHERE,
        ..Rule::foreign(
            "unsafe",
            "unsafe code is forbidden; a kernel that needs it becomes its own crate",
            &["unsafe"],
            // One option of the library of the allocator, which has no other way in.
            &["src/allocator/"],
        )
    },
    Rule {
        name: "head comment",
        reason: "every file begins with //!: what it is for and where it stands on the way",
        within: EVERYWHERE,
        but_not: &[],
        tests_are_free: false,
        forbids: Forbids::HeadWithoutComment,
        exceptions: &[],
    },
];
