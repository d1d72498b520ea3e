//! What the clusters hold of an object today, and how much more they could take.

use std::collections::BTreeMap;

use crate::model::object::ObjectQuery;
use crate::model::{ClusterName, ObjectKey};
use crate::report::Observed;

/// What is observed, by what it names.
#[derive(Default)]
pub(super) struct ObservedRows<'a> {
    /// Rows by the kind (in lower case, without its group) and the rest of what they name.
    rows: BTreeMap<(String, String), Vec<(ObjectQuery, &'a Observed)>>,
    /// What is known without rows: where it is placed with how many, and how many more clusters could take.
    known: BTreeMap<&'a ObjectKey, (&'a Numbers, &'a Numbers)>,
}

/// A number of replicas by cluster.
type Numbers = BTreeMap<ClusterName, i64>;

/// What is known of one object.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Where it was placed, with how many replicas.
    pub(super) held: BTreeMap<ClusterName, i64>,
    /// How many more replicas clusters could take; absent where no limit is known.
    pub(super) available: BTreeMap<ClusterName, i64>,
}

impl<'a> ObservedRows<'a> {
    /// Puts rows where they are found by what they name; rows that name no object concern none.
    pub(super) fn of(observed: &'a [Observed]) -> Self {
        let mut rows: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in observed {
            if let (Ok(query), Some((kind, rest))) =
                (row.object.parse(), row.object.split_once('/'))
            {
                let kind = kind.split_once('.').map_or(kind, |(kind, _)| kind);
                rows.entry((kind.to_ascii_lowercase(), rest.to_owned()))
                    .or_default()
                    .push((query, row));
            }
        }
        Self {
            rows,
            known: BTreeMap::new(),
        }
    }

    /// Takes note of where `object` was placed, with how many replicas, and how many more clusters could take.
    pub(super) fn hold(
        &mut self,
        object: &'a ObjectKey,
        held: &'a Numbers,
        available: &'a Numbers,
    ) {
        self.known.insert(object, (held, available));
    }

    /// What is known of one object.
    pub(super) fn known(&self, key: &ObjectKey) -> Known {
        if let Some((held, available)) = self.known.get(key) {
            return Known {
                held: (*held).clone(),
                available: (*available).clone(),
            };
        }
        let rest = match key.namespace() {
            Some(namespace) => format!("{namespace}/{}", key.name()),
            None => key.name().to_owned(),
        };
        let rows = self.rows.get(&(key.kind().to_ascii_lowercase(), rest));
        let mut known = Known::default();
        for (_, row) in rows
            .into_iter()
            .flatten()
            .filter(|(query, _)| query.matches(key))
        {
            if let Some(replicas) = row.replicas {
                known.held.insert(row.cluster.clone(), replicas.max(0));
            }
            if let Some(more) = row.available {
                known.available.insert(row.cluster.clone(), more);
            }
        }
        known
    }
}
