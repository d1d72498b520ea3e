//! Online Boutique on three real clusters.

use fleetcast_tests::harness::control_plane::pods;
use fleetcast_tests::harness::{corpus, eventually};
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::fleet::{Fleet, of};

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
    eventually(
        "the view says that every Deployment is healthy",
        async || {
            let objects = fleet.done(&["get", "-o", "json"]).json();
            let objects = objects["objects"].as_array().expect("a list").clone();
            let mut apps = objects.iter().filter(|object| {
                object["name"]
                    .as_str()
                    .is_some_and(|name| name.starts_with("deployment"))
            });
            apps.clone().count() == 12
                && apps.all(|app| {
                    let rows = app["rows"].as_array().expect("rows");
                    rows.iter().all(|row| row["health"]["state"] == "healthy")
                })
        },
    )
    .await;
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

    fleet.done(&["delete", "deployment/default/frontend", "--wait"]);
    for client in &fleet.clients {
        let apps = of(client, "apps/v1", "Deployment");
        eventually("a withdrawn Deployment goes everywhere", async || {
            let left = apps.list(&ListParams::default()).await.expect("listed");
            left.items.len() == 11
        })
        .await;
    }
}
