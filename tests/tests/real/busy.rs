//! A server that asks for a pause: API priority and fairness refuses an agent's requests with 429 and `Retry-After`.

use fleetcast_kubernetes::credentials;
use fleetcast_tests::harness::eventually;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::fleet::{Fleet, of};

/// How many writes are tried at the same time until one is refused.
const MANY: usize = 40;
/// How many objects the agent applies: more than one at a time, and few enough that the last gets its turn before pauses that double become long.
const OBJECTS: usize = 6;

/// Lets the server carry out one write of the agent to ConfigMaps at a time, and refuse what comes meanwhile.
async fn one_write_at_a_time(client: &kube::Client) {
    let api = |kind: &str| -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("flowcontrol.apiserver.k8s.io", "v1", kind);
        Api::all_with(client.clone(), &ApiResource::from_gvk(&kind))
    };
    let of_kind = |kind: &str, spec: Value| json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind, "metadata": {"name": "none"}, "spec": spec});
    let none = of_kind(
        "PriorityLevelConfiguration",
        json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 0, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"}}}),
    );
    let agent = json!({"kind": "ServiceAccount", "serviceAccount": {"name": "fleetcast-agent", "namespace": "fleetcast-system"}});
    let writes = json!({"verbs": ["create", "patch"], "apiGroups": [""], "resources": ["configmaps"], "namespaces": ["default"]});
    let flow = of_kind(
        "FlowSchema",
        json!({"priorityLevelConfiguration": {"name": "none"}, "matchingPrecedence": 2, "rules": [{"subjects": [agent], "resourceRules": [writes]}]}),
    );
    for object in [none, flow] {
        let kind = object["kind"].as_str().expect("a kind").to_owned();
        let params = PatchParams::apply("test");
        let made = api(&kind)
            .patch("none", &params, &Patch::Apply(object))
            .await;
        made.expect("made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_a_pause_gets_it_and_all_lands() {
    let test = "a_server_that_asks_for_a_pause_gets_it_and_all_lands";
    let Some(fleet) = Fleet::start(test, 1).await else {
        return;
    };
    one_write_at_a_time(&fleet.clients[0]).await;
    let source = credentials::Source {
        kubeconfig: Some(fleet.kubeconfig(0)),
        context: None,
    };
    let client = credentials::client(source).await.expect("a client");
    let maps = of(&client, "v1", "ConfigMap");
    eventually("the server refuses with a pause", async || {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tried"}});
        let (params, patch) = (PatchParams::apply("test").dry_run(), Patch::Apply(map));
        let at_once = (0..MANY).map(|_| maps.patch("tried", &params, &patch));
        let answers = futures::future::join_all(at_once).await;
        let pauses = answers.into_iter().filter_map(|answer| match answer {
            Err(kube::Error::Api(status)) if status.code == 429 => {
                Some(status.details?.retry_after_seconds)
            }
            _ => None,
        });
        pauses.collect::<Vec<u32>>().contains(&1)
    })
    .await;

    let map = |index: usize| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\ndata: {{a: b}}\n")
    };
    let all: Vec<String> = (0..OBJECTS).map(map).collect();
    fleet.apply("maps.yaml", &all.join("---\n")).await;
    let view = fleet.done(&["get", "-o", "json"]).json();
    let objects = view["objects"].as_array().expect("a list");
    let attempts: Vec<u64> = objects
        .iter()
        .filter_map(|object| object["rows"][0]["attempts"].as_u64())
        .collect();
    assert_eq!(attempts.len(), OBJECTS);
    assert!(
        attempts.iter().any(|attempts| *attempts > 1),
        "nothing was refused: {attempts:?}"
    );
}
