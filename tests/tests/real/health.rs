//! Health of kinds as a real server serves them: what its own controllers say, and what others would say in their status.

use fleetcast_core::health::{self, Rules, State};
use fleetcast_tests::harness::{control_plane, eventually, namespace};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// A namespace in a real cluster.
struct Place {
    client: kube::Client,
    namespace: String,
}

impl Place {
    fn api(&self, object: &Value) -> Api<DynamicObject> {
        let text = |field: &str| object[field].as_str().expect("text");
        let (group, version) = text("apiVersion")
            .rsplit_once('/')
            .unwrap_or(("", text("apiVersion")));
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
        match object["kind"].as_str() {
            Some("APIService" | "CustomResourceDefinition" | "Namespace") => {
                Api::all_with(self.client.clone(), &kind)
            }
            _ => Api::namespaced_with(self.client.clone(), &self.namespace, &kind),
        }
    }

    async fn apply(&self, object: &Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let params = PatchParams::apply("test").force();
        let api = self.api(object);
        let applied = api.patch(name, &params, &Patch::Apply(object)).await;
        applied.expect("applied");
    }

    async fn status(&self, object: &Value, status: Value) {
        let name = object["metadata"]["name"].as_str().expect("a name");
        let patch = Patch::Merge(json!({"status": status}));
        let params = PatchParams::default();
        let patched = self.api(object).patch_status(name, &params, &patch).await;
        patched.expect("its status is set");
    }

    /// Waits until an object as the server gives it is judged so.
    async fn becomes(&self, object: &Value, expected: State, reason: &str) {
        let (kind, name) = (&object["kind"], object["metadata"]["name"].as_str());
        let mut last = None;
        eventually(&format!("{kind} is {expected:?} ({reason})"), async || {
            let live = self.api(object).get(name.expect("a name")).await;
            let live = serde_json::to_value(live.expect("there")).expect("an object");
            let found = health::of(&live, &Rules::default());
            let holds = found.state == expected && found.reason.contains(reason);
            last = Some(found);
            holds
        })
        .await;
    }
}

async fn place(test: &str) -> Option<Place> {
    let client = control_plane(test).await?.client().await;
    let namespace = namespace(&client, "health").await;
    Some(Place { client, namespace })
}

fn object(api_version: &str, kind: &str, spec: Value) -> Value {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "a"}, "spec": spec})
}

/// What the server's own controllers say of objects is judged right.
#[tokio::test]
async fn what_a_real_servers_controllers_say_is_judged() {
    let Some(place) = place("what_a_real_servers_controllers_say_is_judged").await else {
        return;
    };
    let containers = json!([{"name": "a", "image": "a"}]);
    let template = json!({"spec": {"restartPolicy": "Never", "containers": containers}});
    let cron = object(
        "batch/v1",
        "CronJob",
        json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}}),
    );
    place.apply(&cron).await;
    place.becomes(&cron, State::Healthy, "").await;

    let mut service = object(
        "apiregistration.k8s.io/v1",
        "APIService",
        json!({"group": format!("{}.example.com", place.namespace), "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"name": "nobody", "namespace": place.namespace}}),
    );
    service["metadata"]["name"] = json!(format!("v1.{}.example.com", place.namespace));
    place.apply(&service).await;
    let nobody = "service/nobody";
    place.becomes(&service, State::Progressing, nobody).await;
    place
        .api(&service)
        .delete(
            service["metadata"]["name"].as_str().expect("a name"),
            &Default::default(),
        )
        .await
        .expect("deleted");

    let selector = json!({"matchLabels": {"app": "a"}});
    let budget = object(
        "policy/v1",
        "PodDisruptionBudget",
        json!({"minAvailable": 1, "selector": selector}),
    );
    place.apply(&budget).await;
    place.becomes(&budget, State::Degraded, "0 of 1 pods").await;

    let deployment = object(
        "apps/v1",
        "Deployment",
        json!({"replicas": 0, "selector": selector,
        "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": containers}}}),
    );
    place.apply(&deployment).await;
    place.becomes(&deployment, State::Healthy, "").await;
}

/// What others would say in an object's status, through the status endpoint of a real server, is judged right.
#[tokio::test]
async fn what_others_say_in_a_status_is_judged() {
    let Some(place) = place("what_others_say_in_a_status_is_judged").await else {
        return;
    };
    let condition = |name: &str, status: &str, reason: &str| json!({"conditions": [{"type": name, "status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "a"});
    let mut scaled = condition("AbleToScale", "True", "ReadyForNewScale");
    (scaled["currentReplicas"], scaled["desiredReplicas"]) = (json!(1), json!(1));
    let mut stuck = condition("AbleToScale", "False", "FailedGetScale");
    (stuck["currentReplicas"], stuck["desiredReplicas"]) = (json!(0), json!(0));
    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let storage = json!({"requests": {"storage": "1Gi"}});
    for (object, before, status, expected, reason) in [
        (
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"maxReplicas": 3, "scaleTargetRef": target}),
            ),
            State::Progressing,
            scaled,
            State::Healthy,
            "",
        ),
        (
            object(
                "autoscaling/v2",
                "HorizontalPodAutoscaler",
                json!({"maxReplicas": 3, "scaleTargetRef": target}),
            ),
            State::Healthy,
            stuck,
            State::Degraded,
            "FailedGetScale",
        ),
        (
            object(
                "v1",
                "Service",
                json!({"type": "LoadBalancer", "ports": [{"port": 80}]}),
            ),
            State::Progressing,
            address.clone(),
            State::Healthy,
            "",
        ),
        (
            object(
                "networking.k8s.io/v1",
                "Ingress",
                json!({"defaultBackend": {"service": {"name": "a", "port": {"number": 80}}}}),
            ),
            State::Progressing,
            address,
            State::Healthy,
            "",
        ),
        (
            object(
                "v1",
                "PersistentVolumeClaim",
                json!({"accessModes": ["ReadWriteOnce"], "resources": storage}),
            ),
            State::Progressing,
            json!({"phase": "Lost"}),
            State::Degraded,
            "volume is gone",
        ),
        (
            object(
                "v1",
                "Pod",
                json!({"containers": [{"name": "a", "image": "a"}]}),
            ),
            State::Progressing,
            json!({"phase": "Pending", "containerStatuses": [{"name": "a", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
            State::Degraded,
            "ImagePullBackOff",
        ),
    ] {
        place.apply(&object).await;
        place.becomes(&object, before, "").await;
        place.status(&object, status).await;
        place.becomes(&object, expected, reason).await;
    }
}
