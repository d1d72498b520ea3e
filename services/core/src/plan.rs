//! From an object and the fleet to a verdict for every cluster: placement, then replica division, then overrides: the rendered manifest.
//!
//! The placer, `fleetcast plan` and the door all ask here, so they cannot disagree.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::dialect::kinds;
use crate::model::{ApplyPolicy, Cluster, ClusterName, Divide, FederatedObject, Override};
use crate::overrides::Operation;
use crate::placement::choose::{self, Candidate, Choice, Picked};
use crate::placement::{Containment, Exclusion, Holding, Judgement, Reasons, Situation};
use crate::{Refusal, digest, placement, sealed};

/// What one cluster gets, or why it gets nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It gets a manifest.
    Assigned {
        /// The manifest, shared by all clusters with the same overrides.
        rendered: Arc<Rendered>,
        /// Its replicas; none for kinds without.
        replicas: Option<i64>,
        /// Why there and so, shared by all clusters with the same reasons.
        reasons: Reasons,
    },
    /// It gets nothing.
    Excluded {
        /// The rule.
        reason: Exclusion,
        /// The field, where one is refused, and the message.
        refusal: Refusal,
    },
}

/// A rendered manifest and its digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// The object as the cluster should hold it, without our marks.
    pub manifest: Arc<Value>,
    /// The digest of its canonical form.
    pub digest: String,
    /// The replicas that it asks for; none for kinds without.
    pub replicas: Option<i64>,
    /// Whether values in it are sealed: only a cluster that has a key gets it.
    pub sealed: bool,
}

/// The refusal of sealed values for a cluster that could not open them.
pub fn without_a_key(cluster: &ClusterName) -> Refusal {
    Refusal::new(
        "spec.sealingKey",
        format!(
            "{cluster} has no sealing key, and what is sealed is never sent in plain text: `fleetcast cluster register {cluster} --sealing-key KEY` (or join it again)"
        ),
    )
}

/// The verdicts on one object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Plan {
    /// By cluster.
    pub verdicts: BTreeMap<ClusterName, Verdict>,
    /// Replicas for which there is no place.
    pub unplaced: i64,
}

/// Plans `object` over `clusters`. `holds` tells which clusters have it already; `all` asks for a verdict on clusters that nobody meant, too.
pub fn plan(
    object: &FederatedObject,
    clusters: &BTreeMap<ClusterName, Cluster>,
    holds: impl Fn(&ClusterName) -> bool,
    all: bool,
) -> BTreeMap<ClusterName, Verdict> {
    let holding = |cluster: &ClusterName| Holding {
        holds: holds(cluster),
        ..Holding::default()
    };
    let situation = Situation {
        clusters,
        holding: &holding,
        containment: Containment::None,
        needed: &BTreeMap::new(),
        all,
    };
    plan_in(object, &situation).verdicts
}

/// Plans `object` in `situation`.
pub fn plan_in(object: &FederatedObject, situation: &Situation<'_>) -> Plan {
    let judgements = placement::judge_all(object, situation);
    let FederatedObject {
        division,
        placement,
        ..
    } = object;
    let is_chosen =
        division.is_some() || !placement.spread.is_empty() || !placement.preferences.is_empty();
    let mut choice = Choice::default();
    if is_chosen && !object.suspend {
        let candidates = judgements
            .iter()
            .filter(|(_, judgement)| judgement.is_ok())
            .map(|(name, _)| Candidate {
                cluster: &situation.clusters[name],
                holding: (situation.holding)(name),
            })
            .collect();
        choice = choose::choose(object, total(object), candidates);
    }
    let mut forms = Forms::new(object);
    let mut unplaced = choice.unplaced;
    let verdict = |(name, judgement): (ClusterName, Judgement)| {
        let verdict = match judgement {
            Err((reason, refusal)) => Verdict::Excluded { reason, refusal },
            Ok(_) if object.suspend => Verdict::Excluded {
                reason: Exclusion::Suspended,
                refusal: Refusal::new("spec.suspend", "propagation rests until it is lifted"),
            },
            Ok(reasons) => match choice.clusters.remove(&name) {
                Some(Err((reason, refusal))) => Verdict::Excluded { reason, refusal },
                picked => {
                    let picked = picked.and_then(Result::ok);
                    let share = picked.as_ref().and_then(|picked| picked.replicas);
                    let verdict = forms.verdict(reasons, picked, situation, &name);
                    // The share of a cluster that refuses its override finds no place.
                    let divides = division
                        .as_ref()
                        .is_some_and(|division| division.divide != Divide::Duplicate);
                    if divides && matches!(verdict, Verdict::Excluded { .. }) {
                        unplaced += share.unwrap_or(0);
                    }
                    verdict
                }
            },
        };
        (name, verdict)
    };
    Plan {
        // In order already, so that the map is built without searching.
        verdicts: judgements.into_iter().map(verdict).collect(),
        unplaced,
    }
}

