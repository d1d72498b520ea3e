//! Lists, pages, other views, and discovery.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use serde_json::json;

use super::{cluster, config_map, config_maps, deployment, deployments, refused, send};

/// Lists choose by namespace, labels and fields, and come in pages.
#[tokio::test]
async fn lists() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    for index in 0..5 {
        let mut map = config_map(&format!("m{index}"), json!({}));
        map.metadata.labels = Some(
            [(
                "parity".to_owned(),
                if index % 2 == 0 { "even" } else { "odd" }.to_owned(),
            )]
            .into(),
        );
        maps.create(&PostParams::default(), &map).await.unwrap();
    }
    let names = |list: kube::core::ObjectList<ConfigMap>| {
        list.items
            .into_iter()
            .map(|map| map.metadata.name.unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(
            maps.list(&ListParams::default().labels("parity in (even)"))
                .await
                .unwrap()
        ),
        ["m0", "m2", "m4"]
    );
    assert_eq!(
        names(
            maps.list(&ListParams::default().fields("metadata.name=m3"))
                .await
                .unwrap()
        ),
        ["m3"]
    );
    assert_eq!(
        refused(maps.list(&ListParams::default().fields("data.k=v")).await).code,
        400
    );
    let everywhere: Api<ConfigMap> = Api::all(cluster.client());
    assert_eq!(
        everywhere
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        5
    );
    let elsewhere: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
    assert!(
        elsewhere
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );

    let mut params = ListParams::default().limit(2);
    let mut pages = Vec::new();
    loop {
        let page = maps.list(&params).await.unwrap();
        let token = page.metadata.continue_.clone();
        pages.push((page.metadata.remaining_item_count, names(page)));
        match token {
            Some(token) => params = ListParams::default().limit(2).continue_token(&token),
            None => break,
        }
    }
    let page = |remaining: Option<i64>, names: &[&str]| {
        (
            remaining,
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(
        pages,
        [
            page(Some(3), &["m0", "m1"]),
            page(Some(1), &["m2", "m3"]),
            page(None, &["m4"])
        ]
    );
}

/// Tables and metadata alone come when they are asked for.
#[tokio::test]
async fn views() {
    let cluster = cluster().await;
    deployments(&cluster)
        .create(
            &PostParams::default(),
            &serde_json::from_value(deployment("web", Some(2), "a")).unwrap(),
        )
        .await
        .unwrap();
    let table_form = [(
        "accept",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
    )];
    let table = send(
        &cluster.client(),
        "GET",
        "/apis/apps/v1/namespaces/shop/deployments",
        &table_form,
        "",
    )
    .await
    .unwrap();
    assert_eq!(table["kind"], "Table");
    assert_eq!(
        table["rows"][0]["cells"].as_array().unwrap()[..2],
        [json!("web"), json!("0/2")]
    );

    let metadata = deployments(&cluster)
        .list_metadata(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(metadata.items[0].metadata.name.as_deref(), Some("web"));
}

/// Discovery finds a kind both ways.
#[tokio::test]
async fn discovery() {
    let cluster = cluster().await;
    for discovery in [
        kube::Discovery::new(cluster.client()).run().await.unwrap(),
        kube::Discovery::new(cluster.client())
            .run_aggregated()
            .await
            .unwrap(),
    ] {
        let kind = kube::core::GroupVersionKind::gvk("apps", "v1", "Deployment");
        let (resource, capabilities) = discovery.resolve_gvk(&kind).unwrap();
        assert_eq!(resource.plural, "deployments");
        assert_eq!(capabilities.scope, kube::discovery::Scope::Namespaced);
        assert!(capabilities.supports_operation(kube::discovery::verbs::WATCH));
        assert!(
            discovery.has_group("rbac.authorization.k8s.io") && !discovery.has_group("example.com")
        );
    }
}
