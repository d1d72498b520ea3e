//! Label and field selectors.

use serde_json::Value;

/// Which labels an object must have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if !part.is_empty() {
                requirements.push(requirement(part).ok_or_else(|| {
                    format!("unable to parse requirement: {part:?} is not a label selector")
                })?);
            }
        }
        Ok(LabelSelector(requirements))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn matches(&self, labels: &[(Box<str>, Box<str>)]) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels
                .iter()
                .find(|(key, _)| **key == *requirement.key)
                .map(|(_, value)| &**value);
            match &requirement.test {
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::In(values) => {
                    value.is_some_and(|value| values.iter().any(|wanted| wanted == value))
                }
                Test::NotIn(values) => {
                    !value.is_some_and(|value| values.iter().any(|wanted| wanted == value))
                }
                Test::Greater(limit) => value
                    .and_then(|value| value.parse::<i64>().ok())
                    .is_some_and(|value| value > *limit),
                Test::Less(limit) => value
                    .and_then(|value| value.parse::<i64>().ok())
                    .is_some_and(|value| value < *limit),
            }
        })
    }
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut depth = 0_i32;
    let mut start = 0;
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<Requirement> {
    let make = |key: &str, test| {
        let key = key.trim();
        let good =
            |character: char| character.is_ascii_alphanumeric() || "-_./".contains(character);
        (!key.is_empty() && key.chars().all(good)).then(|| Requirement {
            key: key.to_owned(),
            test,
        })
    };
    let good_value = |value: &&str| {
        value
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
    };
    let one = |value: &str| {
        Some(value.trim())
            .filter(good_value)
            .map(|value| vec![value.to_owned()])
    };
    if let Some(key) = part.strip_prefix('!') {
        return make(key, Test::Absent);
    }
    if let Some((key, value)) = part.split_once("!=") {
        return make(key, Test::NotIn(one(value)?));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return make(key, Test::In(one(value)?));
    }
    if let Some((key, value)) = part.split_once('>') {
        return make(key, Test::Greater(value.trim().parse().ok()?));
    }
    if let Some((key, value)) = part.split_once('<') {
        return make(key, Test::Less(value.trim().parse().ok()?));
    }
    let Some((head, list)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) else {
        return make(part, Test::Exists);
    };
    let values = list
        .split(',')
        .map(one)
        .collect::<Option<Vec<_>>>()?
        .concat();
    match head.split_whitespace().collect::<Vec<_>>().as_slice() {
        [key, "in"] => make(key, Test::In(values)),
        [key, "notin"] => make(key, Test::NotIn(values)),
        _ => None,
    }
}

/// Which values some fields must have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct FieldSelector(Vec<FieldTest>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTest {
    path: String,
    value: String,
    equal: bool,
}

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";

/// What else some kinds can be selected by, besides `metadata.name` and `metadata.namespace`.
const SELECTABLE: [(&str, &[&str]); 6] = [
    (
        "pods",
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.serviceAccountName",
            "spec.schedulerName",
            "status.phase",
            "status.podIP",
        ],
    ),
    ("secrets", &["type"]),
    ("namespaces", &["status.phase"]),
    ("nodes", &["spec.unschedulable"]),
    (
        "events",
        &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "reason",
            "type",
        ],
    ),
    ("jobs.batch", &["status.successful"]),
];

impl FieldSelector {
    /// Reads `a.b=c,d!=e`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut tests = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (path, value, equal) = match (
                part.split_once("!="),
                part.split_once("==").or_else(|| part.split_once('=')),
            ) {
                (Some((path, value)), _) => (path, value, false),
                (None, Some((path, value))) => (path, value, true),
                (None, None) => {
                    return Err(format!(
                        "invalid selector: {text:?}; can't understand {part:?}"
                    ));
                }
            };
            tests.push(FieldTest {
                path: path.to_owned(),
                value: value.to_owned(),
                equal,
            });
        }
        Ok(FieldSelector(tests))
    }

    /// The first path by which this resource's objects cannot be selected.
    pub(crate) fn unsupported(&self, resource: &str) -> Option<&str> {
        let selectable = SELECTABLE
            .iter()
            .find(|(name, _)| *name == resource)
            .map_or(&[][..], |(_, paths)| paths);
        let supported =
            |path: &str| path == NAME || path == NAMESPACE || selectable.contains(&path);
        self.0
            .iter()
            .map(|test| test.path.as_str())
            .find(|path| !supported(path))
    }

    /// Whether an object matches. `body` reads the whole object, and is asked only if a test needs it.
    pub(crate) fn matches(
        &self,
        name: &str,
        namespace: &str,
        body: impl FnOnce() -> Value,
    ) -> bool {
        let mut read = None;
        let mut body = Some(body);
        self.0.iter().all(|test| {
            let equal = match test.path.as_str() {
                NAME => name == test.value,
                NAMESPACE => namespace == test.value,
                path => {
                    if let Some(body) = body.take() {
                        read = Some(body());
                    }
                    let found = path
                        .split('.')
                        .try_fold(read.as_ref().unwrap_or(&Value::Null), |value, step| {
                            value.get(step)
                        });
                    match found {
                        Some(Value::String(text)) => *text == test.value,
                        Some(Value::Null) | None => test.value.is_empty(),
                        Some(other) => {
                            let text = other.to_string();
                            text == test.value
                        }
                    }
                }
            };
            equal == test.equal
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each operator chooses as Kubernetes documents it.
    #[test]
    fn labels() {
        let labels: Vec<(Box<str>, Box<str>)> =
            vec![("app".into(), "web".into()), ("tier".into(), "3".into())];
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier", true),
            ("app=api", false),
            ("app!=api", true),
            ("other!=x", true),
            ("app in (api, web)", true),
            ("app notin (api,web)", false),
            ("other notin (x)", true),
            ("app in (web),!other", true),
            ("!app", false),
            ("tier>2,tier<4", true),
            ("tier>3", false),
        ] {
            assert_eq!(
                LabelSelector::parse(selector).unwrap().matches(&labels),
                expected,
                "{selector}"
            );
        }
        for selector in ["a b", "=x", "a in b", "a near (b)", "a=b c", "a>x"] {
            assert!(
                LabelSelector::parse(selector).is_err(),
                "{selector} was read"
            );
        }
    }

    /// Names and the few selectable fields are compared; others are refused.
    #[test]
    fn fields() {
        let body = || json!({"type": "Opaque", "status": {"phase": "Active"}});
        for (selector, expected) in [
            ("metadata.name=web", true),
            ("metadata.name!=web", false),
            ("metadata.namespace=shop,metadata.name=web", true),
            ("status.phase=Active", true),
            ("status.phase!=Active", false),
            ("status.missing=", true),
        ] {
            assert_eq!(
                FieldSelector::parse(selector)
                    .unwrap()
                    .matches("web", "shop", body),
                expected,
                "{selector}"
            );
        }
        let by_type = FieldSelector::parse("type=Opaque").unwrap();
        assert_eq!(by_type.unsupported("secrets"), None);
        assert_eq!(by_type.unsupported("configmaps"), Some("type"));
        assert!(FieldSelector::parse("nonsense").is_err());
    }
}
