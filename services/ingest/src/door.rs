//! What is handed in on `fc.in.>`: from a message to something to take in, or to a refusal that names the field.

use fleetcast_core::Refusal;
use fleetcast_core::change::{Content, Origin};
use fleetcast_core::dialect::Submitted;
use fleetcast_core::dialect::karmada::live;
use fleetcast_core::document::Document;
use fleetcast_core::hub::logged;
use fleetcast_core::intake::Submission;
use fleetcast_core::log::ClusterNews;
use fleetcast_core::model::{ClusterName, Dialect, FederatedObject, ObjectKey};
use fleetcast_core::placement::Exclusion;
use fleetcast_core::placer::Placer;
use fleetcast_core::plan::Verdict;
use fleetcast_schemas::envelope::{ANEW, DATACONTENTTYPE, Headers, ID, SOURCE};
use fleetcast_schemas::request::{Warning, Withdrawal};
use fleetcast_schemas::subject::{self, Parsed};
use fleetcast_schemas::{Message, codec};
use fleetcast_sealing::{Keys, Sealing};
use serde_json::Value;
use uuid::Uuid;

use crate::cloud_event::CloudEvent;
use crate::documents::DOCUMENT_LIMIT;
use crate::state::document_name;

/// The longest name that a publisher may give itself or a change, bytes: it is kept for as long as the log.
const ORIGIN_LIMIT: usize = 512;

/// What was handed in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum HandedIn {
    /// A change of an object.
    Change {
        submission: Submission,
        /// What is to be planned for the answer's warnings.
        asked: Asked,
    },
    /// News about a cluster.
    Cluster {
        cluster: ClusterName,
        news: ClusterNews,
    },
}

/// What a change asks for, as far as warnings need it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    /// A federated object.
    Federated(Box<FederatedObject>),
    /// A plain object that policies place.
    Plain(Value),
    /// A policy, or a withdrawal: nobody is warned.
    Nothing,
}

/// Reads a message on `fc.in.>`.
///
/// # Errors
/// A refusal that names the field: a header, the subject, or a field of the document.
pub(crate) fn read(message: &Message, sealing: &Sealing) -> Result<HandedIn, Refusal> {
    match subject::parse(&message.subject) {
        Some(Parsed::Apply(target)) => read_apply(&target, message, sealing),
        Some(Parsed::Delete(target)) => read_delete(target, message),
        _ => Err(Refusal::new(
            "subject",
            format!(
                "{:?} is neither fc.in.apply.<object> nor fc.in.delete.<object>",
                message.subject
            ),
        )),
    }
}

fn read_apply(
    target: &ObjectKey,
    message: &Message,
    sealing: &Sealing,
) -> Result<HandedIn, Refusal> {
    let bytes = codec::decompress(&message.payload, &message.headers, DOCUMENT_LIMIT)
        .map_err(|error| Refusal::new("", error.to_string()))?;
    let value: Value = match message.headers.get(DATACONTENTTYPE).map(media_type) {
        None | Some(codec::JSON) => read_json(&bytes)?,
        Some(other) => {
            return Err(Refusal::new(
                DATACONTENTTYPE,
                format!("{other:?} is not taken here: send the document as application/json"),
            ));
        }
    };
    let (mut value, bytes, origin) = match CloudEvent::read(value)? {
        Ok(event) => {
            let bytes = serde_json::to_vec(&event.data);
            let bytes = bytes.expect("a JSON value has only string keys, so it always serializes");
            let origin = origin(Some(&event.source), Some(&event.id))?;
            (event.data, bytes, origin)
        }
        Err(document) => (document, bytes.into_owned(), origin_in(&message.headers)?),
    };
    // Before anything else looks at it: no refusal quotes a value that is to be sealed.
    let document = match sealing.seal(&mut value, target)? {
        true => Document::from_value(&value),
        false => Document::from_bytes(bytes),
    };
    let submitted = Submitted::read(&value)?;
    let found = match &submitted {
        Submitted::Plain(_) if live::may_be(&value, target) => target.clone(),
        submitted => submitted.key(),
    };
    if found != *target {
        return Err(Refusal::new(
            "subject",
            format!(
                "names {target}, the document is about {found}: publish it on {}",
                subject::apply(&found)
            ),
        ));
    }
    let (dialect, asked) = match submitted {
        Submitted::Cluster(mut cluster) => {
            cluster.declared_on = logged::on_hub(&origin, &value);
            if let Some(key) = &cluster.sealing_key
                && !Keys::is_public(key)
            {
                return Err(Refusal::new(
                    "spec.sealingKey",
                    "is no public xkey: its checksum is wrong",
                ));
            }
            return Ok(HandedIn::Cluster {
                cluster: cluster.name.clone(),
                news: ClusterNews::Registered(cluster),
            });
        }
        Submitted::Object(object) => (object.dialect, Asked::Federated(object)),
        Submitted::Plain(_) => (Dialect::Karmada, Asked::Plain(value.clone())),
        Submitted::Policy(dialect, _) => (dialect, Asked::Nothing),
    };
    Ok(HandedIn::Change {
        submission: Submission {
            object: found,
            origin,
            declared_by: Some(document_name(&value)),
            anew: message.headers.get(ANEW).is_some(),
            content: Content::Declared { dialect, document },
        },
        asked,
    })
}

