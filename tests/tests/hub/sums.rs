//! Plain objects under a Karmada policy get the sum of their members' statuses, as Karmada's users read it; and nothing that is written back comes in as a change.

use std::collections::BTreeMap;
use std::process::Command;

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{bare_control_plane, eventually, held};
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::foreign::serve_karmada;
use super::scene::{Scene, api, apply, changes, live};

/// A plain object of the hub, what each member's controllers say about its copy, and what its users read on the hub.
struct Case {
    object: Value,
    on_members: [Value; 2],
    on_hub: Value,
}

fn object(api_version: &str, kind: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web", "namespace": "default"}, "spec": spec})
}

fn cases() -> Vec<Case> {
    let pod = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}});
    let selector = json!({"matchLabels": {"a": "b"}});
    let mut once = pod.clone();
    once["spec"]["restartPolicy"] = json!("Never");
    let case = |object: Value, on_members: [Value; 2], on_hub: Value| Case {
        object,
        on_members,
        on_hub,
    };
    let web = |ready: i64| json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1});
    let way = |ip: &str| json!({"loadBalancer": {"ingress": [{"ip": ip}]}});
    let done = |time: &str| {
        json!({"succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": time,
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]})
    };
    let ways = json!({"loadBalancer": {"ingress": [{"ip": "10.0.0.1", "hostname": "c1"}, {"ip": "10.0.0.2", "hostname": "c2"}]}});
    let running = |ready: bool| {
        json!({"phase": "Running", "containerStatuses": [
        {"name": "a", "image": "a", "imageID": "x", "restartCount": 0, "ready": ready, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]})
    };
    vec![
        case(
            object(
                "apps/v1",
                "Deployment",
                json!({"replicas": 2, "selector": selector, "template": pod}),
            ),
            [web(2), web(1)],
            json!({"replicas": 4, "readyReplicas": 3, "availableReplicas": 3, "updatedReplicas": 4, "observedGeneration": 1}),
        ),
        case(
            object(
                "apps/v1",
                "StatefulSet",
                json!({"serviceName": "web", "replicas": 2, "selector": selector, "template": pod}),
            ),
            [
                json!({"replicas": 2, "readyReplicas": 2, "observedGeneration": 1}),
                json!({"replicas": 2, "readyReplicas": 0, "observedGeneration": 1}),
            ],
            json!({"replicas": 4, "readyReplicas": 2, "observedGeneration": 1}),
        ),
        case(
            object(
                "apps/v1",
                "DaemonSet",
                json!({"selector": selector, "template": pod}),
            ),
            [
                json!({"desiredNumberScheduled": 3, "currentNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": 2, "observedGeneration": 1}),
                json!({"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1, "observedGeneration": 1}),
            ],
            json!({"desiredNumberScheduled": 4, "numberReady": 3, "observedGeneration": 1}),
        ),
        case(
            object("batch/v1", "Job", json!({"template": once})),
            [done("2026-01-01T00:00:05Z"), done("2026-01-01T00:00:09Z")],
            json!({"succeeded": 2, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:09Z"}),
        ),
        case(
            object(
                "v1",
                "Service",
                json!({"type": "LoadBalancer", "ports": [{"port": 80}]}),
            ),
            [way("10.0.0.1"), way("10.0.0.2")],
            ways.clone(),
        ),
        case(
            object(
                "networking.k8s.io/v1",
                "Ingress",
                json!({"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}}),
            ),
            [way("10.0.0.1"), way("10.0.0.2")],
            ways,
        ),
        case(
            object(
                "v1",
                "Pod",
                json!({"containers": [{"name": "a", "image": "a"}], "automountServiceAccountToken": false}),
            ),
            [running(true), running(false)],
            json!({"phase": "Running"}),
        ),
        case(
            object(
                "v1",
                "PersistentVolumeClaim",
                json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}),
            ),
            [json!({"phase": "Bound"}), json!({"phase": "Lost"})],
            json!({"phase": "Lost"}),
        ),
        case(
            object(
                "policy/v1",
                "PodDisruptionBudget",
                json!({"minAvailable": 1, "selector": selector}),
            ),
            [
                json!({"currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2, "disruptionsAllowed": 1}),
                json!({"currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, "disruptionsAllowed": 0}),
            ],
            json!({"currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3, "disruptionsAllowed": 1}),
        ),
        case(
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}),
            ),
            [
                json!({"currentReplicas": 2, "desiredReplicas": 3}),
                json!({"currentReplicas": 1, "desiredReplicas": 1}),
            ],
            json!({"currentReplicas": 3, "desiredReplicas": 4}),
        ),
    ]
}

/// What a controller of the member writes.
async fn report(member: &Cluster, object: &Value, status: &Value) {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
    eventually(&format!("{kind} is in {}", member.name()), async || {
        held(member, &version, &kind, Some("default"), "web")
            .await
            .is_some()
    })
    .await;
    let objects = api(&member.client(), &version, &kind, Some("default"));
    let patch = Patch::Merge(json!({"status": status}));
    let written = objects
        .patch_status("web", &PatchParams::default(), &patch)
        .await;
    written.unwrap_or_else(|error| panic!("{kind}: {error}"));
}

/// Whether `status` says all that is wanted, whatever a server adds.
fn says(status: &Value, wanted: &Value) -> bool {
    match (status, wanted) {
        (_, Value::Object(wanted)) => {
            let mut wanted = wanted.iter();
            wanted.all(|(field, value)| says(&status[field], value))
        }
        (Value::Array(status), Value::Array(wanted)) => {
            status.len() == wanted.len()
                && status
                    .iter()
                    .zip(wanted)
                    .all(|(one, wanted)| says(one, wanted))
        }
        _ => status == wanted,
    }
}

async fn sums_stand_on_the_hub(test: &str, hub: Client, kubeconfig: Option<&std::path::Path>) {
    // Nobody else makes this one where no controllers run; a Pod needs it.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}});
    apply(&hub, &account).await;
    let Some(scene) = Scene::telling(test, hub.clone()).await else {
        return;
    };
    serve_karmada(&hub).await;
    let cases = cases();
    let plain = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "default"}, "data": {"a": "b"}});
    let selected = cases.iter().map(|case| &case.object).chain([&plain]);
    let selectors: Vec<Value> = selected
        .clone()
        .map(|object| json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "name": "web"}))
        .collect();
    let policy = json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "web", "namespace": "default"},
        "spec": {"resourceSelectors": selectors, "placement": {"clusterAffinity": {"clusterNames": ["c1", "c2"]}}},
    });
    apply(&hub, &policy).await;
    for object in selected {
        apply(&hub, object).await;
    }
    for case in &cases {
        for (member, status) in scene.members.iter().zip(&case.on_members) {
            report(member, &case.object, status).await;
        }
    }
    let mut told = BTreeMap::new();
    for case in &cases {
        let kind = case.object["kind"].as_str().expect("text");
        eventually(&format!("{kind} says {}", case.on_hub), async || {
            let now = live(&hub, &case.object).await.expect("there");
            let done = says(&now["status"], &case.on_hub);
            told.insert(kind.to_owned(), now);
            done
        })
        .await;
    }
    let conditions = told["Job"]["status"]["conditions"]
        .as_array()
        .expect("a list");
    assert!(
        conditions.iter().any(|one| one["type"] == "Complete"),
        "{conditions:?}"
    );
    assert!(
        told["Pod"]["status"]["containerStatuses"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    );
    if let Some(kubeconfig) = kubeconfig {
        as_kubectl_shows_it(kubeconfig);
    }

    // More than one status of each went back meanwhile, beside a watcher that saw each of them: none of that is a change.
    let all = changes(&scene.bus).await;
    for (object, revisions) in &all {
        assert_eq!(revisions.len(), 1, "{object}");
    }
    assert_eq!(all.len(), cases.len() + 2);
    let now = live(&hub, &plain).await.expect("there");
    assert_eq!(now["status"], Value::Null, "what has no status gets none");

    // A change on the hub is observed once all members have it.
    let deployment = &cases[0].object;
    super::scene::merge(&hub, deployment, &json!({"spec": {"replicas": 3}})).await;
    eventually("the copies are changed", async || {
        for member in &scene.members {
            let copy = held(member, "apps/v1", "Deployment", Some("default"), "web").await;
            if copy.is_none_or(|copy| copy["spec"]["replicas"] != 3) {
                return false;
            }
        }
        true
    })
    .await;
    let seen = json!({"replicas": 3, "readyReplicas": 3, "observedGeneration": 2});
    report(&scene.members[0], deployment, &seen).await;
    eventually("one member has seen it", async || {
        let now = live(&hub, deployment).await.expect("there");
        now["status"]["replicas"] == 5
    })
    .await;
    let now = live(&hub, deployment).await.expect("there");
    assert_eq!(
        (
            &now["metadata"]["generation"],
            &now["status"]["observedGeneration"]
        ),
        (&json!(2), &json!(1)),
        "the other one has not"
    );
    report(&scene.members[1], deployment, &seen).await;
    eventually("both have seen it", async || {
        let now = live(&hub, deployment).await.expect("there");
        now["status"]["readyReplicas"] == 6 && now["status"]["observedGeneration"] == 2
    })
    .await;
    scene.end().await;
}

