//! How much of what is short one name may hold at once: nobody is kept waiting by somebody else's requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places, of which each name may hold so many.
#[derive(Debug)]
pub struct Shares {
    each: usize,
    of: Mutex<BTreeMap<String, Arc<Semaphore>>>,
}

/// A place that is held until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Place(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

impl Shares {
    /// `each` places for every name.
    pub fn new(each: usize) -> Self {
        Self {
            each,
            of: Mutex::default(),
        }
    }

    /// A place of `name`; none where it holds all that it may. Names come from the file of tokens, so there are no more of them than it ever had lines.
    pub fn now(&self, name: &str) -> Option<Place> {
        self.share(name).try_acquire_owned().ok().map(Place)
    }

    /// The same, waiting for so long.
    pub async fn within(&self, name: &str, patience: Duration) -> Option<Place> {
        let place = tokio::time::timeout(patience, self.share(name).acquire_owned());
        place.await.ok().and_then(Result::ok).map(Place)
    }

    fn share(&self, name: &str) -> Arc<Semaphore> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let share = of
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.each)));
        Arc::clone(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_share_is_used_up_by_its_own_name_only_and_comes_back() {
        let shares = Shares::new(2);
        let (first, second) = (shares.now("ci"), shares.now("ci"));
        assert!(first.is_some() && second.is_some());
        assert!(shares.now("ci").is_none());
        assert!(shares.now("kim").is_some());
        let waiting = shares.within("ci", Duration::from_secs(60));
        drop(first);
        assert!(waiting.await.is_some());
        let never = shares.within("ci", Duration::from_millis(1));
        let (place, _held) = (shares.now("ci"), second);
        assert!(place.is_some() && never.await.is_none());
    }
}
