//! Which values of a document are to be sealed, whatever dialect it is written in.
//!
//! | document | what is looked at |
//! |---|---|
//! | the object itself (plain, under policies) | the fields of its kind's rule |
//! | `FederatedObject`, KubeFed's `Federated<Kind>` | those of `spec.template`; values of JSON patches in `spec.overrides` that reach into them |
//! | Karmada's override policies about such a kind, or about every kind | values of `plaintext` that reach into them |

use std::fmt;

use fleetcast_core::Refusal;
use fleetcast_core::dialect;
use fleetcast_core::model::ObjectKey;
use serde_json::Value;

/// Where kubectl keeps what was applied last, values included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields of one kind whose values are sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    kind: String,
    group: String,
    /// The steps of a JSON pointer; `*` is any.
    steps: Vec<String>,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no field: KIND[.GROUP]:/POINTER, as in Database.example.dev:/spec/password")]
pub struct RuleError(String);

impl std::str::FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let no = || RuleError(text.to_owned());
        let (kind, pointer) = text.split_once(':').ok_or_else(no)?;
        let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
        let steps = steps(pointer);
        let names_a_field = pointer.starts_with('/') && !steps.is_empty();
        if kind.is_empty() || !names_a_field || steps.iter().any(String::is_empty) {
            return Err(no());
        }
        Ok(Self::new(kind, group, pointer))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        f.write_str(":")?;
        let escaped = |step: &String| step.replace('~', "~0").replace('/', "~1");
        self.steps
            .iter()
            .try_for_each(|step| write!(f, "/{}", escaped(step)))
    }
}

impl Rule {
    fn new(kind: &str, group: &str, pointer: &str) -> Self {
        Self {
            kind: kind.to_owned(),
            group: group.to_owned(),
            steps: steps(pointer),
        }
    }

    /// The rules that always hold: the data of Secrets.
    pub fn of_secrets() -> Vec<Self> {
        ["/data", "/stringData"]
            .map(|pointer| Self::new("Secret", "", pointer))
            .into()
    }

    fn is_about(&self, kind: &str, group: &str) -> bool {
        self.kind == kind && self.group == group
    }
}

/// Whether it is an override policy: what it brings stands in manifests of other objects.
pub(crate) fn is_policy(key: &ObjectKey) -> bool {
    key.group() == "policy.karmada.io"
        && matches!(key.kind(), "OverridePolicy" | "ClusterOverridePolicy")
}

/// The steps of a JSON pointer.
fn steps(pointer: &str) -> Vec<String> {
    let pointer = pointer.strip_prefix('/').unwrap_or(pointer);
    if pointer.is_empty() {
        return Vec::new();
    }
    let unescaped = |step: &str| step.replace("~1", "/").replace("~0", "~");
    pointer.split('/').map(unescaped).collect()
}

/// What is done to a value that is to be sealed, and stands in a field.
type Visit<'a> = dyn FnMut(&mut Value, &str) -> Result<(), Refusal> + 'a;

/// Visits every value in `document` that is to be sealed, and takes away what repeats them; whether the document is one that has such values.
///
/// # Errors
/// That of `visit`, with the field; what cannot be sealed where it stands.
pub(crate) fn visit(
    rules: &[Rule],
    document: &mut Value,
    target: &ObjectKey,
    visit: &mut Visit<'_>,
) -> Result<bool, Refusal> {
    if is_policy(target) {
        return of_policy(rules, document, visit);
    }
    let own_kind = text(document, "/kind");
    let own_group = text(document, "/apiVersion");
    let own_group = dialect::group_of(&own_group).to_owned();
    let template_kind = text(document, "/spec/template/kind");
    let template_group = text(document, "/spec/template/apiVersion");
    let template_group = dialect::group_of(&template_group).to_owned();
    let is_itself = |rule: &&Rule| rule.is_about(&own_kind, &own_group);
    let is_federated = matches!(own_group.as_str(), "fleetcast.dev" | "types.kubefed.io");
    let is_template = |rule: &&Rule| {
        rule.is_about(&template_kind, &template_group)
            || (is_federated
                && (rule.is_about(target.kind(), target.group())
                    || own_kind.strip_prefix("Federated") == Some(&rule.kind)))
    };
    let itself: Vec<&Rule> = rules.iter().filter(is_itself).collect();
    let templates: Vec<&Rule> = rules.iter().filter(is_template).collect();
    for rule in &itself {
        under(document, &rule.steps, "", visit)?;
    }
    for rule in &templates {
        let Some(template) = document.pointer_mut("/spec/template") else {
            continue;
        };
        under(template, &rule.steps, "spec.template", visit)?;
    }
    if !templates.is_empty()
        && let Some(Value::Array(overrides)) = document.pointer_mut("/spec/overrides")
    {
        for (at, one) in overrides.iter_mut().enumerate() {
            for list in ["patches", "clusterOverrides"] {
                let Some(Value::Array(patches)) = one.get_mut(list) else {
                    continue;
                };
                for (index, patch) in patches.iter_mut().enumerate() {
                    let field = format!("spec.overrides[{at}].{list}[{index}]");
                    of_patch(&templates, patch, &field, visit)?;
                }
            }
        }
    }
    let has_any = !itself.is_empty() || !templates.is_empty();
    if has_any {
        forget_last_applied(document);
    }
    Ok(has_any)
}

