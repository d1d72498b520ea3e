//! Removals that count together, and whether they are too many.

use std::collections::BTreeSet;

use super::super::along::namespace_of;
use super::super::announced::Announced;
use super::super::cause::Cause;
use super::super::copies::{Copies, Share};
use super::{Batch, Bulk, Survey};
use crate::model::{ClusterName, ObjectKey};
use crate::time::Time;

impl Bulk {
    /// What counts with removals for `cause`: what went lately, what waits for the same reason, and what is still to be decided for it. No copy is in two of them.
    pub(super) fn counted<'a>(&'a self, cause: &str) -> Counted<'a> {
        let batch = self.batch_of(cause).map(|(_, batch)| batch);
        let survey = self.survey.as_ref().and_then(|survey| survey.get(cause));
        Counted {
            bulk: self,
            batch,
            survey,
        }
    }

    /// Which limit is passed if `object` goes from `clusters` because of `cause`, and takes `along` with it.
    pub(super) fn passed(
        &self,
        object: &ObjectKey,
        clusters: &BTreeSet<ClusterName>,
        along: &Copies<Time>,
        cause: &Cause,
    ) -> Option<String> {
        let counted = self.counted(&cause.key);
        let placed = self.placed.as_ref()?;
        let (gone, limit) = (&self.gone, self.limit);
        let announced = cause.together.as_ref();
        let announced = announced.and_then(|key| self.announced.get(key));
        let to_come = announced.map_or(0, Announced::to_come);
        // It may be counted already, as what went with its namespace.
        let is_new = |cluster: &&ClusterName| !counted.holds(object, cluster);
        for cluster in clusters {
            let of = placed.in_cluster(cluster) + gone.in_cluster(cluster);
            let own = u64::from(is_new(&cluster));
            let known = counted.in_cluster(cluster) + along.in_cluster(cluster) + own;
            // What is to come may go from here, and no more than there is.
            let asked = known.saturating_add(to_come).min(of.max(known));
            if limit.is_passed(asked, asked, of) {
                return Some(format!("{asked} of {of} objects in cluster {cluster}"));
            }
        }
        let own = object.namespace().unwrap_or_default();
        let count = clusters.len() as u64;
        let here = Share {
            objects: u64::from(clusters.iter().all(|cluster| is_new(&cluster))),
            copies: clusters.iter().filter(is_new).count() as u64,
        };
        let to_come = announced.map_or(0, |announced| announced.to_come_in(own));
        let inside = namespace_of(object).map(|inside| (inside, along.in_namespace(inside), 0));
        let namespaces = [(own, here, to_come)].into_iter().chain(inside);
        for (namespace, goes, to_come) in namespaces {
            let there = gone.in_namespace(namespace) + placed.in_namespace(namespace);
            let known = counted.in_namespace(namespace) + goes;
            let objects = known
                .objects
                .saturating_add(to_come)
                .min(there.objects.max(known.objects));
            let asked = known.copies.saturating_add(to_come.saturating_mul(count));
            let (copies, of) = (asked.min(there.copies.max(known.copies)), there.copies);
            if limit.is_passed(objects, copies, of) {
                let place = match namespace {
                    "" => "without a namespace".to_owned(),
                    namespace => format!("in namespace {namespace}"),
                };
                return Some(format!(
                    "{copies} of {of} copies of objects {place}, {objects} objects"
                ));
            }
        }
        None
    }
}

/// Removals that count together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'a> {
    bulk: &'a Bulk,
    batch: Option<&'a Batch>,
    survey: Option<&'a Survey>,
}

impl Counted<'_> {
    fn in_cluster(self, cluster: &ClusterName) -> u64 {
        let Self {
            bulk,
            batch,
            survey,
        } = self;
        let mut all = bulk.gone.in_cluster(cluster) + bulk.along.in_cluster(cluster);
        if let Some(batch) = batch {
            all += batch.lately.in_cluster(cluster) + batch.along.in_cluster(cluster);
        }
        if let Some(survey) = survey {
            all += survey.copies.in_cluster(cluster) + survey.along.in_cluster(cluster);
        }
        all
    }

    fn in_namespace(self, namespace: &str) -> Share {
        let Self {
            bulk,
            batch,
            survey,
        } = self;
        let mut all = bulk.gone.in_namespace(namespace) + bulk.along.in_namespace(namespace);
        if let Some(batch) = batch {
            all = all + batch.lately.in_namespace(namespace) + batch.along.in_namespace(namespace);
        }
        if let Some(survey) = survey {
            all = all + survey.copies.in_namespace(namespace);
            all = all + survey.along.in_namespace(namespace);
        }
        all
    }

    /// Whether the copy of `object` in `cluster` is counted.
    pub(super) fn holds(self, object: &ObjectKey, cluster: &ClusterName) -> bool {
        let Self {
            bulk,
            batch,
            survey,
        } = self;
        bulk.gone.holds(object, cluster)
            || bulk.along.holds(object, cluster)
            || batch.is_some_and(|batch| {
                batch.lately.holds(object, cluster) || batch.along.holds(object, cluster)
            })
            || survey.is_some_and(|survey| {
                survey.copies.holds(object, cluster) || survey.along.holds(object, cluster)
            })
    }
}
