//! What a publisher is limited to, and what a role so limited may publish: the same for credentials of the bus and for tokens over HTTP.

use fleetcast_core::model::name::{is_dns_label, is_kind};

use super::{Grant, Role};
use crate::subject;

/// The kinds and namespaces that somebody is limited to, as tokens of subjects.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// `<kind>.<group>`; none for all.
    pub kinds: Vec<String>,
    /// The namespaces, `_` for objects that are in none; none for all.
    pub namespaces: Vec<String>,
}

impl Limits {
    /// Reads what a person writes: `Kind` or `Kind.group`, and namespaces or `_`.
    ///
    /// # Errors
    /// What is wrong, for a person; also where a role is limited that cannot be.
    pub fn read(role: Role, kinds: &[String], namespaces: &[String]) -> Result<Self, String> {
        if role != Role::Publisher && !(kinds.is_empty() && namespaces.is_empty()) {
            return Err(format!(
                "kinds and namespaces limit a publisher; {} is none",
                role.word()
            ));
        }
        Ok(Self {
            kinds: kinds
                .iter()
                .map(|kind| kind_tokens(kind))
                .collect::<Result<_, _>>()?,
            namespaces: namespaces
                .iter()
                .map(|namespace| namespace_token(namespace))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Grant {
    /// Whether whoever has this role within `limits` may publish `subject`. Patterns with his own name or partition are not looked at: they are an agent's.
    pub fn may_publish(&self, limits: &Limits, subject: &str) -> bool {
        let or_any = |list: &[String], any: &str| match list {
            [] => vec![any.to_owned()],
            list => list.to_vec(),
        };
        let kinds = or_any(&limits.kinds, "*.*");
        let namespaces = or_any(&limits.namespaces, "*");
        self.publish.iter().any(|pattern| {
            kinds.iter().any(|kind| {
                namespaces.iter().any(|namespace| {
                    let pattern = pattern.replace("{kind}", kind).replace("{ns}", namespace);
                    covers(&pattern, subject)
                })
            })
        })
    }
}

/// Whether everything that `subject` matches is matched by `pattern`, by the wildcards of NATS.
pub fn covers(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

/// `Deployment.apps` as the two tokens of a subject.
///
/// # Errors
/// What is wrong with it.
pub fn kind_tokens(text: &str) -> Result<String, String> {
    let (kind, group) = text.split_once('.').unwrap_or((text, ""));
    let is_group = |group: &str| {
        group
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
    };
    if !is_kind(kind)
        || !kind.starts_with(|first: char| first.is_ascii_uppercase())
        || !is_group(group)
    {
        return Err(format!(
            "--kinds: {text:?} is no kind: as in a manifest, with its group but without a version, such as ConfigMap or Deployment.apps"
        ));
    }
    Ok(format!(
        "{}.{}",
        subject::token(kind),
        subject::token(group)
    ))
}

/// A namespace as a token.
///
/// # Errors
/// What is wrong with it.
pub fn namespace_token(text: &str) -> Result<String, String> {
    match text {
        "_" => Ok("_".to_owned()),
        text if is_dns_label(text) => Ok(subject::token(text)),
        text => Err(format!(
            "--namespaces: {text:?} is no namespace; _ stands for objects that are in none"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_pattern_covers_what_it_matches_and_no_more() {
        for (pattern, subject, covered) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            ("a.*", "a.b.c", false),
            ("a.*", "a.>", false),
            ("a.*", "a.*", true),
            ("a.b", "a.*", false),
            ("a.>", "a.>", true),
            (">", "a", true),
        ] {
            assert_eq!(covers(pattern, subject), covered, "{pattern} {subject}");
        }
    }

    #[test]
    fn who_is_limited_may_publish_so_much() {
        let limits = Limits::read(
            Role::Publisher,
            &owned(&["ConfigMap", "Deployment.apps"]),
            &owned(&["shop", "_"]),
        )
        .expect("valid");
        let publisher = Role::Publisher.grant();
        for (subject, limited, whole) in [
            ("fc.in.apply.ConfigMap._.shop.a", true, true),
            ("fc.in.delete.Deployment.apps._.a", true, true),
            ("fc.in.apply.ConfigMap._.bank.a", false, true),
            ("fc.in.apply.Secret._.shop.a", false, true),
            ("fc.query.objects.ConfigMap._.shop.a", true, true),
            ("fc.query.objects._._._._", false, true),
            ("fc.query.documents.ConfigMap._.shop.a", false, false),
            ("fc.log.change.ConfigMap._.shop.a", false, false),
        ] {
            let all = Limits::default();
            assert_eq!(
                publisher.may_publish(&limits, subject),
                limited,
                "{subject}"
            );
            assert_eq!(publisher.may_publish(&all, subject), whole, "{subject}");
        }
        let all = Limits::default();
        assert!(
            Role::Operator
                .grant()
                .may_publish(&all, "fc.query.documents.Secret._.shop.a")
        );
        assert!(
            !Role::Reader
                .grant()
                .may_publish(&all, "fc.in.apply.ConfigMap._.shop.a")
        );
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for (role, kinds, namespaces, part) in [
            (Role::Publisher, "configmap", "shop", "is no kind"),
            (Role::Publisher, "ConfigMap", "Shop", "is no namespace"),
            (Role::Publisher, "Config.Map.>", "shop", "is no kind"),
            (Role::Reader, "ConfigMap", "shop", "reader is none"),
        ] {
            let why =
                Limits::read(role, &owned(&[kinds]), &owned(&[namespaces])).expect_err("refused");
            assert!(why.contains(part), "{why}");
        }
    }
}