/// The manifests of one object, each rendered once, with the reasons that go with it.
struct Forms<'a> {
    object: &'a FederatedObject,
    index: OverrideIndex<'a>,
    forms: BTreeMap<(Option<i64>, Vec<usize>), Form>,
}

/// What clusters with the same replicas and the same overrides get.
struct Form {
    rendered: Result<Arc<Rendered>, Refusal>,
    /// Which overrides apply, for people.
    overrides: Vec<String>,
    /// The reasons last made for it, and from which: most clusters get it for the same ones.
    reasons: Option<(Reasons, Reasons)>,
}

impl<'a> Forms<'a> {
    fn new(object: &'a FederatedObject) -> Self {
        Self {
            object,
            index: OverrideIndex::new(&object.overrides),
            forms: BTreeMap::new(),
        }
    }

    /// What a cluster that fits gets.
    fn verdict(
        &mut self,
        reasons: Reasons,
        picked: Option<Picked>,
        situation: &Situation<'_>,
        name: &ClusterName,
    ) -> Verdict {
        let object = self.object;
        let (share, why) = picked.map_or((None, Vec::new()), |picked| {
            (picked.replicas, picked.reasons)
        });
        let kept = match object.retain_replicas {
            true => (situation.holding)(name).replicas,
            false => None,
        };
        let applied = match object.overrides.is_empty() {
            true => Vec::new(),
            false => self
                .index
                .concerning(&object.overrides, &situation.clusters[name]),
        };
        let form = self
            .forms
            .entry((share.or(kept), applied))
            .or_insert_with_key(|(replicas, applied)| Form {
                rendered: render(object, *replicas, applied).map(Arc::new),
                // What a preference added stands in no document: it has its own reason.
                overrides: applied
                    .iter()
                    .filter(|index| {
                        let operations = &object.overrides[**index].operations;
                        operations.is_empty() || !operations.iter().all(Operation::is_scheduled)
                    })
                    .map(|index| format!("spec.overrides[{index}] applies"))
                    .collect(),
                reasons: None,
            });
        let rendered = match &form.rendered {
            Ok(rendered) => rendered.clone(),
            Err(refusal) => {
                return Verdict::Excluded {
                    reason: Exclusion::Refused,
                    refusal: refusal.clone(),
                };
            }
        };
        if rendered.sealed && situation.clusters[name].sealing_key.is_none() {
            return Verdict::Excluded {
                reason: Exclusion::Refused,
                refusal: without_a_key(name),
            };
        }
        let kept =
            kept.map(|kept| format!("spec.retainReplicas keeps the {kept} replicas that it has"));
        let reasons = if !why.is_empty() || kept.is_some() {
            let reasons = reasons.iter().cloned().chain(why).chain(kept);
            reasons
                .chain(form.overrides.iter().cloned())
                .collect::<Vec<_>>()
                .into()
        } else {
            form.with_overrides(reasons)
        };
        Verdict::Assigned {
            replicas: rendered.replicas,
            rendered,
            reasons,
        }
    }
}

impl Form {
    /// `fits`, and which overrides apply.
    fn with_overrides(&mut self, fits: Reasons) -> Reasons {
        if self.overrides.is_empty() {
            return fits;
        }
        match &self.reasons {
            Some((from, made)) if Arc::ptr_eq(from, &fits) => made.clone(),
            Some(_) | None => {
                let all = fits.iter().chain(&self.overrides).cloned();
                let made: Reasons = all.collect::<Vec<_>>().into();
                self.reasons = Some((fits, made.clone()));
                made
            }
        }
    }
}

/// The replicas of `object` in all: as its division says, else as its template does.
pub fn total(object: &FederatedObject) -> i64 {
    let division = object.division.as_ref();
    division
        .and_then(|division| division.total)
        .or_else(|| replicas_of(&object.template))
        .unwrap_or(1)
}

