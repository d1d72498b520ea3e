//! The status of a plain object under a Karmada policy: the sum of its copies' statuses, as Karmada's native interpreter makes it (`aggregatestatus.go` and
//! `helper/job.go` of karmada-io/karmada). Kinds that it does not sum up are told nothing, nor those that only its Lua scripts know.
//!
//! | kind | the sum |
//! |---|---|
//! | Deployment, StatefulSet, ReplicaSet, DaemonSet, PodDisruptionBudget, HorizontalPodAutoscaler | counts are added |
//! | Job | counts are added; Failed where it failed in some cluster, Complete where it is in all |
//! | CronJob | its active Jobs, the latest times |
//! | Service of type LoadBalancer, Ingress | all ways in, one without a host name under its cluster's |
//! | Pod, PersistentVolume, PersistentVolumeClaim | the phase that a person should look at first; of Pods also the containers |

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::fold::{Condition, Row};

/// How many entries of a list are told at most: one object must fit into the hub's store however large the fleet is.
const LISTED: usize = 1_000;

/// Whether the sum is about the generation that stands on the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The kind's status does not say.
    Unsaid,
    /// Every cluster has seen the newest revision.
    All,
    /// Some cluster has not.
    NotAll,
}

/// What one cluster's copy says.
struct Item<'a> {
    cluster: &'a str,
    /// None before its status was seen.
    status: Option<Value>,
}

impl Item<'_> {
    fn field(&self, name: &str) -> &Value {
        self.status
            .as_ref()
            .map_or(&Value::Null, |status| &status[name])
    }

    fn list(&self, name: &str) -> &[Value] {
        super::items(self.field(name))
    }

    fn has(&self, condition: &str) -> bool {
        let mut conditions = self.list("conditions").iter();
        conditions.any(|one| one["type"] == condition && one["status"] == "True")
    }
}

/// The sum for the object that `document` declares; none where it has none. Fields that are null are to be taken away.
pub fn status(document: &Value, rows: &[Row]) -> Option<(Value, Observed)> {
    let placed = || {
        let is_placed = |row: &&Row| {
            !matches!(
                row.condition,
                Condition::Removing | Condition::Held | Condition::Excluded
            )
        };
        rows.iter().filter(is_placed)
    };
    placed().next()?;
    let items: Vec<Item<'_>> = placed()
        .map(|row| Item {
            cluster: row.cluster.as_str(),
            status: row
                .observed
                .status
                .as_ref()
                .and_then(|selected| selected.fields.value().ok()),
        })
        .collect();
    let items = items.as_slice();
    let counts_generations = || match placed().all(is_seen) {
        true => Observed::All,
        false => Observed::NotAll,
    };
    let (group, kind) = crate::health::kind(document);
    let replicas = |more: &[&str]| {
        let names = ["replicas", "readyReplicas", "availableReplicas"];
        (
            added(items, &[&names[..], more].concat()),
            counts_generations(),
        )
    };
    Some(match (group, kind) {
        ("apps", "Deployment") => replicas(&["updatedReplicas", "unavailableReplicas"]),
        ("apps", "StatefulSet") => replicas(&["updatedReplicas", "currentReplicas"]),
        ("apps", "ReplicaSet") => replicas(&["fullyLabeledReplicas"]),
        ("apps", "DaemonSet") => {
            let names = [
                "currentNumberScheduled",
                "desiredNumberScheduled",
                "numberAvailable",
                "numberMisscheduled",
                "numberReady",
                "updatedNumberScheduled",
                "numberUnavailable",
            ];
            (added(items, &names), counts_generations())
        }
        ("policy", "PodDisruptionBudget") => (disruption_budget(items), Observed::Unsaid),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let names = ["currentReplicas", "desiredReplicas"];
            (added(items, &names), Observed::Unsaid)
        }
        ("batch", "Job") => (job(items), Observed::Unsaid),
        ("batch", "CronJob") => (cron_job(items), Observed::Unsaid),
        ("", "Service") if document["spec"]["type"] != "LoadBalancer" => return None,
        ("", "Service") | ("networking.k8s.io", "Ingress") => (
            json!({"loadBalancer": {"ingress": ways_in(items)}}),
            Observed::Unsaid,
        ),
        ("", "Pod") => (pod(items), Observed::Unsaid),
        ("", "PersistentVolume") => {
            let order = ["Failed", "Pending", "Available", "Bound", "Released"];
            (
                json!({"phase": first_phase(items, &order, true)}),
                Observed::Unsaid,
            )
        }
        ("", "PersistentVolumeClaim") => {
            let phase = first_phase(items, &["Lost", "Pending", "Bound"], false);
            (json!({"phase": phase.or(Some("Bound"))}), Observed::Unsaid)
        }
        _ => return None,
    })
}

/// Whether a copy holds the newest revision and its controller has seen that.
fn is_seen(row: &Row) -> bool {
    let selected = row.observed.status.as_ref();
    let observed = selected
        .and_then(|selected| selected.fields.value().ok())
        .and_then(|status| status["observedGeneration"].as_u64());
    let generation = selected.and_then(|selected| selected.generation);
    row.condition == Condition::Applied && generation.is_some() && observed >= generation
}

