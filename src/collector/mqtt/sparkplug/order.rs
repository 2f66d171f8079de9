//! The order of one node's messages by `seq`, 0 to 255 and round again.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// Failures between two births, after which the numbers are no order.
const FAILURES_MAX: u32 = 3;
/// As far ahead of the expected number a message waits; what is farther is behind.
const AHEAD_MAX: u8 = 127;

/// What becomes of a message by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlacedMessage<T> {
    /// It is its turn, or there is no order.
    Ready(T),
    /// It waits for those before it.
    Held,
    /// It is one of those that were not waited for any longer.
    Late(T),
    /// Its number is behind, and was there already: sent twice, or the node counts anew without a birth.
    Stray(T),
}

struct WaitingMessage<T> {
    since: Duration,
    bytes: usize,
    message: T,
}

/// Messages that wait for those before them.
pub(super) struct ReorderWindow<T> {
    /// None: no birth, or the numbers failed too often.
    expected: Option<u8>,
    held: BTreeMap<u8, Vec<WaitingMessage<T>>>,
    held_messages: usize,
    held_bytes: usize,
    /// Numbers that were not waited for any longer.
    skipped: HashSet<u8>,
    failures: u32,
}

impl<T> ReorderWindow<T> {
    /// Without an order.
    pub fn new() -> ReorderWindow<T> {
        let (held, skipped) = (BTreeMap::new(), HashSet::new());
        ReorderWindow { expected: None, held, held_messages: 0, held_bytes: 0, skipped, failures: 0 }
    }

    /// Order begins, with this number next. Nothing may be held.
    pub fn start(&mut self, expected: u8) {
        self.expected = Some(expected);
        self.failures = 0;
        self.skipped.clear();
    }

    /// Order ends. Nothing may be held.
    pub fn stop(&mut self) {
        self.expected = None;
        self.skipped.clear();
    }

    /// Whether messages wait.
    pub fn is_waiting(&self) -> bool {
        self.held_messages > 0
    }

    /// Messages and bytes that wait.
    pub fn held(&self) -> (usize, usize) {
        (self.held_messages, self.held_bytes)
    }

    /// Since when the first of those that wait does.
    pub fn waiting_since(&self) -> Option<Duration> {
        self.held.values().flatten().map(|waiting| waiting.since).min()
    }

    /// Gives a message its place. What waited for it comes from [`Self::next_ready`].
    pub fn place(&mut self, seq: u8, bytes: usize, message: T, now: Duration) -> PlacedMessage<T> {
        let Some(expected) = self.expected else { return PlacedMessage::Ready(message) };
        match seq.wrapping_sub(expected) {
            0 => {
                self.advance(expected);
                PlacedMessage::Ready(message)
            }
            1..=AHEAD_MAX => {
                self.held.entry(seq).or_default().push(WaitingMessage { since: now, bytes, message });
                self.held_messages += 1;
                self.held_bytes += bytes;
                PlacedMessage::Held
            }
            _ if self.skipped.remove(&seq) => PlacedMessage::Late(message),
            _ => {
                self.fail();
                PlacedMessage::Stray(message)
            }
        }
    }

