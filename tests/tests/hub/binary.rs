//! The binary with a hub: `fleetcast up` watches it, and `fleetcast hub diff` shows and settles what hub and log do not agree about.

use fleetcast_tests::harness::{Binary, client_of, eventually, held_at, nats_server};
use serde_json::json;

use super::scene::{apply, delete, live, map};

const FLEET: &str = "[hub]\nsimulated = true\n[[cluster]]\nname = \"c1\"\nsimulated = true\n[[cluster]]\nname = \"c2\"\nsimulated = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_with_a_hub_takes_what_is_applied_there_and_diff_settles_the_rest() {
    let test = "a_fleet_with_a_hub_takes_what_is_applied_there_and_diff_settles_the_rest";
    let Some(server) = nats_server(test) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().to_owned();
    std::fs::write(path.join("workspace.toml"), FLEET).expect("written");
    let fleetcast = Binary::new(&path, server);
    let up = {
        let fleetcast = fleetcast.clone();
        tokio::task::spawn_blocking(move || fleetcast.up())
            .await
            .expect("it comes up")
    };
    let run = async |args: &[&str]| {
        let (fleetcast, args) = (
            fleetcast.clone(),
            args.iter().map(ToString::to_string).collect::<Vec<_>>(),
        );
        let run = move || fleetcast.run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("it ends")
    };
    let diff = ["hub", "diff", "--hub", ".run/hub.kubeconfig", "-o", "json"];
    let text_on = |cluster: &str| {
        let held = held_at(&path, cluster, "/api/v1/namespaces/default/configmaps/a")?;
        Some(held["data"]["text"].clone())
    };
    let kubeconfig = path.join(".run/hub.kubeconfig");
    eventually("the hub is there", async || kubeconfig.is_file()).await;
    let hub = client_of(&kubeconfig).await;

    apply(&hub, &map("a", "1")).await;
    eventually("it lands", async || {
        ["c1", "c2"].map(text_on) == [Some(json!("1")), Some(json!("1"))]
    })
    .await;
    eventually("its status stands on the hub", async || {
        let now = live(&hub, &map("a", "")).await.expect("there");
        now["status"]["applied"] == 2
    })
    .await;
    let agreed = run(&diff).await;
    assert_eq!(agreed.status, 0, "{agreed:?}");
    assert_eq!(agreed.json(), json!({"same": 1, "differences": []}));

    // Somebody else changes it: that stays until somebody says which is right.
    let file = path.join("a.json");
    std::fs::write(&file, map("a", "by hand").to_string()).expect("written");
    assert_eq!(run(&["apply", "-f", "a.json", "--wait"]).await.status, 0);
    let differs = run(&diff).await;
    assert_eq!(differs.status, 1, "{differs:?}");
    assert_eq!(differs.json()["differences"][0]["standing"], "elsewhere");
    let taken = run(&[&diff[..], &["--take", "configmap/default/a"]].concat()).await;
    assert_eq!(taken.status, 0, "{taken:?}");
    eventually("what the hub says is everywhere again", async || {
        ["c1", "c2"].map(text_on) == [Some(json!("1")), Some(json!("1"))]
    })
    .await;

    // The definition goes, and what it defined vanishes with it.
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "federatedobjects.fleetcast.dev"}});
    delete(&hub, &definition).await;
    eventually("it is gone", async || {
        live(&hub, &definition).await.is_none()
    })
    .await;
    let vanished = run(&diff).await;
    assert_eq!(
        vanished.json()["differences"][0]["standing"],
        "vanished",
        "{vanished:?}"
    );
    assert_eq!(text_on("c1"), Some(json!("1")), "nothing is removed");
    let refused = run(&[&diff[..], &["--take", "configmap/default/a"]].concat()).await;
    assert_eq!(refused.status, 1, "{refused:?}");
    let settled = run(&[&diff[..], &["--withdraw", "configmap/default/a"]].concat()).await;
    assert_eq!(settled.status, 0, "{settled:?}");
    eventually("now it goes", async || {
        ["c1", "c2"].map(text_on) == [None, None]
    })
    .await;
    drop(up);
}
