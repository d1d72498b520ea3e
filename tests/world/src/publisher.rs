//! Publishers: what they hand in, what they were answered, and what they repeat until they are.

use std::collections::BTreeMap;
use std::rc::Rc;

use fleetcast_core::Refusal;
use fleetcast_core::change::{Content, Origin};
use fleetcast_core::document::Document;
use fleetcast_core::intake::{Receipt, Submission};
use fleetcast_core::log::ClusterNews;
use fleetcast_core::model::{Cluster, ClusterName, Dialect, ObjectKey, Taint, TaintEffect};
use serde_json::{Value, json};

use super::chance::Salt;
use super::hub::declared_by;

/// The clusters of a fleet.
pub(super) const CLUSTERS: [&str; 5] = ["ap-1", "eu-1", "eu-2", "us-1", "us-2"];
/// How many objects a fleet has; the first are Namespaces, which go first and are removed last.
pub(super) const OBJECTS: usize = 20;
const NAMESPACES: usize = 3;

/// Something that was handed in.
pub(super) struct Wanted {
    pub(super) submission: Rc<Submission>,
    pub(super) receipts: Vec<Receipt>,
    pub(super) refused: Option<Refusal>,
    /// Whether it was answered out of a history that is lost.
    answered_before: bool,
}

impl Wanted {
    pub(super) fn is_answered(&self) -> bool {
        !self.receipts.is_empty() || self.refused.is_some() || self.answered_before
    }
}

/// Everybody who hands something in.
#[derive(Default)]
pub(super) struct Publishers {
    pub(super) wanted: BTreeMap<String, Wanted>,
}

impl Publishers {
    /// Takes an answer.
    pub(super) fn answered(&mut self, submission: &Submission, answer: Result<Receipt, Refusal>) {
        if let Some(wanted) = self.wanted.get_mut(&submission.origin.id) {
            match answer {
                Ok(receipt) => wanted.receipts.push(receipt),
                Err(refusal) => wanted.refused = Some(refusal),
            }
        }
    }

    /// A new submission from `salt`; none where that salt was used.
    pub(super) fn hand_in(&mut self, salt: u32) -> Option<Rc<Submission>> {
        let id = format!("{salt:08x}");
        if self.wanted.contains_key(&id) {
            return None;
        }
        let mut draw = Salt::new(salt);
        // Few objects are changed often, the others now and then.
        let number = if draw.one_in(2) {
            draw.below(5)
        } else {
            draw.below(OBJECTS)
        };
        let content = match draw.below(8) {
            0 => Content::withdrawn(false),
            1 => Content::withdrawn(true),
            _ => Content::Declared {
                dialect: Dialect::Native,
                document: Document::from_value(&document(number, &mut draw)),
            },
        };
        let submission = Rc::new(Submission {
            object: object(number),
            origin: Origin {
                source: "publisher".to_owned(),
                id: id.clone(),
            },
            declared_by: declared_by(&object(number), &content),
            anew: false,
            content,
        });
        self.wanted.insert(
            id,
            Wanted {
                submission: Rc::clone(&submission),
                receipts: Vec::new(),
                refused: None,
                answered_before: false,
            },
        );
        Some(submission)
    }

    /// The log falls back to its first `length` events: who was answered about a later one does not ask again.
    pub(super) fn lose_behind(&mut self, length: u64) {
        for wanted in self.wanted.values_mut() {
            let before = wanted.receipts.len();
            wanted.receipts.retain(|receipt| receipt.sequence <= length);
            wanted.answered_before |= wanted.receipts.len() < before;
        }
    }

    /// One of those that were handed in.
    pub(super) fn any(&self, salt: &mut Salt) -> Option<Rc<Submission>> {
        let index = salt.below(self.wanted.len());
        let wanted = self.wanted.values().nth(index)?;
        Some(Rc::clone(&wanted.submission))
    }

    /// Those that nobody answered.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Rc<Submission>> {
        self.wanted
            .values()
            .filter(|wanted| !wanted.is_answered())
            .map(|wanted| &wanted.submission)
    }
}

pub(super) fn cluster_name(number: usize) -> ClusterName {
    ClusterName::parse(CLUSTERS[number % CLUSTERS.len()]).expect("a valid name")
}