/// Renders `object` for `cluster`, whether or not it is placed there.
///
/// # Errors
/// Refuses an override that cannot be applied.
pub fn render_for(object: &FederatedObject, cluster: &Cluster) -> Result<Rendered, Refusal> {
    render_with(object, cluster, None)
}

/// Renders `object` for `cluster` with the `replicas` that a decision recorded; they count where replicas are divided.
///
/// # Errors
/// Refuses an override that cannot be applied.
pub fn render_with(
    object: &FederatedObject,
    cluster: &Cluster,
    replicas: Option<i64>,
) -> Result<Rendered, Refusal> {
    let replicas = replicas.filter(|_| object.division.is_some());
    let index = OverrideIndex::new(&object.overrides);
    render(
        object,
        replicas,
        &index.concerning(&object.overrides, cluster),
    )
}

/// How `object` is applied in `cluster`: as its policy says, but replicas that an override sets there are not left to the cluster.
pub fn policy_for(object: &FederatedObject, cluster: &Cluster) -> ApplyPolicy {
    let mut policy = object.apply.clone();
    if object.retain_replicas {
        let index = OverrideIndex::new(&object.overrides);
        let concerning = index.concerning(&object.overrides, cluster);
        let mut operations = concerning
            .iter()
            .flat_map(|index| &object.overrides[*index].operations);
        if operations.any(Operation::is_kubefed_replicas) {
            policy.ignore.retain(|pointer| pointer != "/spec/replicas");
        }
    }
    policy
}

/// Finds the overrides of a cluster without looking at every one: there may be as many as clusters.
struct OverrideIndex<'a> {
    named: BTreeMap<&'a ClusterName, Vec<usize>>,
    /// Those that name no cluster.
    others: Vec<usize>,
}

impl<'a> OverrideIndex<'a> {
    fn new(overrides: &'a [Override]) -> Self {
        let mut index = Self {
            named: BTreeMap::new(),
            others: Vec::new(),
        };
        for (at, entry) in overrides.iter().enumerate() {
            match &entry.clusters {
                None => index.others.push(at),
                Some(names) => {
                    for name in names {
                        index.named.entry(name).or_default().push(at);
                    }
                }
            }
        }
        index
    }

    /// The overrides that concern `cluster`, in their order.
    fn concerning(&self, overrides: &[Override], cluster: &Cluster) -> Vec<usize> {
        let named = self.named.get(&cluster.name).into_iter().flatten();
        let mut concerning: Vec<usize> = named
            .chain(&self.others)
            .filter(|at| {
                let selector = overrides[**at].selector.as_ref();
                selector.is_none_or(|selector| selector.matches(&cluster.labels))
            })
            .copied()
            .collect();
        concerning.sort_unstable();
        concerning
    }
}

/// Sets the replicas, where there are some to set, and applies the overrides with the given indexes to the template.
///
/// # Errors
/// Refuses an operation that cannot be applied, and overrides that change what the object is.
fn render(
    object: &FederatedObject,
    replicas: Option<i64>,
    overrides: &[usize],
) -> Result<Rendered, Refusal> {
    let mut manifest = object.template.clone();
    if let Some(replicas) = replicas {
        if manifest.get("spec").is_none_or(Value::is_null) {
            manifest["spec"] = Value::Object(Default::default());
        }
        let spec = manifest["spec"].as_object_mut().ok_or_else(|| {
            Refusal::new(
                "spec.template.spec",
                "must be an object, since replicas are set there",
            )
        })?;
        spec.insert("replicas".to_owned(), Value::from(replicas));
    }
    for index in overrides {
        for operation in &object.overrides[*index].operations {
            operation.apply(&mut manifest)?;
        }
        for pointer in [
            "/apiVersion",
            "/kind",
            "/metadata/name",
            "/metadata/namespace",
        ] {
            if manifest.pointer(pointer) != object.template.pointer(pointer) {
                return Err(Refusal::new(
                    format!("spec.overrides[{index}]"),
                    format!("changes {pointer}: an override may not change which object it is"),
                ));
            }
        }
    }
    Ok(Rendered {
        digest: digest::of_value(&manifest),
        replicas: replicas_of(&manifest),
        sealed: sealed::is_in(&manifest),
        manifest: Arc::new(manifest),
    })
}

