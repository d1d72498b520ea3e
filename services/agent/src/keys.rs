//! Who the agent is on the bus: the keys that its work is held against, and its credentials, which it renews before they end.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::work_key::{self, Forged, WorkKey};
use fleetcast_bus::{Bus, Credentials, Error};
use fleetcast_schemas::codec;
use fleetcast_schemas::envelope::WORK_KEY;
use fleetcast_schemas::request::{Renewal, SyncAsk};
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Headers, Message};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::secret::Source;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at the time, at most.
const LOOK: Duration = Duration::from_secs(60);
/// Between two renewals that are asked for, at least: whoever asks for them need not be ingest.
const ASKED_AGAIN: Duration = Duration::from_secs(20);
/// Between two attempts, at least.
const RETRY: Duration = Duration::from_secs(2);
/// The longest answer, bytes.
const ANSWER_LIMIT: usize = 64 * 1024;
/// How many work keys are kept: what was signed before the last renewal may still be on its way.
const KEPT: usize = 2;
/// For so long, seconds: what was signed earlier is asked for again, and comes signed with the newest.
const KEPT_S: i64 = 10 * 60;

/// The agent's keys; clones share them.
#[derive(Clone)]
pub(crate) struct Keys(Arc<Inner>);

struct Inner {
    path: Option<PathBuf>,
    /// Where the file comes from, if not from itself.
    source: Option<Source>,
    /// Whether what was renewed is not there yet.
    unsaved: AtomicBool,
    /// Ingest wants them renewed before it is time.
    wanted: Notify,
    work: RwLock<Vec<WorkKey>>,
}

impl Keys {
    /// Reads them from the credentials; without a file there are none, and work is believed.
    pub(crate) fn of(credentials: &Credentials, source: Option<Source>) -> Result<Self, Error> {
        let path = match credentials {
            Credentials::File(path) => Some(path.clone()),
            Credentials::None | Credentials::Password(..) => None,
        };
        let file = path.as_deref().map(CredentialsFile::read).transpose();
        let file = file.map_err(|error| Error::Unfit(error.to_string()))?;
        Ok(Self(Arc::new(Inner {
            path,
            source,
            unsaved: AtomicBool::new(false),
            wanted: Notify::new(),
            work: RwLock::new(file.map(|file| file.work_keys).unwrap_or_default()),
        })))
    }

    /// Holds work against them.
    pub(crate) fn verify(&self, message: &Message) -> Result<(), Forged> {
        let work = self.0.work.read().unwrap_or_else(PoisonError::into_inner);
        work_key::verify(&work, &message.headers, &message.payload)
    }

    /// Says in a message which key we have, so that ingest signs with it.
    pub(crate) fn tell(&self, headers: &mut Headers) {
        let work = self.0.work.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = work.first() {
            headers.set(WORK_KEY, key.id());
        }
    }

    /// Asks for a renewal now.
    pub(crate) fn renew_soon(&self) {
        self.0.wanted.notify_one();
    }

