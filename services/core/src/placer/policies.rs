//! The policies in the log: what they are now, and which objects one of them concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Object, Parsed, Placer};
use crate::change::{Change, Content};
use crate::decision::{PolicyUsed, Standing, Standings};
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
            Content::Withdrawn { orphan: _ } => {
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
        let mut set = match self.read_yaml {
            Some(read_yaml) => Set::with_yaml(read_yaml),
            None => Set::default(),
        };
        for (key, policy) in self.known.iter().filter(|(_, known)| !known.withdrawn) {
            if let Ok(document) = policy.document.value()
                && Set::is_policy(&document)
                // It was read when it was taken in; what a later version cannot read any more selects nothing.
                && set.add_policy(&document).is_ok()
            {
                set.created(key, &rfc3339(policy.born));
            }
        }
        let set = Arc::new(set);
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
        let held = held(&object.standings);
        let plain = Plain {
            key,
            document: &document,
            created: &rfc3339(object.born),
            held: &held,
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

/// Where it is, with how many replicas: 0 for kinds without.
pub(super) fn held(standings: &Standings) -> BTreeMap<ClusterName, i64> {
    let held = standings.iter().filter_map(|(cluster, standing)| {
        let Standing::Assigned { replicas, .. } = standing else {
            return None;
        };
        Some((cluster.clone(), replicas.unwrap_or(0)))
    });
    held.collect()
}

/// A moment as Kubernetes writes creation times: RFC 3339 in UTC, to the second. The calendar is H. Hinnant's `civil_from_days`.
pub(super) fn rfc3339(time: Time) -> String {
    let seconds = time.0.div_euclid(1_000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_kubernetes_does() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_772_366_400, "2026-03-01T12:00:00Z"),
        ] {
            assert_eq!(rfc3339(Time(seconds * 1_000 + 7)), text);
        }
    }
}
