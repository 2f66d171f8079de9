//! A call of the HTTP API, and what became of it down to the byte: the parts that a body comes in are joined, and a problem document says its
//! code as gRPC does.

use bytes::Bytes;
use serde_json::Value as Json;

use super::call::{CALL_ID, Client, Outcome};

/// An answer as it came, or as much of it as has come.
struct WebAnswer {
    /// The number, as text.
    status: String,
    /// The status line and the headers, without the time of day, and without the entity tag, which follows from the body and the names in it.
    head: String,
    body: Vec<u8>,
    /// False where more belongs to it.
    is_whole: bool,
    is_problem: bool,
}

impl Client {
    /// A GET of a path of the API, or a POST of a body. The answer is read until it ends, or to where `end` says that it is enough.
    pub fn api(&self, path: &str, body: Option<&Json>, end: impl Fn(&[u8]) -> Option<usize>) -> Outcome {
        let (method, content) = match body {
            None => ("GET", "\r\n".to_owned()),
            Some(body) => {
                let body = body.to_string();
                ("POST", format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
            }
        };
        let token = self.authorization();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {CALL_ID}\r\n{token}Connection: close\r\n");
        let enough = |answer: &[u8]| WebAnswer::read(answer).is_some_and(|answer| end(&answer.body).is_some());
        let answer = match self.over_http(&format!("{head}{content}"), enough) {
            Ok(answer) => answer,
            Err(error) => return Outcome { message: format!("{method} {path}: {error}"), ..Outcome::nothing("no answer came") },
        };
        let Some(mut answer) = WebAnswer::read(&answer) else { return Outcome::nothing("no whole head came") };
        if let Some(end) = end(&answer.body) {
            answer.body.truncate(end);
            answer.is_whole = true;
        }
        answer.outcome()
    }
}

impl WebAnswer {
    /// Nothing before the head has come.
    fn read(answer: &[u8]) -> Option<WebAnswer> {
        let end = find(answer, "\r\n\r\n")?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let rest = &answer[end + 4..];
        let header = |name: &str| {
            let mut headers = head.lines().filter_map(|line| line.split_once(':'));
            headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let (body, is_whole) = match header("transfer-encoding") {
            Some(_) => joined(rest),
            None => (rest.to_vec(), header("content-length") == Some(rest.len().to_string())),
        };
        let is_problem = header("content-type").is_some_and(|content_type| content_type == "application/problem+json");
        let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let follows = |line: &str| ["date:", "etag:"].iter().any(|name| line.to_ascii_lowercase().starts_with(name));
        let lines: Vec<&str> = head.lines().filter(|line| !follows(line)).collect();
        Some(WebAnswer { status, head: lines.join("\n"), body, is_whole, is_problem })
    }

    /// Why it is none, where it is one of those.
    fn problem(&self) -> Option<Json> {
        // A feed ends with such an event.
        const AT_ITS_END: &str = "event: error\ndata: ";
        let text = String::from_utf8_lossy(&self.body);
        let document = if self.is_problem { &*text } else { text.split_once(AT_ITS_END)?.1 };
        Some(serde_json::from_str(document.trim()).expect("a problem is a document of JSON"))
    }

    fn outcome(self) -> Outcome {
        let problem = self.problem();
        let said = problem.as_ref().map(|problem| (problem["status"].to_string(), problem["code"].as_str().unwrap_or_default()));
        let code = match said {
            _ if !self.is_whole => "an answer that was cut".to_owned(),
            None if self.status == "200" => "Ok".to_owned(),
            None => self.status.clone(),
            Some((status, code)) if !self.is_problem || status == self.status => as_in_grpc(code),
            Some((status, code)) => format!("{} with a document of {status} {code}", self.status),
        };
        let message = problem.as_ref().and_then(|problem| problem["detail"].as_str()).unwrap_or_default().to_owned();
        // Nothing is beside the headers: no details, and no end of its own.
        Outcome { code, message, parts: vec![self.body.into(), Bytes::new(), self.head.into(), Bytes::new()] }
    }
}

/// Where a text begins.
fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

/// Where the event ends in which a text is.
pub fn end_of_event(body: &[u8], text: &str) -> Option<usize> {
    let at = find(body, text)?;
    Some(at + find(&body[at..], "\n\n")? + 2)
}

/// The parts that a body comes in, and whether the last one, which is empty, has come.
fn joined(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let size = find(rest, "\r\n").and_then(|end| Some((end + 2, std::str::from_utf8(&rest[..end]).ok()?)));
        let size = size.and_then(|(begin, text)| Some((begin, usize::from_str_radix(text, 16).ok()?)));
        let Some((begin, size)) = size else { return (body, false) };
        if size == 0 {
            return (body, true);
        }
        let Some(part) = rest.get(begin..begin + size) else { return (body, false) };
        body.extend_from_slice(part);
        // A line ends behind it.
        rest = rest.get(begin + size + 2..).unwrap_or_default();
    }
}

/// `NOT_FOUND` as `NotFound`.
fn as_in_grpc(code: &str) -> String {
    let word = |word: &str| word.chars().take(1).chain(word.to_lowercase().chars().skip(1)).collect::<String>();
    code.split('_').map(word).collect()
}

#[test]
fn an_answer_is_read_as_http_and_problems_say_it() {
    let read = |text: &str| WebAnswer::read(text.as_bytes()).expect("a head");
    let parts = "HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhid\r\n\r\na\r\nden/here\n\n\r\n";
    let answer = read(parts);
    assert_eq!((&*answer.body, answer.is_whole), (&b"hid\r\nden/here\n\n"[..], false));
    assert_eq!(answer.outcome().code, "an answer that was cut");
    let outcome = read(&format!("{parts}0\r\n\r\n")).outcome();
    assert_eq!((&*outcome.code, outcome.messages().len()), ("Ok", 1));
    assert!(!outcome.shows("date") && outcome.shows("transfer-encoding"));
    assert_eq!(end_of_event(b"a\n\nb hidden\n\nc", "hidden"), Some(13));
    let problem = |status: &str| {
        let document = r#"{"status": 403, "code": "PERMISSION_DENIED", "detail": "no"}"#;
        let (kind, length) = ("content-type: application/problem+json", document.len());
        read(&format!("HTTP/1.1 {status} no\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{document}")).outcome()
    };
    assert_eq!((&*problem("403").code, &*problem("403").message), ("PermissionDenied", "no"));
    assert_eq!(problem("404").code, "404 with a document of 403 PERMISSION_DENIED");
    let feed = ": connected\n\nevent: error\ndata: {\"status\": 401, \"code\": \"UNAUTHENTICATED\"}\n\n";
    let feed = read(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{feed}", feed.len()));
    assert_eq!(feed.outcome().code, "Unauthenticated");
}
