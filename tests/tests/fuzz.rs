//! Documents and bytes that nobody wrote, through every reader that meets a user's files.
//!
//! What comes out is a row or a refusal, never a crash, and holds what is promised of any input. `FLEETCAST_FUZZ=100000` tries more than
//! the 256 cases of a usual run; what fails is shrunk by proptest and printed.

use std::collections::BTreeSet;

use fleetcast_core::Refusal;
use fleetcast_core::model::Dialect;
use fleetcast_core::planning::{self, Document, Fleet};
use fleetcast_core::report::ObjectPlan;
use fleetcast_ingest::documents;
use fleetcast_tests::harness::corpus;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

const CASES: u32 = 256;

/// Bytes that mean something in YAML.
const MARKS: &[u8] = b"{}[]:-&*!|>'\"#%@`, \n\t0";

/// Words of the dialects, where they change what is meant.
const WORDS: &[&str] = &[
    "*",
    "",
    "eu-1",
    "eu-2",
    "us-1",
    "nowhere",
    "region",
    "eu",
    "us",
    "In",
    "NotIn",
    "Exists",
    "DoesNotExist",
    "Gt",
    "NoSchedule",
    "NoExecute",
    "Duplicated",
    "Divided",
    "Aggregated",
    "Weighted",
    "AvailableReplicas",
    "cluster",
    "zone",
    "provider",
    "fail",
    "force",
    "never",
    "always",
    "ifSame",
    "delete",
    "orphan",
    "add",
    "remove",
    "replace",
    "overwrite",
    "/spec/replicas",
    "/metadata/name",
    "/spec/template/spec/containers/0/image",
    "/spec/template/spec/containers/-",
    "spec.replicas",
    "apps/v1",
    "v1",
    "Deployment",
    "ConfigMap",
    "Namespace",
    "Job",
    "shop",
    "web",
    "default",
    "kube-system",
    "1",
    "-1",
    "2147483648",
    "9223372036854775808",
    "0.5",
    "a/b~0~1",
    "registry.example.com:5000/web@sha256:0",
];

/// Keys of the dialects.
const KEYS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "creationTimestamp",
    "spec",
    "status",
    "template",
    "placement",
    "clusters",
    "exclude",
    "clusterSelector",
    "matchLabels",
    "matchExpressions",
    "key",
    "operator",
    "values",
    "value",
    "path",
    "op",
    "overrides",
    "patches",
    "clusterOverrides",
    "clusterName",
    "replicas",
    "parallelism",
    "completions",
    "spread",
    "tolerations",
    "effect",
    "weights",
    "weight",
    "minReplicas",
    "maxReplicas",
    "rebalance",
    "intersectWithClusterSelector",
    "targetKind",
    "totalReplicas",
    "resourceSelectors",
    "labelSelector",
    "fieldSelector",
    "clusterAffinity",
    "clusterAffinities",
    "affinityName",
    "clusterNames",
    "clusterTolerations",
    "spreadConstraints",
    "spreadByField",
    "spreadByLabel",
    "minGroups",
    "maxGroups",
    "replicaScheduling",
    "replicaSchedulingType",
    "replicaDivisionPreference",
    "weightPreference",
    "staticWeightList",
    "targetCluster",
    "dynamicWeight",
    "propagateDeps",
    "preserveResourcesOnDeletion",
    "suspension",
    "dispatching",
    "overrideRules",
    "overriders",
    "imageOverrider",
    "commandOverrider",
    "argsOverrider",
    "labelsOverrider",
    "annotationsOverrider",
    "fieldOverrider",
    "plaintext",
    "json",
    "yaml",
    "subPath",
    "component",
    "predicate",
    "containerName",
    "containers",
    "image",
    "command",
    "args",
    "apply",
    "adopt",
    "conflict",
    "drift",
    "ignore",
    "onDelete",
];

/// How many cases are tried.
fn config() -> ProptestConfig {
    let wanted = std::env::var("FLEETCAST_FUZZ").ok();
    ProptestConfig {
        cases: wanted
            .and_then(|wanted| wanted.parse().ok())
            .unwrap_or(CASES),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn template() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {"replicas": 5, "template": {"spec": {"containers": [{"name": "web", "image": "web:1", "args": ["-v"]}]}}},
    })
}

