//! Rights that an agent lacks, and gets later.

use fleetcast_tests::harness::eventually;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::fleet::{Fleet, of};

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
    eventually(
        "what may not be watched has no health, with the reason",
        async || {
            let said = fleet
                .done(&[
                    "get",
                    "role.rbac.authorization.k8s.io/default/reader",
                    "-o",
                    "json",
                ])
                .json();
            let health = &said["objects"][0]["rows"][0]["health"];
            let reason = health["reason"].as_str().unwrap_or_default();
            health["state"] == "unknown" && reason.starts_with("it is not watched")
        },
    )
    .await;
    assert!(
        words.contains("system:serviceaccount:fleetcast-system:fleetcast-agent"),
        "who may not: {words}"
    );
}
