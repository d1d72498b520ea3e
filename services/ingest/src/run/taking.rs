//! Taking changes in: one submission at a time per object, and its answer.

use std::time::Duration;

use fleetcast_bus::read::Stored;
use fleetcast_bus::{Delivery, Error, streams};
use fleetcast_core::Refusal;
use fleetcast_core::change::{Change, Content};
use fleetcast_core::intake::{Receipt, Verdict};
use fleetcast_core::log::ClusterNews;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_core::sealed;
use fleetcast_schemas::envelope::{DATACONTENTTYPE, Headers, KEY};
use fleetcast_schemas::request::{Answer, SealingAnswer};
use fleetcast_schemas::{Message, codec, event, subject};
use fleetcast_sealing::{Keys, Sealing};
use serde::Serialize;

use super::outbox::Letter;
use super::{ATTEMPTS, Handed, Ingest, Logged, Outcome, RETRY};
use crate::door::{self, HandedIn};

impl Ingest {
    pub(super) fn handed_in(&mut self, delivery: Delivery) {
        // Only the leader takes changes in: it knows the newest of everything. Publishers repeat what nobody answered.
        if !self.leads() {
            return;
        }
        let Delivery { message, reply, .. } = delivery;
        let reply =
            reply.filter(|reply| subject::is_client_inbox(reply) || reply.starts_with("_IN."));
        if message.subject == subject::IN_SEALING {
            return self.tell_sealing(reply);
        }
        let asker = reply.as_deref().map_or("", subject::asker);
        let whole = match self.assembler.take(message, asker) {
            Ok(Some(whole)) => whole,
            Ok(None) => return,
            Err(error) => {
                self.metrics.submissions.count("refused");
                return self.answer(reply, Answer::refused(Refusal::new("", error.to_string())));
            }
        };
        match door::read(&whole, &self.sealing) {
            Err(refusal) => {
                self.metrics.submissions.count("refused");
                tracing::info!(subject = whole.subject, %refusal, "refused");
                self.answer(reply, Answer::refused(refusal));
            }
            Ok(HandedIn::Cluster { cluster, news }) => self.take_cluster(cluster, news, reply),
            Ok(HandedIn::Change { submission, asked }) => {
                let target = &submission.object;
                let warnings = door::warnings(&asked, target, &mut self.state.placer);
                self.take_in(Handed {
                    submission,
                    reply,
                    warnings,
                    attempts: 0,
                });
            }
        }
    }

    /// Tells whoever hands in what to seal, and to whom.
    fn tell_sealing(&mut self, reply: Option<String>) {
        let (key, fields) = match &self.sealing {
            Sealing::With(sealer) => {
                let rules = sealer.rules().iter().map(ToString::to_string);
                (sealer.keys().newest().map(str::to_owned), rules.collect())
            }
            Sealing::Refused | Sealing::Plain => (None, Vec::new()),
        };
        let answer = SealingAnswer {
            key,
            fields,
            plain: matches!(self.sealing, Sealing::Plain),
        };
        self.answer(reply, answer);
    }

    pub(super) fn take_cluster(
        &mut self,
        cluster: ClusterName,
        mut news: ClusterNews,
        reply: Option<String>,
    ) {
        let registered = self.state.placer.clusters().get(&cluster);
        if let ClusterNews::Registered(new) = &mut news
            && new.sealing_key.is_none()
        {
            // Who describes a cluster anew need not know the key of its agent: it goes with the cluster.
            new.sealing_key = registered.and_then(|known| known.sealing_key.clone());
        }
        let nothing_new = match &news {
            ClusterNews::Registered(new) => registered == Some(new),
            ClusterNews::Removed {} if registered.is_none() => {
                self.metrics.submissions.count("refused");
                let refusal = Refusal::new("metadata.name", format!("{cluster} is not registered"));
                return self.answer(reply, Answer::refused(refusal));
            }
            ClusterNews::Removed {}
            | ClusterNews::Online { trouble: _ }
            | ClusterNews::Offline {} => false,
        };
        if nothing_new {
            self.metrics.submissions.count("known");
            let receipt = Receipt {
                object: ObjectKey::of_cluster(&cluster),
                revision: 0,
                sequence: self
                    .state
                    .clusters
                    .get(&cluster)
                    .map_or(0, |known| known.sequence),
            };
            return self.answer(reply, Answer::accepted(receipt, Vec::new()));
        }
        tracing::info!(%cluster, "its registration changes");
        self.write_cluster(cluster, news, reply);
    }

