//! How often each bearer of a token may ask: a bucket per name, which fills again while nobody asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many seconds' worth of requests may come at once.
const BURST_S: f64 = 2.0;

/// How many requests a second each name may make, on average.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: f64,
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    /// How many requests it still has.
    left: f64,
    /// When that was so.
    at: Instant,
}

impl Rates {
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.into(),
            buckets: Mutex::default(),
        }
    }

    /// Takes one request of `name` out.
    ///
    /// # Errors
    /// How long it takes until there is one. Names come from the file of tokens, so there are no more of them than it has lines.
    pub(crate) fn take(&self, name: &str, now: Instant) -> Result<(), Duration> {
        let full = (self.per_second * BURST_S).max(1.0);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(name.to_owned()).or_insert(Bucket {
            left: full,
            at: now,
        });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        let left = (bucket.left + passed * self.per_second).min(full);
        *bucket = Bucket { left, at: now };
        if left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - left) / self.per_second));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_emptied_and_fills_again_and_nobody_empties_anothers() {
        let rates = Rates::new(5);
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        for _ in 0..10 {
            assert_eq!(rates.take("ci", at(0)), Ok(()));
        }
        assert_eq!(rates.take("ci", at(0)), Err(Duration::from_millis(200)));
        assert_eq!(rates.take("kim", at(0)), Ok(()));
        assert_eq!(rates.take("ci", at(150)), Err(Duration::from_millis(50)));
        assert_eq!(rates.take("ci", at(250)), Ok(()));
        assert!(rates.take("ci", at(260)).is_err());
        for _ in 0..10 {
            assert_eq!(rates.take("ci", at(60_000)), Ok(()), "never more than full");
        }
        assert!(rates.take("ci", at(60_000)).is_err());
        // A clock that goes back gives nothing.
        assert!(rates.take("ci", at(0)).is_err());
    }
}