fn native() -> Vec<Value> {
    let cluster = |name: &str, region: &str| {
        json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": name, "labels": {"region": region}},
            "spec": {"region": region, "zone": "a", "taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    };
    vec![
        cluster("eu-1", "eu"),
        cluster("us-1", "us"),
        json!({"apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "template": template(),
            "placement": {"clusterSelector": {"matchExpressions": [{"key": "region", "operator": "In", "values": ["eu", "us"]}]},
                "exclude": ["eu-9"], "tolerations": [{"key": "gpu", "operator": "Exists"}], "spread": [{"by": "region", "min": 1, "max": 2}]},
            "replicas": {"divide": "weighted", "total": 7, "weights": [{"clusters": ["eu-1"], "weight": 2}, {"clusterSelector": {}, "weight": 1}], "min": {"eu-1": 1}},
            "overrides": [{"clusters": ["eu-1"], "patches": [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "web:2"}]}],
            "apply": {"conflict": "force", "ignore": ["/spec/replicas"]},
        }}),
    ]
}

fn kubefed() -> Vec<Value> {
    let cluster = |name: &str| json!({"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster", "metadata": {"name": name, "namespace": "kube-federation-system", "labels": {"region": "eu"}}});
    vec![
        cluster("eu-1"),
        cluster("eu-2"),
        json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedNamespace", "metadata": {"name": "shop", "namespace": "shop"},
            "spec": {"placement": {"clusterSelector": {}}}}),
        json!({"apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedDeployment", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": template()["spec"]},
            "placement": {"clusters": [{"name": "eu-1"}], "clusterSelector": {"matchLabels": {"region": "eu"}}}, "retainReplicas": true,
            "overrides": [{"clusterName": "eu-2", "clusterOverrides": [{"path": "/spec/replicas", "value": 2}, {"path": "/metadata/annotations", "op": "add", "value": {"a": "b"}}]}],
        }}),
        json!({"apiVersion": "scheduling.kubefed.io/v1alpha1", "kind": "ReplicaSchedulingPreference", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "targetKind": "FederatedDeployment", "totalReplicas": 9, "rebalance": true, "intersectWithClusterSelector": true,
            "clusters": {"eu-1": {"minReplicas": 1, "maxReplicas": 5, "weight": 2}, "*": {"weight": 1}}}}),
    ]
}

fn karmada() -> Vec<Value> {
    let cluster = |name: &str, region: &str| {
        json!({"apiVersion": "cluster.karmada.io/v1alpha1", "kind": "Cluster", "metadata": {"name": name, "labels": {"region": region}},
            "spec": {"region": region, "provider": "p", "zones": ["a"], "taints": [{"key": "gpu", "effect": "NoSchedule"}]}})
    };
    vec![
        cluster("eu-1", "eu"),
        cluster("us-1", "us"),
        template(),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"a.yaml": "b: 1"}}),
        json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "web", "namespace": "shop"}, "spec": {
            "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, {"apiVersion": "v1", "kind": "ConfigMap"}],
            "propagateDeps": true, "preserveResourcesOnDeletion": false, "conflictResolution": "Overwrite",
            "placement": {"clusterAffinities": [{"affinityName": "eu", "labelSelector": {"matchLabels": {"region": "eu"}}}, {"affinityName": "all"}],
                "clusterTolerations": [{"key": "gpu", "operator": "Exists"}],
                "spreadConstraints": [{"spreadByField": "cluster", "minGroups": 1, "maxGroups": 2}],
                "replicaScheduling": {"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Weighted", "weightPreference":
                    {"staticWeightList": [{"targetCluster": {"clusterNames": ["eu-1"]}, "weight": 2}, {"targetCluster": {"clusterNames": ["us-1"]}, "weight": 1}]}}}}}),
        json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "OverridePolicy", "metadata": {"name": "settings", "namespace": "shop"}, "spec": {
            "resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}],
            "overrideRules": [{"overriders": {"fieldOverrider": [{"fieldPath": "/data/a.yaml", "yaml": [{"subPath": "/b", "operator": "replace", "value": 2}]}]}}]}}),
        json!({"apiVersion": "policy.karmada.io/v1alpha1", "kind": "ClusterOverridePolicy", "metadata": {"name": "all"}, "spec": {"overrideRules": [{
            "targetCluster": {"clusterNames": ["eu-1"]},
            "overriders": {
                "imageOverrider": [{"component": "Registry", "operator": "replace", "value": "registry.example.com"}],
                "argsOverrider": [{"containerName": "web", "operator": "add", "value": ["-q"]}],
                "labelsOverrider": [{"operator": "add", "value": {"team": "shop"}}],
                "plaintext": [{"path": "/spec/replicas", "operator": "replace", "value": 3}]}}]}}),
    ]
}

