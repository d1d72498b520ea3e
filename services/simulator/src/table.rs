//! Tables, as `kubectl get` prints them.
//!
//! A kind with columns of its own is one more arm in [`columns`]; the others have a name and an age.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::kind::{Kind, Version};
use crate::object::Stored;

/// One column: its name, its form, its priority (above 0 it is printed with `-o wide` only), and how a cell is read.
struct Column<'a> {
    name: &'a str,
    form: &'a str,
    priority: i64,
    cell: Box<dyn Fn(&Value) -> Value + 'a>,
}

/// The `Table` object of some objects.
pub(crate) fn table(
    kind: &Kind,
    version: &Version,
    objects: &[&Stored],
    metadata: Value,
    now: DateTime<Utc>,
) -> Value {
    let columns = all_columns(kind, version, now);
    let definitions: Vec<_> = columns
        .iter()
        .map(|column| {
            let format = if column.name == "Name" { "name" } else { "" };
            json!({"name": column.name, "type": column.form, "format": format, "description": "", "priority": column.priority})
        })
        .collect();
    let rows: Vec<_> = objects
        .iter()
        .map(|stored| {
            let object = stored.read();
            let cells: Vec<_> = columns.iter().map(|column| (column.cell)(&object)).collect();
            let partial = json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]});
            json!({"cells": cells, "object": partial})
        })
        .collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": definitions, "rows": rows})
}

fn all_columns<'a>(kind: &'a Kind, version: &'a Version, now: DateTime<Utc>) -> Vec<Column<'a>> {
    let mut all = vec![column("Name", "string", |object| {
        object["metadata"]["name"].clone()
    })];
    all.extend(columns(kind));
    all.extend(version.columns.iter().map(|custom| Column {
        name: &custom.name,
        form: &custom.form,
        priority: custom.priority,
        cell: Box::new(
            move |object| match (at(object, &custom.path), custom.form.as_str()) {
                (Some(Value::String(time)), "date") => json!(age(time, now)),
                (found, _) => found.cloned().unwrap_or(Value::Null),
            },
        ),
    }));
    // A definition that names columns names all of them.
    if version.columns.is_empty() && !all.iter().any(|column| column.name == "Age") {
        let age_cell = move |object: &Value| {
            json!(
                object["metadata"]["creationTimestamp"]
                    .as_str()
                    .map_or_else(unknown, |time| age(time, now))
            )
        };
        all.push(column("Age", "string", age_cell));
    }
    all
}

fn column<'a>(name: &'a str, form: &'a str, cell: impl Fn(&Value) -> Value + 'a) -> Column<'a> {
    Column {
        name,
        form,
        priority: 0,
        cell: Box::new(cell),
    }
}

fn columns(kind: &Kind) -> Vec<Column<'static>> {
    let number = |name, path: &'static str| {
        column(name, "integer", move |object: &Value| {
            json!(count(object, path))
        })
    };
    let text = |name, path: &'static str| {
        column(name, "string", move |object: &Value| {
            at(object, path).cloned().unwrap_or_else(|| json!("<none>"))
        })
    };
    let ready = |wanted: &'static str, ready: &'static str| {
        column("Ready", "string", move |object: &Value| {
            let wanted = at(object, wanted).and_then(Value::as_i64).unwrap_or(1);
            json!(format!("{}/{wanted}", count(object, ready)))
        })
    };
    match &*kind.resource {
        "deployments.apps" => vec![
            ready(".spec.replicas", ".status.readyReplicas"),
            number("Up-to-date", ".status.updatedReplicas"),
            number("Available", ".status.availableReplicas"),
        ],
        "statefulsets.apps" => vec![ready(".spec.replicas", ".status.readyReplicas")],
        "replicasets.apps" => vec![
            number("Desired", ".spec.replicas"),
            number("Current", ".status.replicas"),
            number("Ready", ".status.readyReplicas"),
        ],
        "daemonsets.apps" => vec![
            number("Desired", ".status.desiredNumberScheduled"),
            number("Current", ".status.currentNumberScheduled"),
            number("Ready", ".status.numberReady"),
        ],
        "jobs.batch" => vec![
            number("Succeeded", ".status.succeeded"),
            number("Active", ".status.active"),
        ],
        "cronjobs.batch" => vec![text("Schedule", ".spec.schedule")],
        "pods" => vec![
            text("Status", ".status.phase"),
            text("Node", ".spec.nodeName"),
        ],
        "namespaces" => vec![text("Status", ".status.phase")],
        "services" => vec![
            text("Type", ".spec.type"),
            text("Cluster-IP", ".spec.clusterIP"),
            column("Port(s)", "string", ports),
        ],
        "configmaps" => vec![column("Data", "integer", |object| {
            json!(entries(object, "data") + entries(object, "binaryData"))
        })],
        "secrets" => vec![
            text("Type", ".type"),
            column("Data", "integer", |object| json!(entries(object, "data"))),
        ],
        "customresourcedefinitions.apiextensions.k8s.io" => {
            vec![column("Created At", "date", |object| {
                object["metadata"]["creationTimestamp"].clone()
            })]
        }
        _ => Vec::new(),
    }
}