    /// Renews the credentials whenever half of their time is over, or ingest wants it, for ever. What fails is tried again; the old ones count until they end.
    pub(crate) async fn renew(self, bus: Bus, lane: Lane) -> std::convert::Infallible {
        let Some(path) = self.0.path.clone() else {
            return std::future::pending().await;
        };
        let mut files = bus.credentials();
        let mut told = String::new();
        let (mut is_wanted, mut wanted_at) = (false, None::<Instant>);
        loop {
            let pause = match self.renew_once(&bus, &lane, &path, is_wanted).await {
                Ok(pause) => {
                    told.clear();
                    is_wanted = false;
                    pause
                }
                Err(why) => {
                    if told != why {
                        tracing::warn!(cluster = %lane.cluster, file = %path.display(), reason = why, "the credentials are not renewed; trying again");
                        told = why;
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.0.wanted.notified() => {
                    let is_early = wanted_at.is_some_and(|at| at.elapsed() < ASKED_AGAIN);
                    if !is_early {
                        (is_wanted, wanted_at) = (true, Some(Instant::now()));
                    }
                }
                // Somebody put others in their place.
                Ok(()) = files.changed() => {
                    if let Some(file) = files.borrow_and_update().as_deref() {
                        self.take_up(file);
                    }
                }
            }
        }
    }

    /// Renews them if it is time, or it is wanted: how long to wait then.
    async fn renew_once(
        &self,
        bus: &Bus,
        lane: &Lane,
        path: &Path,
        is_wanted: bool,
    ) -> Result<Duration, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let unsaved = self.0.unsaved.load(Ordering::Relaxed);
        let refreshed = self.refresh(bus, path, unsaved).await;
        let mut file = CredentialsFile::read(path).map_err(|error| said(&error))?;
        let now = fleetcast_bus::now().0.div_euclid(1_000);
        if is_over(&file, now) {
            file.work_keys.truncate(1);
            file.write(path).map_err(|error| said(&error))?;
            self.take_up(&file);
        }
        let life = file.claims();
        let life = life.filter(|claims| claims.ends_at > claims.issued_at);
        // What never ends is renewed where ingest wants it.
        let half = life.map(|life| life.issued_at + (life.ends_at - life.issued_at) / 2);
        let wait = match half {
            Some(half) if half <= now => None,
            Some(half) => Some(Duration::from_secs(u64::try_from(half - now).unwrap_or(1))),
            None => Some(LOOK),
        };
        if let Some(wait) = wait
            && !is_wanted
        {
            return refreshed.map(|_| wait.min(LOOK));
        }
        // Another agent of this cluster may have renewed them. While its API server is away they are renewed all the same.
        if !unsaved && self.refresh(bus, path, true).await.unwrap_or(false) {
            return Ok(Duration::ZERO);
        }
        let mut headers = Headers::default();
        self.tell(&mut headers);
        let ask = SyncAsk::Renew {
            jwt: file.jwt.clone(),
        };
        let ask = Message {
            subject: lane.sync(),
            payload: codec::encode(&ask, &mut headers),
            headers,
        };
        let answer = bus.request(ask, ANSWER_LIMIT, PATIENCE).await;
        let answer = answer.map_err(|error| said(&error))?;
        let renewal: Renewal =
            codec::decode(&answer.payload, &answer.headers).map_err(|error| said(&error))?;
        if !renewal.refused.is_empty() {
            return Err(renewal.refused);
        }
        // Whoever runs the bus cannot give us a key of his own.
        self.verify(&answer).map_err(|error| said(&error))?;
        file.jwt = renewal.jwt;
        if let (Some(old), false) = (file.work_keys.first(), renewal.key.is_empty()) {
            let new = old.unwrap(&renewal.key, &renewal.wrapped);
            let new = new.ok_or("the new work key cannot be read")?;
            file.work_keys.insert(0, new);
            file.work_keys.truncate(KEPT);
        }
        file.write(path).map_err(|error| said(&error))?;
        self.take_up(&file);
        self.0.unsaved.store(true, Ordering::Relaxed);
        tracing::info!(cluster = %lane.cluster, file = %path.display(), "the credentials are renewed");
        bus.reconnect().await.map_err(|error| said(&error))?;
        Ok(RETRY)
    }

    fn take_up(&self, file: &CredentialsFile) {
        *self.0.work.write().unwrap_or_else(PoisonError::into_inner) = file.work_keys.clone();
    }

    /// Takes up newer credentials from where they come from, and with `asking` brings ours there where those are newer: whether ours are others now.
    async fn refresh(&self, bus: &Bus, path: &Path, asking: bool) -> Result<bool, String> {
        let Some(source) = &self.0.source else {
            return Ok(false);
        };
        let mut taken = source.take_mounted().unwrap_or(false);
        if asking && !taken {
            taken = source.exchange().await?;
            self.0.unsaved.store(false, Ordering::Relaxed);
        }
        if taken {
            let file = CredentialsFile::read(path).map_err(|error| error.to_string())?;
            self.take_up(&file);
            tracing::info!(file = %path.display(), "newer credentials are there");
            bus.reconnect().await.map_err(|error| error.to_string())?;
        }
        Ok(taken)
    }
}

/// Whether earlier work keys have been kept for long enough: whoever has an earlier master key could sign with them.
fn is_over(file: &CredentialsFile, now: i64) -> bool {
    let renewed_at = file.claims().map_or(0, |claims| claims.issued_at);
    file.work_keys.len() > 1 && now - renewed_at >= KEPT_S
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_work_keys_are_kept_for_a_while() {
        // {"name":"eu","iat":1000}
        let mut file = CredentialsFile::new("e30.eyJuYW1lIjoiZXUiLCJpYXQiOjEwMDB9.x", "");
        file.work_keys = vec![WorkKey::generate("m2-a"), WorkKey::generate("m1-a")];
        assert!(!is_over(&file, 1_000 + KEPT_S - 1));
        assert!(is_over(&file, 1_000 + KEPT_S));
        file.work_keys.truncate(1);
        assert!(!is_over(&file, 1_000 + KEPT_S));
    }
}
