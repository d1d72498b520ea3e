//! Effects carried out: finalizers, submissions, waiting for clusters.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleetcast_bus::Bus;
use fleetcast_core::Refusal;
use fleetcast_core::hub::Effect;
use fleetcast_core::hub::sighting::REGISTERED;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_kubernetes::brief;
use fleetcast_schemas::codec::JSON;
use fleetcast_schemas::envelope::{DATACONTENTTYPE, Headers};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::{Message, subject};
use kube::Error;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{LEASE_TRUST, PAUSE, lock, report};
use crate::api::Api;
use crate::submit::Submission;

/// The pause after the hub's object was in another state than the one decided on.
const CONFLICT: Duration = Duration::from_millis(300);
/// The pause after the hub says no.
const REFUSED: Duration = Duration::from_secs(5);
/// Between two looks at what clusters have answered.
const LOOK: Duration = Duration::from_millis(500);
/// How long an answer of the view may be, bytes.
const VIEW_LIMIT: usize = 64 * 1024 * 1024;

/// What became of an effect.
#[derive(Debug)]
pub(super) enum Done {
    /// The object as it stands; none where it is not there.
    Seen(ObjectKey, Option<Value>),
    /// What was handed in, by its digest, with the refusal, where it is one.
    Answered(ObjectKey, String, Option<Refusal>),
    /// The withdrawal stands in the log at this sequence.
    Withdrawn(ObjectKey, u64),
    /// Whether the kind's definition is being deleted.
    Leaves(ObjectKey, bool),
    /// All clusters that can be reached have answered.
    Removed(ObjectKey),
    /// It did not work: decide again.
    Again(ObjectKey),
    /// Nothing depends on it.
    Nothing,
}

/// What carries effects out.
#[derive(Clone)]
pub(super) struct Doer {
    bus: Bus,
    api: Api,
    /// When the lease was renewed last.
    renewed: Arc<Mutex<Instant>>,
}

impl Doer {
    pub(super) fn new(bus: Bus, api: Api, renewed: Arc<Mutex<Instant>>) -> Self {
        Self { bus, api, renewed }
    }

    /// Carries an effect out about an object of a kind in `api_version`; `online` are the clusters that can be reached.
    pub(super) async fn carry_out(
        self,
        effect: Effect,
        api_version: String,
        online: Arc<BTreeSet<ClusterName>>,
    ) -> Done {
        match effect {
            Effect::Watch { .. } => Done::Nothing,
            Effect::Fetch { place } => {
                let live = self.api.get(&api_version, &place).await;
                Self::seen(place, live).await
            }
            Effect::Finalizers {
                place,
                version,
                finalizers,
            } => {
                let finalizers = match finalizers.as_slice() {
                    [] => Value::Null,
                    all => json!(all),
                };
                let patch = json!({"metadata": {"resourceVersion": version.to_string(), "finalizers": finalizers}});
                let live = self.api.merge(&api_version, &place, &patch).await;
                Self::seen(place, live).await
            }
            Effect::Note { place, digest } => {
                let patch = json!({"metadata": {"annotations": {REGISTERED: digest}}});
                let live = self.api.merge(&api_version, &place, &patch).await;
                Self::seen(place, live).await
            }
            Effect::Submit {
                place,
                target,
                origin,
                document,
                digest,
            } => {
                let submission = Submission::declare(&target, &origin, &document);
                match self.hand_in(&place, &submission).await {
                    Answer::Accepted(accepted) => {
                        tracing::info!(object = %target, revision = accepted.revision, sequence = accepted.sequence, state = origin.id, "handed in");
                        Done::Answered(place, digest, None)
                    }
                    Answer::Refused { refusal } => {
                        tracing::warn!(object = %target, place = %place, field = refusal.field, reason = refusal.message, "refused");
                        let refusal = Refusal::new(refusal.field, refusal.message);
                        Done::Answered(place, digest, Some(refusal))
                    }
                }
            }
            Effect::Withdraw {
                place,
                target,
                origin,
            } => {
                let submission = Submission::withdraw(&target, &origin);
                self.withdraw(place, &target, &api_version, &submission)
                    .await
            }
            Effect::AwaitRemoval {
                place,
                target,
                sequence,
            } => self.await_removal(place, &target, sequence, &online).await,
            Effect::Report {
                place,
                uid,
                generation,
                report,
            } => {
                report::tell(&self.api, &api_version, &place, &uid, generation, &report).await;
                Done::Nothing
            }
        }
    }