fn added(items: &[Item<'_>], names: &[&str]) -> Value {
    let sum = |name: &&str| -> i64 {
        let counts = items.iter().filter_map(|item| item.field(name).as_i64());
        counts.fold(0, i64::saturating_add)
    };
    let sums = names
        .iter()
        .map(|name| ((*name).to_owned(), json!(sum(name))));
    Value::Object(sums.collect())
}

fn disruption_budget(items: &[Item<'_>]) -> Value {
    let names = [
        "currentHealthy",
        "desiredHealthy",
        "expectedPods",
        "disruptionsAllowed",
    ];
    let mut status = added(items, &names);
    let disrupted: Map<String, Value> = items
        .iter()
        .flat_map(|item| {
            let pods = item
                .field("disruptedPods")
                .as_object()
                .into_iter()
                .flatten();
            pods.map(|(pod, time)| (format!("{}/{pod}", item.cluster), time.clone()))
        })
        .take(LISTED)
        .collect();
    status["disruptedPods"] = json!(disrupted);
    status
}

/// Without the times of its conditions, and with a start that stays once it is told.
fn job(items: &[Item<'_>]) -> Value {
    let mut status = added(items, &["active", "succeeded", "failed"]);
    let failed: Vec<&str> = items
        .iter()
        .filter(|item| item.has("Failed"))
        .map(|item| item.cluster)
        .collect();
    let condition = |kind: &str, reason: &str, message: &str| json!({"type": kind, "status": "True", "reason": reason, "message": message});
    let mut conditions = Vec::new();
    if !failed.is_empty() {
        let message = format!(
            "Job executed failed in member clusters {}",
            failed.join(",")
        );
        // Kubernetes 1.31 and newer take no Failed without the condition that announces it.
        if items.iter().any(|item| item.has("FailureTarget")) {
            conditions.push(condition("FailureTarget", "JobFailed", &message));
        }
        conditions.push(condition("Failed", "JobFailed", &message));
    }
    if items.iter().all(|item| item.has("Complete")) {
        conditions.push(condition("Complete", "Completed", "Job completed"));
        if items.iter().all(|item| item.has("SuccessCriteriaMet")) {
            let message = "All member clusters have met success criteria";
            conditions.push(condition(
                "SuccessCriteriaMet",
                "CompletionsReached",
                message,
            ));
        }
    }
    status["conditions"] = json!(conditions);
    let times = |name: &str| -> Option<Vec<&str>> {
        items.iter().map(|item| item.field(name).as_str()).collect()
    };
    status["startTime"] = json!(times("startTime").and_then(|times| times.into_iter().min()));
    status["completionTime"] =
        json!(times("completionTime").and_then(|times| times.into_iter().max()));
    status
}

fn cron_job(items: &[Item<'_>]) -> Value {
    let active = items.iter().flat_map(|item| item.list("active"));
    let latest = |name: &str| {
        items
            .iter()
            .filter_map(|item| item.field(name).as_str())
            .max()
    };
    json!({
        "active": active.take(LISTED).collect::<Vec<_>>(),
        "lastScheduleTime": latest("lastScheduleTime"),
        "lastSuccessfulTime": latest("lastSuccessfulTime"),
    })
}

/// All ways in, each once and in order; one without a host name under its cluster's, so that a person sees whose it is.
fn ways_in(items: &[Item<'_>]) -> Vec<Value> {
    let mut met = BTreeSet::new();
    let mut all: Vec<(String, Value)> = Vec::new();
    for item in items {
        for way in super::items(&item.field("loadBalancer")["ingress"]) {
            let mut way = way.clone();
            if super::text(&way["hostname"]).is_empty() {
                way["hostname"] = json!(item.cluster);
            }
            let key = crate::digest::canonical(&way);
            if met.insert(key.clone()) {
                let order = format!(
                    "{} {}",
                    super::text(&way["ip"]),
                    super::text(&way["hostname"])
                );
                all.push((order, way));
            }
        }
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all.into_iter().take(LISTED).map(|(_, way)| way).collect()
}

fn pod(items: &[Item<'_>]) -> Value {
    let order = ["Failed", "Pending", "Running", "Succeeded"];
    let containers = items.iter().flat_map(|item| item.list("containerStatuses"));
    let containers: Vec<Value> = containers
        .take(LISTED)
        // What a server asks of each container beside what is told.
        .map(|one| {
            json!({
                "name": "", "image": "", "imageID": "", "restartCount": 0,
                "ready": one["ready"], "state": one["state"],
            })
        })
        .collect();
    json!({"phase": first_phase(items, &order, true), "containerStatuses": containers})
}

/// The first phase in `order` that some copy is in; one that was not seen yet is Pending where that counts.
fn first_phase<'a>(
    items: &[Item<'_>],
    order: &[&'a str],
    unseen_is_pending: bool,
) -> Option<&'a str> {
    let is_in = |phase: &str| {
        items.iter().any(|item| match &item.status {
            Some(status) => status["phase"] == phase,
            None => unseen_is_pending && phase == "Pending",
        })
    };
    order.iter().copied().find(|phase| is_in(phase))
}

/// The sum as it is to be written on `live`: a Job that is finished stays so, and one that started does not start again.
pub(super) fn settle(mut sum: Value, live: &Value, now: &str) -> Option<Value> {
    if crate::health::kind(live) != ("batch", "Job") {
        return Some(sum);
    }
    let before = &live["status"];
    let is_finished = super::items(&before["conditions"]).iter().any(|one| {
        let kind = super::text(&one["type"]);
        one["status"] == "True" && ["Complete", "Failed"].contains(&kind)
    });
    if is_finished {
        return None;
    }
    if before["startTime"].is_string() {
        sum["startTime"] = before["startTime"].clone();
    }
    for condition in sum["conditions"].as_array_mut().into_iter().flatten() {
        for time in ["lastProbeTime", "lastTransitionTime"] {
            condition[time] = json!(now);
        }
    }
    Some(sum)
}