/// The replicas that a manifest asks for: `spec.replicas`, 1 where a workload that has them names none (Kubernetes' default).
fn replicas_of(manifest: &Value) -> Option<i64> {
    let given = manifest.pointer("/spec/replicas").and_then(Value::as_i64);
    match manifest["kind"].as_str() {
        Some(kind) if kinds::has_replicas(kind) => Some(given.unwrap_or(1)),
        _ => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{self, Input};
    use serde_json::json;

    fn object(spec: Value) -> FederatedObject {
        let document = json!({
            "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
            "metadata": {"name": "web", "namespace": "shop"}, "spec": spec,
        });
        match dialect::read(&document).expect("valid") {
            Input::Object(object) => *object,
            Input::Cluster(_) => unreachable!("a FederatedObject was written"),
        }
    }

    fn fleet() -> BTreeMap<ClusterName, Cluster> {
        ["eu-1", "eu-2", "us-1"]
            .map(|text| {
                let name = ClusterName::parse(text).expect("valid");
                let cluster = Cluster {
                    labels: [("region".to_owned(), text[..2].to_owned())].into(),
                    ..Cluster::named(name.clone())
                };
                (name, cluster)
            })
            .into()
    }

    fn template() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {
            "replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}},
        }})
    }

    /// `cluster: image/replicas` or `cluster: reason field`, a line each.
    fn story(object: &FederatedObject) -> Vec<String> {
        plan(object, &fleet(), |_| false, true)
            .into_iter()
            .map(|(cluster, verdict)| match verdict {
                Verdict::Assigned {
                    rendered, replicas, ..
                } => format!(
                    "{cluster}: {} x{}",
                    rendered
                        .manifest
                        .pointer("/spec/template/spec/containers/0/image")
                        .expect("an image"),
                    replicas.expect("replicas")
                ),
                Verdict::Excluded { reason, refusal } => {
                    format!("{cluster}: {reason:?} {}", refusal.field)
                }
            })
            .collect()
    }

    #[test]
    fn overrides_reach_the_clusters_that_they_name_or_select() {
        let object = object(json!({
            "template": template(), "placement": {"clusterSelector": {}},
            "overrides": [
                {"clusterSelector": {"matchLabels": {"region": "eu"}}, "images": [{"component": "registry", "op": "replace", "value": "r.eu"}]},
                {"clusters": ["us-1"], "patches": [{"op": "replace", "path": "/spec/replicas", "value": 5}]},
                {"patches": [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]},
            ],
        }));
        assert_eq!(
            story(&object),
            [
                "eu-1: \"r.eu/web:1\" x2",
                "eu-2: \"r.eu/web:1\" x2",
                "us-1: \"web:1\" x5"
            ]
        );
    }

    #[test]
    fn an_override_that_fails_refuses_its_cluster_only() {
        let object = object(json!({
            "template": template(), "placement": {"clusters": ["eu-1", "us-1", "ap-1"]},
            "overrides": [{"clusters": ["us-1"], "patches": [{"op": "replace", "path": "/spec/nothing", "value": 1}]}],
        }));
        assert_eq!(
            story(&object),
            [
                "ap-1: Unknown ",
                "eu-1: \"web:1\" x2",
                "eu-2: NotSelected ",
                "us-1: Refused spec.overrides[0].patches[0].path",
            ]
        );
    }

    #[test]
    fn an_override_of_the_whole_object_with_a_string_is_refused() {
        let object = object(json!({
            "template": template(), "placement": {"clusters": ["eu-1", "us-1"]},
            "overrides": [{"clusters": ["us-1"], "patches": [{"op": "replace", "path": "", "value": "text"}]}],
        }));
        let story = story(&object);
        assert_eq!(story[0], "eu-1: \"web:1\" x2");
        assert_eq!(story[2], "us-1: Refused spec.overrides[0]");
    }

    #[test]
    fn an_override_may_not_change_which_object_it_is() {
        for path in [
            "/metadata/name",
            "/metadata/namespace",
            "/kind",
            "/apiVersion",
        ] {
            let object = object(json!({
                "template": template(), "placement": {"clusters": ["eu-1"]},
                "overrides": [{"patches": [{"op": "replace", "path": path, "value": "other"}]}],
            }));
            assert_eq!(
                story(&object)[0],
                "eu-1: Refused spec.overrides[0]",
                "{path}"
            );
        }
    }
}
