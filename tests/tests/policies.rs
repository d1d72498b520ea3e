//! Policies in the log place objects in a running fleet as `plan` says over the same files, and move them when they change.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fleetcast_core::digest;
use fleetcast_tests::harness::{Binary, corpus, held_at, nats_server};
use serde_json::Value;

const WORKSPACE: &str = "[[cluster]]\nname = \"member1\"\nsimulated = true\n[[cluster]]\nname = \"member2\"\nsimulated = true\n[[cluster]]\nname = \"cluster1\"\nsimulated = true\n[[cluster]]\nname = \"cluster2\"\nsimulated = true\n";

const WEB: &str = "apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: \"web:1\", envFrom: [{configMapRef: {name: settings}}]}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data: {a: b}
";

fn policy(clusters: &str) -> String {
    format!(
        "apiVersion: policy.karmada.io/v1alpha1
kind: PropagationPolicy
metadata: {{name: web, namespace: shop}}
spec:
  propagateDeps: true
  resourceSelectors: [{{apiVersion: apps/v1, kind: Deployment}}]
  placement: {{clusterAffinity: {{clusterNames: {clusters}}}}}
"
    )
}

struct Fleet {
    directory: tempfile::TempDir,
    fleetcast: Binary,
}

impl Fleet {
    fn new(server: std::path::PathBuf) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        std::fs::write(directory.path().join("workspace.toml"), WORKSPACE).expect("written");
        let fleetcast = Binary::new(directory.path(), server);
        Self {
            directory,
            fleetcast,
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).expect("written");
    }

    /// The rows of `object`, by cluster.
    fn rows(&self, object: &str) -> BTreeMap<String, Value> {
        let got = self.fleetcast.run(&["get", object, "-o", "json"]);
        if got.status != 0 {
            return BTreeMap::new();
        }
        let rows = got.json()["objects"][0]["rows"].clone();
        let rows = rows.as_array().cloned().unwrap_or_default();
        rows.into_iter()
            .map(|row| (row["cluster"].as_str().expect("a name").to_owned(), row))
            .collect()
    }

    /// Waits until `object` is applied in exactly `clusters`.
    fn until_applied(&self, object: &str, clusters: &[&str]) {
        let begin = Instant::now();
        loop {
            let rows = self.rows(object);
            let applied: Vec<&str> = rows
                .iter()
                .filter(|(_, row)| row["condition"] == "applied")
                .map(|(cluster, _)| cluster.as_str())
                .collect();
            if applied == clusters {
                return;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "{object} is not in {clusters:?}: {rows:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Shows the life of a policy: an object that none selects sits nowhere and says so; a policy places it and what it names; an edit moves
/// both; a withdrawal leaves the copies; each decision names the policy and its revision.
#[test]
fn a_policy_places_moves_and_leaves() {
    let Some(server) = nats_server("a_policy_places_moves_and_leaves") else {
        return;
    };
    let fleet = Fleet::new(server);
    let _up = fleet.fleetcast.up();
    fleet.write("web.yaml", WEB);
    let applied = fleet.fleetcast.done(&["apply", "-f", "web.yaml"]);
    assert!(
        applied
            .out
            .contains("not on cluster1, cluster2, member1, member2 NoPolicy"),
        "{applied:?}"
    );
    fleet.fleetcast.done(&["apply", "-f", "web.yaml", "--wait"]);
    let nowhere = fleet.rows("deployment/shop/web");
    assert_eq!(nowhere["member1"]["condition"], "excluded", "{nowhere:?}");
    let message = nowhere["member1"]["message"].to_string();
    assert!(message.contains("NoPolicy"), "{message}");

    fleet.write("policy.yaml", &policy("[member1]"));
    fleet.fleetcast.done(&["apply", "-f", "policy.yaml"]);
    fleet.until_applied("deployment/shop/web", &["member1"]);
    fleet.until_applied("configmap/shop/settings", &["member1"]);
    let explained = fleet
        .fleetcast
        .done(&["explain", "deployment/shop/web", "--cluster", "member1"])
        .out;
    for part in [
        "PropagationPolicy shop/web selects the object as everything of its kind",
        "propagationpolicy.policy.karmada.io/shop/web revision 1",
    ] {
        assert!(explained.contains(part), "{part:?} is missing: {explained}");
    }

    let left_out = fleet
        .fleetcast
        .run(&["explain", "deployment/shop/web", "--cluster", "member2"])
        .out;
    assert!(
        left_out.contains("is not named in clusterNames"),
        "{left_out}"
    );
    let other = policy("[member1]")
        .replace("name: web", "name: other")
        .replace("Deployment", "StatefulSet");
    fleet.write("other.yaml", &other);
    fleet.fleetcast.done(&["apply", "-f", "other.yaml"]);
    let got = fleet.fleetcast.done(&["get"]).out;
    let line = |name: &str| {
        let mut lines = got.lines();
        lines.find(|line| line.contains(name)).unwrap_or_default()
    };
    assert!(line("shop/web ").contains("applied everywhere"), "{got}");
    assert!(
        line("propagationpolicy.policy.karmada.io/shop/other").contains("selects nothing"),
        "{got}"
    );
    fleet.fleetcast.done(&["delete", "-f", "other.yaml"]);

    fleet.write("next.yaml", &WEB.replace("web:1", "web:2"));
    let planned = fleet.fleetcast.done(&["plan", "-f", "next.yaml"]).out;
    for part in [
        "in member1:\n    ~ spec.template.spec.containers[0].image: \"web:1\" → \"web:2\"",
        "1 changed, 0 deleted",
    ] {
        assert!(planned.contains(part), "{part:?} is missing: {planned}");
    }

    fleet.write("policy.yaml", &policy("[member2]"));
    fleet.fleetcast.done(&["apply", "-f", "policy.yaml"]);
    fleet.until_applied("deployment/shop/web", &["member2"]);
    fleet.until_applied("configmap/shop/settings", &["member2"]);

    fleet.fleetcast.done(&["delete", "-f", "policy.yaml"]);
    fleet.until_applied("deployment/shop/web", &[]);
    let explained = fleet
        .fleetcast
        .run(&["explain", "deployment/shop/web", "--cluster", "member2"])
        .out;
    assert!(explained.contains("NoPolicy"), "{explained}");
    let kept = held_at(
        fleet.directory.path(),
        "member2",
        "/apis/apps/v1/namespaces/shop/deployments/web",
    );
    let kept = kept.expect("the copy stays");
    let marks = kept["metadata"]["annotations"].to_string();
    assert!(!marks.contains("fleetcast.dev/revision"), "{marks}");

    let events = fleet.fleetcast.done(&["events", "-o", "json"]).json_lines();
    let policies = events.iter().filter(|event| event["type"] == "policy");
    assert_eq!(
        policies.count(),
        5,
        "declared, edited, withdrawn; the other declared, withdrawn"
    );
}

/// Shows that the placer decides what `plan` says, digest by digest, over the dialects' own samples: Karmada's policies and what they
/// place, KubeFed's objects with a preference.
#[test]
fn the_fleet_holds_what_plan_says_over_the_corpus() {
    let test = "the_fleet_holds_what_plan_says_over_the_corpus";
    let (Some(server), Some(corpus)) = (nats_server(test), corpus(test)) else {
        return;
    };
    let fleet = Fleet::new(server);
    let _up = fleet.fleetcast.up();
    let mut files = Vec::new();
    for folder in ["karmada", "kubefed"] {
        for entry in std::fs::read_dir(corpus.join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy();
            if folder == "karmada" || name.starts_with("federated") {
                files.push(path.display().to_string());
            }
        }
    }
    files.sort();
    let mut args = vec!["apply", "--wait"];
    files.iter().for_each(|file| args.extend(["-f", file]));
    fleet.fleetcast.done(&args);
    let clusters = ["cluster1", "cluster2", "member1", "member2"];
    let documents: Vec<String> = clusters
        .iter()
        .map(|name| {
            format!("apiVersion: fleetcast.dev/v1alpha1\nkind: MemberCluster\nmetadata: {{name: {name}}}\n")
        })
        .collect();
    fleet.write("fleet.yaml", &documents.join("---\n"));
    let mut args = vec!["plan", "--fleet", "fleet.yaml", "-o", "json"];
    files.iter().for_each(|file| args.extend(["-f", file]));
    let planned = fleet.fleetcast.run(&args).json();
    let mut placed = 0;
    for object in planned["objects"].as_array().expect("rows") {
        let text = |key: &str| object["object"][key].as_str().unwrap_or_default();
        let group = text("apiVersion")
            .rsplit_once('/')
            .map_or("", |(group, _)| group);
        let kind = match group {
            "" => text("kind").to_owned(),
            group => format!("{}.{group}", text("kind")),
        };
        let name = match text("namespace") {
            "" => format!("{kind}/{}", text("name")),
            namespace => format!("{kind}/{namespace}/{}", text("name")),
        };
        let expected: BTreeMap<String, (Value, String)> = object["clusters"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| {
                let cluster = one["cluster"].as_str().expect("a name").to_owned();
                let digest = digest::of_value(&one["manifest"]);
                (cluster, (one["replicas"].clone(), digest))
            })
            .map(|placed| comparable(&kind, placed))
            .collect();
        let found: BTreeMap<String, (Value, String)> = fleet
            .rows(&name)
            .into_iter()
            .filter_map(|(cluster, row)| {
                let digest = row["digest"].as_str()?.to_owned();
                Some((cluster, (row["replicas"].clone(), digest)))
            })
            .map(|placed| comparable(&kind, placed))
            .collect();
        assert_eq!(found, expected, "{name}");
        placed += expected.len();
    }
    assert!(placed >= 20, "{placed} placements were compared");
}

/// A cluster, with the replicas and the digest of what it should hold.
type Placed = (String, (Value, String));

/// A fleet has the values of Secrets sealed, a plan without a bus has them as they are: of these only the places are compared.
fn comparable(kind: &str, (cluster, (replicas, digest)): Placed) -> Placed {
    match kind {
        "Secret" => (cluster, (replicas, String::new())),
        _ => (cluster, (replicas, digest)),
    }
}

/// Shows that going back takes policies along: what they moved is shown before, and moves back.
#[test]
fn going_back_takes_policies_along() {
    let Some(server) = nats_server("going_back_takes_policies_along") else {
        return;
    };
    let fleet = Fleet::new(server);
    let _up = fleet.fleetcast.up();
    fleet.write("web.yaml", WEB);
    fleet.write("policy.yaml", &policy("[member1]"));
    fleet
        .fleetcast
        .done(&["apply", "-f", "web.yaml", "-f", "policy.yaml"]);
    fleet.until_applied("deployment/shop/web", &["member1"]);
    let then = fleet.fleetcast.done(&["get", "-o", "json"]).json()["as_of"]["log"].to_string();

    fleet.write("policy.yaml", &policy("[member1, member2]"));
    let other = policy("[cluster1]")
        .replace("name: web", "name: other")
        .replace("Deployment", "StatefulSet");
    fleet.write("other.yaml", &other);
    fleet
        .fleetcast
        .done(&["apply", "-f", "policy.yaml", "-f", "other.yaml"]);
    fleet.until_applied("deployment/shop/web", &["member1", "member2"]);

    let shown = fleet
        .fleetcast
        .run(&["rollback", "--namespace", "shop", "--at", &then]);
    for part in [
        "propagationpolicy.policy.karmada.io/shop/web",
        "by its policy",
        "shop/other did not exist then; it stays",
        "1 policies change",
    ] {
        assert!(shown.out.contains(part), "{part:?} is missing: {shown:?}");
    }
    fleet
        .fleetcast
        .done(&["rollback", "--all", "--at", &then, "--prune", "--yes"]);
    fleet.until_applied("deployment/shop/web", &["member1"]);
    let again = fleet
        .fleetcast
        .done(&["rollback", "--all", "--at", &then, "--prune"]);
    assert!(again.out.contains("nothing to do"), "{again:?}");
}
