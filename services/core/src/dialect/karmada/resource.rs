//! The plain objects that policies select, and their selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Refusal;
use crate::dialect::group_of;
use crate::dialect::kinds::{self, Scope};
use crate::field::Field;
use crate::model::{ObjectKey, Selector};

/// A plain object, with the identity that it has in every cluster.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    /// Which object it is.
    pub(super) key: ObjectKey,
    /// Group and version.
    pub(super) api_version: &'a str,
    /// Its labels.
    pub(super) labels: BTreeMap<String, String>,
    /// Its annotations.
    pub(super) annotations: BTreeMap<String, String>,
    /// Its `metadata.uid`; empty where the file has none.
    pub(super) uid: &'a str,
    /// When it was created, where the file says so.
    pub(super) created: Option<&'a str>,
    /// As handed in.
    pub(super) document: &'a Value,
}

impl<'a> Object<'a> {
    /// Reads a plain object. `scopes` tells the scope of kinds that the files themselves define; `is_namespaced` is asked about an
    /// apiVersion and kind that nobody knows.
    pub(super) fn read(
        document: &'a Value,
        scopes: &BTreeMap<(String, String), Scope>,
        is_namespaced: impl Fn(&str, &str) -> bool,
    ) -> Result<Self, Refusal> {
        let root = Field::root(document);
        let api_version = root.get("apiVersion").string()?;
        let kind = root.get("kind").string()?;
        let group = group_of(api_version);
        let metadata = root.get("metadata");
        let name = metadata.get("name").string()?;
        let given = metadata
            .get("namespace")
            .optional_string()?
            .filter(|namespace| !namespace.is_empty());
        let scope = scopes
            .get(&(group.to_owned(), kind.to_owned()))
            .copied()
            .or_else(|| kinds::find(kind, Some(group)).map(|known| known.scope));
        let namespace = match (scope, given) {
            (Some(Scope::Cluster), _) => None,
            (_, Some(namespace)) => Some(namespace),
            (Some(Scope::Namespaced), None) => Some("default"),
            (None, None) => is_namespaced(api_version, kind).then_some("default"),
        };
        Ok(Self {
            key: ObjectKey::new(kind, group, namespace, name)?,
            api_version,
            labels: metadata.get("labels").strings()?,
            annotations: metadata.get("annotations").strings()?,
            uid: metadata.get("uid").optional_string()?.unwrap_or_default(),
            created: metadata.get("creationTimestamp").optional_string()?,
            document,
        })
    }
}

/// The scopes of the kinds that CustomResourceDefinitions among `documents` define, by group and kind.
pub(super) fn scopes<'a>(
    documents: impl Iterator<Item = &'a Value>,
) -> BTreeMap<(String, String), Scope> {
    documents
        .filter(|document| document["kind"] == "CustomResourceDefinition")
        .filter_map(|document| {
            let spec = &document["spec"];
            let scope = match spec["scope"].as_str()? {
                "Cluster" => Scope::Cluster,
                _ => Scope::Namespaced,
            };
            let group = spec["group"].as_str()?.to_owned();
            Some(((group, spec["names"]["kind"].as_str()?.to_owned()), scope))
        })
        .collect()
}

/// A `ResourceSelector`: apiVersion and kind exactly, then a name, or labels, or everything of the kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResourceSelector {
    pub(super) api_version: String,
    pub(super) kind: String,
    /// Empty for any.
    namespace: String,
    /// Empty for any.
    name: String,
    labels: Option<Selector>,
}

/// How closely a selector fits: the order of precedence among selectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It means everything of a kind.
    Kind,
    /// It means objects by their labels.
    Labels,
    /// It means one object by its name.
    Name,
}

impl Fit {
    /// For people: how the object was selected.
    pub(super) fn for_people(self) -> &'static str {
        match self {
            Self::Kind => "as everything of its kind",
            Self::Labels => "by its labels",
            Self::Name => "by its name",
        }
    }
}

impl ResourceSelector {
    /// Reads a selector.
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let text = |key: &str| -> Result<String, Refusal> {
            Ok(field
                .get(key)
                .optional_string()?
                .unwrap_or_default()
                .to_owned())
        };
        let labels = field.get("labelSelector");
        let labels = match labels.is_present() {
            true => Some(Selector::read(&labels)?),
            false => None,
        };
        Ok(Self {
            api_version: field.get("apiVersion").string()?.to_owned(),
            kind: field.get("kind").string()?.to_owned(),
            namespace: text("namespace")?,
            name: text("name")?,
            labels,
        })
    }

    /// Its namespace; empty for any.
    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How it fits `object`, if it does. A name makes its labels irrelevant.
    pub(super) fn fit(&self, object: &Object<'_>) -> Option<Fit> {
        let of_kind = self.api_version == object.api_version
            && self.kind == object.key.kind()
            && (self.namespace.is_empty()
                || Some(self.namespace.as_str()) == object.key.namespace());
        if !of_kind {
            None
        } else if !self.name.is_empty() {
            (self.name == object.key.name()).then_some(Fit::Name)
        } else if let Some(labels) = &self.labels {
            labels.matches(&object.labels).then_some(Fit::Labels)
        } else {
            Some(Fit::Kind)
        }
    }
}

/// The closest fit among `selectors`.
pub(super) fn best_fit(selectors: &[ResourceSelector], object: &Object<'_>) -> Option<Fit> {
    selectors
        .iter()
        .filter_map(|selector| selector.fit(object))
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_selector_fits_by_name_then_labels_then_kind() {
        let document = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}}});
        let object = Object::read(&document, &BTreeMap::new(), |_, _| false).expect("an object");
        for (selector, expected) in [
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment"}),
                Some(Fit::Kind),
            ),
            (json!({"apiVersion": "apps/*", "kind": "Deployment"}), None),
            (json!({"apiVersion": "apps/v1", "kind": "ReplicaSet"}), None),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "labelSelector": {"matchLabels": {"app": "x"}}}),
                Some(Fit::Name),
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "labelSelector": {"matchLabels": {"app": "web"}}}),
                None,
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "labelSelector": {"matchLabels": {"app": "web"}}}),
                Some(Fit::Labels),
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "labelSelector": {}}),
                Some(Fit::Labels),
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "labelSelector": {"matchLabels": {"app": "x"}}}),
                None,
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "other"}),
                None,
            ),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "shop"}),
                Some(Fit::Kind),
            ),
        ] {
            let read = ResourceSelector::read(&Field::root(&selector)).expect("valid");
            assert_eq!(read.fit(&object), expected, "{selector}");
        }
    }

    #[test]
    fn the_namespace_comes_from_the_scope_of_the_kind() {
        let crd = json!({"kind": "CustomResourceDefinition", "spec": {"group": "a.example", "scope": "Namespaced", "names": {"kind": "Book"}}});
        let scopes = scopes([&crd].into_iter());
        for (api_version, kind, given, expected) in [
            ("apps/v1", "Deployment", None, Some("default")),
            ("apps/v1", "Deployment", Some("shop"), Some("shop")),
            ("v1", "Namespace", None, None),
            ("v1", "Node", Some("shop"), None),
            ("a.example/v1", "Book", None, Some("default")),
            ("b.example/v1", "Book", None, None),
        ] {
            let document = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": given}});
            let object = Object::read(&document, &scopes, |_, _| false).expect("an object");
            assert_eq!(
                object.key.namespace(),
                expected,
                "{api_version} {kind} {given:?}"
            );
        }
    }
}
