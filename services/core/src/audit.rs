//! Reads a log from its beginning and names what cannot be as it was written: what is missing, twice, or linked to nothing.
//!
//! Whether an event's id fits its content is checked where messages are read; here it is checked that the events fit together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::decision::Decision;
use crate::epoch::Epoch;
use crate::log::{Entry, Event};
use crate::model::ObjectKey;
use crate::time::Time;

/// Something that cannot be as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The place in the log.
    pub sequence: u64,
    /// The object that it is about; none where it is about none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
    /// What is wrong.
    pub message: String,
}

/// A log as far as it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    last: u64,
    time: Time,
    epoch: Option<Epoch>,
    objects: BTreeMap<ObjectKey, Known>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    revision: u64,
    change_sequence: u64,
    change_id: String,
    decision: u64,
}

impl Audit {
    /// The place of the last event.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The newest revision of every object and policy.
    pub fn revisions(&self) -> impl Iterator<Item = (&ObjectKey, u64)> {
        let revisions = self.objects.iter();
        revisions.map(|(object, known)| (object, known.revision))
    }

    /// A message stands at `sequence`, readable or not: what is missing before it.
    pub fn met(&mut self, sequence: u64) -> Option<Finding> {
        let missing = (self.last + 1, sequence.saturating_sub(1));
        self.last = sequence;
        let message = match missing {
            (first, last) if first > last => return None,
            (first, last) if first == last => "the event is missing".to_owned(),
            (_, last) => format!("the events up to {last} are missing"),
        };
        Some(Finding {
            sequence: missing.0,
            object: None,
            message,
        })
    }

    /// Takes the next event that can be read, after [`Audit::met`].
    pub fn logged(&mut self, entry: &Entry) -> Vec<Finding> {
        let mut found = Vec::new();
        let object = match &entry.event {
            Event::Change(change) | Event::Policy(change) => {
                self.changed(entry, change, &mut found);
                self.aged(change.time, &mut found);
                Some(&change.object)
            }
            Event::Decision(decision) => {
                self.decided(decision, &mut found);
                self.aged(decision.time, &mut found);
                Some(&decision.object)
            }
            Event::Cluster(event) => {
                self.aged(event.time, &mut found);
                None
            }
            Event::Epoch(beginning) => {
                if let Some(known) = &self.epoch
                    && beginning.epoch.number <= known.number
                {
                    found.push(format!("epoch {} follows epoch {known}", beginning.epoch));
                }
                self.epoch = Some(beginning.epoch.clone());
                None
            }
        };
        let finding = |message| Finding {
            sequence: entry.sequence,
            object: object.cloned(),
            message,
        };
        found.into_iter().map(finding).collect()
    }

    fn aged(&mut self, time: Time, found: &mut Vec<String>) {
        if time < self.time {
            found.push("its time lies before that of the event before it".to_owned());
        }
        self.time = self.time.max(time);
    }

    fn changed(&mut self, entry: &Entry, change: &Change, found: &mut Vec<String>) {
        let known = self.objects.entry(change.object.clone()).or_default();
        if change.revision != known.revision + 1 {
            found.push(format!(
                "revision {} follows revision {}",
                change.revision, known.revision
            ));
        }
        known.revision = change.revision;
        known.change_sequence = entry.sequence;
        known.change_id.clone_from(&entry.id);
    }

