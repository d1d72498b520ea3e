//! Which policy an object gets: the one that claimed it, else the namespace's policies before the cluster's, else none.
//!
//! Among the policies of a kind that match: the highest priority, then the selector that fits closest (name, labels, kind), then the
//! smallest name. A claim lasts as long as its policy matches, unless a policy with `preemption: Always` takes the object over. Claims
//! are read from Karmada's annotations on the object, and follow from the creation times where object and policies have them.

use super::policy::PropagationPolicy;
use super::resource::{Fit, Object, best_fit};
use super::set::Set;

/// A policy that matches an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Match<'a> {
    pub(super) policy: &'a PropagationPolicy,
    pub(super) fit: Fit,
}

impl Match<'_> {
    /// Whether it wins over `other` where nobody has claimed the object yet.
    fn beats(&self, other: &Self) -> bool {
        let rank = |m: &Self| (m.policy.namespace.is_some(), m.policy.priority, m.fit);
        rank(self) > rank(other)
            || (rank(self) == rank(other) && self.policy.name < other.policy.name)
    }

    /// Whether it takes the object over from `holder`: a PropagationPolicy from those of lower priority and from every
    /// ClusterPropagationPolicy, a ClusterPropagationPolicy from its like of lower priority.
    fn preempts(&self, holder: &Self) -> bool {
        self.policy.preempts
            && match (&self.policy.namespace, &holder.policy.namespace) {
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some(_), Some(_)) | (None, None) => self.policy.priority > holder.policy.priority,
            }
    }
}

/// The policy of `object`, if it has one.
pub(super) fn policy_for<'a>(set: &'a Set, object: &Object<'_>) -> Option<Match<'a>> {
    let matches: Vec<Match<'a>> = set
        .policies
        .iter()
        .filter(|policy| {
            policy.namespace.is_none() || policy.namespace.as_deref() == object.key.namespace()
        })
        .filter_map(|policy| best_fit(&policy.selectors, object).map(|fit| Match { policy, fit }))
        .collect();
    let holder = claimed(&matches, object).or_else(|| first_come(&matches, object))?;
    best(matches.iter().filter(|m| m.preempts(&holder))).or(Some(holder))
}

fn best<'a, 'm>(matches: impl Iterator<Item = &'m Match<'a>>) -> Option<Match<'a>>
where
    'a: 'm,
{
    matches
        .copied()
        .reduce(|best, next| if next.beats(&best) { next } else { best })
}

/// The match that Karmada's annotations on the object name.
fn claimed<'a>(matches: &[Match<'a>], object: &Object<'_>) -> Option<Match<'a>> {
    let annotation = |key: &str| object.annotations.get(key).map(String::as_str);
    let own = (
        annotation("propagationpolicy.karmada.io/namespace"),
        annotation("propagationpolicy.karmada.io/name"),
    );
    let cluster = annotation("clusterpropagationpolicy.karmada.io/name");
    matches.iter().copied().find(|m| match &m.policy.namespace {
        Some(namespace) => own == (Some(namespace.as_str()), Some(m.policy.name.as_str())),
        None => cluster == Some(m.policy.name.as_str()),
    })
}

