//! Rules of the operator's for kinds that we know nothing about, in the Common Expression Language (<https://cel.dev>), as `object` sees them.
//!
//! The file that they are read from says, per kind, which expression means what; the first that is true decides, in the order degraded, healthy,
//! progressing. A field that is not there makes its expression false. Where `healthy` is given and none is true the object is progressing; else our
//! own rule for the kind goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cel::{Context, Program, Value as Cel};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Health, State};
use crate::Refusal;

/// The longest expression, bytes.
const EXPRESSION_LIMIT: usize = 4_096;

/// A file of rules.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// One entry a kind.
    #[serde(default)]
    pub health: Vec<Entry>,
}

/// What holds for one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The kind's group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// The kind.
    pub kind: String,
    /// True where the object failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// True where the object is as it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// True where the object is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progressing: Option<String>,
    /// The reason, a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// JSON pointers below `/status` that travel back, in place of those that we select.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Vec<String>>,
}

/// Rules that are ready to be asked.
#[derive(Clone, Default)]
pub struct Rules(Arc<BTreeMap<(String, String), Rule>>);

struct Rule {
    degraded: Option<Program>,
    healthy: Option<Program>,
    progressing: Option<Program>,
    reason: Option<Program>,
    status: Option<Vec<String>>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Rules {
    /// Reads a file's rules.
    ///
    /// # Errors
    /// A refusal that names the field: an expression that cannot be parsed, a kind twice, a pointer that does not lead below the status.
    pub fn read(file: &File) -> Result<Self, Refusal> {
        let mut rules = BTreeMap::new();
        for (index, entry) in file.health.iter().enumerate() {
            let at = |field: &str| format!("health[{index}].{field}");
            let Entry {
                group,
                kind,
                degraded,
                healthy,
                progressing,
                reason,
                status,
            } = entry;
            let compiled = |field: &str, text: &Option<String>| {
                let text = text.as_deref();
                text.map(|text| compile(text).map_err(|error| Refusal::new(at(field), error)))
                    .transpose()
            };
            if kind.is_empty() {
                return Err(Refusal::new(at("kind"), "names no kind"));
            }
            if let Some(wrong) = status
                .iter()
                .flatten()
                .position(|pointer| !pointer.starts_with("/status/"))
            {
                return Err(Refusal::new(
                    at(&format!("status[{wrong}]")),
                    "must be a JSON pointer that begins with /status/",
                ));
            }
            let rule = Rule {
                degraded: compiled("degraded", degraded)?,
                healthy: compiled("healthy", healthy)?,
                progressing: compiled("progressing", progressing)?,
                reason: compiled("reason", reason)?,
                status: status.clone(),
            };
            let key = (group.clone(), kind.clone());
            if rules.insert(key, rule).is_some() {
                return Err(Refusal::new(
                    at("kind"),
                    format!("{kind} stands here twice"),
                ));
            }
        }
        Ok(Self(Arc::new(rules)))
    }

    fn of(&self, live: &Value) -> Option<&Rule> {
        if self.0.is_empty() {
            return None;
        }
        let (group, kind) = super::kind(live);
        self.0.get(&(group.to_owned(), kind.to_owned()))
    }

    /// What the rule for the object's kind says; none where there is none, or none that decides.
    pub(super) fn judge(&self, live: &Value) -> Option<Health> {
        let rule = self.of(live)?;
        let Rule {
            degraded,
            healthy,
            progressing,
            reason,
            status: _,
        } = rule;
        let mut context = Context::default();
        if context.add_variable("object", live).is_err() {
            return Some(Health::unknown(
                "the object cannot be given to a health rule",
            ));
        }
        let holds = |program: &Option<Program>| {
            let program = program.as_ref();
            program.is_some_and(|program| matches!(program.execute(&context), Ok(Cel::Bool(true))))
        };
        let state = if holds(degraded) {
            State::Degraded
        } else if holds(healthy) {
            State::Healthy
        } else if holds(progressing) || healthy.is_some() {
            State::Progressing
        } else {
            return None;
        };
        let reason = match reason.as_ref().map(|program| program.execute(&context)) {
            Some(Ok(Cel::String(text))) => text.to_string(),
            Some(_) | None => String::new(),
        };
        Some(Health::new(state, reason))
    }

    /// Which status fields of the object travel back, where a rule says so.
    pub(super) fn status(&self, live: &Value) -> Option<&[String]> {
        self.of(live)?.status.as_deref()
    }
}

fn compile(text: &str) -> Result<Program, String> {
    if text.len() > EXPRESSION_LIMIT {
        return Err(format!("is longer than {EXPRESSION_LIMIT} bytes"));
    }
    Program::compile(text).map_err(|error| format!("is no CEL expression: {error}"))
}
