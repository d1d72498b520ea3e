//! Label selectors and tolerations, with Kubernetes' meaning.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cluster::{Cluster, Taint, TaintEffect};
use super::name::ClusterName;
use crate::Refusal;
use crate::field::Field;

/// A label selector: all requirements must hold; none selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One requirement of a selector.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
struct Requirement {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads `{matchLabels, matchExpressions}`.
    ///
    /// # Errors
    /// An operator that does not exist, values where none belong or none where some do.
    pub fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["matchLabels", "matchExpressions"])?;
        let mut requirements: Vec<Requirement> = field
            .get("matchLabels")
            .strings()?
            .into_iter()
            .map(|(key, value)| Requirement {
                key,
                operator: Operator::In,
                values: vec![value],
            })
            .collect();
        for expression in field.get("matchExpressions").list()? {
            requirements.push(Requirement::read(&expression)?);
        }
        Ok(Self { requirements })
    }

    /// The first requirement that `labels` do not meet, in words; none where all are met.
    pub fn unmet(&self, labels: &BTreeMap<String, String>) -> Option<String> {
        self.requirements
            .iter()
            .find(|requirement| !requirement.is_met(labels))
            .map(|requirement| requirement.unmet_by(labels))
    }

    /// Whether `labels` meet every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.is_met(labels))
    }

    /// The selector in the form of `kubectl -l`: `region in (eu),tier=prod`.
    pub fn for_people(&self) -> String {
        if self.requirements.is_empty() {
            return "everything".to_owned();
        }
        self.requirements
            .iter()
            .map(Requirement::for_people)
            .collect::<Vec<_>>()
            .join(",")
    }
}

impl Requirement {
    fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["key", "operator", "values"])?;
        let key = field.get("key").string()?.to_owned();
        let operator = match field.get("operator").string()? {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                return Err(field.get("operator").refuse(format!(
                    "{other:?} is none of In, NotIn, Exists, DoesNotExist"
                )));
            }
        };
        let values = field
            .get("values")
            .list()?
            .iter()
            .map(|value| value.string().map(str::to_owned))
            .collect::<Result<Vec<_>, _>>()?;
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => Err(field
                .get("values")
                .refuse("must name at least one value for In and NotIn")),
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => Err(field
                .get("values")
                .refuse("must be empty for Exists and DoesNotExist")),
            Operator::In | Operator::NotIn | Operator::Exists | Operator::DoesNotExist => {
                Ok(Self {
                    key,
                    operator,
                    values,
                })
            }
        }
    }

    fn is_met(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
        }
    }

    fn unmet_by(&self, labels: &BTreeMap<String, String>) -> String {
        let found = match labels.get(&self.key) {
            Some(value) => format!("{}={value}", self.key),
            None => format!("no label {}", self.key),
        };
        format!("wants {}, has {found}", self.for_people())
    }

    fn for_people(&self) -> String {
        let Self {
            key,
            operator,
            values,
        } = self;
        match operator {
            Operator::In if values.len() == 1 => format!("{key}={}", values[0]),
            Operator::In => format!("{key} in ({})", values.join(",")),
            Operator::NotIn => format!("{key} notin ({})", values.join(",")),
            Operator::Exists => key.clone(),
            Operator::DoesNotExist => format!("!{key}"),
        }
    }
}

/// Whether `cluster` is named and selected: what is absent means every cluster.
pub fn means(
    names: Option<&[ClusterName]>,
    selector: Option<&Selector>,
    cluster: &Cluster,
) -> bool {
    names.is_none_or(|names| names.contains(&cluster.name))
        && selector.is_none_or(|selector| selector.matches(&cluster.labels))
}

/// Lets an object onto clusters with a matching taint (Kubernetes' meaning: no key with Exists tolerates all).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Toleration {
    key: Option<String>,
    /// The value that must be equal; none where the operator is Exists.
    value: Option<String>,
    /// The effect tolerated; none for all.
    effect: Option<TaintEffect>,
}

impl Toleration {
    /// Reads `{key, operator, value, effect}`.
    ///
    /// # Errors
    /// An operator or an effect that does not exist, Equal without a key, Exists with a value.
    pub fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        field.only(&["key", "operator", "value", "effect"])?;
        let key = field.get("key").optional_string()?.map(str::to_owned);
        let value = field.get("value").optional_string()?.map(str::to_owned);
        let value = match field.get("operator").optional_string()?.unwrap_or("Equal") {
            "Exists" if value.is_some() => {
                return Err(field.get("value").refuse("must be absent for Exists"));
            }
            "Exists" => None,
            "Equal" if key.is_none() => {
                return Err(field.get("key").refuse("is required for Equal"));
            }
            "Equal" => Some(value.unwrap_or_default()),
            other => {
                return Err(field
                    .get("operator")
                    .refuse(format!("{other:?} is none of Exists, Equal")));
            }
        };
        let effect = field.get("effect");
        let effect = match effect.is_present() {
            true => Some(TaintEffect::read(&effect)?),
            false => None,
        };
        Ok(Self { key, value, effect })
    }

    /// Whether this lets the object onto a cluster with `taint`; nothing does onto one that is to leave.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        !taint.is_leaving()
            && self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self
                .value
                .as_ref()
                .is_none_or(|value| *value == taint.value)
            && self.effect.is_none_or(|effect| effect == taint.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn requirements_select_as_kubernetes_does() {
        let eu = labels(&[("region", "eu")]);
        for (selector, expected) in [
            (json!({}), true),
            (json!({"matchLabels": {}}), true),
            (json!({"matchLabels": {"region": "eu"}}), true),
            (json!({"matchLabels": {"region": "us"}}), false),
            (
                json!({"matchExpressions": [{"key": "region", "operator": "In", "values": ["us", "eu"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "region", "operator": "NotIn", "values": ["eu"]}]}),
                false,
            ),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["prod"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "region", "operator": "Exists"}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "region", "operator": "DoesNotExist"}]}),
                false,
            ),
        ] {
            let read = Selector::read(&Field::root(&selector)).expect("valid");
            assert_eq!(read.matches(&eu), expected, "{selector}");
            assert_eq!(read.unmet(&eu).is_none(), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_its_field() {
        for (selector, field) in [
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Like"}]}),
                "matchExpressions[0].operator",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
                "matchExpressions[0].values",
            ),
            (
                json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
                "matchExpressions[0].values",
            ),
            (json!({"matchLabels": {"a": 1}}), "matchLabels.a"),
            (json!({"matchLabel": {}}), "matchLabel"),
        ] {
            assert_eq!(
                Selector::read(&Field::root(&selector))
                    .expect_err("refused")
                    .field,
                field
            );
        }
    }

    #[test]
    fn tolerations_match_as_kubernetes_does() {
        let taint = Taint {
            key: "maintenance".into(),
            value: "yes".into(),
            effect: TaintEffect::NoSchedule,
        };
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "maintenance", "operator": "Exists"}), true),
            (json!({"key": "maintenance", "value": "yes"}), true),
            (json!({"key": "maintenance", "value": "no"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
            (json!({"operator": "Exists", "effect": "NoExecute"}), false),
        ] {
            let read = Toleration::read(&Field::root(&toleration)).expect("valid");
            assert_eq!(read.tolerates(&taint), expected, "{toleration}");
        }
    }
}
