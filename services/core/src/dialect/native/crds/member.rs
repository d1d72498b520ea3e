//! What the definition of MemberCluster says.

use serde_json::{Value, json};

use super::schema::{EFFECTS, column, conditions, flag, list, number, object, text, words};

pub(super) fn spec() -> Value {
    let taint = object(
        "One taint.",
        &["key", "effect"],
        [
            ("key", text("Its key.")),
            ("value", text("Its value.")),
            (
                "effect",
                words("What it does to objects that do not tolerate it.", EFFECTS),
            ),
        ],
    );
    object(
        "What is known about the cluster; its labels are those of this object.",
        &[],
        [
            ("region", text("Its region, for spreading.")),
            ("zone", text("Its zone, for spreading.")),
            (
                "zones",
                list(
                    "All its zones, where it spans several.",
                    json!({"type": "string"}),
                ),
            ),
            ("provider", text("Its provider, for spreading.")),
            (
                "taints",
                list("Taints keep objects away that do not tolerate them.", taint),
            ),
            (
                "cordoned",
                flag("Whether it takes nothing new; what is there stays."),
            ),
            (
                "sealingKey",
                text("The public key (xkey) of its agent, to which values of Secrets are sealed."),
            ),
        ],
    )
}

pub(super) fn status() -> Value {
    object(
        "What the cluster says about itself; without a status it is ready and serves every kind.",
        &[],
        [
            ("conditions", conditions()),
            (
                "capacity",
                object(
                    "What it has room for, as its agent measures it.",
                    &[],
                    [
                        ("pods", number("Pods in all.", 0)),
                        ("nodes", number("Its nodes.", 0)),
                        ("readyNodes", number("Those that are ready.", 0)),
                        ("allocatable", amounts("What pods may use.")),
                        ("allocated", amounts("What pods ask for.")),
                        ("available", amounts("What is free.")),
                    ],
                ),
            ),
            (
                "apis",
                list(
                    "The kinds that it serves.",
                    object(
                        "One group and version.",
                        &["apiVersion"],
                        [
                            ("apiVersion", text("Group and version: apps/v1.")),
                            ("kinds", list("Its kinds.", json!({"type": "string"}))),
                        ],
                    ),
                ),
            ),
        ],
    )
}

fn amounts(about: &str) -> Value {
    object(
        about,
        &[],
        [
            ("cpu", text("Cores, as 4 or 3250m.")),
            ("memory", text("Memory, as 7890Mi.")),
            ("pods", number("Pods.", 0)),
        ],
    )
}

pub(super) fn columns() -> Value {
    json!([
        column(
            "Ready",
            "string",
            ".status.conditions[?(@.type==\"Ready\")].status",
            0
        ),
        column(
            "Status",
            "string",
            ".status.conditions[?(@.type==\"Ready\")].reason",
            0
        ),
        column(
            "Since",
            "date",
            ".status.conditions[?(@.type==\"Ready\")].lastTransitionTime",
            0
        ),
        column("Region", "string", ".spec.region", 0),
        column("Zone", "string", ".spec.zone", 0),
        column("Provider", "string", ".spec.provider", 1),
        column("Cordoned", "boolean", ".spec.cordoned", 1),
        column("Nodes", "integer", ".status.capacity.readyNodes", 0),
        column("Free CPU", "string", ".status.capacity.available.cpu", 1),
        column(
            "Free Memory",
            "string",
            ".status.capacity.available.memory",
            1
        ),
        column("Free Pods", "integer", ".status.capacity.available.pods", 1),
        column("Age", "date", ".metadata.creationTimestamp", 0),
    ])
}