pub(super) fn object(number: usize) -> ObjectKey {
    let (kind, namespace) = if number < NAMESPACES {
        ("Namespace", None)
    } else {
        ("ConfigMap", Some("shop"))
    };
    ObjectKey::new(kind, "", namespace, &format!("o{number}")).expect("a valid key")
}

/// A document about an object: small, of every kind of placement, override and policy.
fn document(number: usize, draw: &mut Salt) -> Value {
    let value = draw.below(6).to_string();
    let template = if number < NAMESPACES {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"labels": {"v": value}}})
    } else {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"v": value}})
    };
    let mut names: Vec<&str> = CLUSTERS.into_iter().filter(|_| draw.one_in(2)).collect();
    if draw.one_in(8) {
        names.push("unknown-1");
    }
    let placement = match draw.below(6) {
        0 => json!({"clusterSelector": {}}),
        1 => json!({"clusterSelector": {"matchLabels": {"tier": "a"}}}),
        2 => json!({"clusterSelector": {}, "exclude": names}),
        3 => {
            json!({"clusterSelector": {}, "tolerations": [{"key": "gpu", "operator": "Exists"}]})
        }
        _ => json!({"clusters": names}),
    };
    let mut spec = json!({"template": template, "placement": placement});
    let path = if number < NAMESPACES {
        "/metadata/labels/v"
    } else {
        "/data/v"
    };
    // A copy that is kept while its cluster's labels change cannot be rendered again (docs/testing.md): what may be kept has no override
    // by label.
    let keeps = number.is_multiple_of(3);
    match draw.below(6) {
        0 => {
            spec["overrides"] = json!([{"clusters": [CLUSTERS[draw.below(5)]], "patches": [{"op": "replace", "path": path, "value": "x"}]}]);
        }
        1 if !keeps => {
            spec["overrides"] = json!([{"clusterSelector": {"matchLabels": {"tier": "a"}}, "patches": [{"op": "replace", "path": path, "value": "y"}]}]);
        }
        2 if keeps => {
            spec["overrides"] = json!([{"clusters": [CLUSTERS[draw.below(5)]], "patches": [{"op": "replace", "path": "/nothing", "value": "x"}]}]);
        }
        _ => {}
    }
    // Who may be taken over stays as it is: a policy that changes alone writes no work (docs/testing.md).
    if number % 5 == 4 {
        spec["apply"] = json!({"adopt": "always"});
    }
    match draw.below(8) {
        0 => spec["apply"]["onDelete"] = json!("orphan"),
        2 if keeps => spec["suspend"] = json!(true),
        _ => {}
    }
    let name = format!("o{number}");
    if number < NAMESPACES {
        return json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "ClusterFederatedObject", "metadata": {"name": name}, "spec": spec});
    }
    json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "shop"}, "spec": spec})
}

/// What becomes known about a cluster.
pub(super) fn cluster_news(salt: &mut Salt) -> (ClusterName, ClusterNews) {
    let name = cluster_name(salt.below(CLUSTERS.len()));
    let news = match salt.below(8) {
        0 => ClusterNews::Removed {},
        1 => ClusterNews::READY,
        2 => ClusterNews::Offline {},
        _ => ClusterNews::Registered(Box::new(registration(&name, salt))),
    };
    (name, news)
}

fn registration(name: &ClusterName, salt: &mut Salt) -> Cluster {
    let mut cluster = registered(name);
    if salt.one_in(2) {
        cluster.labels.insert("tier".to_owned(), "a".to_owned());
    }
    cluster.cordoned = salt.one_in(4);
    if salt.one_in(4) {
        cluster.taints.push(Taint {
            key: "gpu".to_owned(),
            value: String::new(),
            effect: if salt.one_in(2) {
                TaintEffect::NoExecute
            } else {
                TaintEffect::NoSchedule
            },
        });
    }
    cluster
}

/// A cluster as it joins.
pub(super) fn registered(name: &ClusterName) -> Cluster {
    let mut cluster = Cluster::named(name.clone());
    let tier = if name.as_str().starts_with("eu") {
        "a"
    } else {
        "b"
    };
    cluster.labels.insert("tier".to_owned(), tier.to_owned());
    cluster
}
