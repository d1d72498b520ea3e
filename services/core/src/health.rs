//! How an applied object does in its cluster: healthy, progressing, degraded or unknown, with the reason.
//!
//! The meaning is kstatus's (`sigs.k8s.io/cli-utils/pkg/kstatus`, its `core.go` and `generic.go`) and, where kstatus says nothing about a kind, that
//! of Karmada's interpreters (`karmada-io/karmada` `pkg/resourceinterpreter/default/native/healthy.go`). kstatus's Current is healthy, InProgress and
//! Terminating are progressing, Failed is degraded. A row where we differ says so.
//!
//! | kinds | file |
//! |---|---|
//! | Deployment, StatefulSet, DaemonSet, ReplicaSet | `workloads.rs` |
//! | Pod, Job, CronJob | `pods.rs` |
//! | Service, Ingress, PersistentVolumeClaim | `provisioned.rs` |
//! | PodDisruptionBudget, HorizontalPodAutoscaler | `scaling.rs` |
//! | CustomResourceDefinition, APIService, Namespace | `api.rs` |
//! | every other kind, and what holds for all | `generic.rs` |
//! | rules of the operator's, in CEL | `rules.rs` |
//!
//! **A new rule for a kind**: a function in the file of its family, a line in [`of`], its status fields in `status.rs`, rows in `tests.rs` with the source.

mod api;
mod generic;
mod pods;
mod provisioned;
pub mod rules;
mod scaling;
pub mod status;
mod workloads;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use rules::Rules;

/// The longest reason, characters.
const REASON_LIMIT: usize = 300;

/// How an object does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// In one word.
    pub state: State,
    /// Why, for a person; may be empty where it is healthy.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How an object does, in one word.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is as it should be.
    Healthy,
    /// It is on its way.
    Progressing,
    /// It is not known.
    Unknown,
    /// It failed, and will not come right without somebody's help.
    Degraded,
}

impl State {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Progressing => "progressing",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
        }
    }

    /// The state that `word` stands for.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Healthy,
            Self::Progressing,
            Self::Unknown,
            Self::Degraded,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }
}

impl Health {
    /// As it should be.
    pub fn healthy(reason: impl Into<String>) -> Self {
        Self::new(State::Healthy, reason)
    }

    /// On its way.
    pub fn progressing(reason: impl Into<String>) -> Self {
        Self::new(State::Progressing, reason)
    }

    /// Failed.
    pub fn degraded(reason: impl Into<String>) -> Self {
        Self::new(State::Degraded, reason)
    }

    /// Not known.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::new(State::Unknown, reason)
    }

    /// The reason is cut at 300 characters.
    pub fn new(state: State, reason: impl Into<String>) -> Self {
        let mut reason: String = reason.into();
        if let Some((end, _)) = reason.char_indices().nth(REASON_LIMIT) {
            reason.truncate(end);
            reason.push('…');
        }
        Self { state, reason }
    }
}

/// How `live`, an object as its API server gives it, does. The operator's rules come before ours.
pub fn of(live: &Value, rules: &Rules) -> Health {
    if let Some(health) = generic::deleting(live) {
        return health;
    }
    if let Some(health) = rules.judge(live) {
        return health;
    }
    if let Some(health) = generic::unobserved(live) {
        return health;
    }
    let (group, kind) = kind(live);
    match (group, kind) {
        ("apps", "Deployment") => workloads::deployment(live),
        ("apps", "StatefulSet") => workloads::stateful_set(live),
        ("apps", "DaemonSet") => workloads::daemon_set(live),
        ("apps", "ReplicaSet") => workloads::replica_set(live),
        ("", "Pod") => pods::pod(live),
        ("batch", "Job") => pods::job(live),
        ("batch", "CronJob") => pods::cron_job(live),
        ("", "Service") => provisioned::service(live),
        ("networking.k8s.io", "Ingress") => provisioned::ingress(live),
        ("", "PersistentVolumeClaim") => provisioned::claim(live),
        ("policy", "PodDisruptionBudget") => scaling::disruption_budget(live),
        ("autoscaling", "HorizontalPodAutoscaler") => scaling::autoscaler(live),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => api::definition(live),
        ("apiregistration.k8s.io", "APIService") => api::service(live),
        ("", "Namespace") => api::namespace(live),
        _ => generic::any(live),
    }
}

/// Group and kind of an object.
pub(crate) fn kind(live: &Value) -> (&str, &str) {
    let api_version = live["apiVersion"].as_str().unwrap_or_default();
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    (group, live["kind"].as_str().unwrap_or_default())
}

/// One entry of `status.conditions`.
struct Condition<'a> {
    status: &'a str,
    reason: &'a str,
    message: &'a str,
}

impl Condition<'_> {
    fn is_true(&self) -> bool {
        self.status == "True"
    }

    fn is_false(&self) -> bool {
        self.status == "False"
    }

    /// What it says, behind `what`.
    fn says(&self, what: &str) -> String {
        match (self.reason.is_empty(), self.message.is_empty()) {
            (_, false) => format!("{what}: {}", self.message),
            (false, true) => format!("{what}: {}", self.reason),
            (true, true) => what.to_owned(),
        }
    }
}

fn condition<'a>(live: &'a Value, name: &str) -> Option<Condition<'a>> {
    let conditions = live["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|found| found["type"] == name)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    Some(Condition {
        status: text("status"),
        reason: text("reason"),
        message: text("message"),
    })
}

/// A number of the status; 0 where it is absent, as API servers leave zeros out.
fn count(live: &Value, field: &str) -> i64 {
    live["status"][field].as_i64().unwrap_or(0)
}

#[cfg(test)]
mod tests;
