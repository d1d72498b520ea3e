//! One agent acts per cluster: the Lease `fleetcast-agent`.
//!
//! A lease is taken where there is none, where it was released, where it ran out, or where the same identity holds it (a process that was
//! started again). Each taking raises `leaseTransitions`, so that a later agent's acknowledgements win over an earlier one's.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use fleetcast_endpoint::{Health, Part};
use fleetcast_kubernetes::brief;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::own::{Home, Own};
use crate::trouble::Trouble;

/// How long a lease holds after it was renewed.
const DURATION: Duration = Duration::from_secs(15);
/// Between two renewals.
const RENEW: Duration = Duration::from_secs(5);
/// Between two looks at a lease that another holds, or at a cluster that does not answer.
const LOOK: Duration = Duration::from_secs(1);

/// A lease that we hold.
pub struct Lease {
    own: Own,
    identity: String,
    /// How often the cluster's lease was taken, by us now and by others before.
    pub transitions: u64,
    acquired: String,
    version: String,
    renewed: Instant,
}

impl Lease {
    /// Waits until the lease is ours. `transitions` become more than `floor`, also where somebody deleted the lease.
    pub async fn take(
        home: &Home,
        identity: &str,
        floor: u64,
        trouble: &Trouble,
        health: &Health,
    ) -> Self {
        let own = Own::new(home, "coordination.k8s.io", "Lease", "fleetcast-agent");
        let mut seen = Seen::default();
        let mut said = String::new();
        loop {
            let taken = Self::try_take(&own, identity, floor, &mut seen);
            let why = match trouble.watch_over(taken).await {
                Ok(Ok(lease)) => return lease,
                Ok(Err(holder)) => {
                    health.has_part(Some(Part::Standby));
                    health.is_behind(0);
                    format!("{holder} acts for this cluster")
                }
                Err(error) => format!("the cluster's lease cannot be taken: {}", brief(&error)),
            };
            if why != said {
                tracing::warn!(identity, reason = why, "waits for the cluster's lease");
                said = why;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Takes the lease, or says who holds it.
    async fn try_take(
        own: &Own,
        identity: &str,
        floor: u64,
        seen: &mut Seen,
    ) -> Result<Result<Self, String>, kube::Error> {
        let live = own.get().await?;
        let now = Utc::now();
        if let Some(live) = &live
            && let Some(holder) = holder(live)
            && holder != identity
            && !ran_out(live, now)
            && !seen.stands_still(live)
        {
            return Ok(Err(holder.to_owned()));
        }
        let before = live
            .as_ref()
            .and_then(|live| live["spec"]["leaseTransitions"].as_u64())
            .unwrap_or(0)
            .max(floor);
        let transitions = match before {
            0 => first(now),
            before => before + 1,
        };
        let acquired = text(now);
        let content = content(identity, transitions, &acquired, now);
        let version = live.as_ref().map(version);
        let renewed = Instant::now();
        Ok(match own.put(version.as_deref(), &content).await? {
            Some(live) => Ok(Self {
                own: own.clone(),
                identity: identity.to_owned(),
                transitions,
                acquired,
                version: self::version(&live),
                renewed,
            }),
            None => Err("somebody who was faster".to_owned()),
        })
    }

    /// Renews the lease until it is lost; returns why. Until then it tells what hinders it.
    pub async fn hold(&mut self, trouble: &Trouble) -> String {
        loop {
            tokio::time::sleep(RENEW).await;
            let begin = Instant::now();
            let left = DURATION.saturating_sub(self.renewed.elapsed());
            match tokio::time::timeout(left.max(LOOK), trouble.watch_over(self.renew())).await {
                Ok(Ok(true)) => self.renewed = begin,
                Ok(Ok(false)) => return "another took it".to_owned(),
                Ok(Err(error)) => {
                    tracing::warn!(error = brief(&error), "cannot renew the cluster's lease");
                }
                Err(_) => tracing::warn!("the cluster does not answer a renewal of its lease"),
            }
            if self.renewed.elapsed() >= DURATION {
                return "it could not be renewed in time".to_owned();
            }
        }
    }

    /// Gives the lease back, so that the next need not wait; where that fails it runs out.
    pub async fn release(mut self) {
        let identity = std::mem::take(&mut self.identity);
        let outcome = tokio::time::timeout(RENEW, self.renew()).await;
        tracing::debug!(
            identity,
            released = matches!(outcome, Ok(Ok(true))),
            "lease"
        );
    }

    /// Writes the lease anew; whether it is still ours.
    async fn renew(&mut self) -> Result<bool, kube::Error> {
        let content = content(&self.identity, self.transitions, &self.acquired, Utc::now());
        for _ in 0..2 {
            if let Some(live) = self.own.put(Some(&self.version), &content).await? {
                self.version = version(&live);
                return Ok(true);
            }
            // Somebody wrote to it, perhaps we ourselves in a renewal whose answer was lost.
            match self.own.get().await? {
                Some(live)
                    if live["spec"]["acquireTime"] == self.acquired.as_str()
                        && live["spec"]["leaseTransitions"] == self.transitions =>
                {
                    self.version = version(&live);
                }
                Some(_) | None => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// A foreign lease as it was seen first: where clocks disagree, one that stands still for its whole duration has run out as well.
#[derive(Default)]
struct Seen(Option<(String, Instant)>);

impl Seen {
    fn stands_still(&mut self, live: &Value) -> bool {
        let now = version(live);
        match &self.0 {
            Some((version, since)) if *version == now => since.elapsed() >= duration(live),
            _ => {
                self.0 = Some((now, Instant::now()));
                false
            }
        }
    }
}

/// The transitions where nobody is known to have acted for the cluster: a cluster that was wiped clean begins above what it counted before, or
/// the answers of its new agent would be older than those of the last one. Seconds since 2020, which fit the lease's 32 bits until 2088.
fn first(now: DateTime<Utc>) -> u64 {
    const Y2020: i64 = 1_577_836_800;
    u64::try_from(now.timestamp() - Y2020).unwrap_or(0).max(1)
}

fn content(identity: &str, transitions: u64, acquired: &str, now: DateTime<Utc>) -> Value {
    json!({"spec": {
        "holderIdentity": identity,
        "leaseDurationSeconds": DURATION.as_secs(),
        "acquireTime": acquired,
        "renewTime": text(now),
        "leaseTransitions": transitions,
    }})
}

/// A `MicroTime`: RFC 3339 with microseconds.
fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn holder(live: &Value) -> Option<&str> {
    live["spec"]["holderIdentity"]
        .as_str()
        .filter(|holder| !holder.is_empty())
}

fn version(live: &Value) -> String {
    live["metadata"]["resourceVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn duration(live: &Value) -> Duration {
    live["spec"]["leaseDurationSeconds"]
        .as_u64()
        .map_or(DURATION, Duration::from_secs)
}

/// Whether the lease was last renewed longer ago than it holds.
fn ran_out(live: &Value, now: DateTime<Utc>) -> bool {
    let renewed = live["spec"]["renewTime"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    match (renewed, TimeDelta::from_std(duration(live))) {
        (Some(renewed), Ok(duration)) => {
            now.signed_duration_since(renewed.with_timezone(&Utc)) > duration
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_has_run_out_after_its_duration_or_where_it_cannot_be_read() {
        let now = Utc::now();
        for (seconds_ago, expected) in [(0, false), (14, false), (16, true), (-60, false)] {
            let live = content("a", 1, "", now - TimeDelta::seconds(seconds_ago));
            assert_eq!(ran_out(&live, now), expected, "{seconds_ago}");
        }
        for live in [json!({}), json!({"spec": {"renewTime": "yesterday"}})] {
            assert!(ran_out(&live, now));
        }
    }
}
