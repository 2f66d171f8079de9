//! What the frames of a connection tell, in both directions: which requests are open, whether the client takes their answers, and what it
//! sends that serves nothing.
//!
//! A client that is honest takes back what it no longer wants: a dashboard that is left cancels hundreds of calls at once, and the
//! connection goes on, with the subscriptions on it. A client that begins requests only to take them back costs the server work for nothing
//! (CVE-2023-44487). The HTTP/2 library tells them apart by how many wait to be looked at when they are taken back, which an honest client
//! exceeds as easily. So it is left wide ([`PENDING_RESETS_MAX`]), and what goes on and on is cut here.
//!
//! The same holds for frames that carry nothing: priorities, settings, pings, empty data, headers that open no request (CVE-2019-9512 and
//! those beside it, CVE-2024-27316). Window updates are the answer of a client to what it was sent, so what is sent gives allowance for them.

use std::{collections::HashMap, time::Instant};

use super::{
    allowance::Allowance,
    frame::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, FrameFollower, GOAWAY, HEADERS, PADDED, PREFACE_BYTES, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, frame,
    },
    reason::CutReason,
};

/// Requests taken back before they were looked at that one connection may have waiting. Bounds memory: each keeps its headers until then.
pub const PENDING_RESETS_MAX: usize = 4_096;
/// Requests that a client may take back at once, and a second from then on.
const RESETS: (u32, u32) = (10_000, 1_000);
/// Frames without use that a client may send at once, and a second from then on.
const IDLE_FRAMES: (u32, u32) = (10_000, 1_000);
/// What a frame of data to the client allows it beside: updates of both windows, and a ping to measure the way.
const FRAMES_PER_DATA: u32 = 4;
/// Open requests of which account is kept. The library lets far fewer be open.
const REQUESTS_MAX: usize = 1 << 17;

/// The window of a stream and of a connection, before anybody says otherwise (RFC 9113, 6.9.2).
const WINDOW_BYTES: i64 = 65_535;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// Codes of errors (RFC 9113, 7).
const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;
const INADEQUATE_SECURITY: u32 = 12;

/// One HTTP/2 connection, as far as its frames tell.
pub(super) struct Http2Session {
    from_client: FrameFollower,
    to_client: FrameFollower,
    /// By number of stream.
    requests: HashMap<u32, OpenRequest>,
    /// The highest number of a request.
    last: u32,
    /// A request whose headers have not ended.
    heading: Option<u32>,
    /// What the client takes: on the connection, and on a stream that begins.
    window: i64,
    stream_window: i64,
    resets: Allowance,
    idle_frames: Allowance,
}

struct OpenRequest {
    /// What the client takes of its answer. May be negative.
    window: i64,
    /// Bytes of the answer that went out.
    sent: u64,
    /// How many these were when the client was last found to take no more.
    waiting_at: Option<u64>,
}

impl Http2Session {
    pub fn new(now: Instant) -> Http2Session {
        let allowance = |(at_once, per_second)| Allowance::new(at_once, per_second, now);
        Http2Session {
            from_client: FrameFollower::after(PREFACE_BYTES),
            to_client: FrameFollower::after(0),
            requests: HashMap::new(),
            last: 0,
            heading: None,
            window: WINDOW_BYTES,
            stream_window: WINDOW_BYTES,
            resets: allowance(RESETS),
            idle_frames: allowance(IDLE_FRAMES),
        }
    }