/// The match that came first: the best of those that were there before the object, else the oldest; where the times are not known, the
/// best of all.
fn first_come<'a>(matches: &[Match<'a>], object: &Object<'_>) -> Option<Match<'a>> {
    let Some(born) = object.created else {
        return best(matches.iter());
    };
    let created = |m: &Match<'a>| m.policy.created.as_deref().unwrap_or_default();
    best(matches.iter().filter(|m| created(m) <= born)).or_else(|| {
        let oldest = matches.iter().map(created).min()?;
        best(matches.iter().filter(|m| created(m) == oldest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    /// `name`, `priority` and selector extras, and further members of the spec.
    fn policy(namespace: Option<&str>, name: &str, selector: Value, spec: Value) -> Value {
        let mut selected = json!({"apiVersion": "apps/v1", "kind": "Deployment"});
        let mut document = json!({
            "kind": if namespace.is_some() { "PropagationPolicy" } else { "ClusterPropagationPolicy" },
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": spec["created"]},
            "spec": spec,
        });
        for (key, value) in selector.as_object().into_iter().flatten() {
            selected[key] = value.clone();
        }
        document["spec"]["resourceSelectors"] = json!([selected]);
        document
    }

    fn winner(policies: &[Value], metadata: Value) -> Option<String> {
        let mut set = Set::default();
        for policy in policies {
            set.add_policy(policy).expect("valid");
        }
        let mut document = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {
            "name": "web", "namespace": "shop", "labels": {"app": "web"}}});
        for (key, value) in metadata.as_object().into_iter().flatten() {
            document["metadata"][key] = value.clone();
        }
        let object = Object::read(&document, &BTreeMap::new(), |_, _| false).expect("an object");
        policy_for(&set, &object).map(|m| m.policy.for_people())
    }

    const ALL: Value = Value::Null;

    #[test]
    fn namespace_then_priority_then_fit_then_name() {
        let by_name = || json!({"name": "web"});
        let by_labels = || json!({"labelSelector": {"matchLabels": {"app": "web"}}});
        for (what, policies, expected) in [
            ("none", vec![], None),
            (
                "of another namespace",
                vec![policy(Some("other"), "a", ALL, json!({}))],
                None,
            ),
            (
                "the namespace's before the cluster's, whatever the priority",
                vec![
                    policy(None, "a", by_name(), json!({"priority": 9})),
                    policy(Some("shop"), "b", ALL, json!({})),
                ],
                Some("PropagationPolicy shop/b"),
            ),
            (
                "priority before fit",
                vec![
                    policy(Some("shop"), "a", by_name(), json!({})),
                    policy(Some("shop"), "b", ALL, json!({"priority": 1})),
                ],
                Some("PropagationPolicy shop/b"),
            ),
            (
                "a name fits closer than labels",
                vec![
                    policy(Some("shop"), "a", by_labels(), json!({})),
                    policy(Some("shop"), "b", by_name(), json!({})),
                ],
                Some("PropagationPolicy shop/b"),
            ),
            (
                "labels fit closer than the kind",
                vec![
                    policy(None, "a", ALL, json!({})),
                    policy(None, "b", by_labels(), json!({})),
                ],
                Some("ClusterPropagationPolicy b"),
            ),
            (
                "the smallest name",
                vec![
                    policy(Some("shop"), "b", ALL, json!({})),
                    policy(Some("shop"), "a", ALL, json!({})),
                ],
                Some("PropagationPolicy shop/a"),
            ),
            (
                "a negative priority is lower than none",
                vec![
                    policy(Some("shop"), "a", ALL, json!({"priority": -1})),
                    policy(Some("shop"), "b", ALL, json!({})),
                ],
                Some("PropagationPolicy shop/b"),
            ),
        ] {
            assert_eq!(winner(&policies, json!({})).as_deref(), expected, "{what}");
        }
    }

    #[test]
    fn a_claim_lasts_unless_a_policy_preempts() {
        let claim = json!({"annotations": {"propagationpolicy.karmada.io/namespace": "shop", "propagationpolicy.karmada.io/name": "z"}});
        let cluster_claim =
            json!({"annotations": {"clusterpropagationpolicy.karmada.io/name": "z"}});
        let own = |name, spec| policy(Some("shop"), name, ALL, spec);
        let cluster = |name, spec| policy(None, name, ALL, spec);
        let always = |priority: i64| json!({"priority": priority, "preemption": "Always"});
        for (what, policies, claim, expected) in [
            (
                "it lasts",
                vec![own("a", json!({"priority": 5})), own("z", json!({}))],
                &claim,
                "PropagationPolicy shop/z",
            ),
            (
                "a policy that is gone holds nothing",
                vec![own("a", json!({}))],
                &claim,
                "PropagationPolicy shop/a",
            ),
            (
                "a higher priority preempts",
                vec![own("a", always(5)), own("z", json!({}))],
                &claim,
                "PropagationPolicy shop/a",
            ),
            (
                "an equal priority does not",
                vec![own("a", always(0)), own("z", json!({}))],
                &claim,
                "PropagationPolicy shop/z",
            ),
            (
                "the namespace's preempts every cluster's",
                vec![own("a", always(-1)), cluster("z", json!({"priority": 3}))],
                &cluster_claim,
                "PropagationPolicy shop/a",
            ),
            (
                "the cluster's does not preempt the namespace's",
                vec![cluster("a", always(9)), own("z", json!({}))],
                &claim,
                "PropagationPolicy shop/z",
            ),
            (
                "the cluster's preempts its like",
                vec![cluster("a", always(9)), cluster("z", json!({}))],
                &cluster_claim,
                "ClusterPropagationPolicy a",
            ),
        ] {
            assert_eq!(
                winner(&policies, claim.clone()).as_deref(),
                Some(expected),
                "{what}"
            );
        }
    }

    #[test]
    fn who_came_first_holds_where_the_times_are_known() {
        let at = |name, created: &str, priority: i64| {
            policy(
                Some("shop"),
                name,
                ALL,
                json!({"created": created, "priority": priority}),
            )
        };
        let policies = [
            at("early", "2024-01-02T00:00:00Z", 0),
            at("late", "2024-01-04T00:00:00Z", 7),
        ];
        for (born, expected) in [
            (json!(null), "late"),
            (json!("2024-01-01T00:00:00Z"), "early"),
            (json!("2024-01-03T00:00:00Z"), "early"),
            (json!("2024-01-05T00:00:00Z"), "late"),
        ] {
            assert_eq!(
                winner(&policies, json!({"creationTimestamp": born})),
                Some(format!("PropagationPolicy shop/{expected}")),
                "{born}"
            );
        }
    }
}
