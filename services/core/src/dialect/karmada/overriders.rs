//! `OverridePolicy` and `ClusterOverridePolicy`: what differs in which cluster, in Karmada's order.
//!
//! The cluster's policies come before the namespace's; within each those that fit closer (kind, labels, name) and then those with
//! greater names come later, and later ones win. A rule changes images, commands, arguments, labels, annotations, strings that hold JSON
//! or YAML, and paths, in this order. Any failure refuses the whole cluster.
//!
//! | overrider | file |
//! |---|---|
//! | imageOverrider | [`image`] |
//! | commandOverrider, argsOverrider, labelsOverrider, annotationsOverrider | [`simple`] |
//! | plaintext, fieldOverrider | [`patch`] over [`tree`], [`yaml`] |

mod image;
mod patch;
mod simple;
mod tree;
mod yaml;

use serde_json::Value;

use crate::Refusal;
use crate::field::Field;
use crate::model::ObjectKey;

use super::affinity::ClusterAffinity;
use super::member::Member;
use super::policy::{namespace_of, read_selectors, word};
use super::resource::{Fit, Object, ResourceSelector, best_fit};

/// Reads YAML into a value: the edge has the parser, the core has none.
pub type ReadYaml = fn(&str) -> Result<Value, String>;

/// An override policy of either kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OverridePolicy {
    /// The namespace of an OverridePolicy; none for a ClusterOverridePolicy.
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// Empty for every object.
    pub(super) selectors: Vec<ResourceSelector>,
    rules: Vec<Rule>,
}

/// What differs in some clusters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rule {
    /// Where in the document it stands.
    field: String,
    /// None for every cluster.
    target: Option<ClusterAffinity>,
    overriders: Vec<Overrider>,
}

/// One change, and where in the document it stands.
#[derive(Debug, Clone, PartialEq)]
struct Overrider {
    field: String,
    change: Change,
}

#[derive(Debug, Clone, PartialEq)]
enum Change {
    Image(image::ImageOverrider),
    Simple(simple::Simple),
    Text(patch::InText),
    Path(patch::Patch),
}

/// What an overrider does with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Add,
    Remove,
    Replace,
}

impl Operator {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        match word(field, &["add", "remove", "replace"])? {
            Some("add") => Ok(Self::Add),
            Some("remove") => Ok(Self::Remove),
            Some(_) => Ok(Self::Replace),
            None => Err(field.refuse("is required")),
        }
    }
}

impl OverridePolicy {
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
        let mut rules = spec
            .get("overrideRules")
            .list()?
            .iter()
            .map(Rule::read)
            .collect::<Result<Vec<_>, _>>()?;
        // The deprecated form, hidden by rules.
        if rules.is_empty() {
            rules.push(Rule::read(&spec)?);
        }
        Ok(Self {
            selectors: read_selectors(&spec.get("resourceSelectors"), namespace.as_deref())?,
            namespace,
            name: metadata.get("name").string()?.to_owned(),
            rules,
        })
    }

    /// Which policy it is.
    pub(super) fn key(&self) -> ObjectKey {
        super::names::key("OverridePolicy", self.namespace.as_deref(), &self.name)
    }

    fn for_people(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("OverridePolicy {namespace}/{}", self.name),
            None => format!("ClusterOverridePolicy {}", self.name),
        }
    }

    fn fit(&self, object: &Object<'_>) -> Option<Fit> {
        if self.selectors.is_empty() {
            Some(Fit::Kind)
        } else {
            best_fit(&self.selectors, object)
        }
    }
}

impl Rule {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let target = field.get("targetCluster");
        let overriders = field.get("overriders");
        let mut list = Vec::new();
        let mut each = |key: &str,
                        read: &dyn Fn(&Field<'_>) -> Result<Change, Refusal>|
         -> Result<(), Refusal> {
            for entry in overriders.get(key).list()? {
                list.push(Overrider {
                    field: entry.path().to_owned(),
                    change: read(&entry)?,
                });
            }
            Ok(())
        };
        let simple = |read: fn(&Field<'_>) -> Result<simple::Simple, Refusal>| {
            move |field: &Field<'_>| read(field).map(Change::Simple)
        };
        each("imageOverrider", &|field| {
            image::ImageOverrider::read(field).map(Change::Image)
        })?;
        each("commandOverrider", &simple(simple::Simple::read_command))?;
        each("argsOverrider", &simple(simple::Simple::read_args))?;
        each("labelsOverrider", &simple(simple::Simple::read_labels))?;
        each(
            "annotationsOverrider",
            &simple(simple::Simple::read_annotations),
        )?;
        each("fieldOverrider", &|field| {
            patch::InText::read(field).map(Change::Text)
        })?;
        each("plaintext", &|field| {
            patch::Patch::read(field, "path").map(Change::Path)
        })?;
        Ok(Self {
            field: field.path().to_owned(),
            target: match target.is_present() {
                true => Some(ClusterAffinity::read(&target)?),
                false => None,
            },
            overriders: list,
        })
    }