    /// Whether a whole request ever came.
    pub fn was_asked(&self) -> bool {
        self.last > 0
    }

    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Sees what came from the client.
    ///
    /// # Errors
    /// The client does what no client needs to.
    pub fn received(&mut self, bytes: &[u8], now: Instant) -> Result<(), CutReason> {
        let Http2Session { from_client, requests, last, heading, window, stream_window, resets, idle_frames, .. } = self;
        from_client.follow(bytes, |frame, payload| {
            let begins = match frame.kind {
                HEADERS if frame.stream > *last => Some(frame.stream),
                CONTINUATION if *heading == Some(frame.stream) => Some(frame.stream),
                _ => None,
            };
            if let Some(stream) = begins {
                *heading = (!frame.has(END_HEADERS)).then_some(stream);
                if frame.has(END_HEADERS) {
                    *last = stream;
                    requests.insert(stream, OpenRequest { window: *stream_window, sent: 0, waiting_at: None });
                    idle_frames.give(FRAMES_PER_DATA);
                }
            }
            match frame.kind {
                RST_STREAM => {
                    requests.remove(&frame.stream);
                    return if resets.take(now) { Ok(()) } else { Err(CutReason::Resets) };
                }
                SETTINGS if !frame.has(1) => {
                    for setting in payload.chunks_exact(6) {
                        let (name, value) = setting.split_at(2);
                        if name == INITIAL_WINDOW_SIZE.to_be_bytes() {
                            let value = i64::from(number(value));
                            for request in requests.values_mut() {
                                request.window += value - *stream_window;
                            }
                            *stream_window = value;
                        }
                    }
                }
                WINDOW_UPDATE => {
                    let more = i64::from(number(payload) & 0x7FFF_FFFF);
                    if frame.stream == 0 {
                        *window += more;
                    } else if let Some(request) = requests.get_mut(&frame.stream) {
                        request.window += more;
                    }
                }
                _ => {}
            }
            let is_of_use = match frame.kind {
                DATA => frame.has(END_STREAM) || (frame.length > 0 && !frame.has(PADDED)),
                HEADERS => begins.is_some(),
                _ => false,
            };
            let allowed = is_of_use || idle_frames.take(now);
            if allowed && requests.len() <= REQUESTS_MAX { Ok(()) } else { Err(CutReason::Frames) }
        })
    }

    /// Sees what went to the client.
    pub fn sent(&mut self, bytes: &[u8]) {
        let Http2Session { to_client, requests, window, idle_frames, .. } = self;
        let followed = to_client.follow(bytes, |frame, _| {
            if frame.kind == DATA {
                *window -= frame.length as i64;
                if let Some(request) = requests.get_mut(&frame.stream) {
                    request.window -= frame.length as i64;
                    request.sent += frame.length as u64;
                }
                idle_frames.give(FRAMES_PER_DATA);
            }
            if frame.kind == RST_STREAM || (matches!(frame.kind, DATA | HEADERS) && frame.has(END_STREAM)) {
                requests.remove(&frame.stream);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        debug_assert!(followed.is_ok());
    }

    /// Requests whose clients took less than so much of their answers since this was last asked, and take nothing now. They are no longer
    /// counted as open.
    pub fn take_stalled(&mut self, bytes_min: u64) -> Vec<u32> {
        let all_wait = self.window <= 0;
        let mut stalled = Vec::new();
        for (&stream, request) in &mut self.requests {
            let waits = request.window <= 0;
            match request.waiting_at {
                Some(before) if (waits || all_wait) && request.sent - before < bytes_min => stalled.push((stream, waits)),
                _ => request.waiting_at = (waits || all_wait).then_some(request.sent),
            }
        }
        // Where the connection takes nothing, that is likely for the sake of those that take nothing themselves.
        if stalled.iter().any(|(_, waits)| *waits) {
            stalled.retain(|(_, waits)| *waits);
        }
        stalled.into_iter().map(|(stream, _)| stream).inspect(|stream| _ = self.requests.remove(stream)).collect()
    }

    /// Whether a frame of ours may stand next among those from the client, as the server sees them.
    pub fn may_insert(&self) -> bool {
        self.from_client.is_between_frames() && self.heading.is_none()
    }

    /// Whether a frame of ours may stand next among those to the client.
    pub fn may_add(&self) -> bool {
        self.to_client.is_between_frames()
    }

    /// Ends the connection: requests behind the last one were not looked at, and may be asked again.
    pub fn goodbye(&self, reason: CutReason) -> Vec<u8> {
        let code = if reason.is_abuse() { ENHANCE_YOUR_CALM } else { NO_ERROR };
        frame(GOAWAY, 0, &[&self.last.to_be_bytes(), &code.to_be_bytes(), reason.text().as_bytes()].concat())
    }
}

/// Ends a request: the client asks too much of others' patience.
pub(super) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, stream, &ENHANCE_YOUR_CALM.to_be_bytes())
}

/// What a client is told that there is no room for: settings, as every server begins, and the end.
pub(super) fn refusal(text: &str) -> Vec<u8> {
    only_goodbye(ENHANCE_YOUR_CALM, text)
}

/// What a client is told that speaks without TLS where there is nothing else.
pub(super) fn only_tls(text: &str) -> Vec<u8> {
    only_goodbye(INADEQUATE_SECURITY, text)
}

fn only_goodbye(code: u32, text: &str) -> Vec<u8> {
    let goaway = frame(GOAWAY, 0, &[&0_u32.to_be_bytes(), &code.to_be_bytes(), text.as_bytes()].concat());
    [frame(SETTINGS, 0, &[]), goaway].concat()
}

/// The first four bytes, as a number.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIORITY: u8 = 2;
    const PING: u8 = 6;