    /// Takes a submission in, one at a time per object.
    pub(super) fn take_in(&mut self, handed: Handed) {
        let object = handed.submission.object.clone();
        match self.busy.get_mut(&object) {
            Some(waiting) => waiting.push_back(handed),
            None => self.submit(handed),
        }
    }

    pub(super) fn submit(&mut self, handed: Handed) {
        let object = handed.submission.object.clone();
        match self
            .state
            .intake
            .submit(&handed.submission, self.state.now())
        {
            Verdict::Refused(refusal) => {
                self.metrics.submissions.count("refused");
                tracing::info!(%object, %refusal, "refused");
                self.answer(handed.reply, Answer::refused(refusal));
                self.next_for(&object);
            }
            Verdict::Known(receipt) => {
                self.metrics.submissions.count("known");
                self.answer(handed.reply, Answer::accepted(receipt, handed.warnings));
                self.next_for(&object);
            }
            Verdict::Append { change, expected } => {
                self.busy.entry(object).or_default();
                self.log.push(Letter {
                    message: self.marked(event::change(&change), &change),
                    alone: false,
                    then: (
                        self.expected(expected),
                        Logged::Change(handed, Box::new(change)),
                    ),
                });
            }
        }
    }

    /// With the header that says what values in it are sealed to.
    fn marked(&self, mut message: Message, change: &Change) -> Message {
        if let Content::Declared { document, .. } = &change.content
            && sealed::may_be_in(document)
            && let Some(key) = self.sealing.keys().and_then(Keys::newest)
        {
            message.headers.set(KEY, format!("{key} {key}"));
        }
        message
    }

    /// The submission about `object` that was under way is done: the next one may go.
    pub(super) fn next_for(&mut self, object: &ObjectKey) {
        if let Some(mut waiting) = self.busy.remove(object)
            && let Some(next) = waiting.pop_front()
        {
            self.busy.insert(object.clone(), waiting);
            self.submit(next);
        }
    }

    pub(super) fn answer(&mut self, reply: Option<String>, answer: impl Serialize) {
        let Some(reply) = reply else {
            return;
        };
        let bus = self.bus.clone();
        let payload = serde_json::to_vec(&answer).expect("answers have only string keys");
        self.pending.push(Box::pin(async move {
            let message = Message {
                subject: reply.clone(),
                headers: Headers::default().with(DATACONTENTTYPE, codec::JSON),
                payload,
            };
            Outcome::Aside("an answer", bus.answer(&reply, message).await)
        }));
    }

    /// Somebody else may have been faster, or the answer was lost: what stands there decides.
    pub(super) fn read_newest(&mut self, handed: Handed, object: &ObjectKey, error: &Error) {
        tracing::debug!(%object, %error, "a change was not stored, reading what stands there");
        if let Error::Full(_) | Error::Refused(_) = error {
            self.answer(
                handed.reply,
                Answer::refused(Refusal::new("", error.to_string())),
            );
            return self.next_for(object);
        }
        let (bus, subject) = (self.bus.clone(), subject::change_of(object));
        let pause = if error.is_worth_retrying() {
            RETRY
        } else {
            Duration::ZERO
        };
        self.pending.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let newest = async {
                let newest = bus.newest_of(streams::LOG, &subject).await?;
                Ok((newest, bus.bounds(streams::LOG).await?.first))
            };
            Outcome::Newest(Box::new(handed), newest.await)
        }));
    }

    /// Decides anew about a submission once everything up to the newest change is known: one of the changes before it may have the same id.
    pub(super) fn decide_anew(
        &mut self,
        handed: Handed,
        newest: Result<(Option<Stored>, u64), Error>,
    ) {
        let object = &handed.submission.object;
        if handed.attempts >= ATTEMPTS {
            tracing::warn!(%object, "a change could not be stored: its publisher will repeat it");
            let object = object.clone();
            return self.next_for(&object);
        }
        let newest = newest.unwrap_or_else(|error| {
            tracing::debug!(%object, %error, "what stands there cannot be read");
            (None, 1)
        });
        let (newest, first) = newest;
        self.cut = self.cut.max(first - 1);
        let handed = Handed {
            attempts: handed.attempts + 1,
            ..handed
        };
        match newest {
            Some(Stored { sequence, .. }) if sequence > self.folded => {
                self.until_folded.entry(sequence).or_default().push(handed);
            }
            Some(_) | None => self.submit(handed),
        }
    }

    /// Takes up what waited for the log to be known up to where it is now.
    pub(super) fn folded(&mut self) {
        let still = self.until_folded.split_off(&(self.folded + 1));
        for handed in std::mem::replace(&mut self.until_folded, still)
            .into_values()
            .flatten()
        {
            self.submit(handed);
        }
    }
}