/// Any value, in the dialects' own words where it can be.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..10).prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        select(WORDS).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            vec((select(KEYS), inner), 0..5).prop_map(|fields| {
                let fields = fields.into_iter();
                Value::Object(fields.map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

/// What is done to one place of a document.
#[derive(Debug, Clone)]
enum Edit {
    Replace(Value),
    Remove,
    Add(&'static str, Value),
}

fn edits() -> impl Strategy<Value = Vec<(Index, Edit)>> {
    let edit = prop_oneof![
        4 => tree().prop_map(Edit::Replace),
        1 => Just(Edit::Remove),
        2 => (select(KEYS), tree()).prop_map(|(key, value)| Edit::Add(key, value)),
    ];
    vec((any::<Index>(), edit), 1..5)
}

fn places(value: &Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.replace('~', "~0").replace('/', "~1");
                places(value, &format!("{here}/{key}"), found);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                places(value, &format!("{here}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn edited(documents: Vec<Value>, edits: &[(Index, Edit)]) -> Value {
    let mut all = Value::from(documents);
    for (index, edit) in edits {
        let mut found = Vec::new();
        places(&all, "", &mut found);
        // The list itself stays.
        let place = &found[1 + index.index(found.len() - 1)];
        let (parent, key) = place.rsplit_once('/').expect("a place within");
        let key = key.replace("~1", "/").replace("~0", "~");
        match edit {
            Edit::Replace(value) => *all.pointer_mut(place).expect("there") = value.clone(),
            Edit::Remove => match all.pointer_mut(parent).expect("there") {
                Value::Object(fields) => drop(fields.remove(&key)),
                Value::Array(items) if !parent.is_empty() => {
                    drop(items.remove(key.parse::<usize>().expect("an index")));
                }
                _ => {}
            },
            Edit::Add(key, value) => {
                if let Value::Object(fields) = all.pointer_mut(place).expect("there") {
                    fields.insert((*key).to_owned(), value.clone());
                }
            }
        }
    }
    all
}

/// What holds of every plan, whatever it was made of.
fn holds(row: &ObjectPlan) {
    let taken: Vec<&str> = row
        .clusters
        .iter()
        .map(|one| one.cluster.as_str())
        .collect();
    let left: Vec<&str> = row
        .excluded
        .iter()
        .map(|one| one.cluster.as_str())
        .collect();
    assert!(
        taken.is_sorted() && left.is_sorted(),
        "in order: {taken:?} {left:?}"
    );
    let all: BTreeSet<&str> = taken.iter().chain(&left).copied().collect();
    assert_eq!(all.len(), taken.len() + left.len(), "each cluster once");
    assert!(row.unplaced_replicas >= 0);
    if row.refusal.is_some() {
        assert!(taken.is_empty(), "what is refused lands nowhere");
    }
    for planned in &row.clusters {
        let (manifest, object) = (&planned.manifest, &row.object);
        assert_eq!(manifest["kind"], object.kind, "rendering keeps the kind");
        assert_eq!(manifest["apiVersion"], object.api_version);
        assert_eq!(manifest["metadata"]["name"], object.name);
        assert_eq!(
            manifest["metadata"]
                .get("namespace")
                .and_then(Value::as_str),
            object.namespace.as_deref()
        );
    }
}

fn numbered(
    values: impl IntoIterator<Item = (usize, Result<Value, Refusal>)>,
) -> impl Iterator<Item = Document> {
    values.into_iter().map(|(index, value)| Document {
        file: "generated".to_owned(),
        index,
        value,
    })
}

/// Plans all documents together.
fn plans(all: &Value) -> Vec<ObjectPlan> {
    let all = all.as_array().expect("a list").iter().cloned();
    let documents: Vec<Document> = numbered(all.map(Ok).enumerate()).collect();
    let report = planning::plan(&documents, Fleet::default(), &[]);
    assert!(report.objects.len() + report.refusals.len() <= documents.len());
    report.objects.iter().for_each(holds);
    report.objects
}

/// What happens to a byte.
#[derive(Debug, Clone)]
enum Slip {
    Be(u8),
    Gone,
    New(u8),
    /// As many bytes from here again, elsewhere.
    Twice(usize, Index),
}

impl Slip {
    fn happen(&self, bytes: &mut Vec<u8>, at: usize) {
        match self {
            Self::Be(byte) => bytes[at] = *byte,
            Self::Gone => drop(bytes.remove(at)),
            Self::New(byte) => bytes.insert(at, *byte),
            Self::Twice(length, into) => {
                let copy = bytes[at..(at + length).min(bytes.len())].to_vec();
                let into = into.index(bytes.len());
                bytes.splice(into..into, copy);
            }
        }
    }
}

/// The peers' samples where they are there, else what is edited here.
fn manifests() -> Vec<String> {
    let mut texts: Vec<String> = [native(), kubefed(), karmada()]
        .map(|all| yaml(&all))
        .into();
    if let Some(folder) = corpus("real_manifests_become_rows_or_refusals") {
        for folder in [folder.join("kubefed"), folder.join("karmada")] {
            let files = std::fs::read_dir(folder).expect("a folder");
            let paths = files.map(|file| file.expect("a file").path());
            texts.extend(paths.map(|path| std::fs::read_to_string(path).expect("text")));
        }
    }
    texts.sort();
    texts
}

fn yaml(all: &[Value]) -> String {
    all.iter()
        .map(|document| format!("---\n{document:#}\n"))
        .collect()
}

/// The documents that are edited are ones that land: else their edits would show little.
#[test]
fn what_is_edited_is_accepted_before() {
    for (documents, dialect) in [
        (native(), Dialect::Native),
        (kubefed(), Dialect::Kubefed),
        (karmada(), Dialect::Karmada),
    ] {
        let rows = plans(&Value::from(documents));
        let web = rows
            .iter()
            .find(|row| row.object.name == "web")
            .expect("planned");
        assert_eq!((web.dialect, &web.refusal), (dialect, &None));
        assert!(!web.clusters.is_empty(), "{web:?}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn native_documents_become_rows_or_refusals(edits in edits()) {
        plans(&edited(native(), &edits));
    }

    #[test]
    fn kubefed_documents_become_rows_or_refusals(edits in edits()) {
        plans(&edited(kubefed(), &edits));
    }

    #[test]
    fn karmada_documents_become_rows_or_refusals(edits in edits()) {
        plans(&edited(karmada(), &edits));
    }

    /// YAML: any text, and the dialects' documents with a piece of any text inside.
    #[test]
    fn text_becomes_documents_or_refusals(text in ".{0,200}", at in any::<Index>(), inside in "[\\[\\]{}:&*!|>'\"#%@`, \n\t0-9a-z-]{0,20}") {
        documents::read(&text);
        for base in [native(), kubefed(), karmada()] {
            let mut yaml = yaml(&base);
            let at = at.index(yaml.len());
            if yaml.is_char_boundary(at) {
                yaml.insert_str(at, &inside);
            }
            let found: Vec<Document> = numbered(documents::read(&yaml)).collect();
            planning::plan(&found, Fleet::default(), &[]).objects.iter().for_each(holds);
        }
    }

    /// Real manifests of both peers with bytes exchanged, dropped, put in and doubled.
    #[test]
    fn real_manifests_become_rows_or_refusals(
        text in select(manifests()),
        slips in vec((any::<Index>(), prop_oneof![any::<u8>().prop_map(Slip::Be), Just(Slip::Gone), select(MARKS).prop_map(Slip::New), (1_usize..40, any::<Index>()).prop_map(|(length, into)| Slip::Twice(length, into))]), 1..5),
    ) {
        let mut bytes = text.as_bytes().to_vec();
        for (at, slip) in &slips {
            let at = at.index(bytes.len().max(1));
            if at < bytes.len() {
                slip.happen(&mut bytes, at);
            }
        }
        if let Ok(text) = String::from_utf8(bytes) {
            let fleet = native().into_iter().chain(kubefed()).chain(karmada());
            let fleet = fleet.filter(|document| document["kind"].as_str().is_some_and(|kind| kind.ends_with("Cluster")));
            let all: Vec<Document> = numbered(fleet.map(Ok).enumerate()).chain(numbered(documents::read(&text))).collect();
            planning::plan(&all, Fleet::default(), &[]).objects.iter().for_each(holds);
        }
    }
}
