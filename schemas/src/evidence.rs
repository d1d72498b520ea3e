//! Whether the ids of an event of the log fit its content: an event that was changed behind our back gives itself away.

use fleetcast_core::decision;
use fleetcast_core::digest;
use fleetcast_core::log::{Entry, Event};

use crate::Message;
use crate::envelope::{DIGEST, ID, MSG_ID};

/// What does not fit between the ids of `message` and what `entry`, read from it, says; nothing where all fits.
///
/// Ids that a publisher gave follow from nothing; the digest of the content beside them does.
pub fn contradictions(message: &Message, entry: &Entry) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |name: &'static str, expected: &str| {
        let given = message.headers.get(name).unwrap_or("none");
        if given != expected {
            found.push(format!(
                "{name} is {given}, and the content asks for {expected}"
            ));
        }
    };
    match &entry.event {
        Event::Change(change) | Event::Policy(change) => {
            let digest = change.content.digest();
            let kind = match entry.event {
                Event::Policy(_) => "policy",
                _ => "change",
            };
            expect(DIGEST, &digest);
            expect(
                MSG_ID,
                &format!(
                    "{kind} {} {} {digest}",
                    change.object.digest(),
                    change.revision
                ),
            );
        }
        Event::Decision(decision) => {
            let id = decision::id(&decision.object, &decision.epoch, decision.number);
            expect(ID, &id);
            expect(
                MSG_ID,
                &format!(
                    "decision {} {} {}",
                    decision.object.digest(),
                    decision.number,
                    digest::short(&message.payload)
                ),
            );
        }
        Event::Cluster(event) => {
            let content = format!(
                "cluster {} {} {}",
                event.cluster,
                event.time.0,
                digest::of_bytes(&message.payload)
            );
            expect(ID, &digest::short(content.as_bytes()));
        }
        Event::Epoch(beginning) => {
            let content = format!("epoch {}", beginning.epoch);
            expect(ID, &digest::short(content.as_bytes()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event;
    use fleetcast_core::change::{Change, Content, Origin};
    use fleetcast_core::document::Document;
    use fleetcast_core::epoch::{Beginning, Epoch};
    use fleetcast_core::log::{ClusterEvent, ClusterNews};
    use fleetcast_core::model::{ClusterName, Dialect};
    use fleetcast_core::time::Time;
    use serde_json::json;

    fn read(message: &Message) -> Vec<String> {
        let entry = event::log_entry(message, 1).expect("it can be read");
        contradictions(message, &entry)
    }

    #[test]
    fn a_changed_event_contradicts_its_ids() {
        let change = |text: &str| {
            event::change(&Change {
                object: "ConfigMap/shop/web".parse().expect("valid"),
                revision: 1,
                origin: Origin {
                    source: "test".to_owned(),
                    id: "1".to_owned(),
                },
                time: Time(1),
                content: Content::Declared {
                    dialect: Dialect::Native,
                    document: Document::from_value(&json!({"text": text})),
                },
            })
        };
        let cluster = |time| {
            event::cluster(&ClusterEvent {
                cluster: ClusterName::parse("eu-1").expect("valid"),
                time: Time(time),
                news: ClusterNews::READY,
            })
        };
        let epoch = |number| {
            let epoch = Epoch {
                number,
                hub: "hub".to_owned(),
            };
            let beginning = Beginning {
                epoch,
                partitions: 1,
            };
            event::epoch_begins(&beginning, Time(1))
        };
        for (good, other) in [
            (change("one"), change("two")),
            (cluster(1), {
                let mut other = cluster(1);
                let registered = fleetcast_core::model::Cluster::named(
                    ClusterName::parse("eu-1").expect("valid"),
                );
                let news = ClusterNews::Registered(Box::new(registered));
                other.payload = crate::codec::encode(&news, &mut other.headers);
                other
            }),
            (epoch(1), epoch(2)),
        ] {
            assert_eq!(read(&good), [""; 0]);
            let tampered = Message {
                payload: other.payload,
                ..good.clone()
            };
            assert!(!read(&tampered).is_empty(), "{good:?}");
        }
    }
}
