//! A role's patterns as NATS permissions: a template for a signing key, or what one user may do, to be compared with what a server allows.

use fleetcast_bus::streams;
use fleetcast_schemas::role::limits::covers;
use fleetcast_schemas::role::{Role, Stream};

/// What the words of a pattern become in a permission template of NATS.
const TEMPLATE: [(&str, &str); 4] = [
    ("{name}", "{{name()}}"),
    ("{p}", "{{tag(p)}}"),
    ("{kind}", "{{tag(kind)}}"),
    ("{ns}", "{{tag(ns)}}"),
];

/// What may be published and subscribed to; everything else is denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Subjects that may be published.
    pub publish: Vec<String>,
    /// Subjects that may be subscribed to.
    pub subscribe: Vec<String>,
}

/// One user, as far as permissions depend on him.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// The token of his name.
    pub name: String,
    /// The partition of an agent's cluster.
    pub partition: Option<String>,
    /// The kinds that a publisher is limited to, `<kind>.<group>` in tokens; none for all.
    pub kinds: Vec<String>,
    /// The namespaces, in tokens; none for all.
    pub namespaces: Vec<String>,
}

impl Permissions {
    /// The template of a role where there are so many partitions.
    pub fn template(role: Role, partitions: u16) -> Self {
        Self::filled(role, partitions, |pattern| {
            let mut subject = pattern.to_owned();
            for (word, function) in TEMPLATE {
                subject = subject.replace(word, function);
            }
            vec![subject]
        })
    }

    /// What one user of a role may do: what the server should make of the template.
    pub fn of(role: Role, partitions: u16, user: &User) -> Self {
        let or_any = |list: &[String], any: &str| match list {
            [] => vec![any.to_owned()],
            list => list.to_vec(),
        };
        let (kinds, namespaces) = (or_any(&user.kinds, "*.*"), or_any(&user.namespaces, "*"));
        Self::filled(role, partitions, |pattern| {
            let pattern = pattern
                .replace("{name}", &user.name)
                .replace("{p}", user.partition.as_deref().unwrap_or_default());
            let mut subjects = Vec::new();
            for kind in &kinds {
                for namespace in &namespaces {
                    let subject = pattern.replace("{kind}", kind).replace("{ns}", namespace);
                    if !subjects.contains(&subject) {
                        subjects.push(subject);
                    }
                }
            }
            subjects
        })
    }

    fn filled(role: Role, partitions: u16, fill: impl Fn(&str) -> Vec<String>) -> Self {
        let grant = role.grant();
        let mut publish: Vec<String> = grant
            .publish
            .iter()
            .flat_map(|pattern| fill(pattern))
            .collect();
        for (stream, calls) in grant.streams {
            for name in names(*stream, partitions) {
                publish.extend(calls.iter().flat_map(|call| call.subjects(&name)));
            }
        }
        let mut subscribe: Vec<String> = grant
            .subscribe
            .iter()
            .flat_map(|pattern| fill(pattern))
            .collect();
        subscribe.extend(fill(&format!("{}.>", grant.inbox)));
        Self { publish, subscribe }
    }

    /// Whether `subject` may be published.
    pub fn may_publish(&self, subject: &str) -> bool {
        self.publish.iter().any(|pattern| covers(pattern, subject))
    }

    /// Whether `subject`, which may have wildcards, may be subscribed to.
    pub fn may_subscribe(&self, subject: &str) -> bool {
        self.subscribe
            .iter()
            .any(|pattern| covers(pattern, subject))
    }
}

/// The names of the streams of a kind, where there are so many partitions.
pub fn names(stream: Stream, partitions: u16) -> Vec<String> {
    match stream {
        Stream::Log => vec![streams::LOG.to_owned()],
        Stream::Base => vec![streams::BASE.to_owned()],
        Stream::Acks => (0..partitions).map(streams::acks).collect(),
        Stream::Work => (0..partitions).map(streams::work).collect(),
        Stream::Heartbeat => vec![streams::HEARTBEAT.to_owned()],
        Stream::Dead => vec![streams::DEAD.to_owned()],
        Stream::Leader => vec![format!("KV_{}", streams::LEADER)],
        Stream::Bodies => vec![format!("OBJ_{}", streams::BODIES)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_is_limited_to_each_kind_in_each_namespace() {
        let user = User {
            name: "ci".to_owned(),
            kinds: vec!["ConfigMap._".to_owned(), "Deployment.apps".to_owned()],
            namespaces: vec!["shop".to_owned(), "_".to_owned()],
            ..User::default()
        };
        let limited = Permissions::of(Role::Publisher, 1, &user);
        for (subject, allowed) in [
            ("fc.in.apply.ConfigMap._.shop.a", true),
            ("fc.in.delete.Deployment.apps._.a", true),
            ("fc.in.apply.ConfigMap._.bank.a", false),
            ("fc.in.apply.Secret._.shop.a", false),
            ("fc.query.objects.ConfigMap._.shop.a", true),
            ("fc.query.objects._._._._", false),
            ("fc.query.documents.ConfigMap._.shop.a", false),
        ] {
            assert_eq!(limited.may_publish(subject), allowed, "{subject}");
        }
        let whole = Permissions::of(Role::Publisher, 1, &User::default());
        assert!(whole.may_publish("fc.in.apply.Secret._.shop.a"));
        assert!(!whole.may_publish("fc.log.change.Secret._.shop.a"));
    }

    #[test]
    fn ingest_takes_messages_away_from_work_only() {
        let ingest = Permissions::template(Role::Ingest, 2);
        for (subject, allowed) in [
            ("$JS.API.STREAM.PURGE.FC_WORK_p01", true),
            ("$JS.API.STREAM.PURGE.FC_WORK_p02", false),
            ("$JS.API.STREAM.PURGE.FC_LOG", false),
            ("$JS.API.STREAM.DELETE.FC_WORK_p01", false),
        ] {
            assert_eq!(ingest.may_publish(subject), allowed, "{subject}");
        }
    }
}