    fn flagged(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = frame(kind, stream, payload);
        frame[4] = flags;
        frame
    }

    /// A session that has begun.
    fn session(now: Instant) -> Http2Session {
        let mut session = Http2Session::new(now);
        session.received(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", now).unwrap();
        session.received(&frame(SETTINGS, 0, &[]), now).unwrap();
        session
    }

    fn request(stream: u32) -> Vec<u8> {
        flagged(HEADERS, END_HEADERS, stream, b"headers")
    }

    /// How many of these frames are taken at once.
    fn taken(of: impl Fn(u32) -> Vec<u8>) -> u32 {
        let now = Instant::now();
        let mut session = session(now);
        (0..50_000).find(|&number| session.received(&of(number), now).is_err()).unwrap_or(50_000)
    }

    #[test]
    fn floods_of_frames_without_use_end_and_frames_of_use_do_not() {
        for (name, frame) in [
            ("priority", frame(PRIORITY, 3, &[0; 5])),
            ("settings", frame(SETTINGS, 0, &[])),
            ("acknowledged settings", flagged(SETTINGS, 1, 0, &[])),
            ("ping", frame(PING, 0, &[0; 8])),
            ("window update", frame(WINDOW_UPDATE, 0, &[0, 0, 0, 1])),
            ("continuation", frame(CONTINUATION, 1, &[1])),
            ("empty data", frame(DATA, 1, &[])),
            ("data of padding", flagged(DATA, PADDED, 1, &[3, 0, 0, 0])),
            ("unknown", frame(77, 1, &[])),
        ] {
            let taken = taken(|_| frame.clone());
            assert!((9_990..=10_000).contains(&taken), "{name}: {taken}");
        }
        assert_eq!(taken(|number| request(2 * number + 1)), 50_000);
        assert_eq!(taken(|_| frame(DATA, 1, &[0])), 50_000);
        // The end of a request.
        assert_eq!(taken(|number| [request(2 * number + 1), flagged(DATA, END_STREAM, 2 * number + 1, &[])].concat()), 50_000);
        assert_eq!(taken(|number| [request(2 * number + 1), frame(RST_STREAM, 2 * number + 1, &[0; 4])].concat()), 10_000);
        assert_eq!(taken(|_| request(1)), 10_001, "headers behind a request");
    }

    #[test]
    fn a_reader_may_update_its_windows_as_often_as_it_is_sent_something() {
        let now = Instant::now();
        let mut session = session(now);
        session.received(&request(1), now).unwrap();
        for _ in 0..100_000 {
            session.sent(&frame(DATA, 1, &[0; 100]));
            for stream in [0, 1] {
                session.received(&frame(WINDOW_UPDATE, stream, &100_u32.to_be_bytes()), now).unwrap();
            }
        }
        assert!(session.take_stalled(1_000).is_empty() && session.take_stalled(1_000).is_empty());
    }

    #[test]
    fn a_request_is_open_from_the_end_of_its_headers_to_the_end_of_its_answer() {
        let now = Instant::now();
        let mut session = session(now);
        assert!(!session.was_asked() && session.may_insert());
        session.received(&frame(HEADERS, 1, b"the beginning of"), now).unwrap();
        assert!(!session.was_asked() && !session.may_insert());
        session.received(&flagged(CONTINUATION, END_HEADERS, 1, b" headers"), now).unwrap();
        assert!(session.was_asked() && session.may_insert() && !session.is_idle());
        session.sent(&flagged(HEADERS, END_HEADERS, 1, b"status"));
        session.sent(&frame(DATA, 1, b"answer"));
        assert!(!session.is_idle());
        session.sent(&flagged(HEADERS, END_HEADERS | END_STREAM, 1, b"trailers"));
        assert!(session.is_idle() && session.was_asked());
        // Taken back by the client, and ended by the server.
        for (stream, from_client) in [(3, true), (5, false)] {
            session.received(&request(stream), now).unwrap();
            assert!(!session.is_idle());
            let reset = frame(RST_STREAM, stream, &[0; 4]);
            if from_client {
                session.received(&reset, now).unwrap();
            } else {
                session.sent(&reset);
            }
            assert!(session.is_idle());
        }
    }

    #[test]
    fn requests_stall_whose_client_takes_nothing_of_their_answers() {
        let now = Instant::now();
        let mut session = session(now);
        for stream in [1, 3, 5] {
            session.received(&request(stream), now).unwrap();
        }
        // One is read, of one the window is used up, one has nothing to send.
        session.sent(&frame(DATA, 1, &[0; 1_000]));
        for _ in 0..5 {
            session.sent(&frame(DATA, 3, &[0; 13_107]));
        }
        session.received(&frame(WINDOW_UPDATE, 0, &1_000_000_u32.to_be_bytes()), now).unwrap();
        assert!(session.take_stalled(1_000).is_empty(), "it may have been used up a moment ago");
        assert_eq!(session.take_stalled(1_000), [3]);
        assert!(session.take_stalled(1_000).is_empty() && !session.is_idle());

        // No window from the beginning, and then a trickle.
        let nothing = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &0_u32.to_be_bytes()].concat();
        session.received(&frame(SETTINGS, 0, &nothing), now).unwrap();
        session.received(&request(7), now).unwrap();
        assert!(session.take_stalled(1_000).is_empty());
        session.received(&frame(WINDOW_UPDATE, 7, &1_u32.to_be_bytes()), now).unwrap();
        session.sent(&frame(DATA, 7, &[0]));
        session.received(&frame(WINDOW_UPDATE, 1, &64_000_u32.to_be_bytes()), now).unwrap();
        let mut stalled = session.take_stalled(1_000);
        stalled.sort_unstable();
        assert_eq!(stalled, [5, 7], "the first one has a window again");
    }

    #[test]
    fn a_connection_that_takes_nothing_stalls_with_all_that_wait_for_it() {
        let now = Instant::now();
        let mut session = session(now);
        session
            .received(&frame(SETTINGS, 0, &[&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &1_000_000_u32.to_be_bytes()].concat()), now)
            .unwrap();
        session.received(&request(1), now).unwrap();
        for _ in 0..5 {
            session.sent(&frame(DATA, 1, &[0; 13_107]));
        }
        assert!(session.take_stalled(1_000).is_empty());
        assert_eq!(session.take_stalled(1_000), [1]);
    }
}
