//! What the definitions of FederatedObject and ClusterFederatedObject say: one spec and one status for both.

use serde_json::{Value, json};

use super::schema::{
    EFFECTS, JSON_POINTER, cluster_names, column, conditions, flag, list, map, number, object,
    replicas_number, selector, text, with_any_of, with_rules, words,
};
use crate::model::federated::{Adopt, Conflict, Drift, Mode, OnDelete, OnImmutable};

pub(super) fn spec() -> Value {
    object(
        "What should be where.",
        &["template"],
        [
            ("template", template()),
            ("placement", placement()),
            ("replicas", replicas()),
            (
                "overrides",
                list(
                    "What differs in some clusters, applied in this order; an entry without clusters and clusterSelector is for all.",
                    override_entry(),
                ),
            ),
            ("apply", apply_policy()),
            (
                "dependencies",
                flag(
                    "Whether the ConfigMaps, Secrets, ServiceAccounts and PersistentVolumeClaims that the template names follow it.",
                ),
            ),
            (
                "suspend",
                flag("Whether propagation rests: what is there stays, and nothing new is placed."),
            ),
        ],
    )
}

/// What an object becomes in the clusters never changes: another template would leave the first one behind.
pub(super) const RULES: &[(&str, &str)] = &[
    (
        "self.spec.template.kind == oldSelf.spec.template.kind",
        "spec.template.kind cannot change: delete this object and make another",
    ),
    (
        "(self.spec.template.apiVersion.contains('/') ? self.spec.template.apiVersion.split('/')[0] : '') == (oldSelf.spec.template.apiVersion.contains('/') ? oldSelf.spec.template.apiVersion.split('/')[0] : '')",
        "the group in spec.template.apiVersion cannot change: delete this object and make another",
    ),
    (
        "(has(self.spec.template.metadata) && has(self.spec.template.metadata.name) ? self.spec.template.metadata.name : self.metadata.name) == (has(oldSelf.spec.template.metadata) && has(oldSelf.spec.template.metadata.name) ? oldSelf.spec.template.metadata.name : oldSelf.metadata.name)",
        "spec.template.metadata.name cannot change: delete this object and make another",
    ),
];

