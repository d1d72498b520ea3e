//! Names with their grammar, their limit and the reason for the limit.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Refusal;
use crate::field::Field;

/// The list of cluster names that may stand at `field`, each named once: as its elements, or as their `member`.
///
/// # Errors
/// What is no list, no name, or a name that stood there before.
pub fn read_list(
    field: &Field<'_>,
    member: Option<&str>,
) -> Result<Option<Vec<ClusterName>>, Refusal> {
    if !field.is_present() {
        return Ok(None);
    }
    let mut names = Vec::new();
    let mut seen = BTreeSet::new();
    for element in field.list()? {
        let name = member.map_or_else(|| element.clone(), |member| element.get(member));
        let parsed =
            ClusterName::parse(name.string()?).map_err(|refusal| name.refuse(refusal.message))?;
        if !seen.insert(parsed.clone()) {
            return Err(name.refuse(format!("{parsed} is named twice")));
        }
        names.push(parsed);
    }
    Ok(Some(names))
}

/// Whether `text` is an RFC 1123 subdomain: what Kubernetes takes as the name of most objects (at most 253 bytes).
pub fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label_of_any_length)
}

/// Whether `text` is an RFC 1123 label (at most 63 bytes): what Kubernetes takes as a namespace.
pub fn is_dns_label(text: &str) -> bool {
    text.len() <= 63 && is_dns_label_of_any_length(text)
}

/// Whether `text` may be one segment of a URL path: what Kubernetes takes as the name of RBAC objects (`system:node`).
pub fn is_path_segment(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text != "."
        && text != ".."
        && !text.contains(['/', '%'])
        && !text.chars().any(char::is_control)
}

/// Whether `text` may be a kind: letters and digits, a letter first, at most 63 bytes.
pub fn is_kind(text: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_dns_label_of_any_length(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(inner) && text.ends_with(inner) && text.chars().all(|c| inner(c) || c == '-')
}

/// The name of a member cluster: an RFC 1123 subdomain, since a MemberCluster object of that name must be possible.
/// Its clones share the text.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// Parses a cluster's name.
    ///
    /// # Errors
    /// A refusal without field where `text` is no RFC 1123 subdomain.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if is_dns_subdomain(text) {
            Ok(Self(text.into()))
        } else {
            Err(Refusal::new(
                "",
                format!(
                    "{text:?} is no cluster name: lower-case letters, digits, '-' and '.', at most 253"
                ),
            ))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClusterName {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        (*name.0).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars() {
        for (check, good, bad) in [
            (
                is_dns_subdomain as fn(&str) -> bool,
                vec!["a", "eu-1", "a.b.c", "0"],
                vec!["", "A", "a..b", "-a", "a-", "a_b", "a b", "é"],
            ),
            (is_dns_label, vec!["shop", "a-b"], vec!["a.b", ""]),
            (
                is_path_segment,
                vec!["system:node", "A b"],
                vec!["", ".", "..", "a/b", "a%2F", "a\nb"],
            ),
            (
                is_kind,
                vec!["Deployment", "X1"],
                vec!["", "1X", "A.b", "A-b"],
            ),
        ] {
            for text in good {
                assert!(check(text), "{text:?} should be valid");
            }
            for text in bad {
                assert!(!check(text), "{text:?} should not be valid");
            }
        }
        assert!(!is_dns_label(&"a".repeat(64)));
    }
}