    fn decided(&mut self, decision: &Decision, found: &mut Vec<String>) {
        let known = self.objects.entry(decision.object.clone()).or_default();
        if decision.number != known.decision + 1 {
            found.push(format!(
                "decision {} follows decision {}",
                decision.number, known.decision
            ));
        }
        known.decision = decision.number;
        if decision.revision > known.revision {
            found.push(format!(
                "it carries out revision {}, and revision {} is the newest",
                decision.revision, known.revision
            ));
        }
        let inputs = &decision.body.inputs;
        if inputs.change_sequence == known.change_sequence
            && (decision.correlation != known.change_id || decision.revision != known.revision)
        {
            found.push(format!(
                "it says that it carries out revision {} with id {}, and at {} stands revision {} with id {}",
                decision.revision,
                decision.correlation,
                known.change_sequence,
                known.revision,
                known.change_id
            ));
        }
        if self.epoch.as_ref() != Some(&decision.epoch) {
            found.push(format!(
                "it is of epoch {}, which did not begin",
                decision.epoch
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Content, Origin};
    use crate::decision::{Body, Inputs};
    use crate::epoch::Beginning;

    fn object() -> ObjectKey {
        "ConfigMap/shop/web".parse().expect("valid")
    }

    fn epoch(number: u64) -> Epoch {
        Epoch {
            number,
            hub: "hub".to_owned(),
        }
    }

    fn change(revision: u64, time: i64) -> Event {
        Event::Change(Change {
            object: object(),
            revision,
            origin: Origin {
                source: "test".to_owned(),
                id: revision.to_string(),
            },
            time: Time(time),
            content: Content::withdrawn(false),
        })
    }

    fn decision(number: u64, revision: u64, change_sequence: u64, time: i64, id: &str) -> Event {
        Event::Decision(Decision {
            object: object(),
            number,
            revision,
            epoch: epoch(1),
            term: 1,
            time: Time(time),
            causation: String::new(),
            correlation: id.to_owned(),
            body: Body {
                inputs: Inputs {
                    change_sequence,
                    ..Inputs::default()
                },
                ..Body::default()
            },
        })
    }

    /// `sequence: message`, a line each.
    fn audit(events: &[(u64, Event)]) -> Vec<String> {
        let mut audit = Audit::default();
        let mut found = Vec::new();
        for (sequence, event) in events {
            let entry = Entry {
                sequence: *sequence,
                id: format!("event-{sequence}"),
                event: event.clone(),
            };
            found.extend(audit.met(*sequence));
            found.extend(audit.logged(&entry));
        }
        let tell = |finding: &Finding| format!("{}: {}", finding.sequence, finding.message);
        found.iter().map(tell).collect()
    }

    #[test]
    fn what_cannot_be_as_it_was_written_is_named_by_sequence() {
        let begin = |number| {
            Event::Epoch(Beginning {
                epoch: epoch(number),
                partitions: 1,
            })
        };
        let good = [
            (1, begin(1)),
            (2, change(1, 10)),
            (3, decision(1, 1, 2, 11, "event-2")),
            (4, change(2, 12)),
            (5, decision(2, 2, 4, 12, "event-4")),
        ];
        assert_eq!(audit(&good), [""; 0]);
        let with = |at: usize, sequence, event| {
            let mut log = good.to_vec();
            log[at] = (sequence, event);
            audit(&log)
        };
        let without = |at: usize| {
            let mut log = good.to_vec();
            log.remove(at);
            audit(&log)
        };
        for (found, expected) in [
            (
                without(0),
                &[
                    "1: the event is missing",
                    "3: it is of epoch 1.hub, which did not begin",
                    "5: it is of epoch 1.hub, which did not begin",
                ][..],
            ),
            (
                without(1),
                &[
                    "2: the event is missing",
                    "3: it carries out revision 1, and revision 0 is the newest",
                    "4: revision 2 follows revision 0",
                ],
            ),
            (
                without(2),
                &[
                    "3: the event is missing",
                    "5: decision 2 follows decision 0",
                ],
            ),
            (
                with(3, 4, change(3, 12)),
                &[
                    "4: revision 3 follows revision 1",
                    "5: it says that it carries out revision 2 with id event-4, and at 4 stands revision 3 with id event-4",
                ],
            ),
            (
                with(3, 4, change(2, 9)),
                &["4: its time lies before that of the event before it"],
            ),
            (
                with(4, 5, decision(2, 2, 4, 12, "event-2")),
                &[
                    "5: it says that it carries out revision 2 with id event-2, and at 4 stands revision 2 with id event-4",
                ],
            ),
            (
                with(4, 5, begin(1)),
                &["5: epoch 1.hub follows epoch 1.hub"],
            ),
            (with(4, 9, begin(2)), &["5: the events up to 8 are missing"]),
        ] {
            assert_eq!(found, expected);
        }
    }
}
