//! An operator's own rules: health in CEL, and how much status travels back; for a kind whose definition comes with its first object.

use fleetcast_tests::harness::eventually;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::fleet::{Fleet, of};

const RULES: &str = "\
health:
- group: example.com
  kind: Database
  degraded: object.status.phase == 'Failed'
  healthy: object.status.phase == 'Running' && object.status.replicas >= object.spec.replicas
  reason: object.status.message
  status: [/status/phase, /status/endpoint, /status/notes]
";

/// The object stands before its definition, which the agent carries out first.
const DATABASE: &str = "\
apiVersion: example.com/v1
kind: Database
metadata: {name: db, namespace: default}
spec: {replicas: 2}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: databases.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: databases, kind: Database}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[tokio::test(flavor = "multi_thread")]
async fn rules_in_a_file_say_how_a_custom_kind_does_and_what_of_its_status_travels() {
    let test = "rules_in_a_file_say_how_a_custom_kind_does_and_what_of_its_status_travels";
    let Some(mut fleet) = Fleet::start(test, 1).await else {
        return;
    };
    // Definitions are none of the kinds in compose/agent-rbac.yaml.
    drop(fleet.agents[0].take());
    fleet.write("rules.yaml", RULES);
    let kubeconfig = fleet.planes[0].kubeconfig().display().to_string();
    let who = ["agent", "--cluster", "c1", "--kubeconfig", &kubeconfig];
    let what = ["--health-rules", "rules.yaml", "--status-limit", "80"];
    let _agent = fleet.service(&[&who[..], &what].concat());
    fleet.apply("database.yaml", DATABASE).await;

    let row = async || {
        let answer = fleet.done(&["get", "database.example.com/default/db", "-o", "json"]);
        answer.json()["objects"][0]["rows"][0].clone()
    };
    let databases = of(&fleet.clients[0], "example.com/v1", "Database");
    for (status, expected) in [
        (json!({"phase": "Starting"}), "progressing"),
        (
            json!({"phase": "Running", "replicas": 2, "endpoint": "db.example.com", "notes": "x".repeat(500)}),
            "healthy",
        ),
        (
            json!({"phase": "Failed", "message": "the disk is full"}),
            "degraded",
        ),
    ] {
        let patch = Patch::Merge(json!({"status": status}));
        let patched = databases
            .patch_status("db", &PatchParams::default(), &patch)
            .await;
        patched.expect("its status is set");
        let mut last = Value::Null;
        eventually(&format!("the database is {expected}"), async || {
            last = row().await;
            let said = &last["status"]["fields"];
            last["health"]["state"] == expected && said["phase"] == status["phase"]
        })
        .await;
        match expected {
            "healthy" => {
                assert_eq!(last["status"]["fields"]["endpoint"], "db.example.com");
                assert_eq!(last["status"]["fields"]["notes"], Value::Null, "too large");
                assert!(
                    last["status"]["omitted"].to_string().contains("notes"),
                    "named: {last}"
                );
            }
            "degraded" => assert_eq!(last["health"]["reason"], "the disk is full"),
            _ => {}
        }
    }
}
