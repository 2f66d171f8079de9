//! The Publish requests of a session, and what each subscription receives.
//!
//! Requests are kept with the server so that it can send at once, as many as it takes; a notification is acknowledged after it was taken.
//! Nothing here waits for more than the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use opcua::{
    client::{Session, UARequest, services::Publish},
    types::{DataChangeNotification, DataValue, NotificationMessage, StatusChangeNotification, StatusCode, SubscriptionAcknowledgement},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    convert::nanoseconds,
    fault::{ConnectionFault, End},
    session::gone,
};

/// Requests kept with the server, beyond two per subscription. Servers that take four for the one subscription that most devices need are common; a
/// refused request is a line in the library's log.
const REQUESTS_MORE: usize = 2;
/// Wait after a request that failed, so that a server that refuses at once is not asked without end.
const PAUSE: Duration = Duration::from_millis(100);
/// Acknowledgements kept for a later request at most; the server drops by itself what is not acknowledged.
const ACKNOWLEDGEMENTS_MAX: usize = 10_000;
/// Lost notifications asked for again at most, per subscription.
const MISSING_MAX: usize = 100;

/// The subscriptions of a session by their ids, and the requests for them.
#[derive(Default)]
pub struct Publisher {
    feeds: Mutex<BTreeMap<u32, Arc<SubscriptionFeed>>>,
    acknowledgements: Mutex<Vec<SubscriptionAcknowledgement>>,
    /// Subscriptions that send to us and are none of ours.
    strays: Mutex<BTreeSet<u32>>,
    changed: Notify,
}

impl Publisher {
    pub fn add(&self, id: u32, feed: Arc<SubscriptionFeed>) {
        self.feeds.lock().insert(id, feed);
        self.changed.notify_one();
    }

    /// Forgets every subscription: the connection is lost, or the server has none any more.
    pub fn clear(&self) {
        self.feeds.lock().clear();
        self.strays.lock().clear();
        self.acknowledgements.lock().clear();
    }

    /// Subscriptions that are to be deleted.
    pub fn take_strays(&self) -> BTreeSet<u32> {
        std::mem::take(&mut self.strays.lock())
    }