/// What `kubectl get` shows, where there is a kubectl.
fn as_kubectl_shows_it(kubeconfig: &std::path::Path) {
    let get = |what: &str| {
        let mut kubectl = Command::new("kubectl");
        kubectl
            .env("KUBECONFIG", kubeconfig)
            .args(["get", what, "web", "--no-headers"]);
        kubectl.output().ok().map(|said| {
            let line = String::from_utf8_lossy(&said.stdout).into_owned();
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
    };
    for (what, column, expected) in [
        ("deployment", 1, "3/2"),
        ("statefulset", 1, "2/2"),
        ("job", 1, "Complete"),
        ("service", 3, "10.0.0.1,10.0.0.2"),
        ("pod", 1, "1/1"),
        ("persistentvolumeclaim", 1, "Lost"),
    ] {
        let Some(columns) = get(what) else {
            eprintln!("there is no kubectl: what it shows is not looked at");
            return;
        };
        eprintln!("kubectl get {what}: {columns:?}");
        assert_eq!(
            columns.get(column).map(String::as_str),
            Some(expected),
            "{columns:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_objects_get_the_sum_of_their_members_on_a_simulated_hub() {
    let test = "plain_objects_get_the_sum_of_their_members_on_a_simulated_hub";
    sums_stand_on_the_hub(test, Cluster::new("hub").client(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_objects_get_the_sum_of_their_members_on_a_real_hub() {
    let test = "plain_objects_get_the_sum_of_their_members_on_a_real_hub";
    let Some(plane) = bare_control_plane(test).await else {
        return;
    };
    sums_stand_on_the_hub(test, plane.client().await, Some(&plane.kubeconfig())).await;
}
