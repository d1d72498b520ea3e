//! Which clusters an affinity means: exclusion first, then labels, fields and names, all of them together.
//!
//! Every absent or empty part matches, so `{}` is every cluster. A malformed selector matches nothing, as in Karmada.

use std::collections::BTreeSet;

use crate::Refusal;
use crate::field::Field;
use crate::model::Selector;
use crate::placement::Exclusion;

use super::member::{Member, strings};

/// A `ClusterAffinity`: of a placement, a static weight or an override rule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ClusterAffinity {
    names: BTreeSet<String>,
    exclude: BTreeSet<String>,
    labels: Option<Result<Selector, Refusal>>,
    fields: Vec<FieldRequirement>,
}

/// A requirement on a cluster's provider, region or zones.
#[derive(Debug, Clone, PartialEq)]
struct FieldRequirement {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl ClusterAffinity {
    /// Reads `{clusterNames, exclude, labelSelector, fieldSelector}`; other fields are the reader's of the surrounding object.
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let labels = field.get("labelSelector");
        let fields = field
            .get("fieldSelector")
            .get("matchExpressions")
            .list()?
            .iter()
            .map(|expression| {
                Ok(FieldRequirement {
                    key: expression.get("key").string()?.to_owned(),
                    operator: expression.get("operator").string()?.to_owned(),
                    values: strings(&expression.get("values"))?,
                })
            })
            .collect::<Result<_, Refusal>>()?;
        Ok(Self {
            names: strings(&field.get("clusterNames"))?.into_iter().collect(),
            exclude: strings(&field.get("exclude"))?.into_iter().collect(),
            labels: labels.is_present().then(|| Selector::read(&labels)),
            fields,
        })
    }

    /// The clusters that it names, registered or not, without those that it excludes.
    pub(super) fn named(&self) -> impl Iterator<Item = &str> {
        self.names
            .iter()
            .filter(|name| !self.exclude.contains(*name))
            .map(String::as_str)
    }

    /// Whether it leaves `member` out by name.
    pub(super) fn excludes(&self, member: &Member) -> bool {
        self.exclude.contains(member.name.as_str())
    }

    /// Whether it means `member`.
    pub(super) fn matches(&self, member: &Member) -> bool {
        !self.excludes(member)
            && match &self.labels {
                None => true,
                Some(Ok(selector)) => selector.matches(&member.labels),
                Some(Err(_)) => false,
            }
            && self.fields.iter().all(|field| field.is_met(member))
            && (self.names.is_empty() || self.names.contains(member.name.as_str()))
    }

    /// Why it means the clusters that it means.
    pub(super) fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(Ok(selector)) = &self.labels {
            reasons.push(format!(
                "selected by its labels ({})",
                selector.for_people()
            ));
        }
        let by_fields =
            |field: &FieldRequirement| format!("selected by its fields ({})", field.for_people());
        reasons.extend(self.fields.iter().map(by_fields));
        if !self.names.is_empty() {
            reasons.push("named in clusterNames".to_owned());
        }
        if reasons.is_empty() {
            reasons.push("the affinity means every cluster".to_owned());
        }
        reasons
    }

    /// Why it does not mean `member`; none where it does.
    pub(super) fn unmet(&self, member: &Member) -> Option<(Exclusion, String)> {
        let no = |message: String| Some((Exclusion::NotSelected, message));
        if self.excludes(member) {
            return Some((Exclusion::Excluded, "is left out by exclude".to_owned()));
        }
        match &self.labels {
            None => {}
            Some(Err(refusal)) => {
                return no(format!(
                    "the labelSelector is malformed and so selects no cluster ({refusal})"
                ));
            }
            Some(Ok(selector)) => {
                if let Some(unmet) = selector.unmet(&member.labels) {
                    return no(format!("the labelSelector {unmet}"));
                }
            }
        }
        if let Some(unmet) = self.fields.iter().find(|field| !field.is_met(member)) {
            return no(format!("the fieldSelector wants {}", unmet.for_people()));
        }
        if !self.names.is_empty() && !self.names.contains(member.name.as_str()) {
            return no("is not named in clusterNames".to_owned());
        }
        None
    }
}

