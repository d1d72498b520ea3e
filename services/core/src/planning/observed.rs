//! What clusters hold of an object, found by the object's name as a person would write it.

use std::collections::BTreeMap;

use crate::model::object::ObjectQuery;
use crate::model::{ClusterName, ObjectKey};
use crate::placement::Holding;
use crate::report::Observed;

/// Observed rows by what does not depend on how a kind is written: it in lower case, and what follows it.
#[derive(Debug, Default)]
pub struct ObservedIndex<'a> {
    rows: BTreeMap<(String, &'a str), Vec<(ObjectQuery, &'a Observed)>>,
}

impl<'a> ObservedIndex<'a> {
    /// Sorts `observed`; a row that names no object is never found.
    pub fn of(observed: &'a [Observed]) -> Self {
        let mut index = Self::default();
        for row in observed {
            if let (Ok(query), Some((kind, rest))) =
                (row.object.parse(), row.object.split_once('/'))
            {
                let kind = kind.split('.').next().unwrap_or_default();
                let place = (kind.to_ascii_lowercase(), rest);
                index.rows.entry(place).or_default().push((query, row));
            }
        }
        index
    }

    /// What each cluster holds of `object`: of several rows of one cluster the last.
    pub fn of_object(&self, object: &ObjectKey) -> BTreeMap<&'a ClusterName, Holding> {
        let text = object.to_string();
        let rest = text.split_once('/').map_or("", |(_, rest)| rest);
        let place = (object.kind().to_ascii_lowercase(), rest);
        let rows = self.rows.get(&place).into_iter().flatten();
        rows.filter(|(query, _)| query.matches(object))
            .map(|(_, row)| {
                let Observed {
                    object: _,
                    cluster,
                    replicas,
                    ready,
                    capacity,
                    available,
                } = row;
                let holding = Holding {
                    holds: replicas.is_some(),
                    replicas: *replicas,
                    ready: *ready,
                    capacity: *capacity,
                    available: *available,
                };
                (cluster, holding)
            })
            .collect()
    }
}