/// The values that an override policy brings into objects of a kind that has a rule.
fn of_policy(rules: &[Rule], document: &mut Value, visit: &mut Visit<'_>) -> Result<bool, Refusal> {
    let selectors = document.pointer("/spec/resourceSelectors");
    let selectors = selectors.and_then(Value::as_array);
    let named: Option<Vec<(String, String)>> = selectors.filter(|all| !all.is_empty()).map(|all| {
        all.iter()
            .map(|one| {
                let api_version = text(one, "/apiVersion");
                let group = dialect::group_of(&api_version).to_owned();
                (text(one, "/kind"), group)
            })
            .collect()
    });
    let concerns = |rule: &&Rule| match &named {
        None => true,
        Some(kinds) => kinds.iter().any(|(kind, group)| rule.is_about(kind, group)),
    };
    let rules: Vec<&Rule> = rules.iter().filter(concerns).collect();
    if rules.is_empty() {
        return Ok(false);
    }
    if let Some(overriders) = document.pointer_mut("/spec/overriders") {
        of_overriders(
            &rules,
            overriders,
            named.is_some(),
            "spec.overriders",
            visit,
        )?;
    }
    if let Some(Value::Array(list)) = document.pointer_mut("/spec/overrideRules") {
        for (at, one) in list.iter_mut().enumerate() {
            let field = format!("spec.overrideRules[{at}].overriders");
            if let Some(overriders) = one.get_mut("overriders") {
                of_overriders(&rules, overriders, named.is_some(), &field, visit)?;
            }
        }
    }
    forget_last_applied(document);
    Ok(true)
}

fn of_overriders(
    rules: &[&Rule],
    overriders: &mut Value,
    is_named: bool,
    field: &str,
    visit: &mut Visit<'_>,
) -> Result<(), Refusal> {
    if let Some(Value::Array(list)) = overriders.get_mut("plaintext") {
        for (at, one) in list.iter_mut().enumerate() {
            of_patch(rules, one, &format!("{field}.plaintext[{at}]"), visit)?;
        }
    }
    if let Some(Value::Array(list)) = overriders.get("fieldOverrider") {
        for (at, one) in list.iter().enumerate() {
            let path = steps(&text(one, "/fieldPath"));
            let reaches = rules.iter().any(|rule| matches_front(&rule.steps, &path));
            if is_named && reaches {
                return Err(Refusal::new(
                    format!("{field}.fieldOverrider[{at}].fieldPath"),
                    "reaches into a sealed value, which can only be replaced as a whole: use plaintext",
                ));
            }
        }
    }
    Ok(())
}

/// The value of one JSON patch, as far as it lands in a field of a rule.
fn of_patch(
    rules: &[&Rule],
    patch: &mut Value,
    field: &str,
    visit: &mut Visit<'_>,
) -> Result<(), Refusal> {
    let path = steps(&text(patch, "/path"));
    let Some(value) = patch.get_mut("value") else {
        return Ok(());
    };
    let field = format!("{field}.value");
    for rule in rules {
        if matches_front(&rule.steps, &path) {
            // It lands inside, or is the field.
            return leaves(value, &field, visit);
        }
        if matches_front(&path, &rule.steps) {
            under(value, &rule.steps[path.len()..], &field, visit)?;
        }
    }
    Ok(())
}

/// Whether `whole` begins with the steps of `front`; `*` and the end of a list are any step.
fn matches_front(front: &[String], whole: &[String]) -> bool {
    let alike = |(a, b): (&String, &String)| a == b || [a, b].iter().any(|step| *step == "*");
    front.len() <= whole.len() && front.iter().zip(whole).all(alike)
}

/// Visits what stands under `steps`.
fn under(
    value: &mut Value,
    steps: &[String],
    field: &str,
    visit: &mut Visit<'_>,
) -> Result<(), Refusal> {
    let Some((step, rest)) = steps.split_first() else {
        return leaves(value, field, visit);
    };
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                if step == "*" || step == key {
                    under(entry, rest, &join(field, key), visit)?;
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if step == "*" || *step == index.to_string() {
                    under(item, rest, &format!("{field}[{index}]"), visit)?;
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}

/// Visits every value in `value` that has no parts.
fn leaves(value: &mut Value, field: &str, visit: &mut Visit<'_>) -> Result<(), Refusal> {
    match value {
        Value::Null => Ok(()),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            visit(value, field).map_err(|refusal| Refusal::new(field, refusal.message))
        }
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(index, item)| leaves(item, &format!("{field}[{index}]"), visit))
        }
        Value::Object(entries) => {
            let mut entries = entries.iter_mut();
            entries.try_for_each(|(key, entry)| leaves(entry, &join(field, key), visit))
        }
    }
}

fn join(field: &str, key: &str) -> String {
    if key.contains('.') {
        return format!("{field}[{key:?}]");
    }
    match field {
        "" => key.to_owned(),
        field => format!("{field}.{key}"),
    }
}

fn forget_last_applied(document: &mut Value) {
    for pointer in [
        "/metadata/annotations",
        "/spec/template/metadata/annotations",
    ] {
        if let Some(Value::Object(annotations)) = document.pointer_mut(pointer) {
            annotations.remove(LAST_APPLIED);
        }
    }
}

fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
