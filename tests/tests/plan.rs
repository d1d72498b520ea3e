//! `fleetcast plan` over real manifests equals golden files.
//!
//! `FLEETCAST_RENEW=1` writes the golden files anew; they are read in review against what the dialects' own programs do.

use std::path::{Path, PathBuf};

use fleetcast_tests::harness::{Binary, Output, corpus, nats_server};
use serde_json::Value;

/// Three clusters as KubeFed describes them: labels, no status, one of them not ready.
const KUBEFED_FLEET: &str = "apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: cluster1, namespace: kube-federation-system, labels: {region: eu}}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: cluster2, namespace: kube-federation-system, labels: {region: us}}
status: {conditions: [{type: Ready, status: \"True\"}]}
---
apiVersion: core.kubefed.io/v1beta1
kind: KubeFedCluster
metadata: {name: cluster3, namespace: kube-federation-system}
status: {conditions: [{type: Ready, status: \"False\"}]}
";

const KARMADA_FLEET: &str = "apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: member1}
spec: {region: eu}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: member2}
spec: {region: us}
---
apiVersion: cluster.karmada.io/v1alpha1
kind: Cluster
metadata: {name: member3}
";

/// A folder with copies of samples, so that what is printed names no folder of this machine.
struct Desk {
    directory: tempfile::TempDir,
}

impl Desk {
    fn new(samples: &Path) -> Self {
        let directory = tempfile::tempdir().expect("a folder");
        let inside = directory.path().join("samples");
        std::fs::create_dir(&inside).expect("a folder");
        for entry in std::fs::read_dir(samples).expect("a folder") {
            let path = entry.expect("an entry").path();
            if let Some(name) = path.file_name().filter(|_| path.is_file()) {
                std::fs::copy(&path, inside.join(name)).expect("copied");
            }
        }
        Self { directory }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.directory.path().join(name), text).expect("written");
    }

    fn run(&self, args: &[&str]) -> Output {
        Binary::new(self.directory.path(), PathBuf::new()).run(args)
    }
}

/// Compares an answer with the golden file `name`, or writes that anew.
fn expect_golden(name: &str, output: &Output) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/plan")
        .join(name);
    let found = serde_json::to_string_pretty(&output.json()).expect("JSON") + "\n";
    if std::env::var_os("FLEETCAST_RENEW").is_some() {
        std::fs::write(&path, &found).expect("written");
        return;
    }
    let golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; FLEETCAST_RENEW=1 writes it", path.display()));
    let lines = found.lines().zip(golden.lines()).enumerate();
    let differs = lines.clone().find(|(_, (found, golden))| found != golden);
    assert!(
        found == golden,
        "{name} differs from {differs:?} on (line counted from 0, found, golden); FLEETCAST_RENEW=1 writes it anew"
    );
}

/// Shows KubeFed's own samples: each on the two named clusters with cluster2's overrides, and the Deployment's 10 replicas as 4 and 6 by
/// its ReplicaSchedulingPreference. The plain objects among them are refused.
#[test]
fn kubefeds_samples_land_as_kubefed_places_them() {
    let Some(corpus) = corpus("kubefeds_samples_land_as_kubefed_places_them") else {
        return;
    };
    let desk = Desk::new(&corpus.join("kubefed"));
    desk.write("fleet.yaml", KUBEFED_FLEET);
    let output = desk.run(&[
        "plan",
        "-f",
        "samples",
        "--fleet",
        "fleet.yaml",
        "-o",
        "json",
    ]);
    assert_eq!(
        output.status, 1,
        "the plain objects are refused: {output:?}"
    );
    expect_golden("kubefed.json", &output);
}

/// Shows that the preference looks at what is there: cluster2 is due 6 and has capacity for 5, so cluster1 gets the sixth, and with
/// rebalance KubeFed places the overflow of 1 in cluster2 all the same.
#[test]
fn what_is_observed_counts() {
    let Some(corpus) = corpus("what_is_observed_counts") else {
        return;
    };
    let desk = Desk::new(&corpus.join("kubefed"));
    desk.write("fleet.yaml", KUBEFED_FLEET);
    desk.write(
        "observed.json",
        r#"[{"object": "deployment/test-namespace/test-deployment", "cluster": "cluster2", "replicas": 5, "ready": 5, "capacity": 5}]"#,
    );
    let output = desk.run(&[
        "plan",
        "-f",
        "samples/federatednamespace.yaml",
        "-f",
        "samples/federateddeployment.yaml",
        "-f",
        "samples/federateddeployment-rsp.yaml",
        "--fleet",
        "fleet.yaml",
        "--observed",
        "observed.json",
        "-o",
        "json",
    ]);
    assert_eq!(output.status, 0, "{output:?}");
    expect_golden("kubefed-observed.json", &output);
}

/// Shows Karmada's own samples over three members.
#[test]
fn karmadas_samples_land_as_karmada_places_them() {
    let Some(corpus) = corpus("karmadas_samples_land_as_karmada_places_them") else {
        return;
    };
    let desk = Desk::new(&corpus.join("karmada"));
    desk.write("fleet.yaml", KARMADA_FLEET);
    let output = desk.run(&[
        "plan",
        "-f",
        "samples",
        "--fleet",
        "fleet.yaml",
        "-o",
        "json",
    ]);
    expect_golden("karmada.json", &output);
}

/// Shows exit status and messages where what is given is no fleet, no observation, or nothing at all.
#[test]
fn what_cannot_be_planned_is_said() {
    let directory = tempfile::tempdir().expect("a folder");
    let fleetcast = Binary::new(directory.path(), PathBuf::new());
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    write("fleet.yaml", KARMADA_FLEET);
    write(
        "pod.yaml",
        "{apiVersion: v1, kind: Pod, metadata: {name: a}}",
    );
    write(
        "observed.json",
        r#"[{"object": "pod/default/a", "cluster": "member1", "replica": 1}]"#,
    );
    let plan = |args: &[&str]| {
        let mut all = vec!["plan", "-f", "pod.yaml"];
        all.extend(args);
        fleetcast.run(&all)
    };
    let output = plan(&[
        "--fleet",
        "fleet.yaml",
        "--clusters",
        "member1,member9",
        "-o",
        "json",
    ]);
    let row = &output.json()["objects"][0];
    assert_eq!(output.status, 0, "{output:?}");
    assert_eq!(row["clusters"][0]["cluster"], "member1");
    assert_eq!(row["clusters"][0]["replicas"], Value::Null);
    assert_eq!(row["excluded"][2]["reason"], "Unknown");
    let not_a_fleet = plan(&["--fleet", "pod.yaml", "-o", "json"]);
    assert_eq!(not_a_fleet.status, 1);
    assert_eq!(not_a_fleet.json()["refusals"][0]["field"], "kind");
    let misspelt = plan(&["--fleet", "fleet.yaml", "--observed", "observed.json"]);
    assert_eq!(misspelt.status, 1);
    assert!(misspelt.err.contains("replica"), "{misspelt:?}");
}

/// Shows what a plan against the live fleet tells: who gains, changes, keeps and loses an object, and that planning changes nothing.
#[test]
fn against_the_live_fleet_it_says_who_gains_and_who_loses() {
    let Some(server) = nats_server("against_the_live_fleet_it_says_who_gains_and_who_loses") else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).expect("written");
    };
    let clusters: String = ["c1", "c2", "c3"]
        .iter()
        .map(|name| format!("[[cluster]]\nname = \"{name}\"\nsimulated = true\n"))
        .collect();
    write("workspace.toml", &clusters);
    let document = |clusters: &str, value: &str| {
        format!(
            "apiVersion: fleetcast.dev/v1alpha1\nkind: FederatedObject\nmetadata: {{name: web, namespace: default}}\nspec:\n  \
             template: {{apiVersion: v1, kind: ConfigMap, data: {{a: \"{value}\"}}}}\n  placement: {{clusters: [{clusters}]}}\n  \
             overrides: [{{clusters: [c1], patches: [{{op: add, path: /data/b, value: c1}}]}}]\n"
        )
    };
    write("before.yaml", &document("c1, c2", "1"));
    write("after.yaml", &document("c2, c3", "1"));
    write("changed.yaml", &document("c1, c2", "2"));
    let fleetcast = Binary::new(directory.path(), server);
    let _up = fleetcast.up();
    fleetcast.done(&["apply", "-f", "before.yaml", "--wait"]);

    let same = fleetcast.done(&["plan", "-f", "before.yaml"]).out;
    assert!(same.contains("0 gained, 0 changed, 0 deleted"), "{same}");
    let moved = fleetcast.done(&["plan", "-f", "after.yaml"]).out;
    assert!(moved.contains("1 gained, 0 changed, 1 deleted"), "{moved}");
    assert!(moved.contains("c1 loses it: NotSelected"), "{moved}");
    let changed = fleetcast.done(&["plan", "-f", "changed.yaml"]).out;
    assert!(
        changed.contains("0 gained, 2 changed, 0 deleted"),
        "{changed}"
    );
    let after = fleetcast
        .done(&["get", "configmap/default/web", "-o", "json"])
        .json();
    assert_eq!(
        after["objects"][0]["revision"], 1,
        "planning hands nothing in"
    );
}