    async fn seen(place: ObjectKey, live: Result<Option<Value>, Error>) -> Done {
        match live {
            Ok(live) => Done::Seen(place, live),
            Err(Error::Api(status)) if status.code == 409 => {
                tokio::time::sleep(CONFLICT).await;
                Done::Again(place)
            }
            Err(error) => {
                tracing::warn!(%place, error = brief(&error), "the hub says no, trying again");
                tokio::time::sleep(REFUSED).await;
                Done::Again(place)
            }
        }
    }

    /// Hands in until somebody answers, and only while the lease can be trusted.
    async fn hand_in(&self, place: &ObjectKey, submission: &Submission) -> Answer {
        loop {
            let trusted = lock(&self.renewed).elapsed() < LEASE_TRUST;
            if trusted {
                match submission.send(&self.bus).await {
                    Ok(answer) => return answer,
                    Err(error) => {
                        tracing::debug!(%place, %error, "nobody answers, repeating");
                    }
                }
            }
            tokio::time::sleep(PAUSE / 4).await;
        }
    }

    async fn withdraw(
        &self,
        place: ObjectKey,
        target: &ObjectKey,
        api_version: &str,
        submission: &Submission,
    ) -> Done {
        // Asked for after the deletion was seen: a definition is marked before its objects are.
        let leaves = match self.api.kind(api_version, &place).await {
            Ok(Some(kind)) => self.api.is_leaving(&kind).await,
            Ok(None) => Ok(true),
            Err(error) => Err(error),
        };
        match leaves {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!(%place, "goes with its definition: nothing is withdrawn");
                return Done::Leaves(place, true);
            }
            Err(error) => {
                tracing::warn!(%place, error = brief(&error), "the hub does not say whether the definition goes, trying again");
                tokio::time::sleep(PAUSE).await;
                return Done::Again(place);
            }
        }
        let is_cluster = (target.kind(), target.group()) == ("MemberCluster", "fleetcast.dev");
        match self.hand_in(&place, submission).await {
            Answer::Accepted(_) if is_cluster => Done::Removed(place),
            Answer::Accepted(accepted) => {
                tracing::info!(object = %target, revision = accepted.revision, sequence = accepted.sequence, "withdrawn");
                Done::Withdrawn(place, accepted.sequence)
            }
            // A newer state is in the log: what was seen is not what is there.
            Answer::Refused { refusal } if refusal.field == "id" => {
                tokio::time::sleep(PAUSE).await;
                Done::Again(place)
            }
            Answer::Refused { refusal } => {
                tracing::info!(object = %target, reason = refusal.message, "there was nothing to withdraw");
                Done::Removed(place)
            }
        }
    }

    /// Looks at the view once, after a moment, until no cluster that can be reached is to answer.
    async fn await_removal(
        &self,
        place: ObjectKey,
        target: &ObjectKey,
        sequence: u64,
        online: &BTreeSet<ClusterName>,
    ) -> Done {
        let query = json!({"min_log": sequence});
        let message = Message {
            subject: subject::query("objects", Some(target)),
            headers: Headers::default().with(DATACONTENTTYPE, JSON),
            payload: query.to_string().into_bytes(),
        };
        let answer = self.bus.request(message, VIEW_LIMIT, REFUSED * 2).await;
        let view = answer.ok().and_then(|answer| {
            let view: Value = serde_json::from_slice(&answer.payload).ok()?;
            view["objects"].as_array().cloned()
        });
        let Some(objects) = view else {
            tokio::time::sleep(PAUSE).await;
            return Done::Again(place);
        };
        let rows = objects.iter().flat_map(|object| object["rows"].as_array());
        let waits = rows.flatten().find(|row| {
            let is_open = ["deciding", "removing", "pending", "retrying"]
                .iter()
                .any(|open| row["condition"] == *open);
            let cluster = row["cluster"]
                .as_str()
                .and_then(|name| ClusterName::parse(name).ok());
            is_open && cluster.is_some_and(|cluster| online.contains(&cluster))
        });
        match waits {
            None => Done::Removed(place),
            Some(row) => {
                tracing::debug!(%place, cluster = row["cluster"].as_str(), "waits for a cluster's answer");
                tokio::time::sleep(LOOK).await;
                Done::Again(place)
            }
        }
    }
}
