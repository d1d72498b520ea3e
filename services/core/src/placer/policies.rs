//! The policies in the log: what they are now, and which objects one of them concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cause::Cause;
use super::{Object, Parsed, Placer};
use crate::change::{Change, Content};
use crate::decision::PolicyUsed;
use crate::dialect::karmada::live::{self, Concern, Plain};
use crate::dialect::karmada::{Member, ReadYaml, Set};
use crate::dialect::kubefed::preference::Preference;
use crate::document::Document;
use crate::log::Entry;
use crate::model::{Cluster, ClusterName, Dialect, FederatedObject, ObjectKey};
use crate::time::Time;

/// The policies in the log, and what is made of them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Policies {
    known: BTreeMap<ObjectKey, Policy>,
    #[serde(skip)]
    read_yaml: Option<ReadYaml>,
    #[serde(skip)]
    set: Option<Arc<Set>>,
    #[serde(skip)]
    members: Option<Arc<BTreeMap<ClusterName, Member>>>,
}

/// The newest of one policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Policy {
    revision: u64,
    /// Its newest event's.
    sequence: u64,
    /// Since when it is there: its first revision after the last withdrawal.
    born: Time,
    /// The document that declared it last, also after a withdrawal.
    document: Document,
    withdrawn: bool,
}

impl Policies {
    /// Takes note of a policy's newest change.
    fn take(&mut self, change: &Change, sequence: u64) {
        self.set = None;
        match &change.content {
            Content::Declared {
                dialect: _,
                document,
            } => {
                let before = self.known.get(&change.object);
                let born = before
                    .filter(|known| !known.withdrawn)
                    .map_or(change.time, |known| known.born);
                self.known.insert(
                    change.object.clone(),
                    Policy {
                        revision: change.revision,
                        sequence,
                        born,
                        document: document.clone(),
                        withdrawn: false,
                    },
                );
            }
            Content::Withdrawn {
                orphan: _,
                together: _,
            } => {
                if let Some(known) = self.known.get_mut(&change.object) {
                    known.withdrawn = true;
                    known.revision = change.revision;
                    known.sequence = sequence;
                }
            }
        }
    }

    /// Karmada's policies as they are now.
    pub(super) fn set(&mut self) -> Arc<Set> {
        if let Some(set) = &self.set {
            return set.clone();
        }
        let known = self.known.iter().filter(|(_, known)| !known.withdrawn);
        let known = known.map(|(key, policy)| (key, &policy.document, policy.born));
        let set = Arc::new(Set::of_log(self.read_yaml, known));
        self.set = Some(set.clone());
        set
    }

    /// The clusters as Karmada's scheduler sees them.
    pub(super) fn members(
        &mut self,
        clusters: &BTreeMap<ClusterName, Cluster>,
    ) -> Arc<BTreeMap<ClusterName, Member>> {
        let members = self.members.get_or_insert_with(|| {
            let member = |(name, cluster): (&ClusterName, &Cluster)| {
                (name.clone(), Member::from_cluster(cluster))
            };
            Arc::new(clusters.iter().map(member).collect())
        });
        members.clone()
    }

    /// A cluster is not what it was.
    pub(super) fn forget_members(&mut self) {
        self.members = None;
    }

    /// The revisions of the policies `keys`.
    pub(super) fn used(&self, keys: &[ObjectKey]) -> Vec<PolicyUsed> {
        let used = |key: &ObjectKey| {
            Some(PolicyUsed {
                policy: key.clone(),
                revision: self.known.get(key)?.revision,
            })
        };
        keys.iter().filter_map(used).collect()
    }