    /// Keeps requests with the server; `told` is called for each answer. Ends when there is nothing to publish any more.
    pub async fn run(&self, session: &Session, mut told: impl FnMut(Result<(), StatusCode>)) -> ConnectionFault {
        let mut flying = FuturesUnordered::new();
        let mut most = usize::MAX;
        loop {
            let wanted = match self.feeds.lock().len() {
                0 => 0,
                subscriptions => (subscriptions * 2 + REQUESTS_MORE).min(most),
            };
            while flying.len() < wanted {
                flying.push(self.publish(session));
            }
            let answer = tokio::select! {
                Some(answer) = flying.next(), if !flying.is_empty() => answer,
                () = self.changed.notified() => continue,
            };
            told(answer);
            match answer {
                Ok(()) => {}
                Err(StatusCode::BadTooManyPublishRequests) => most = flying.len().max(1),
                Err(StatusCode::BadNoSubscription) => {
                    let status = StatusCode::BadNoSubscription;
                    return ConnectionFault {
                        end: End::Subscriptions,
                        ..ConnectionFault::status("the server has dropped the subscriptions", status, "")
                    };
                }
                Err(status) if gone(status) => {
                    return ConnectionFault { end: End::Session, ..ConnectionFault::status("the session is lost", status, "") };
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn publish(&self, session: &Session) -> Result<(), StatusCode> {
        let acknowledged = std::mem::take(&mut *self.acknowledgements.lock());
        match Publish::new(session).acks(acknowledged.clone()).send(session.channel()).await {
            Ok(answer) => {
                let message = answer.notification_message;
                let (subscription_id, sequence_number) = (answer.subscription_id, message.sequence_number);
                let feed = self.feeds.lock().get(&subscription_id).cloned();
                if let Some(feed) = feed {
                    if feed.published(message, answer.more_notifications) {
                        self.acknowledgements.lock().push(SubscriptionAcknowledgement { subscription_id, sequence_number });
                    }
                } else {
                    self.strays.lock().insert(subscription_id);
                }
                Ok(())
            }
            Err(error) => {
                let mut later = self.acknowledgements.lock();
                later.extend(acknowledged);
                later.truncate(ACKNOWLEDGEMENTS_MAX);
                Err(error.status())
            }
        }
    }
}

/// Index of an item by its client handle.
pub fn index(handle: u32) -> Option<usize> {
    (handle as usize).checked_sub(1)
}

/// Where the values of a notification go, by index of their tags, with the server's time at which it was published, just now.
pub type NotificationSink = Arc<dyn Fn(Vec<(usize, DataValue)>, Option<i64>) + Send + Sync>;

/// What one subscription receives.
pub struct SubscriptionFeed {
    take: NotificationSink,
    /// Last notification or keep-alive.
    last: Mutex<Instant>,
    values_seen: AtomicBool,
    /// Status with which the server ended the subscription.
    ended: AtomicU32,
    sequence: Mutex<Sequence>,
    /// The server has sent all that it had since this was set to false.
    answered: AtomicBool,
    /// A notification could not be had any more since the subscription was taken up.
    incomplete: AtomicBool,
    times: Mutex<PublishTimes>,
}

/// When notifications were sent between which others are missing.
#[derive(Default)]
struct PublishTimes {
    /// Of the last one that came.
    last: Option<i64>,
    /// From the first missing number to before the one that came, with the times of those around.
    missing: Vec<(std::ops::Range<u32>, (i64, i64))>,
}

impl SubscriptionFeed {
    pub fn new(take: NotificationSink) -> SubscriptionFeed {
        SubscriptionFeed {
            take,
            last: Mutex::new(Instant::now()),
            values_seen: AtomicBool::new(false),
            ended: AtomicU32::new(0),
            sequence: Mutex::default(),
            answered: AtomicBool::new(false),
            incomplete: AtomicBool::new(false),
            times: Mutex::default(),
        }
    }

    pub fn silence(&self) -> Duration {
        self.last.lock().elapsed()
    }

    pub fn values_seen(&self) -> bool {
        self.values_seen.load(Ordering::Relaxed)
    }

    pub fn ended(&self) -> Option<StatusCode> {
        Some(StatusCode::from(self.ended.load(Ordering::Relaxed))).filter(StatusCode::is_bad)
    }

    /// The subscription goes on after a loss.
    pub fn take_up(&self) {
        *self.last.lock() = Instant::now();
        self.answered.store(false, Ordering::Relaxed);
        self.incomplete.store(false, Ordering::Relaxed);
        self.sequence.lock().forget_missing();
    }

    /// Number of the notification that comes next.
    pub fn next_number(&self) -> u32 {
        self.sequence.lock().next.unwrap_or(1)
    }

    pub fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::Relaxed)
    }

    pub fn set_incomplete(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    /// Everything that changed during the loss has come, or is known to be lost.
    pub fn has_caught_up(&self) -> bool {
        self.answered.load(Ordering::Relaxed) && self.sequence.lock().is_whole()
    }

    /// Numbers of notifications that are late enough to be asked for.
    pub fn overdue(&self) -> Vec<u32> {
        self.sequence.lock().overdue()
    }

    /// A notification is lost for good. Answers when those around it were sent, where that is known.
    pub fn lose(&self, number: u32) -> Option<(i64, i64)> {
        self.sequence.lock().asked.retain(|asked| *asked != number);
        self.set_incomplete();
        let times = self.times.lock();
        times.missing.iter().find(|(numbers, _)| numbers.contains(&number)).map(|(_, around)| *around)
    }

    /// A notification came by Publish. True when it is to be acknowledged.
    fn published(&self, message: NotificationMessage, more: bool) -> bool {
        let empty = message.notification_data.as_ref().is_none_or(Vec::is_empty);
        let next = self.next_number();
        let fresh = empty || self.sequence.lock().saw(message.sequence_number);
        let at = nanoseconds(&message.publish_time, None);
        if fresh && !empty {
            self.times.lock().came(next, message.sequence_number, at);
        }
        if fresh {
            self.take(message, at);
        }
        if !more {
            self.answered.store(true, Ordering::Relaxed);
        }
        !empty
    }

    /// A notification came by Republish. False when the server has none under this number.
    pub fn republished(&self, number: u32, message: NotificationMessage) -> bool {
        if message.notification_data.as_ref().is_none_or(Vec::is_empty) {
            return false;
        }
        if self.sequence.lock().republished(number) {
            // It was published before a loss: its time says nothing of how the clocks differ now.
            self.take(message, None);
        }
        true
    }

    fn take(&self, notification: NotificationMessage, at: Option<i64>) {
        *self.last.lock() = Instant::now();
        let mut values = Vec::new();
        for part in notification.notification_data.into_iter().flatten() {
            if let Some(ended) = part.inner_as::<StatusChangeNotification>() {
                self.ended.store(ended.status.bits(), Ordering::Relaxed);
            } else if let Some(change) = part.into_inner_as::<DataChangeNotification>() {
                let changes = change.monitored_items.into_iter().flatten();
                values.extend(changes.filter_map(|item| Some((index(item.client_handle)?, item.value))));
            }
        }
        if !values.is_empty() {
            self.values_seen.store(true, Ordering::Relaxed);
            (self.take)(values, at);
        }
    }
}

impl PublishTimes {
    /// A notification with values came by itself; `next` was expected.
    fn came(&mut self, next: u32, number: u32, at: Option<i64>) {
        if let (Some(before), Some(at), true) = (self.last, at, next < number && (number - next) as usize <= MISSING_MAX) {
            if self.missing.len() >= MISSING_MAX {
                self.missing.remove(0);
            }
            self.missing.push((next..number, (before, at)));
        }
        self.last = self.last.max(at);
    }
}

/// Sequence numbers of the notifications of one subscription: which are missing.
#[derive(Default)]
struct Sequence {
    next: Option<u32>,
    /// Missing numbers and whether they were looked at before: one that is only late gets a tick of time.
    missing: Vec<(u32, bool)>,
    /// Missing numbers that are being asked for.
    asked: Vec<u32>,
    /// Numbers that came when they were asked for, and may still come late by themselves.
    repeated: Vec<u32>,
}

impl Sequence {
    /// A notification with this number came by itself. False when it came before.
    fn saw(&mut self, number: u32) -> bool {
        if let Some(at) = self.repeated.iter().position(|repeated| *repeated == number) {
            self.repeated.remove(at);
            return false;
        }
        if let Some(at) = self.missing.iter().position(|(missing, _)| *missing == number) {
            self.missing.remove(at);
            return true;
        }
        if let Some(at) = self.asked.iter().position(|asked| *asked == number) {
            self.asked.remove(at);
            return true;
        }
        if let Some(mut next) = self.next {
            // Numbers are repeated by a server that counts keep-alives or starts anew; nothing is missing then.
            if number.wrapping_sub(next) as usize <= MISSING_MAX {
                while next != number && self.missing.len() < MISSING_MAX {
                    self.missing.push((next, false));
                    next = after(next);
                }
            }
        }
        self.next = Some(after(number));
        true
    }

    /// A notification with this number came because it was asked for. False when it came by itself meanwhile.
    fn republished(&mut self, number: u32) -> bool {
        if let Some(at) = self.asked.iter().position(|asked| *asked == number) {
            self.asked.remove(at);
            if self.repeated.len() >= MISSING_MAX {
                self.repeated.remove(0);
            }
            self.repeated.push(number);
            return true;
        }
        // Asked for in the order of numbers after a loss.
        if self.next.is_none_or(|next| next == number) {
            self.next = Some(after(number));
            return true;
        }
        false
    }

    fn overdue(&mut self) -> Vec<u32> {
        let overdue: Vec<u32> = self.missing.iter().filter(|(_, seen)| *seen).map(|(number, _)| *number).collect();
        self.missing.retain_mut(|(_, seen)| !std::mem::replace(seen, true));
        self.asked.extend(&overdue);
        overdue
    }

    fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.asked.is_empty()
    }

    /// The numbers asked for in a connection that is lost are asked for again.
    fn forget_missing(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        self.missing.extend(asked.into_iter().map(|number| (number, true)));
        self.repeated.clear();
    }
}

/// Numbers begin again at 1.
pub fn after(number: u32) -> u32 {
    number.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use opcua::types::{DateTime, ExtensionObject, MonitoredItemNotification};

    use super::*;

    #[test]
    fn missing_notifications_are_asked_for_once_and_late_ones_not() {
        let mut sequence = Sequence::default();
        for number in [7, 8, 11, 9] {
            assert!(sequence.saw(number));
        }
        assert_eq!(sequence.overdue(), [0_u32; 0]);
        assert_eq!(sequence.overdue(), [10]);
        assert_eq!(sequence.overdue(), [0_u32; 0]);
        assert!(sequence.saw(10));
        assert!(sequence.saw(12));
        assert!(sequence.is_whole());
        let mut wrapped = Sequence::default();
        for number in [u32::MAX - 1, u32::MAX, 1, 2] {
            wrapped.saw(number);
        }
        assert!(wrapped.is_whole());
        let mut restarted = Sequence::default();
        for number in [1000, 1, 1_000_000] {
            restarted.saw(number);
        }
        assert!(restarted.is_whole());
    }

    #[test]
    fn a_notification_that_comes_by_itself_and_when_asked_for_is_taken_once() {
        let lacking = || {
            let mut sequence = Sequence::default();
            sequence.saw(1);
            sequence.saw(3);
            sequence.overdue();
            assert_eq!(sequence.overdue(), [2]);
            sequence
        };
        let mut asked_first = lacking();
        assert!(asked_first.republished(2) && !asked_first.saw(2));
        let mut late_first = lacking();
        assert!(late_first.saw(2) && !late_first.republished(2));
        for mut sequence in [asked_first, late_first] {
            assert!(sequence.saw(4) && sequence.is_whole());
        }
        let mut resumed = Sequence::default();
        resumed.saw(5);
        assert!(resumed.republished(6) && resumed.republished(7) && !resumed.republished(7) && resumed.saw(8));
        assert!(resumed.is_whole());
    }

    /// A notification with values by client handle.
    fn message(number: u32, values: &[(u32, f64)]) -> NotificationMessage {
        let item = |(client_handle, value): &(u32, f64)| MonitoredItemNotification {
            client_handle: *client_handle,
            value: DataValue::value_only(*value),
        };
        let change = DataChangeNotification { monitored_items: Some(values.iter().map(item).collect()), diagnostic_infos: None };
        NotificationMessage {
            sequence_number: number,
            publish_time: DateTime::ymd(2026, 1, 1),
            notification_data: Some(vec![ExtensionObject::from_message(change)]),
        }
    }

    type Taken = Arc<Mutex<Vec<(Vec<(usize, DataValue)>, Option<i64>)>>>;

    fn feed() -> (SubscriptionFeed, Taken) {
        let taken = Taken::default();
        let all = taken.clone();
        (SubscriptionFeed::new(Arc::new(move |values, time| all.lock().push((values, time)))), taken)
    }

    #[test]
    fn a_feed_hands_on_what_came_and_knows_what_is_missing() {
        let (feed, taken) = feed();
        let told = || (feed.next_number(), feed.values_seen(), feed.has_caught_up(), feed.is_incomplete());
        assert_eq!((told(), feed.ended()), ((1, false, false, false), None));
        // A keep-alive tells that the server has sent all, has the number of the next notification, and is not acknowledged.
        let keep_alive = NotificationMessage { sequence_number: 5, ..NotificationMessage::default() };
        assert!(!feed.published(keep_alive.clone(), false));
        assert_eq!((told(), taken.lock().len()), ((1, false, true, false), 0));
        // Client handles count from 1.
        assert!(feed.published(message(5, &[(1, 2.5), (0, 9.0), (3, 4.5)]), true));
        assert_eq!(
            std::mem::take(&mut *taken.lock()),
            [(vec![(0, DataValue::value_only(2.5)), (2, DataValue::value_only(4.5))], Some(1_767_225_600_000_000_000))]
        );
        assert_eq!(told(), (6, true, true, false));
        // Two do not come: one can be had when it is asked for, once, and the other is lost.
        assert!(feed.published(message(8, &[(2, 1.0)]), false));
        assert_eq!((told(), taken.lock().len()), ((9, true, false, false), 1));
        assert_eq!((feed.overdue(), feed.overdue()), (vec![], vec![6, 7]));
        assert_eq!([feed.republished(6, keep_alive), feed.republished(6, message(6, &[(1, 7.0)]))], [false, true]);
        let times: Vec<Option<i64>> = taken.lock().iter().map(|(_, at)| *at).collect();
        assert_eq!(times, [Some(1_767_225_600_000_000_000), None], "what was asked for was published long ago");
        assert!(feed.published(message(6, &[(1, 7.0)]), false));
        assert_eq!((told(), taken.lock().len()), ((9, true, false, false), 2));
        feed.lose(7);
        assert_eq!(told(), (9, true, true, true));
        // After a loss of the connection all is open again.
        feed.take_up();
        assert_eq!((told(), feed.ended()), ((9, true, false, false), None));
        let ended = StatusChangeNotification { status: StatusCode::BadTimeout, ..StatusChangeNotification::default() };
        let ended = NotificationMessage { notification_data: Some(vec![ExtensionObject::from_message(ended)]), ..message(9, &[]) };
        assert!(feed.published(ended, true));
        assert_eq!((told(), feed.ended(), taken.lock().len()), ((10, true, false, false), Some(StatusCode::BadTimeout), 2));
    }

    #[test]
    fn a_bounded_number_of_notifications_is_missed_and_remembered() {
        let missing = |number: u32| {
            let mut sequence = Sequence::default();
            sequence.saw(1);
            sequence.saw(number);
            sequence.overdue();
            (sequence.overdue(), sequence)
        };
        assert_eq!(missing(2).0, [0_u32; 0]);
        assert_eq!(missing(102).0, (2..=101).collect::<Vec<_>>());
        // Further ahead it is another count.
        assert_eq!(missing(103).0, [0_u32; 0]);
        let (asked, mut sequence) = missing(102);
        assert!(!sequence.is_whole());
        assert!(asked.iter().all(|number| sequence.republished(*number)));
        assert!(sequence.is_whole());
        // One more: the oldest is forgotten, the others still come late.
        sequence.saw(104);
        assert_eq!((sequence.overdue(), sequence.overdue(), sequence.republished(103)), (vec![], vec![103], true));
        assert_eq!([2, 3, 101, 103].map(|number| sequence.saw(number)), [true, false, false, false]);
    }
}
