//! What the placer knows of the work streams: what stands there, what may be gone, what is to be written anew.

use super::{Found, Lane, Object, Placer};
use crate::decision::Standing;
use crate::model::{Cluster, ClusterName, ObjectKey};

impl Placer {
    /// Starts leading `partition` in `term`: `lane` is its stream as found, right behind the fence.
    ///
    /// A lane whose incarnation is new has all its work written again.
    pub fn take_over(&mut self, partition: u16, term: u64, lane: Lane) {
        self.term = self.term.max(term);
        self.leading = Some(term);
        self.looks_for_undue = true;
        let renewed = self
            .lanes
            .get(&partition)
            .is_none_or(|known| known.incarnation != lane.incarnation);
        self.lanes.insert(partition, lane);
        if renewed {
            self.forget_written(partition);
        }
    }

    /// Follows `partition` while somebody else leads it: `lane` is its stream from the beginning.
    pub fn follow(&mut self, partition: u16, lane: Lane) {
        self.lanes.insert(partition, lane);
        self.forget_written(partition);
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.rebuilding = false;
        }
    }

    /// The stream of `partition` was read up to `sequence`.
    pub fn reached(&mut self, partition: u16, sequence: u64) {
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.sequence = lane.sequence.max(sequence);
            lane.floor = lane.floor.max(sequence);
        }
    }

    /// Takes note of an item of work that stands in the stream of its partition, in the lane's incarnation.
    pub fn found(&mut self, object: &ObjectKey, cluster: &ClusterName, found: Found, n: u64) {
        let partition = self.partition(cluster);
        if let Some(lane) = self.lanes.get_mut(&partition) {
            let count = lane.counts.entry(cluster.clone()).or_default();
            *count = (*count).max(n);
        }
        // Work may be met before the log that asks for it.
        let known = self
            .objects
            .entry(object.clone())
            .or_insert_with(|| Object::new(""));
        known.written.insert(cluster.clone(), found);
        let key = (object.clone(), cluster.clone());
        if known.is_unwritten(cluster) || is_sealed_to_another(found, self.clusters.get(cluster)) {
            self.unwritten.insert(key);
        } else {
            self.unwritten.remove(&key);
        }
    }

    /// Work of `cluster` that is sealed to another key than it has now is written again.
    pub(super) fn seal_anew(&mut self, cluster: &ClusterName) {
        for (key, object) in &self.objects {
            let found = object.written.get(cluster);
            if found.is_some_and(|found| is_sealed_to_another(*found, self.clusters.get(cluster))) {
                self.unwritten.insert((key.clone(), cluster.clone()));
            }
        }
    }

    /// Stops leading after a write that failed: the stream is read again before the next [`Placer::take_over`].
    pub fn lose(&mut self) {
        self.leading = None;
        for object in std::mem::take(&mut self.deciding) {
            self.append_failed(&object);
        }
    }

    /// Only what stands up to `sequence` in the stream of `partition` is known to be stored: the rest is found or written again.
    pub fn rewind(&mut self, partition: u16, sequence: u64) {
        let partitions = self
            .beginning
            .as_ref()
            .map_or(1, |beginning| beginning.partitions);
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.sequence = lane.sequence.min(sequence);
        }
        for (key, object) in &mut self.objects {
            let lost = |cluster: &ClusterName, found: &Found| {
                super::partition(cluster, partitions) == partition && found.sequence > sequence
            };
            object
                .written
                .retain(|cluster, found| !lost(cluster, found));
            for (cluster, _) in object.standings.iter() {
                if object.is_unwritten(cluster) {
                    self.unwritten.insert((key.clone(), cluster.clone()));
                }
            }
        }
    }

    /// Forgets what was written to `partition`, so that all of it is found or written again.
    pub fn forget_written(&mut self, partition: u16) {
        let partitions = self
            .beginning
            .as_ref()
            .map_or(1, |beginning| beginning.partitions);
        let mine = |cluster: &ClusterName| super::partition(cluster, partitions) == partition;
        // What was to be taken away stood in the stream as it was: in this one its sequence is another message's.
        self.forget.retain(|(cluster, ..)| !mine(cluster));
        for (key, object) in &mut self.objects {
            object.written.retain(|cluster, _| !mine(cluster));
            for (cluster, _) in object.standings.iter() {
                if mine(cluster) && object.is_unwritten(cluster) {
                    self.unwritten.insert((key.clone(), cluster.clone()));
                }
            }
        }
        if let Some(lane) = self.lanes.get_mut(&partition) {
            lane.rebuilding = true;
        }
    }

    /// `decision` says nothing more of `object` in `clusters`, which left: their copies stay as they are, and what was written for them is taken away, so that an
    /// agent that comes back does not find what was decided before. What it is owed then follows from a later decision, and stands further behind.
    pub(super) fn let_go(&mut self, key: &ObjectKey, decision: u64, clusters: &[ClusterName]) {
        let Some(object) = self.objects.get_mut(key) else {
            return;
        };
        for cluster in clusters {
            let due = object.standings.get(cluster).and_then(Standing::due);
            if due.is_some() {
                continue;
            }
            self.unwritten.remove(&(key.clone(), cluster.clone()));
            // Work of a later decision may be met before the log.
            let written = object.written.get(cluster);
            if self.leading.is_some() && written.is_some_and(|found| found.decision < decision) {
                let found = object.written.remove(cluster);
                let found = found.map(|found| (cluster.clone(), key.clone(), found.sequence));
                self.forget.extend(found);
            }
        }
    }

    /// Takes away what nobody is owed any more: whoever led before may have ended between decision and deed.
    pub(super) fn withdraw_undue(&mut self) {
        for (key, object) in &mut self.objects {
            let standings = &object.standings;
            let newest = object.decision;
            object.written.retain(|cluster, found| {
                let due = standings.get(cluster).and_then(Standing::due);
                let stays = due.is_some() || found.decision > newest;
                if !stays {
                    self.forget
                        .push((cluster.clone(), key.clone(), found.sequence));
                }
                stays
            });
        }
    }
}

/// Whether values in an item of work are sealed to another key than its cluster has.
fn is_sealed_to_another(found: Found, cluster: Option<&Cluster>) -> bool {
    let key = cluster.and_then(|cluster| cluster.sealing_key.as_deref());
    found.key != 0 && key.is_some() && Found::key_of(key) != found.key
}