    fn apply(&self, manifest: &mut Value, read_yaml: Option<ReadYaml>) -> Result<(), Refusal> {
        for overrider in &self.overriders {
            let done = match &overrider.change {
                Change::Image(image) => image.apply(manifest),
                Change::Simple(simple) => {
                    simple.apply(manifest);
                    Ok(())
                }
                Change::Text(text) => text.apply(manifest, read_yaml),
                Change::Path(patch) => patch.apply_to(manifest).map_err(|text| ("path", text)),
            };
            done.map_err(|(member, text)| {
                Refusal::new(format!("{}.{member}", overrider.field), text)
            })?;
        }
        Ok(())
    }
}

/// A rule that applies to an object in a cluster, and the policy that it stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applied<'a> {
    policy: &'a OverridePolicy,
    rule: &'a Rule,
}

impl Applied<'_> {
    /// Tells it from every other rule: the policy's namespace and name, and where in it the rule stands.
    pub(super) fn id(&self) -> (Option<String>, String, String) {
        let Self { policy, rule } = self;
        (
            policy.namespace.clone(),
            policy.name.clone(),
            rule.field.clone(),
        )
    }

    /// For people: which rule of which policy.
    pub(super) fn for_people(&self) -> String {
        format!("{}: {} applies", self.policy.for_people(), self.rule.field)
    }
}

/// The policies that concern an object, in the order of application.
pub(super) fn policies_for<'a>(
    policies: &'a [OverridePolicy],
    object: &Object<'_>,
) -> Vec<&'a OverridePolicy> {
    let mut policies: Vec<_> = policies
        .iter()
        .filter(|policy| {
            policy.namespace.is_none() || policy.namespace.as_deref() == object.key.namespace()
        })
        .filter_map(|policy| Some((policy, policy.fit(object)?)))
        .collect();
    policies.sort_by_key(|(policy, fit)| (policy.namespace.is_some(), *fit, &policy.name));
    policies.into_iter().map(|(policy, _)| policy).collect()
}

/// The rules of `policies` that concern a cluster, in the order of application.
pub(super) fn rules_for<'a>(policies: &[&'a OverridePolicy], member: &Member) -> Vec<Applied<'a>> {
    policies
        .iter()
        .flat_map(|policy| {
            policy
                .rules
                .iter()
                .filter(|rule| {
                    !rule.overriders.is_empty()
                        && rule
                            .target
                            .as_ref()
                            .is_none_or(|target| target.matches(member))
                })
                .map(move |rule| Applied { policy, rule })
        })
        .collect()
}

/// Applies rules to a manifest, all or nothing.
///
/// # Errors
/// A refusal that names the field of the override policy and, in its message, the policy; also where the result is another object.
pub(super) fn apply(
    rules: &[Applied<'_>],
    manifest: &mut Value,
    read_yaml: Option<ReadYaml>,
) -> Result<(), Refusal> {
    const IDENTITY: [&str; 4] = [
        "/apiVersion",
        "/kind",
        "/metadata/name",
        "/metadata/namespace",
    ];
    let before = IDENTITY.map(|pointer| manifest.pointer(pointer).cloned());
    for applied in rules {
        applied
            .rule
            .apply(manifest, read_yaml)
            .and_then(|()| {
                let changed = IDENTITY
                    .iter()
                    .zip(&before)
                    .find(|(pointer, before)| manifest.pointer(pointer) != before.as_ref());
                match changed {
                    None => Ok(()),
                    Some((pointer, _)) => Err(Refusal::new(
                        applied.rule.field.clone(),
                        format!("changes {pointer}: an override may not change which object it is"),
                    )),
                }
            })
            .map_err(|refusal| {
                Refusal::new(
                    refusal.field,
                    format!("{}: {}", applied.policy.for_people(), refusal.message),
                )
            })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
