//! `PropagationPolicy` and `ClusterPropagationPolicy`: which objects go where, read with the defaults and refusals of Karmada's webhook.

mod placement;

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;
use crate::model::ObjectKey;

use super::member::strings;
use super::resource::ResourceSelector;

pub(super) use placement::{Group, Placement, SpreadBy, SpreadConstraint, Strategy};

/// A propagation policy of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PropagationPolicy {
    /// The namespace of a PropagationPolicy; none for a ClusterPropagationPolicy.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) selectors: Vec<ResourceSelector>,
    pub(super) placement: Placement,
    pub(super) priority: i64,
    /// Whether it takes objects over that another policy has claimed.
    pub(super) preempts: bool,
    /// Whether what a workload names follows it.
    pub(super) propagate_deps: bool,
    /// Override policies that must exist before anything is propagated.
    pub(super) dependent_overrides: Vec<String>,
    pub(super) suspension: Suspension,
    /// Whether the members' copies survive the deletion of the object.
    pub(super) preserve: bool,
    /// Whether objects that exist in a cluster already are taken over.
    pub(super) overwrites: bool,
    /// When it was created, where the file says so.
    pub(super) created: Option<String>,
}

/// Where propagation rests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Suspension {
    /// In the clusters named, perhaps none.
    Clusters(Vec<String>),
    /// Everywhere.
    Everywhere,
}

impl PropagationPolicy {
    /// Reads a policy; `namespaced` tells which of the two kinds it is.
    pub(super) fn read(document: &Value, namespaced: bool) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let metadata = root.get("metadata");
        let namespace = match namespaced {
            true => Some(namespace_of(&metadata)?),
            false => None,
        };
        let spec = root.get("spec");
        spec.object()?;
        let selectors = spec.get("resourceSelectors");
        let list = read_selectors(&selectors, namespace.as_deref())?;
        if list.is_empty() {
            return Err(selectors.refuse("must select at least one kind"));
        }
        let suspension = spec.get("suspension");
        let suspension = match suspension.get("dispatching").optional_bool()? {
            Some(true) => Suspension::Everywhere,
            _ => Suspension::Clusters(strings(
                &suspension.get("dispatchingOnClusters").get("clusterNames"),
            )?),
        };
        let preemption = spec.get("preemption");
        Ok(Self {
            namespace,
            name: metadata.get("name").string()?.to_owned(),
            selectors: list,
            placement: Placement::read(&spec.get("placement"))?,
            priority: integer(&spec.get("priority"))?.unwrap_or(0),
            preempts: word(&preemption, &["Never", "Always"])? == Some("Always"),
            propagate_deps: spec.get("propagateDeps").optional_bool()?.unwrap_or(false),
            dependent_overrides: strings(&spec.get("dependentOverrides"))?,
            suspension,
            preserve: spec
                .get("preserveResourcesOnDeletion")
                .optional_bool()?
                .unwrap_or(false),
            overwrites: word(&spec.get("conflictResolution"), &["Abort", "Overwrite"])?
                == Some("Overwrite"),
            created: metadata
                .get("creationTimestamp")
                .optional_string()?
                .map(str::to_owned),
        })
    }

    /// Which policy it is.
    pub(super) fn key(&self) -> ObjectKey {
        super::names::key("PropagationPolicy", self.namespace.as_deref(), &self.name)
    }

    /// `PropagationPolicy shop/web` or `ClusterPropagationPolicy web`.
    pub(super) fn for_people(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("PropagationPolicy {namespace}/{}", self.name),
            None => format!("ClusterPropagationPolicy {}", self.name),
        }
    }
}

/// The namespace that a namespaced policy is in: `default` where none is given, as kubectl does.
pub(super) fn namespace_of(metadata: &Field<'_>) -> Result<String, Refusal> {
    Ok(metadata
        .get("namespace")
        .optional_string()?
        .filter(|namespace| !namespace.is_empty())
        .unwrap_or("default")
        .to_owned())
}

/// Reads resource selectors; in a namespaced policy they may name its own namespace only.
pub(super) fn read_selectors(
    field: &Field<'_>,
    namespace: Option<&str>,
) -> Result<Vec<ResourceSelector>, Refusal> {
    let mut selectors = Vec::new();
    for entry in field.list()? {
        let selector = ResourceSelector::read(&entry)?;
        if let Some(own) = namespace
            && !selector.namespace().is_empty()
            && selector.namespace() != own
        {
            return Err(entry.get("namespace").refuse(format!(
                "{:?} is not the policy's own namespace {own:?}",
                selector.namespace()
            )));
        }
        selectors.push(selector);
    }
    Ok(selectors)
}