impl FieldRequirement {
    fn is_met(&self, member: &Member) -> bool {
        if self.key == "zone" {
            let known = member.zones.iter().any(|zone| self.values.contains(zone));
            return match self.operator.as_str() {
                "In" => known,
                "NotIn" => !known,
                "Exists" => !member.zones.is_empty(),
                "DoesNotExist" => member.zones.is_empty(),
                _ => false,
            };
        }
        let value = match self.key.as_str() {
            "provider" => member.provider.as_ref(),
            "region" => member.region.as_ref(),
            _ => None,
        };
        // A selector that Kubernetes cannot build (In without values, Exists with some) matches nothing.
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" if self.values.is_empty() => false,
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some() && self.values.is_empty(),
            "DoesNotExist" => value.is_none() && self.values.is_empty(),
            _ => false,
        }
    }

    fn for_people(&self) -> String {
        let Self {
            key,
            operator,
            values,
        } = self;
        if values.is_empty() {
            format!("{key} {operator}")
        } else {
            format!("{key} {operator} ({})", values.join(","))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterName;
    use serde_json::{Value, json};

    fn member() -> Member {
        Member {
            labels: [("tier".to_owned(), "prod".to_owned())].into(),
            provider: Some("aws".to_owned()),
            region: Some("eu".to_owned()),
            zones: vec!["eu-a".to_owned(), "eu-b".to_owned()],
            ..Member::named(ClusterName::parse("m1").expect("valid"))
        }
    }

    fn matches(affinity: &Value, member: &Member) -> bool {
        let affinity = ClusterAffinity::read(&Field::root(affinity)).expect("valid");
        let matches = affinity.matches(member);
        assert_eq!(affinity.unmet(member).is_none(), matches, "{affinity:?}");
        matches
    }

    #[test]
    fn exclusion_then_labels_and_fields_and_names() {
        for (affinity, expected) in [
            (json!({}), true),
            (json!({"clusterNames": []}), true),
            (json!({"clusterNames": ["m1"]}), true),
            (json!({"clusterNames": ["m2"]}), false),
            (json!({"clusterNames": ["m1"], "exclude": ["m1"]}), false),
            (json!({"exclude": ["m2"]}), true),
            (json!({"labelSelector": {}}), true),
            (
                json!({"labelSelector": {"matchLabels": {"tier": "prod"}}}),
                true,
            ),
            (
                json!({"labelSelector": {"matchLabels": {"tier": "prod"}}, "clusterNames": ["m2"]}),
                false,
            ),
            (
                json!({"labelSelector": {"matchLabels": {"tier": "test"}}, "clusterNames": ["m1"]}),
                false,
            ),
            (json!({"fieldSelector": {}}), true),
            (
                json!({"labelSelector": {"matchExpressions": [{"key": "tier", "operator": "Like"}]}}),
                false,
            ),
        ] {
            assert_eq!(matches(&affinity, &member()), expected, "{affinity}");
        }
    }

    #[test]
    fn fields_select_by_provider_region_and_list_of_zones() {
        let bare = Member::named(ClusterName::parse("m2").expect("valid"));
        for (key, operator, values, full, without) in [
            ("provider", "In", json!(["aws", "gcp"]), true, false),
            ("provider", "NotIn", json!(["aws"]), false, true),
            ("region", "In", json!(["us"]), false, false),
            ("region", "Exists", json!([]), true, false),
            ("region", "DoesNotExist", json!([]), false, true),
            ("region", "Gt", json!(["1"]), false, false),
            ("region", "In", json!([]), false, false),
            ("region", "NotIn", json!([]), false, false),
            ("region", "Exists", json!(["eu"]), false, false),
            ("zone", "In", json!(["eu-b", "x"]), true, false),
            ("zone", "NotIn", json!(["eu-b"]), false, true),
            ("zone", "NotIn", json!(["x"]), true, true),
            ("zone", "Exists", json!([]), true, false),
            ("zone", "DoesNotExist", json!([]), false, true),
            ("zone", "Gt", json!(["1"]), false, false),
            ("planet", "In", json!(["earth"]), false, false),
            ("planet", "NotIn", json!(["earth"]), true, true),
            ("planet", "DoesNotExist", json!([]), true, true),
        ] {
            let affinity = json!({"fieldSelector": {"matchExpressions": [{"key": key, "operator": operator, "values": values}]}});
            assert_eq!(matches(&affinity, &member()), full, "{affinity}");
            assert_eq!(matches(&affinity, &bare), without, "{affinity} without");
        }
    }

    #[test]
    fn a_cluster_that_is_left_out_hears_why() {
        let judge = |affinity: Value| {
            ClusterAffinity::read(&Field::root(&affinity))
                .expect("valid")
                .unmet(&member())
                .expect("left out")
        };
        assert_eq!(
            judge(json!({"exclude": ["m1"]})),
            (Exclusion::Excluded, "is left out by exclude".to_owned())
        );
        assert_eq!(
            judge(json!({"labelSelector": {"matchLabels": {"tier": "test"}}})),
            (
                Exclusion::NotSelected,
                "the labelSelector wants tier=test, has tier=prod".to_owned()
            )
        );
    }
}