fn read_delete(target: ObjectKey, message: &Message) -> Result<HandedIn, Refusal> {
    let withdrawal: Withdrawal = if message.payload.is_empty() {
        Withdrawal::default()
    } else {
        serde_json::from_slice(&message.payload)
            .map_err(|error| Refusal::new("", format!("the body is no withdrawal: {error}")))?
    };
    if let Some(together) = &withdrawal.together {
        together.check()?;
    }
    if (target.kind(), target.group()) == ("MemberCluster", "fleetcast.dev") {
        return Ok(HandedIn::Cluster {
            cluster: ClusterName::parse(target.name())?,
            news: ClusterNews::Removed {},
        });
    }
    Ok(HandedIn::Change {
        submission: Submission {
            origin: origin_in(&message.headers)?,
            object: target,
            declared_by: None,
            anew: message.headers.get(ANEW).is_some(),
            content: Content::Withdrawn {
                orphan: withdrawal.orphan,
                together: withdrawal.together,
            },
        },
        asked: Asked::Nothing,
    })
}

/// `application/json; charset=utf-8` without its parameters.
pub(crate) fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Reads a body that should be JSON.
pub(crate) fn read_json(bytes: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(bytes)
        .map_err(|error| Refusal::new("", format!("the body is no JSON: {error}")))
}

fn origin_in(headers: &Headers) -> Result<Origin, Refusal> {
    origin(headers.get(SOURCE), headers.get(ID))
}

/// Who handed it in, under which id. What comes without an id is a change of its own: an id made from the content would take the way back to an earlier
/// content for a repeat of that.
fn origin(source: Option<&str>, id: Option<&str>) -> Result<Origin, Refusal> {
    let text = |header: &'static str, value: Option<&str>| match value {
        None | Some("") => Ok(None),
        Some(value) if value.len() > ORIGIN_LIMIT => Err(Refusal::new(
            header,
            format!("is longer than {ORIGIN_LIMIT} bytes"),
        )),
        Some(value) => Ok(Some(value.to_owned())),
    };
    Ok(Origin {
        source: text(SOURCE, source)?.unwrap_or_else(|| "unknown".to_owned()),
        id: text(ID, id)?.unwrap_or_else(|| Uuid::now_v7().to_string()),
    })
}

