//! How Karmada's policies are called in the log.

use crate::model::ObjectKey;

/// The group of Karmada's policies.
pub const GROUP: &str = "policy.karmada.io";

/// The key of a policy: `Cluster<kind>` where it has no namespace.
pub(super) fn key(kind: &str, namespace: Option<&str>, name: &str) -> ObjectKey {
    let kind = match namespace {
        Some(_) => kind.to_owned(),
        None => format!("Cluster{kind}"),
    };
    ObjectKey::new(&kind, GROUP, namespace, name)
        .or_else(|_| ObjectKey::new(&kind, GROUP, namespace, "_"))
        .expect("a kind of ours, a namespace that was read, and a name that is one")
}