/// The word that may stand in `field`, one of `words`; an empty one is none.
pub(super) fn word<'a>(field: &Field<'a>, words: &[&str]) -> Result<Option<&'a str>, Refusal> {
    match field.optional_string()? {
        None | Some("") => Ok(None),
        Some(word) if words.contains(&word) => Ok(Some(word)),
        Some(other) => Err(field.refuse(format!("{other:?} is none of {}", words.join(", ")))),
    }
}

/// The integer that may stand in `field`, of 32 bits as in Karmada's API.
fn integer(field: &Field<'_>) -> Result<Option<i64>, Refusal> {
    match field.value() {
        None => Ok(None),
        Some(value) => value
            .as_i64()
            .filter(|number| i32::try_from(*number).is_ok())
            .map(Some)
            .ok_or_else(|| field.refuse("must be an integer of 32 bits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(spec: Value) -> Result<PropagationPolicy, Refusal> {
        let mut spec = spec;
        if spec.get("resourceSelectors").is_none() {
            spec["resourceSelectors"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment"}]);
        }
        PropagationPolicy::read(
            &json!({"metadata": {"name": "p", "namespace": "shop"}, "spec": spec}),
            true,
        )
    }

    #[test]
    fn absent_fields_get_the_defaults_of_karmadas_webhook() {
        let policy =
            read(json!({"placement": {"spreadConstraints": [{"maxGroups": 2}]}})).expect("valid");
        assert_eq!(policy.placement.strategy, Strategy::Duplicated);
        assert_eq!(
            policy.placement.spread,
            [SpreadConstraint {
                by: SpreadBy::Cluster,
                min: 1,
                max: 2
            }]
        );
        assert_eq!((policy.priority, policy.preempts), (0, false));
        for (scheduling, expected) in [
            (
                json!({}),
                Strategy::Static {
                    weights: vec![],
                    ignores_spread: true,
                },
            ),
            (
                json!({"weightPreference": {}}),
                Strategy::Static {
                    weights: vec![],
                    ignores_spread: false,
                },
            ),
            (
                json!({"weightPreference": {"dynamicWeight": "AvailableReplicas"}}),
                Strategy::Dynamic,
            ),
            (
                json!({"replicaDivisionPreference": "Aggregated"}),
                Strategy::Aggregated,
            ),
            (
                json!({"replicaSchedulingType": "Duplicated", "replicaDivisionPreference": "Weighted"}),
                Strategy::Duplicated,
            ),
        ] {
            let policy = read(json!({"placement": {"replicaScheduling": scheduling}}));
            assert_eq!(policy.expect("valid").placement.strategy, expected);
        }
    }

    #[test]
    fn what_karmadas_webhook_refuses_is_refused_with_its_field() {
        for (spec, field) in [
            (json!({"resourceSelectors": []}), "spec.resourceSelectors"),
            (
                json!({"resourceSelectors": [{"kind": "Deployment"}]}),
                "spec.resourceSelectors[0].apiVersion",
            ),
            (
                json!({"resourceSelectors": [{"apiVersion": "v1", "kind": "Pod", "namespace": "x"}]}),
                "spec.resourceSelectors[0].namespace",
            ),
            (
                json!({"placement": {"clusterAffinity": {}, "clusterAffinities": [{"affinityName": "a"}]}}),
                "spec.placement.clusterAffinities",
            ),
            (
                json!({"placement": {"clusterAffinities": [{"affinityName": "a"}, {"affinityName": "a"}]}}),
                "spec.placement.clusterAffinities[1].affinityName",
            ),
            (
                json!({"placement": {"clusterAffinities": [{"affinityName": "a", "overflowAffinities": [{}]}]}}),
                "spec.placement.clusterAffinities[0].overflowAffinities",
            ),
            (
                json!({"placement": {"spreadConstraints": [{"spreadByField": "zone", "spreadByLabel": "a"}]}}),
                "spec.placement.spreadConstraints[0].spreadByField",
            ),
            (
                json!({"placement": {"spreadConstraints": [{"minGroups": 3, "maxGroups": 2}]}}),
                "spec.placement.spreadConstraints[0].maxGroups",
            ),
            (
                json!({"placement": {"replicaScheduling": {"weightPreference": {"staticWeightList": [{"weight": -1}]}}}}),
                "spec.placement.replicaScheduling.weightPreference.staticWeightList[0].weight",
            ),
            (
                json!({"placement": {"replicaScheduling": {"replicaSchedulingType": "Random"}}}),
                "spec.placement.replicaScheduling.replicaSchedulingType",
            ),
            (json!({"priority": 5_000_000_000_i64}), "spec.priority"),
            (json!({"preemption": "Perhaps"}), "spec.preemption"),
        ] {
            assert_eq!(
                read(spec.clone()).expect_err("refused").field,
                field,
                "{spec}"
            );
        }
    }
}