    /// The messages whose turn it is now.
    pub fn next_ready(&mut self) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(expected) = self.expected
            && let Some(messages) = self.held.remove(&expected)
        {
            self.advance(expected);
            ready.extend(self.unheld(messages));
        }
        ready
    }

    /// All that waits, in order, and which numbers are missing between; those before them are not waited for any longer.
    pub fn release(&mut self) -> (Vec<T>, Vec<u8>) {
        let (mut released, mut missing) = (Vec::new(), Vec::new());
        while self.is_waiting()
            && let Some(expected) = self.expected
        {
            match self.held.remove(&expected) {
                Some(messages) => released.extend(self.unheld(messages)),
                None => missing.push(expected),
            }
            self.advance(expected);
        }
        self.skipped.extend(&missing);
        if !missing.is_empty() {
            self.fail();
        }
        (released, missing)
    }

    /// True when the numbers failed too often to be an order, until the next birth.
    pub fn is_given_up(&self) -> bool {
        self.failures >= FAILURES_MAX
    }

    fn fail(&mut self) {
        self.failures = self.failures.saturating_add(1);
        if self.is_given_up() && !self.is_waiting() {
            self.stop();
        }
    }

    fn advance(&mut self, seq: u8) {
        self.expected = Some(seq.wrapping_add(1));
        // Half a round later the number is ahead, not behind.
        self.skipped.remove(&seq.wrapping_add(1).wrapping_add(AHEAD_MAX));
    }

    fn unheld(&mut self, messages: Vec<WaitingMessage<T>>) -> Vec<T> {
        self.held_messages -= messages.len();
        self.held_bytes -= messages.iter().map(|waiting| waiting.bytes).sum::<usize>();
        messages.into_iter().map(|waiting| waiting.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PlacedMessage::{Held, Late, Ready, Stray};

    const NOW: Duration = Duration::ZERO;

    fn started(expected: u8) -> ReorderWindow<u32> {
        let mut window = ReorderWindow::new();
        window.start(expected);
        window
    }

    #[test]
    fn without_a_birth_every_message_is_ready() {
        let mut window = ReorderWindow::new();
        for seq in [7, 3, 3, 255] {
            assert_eq!(window.place(seq, 1, seq, NOW), Ready(seq));
        }
        assert!(!window.is_waiting());
    }

    #[test]
    fn what_is_ahead_waits_for_what_is_missing_across_the_end_of_the_numbers() {
        let mut window = started(254);
        assert_eq!(window.place(0, 10, 256, Duration::from_secs(1)), Held);
        assert_eq!(window.place(255, 20, 255, Duration::from_secs(2)), Held);
        assert_eq!((window.held(), window.waiting_since()), ((2, 30), Some(Duration::from_secs(1))));
        assert!(window.next_ready().is_empty());
        assert_eq!(window.place(254, 1, 254, NOW), Ready(254));
        assert_eq!(window.next_ready(), [255, 256]);
        assert_eq!((window.held(), window.waiting_since()), ((0, 0), None));
        assert_eq!(window.place(1, 1, 257, NOW), Ready(257));
    }

    #[test]
    fn a_release_tells_what_is_missing_and_knows_it_when_it_comes_late() {
        let mut window = started(250);
        for seq in [252, 1, 252] {
            assert_eq!(window.place(seq, 1, u32::from(seq), NOW), Held);
        }
        assert_eq!(window.release(), (vec![252, 252, 1], vec![250, 251, 253, 254, 255, 0]));
        assert_eq!(window.place(251, 1, 251, NOW), Late(251));
        assert_eq!(window.place(251, 1, 251, NOW), Stray(251));
        assert_eq!(window.place(2, 1, 2, NOW), Ready(2));
        // Nothing waits: nothing is missing.
        assert_eq!(window.release(), (vec![], vec![]));
    }

    #[test]
    fn a_skipped_number_is_forgotten_before_it_comes_round_again() {
        let mut window = started(0);
        assert_eq!(window.place(1, 1, 1, NOW), Held);
        assert_eq!(window.release(), (vec![1], vec![0]));
        for seq in 2..=255 {
            assert_eq!(window.place(seq, 1, u32::from(seq), NOW), Ready(u32::from(seq)));
        }
        assert_eq!(window.place(0, 1, 256, NOW), Ready(256));
        assert_eq!(window.place(0, 1, 256, NOW), Stray(256));
    }

    #[test]
    fn numbers_that_fail_three_times_are_no_order_until_the_next_birth() {
        let mut window = started(10);
        for (index, seq) in [5, 4, 3].into_iter().enumerate() {
            assert!(!window.is_given_up(), "{index}");
            assert_eq!(window.place(seq, 1, 0, NOW), Stray(0));
        }
        assert!(window.is_given_up());
        assert_eq!(window.place(90, 1, 0, NOW), Ready(0));
        window.start(1);
        assert!(!window.is_given_up());
        assert_eq!(window.place(90, 1, 0, NOW), Held);
    }

    #[test]
    fn what_waits_when_the_numbers_are_given_up_still_comes_out() {
        let mut window = started(10);
        assert_eq!(window.place(12, 1, 12, NOW), Held);
        for seq in [5, 4, 3] {
            assert_eq!(window.place(seq, 1, 0, NOW), Stray(0));
        }
        assert_eq!(window.release(), (vec![12], vec![10, 11]));
        assert!(window.is_given_up());
        assert_eq!(window.place(90, 1, 0, NOW), Ready(0));
    }
}
