//! Which server of a redundant set is tried next, without I/O and clock.
//!
//! The servers are tried in rounds: each once, at once after one another, in the order in which they are configured. Only between rounds there is
//! a wait, which grows as for a device of one server. A connection that held begins a round by its end; one that did not belongs to the round in
//! which it was made, so that servers which all let a client in and drop it again are not asked without end.

use std::collections::VecDeque;

/// How it went with the server that was tried, or connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberEnd {
    /// There was no connection, or one that did not hold.
    Failed,
    /// A connection that had held is lost. The session may still be in the server, which answers at once or not at all: it is tried first.
    Cut,
    /// One that had held is of no more use, or nothing comes by it: the others are tried first.
    Spent,
    /// It is given up for the server of this number.
    Better(usize),
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextTry {
    AtOnce,
    AfterWait,
}

/// The servers of a set by their numbers, which are their places in the configuration, and which of them this round has left.
#[derive(Clone, Debug)]
pub struct ServerSet {
    count: usize,
    current: usize,
    round: VecDeque<usize>,
}

impl ServerSet {
    /// Begins with the first of `count` servers.
    pub fn new(count: usize) -> ServerSet {
        ServerSet { count, current: 0, round: (1..count).collect() }
    }

    /// The server that is tried, or connected to.
    pub fn current(&self) -> usize {
        self.current
    }

    /// The server that takes the place of another, if it can.
    pub fn instead_of(&self, lost: usize) -> Option<usize> {
        std::iter::once(&self.current).chain(&self.round).copied().find(|member| *member != lost)
    }

    /// Goes on to the next server. `kept` is one that may still have the session: it begins the next round.
    pub fn advance(&mut self, end: MemberEnd, kept: Option<usize>) -> NextTry {
        if self.count < 2 {
            return NextTry::AfterWait;
        }
        let current = self.current;
        match end {
            MemberEnd::Failed => {}
            MemberEnd::Cut => self.begin(Some(current), None),
            MemberEnd::Spent => self.begin(None, Some(current)),
            MemberEnd::Better(next) => self.begin(Some(next), Some(current)),
        }
        let next = if self.round.is_empty() {
            self.begin(kept, None);
            NextTry::AfterWait
        } else {
            NextTry::AtOnce
        };
        self.current = self.round.pop_front().unwrap_or_default();
        next
    }

    /// A round of all servers.
    fn begin(&mut self, first: Option<usize>, last: Option<usize>) {
        let others = (0..self.count).filter(|member| Some(*member) != first && Some(*member) != last);
        self.round = first.into_iter().chain(others).chain(last).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::{
        MemberEnd::{Better, Cut, Failed, Spent},
        NextTry::{AfterWait, AtOnce},
        *,
    };

    /// What is tried, and whether at once, one end after the other.
    fn tried(set: &mut ServerSet, ends: &[(MemberEnd, Option<usize>)]) -> Vec<(NextTry, usize)> {
        ends.iter().map(|(end, kept)| (set.advance(*end, *kept), set.current())).collect()
    }

    #[test]
    fn one_server_is_tried_after_a_wait_whatever_happened() {
        let mut set = ServerSet::new(1);
        for end in [Failed, Cut, Spent, Better(0)] {
            assert_eq!((set.advance(end, Some(0)), set.current(), set.instead_of(0)), (AfterWait, 0, None));
        }
    }

    #[test]
    fn a_round_tries_each_server_once_in_order_and_the_next_begins_after_a_wait() {
        let mut set = ServerSet::new(3);
        assert_eq!(set.current(), 0);
        let failed = [(Failed, None); 4];
        assert_eq!(tried(&mut set, &failed), [(AtOnce, 1), (AtOnce, 2), (AfterWait, 0), (AtOnce, 1)]);
    }

    #[test]
    fn a_cut_session_is_taken_up_first_and_the_others_follow_at_once() {
        let mut set = ServerSet::new(3);
        let tries =
            tried(&mut set, &[(Failed, None), (Cut, Some(1)), (Failed, Some(1)), (Failed, Some(1)), (Failed, Some(1)), (Failed, None)]);
        // The cut may be ours: the round after the wait begins with the server that still has the session.
        assert_eq!(tries, [(AtOnce, 1), (AtOnce, 1), (AtOnce, 0), (AtOnce, 2), (AfterWait, 1), (AtOnce, 0)]);
    }

    #[test]
    fn a_server_of_no_more_use_is_the_last_to_be_tried_again() {
        let mut set = ServerSet::new(3);
        assert_eq!(tried(&mut set, &[(Spent, None), (Failed, None), (Failed, None)]), [(AtOnce, 1), (AtOnce, 2), (AtOnce, 0)]);
        assert_eq!(tried(&mut set, &[(Better(2), None), (Failed, None), (Failed, None)]), [(AtOnce, 2), (AtOnce, 1), (AtOnce, 0)]);
    }

    #[test]
    fn servers_that_let_in_and_drop_again_are_waited_for() {
        let mut set = ServerSet::new(2);
        let waits = (0..100).filter(|_| set.advance(Failed, None) == AfterWait).count();
        assert_eq!(waits, 50);
    }

    #[test]
    fn the_server_that_takes_the_place_of_another_is_named() {
        let mut set = ServerSet::new(3);
        set.advance(Cut, Some(0));
        assert_eq!((set.current(), set.instead_of(0)), (0, Some(1)));
        set.advance(Failed, Some(0));
        assert_eq!((set.current(), set.instead_of(0)), (1, Some(1)));
    }
}
