//! Takes submissions in: decides revision, repeat or refusal.
//!
//! The edge appends what [`Intake::submit`] asks for at the expected sequence, tells [`Intake::logged`] what was stored or what stood there
//! instead, and asks again where somebody else was first. Two intakes on one log therefore agree on one order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::change::{Change, Content, Origin};
use crate::digest;
use crate::hub::HubOrigin;
use crate::model::ObjectKey;
use crate::time::Time;

/// What the intake knows of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intake {
    objects: BTreeMap<ObjectKey, Newest>,
    /// First answers by digest of (source, id).
    answered: BTreeMap<String, Receipt>,
}

/// The newest change of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Newest {
    revision: u64,
    sequence: u64,
    content_digest: String,
    withdrawn: bool,
    /// The dialect and kind of document that declared it: a second kind of source for the same target is refused.
    declared_by: Option<String>,
    time: Time,
    /// The newest state of a hub's object that a change was made of.
    #[serde(default)]
    hub: Option<HubOrigin>,
}

/// Something handed in for one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// What it is about.
    pub object: ObjectKey,
    /// Who hands it in, and under which id.
    pub origin: Origin,
    /// What it says.
    pub content: Content,
    /// The document's own kind and name, which must stay the same for one target (`FederatedNamespace/shop/shop`); none for a withdrawal.
    pub declared_by: Option<String>,
    /// Whether it is a change although the newest revision says the same: what is ahead gives way to it.
    pub anew: bool,
}

/// The answer to a submission that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What it is about.
    pub object: ObjectKey,
    /// Its revision.
    pub revision: u64,
    /// Its place in the log.
    pub sequence: u64,
}

/// What is to be done with a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is no: the same submission gets the same refusal until something else changes.
    Refused(Refusal),
    /// It is in the log already, under this id or word for word as the newest revision.
    Known(Receipt),
    /// It is to be appended, if the newest message about the object still has the sequence `expected` (0: none).
    Append {
        /// What to append.
        change: Change,
        /// The expected last sequence of the object's subject.
        expected: u64,
    },
}

impl Intake {
    /// Decides about a submission at `now`. The change's time never goes back behind that of the revision before.
    pub fn submit(&self, submission: &Submission, now: Time) -> Verdict {
        let Submission {
            object,
            origin,
            content,
            declared_by,
            anew,
        } = submission;
        if let Some(receipt) = self.answered.get(&origin_digest(origin)) {
            return if receipt.object == *object {
                Verdict::Known(receipt.clone())
            } else {
                Verdict::Refused(Refusal::new(
                    "id",
                    format!(
                        "{:?} of {:?} was already used for {}",
                        origin.id, origin.source, receipt.object
                    ),
                ))
            };
        }
        let newest = self.objects.get(object);
        if let Some(newest) = newest.filter(|newest| !anew && newest.is_ahead_of(origin)) {
            return match content {
                Content::Declared { .. } => Verdict::Known(newest.receipt(object)),
                Content::Withdrawn { .. } => Verdict::Refused(Refusal::new(
                    "id",
                    format!(
                        "a newer state of the hub's object is revision {} already",
                        newest.revision
                    ),
                )),
            };
        }
        match newest {
            None if matches!(content, Content::Withdrawn { .. }) => {
                return Verdict::Refused(never_declared(object));
            }
            Some(newest) if !anew && newest.content_digest == content.digest() => {
                return Verdict::Known(newest.receipt(object));
            }
            Some(Newest {
                withdrawn: false,
                declared_by: Some(first),
                ..
            }) if declared_by.as_ref().is_some_and(|second| second != first) => {
                return Verdict::Refused(Refusal::new(
                    "metadata.name",
                    format!("{object} is already declared by {first}: withdraw that first"),
                ));
            }
            None | Some(_) => {}
        }
        Verdict::Append {
            change: Change {
                object: object.clone(),
                revision: newest.map_or(1, |newest| newest.revision + 1),
                origin: origin.clone(),
                time: newest.map_or(now, |newest| newest.time.max(now)),
                content: content.clone(),
            },
            expected: newest.map_or(0, |newest| newest.sequence),
        }
    }

