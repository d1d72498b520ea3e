//! Create, read, update and patch.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::{
    SHOP, cluster, config_map, config_maps, deployment, deployments, refused, resource, send,
};

/// A new cluster has its namespaces and says what it is.
#[tokio::test]
async fn a_new_cluster() {
    let cluster = fleetcast_simulator::Cluster::new("eu-1");
    let client = cluster.client();
    assert_eq!(client.apiserver_version().await.unwrap().minor, "36");
    let namespaces: Api<Namespace> = Api::all(client);
    let names: Vec<_> = namespaces
        .list(&ListParams::default())
        .await
        .unwrap()
        .into_iter()
        .map(|namespace| namespace.metadata.name.unwrap())
        .collect();
    assert_eq!(
        names,
        ["default", "kube-node-lease", "kube-public", "kube-system"]
    );
    assert_eq!(
        namespaces
            .get("default")
            .await
            .unwrap()
            .status
            .unwrap()
            .phase
            .as_deref(),
        Some("Active")
    );
    assert_eq!(
        (
            cluster.requests().list,
            cluster.requests().get,
            cluster.requests().writes()
        ),
        (1, 1, 0)
    );
}

/// An object gets its metadata from the server, and exists once.
#[tokio::test]
async fn create_and_get() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let made = maps
        .create(&PostParams::default(), &config_map("a", json!({"k": "v"})))
        .await
        .unwrap();
    assert_eq!(made.metadata.namespace.as_deref(), Some(SHOP));
    assert!(made.metadata.uid.is_some() && made.metadata.creation_timestamp.is_some());
    assert_eq!(
        made.metadata.resource_version,
        Some(cluster.change_count().to_string())
    );
    assert_eq!(maps.get("a").await.unwrap(), made);

    let again = refused(
        maps.create(&PostParams::default(), &config_map("a", json!({})))
            .await,
    );
    assert_eq!(
        (again.code, &*again.reason, &*again.message),
        (409, "AlreadyExists", "configmaps \"a\" already exists")
    );
    let missing = refused(maps.get("b").await);
    assert_eq!(
        (missing.code, &*missing.reason, &*missing.message),
        (404, "NotFound", "configmaps \"b\" not found")
    );
    assert!(maps.get_opt("b").await.unwrap().is_none());
}

/// What the server cannot make is refused in the real server's words.
#[tokio::test]
async fn refused_creations() {
    let cluster = cluster().await;
    let elsewhere: Api<ConfigMap> = Api::namespaced(cluster.client(), "nowhere");
    let status = refused(
        elsewhere
            .create(&PostParams::default(), &config_map("a", json!({})))
            .await,
    );
    assert_eq!(
        (status.code, &*status.message),
        (404, "namespaces \"nowhere\" not found")
    );

    let status = refused(
        config_maps(&cluster)
            .create(&PostParams::default(), &config_map("Not_Valid", json!({})))
            .await,
    );
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert_eq!(status.details.unwrap().causes[0].field, "metadata.name");

    let gadgets: Api<DynamicObject> = Api::namespaced_with(
        cluster.client(),
        SHOP,
        &resource("example.com", "v1", "Gadget"),
    );
    assert_eq!(
        refused(gadgets.list(&ListParams::default()).await).code,
        404
    );

    let client = cluster.client();
    let uri = "/api/v1/namespaces/shop/configmaps";
    for (body, code, message) in [
        (
            "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"a\"}}",
            400,
            "cannot be handled as a ConfigMap",
        ),
        (
            "{\"metadata\":{\"name\":\"a\"}}",
            400,
            "apiVersion and kind must be set",
        ),
        (
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{}}",
            422,
            "name or generateName is required",
        ),
        (
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}",
            400,
            "namespace",
        ),
        ("[]", 400, "must be a mapping"),
        ("{", 400, "unrecognized"),
    ] {
        let status = refused(send(&client, "POST", uri, &[], body).await);
        assert_eq!(status.code, code, "{body}: {status:?}");
        assert!(status.message.contains(message), "{body}: {status:?}");
    }
    let huge = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "x".repeat(4 << 20)}});
    assert_eq!(
        refused(send(&client, "POST", uri, &[], &huge.to_string()).await).code,
        413
    );
    let large = json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "a"}, "data": "x".repeat(2 << 20)});
    let status = refused(
        send(
            &client,
            "POST",
            "/apis/apps/v1/namespaces/shop/controllerrevisions",
            &[],
            &large.to_string(),
        )
        .await,
    );
    assert_eq!(
        (status.code, &*status.message),
        (500, "etcdserver: request is too large")
    );
}

/// A generated name is unlike others, and a dry run leaves no trace.
#[tokio::test]
async fn generated_names_and_dry_runs() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let mut map = config_map("", json!({}));
    map.metadata.name = None;
    map.metadata.generate_name = Some("job-".into());
    let (one, two) = (
        maps.create(&PostParams::default(), &map).await.unwrap(),
        maps.create(&PostParams::default(), &map).await.unwrap(),
    );
    assert_ne!(one.metadata.name, two.metadata.name);
    assert!(one.metadata.name.unwrap().starts_with("job-"));

    let before = cluster.change_count();
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    maps.create(&dry, &config_map("dry", json!({})))
        .await
        .unwrap();
    assert!(maps.get_opt("dry").await.unwrap().is_none());
    assert_eq!(cluster.change_count(), before);
}