/// The clusters that were asked for and will not get the object as things are, those with one reason together.
pub(crate) fn warnings(asked: &Asked, target: &ObjectKey, placer: &mut Placer) -> Vec<Warning> {
    let excluded: Vec<(ClusterName, Exclusion, Refusal)> = match asked {
        Asked::Nothing => Vec::new(),
        Asked::Federated(object) => {
            let verdicts = placer.plan(object).verdicts.into_iter();
            verdicts
                .filter_map(|(cluster, verdict)| match verdict {
                    Verdict::Excluded { reason, refusal } => Some((cluster, reason, refusal)),
                    Verdict::Assigned { .. } => None,
                })
                .collect()
        }
        Asked::Plain(document) => {
            let excluded = placer.plan_plain(target, document).excluded.into_iter();
            excluded
                .filter(|one| one.reason != Exclusion::NotSelected)
                .map(|one| {
                    let refusal = Refusal::new(one.field.unwrap_or_default(), one.message);
                    (one.cluster, one.reason, refusal)
                })
                .collect()
        }
    };
    let mut groups: Vec<Warning> = Vec::new();
    for (cluster, reason, Refusal { field, message }) in excluded {
        if reason == Exclusion::Excluded {
            continue;
        }
        let same = |group: &&mut Warning| {
            (group.reason, &group.field, &group.message) == (reason, &field, &message)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.join(cluster),
            None => groups.push(Warning {
                clusters: vec![cluster],
                count: 1,
                reason,
                field,
                message,
            }),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &Message) -> Result<HandedIn, Refusal> {
        super::read(message, &Sealing::Plain)
    }
    use serde_json::json;

    fn apply(target: &str, body: &[u8]) -> Message {
        Message {
            subject: subject::apply(&target.parse().expect("valid")),
            headers: Headers::default().with(SOURCE, "test").with(ID, "1"),
            payload: body.to_vec(),
        }
    }

    fn secret() -> Vec<u8> {
        json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"template": {"apiVersion": "v1", "kind": "Secret"}, "placement": {"clusters": ["eu"]}},
        })
        .to_string()
        .into_bytes()
    }

    #[test]
    fn the_subject_must_be_the_documents_own() {
        assert!(read(&apply("Secret/shop/db", &secret())).is_ok());
        let refusal = read(&apply("Secret/shop/other", &secret())).expect_err("refused");
        assert_eq!(refusal.field, "subject");
        assert!(
            refusal.message.contains("fc.in.apply.Secret._.shop.db"),
            "{refusal}"
        );
    }

    #[test]
    fn bytes_that_are_no_document_are_refused() {
        for (payload, content_type, field) in [
            (&b"not json"[..], None, ""),
            (b"\xff\xfe", None, ""),
            (b"[]", None, ""),
            (b"{}", Some("application/msgpack"), DATACONTENTTYPE),
        ] {
            let mut message = apply("Secret/shop/db", payload);
            if let Some(content_type) = content_type {
                message.headers.set(DATACONTENTTYPE, content_type);
            }
            assert_eq!(read(&message).expect_err("refused").field, field);
        }
        let mut long = apply("Secret/shop/db", &secret());
        long.headers.set(ID, "x".repeat(ORIGIN_LIMIT + 1));
        assert_eq!(read(&long).expect_err("refused").field, ID);
    }

    fn origin_of(message: &Message) -> Origin {
        match read(message).expect("valid") {
            HandedIn::Change { submission, .. } => submission.origin,
            HandedIn::Cluster { .. } => unreachable!("a Secret was handed in"),
        }
    }

    #[test]
    fn what_comes_without_an_id_repeats_nothing() {
        let mut message = apply("Secret/shop/db", &secret());
        message.headers.remove(ID);
        assert_ne!(origin_of(&message).id, origin_of(&message).id);
    }

    #[test]
    fn an_event_in_structured_mode_is_its_data_under_its_own_id() {
        let data: Value = serde_json::from_slice(&secret()).expect("JSON");
        let event = json!({"specversion": "1.0", "type": "shop.changed", "source": "/shop", "id": "e1", "data": data});
        let mut message = apply("Secret/shop/db", event.to_string().as_bytes());
        message.headers = Headers::default();
        let origin = origin_of(&message);
        assert_eq!(
            (origin.source.as_str(), origin.id.as_str()),
            ("/shop", "e1")
        );
        let HandedIn::Change { submission, .. } = read(&message).expect("valid") else {
            panic!("a change");
        };
        let Content::Declared { document, .. } = submission.content else {
            panic!("a declaration");
        };
        assert_eq!(document.value().expect("JSON"), data);
    }
}