    /// Takes note of a change that stands in the log at `sequence`; one already known is ignored.
    ///
    /// `declared_by` is the document's own kind and name, read by the dialect.
    pub fn logged(&mut self, sequence: u64, change: &Change, declared_by: Option<String>) {
        let receipt = Receipt {
            object: change.object.clone(),
            revision: change.revision,
            sequence,
        };
        self.answered
            .entry(origin_digest(&change.origin))
            .or_insert(receipt);
        let known = self.objects.get(&change.object);
        // One that skips revisions, found where an append failed, waits for the log to tell those between: one of them may be the very
        // submission that is to be decided about.
        let follows = change.revision == known.map_or(0, |newest| newest.revision) + 1;
        if !follows || known.is_some_and(|newest| newest.sequence >= sequence) {
            return;
        }
        let before = self.objects.remove(&change.object);
        let hub = HubOrigin::of(&change.origin);
        let hub = hub.or_else(|| before.as_ref().and_then(|newest| newest.hub.clone()));
        self.objects.insert(
            change.object.clone(),
            Newest {
                revision: change.revision,
                sequence,
                content_digest: change.content.digest(),
                withdrawn: matches!(change.content, Content::Withdrawn { .. }),
                declared_by: declared_by.or_else(|| before.and_then(|newest| newest.declared_by)),
                time: change.time,
                hub,
            },
        );
    }
}

impl Newest {
    fn receipt(&self, object: &ObjectKey) -> Receipt {
        Receipt {
            object: object.clone(),
            revision: self.revision,
            sequence: self.sequence,
        }
    }

    /// Whether the same hub's object was in a newer state when it was taken in: whoever hands in this one was not up to date.
    fn is_ahead_of(&self, origin: &Origin) -> bool {
        let older = HubOrigin::of(origin);
        older
            .zip(self.hub.as_ref())
            .is_some_and(|(older, newer)| older.is_older_than(newer))
    }
}

/// The refusal of a withdrawal of what is not known.
pub fn never_declared(object: &ObjectKey) -> Refusal {
    Refusal::new("", format!("{object} was never declared"))
}