fn ports(object: &Value) -> Value {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let spell = |port: &Value| {
        format!(
            "{}/{}",
            port["port"],
            port["protocol"].as_str().unwrap_or("TCP")
        )
    };
    let ports: Vec<_> = ports.into_iter().flatten().map(spell).collect();
    json!(if ports.is_empty() {
        "<none>".to_owned()
    } else {
        ports.join(",")
    })
}

fn entries(object: &Value, field: &str) -> usize {
    object
        .get(field)
        .and_then(Value::as_object)
        .map_or(0, serde_json::Map::len)
}

fn count(object: &Value, path: &str) -> i64 {
    at(object, path).and_then(Value::as_i64).unwrap_or(0)
}

/// What a simple path such as `.spec.replicas` leads to.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .filter(|step| !step.is_empty())
        .try_fold(object, |value, step| value.get(step))
}

fn unknown() -> String {
    "<unknown>".to_owned()
}

/// How long ago something was, as kubectl writes it (`5m`, `3h20m`, `2d`).
fn age(time: &str, now: DateTime<Utc>) -> String {
    let Ok(time) = DateTime::parse_from_rfc3339(time) else {
        return unknown();
    };
    let passed = now.signed_duration_since(time).max(TimeDelta::zero());
    let (seconds, minutes, hours, days) = (
        passed.num_seconds(),
        passed.num_minutes(),
        passed.num_hours(),
        passed.num_days(),
    );
    // From each limit on, a coarser form.
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 && seconds % 60 > 0 {
        format!("{minutes}m{}s", seconds % 60)
    } else if hours < 3 {
        format!("{minutes}m")
    } else if hours < 8 && minutes % 60 > 0 {
        format!("{hours}h{}m", minutes % 60)
    } else if days < 2 {
        format!("{hours}h")
    } else if days < 8 && hours % 24 > 0 {
        format!("{days}d{}h", hours % 24)
    } else {
        format!("{days}d")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::kinds::by_resource;

    /// A Deployment prints as kubectl prints it.
    #[test]
    fn a_deployment() {
        let kind = by_resource("deployments.apps").unwrap();
        let now = "2024-01-01T01:00:00Z".parse().unwrap();
        let object = json!({"metadata": {"name": "web", "creationTimestamp": "2024-01-01T00:55:00Z"},
            "spec": {"replicas": 3}, "status": {"readyReplicas": 2, "updatedReplicas": 3}});
        let stored = Stored::encode(object, 4);
        let table = table(kind, &kind.versions[0], &[&stored], json!({}), now);
        let names: Vec<_> = table["columnDefinitions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["Name", "Ready", "Up-to-date", "Available", "Age"]);
        assert_eq!(table["rows"][0]["cells"], json!(["web", "2/3", 3, 0, "5m"]));
        assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "web");
    }

    /// Ages get coarser with time.
    #[test]
    fn ages() {
        let now: DateTime<Utc> = "2024-01-11T00:00:00Z".parse().unwrap();
        for (seconds, expected) in [
            (-5, "0s"),
            (59, "59s"),
            (125, "2m5s"),
            (300, "5m"),
            (7_200, "120m"),
            (10_860, "3h1m"),
            (86_400, "24h"),
            (180_000, "2d2h"),
            (864_000, "10d"),
        ] {
            let time = (now - TimeDelta::seconds(seconds)).to_rfc3339();
            assert_eq!(age(&time, now), expected, "{seconds}");
        }
    }
}