/// An update with an old version is a conflict, and one that changes nothing is none.
#[tokio::test]
async fn update() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let first = maps
        .create(&PostParams::default(), &config_map("a", json!({"k": "1"})))
        .await
        .unwrap();
    let mut second = first.clone();
    second.data = Some([("k".to_owned(), "2".to_owned())].into());
    let second = maps
        .replace("a", &PostParams::default(), &second)
        .await
        .unwrap();
    assert_eq!(second.metadata.uid, first.metadata.uid);

    let status = refused(maps.replace("a", &PostParams::default(), &first).await);
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert!(
        status.message.starts_with(
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified"
        ),
        "{}",
        status.message
    );

    let before = cluster.change_count();
    maps.replace("a", &PostParams::default(), &second)
        .await
        .unwrap();
    assert_eq!(cluster.change_count(), before);
}

/// Each form of patch works, and strategic merge knows the keys of lists.
#[tokio::test]
async fn patches() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    apps.create(
        &PostParams::default(),
        &serde_json::from_value(deployment("web", Some(1), "a")).unwrap(),
    )
    .await
    .unwrap();
    let params = PatchParams::default();
    let merged = apps
        .patch(
            "web",
            &params,
            &Patch::Merge(json!({"spec": {"replicas": 4}})),
        )
        .await
        .unwrap();
    assert_eq!(merged.spec.unwrap().replicas, Some(4));
    let container =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "tty": true}]}}}});
    let strategic = apps
        .patch("web", &params, &Patch::Strategic(container))
        .await
        .unwrap();
    let containers = strategic.spec.unwrap().template.spec.unwrap().containers;
    assert_eq!(
        (
            containers.len(),
            containers[0].image.as_deref(),
            containers[0].tty
        ),
        (1, Some("a"), Some(true))
    );

    let uri = "/apis/apps/v1/namespaces/shop/deployments/web";
    let json_patch = json!([{"op": "test", "path": "/spec/replicas", "value": 4}, {"op": "replace", "path": "/spec/replicas", "value": 5}]);
    let headers = [("content-type", "application/json-patch+json")];
    let patched = send(
        &cluster.client(),
        "PATCH",
        uri,
        &headers,
        &json_patch.to_string(),
    )
    .await
    .unwrap();
    assert_eq!(patched["spec"]["replicas"], 5);
    assert_eq!(
        refused(
            send(
                &cluster.client(),
                "PATCH",
                uri,
                &headers,
                &json_patch.to_string()
            )
            .await
        )
        .code,
        422
    );
}

/// Status changes only at its own endpoint, and only the wish counts as a generation.
#[tokio::test]
async fn status_and_generation() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    let mut wanted = deployment("web", Some(1), "a");
    wanted["status"] = json!({"replicas": 9});
    let made = apps
        .create(
            &PostParams::default(),
            &serde_json::from_value(wanted).unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(made.status, None);

    let params = PatchParams::default();
    let both = Patch::Merge(json!({"spec": {"replicas": 2}, "status": {"replicas": 9}}));
    let main = apps.patch("web", &params, &both).await.unwrap();
    assert_eq!((main.metadata.generation, main.status), (Some(2), None));
    let both = Patch::Merge(json!({"spec": {"replicas": 3}, "status": {"replicas": 9}}));
    let status = apps.patch_status("web", &params, &both).await.unwrap();
    assert_eq!(
        (
            status.metadata.generation,
            status.spec.unwrap().replicas,
            status.status.unwrap().replicas
        ),
        (Some(2), Some(2), Some(9))
    );
    let labels = Patch::Merge(json!({"metadata": {"labels": {"x": "y"}}}));
    assert_eq!(
        apps.patch("web", &params, &labels)
            .await
            .unwrap()
            .metadata
            .generation,
        Some(2)
    );
}

/// A Secret's texts become data, and what is immutable stays.
#[tokio::test]
async fn secrets_and_immutable_fields() {
    let cluster = cluster().await;
    let secrets: Api<Secret> = Api::namespaced(cluster.client(), SHOP);
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "v"}, "immutable": true});
    let made = secrets
        .create(
            &PostParams::default(),
            &serde_json::from_value(secret).unwrap(),
        )
        .await
        .unwrap();
    assert_eq!(
        (made.string_data, made.data.unwrap()["k"].0.as_slice()),
        (None, b"v".as_slice())
    );
    let change = Patch::Merge(json!({"stringData": {"k": "w"}}));
    let status = refused(secrets.patch("s", &PatchParams::default(), &change).await);
    assert_eq!(
        (status.code, &*status.details.unwrap().causes[0].field),
        (422, "data")
    );

    let apps = deployments(&cluster);
    apps.create(
        &PostParams::default(),
        &serde_json::from_value(deployment("web", None, "a")).unwrap(),
    )
    .await
    .unwrap();
    let change = Patch::Merge(json!({"spec": {"selector": {"matchLabels": {"app": "other"}}}}));
    let status = refused(apps.patch("web", &PatchParams::default(), &change).await);
    assert_eq!(
        (status.code, &*status.details.unwrap().causes[0].field),
        (422, "spec.selector")
    );
}
