//! Places for work: so many calls at the same time, and of one client so many fewer that there are always some for others. Who finds none waits
//! for a little, and holds no thread while it does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tonic::Status;
use tracing::Instrument as _;

use super::status;
use historian_query::ClientKey;

/// How many of so many places, or bytes, one client may have: others find some, unless there are only a few.
pub const fn of_one_client(all: u64) -> u64 {
    all - all / 4
}

/// Places for one class of work.
#[derive(Debug)]
pub struct Places {
    /// What is at work, as a refusal names it.
    what: &'static str,
    total_max: usize,
    per_client_max: usize,
    /// How long one waits for a place.
    patience: Duration,
    taken: Mutex<PlacesTaken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct PlacesTaken {
    total: usize,
    by_client: HashMap<ClientKey, usize>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    client: ClientKey,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoPlace {
    ByAll,
    ByTheClient,
}

impl Places {
    pub fn new(what: &'static str, total_max: usize, per_client_max: usize, patience: Duration) -> Arc<Places> {
        let per_client_max = per_client_max.clamp(1, total_max.max(1));
        Arc::new(Places { what, total_max, per_client_max, patience, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a call of a client, waited for until the deadline at the latest.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, with the time after which to try again.
    pub async fn enter(self: &Arc<Self>, client: ClientKey, deadline: std::time::Instant) -> Result<Place, Status> {
        let until = Instant::from_std(deadline).min(Instant::now() + self.patience);
        match self.try_enter(client) {
            Ok(place) => Ok(place),
            Err(_) => self.wait(client, until).instrument(tracing::info_span!(target: historian_trace::STAGE, "wait for a place")).await,
        }
    }

    async fn wait(self: &Arc<Self>, client: ClientKey, until: Instant) -> Result<Place, Status> {
        loop {
            // Before the look, so that no place that becomes free in between is missed.
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            let taken = match self.try_enter(client) {
                Ok(place) => return Ok(place),
                Err(taken) => taken,
            };
            if tokio::time::timeout_at(until, freed).await.is_err() {
                return self.try_enter(client).map_err(|_| self.refusal(taken));
            }
        }
    }

    fn try_enter(self: &Arc<Self>, client: ClientKey) -> Result<Place, NoPlace> {
        let mut taken = self.taken.lock();
        if taken.total >= self.total_max {
            return Err(NoPlace::ByAll);
        }
        let of_client = taken.by_client.entry(client).or_default();
        if *of_client >= self.per_client_max {
            return Err(NoPlace::ByTheClient);
        }
        *of_client += 1;
        taken.total += 1;
        Ok(Place { places: self.clone(), client })
    }

    fn refusal(&self, taken: NoPlace) -> Status {
        status::busy(match taken {
            NoPlace::ByAll => format!("{} {} are running, which is the limit; try again shortly", self.total_max, self.what),
            NoPlace::ByTheClient => format!(
                "{} {} of this client are running, which is the limit for one of several; try again shortly",
                self.per_client_max, self.what
            ),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.total -= 1;
        if let Some(of_client) = taken.by_client.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.by_client.remove(&self.client);
            }
        }
        drop(taken);
        // All: who has waited longest may be of a client that has its share.
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> ClientKey {
        ClientKey::of(1)
    }

    fn second() -> ClientKey {
        ClientKey::of(2)
    }

    fn later() -> std::time::Instant {
        std::time::Instant::now() + Duration::from_mins(1)
    }

    #[tokio::test]
    async fn one_client_leaves_places_for_others() {
        let places = Places::new("queries", 4, 3, Duration::from_millis(20));
        let mut of_first = Vec::new();
        for _ in 0..3 {
            of_first.push(places.enter(first(), later()).await.unwrap());
        }
        let refused = places.enter(first(), later()).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().starts_with("3 queries of this client are running"), "{}", refused.message());
        let of_second = places.enter(second(), later()).await.unwrap();
        let refused = places.enter(second(), later()).await.unwrap_err();
        assert!(refused.message().starts_with("4 queries are running"), "{}", refused.message());
        drop((of_first, of_second));
        assert_eq!(places.taken.lock().total, 0);
        assert!(places.taken.lock().by_client.is_empty());
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_becomes_free_and_waits_no_longer_than_it_has_time() {
        let places = Places::new("queries", 1, 1, Duration::from_secs(30));
        let place = places.enter(first(), later()).await.unwrap();
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.enter(second(), later()).await }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(place);
        let place = waiting.await.unwrap().unwrap();
        let began = Instant::now();
        assert!(places.enter(first(), std::time::Instant::now() + Duration::from_millis(50)).await.is_err());
        assert!(began.elapsed() < Duration::from_secs(20), "no longer than its own deadline");
        drop(place);
    }
}
