//! The same server over HTTP.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{Api, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::{SHOP, cluster, deployment, refused};

/// A stock client with the kubeconfig applies, conflicts, and watches; cutting off breaks its connections.
#[tokio::test]
async fn stock_client() {
    let cluster = cluster().await;
    let server = cluster.serve_http("127.0.0.1:0".parse().unwrap()).unwrap();
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig()).unwrap();
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let apps: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(client, SHOP);

    let mut events = apps
        .watch(&WatchParams::default(), "0")
        .await
        .unwrap()
        .boxed();
    let applied = apps
        .patch(
            "web",
            &PatchParams::apply("a"),
            &Patch::Apply(deployment("web", Some(2), "a")),
        )
        .await
        .unwrap();
    match events.try_next().await.unwrap() {
        Some(WatchEvent::Added(seen)) => assert_eq!(seen, applied),
        other => panic!("{other:?}"),
    }
    let conflict = refused(
        apps.patch(
            "web",
            &PatchParams::apply("b"),
            &Patch::Apply(deployment("web", Some(3), "a")),
        )
        .await,
    );
    assert_eq!(
        conflict.message,
        "Apply failed with 1 conflict: conflict with \"a\": .spec.replicas"
    );
    assert_eq!(
        apps.list(&ListParams::default()).await.unwrap().items.len(),
        1
    );

    cluster.faults().cut_off(true);
    let ended = tokio::time::timeout(Duration::from_secs(5), events.try_next())
        .await
        .unwrap();
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    assert!(!matches!(
        apps.get("web").await,
        Ok(_) | Err(kube::Error::Api(_))
    ));
    cluster.faults().cut_off(false);
    apps.get("web").await.unwrap();

    server.stop();
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(apps.get("web").await.is_err());
}
