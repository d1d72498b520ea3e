//! The whole fleet on real Kubernetes API servers: services as processes of their own, agents with the least rights that work.

use std::time::Duration;

use fleetcast_tests::harness::control_plane::{pods, rights};
use fleetcast_tests::harness::{client_of, control_plane, corpus, eventually};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

mod real {
    mod bed;
    mod definitions;
    pub(crate) mod fleet;
}

use real::fleet::Fleet;

/// How many objects are under way while an API server is away.
const UPDATED: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn online_boutique_lands_on_three_real_clusters_an_image_change_follows_a_hand_edit_is_healed()
 {
    let test = "online_boutique_lands_on_three_real_clusters_an_image_change_follows_a_hand_edit_is_healed";
    let Some(corpus) = corpus(test) else { return };
    let Some(fleet) = Fleet::start(test, 3).await else {
        return;
    };
    let _pods: Vec<_> = fleet.clients.iter().cloned().map(pods::run_pods).collect();
    let boutique = corpus.join("online-boutique.yaml");
    let text = std::fs::read_to_string(&boutique).expect("the shop");
    fleet.apply("boutique.yaml", &text).await;

    let objects = fleet.done(&["get", "-o", "json"]).json();
    let objects = objects["objects"].as_array().expect("a list").clone();
    assert_eq!(
        objects.len(),
        12 + 12 + 11,
        "Deployments, Services, ServiceAccounts"
    );
    for object in &objects {
        assert_eq!(
            (&object["counts"]["applied"], &object["counts"]["clusters"]),
            (&json!(3), &json!(3)),
            "{object}"
        );
    }
    for client in &fleet.clients {
        let apps = of(client, "apps/v1", "Deployment");
        eventually("every Deployment of the shop runs", async || {
            let list = apps.list(&ListParams::default()).await.expect("listed");
            let ready = |app: &DynamicObject| app.data["status"]["availableReplicas"] == json!(1);
            list.items.len() == 12 && list.items.iter().all(ready)
        })
        .await;
    }

    let image = |client: &kube::Client| {
        let apps = of(client, "apps/v1", "Deployment");
        async move {
            let frontend = apps.get("frontend").await.expect("the shop's front");
            let containers = &frontend.data["spec"]["template"]["spec"]["containers"];
            containers[0]["image"]
                .as_str()
                .expect("an image")
                .to_owned()
        }
    };
    let before = image(&fleet.clients[0]).await;
    let after = format!("{before}-next");
    let changed = text.replace(&before, &after);
    assert_ne!(changed, text);
    fleet.apply("boutique.yaml", &changed).await;
    for client in &fleet.clients {
        assert_eq!(image(client).await, after);
        let mounted = of(client, "apps/v1", "ReplicaSet");
        eventually("the new image rolls out", async || {
            let sets = mounted.list(&ListParams::default()).await.expect("listed");
            sets.items.iter().any(|set| {
                let containers = &set.data["spec"]["template"]["spec"]["containers"];
                containers[0]["image"] == json!(after)
                    && set.data["status"]["readyReplicas"] == json!(1)
            })
        })
        .await;
    }
    let row = fleet
        .done(&["get", "deployment/default/frontend", "-o", "json"])
        .json();
    assert_eq!(row["objects"][0]["revision"], 2, "{row}");

    let edited = of(&fleet.clients[1], "apps/v1", "Deployment");
    let by_hand = json!({"spec": {"template": {"spec": {"containers": [{"name": "server", "image": "by-hand"}]}}}});
    let params = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Strategic(&by_hand);
    edited
        .patch("frontend", &params, &patch)
        .await
        .expect("edited");
    eventually("the hand edit is healed", async || {
        image(&fleet.clients[1]).await == after
    })
    .await;
    let mut told = Value::Null;
    eventually("who did it is told", async || {
        let row = fleet
            .done(&["get", "deployment/default/frontend", "-o", "json"])
            .json();
        told = row["objects"][0]["rows"].clone();
        told.to_string().contains("kubectl-edit")
    })
    .await;
    for row in told.as_array().expect("rows") {
        let drift = &row["drift"];
        if row["cluster"] == "c2" {
            assert_eq!(drift["healed"], true, "{row}");
            assert_eq!(
                (&drift["fields"][0]["path"], &drift["fields"][0]["manager"]),
                (
                    &json!(".spec.template.spec.containers[name=\"server\"].image"),
                    &json!("kubectl-edit")
                ),
                "{row}"
            );
        } else {
            assert!(drift.is_null(), "nobody touched it: {row}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_stops_and_starts_during_an_update_of_200_objects_converges() {
    let test = "an_api_server_that_stops_and_starts_during_an_update_of_200_objects_converges";
    let Some(fleet) = Fleet::start(test, 3).await else {
        return;
    };
    let maps = |text: &str| -> String {
        let map = |index: usize| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\ndata: {{text: {text:?}}}\n"
            )
        };
        (0..UPDATED).map(map).collect::<Vec<_>>().join("---\n")
    };
    fleet.apply("maps.yaml", &maps("first")).await;

    fleet.write("maps.yaml", &maps("second"));
    let update = fleet.begin_apply("maps.yaml");
    let stopped = of(&fleet.clients[1], "v1", "ConfigMap");
    eventually(
        "the update is under way in the cluster that is stopped",
        async || {
            with_text(&stopped, "second")
                .await
                .is_ok_and(|count| count > 0)
        },
    )
    .await;
    fleet.planes[1].kill();
    for index in [0, 2] {
        let others = of(&fleet.clients[index], "v1", "ConfigMap");
        eventually("the others are not held up", async || {
            with_text(&others, "second").await == Ok(UPDATED)
        })
        .await;
    }
    let away = fleet.done(&["get", "-o", "json"]).json();
    let open = away["objects"].as_array().expect("a list").iter();
    assert!(
        open.filter(|object| object["counts"]["applied"] != json!(3))
            .count()
            > 0,
        "the stop came too late to show anything"
    );
    fleet.planes[1].start().await;
    update.await.expect("it does not panic");

    for client in &fleet.clients {
        let maps = of(client, "v1", "ConfigMap");
        assert_eq!(with_text(&maps, "second").await, Ok(UPDATED));
    }
    let all = fleet.done(&["get", "-o", "json"]).json();
    for object in all["objects"].as_array().expect("a list") {
        assert_eq!(
            (&object["counts"]["applied"], &object["revision"]),
            (&json!(3), &json!(2)),
            "{object}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_the_right_for_one_kind_reports_that_and_does_the_rest() {
    let test = "an_agent_without_the_right_for_one_kind_reports_that_and_does_the_rest";
    let Some(fleet) = Fleet::start(test, 1).await else {
        return;
    };
    // Roles are none of the kinds in compose/agent-rbac.yaml.
    fleet.write(
        "both.yaml",
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: []\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: plain}\ndata: {a: b}\n",
    );
    let submitted = fleet.run(&["apply", "-f", "both.yaml", "--clusters", "c1"]);
    assert_eq!(submitted.status, 0, "{submitted:?}");
    let maps = of(&fleet.clients[0], "v1", "ConfigMap");
    eventually("what it may do is done", async || {
        maps.get_opt("plain").await.expect("an answer").is_some()
    })
    .await;
    let mut said = Value::Null;
    eventually("what it may not do is reported", async || {
        said = fleet
            .done(&[
                "get",
                "role.rbac.authorization.k8s.io/default/reader",
                "-o",
                "json",
            ])
            .json();
        said.to_string().contains("forbidden")
    })
    .await;
    let words = said.to_string();
    let given = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "roles"},
        "rules": [{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["get", "create", "patch", "escalate"]}],
    });
    let agent = json!([{"kind": "ServiceAccount", "name": "fleetcast-agent", "namespace": "fleetcast-system"}]);
    let bound = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "roles"}, "subjects": agent,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "roles"},
    });
    for object in [given, bound] {
        let kind = object["kind"].as_str().expect("a kind");
        let kind = GroupVersionKind::gvk("rbac.authorization.k8s.io", "v1", kind);
        let all: Api<DynamicObject> =
            Api::all_with(fleet.clients[0].clone(), &ApiResource::from_gvk(&kind));
        let params = PatchParams::apply("test");
        all.patch("roles", &params, &Patch::Apply(object))
            .await
            .expect("given");
    }
    let roles = of(&fleet.clients[0], "rbac.authorization.k8s.io/v1", "Role");
    eventually("a right that is given later is enough", async || {
        roles.get_opt("reader").await.expect("an answer").is_some()
    })
    .await;
    assert!(
        words.contains("system:serviceaccount:fleetcast-system:fleetcast-agent"),
        "who may not: {words}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_renewed_on_disk_is_picked_up() {
    let test = "a_token_that_is_renewed_on_disk_is_picked_up";
    let Some(plane) = control_plane(test).await else {
        return;
    };
    let client = plane.client().await;
    let namespace = fleetcast_tests::harness::namespace(&client, "rotation").await;
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    rights::service_account(plane, &namespace, &namespace, &rules).await;
    let secrets: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        &namespace,
        &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret")),
    );
    let bound_to = async |name: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
        let params = PatchParams::apply("test");
        secrets
            .patch(name, &params, &Patch::Apply(&secret))
            .await
            .expect("made");
        rights::token(&client, &namespace, &namespace, Some(name)).await
    };
    let (first, second) = (bound_to("first").await, bound_to("second").await);
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, first).expect("written");
    let kubeconfig = folder.path().join("kubeconfig");
    let text = plane.kubeconfig_of(&format!("tokenFile: {}", token.display()));
    std::fs::write(&kubeconfig, text).expect("written");

    let rotating = client_of(&kubeconfig).await;
    let maps = of_namespace(&rotating, &namespace, "v1", "ConfigMap");
    maps.list(&ListParams::default())
        .await
        .expect("the first token is good");
    std::fs::write(&token, second).expect("written");
    secrets
        .delete("first", &DeleteParams::default())
        .await
        .expect("deleted");
    let begin = tokio::time::Instant::now();
    let mut refused = 0;
    // The server remembers a good token for 10 s, and a client reads the file anew after 50 s.
    while begin.elapsed() < Duration::from_secs(90) {
        match maps.list(&ListParams::default()).await {
            Ok(_) if refused > 0 => return,
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 401 => refused += 1,
            Err(error) => panic!("{error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(
        refused, 0,
        "refused for good: the renewed token was not read"
    );
}

/// How many ConfigMaps have this text; an error where the server does not answer.
async fn with_text(maps: &Api<DynamicObject>, text: &str) -> Result<usize, String> {
    let list = maps.list(&ListParams::default()).await;
    let list = list.map_err(|error| error.to_string())?;
    let count = list
        .items
        .iter()
        .filter(|map| map.data["data"]["text"] == json!(text));
    Ok(count.count())
}

fn of(client: &kube::Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    of_namespace(client, "default", api_version, kind)
}

fn of_namespace(
    client: &kube::Client,
    namespace: &str,
    api_version: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    Api::namespaced_with(client.clone(), namespace, &kind)
}