fn template() -> Value {
    json!({
        "type": "object",
        "description": "The object as it should be in the clusters, before overrides. Its name defaults to this object's.",
        "required": ["apiVersion", "kind"],
        "properties": {
            "apiVersion": {"type": "string", "minLength": 1, "maxLength": 317},
            "kind": {"type": "string", "maxLength": 63, "pattern": "^[A-Za-z][A-Za-z0-9]*$"},
            "metadata": {
                "type": "object",
                "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 253}},
                "x-kubernetes-preserve-unknown-fields": true,
            },
        },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn placement() -> Value {
    let toleration = with_rules(
        object(
            "A taint that does not keep the object away.",
            &[],
            [
                (
                    "key",
                    text("The taint's key; none together with Exists tolerates every taint."),
                ),
                (
                    "operator",
                    words("Equal where there is none.", &["Exists", "Equal"]),
                ),
                ("value", text("The taint's value, for Equal.")),
                (
                    "effect",
                    words("The effect; every one where there is none.", EFFECTS),
                ),
            ],
        ),
        &[
            (
                "has(self.key) || (has(self.operator) && self.operator == 'Exists')",
                "key is required for Equal",
            ),
            (
                "!has(self.value) || !has(self.operator) || self.operator != 'Exists'",
                "value must be absent for Exists",
            ),
        ],
    );
    let mut spread = list(
        "Over how many different clusters, regions, zones, providers or label values the object is spread.",
        with_rules(
            object(
                "One rule.",
                &["by"],
                [
                    (
                        "by",
                        json!({"type": "string", "description": "cluster, region, zone, provider or label:<key>.",
                            "pattern": "^(cluster|region|zone|provider|label:.+)$"}),
                    ),
                    ("min", number("The fewest; 1 where there is none.", 1)),
                    ("max", number("The most; no limit where there is none.", 1)),
                ],
            ),
            &[(
                "!has(self.min) || !has(self.max) || self.min <= self.max",
                "min is over max",
            )],
        ),
    );
    spread["x-kubernetes-list-type"] = json!("map");
    spread["x-kubernetes-list-map-keys"] = json!(["by"]);
    let preference = object(
        "A group of clusters; names and selector must both hold.",
        &[],
        [
            ("clusters", cluster_names("Clusters by name.")),
            ("clusterSelector", selector("Clusters by label.")),
        ],
    );
    object(
        "Where it should be: clusters and clusterSelector must both hold, and neither is nowhere.",
        &[],
        [
            ("clusters", cluster_names("Clusters by name.")),
            (
                "clusterSelector",
                selector("Clusters by label; an empty selector is all of them."),
            ),
            (
                "exclude",
                cluster_names("Clusters that do not get it whatever else says."),
            ),
            (
                "tolerations",
                list("Taints that do not keep it away.", toleration),
            ),
            ("spread", spread),
            (
                "preferences",
                list(
                    "Groups of clusters of which the first that fits is taken.",
                    with_any_of(preference, either_clusters_or_selector()),
                ),
            ),
        ],
    )
}

fn either_clusters_or_selector() -> Value {
    json!([{"required": ["clusters"]}, {"required": ["clusterSelector"]}])
}

fn replicas() -> Value {
    let weight = object(
        "The weight of some clusters.",
        &["weight"],
        [
            ("clusters", cluster_names("Clusters by name.")),
            ("clusterSelector", selector("Clusters by label.")),
            (
                "weight",
                replicas_number("Their weight; 0 where no entry is about a cluster."),
            ),
        ],
    );
    with_rules(
        object(
            "How its replicas are divided over the clusters.",
            &[],
            [
                (
                    "divide",
                    words(
                        "duplicate (every cluster gets all, the default), weighted, available (by free capacity) or aggregated (into few clusters).",
                        &["duplicate", "weighted", "available", "aggregated"],
                    ),
                ),
                (
                    "total",
                    replicas_number(
                        "How many in all; as many as the template says where there is none.",
                    ),
                ),
                (
                    "weights",
                    list(
                        "For weighted: the first entry about a cluster counts, and without entries all weigh the same.",
                        with_any_of(weight, either_clusters_or_selector()),
                    ),
                ),
                (
                    "min",
                    map(
                        "The fewest that a cluster gets.",
                        replicas_number("How many."),
                    ),
                ),
                (
                    "max",
                    map(
                        "The most that a cluster gets.",
                        replicas_number("How many."),
                    ),
                ),
            ],
        ),
        &[
            (
                "!has(self.weights) || (has(self.divide) && self.divide == 'weighted')",
                "weights say nothing unless divide is weighted",
            ),
            (
                "!has(self.weights) || size(self.weights) == 0 || self.weights.exists(w, w.weight > 0)",
                "weights are all 0: no cluster would get any replicas",
            ),
            (
                "(!has(self.min) && !has(self.max)) || (has(self.divide) && self.divide != 'duplicate')",
                "min and max say nothing where divide is duplicate",
            ),
            (
                "!has(self.min) || !has(self.max) || self.min.all(c, !(c in self.max) || self.min[c] <= self.max[c])",
                "a minimum is over its cluster's maximum",
            ),
        ],
    )
}

const OPS: &[&str] = &["add", "replace", "remove"];

fn override_entry() -> Value {
    let op = || words("What is done with the value.", OPS);
    let of_container = |about: &str, value: Value| {
        object(
            about,
            &["container", "op"],
            [
                ("container", text("The container's name.")),
                ("op", op()),
                ("value", value),
            ],
        )
    };
    let list_of_words = || list("The words.", json!({"type": "string"}));
    let pairs = || map("Keys and values.", json!({"type": "string"}));
    let metadata = |about: &str| object(about, &["op"], [("op", op()), ("value", pairs())]);
    let image = with_any_of(
        object(
            "Changes one part of the image of every container.",
            &["component", "op"],
            [
                (
                    "component",
                    words("Which part.", &["registry", "repository", "tag", "digest"]),
                ),
                ("op", op()),
                ("value", text("The new part; not needed for remove.")),
            ],
        ),
        json!([
            {"required": ["value"]},
            {"properties": {"op": {"enum": ["remove"]}}},
        ]),
    );
    object(
        "What differs in some clusters: images, command, args, labels, annotations, env and patches, in this order.",
        &[],
        [
            ("clusters", cluster_names("Clusters by name.")),
            ("clusterSelector", selector("Clusters by label.")),
            ("images", list("Changes of images.", image)),
            (
                "command",
                list(
                    "Changes of a container's command.",
                    of_container("One change.", list_of_words()),
                ),
            ),
            (
                "args",
                list(
                    "Changes of a container's arguments.",
                    of_container("One change.", list_of_words()),
                ),
            ),
            (
                "labels",
                list("Changes of the object's labels.", metadata("One change.")),
            ),
            (
                "annotations",
                list(
                    "Changes of the object's annotations.",
                    metadata("One change."),
                ),
            ),
            (
                "env",
                list(
                    "Changes of a container's environment.",
                    of_container("One change.", pairs()),
                ),
            ),
            (
                "patches",
                list(
                    "RFC 6902 operations; a path that does not exist refuses the cluster.",
                    patch(),
                ),
            ),
        ],
    )
}

fn patch() -> Value {
    let pointer =
        |about: &str| json!({"type": "string", "description": about, "pattern": JSON_POINTER});
    with_any_of(
        object(
            "One operation.",
            &["op", "path"],
            [
                (
                    "op",
                    words(
                        "The operation.",
                        &["add", "replace", "remove", "move", "copy", "test"],
                    ),
                ),
                ("path", pointer("Where, as a JSON pointer.")),
                (
                    "from",
                    pointer("From where, for move and copy, as a JSON pointer."),
                ),
                (
                    "value",
                    json!({"description": "The value, for add, replace and test: anything.", "x-kubernetes-preserve-unknown-fields": true}),
                ),
            ],
        ),
        json!([
            {"required": ["value"], "properties": {"op": {"enum": ["add", "replace", "test"]}}},
            {"required": ["from"], "properties": {"op": {"enum": ["move", "copy"]}}},
            {"properties": {"op": {"enum": ["remove"]}}},
        ]),
    )
}

fn apply_policy() -> Value {
    object(
        "How it is applied in a cluster.",
        &[],
        [
            (
                "conflict",
                words(
                    "Where another manager owns a field: fail (the default) or force.",
                    Conflict::WORDS,
                ),
            ),
            (
                "adopt",
                words(
                    "An object that exists and is not ours: never, ifSame (the default) or always taken over.",
                    Adopt::WORDS,
                ),
            ),
            (
                "drift",
                words(
                    "When somebody changes what was applied: heal (the default), report or ignore.",
                    Drift::WORDS,
                ),
            ),
            (
                "onDelete",
                words(
                    "The copies when it is withdrawn: delete (the default) or orphan.",
                    OnDelete::WORDS,
                ),
            ),
            (
                "onImmutable",
                words(
                    "When a field cannot be changed: fail (the default) or recreate.",
                    OnImmutable::WORDS,
                ),
            ),
            (
                "mode",
                words(
                    "sync (the default), or createOnly: created and then left alone.",
                    Mode::WORDS,
                ),
            ),
            (
                "ignore",
                list(
                    "JSON pointers that are never set on an object that exists.",
                    json!({"type": "string", "pattern": "^/"}),
                ),
            ),
        ],
    )
}
pub(super) fn status() -> Value {
    let mut clusters = list(
        "Each cluster that has it or should have it.",
        object(
            "One cluster.",
            &["name"],
            [
                ("name", text("The cluster.")),
                (
                    "revision",
                    number("The revision that it answered about.", 0),
                ),
                (
                    "outcome",
                    text("What it answered: applied, removed, refused, …."),
                ),
                ("reason", text("Why it does not have it, as one word.")),
                ("message", text("Why, as a sentence.")),
            ],
        ),
    );
    clusters["x-kubernetes-list-type"] = json!("map");
    clusters["x-kubernetes-list-map-keys"] = json!(["name"]);
    object(
        "What became of it, written by Fleetcast.",
        &[],
        [
            (
                "observedGeneration",
                number("The generation that was taken in.", 0),
            ),
            ("revision", number("Its revision in the log.", 0)),
            ("placed", number("How many clusters should have it.", 0)),
            (
                "applied",
                number("How many clusters have the newest revision.", 0),
            ),
            (
                "healthy",
                number(
                    "How many clusters have the newest revision, and it is healthy there.",
                    0,
                ),
            ),
            ("conditions", conditions()),
            ("clusters", clusters),
        ],
    )
}

pub(super) fn columns() -> Value {
    json!([
        column("Placed", "integer", ".status.placed", 0),
        column("Applied", "integer", ".status.applied", 0),
        column("Healthy", "integer", ".status.healthy", 0),
        column(
            "Accepted",
            "string",
            ".status.conditions[?(@.type==\"Accepted\")].status",
            1
        ),
        column("Kind", "string", ".spec.template.kind", 1),
        column("Revision", "integer", ".status.revision", 1),
        column("Suspended", "boolean", ".spec.suspend", 1),
        column("Age", "date", ".metadata.creationTimestamp", 0),
    ])
}
