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
                    "What it has room for.",
                    &[],
                    [("pods", number("Pods in all.", 0))],
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
        column("Pods", "integer", ".status.capacity.pods", 1),
        column("Age", "date", ".metadata.creationTimestamp", 0),
    ])
}
