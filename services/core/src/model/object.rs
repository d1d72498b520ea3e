//! The target of a federated object: which object it is in every cluster.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::ClusterName;
use super::name::{is_dns_label, is_dns_subdomain, is_kind, is_path_segment};
use crate::{Refusal, digest};

/// Identifies an object in every cluster: kind, group (without version), namespace and name.
///
/// As text `Kind.group/namespace/name`, without `.group` for the core group and without `namespace/` for cluster scope:
/// `Deployment.apps/shop/web`, `Namespace/shop`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ObjectKey {
    kind: String,
    group: String,
    namespace: Option<String>,
    name: String,
}

impl ObjectKey {
    /// The key that stands for a cluster among what is handed in.
    pub fn of_cluster(cluster: &ClusterName) -> Self {
        Self::new("MemberCluster", "fleetcast.dev", None, cluster.as_str())
            .expect("a cluster's name is an object's name")
    }

    /// Builds a key, checking each part.
    ///
    /// # Errors
    /// A refusal whose field is `kind`, `apiVersion`, `metadata.namespace` or `metadata.name`.
    pub fn new(
        kind: &str,
        group: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Self, Refusal> {
        if !is_kind(kind) {
            return Err(Refusal::new(
                "kind",
                format!("{kind:?} is no kind: letters and digits, at most 63"),
            ));
        }
        if !group.is_empty() && !is_dns_subdomain(group) {
            return Err(Refusal::new(
                "apiVersion",
                format!("{group:?} is no API group"),
            ));
        }
        if let Some(namespace) = namespace
            && !is_dns_label(namespace)
        {
            return Err(Refusal::new(
                "metadata.namespace",
                format!(
                    "{namespace:?} is no namespace: lower-case letters, digits and '-', at most 63"
                ),
            ));
        }
        if !is_path_segment(name) {
            return Err(Refusal::new(
                "metadata.name",
                format!("{name:?} is no name: not empty, at most 253 bytes, without '/' and '%'"),
            ));
        }
        Ok(Self {
            kind: kind.to_owned(),
            group: group.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// The kind as in the manifest: `Deployment`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The API group without version; empty for the core group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The namespace; none for cluster scope.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A digest of fixed length (32 hexadecimal digits) that stands for this object in subjects and ids.
    pub fn digest(&self) -> String {
        digest::short(self.to_string().as_bytes())
    }

    /// The four tokens that name it in subjects, and in the hash that breaks ties: kind, group, namespace and name.
    ///
    /// Each keeps `[A-Za-z0-9-]` and writes every other byte as `=HH`; nothing is `_`.
    pub fn tokens(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        [self.kind.as_str(), &self.group, namespace, &self.name]
            .map(token)
            .join(".")
    }

    /// The form that people read and type: like the text form, with the kind in lower case (`deployment.apps/shop/web`).
    pub fn for_people(&self) -> String {
        let text = self.to_string();
        let (kind, rest) = text.split_at(self.kind.len());
        kind.to_ascii_lowercase() + rest
    }
}

/// Writes `text` as one token of a subject.
pub fn token(text: &str) -> String {
    if text.is_empty() {
        return "_".to_owned();
    }
    let mut token = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            token.push(char::from(byte));
        } else {
            token.push_str(&format!("={byte:02X}"));
        }
    }
    token
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "/{namespace}")?;
        }
        write!(f, "/{}", self.name)
    }
}

impl FromStr for ObjectKey {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let wanted = || {
            Refusal::new(
                "",
                format!(
                    "{text:?} names no object: kind[.group]/namespace/name, or kind[.group]/name for cluster scope"
                ),
            )
        };
        let (kind, rest) = text.split_once('/').ok_or_else(wanted)?;
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        match rest.split_once('/') {
            Some((namespace, name)) => Self::new(kind, group, Some(namespace), name),
            None => Self::new(kind, group, None, rest),
        }
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        text.parse()
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.to_string()
    }
}

/// What a person typed to name an object: any case, the group only where it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectQuery {
    kind: String,
    group: Option<String>,
    namespace: Option<String>,
    name: String,
}

impl ObjectQuery {
    /// Whether `key` is what was meant.
    pub fn matches(&self, key: &ObjectKey) -> bool {
        key.kind.eq_ignore_ascii_case(&self.kind)
            && self
                .group
                .as_deref()
                .is_none_or(|group| group.eq_ignore_ascii_case(&key.group))
            && self.namespace == key.namespace
            && self.name == key.name
    }
}

impl FromStr for ObjectQuery {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        let key: ObjectKey = text.parse()?;
        Ok(Self {
            group: text
                .split('/')
                .next()
                .is_some_and(|kind| kind.contains('.'))
                .then_some(key.group),
            kind: key.kind,
            namespace: key.namespace,
            name: key.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        for text in [
            "Deployment.apps/shop/web",
            "Namespace/shop",
            "ClusterRole.rbac.authorization.k8s.io/system:node",
            "ConfigMap/shop/a.b",
        ] {
            let key: ObjectKey = text.parse().expect(text);
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn text_that_names_no_object_is_refused() {
        for text in [
            "",
            "web",
            "Deployment",
            "De-p/shop/web",
            "Deployment/shop/",
            "Deployment/SHOP/web",
            "Deployment/a/b/c",
            "/a/b",
        ] {
            assert!(
                text.parse::<ObjectKey>().is_err(),
                "{text:?} should be refused"
            );
        }
    }

    #[test]
    fn a_query_takes_any_case_and_needs_no_group() {
        let key: ObjectKey = "Deployment.apps/shop/web".parse().expect("valid");
        for (query, expected) in [
            ("deployment/shop/web", true),
            ("DEPLOYMENT.apps/shop/web", true),
            ("deployment.batch/shop/web", false),
            ("deployment/shop/api", false),
            ("deployment/web", false),
        ] {
            let query: ObjectQuery = query.parse().expect("valid");
            assert_eq!(query.matches(&key), expected, "{query:?}");
        }
    }
}
