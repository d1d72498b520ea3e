//! The target of a federated object: which object it is in every cluster.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::ClusterName;
use super::name::{is_dns_label, is_dns_subdomain, is_kind, is_path_segment};
use crate::{Refusal, digest};

/// Identifies an object in every cluster: kind, group (without version), namespace and name.
///
/// As text `Kind.group/namespace/name`, without `.group` for the core group and without `namespace/` for cluster scope:
/// `Deployment.apps/shop/web`, `Namespace/shop`.
///
/// Every map of the core is keyed by it, so it is one string that its clones share: the four parts, nothing where there is none, each but the last
/// followed by a zero byte. No part holds one, so the order is that of (kind, group, namespace, name).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ObjectKey {
    parts: Arc<str>,
    /// Where kind, group and namespace end in `parts`.
    ends: [u16; 3],
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
        let parts = [kind, group, namespace.unwrap_or_default(), name].join("\0");
        let end_of_kind = kind.len();
        let end_of_group = end_of_kind + 1 + group.len();
        let end_of_namespace = parts.len() - name.len() - 1;
        Ok(Self {
            parts: parts.into(),
            ends: [end_of_kind, end_of_group, end_of_namespace]
                .map(|end| u16::try_from(end).expect("the grammar allows less than 400 bytes")),
        })
    }

    fn part(&self, after: Option<usize>, end: usize) -> &str {
        let begin = after.map_or(0, |part| usize::from(self.ends[part]) + 1);
        &self.parts[begin..end]
    }

    /// The kind as in the manifest: `Deployment`.
    pub fn kind(&self) -> &str {
        self.part(None, self.ends[0].into())
    }

    /// The API group without version; empty for the core group.
    pub fn group(&self) -> &str {
        self.part(Some(0), self.ends[1].into())
    }

    /// The namespace; none for cluster scope.
    pub fn namespace(&self) -> Option<&str> {
        let namespace = self.part(Some(1), self.ends[2].into());
        (!namespace.is_empty()).then_some(namespace)
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.part(Some(2), self.parts.len())
    }

    /// A digest of fixed length (32 hexadecimal digits) that stands for this object in subjects and ids.
    pub fn digest(&self) -> String {
        digest::short(self.to_string().as_bytes())
    }

    /// The four tokens that name it in subjects, and in the hash that breaks ties: kind, group, namespace and name.
    ///
    /// Each keeps `[A-Za-z0-9-]` and writes every other byte as `=HH`; nothing is `_`.
    pub fn tokens(&self) -> String {
        let parts: Vec<String> = self.parts.split('\0').map(token).collect();
        parts.join(".")
    }

    /// The form that people read and type: like the text form, with the kind in lower case (`deployment.apps/shop/web`).
    pub fn for_people(&self) -> String {
        let text = self.to_string();
        let (kind, rest) = text.split_at(self.kind().len());
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
        f.write_str(self.kind())?;
        if !self.group().is_empty() {
            f.write_str(".")?;
            f.write_str(self.group())?;
        }
        if let Some(namespace) = self.namespace() {
            f.write_str("/")?;
            f.write_str(namespace)?;
        }
        f.write_str("/")?;
        f.write_str(self.name())
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectKey({self})")
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
        key.kind().eq_ignore_ascii_case(&self.kind)
            && self
                .group
                .as_deref()
                .is_none_or(|group| group.eq_ignore_ascii_case(key.group()))
            && self.namespace.as_deref() == key.namespace()
            && self.name == key.name()
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
                .then(|| key.group().to_owned()),
            kind: key.kind().to_owned(),
            namespace: key.namespace().map(str::to_owned),
            name: key.name().to_owned(),
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
    fn keys_are_ordered_by_kind_group_namespace_and_name() {
        let texts = [
            "A/b", "A/b/a", "A/b/b", "A/b-c/a", "A.a/z", "A.a-b/a", "Aa/a",
        ];
        let keys = texts.map(|text| text.parse::<ObjectKey>().expect(text));
        assert!(keys.is_sorted());
        assert_eq!(keys[0].namespace(), None);
        assert_eq!(
            keys[4].tokens().split('.').collect::<Vec<_>>(),
            ["A", "a", "_", "z"]
        );
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