fn origin_digest(origin: &Origin) -> String {
    digest::short(format!("{}\n{}", origin.source, origin.id).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;
    use crate::model::Dialect;

    fn declared(id: &str, text: &str) -> Submission {
        Submission {
            object: "Secret/shop/db".parse().expect("valid"),
            origin: Origin {
                source: "test".into(),
                id: id.into(),
            },
            content: Content::Declared {
                dialect: Dialect::Native,
                document: Document::from_bytes(text.as_bytes().to_vec()),
            },
            declared_by: Some("FederatedObject/shop/db".into()),
            anew: false,
        }
    }

    fn withdrawn(id: &str) -> Submission {
        Submission {
            content: Content::withdrawn(false),
            declared_by: None,
            ..declared(id, "")
        }
    }

    /// Submits and stores at `sequence`; the revision, or what else was decided.
    fn hand_in(intake: &mut Intake, submission: &Submission, sequence: u64) -> Result<u64, String> {
        match intake.submit(submission, Time(i64::try_from(sequence).expect("small"))) {
            Verdict::Refused(refusal) => Err(refusal.to_string()),
            Verdict::Known(receipt) => {
                Err(format!("known {}@{}", receipt.revision, receipt.sequence))
            }
            Verdict::Append { change, .. } => {
                intake.logged(sequence, &change, submission.declared_by.clone());
                Ok(change.revision)
            }
        }
    }

    #[test]
    fn revisions_are_consecutive_also_across_withdrawal() {
        let mut intake = Intake::default();
        assert_eq!(hand_in(&mut intake, &declared("1", "a"), 10), Ok(1));
        assert_eq!(hand_in(&mut intake, &declared("2", "b"), 11), Ok(2));
        assert_eq!(hand_in(&mut intake, &withdrawn("3"), 12), Ok(3));
        assert_eq!(hand_in(&mut intake, &declared("4", "b"), 13), Ok(4));
    }

    #[test]
    fn a_repeat_gets_the_first_answer_however_old() {
        let mut intake = Intake::default();
        for (sequence, id) in [(10, "1"), (11, "2"), (12, "3")] {
            hand_in(&mut intake, &declared(id, id), sequence).expect("new");
        }
        assert_eq!(
            hand_in(&mut intake, &declared("1", "1"), 13),
            Err("known 1@10".into())
        );
        assert_eq!(
            hand_in(&mut intake, &declared("9", "3"), 13),
            Err("known 3@12".into()),
            "equals the newest revision"
        );
        assert_eq!(
            hand_in(&mut intake, &declared("9", "1"), 13),
            Ok(4),
            "an older one is a new change"
        );
    }

    #[test]
    fn what_is_handed_in_anew_is_a_change_though_it_says_the_same_and_once() {
        let mut intake = Intake::default();
        hand_in(&mut intake, &declared("1", "a"), 10).expect("new");
        let anew = Submission {
            anew: true,
            ..declared("2", "a")
        };
        assert_eq!(hand_in(&mut intake, &anew, 11), Ok(2));
        assert_eq!(hand_in(&mut intake, &anew, 12), Err("known 2@11".into()));
    }

    #[test]
    fn what_cannot_be_taken_in_is_refused() {
        let mut intake = Intake::default();
        assert_eq!(
            hand_in(&mut intake, &withdrawn("1"), 10),
            Err("Secret/shop/db was never declared".into())
        );
        hand_in(&mut intake, &declared("2", "a"), 10).expect("new");
        let second = Submission {
            declared_by: Some("FederatedSecret/shop/db".into()),
            ..declared("3", "b")
        };
        let refusal = hand_in(&mut intake, &second, 11).expect_err("refused");
        assert!(
            refusal.contains("already declared by FederatedObject/shop/db"),
            "{refusal}"
        );
        hand_in(&mut intake, &withdrawn("4"), 12).expect("new");
        assert_eq!(
            hand_in(&mut intake, &second, 13),
            Ok(3),
            "after a withdrawal another source may take over"
        );
    }

    #[test]
    fn a_change_that_skips_revisions_hides_no_repeat() {
        let mut elsewhere = Intake::default();
        let mut log = Vec::new();
        for (sequence, id) in [(10, "1"), (11, "2")] {
            let submission = declared(id, id);
            let Verdict::Append { change, .. } = elsewhere.submit(&submission, Time(0)) else {
                panic!("appended");
            };
            elsewhere.logged(sequence, &change, submission.declared_by.clone());
            log.push((sequence, change));
        }
        let mut late = Intake::default();
        late.logged(11, &log[1].1, None);
        let Verdict::Append { expected, .. } = late.submit(&declared("1", "1"), Time(0)) else {
            panic!("the append fails once more");
        };
        assert_eq!(expected, 0, "what lies between is not known");
        for (sequence, change) in &log {
            late.logged(*sequence, change, None);
        }
        assert_eq!(
            hand_in(&mut late, &declared("1", "1"), 12),
            Err("known 1@10".into())
        );
    }

    #[test]
    fn an_older_state_of_a_hubs_object_never_comes_after_a_newer_one() {
        let mut intake = Intake::default();
        let state = |hub: &str, version: u64, text: &str| Submission {
            origin: HubOrigin {
                hub: hub.into(),
                uid: "u".into(),
                version,
                generation: 0,
            }
            .declared(),
            ..declared("", text)
        };
        assert_eq!(hand_in(&mut intake, &state("h", 10, "a"), 1), Ok(1));
        assert_eq!(hand_in(&mut intake, &state("h", 30, "c"), 2), Ok(2));
        let late = state("h", 20, "b");
        assert_eq!(hand_in(&mut intake, &late, 3), Err("known 2@2".into()));
        assert_eq!(hand_in(&mut intake, &declared("cli", "x"), 3), Ok(3));
        assert_eq!(hand_in(&mut intake, &late, 4), Err("known 3@3".into()));
        let withdrawal = Submission {
            content: Content::withdrawn(false),
            ..late.clone()
        };
        let refusal = hand_in(&mut intake, &withdrawal, 4).expect_err("refused");
        assert!(refusal.contains("newer state"), "{refusal}");
        let settled = Submission { anew: true, ..late };
        assert_eq!(hand_in(&mut intake, &settled, 4), Ok(4), "a person says so");
        assert_eq!(hand_in(&mut intake, &state("h", 25, "d"), 5), Ok(5));
        assert_eq!(
            hand_in(&mut intake, &state("other", 1, "e"), 6),
            Ok(6),
            "versions of two hubs say nothing about each other"
        );
    }

    #[test]
    fn the_append_expects_what_was_last_known() {
        let mut intake = Intake::default();
        let mut expected_at = |id: &str, sequence| {
            let submission = declared(id, id);
            let Verdict::Append { change, expected } = intake.submit(&submission, Time(0)) else {
                panic!("appended");
            };
            intake.logged(sequence, &change, None);
            expected
        };
        assert_eq!(expected_at("1", 10), 0);
        assert_eq!(expected_at("2", 20), 10);
    }

    #[test]
    fn time_never_goes_back() {
        let mut intake = Intake::default();
        hand_in(&mut intake, &declared("1", "a"), 100).expect("new");
        let Verdict::Append { change, .. } = intake.submit(&declared("2", "b"), Time(50)) else {
            panic!("appended");
        };
        assert_eq!(change.time, Time(100));
    }
}