    /// The preference that schedules `object`, whose newest change stands at `changed`. One that was withdrawn leaves what it wrote until the
    /// object itself changes, as with KubeFed.
    pub(super) fn preference_of(
        &self,
        object: &FederatedObject,
        changed: u64,
    ) -> Option<(PolicyUsed, Preference)> {
        let target = &object.target;
        let namespace = target
            .namespace()
            .filter(|_| object.dialect == Dialect::Kubefed && target.group() == "apps")?;
        let key = preference_key(namespace, target.name())?;
        let known = self.known.get(&key)?;
        if known.withdrawn && known.sequence <= changed {
            return None;
        }
        let preference = Preference::read(&known.document.value().ok()?).ok()?;
        let is_its = preference.target_kind == format!("Federated{}", target.kind());
        let used = PolicyUsed {
            policy: key,
            revision: known.revision,
        };
        is_its.then_some((used, preference))
    }

    /// What the policy `key` concerns; none where it is withdrawn or no policy of Karmada's.
    fn concern(&self, key: &ObjectKey) -> Option<Concern> {
        let known = self.known.get(key).filter(|known| !known.withdrawn)?;
        Concern::of(&known.document.value().ok()?)
    }

    /// What the policies concern that wait for the override policy `key`.
    fn waiting_for(&self, key: &ObjectKey) -> Vec<Concern> {
        if !key.kind().ends_with("OverridePolicy") {
            return Vec::new();
        }
        let concerns = self.known.keys().filter_map(|other| self.concern(other));
        concerns.filter(|concern| concern.waits_for(key)).collect()
    }

    /// Whether a plain object does not move for a cluster where it is not: Karmada divides anew only after a change of its own.
    pub(super) fn rests(&mut self, key: &ObjectKey, object: &mut Object) -> bool {
        let Some(Parsed::Plain(document)) = object.parse() else {
            return false;
        };
        let held = object.standings.replicas();
        let plain = Plain {
            key,
            document: &document,
            created: &object.born.rfc3339(),
            held: &held,
            available: &BTreeMap::new(),
        };
        live::rests(&self.set(), &plain)
    }
}

impl Placer {
    /// Reads YAML inside strings (Karmada's `fieldOverrider.yaml`) with `read_yaml`: the edge has the parser, the core has none.
    pub fn read_yaml_with(&mut self, read_yaml: ReadYaml) {
        self.policies.read_yaml = Some(read_yaml);
        self.policies.set = None;
    }

    /// Marks the objects dirty that a policy concerns, as it was or as it is, and no others.
    pub(super) fn policy_changed(&mut self, entry: &Entry, change: &Change) {
        if self.confirmed(entry, change) {
            return;
        }
        self.bulk.caused(entry, Cause::policy(change));
        let key = &change.object;
        let mut concerns: Vec<Concern> = self.policies.concern(key).into_iter().collect();
        self.policies.take(change, entry.sequence);
        concerns.extend(self.policies.concern(key));
        concerns.extend(self.policies.waiting_for(key));
        let mut concerned = Vec::new();
        if !concerns.is_empty() {
            for (key, object) in &mut self.objects {
                if object.is_plain
                    && object.withdrawn.is_none()
                    && let Some(Parsed::Plain(document)) = object.parse()
                    && concerns
                        .iter()
                        .any(|concern| concern.includes(key, &document))
                {
                    concerned.push(key.clone());
                }
            }
        }
        // What a preference wrote stays when it is withdrawn.
        let is_preference = key.kind() == PREFERENCE;
        if let (true, Content::Declared { .. }, Some(namespace)) =
            (is_preference, &change.content, key.namespace())
        {
            for kind in ["Deployment", "ReplicaSet"] {
                concerned.extend(ObjectKey::new(kind, "apps", Some(namespace), key.name()).ok());
            }
        }
        for key in &concerned {
            self.look_again_because(key, entry);
        }
    }
}

const PREFERENCE: &str = "ReplicaSchedulingPreference";

fn preference_key(namespace: &str, name: &str) -> Option<ObjectKey> {
    ObjectKey::new(PREFERENCE, "scheduling.kubefed.io", Some(namespace), name).ok()
}
