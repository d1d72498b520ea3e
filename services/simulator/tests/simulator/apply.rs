//! Server-side apply, as an agent uses it.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{SHOP, cluster, config_map, config_maps, deployment, deployments, refused, resource};

async fn apply(
    api: &Api<Deployment>,
    manager: &str,
    config: &Value,
) -> Result<Deployment, kube::Error> {
    api.patch("web", &PatchParams::apply(manager), &Patch::Apply(config))
        .await
}

fn managers(object: &Deployment) -> Vec<(String, String)> {
    let entries = object.metadata.managed_fields.iter().flatten();
    entries
        .map(|entry| {
            (
                entry.manager.clone().unwrap(),
                entry.operation.clone().unwrap(),
            )
        })
        .collect()
}

/// An apply creates, and the same apply again writes nothing.
#[tokio::test]
async fn creates_and_repeats() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    let made = apply(&apps, "fleetcast", &deployment("web", Some(2), "a"))
        .await
        .unwrap();
    assert_eq!(
        managers(&made),
        [("fleetcast".to_owned(), "Apply".to_owned())]
    );
    let fields = &made.metadata.managed_fields.as_ref().unwrap()[0]
        .fields_v1
        .as_ref()
        .unwrap()
        .0;
    assert_eq!(fields["f:spec"]["f:replicas"], json!({}));
    let container =
        &fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"];
    assert_eq!(
        container["f:ports"]["k:{\"containerPort\":80,\"protocol\":\"TCP\"}"],
        json!({".": {}, "f:containerPort": {}})
    );

    let before = cluster.change_count();
    let again = apply(&apps, "fleetcast", &deployment("web", Some(2), "a"))
        .await
        .unwrap();
    assert_eq!(again, made);
    assert_eq!(
        (cluster.change_count(), cluster.requests().apply),
        (before, 2)
    );
}

/// Another manager's field is a conflict in the real server's words; force takes it.
#[tokio::test]
async fn conflict_and_force() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    apply(&apps, "fleetcast", &deployment("web", Some(2), "a"))
        .await
        .unwrap();
    let params = PatchParams {
        field_manager: Some("kubectl".into()),
        ..PatchParams::default()
    };
    apps.patch(
        "web",
        &params,
        &Patch::Merge(json!({"spec": {"replicas": 5}})),
    )
    .await
    .unwrap();

    let status = refused(apply(&apps, "fleetcast", &deployment("web", Some(2), "a")).await);
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
    );
    let cause = &status.details.unwrap().causes[0];
    assert_eq!(
        (&*cause.reason, &*cause.field),
        ("FieldManagerConflict", ".spec.replicas")
    );
    assert_eq!(cause.message, "conflict with \"kubectl\" using apps/v1");
    assert_eq!(
        apps.get("web").await.unwrap().spec.unwrap().replicas,
        Some(5)
    );

    let forced = apps
        .patch(
            "web",
            &PatchParams::apply("fleetcast").force(),
            &Patch::Apply(deployment("web", Some(2), "a")),
        )
        .await
        .unwrap();
    assert_eq!(
        managers(&forced),
        [("fleetcast".to_owned(), "Apply".to_owned())]
    );
    assert_eq!(forced.spec.unwrap().replicas, Some(2));

    let many = refused(apply(&apps, "other", &deployment("web", Some(9), "b")).await);
    let image = ".spec.template.spec.containers[name=\"web\"].image";
    assert_eq!(
        many.message,
        format!(
            "Apply failed with 2 conflicts: conflicts with \"fleetcast\":\n- .spec.replicas\n- {image}"
        )
    );
}

/// Fields that an applier drops go if nobody else owns them.
#[tokio::test]
async fn dropped_fields() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    let mut config = deployment("web", Some(2), "a");
    config["metadata"]["annotations"] = json!({"mine": "1"});
    config["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "side", "image": "s"}));
    apply(&apps, "fleetcast", &config).await.unwrap();
    apps.patch(
        "web",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"annotations": {"theirs": "2"}}})),
    )
    .await
    .unwrap();

    let left = apply(&apps, "fleetcast", &deployment("web", None, "a"))
        .await
        .unwrap();
    let spec = left.spec.unwrap();
    assert_eq!(spec.replicas, None);
    assert_eq!(spec.template.spec.unwrap().containers.len(), 1);
    assert_eq!(
        left.metadata.annotations.unwrap(),
        [("theirs".to_owned(), "2".to_owned())].into()
    );
}

/// Status is applied at its own endpoint by a manager of its own.
#[tokio::test]
async fn status() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    apply(&apps, "fleetcast", &deployment("web", Some(2), "a"))
        .await
        .unwrap();
    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 2, "readyReplicas": 2}});
    let applied = apps
        .patch_status(
            "web",
            &PatchParams::apply("controller"),
            &Patch::Apply(&status),
        )
        .await
        .unwrap();
    assert_eq!(applied.status.as_ref().unwrap().ready_replicas, Some(2));
    let entry = applied
        .metadata
        .managed_fields
        .unwrap()
        .into_iter()
        .find(|entry| entry.manager.as_deref() == Some("controller"))
        .unwrap();
    assert_eq!(
        (entry.subresource.as_deref(), entry.fields_v1.unwrap().0),
        (
            Some("status"),
            json!({"f:status": {"f:readyReplicas": {}, "f:replicas": {}}})
        )
    );
    // The main endpoint neither changes nor owns it.
    let again = apply(&apps, "fleetcast", &deployment("web", Some(3), "a"))
        .await
        .unwrap();
    assert_eq!(again.status.unwrap().ready_replicas, Some(2));
}

/// What an apply must and must not say is checked.
#[tokio::test]
async fn refusals() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    let config = deployment("web", Some(2), "a");
    let nobody = PatchParams {
        field_manager: None,
        ..PatchParams::apply("x")
    };
    assert_eq!(
        refused(apps.patch("web", &nobody, &Patch::Apply(&config)).await).code,
        422
    );

    let edited = |pointer: &str, value: Value| {
        let mut config = config.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[field] = value;
        config
    };
    for (config, code, message) in [
        (
            edited("/metadata/managedFields", json!([{"manager": "x"}])),
            400,
            "metadata.managedFields must be nil",
        ),
        (edited("/metadata/uid", json!("other")), 409, "uid mismatch"),
        (
            edited("/metadata/name", json!("other")),
            400,
            "does not match the name on the URL",
        ),
        (
            edited("/kind", json!("DaemonSet")),
            400,
            "invalid object type",
        ),
        (
            edited("/metadata/labels", json!({"a": "not good"})),
            422,
            "metadata.labels",
        ),
        (
            edited(
                "/spec/template/spec/containers",
                json!([{"name": "a"}, {"name": "a"}]),
            ),
            500,
            "failed to create typed patch object (/web; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
    ] {
        let status = refused(apply(&apps, "fleetcast", &config).await);
        assert_eq!(status.code, code, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
    }
    assert!(apps.get_opt("web").await.unwrap().is_none());
    assert_eq!(
        refused(
            apply(
                &Api::namespaced(cluster.client(), "nowhere"),
                "fleetcast",
                &config
            )
            .await
        )
        .message,
        "namespaces \"nowhere\" not found"
    );
}

/// A dry run answers what would be, and leaves what is.
#[tokio::test]
async fn dry_run() {
    let cluster = cluster().await;
    let apps = deployments(&cluster);
    apply(&apps, "fleetcast", &deployment("web", Some(2), "a"))
        .await
        .unwrap();
    let before = cluster.change_count();
    let dry = apps
        .patch(
            "web",
            &PatchParams::apply("fleetcast").dry_run(),
            &Patch::Apply(deployment("web", Some(7), "a")),
        )
        .await
        .unwrap();
    assert_eq!(dry.spec.unwrap().replicas, Some(7));
    assert_eq!(
        (
            cluster.change_count(),
            apps.get("web").await.unwrap().spec.unwrap().replicas
        ),
        (before, Some(2))
    );
}

/// A client that creates owns what it stated, under the name it calls itself by.
#[tokio::test]
async fn ownership_of_creations() {
    let cluster = cluster().await;
    let maps = config_maps(&cluster);
    let params = PostParams {
        field_manager: Some("creator".into()),
        ..PostParams::default()
    };
    let made = maps
        .create(&params, &config_map("a", json!({"k": "1"})))
        .await
        .unwrap();
    let entry = &made.metadata.managed_fields.unwrap()[0];
    assert_eq!(
        (entry.manager.as_deref(), entry.operation.as_deref()),
        (Some("creator"), Some("Update"))
    );
    assert_eq!(
        entry.fields_v1.as_ref().unwrap().0,
        json!({"f:data": {".": {}, "f:k": {}}})
    );

    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "2"}});
    let status = refused(
        maps.patch(
            "a",
            &PatchParams::apply("fleetcast"),
            &Patch::Apply(&config),
        )
        .await,
    );
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"creator\" using v1: .data.k"
    );
    let cluster_scoped: Api<kube::api::DynamicObject> =
        Api::all_with(cluster.client(), &resource("", "v1", "Namespace"));
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP, "labels": {"team": "a"}}});
    let applied = cluster_scoped
        .patch(
            SHOP,
            &PatchParams::apply("fleetcast"),
            &Patch::Apply(&namespace),
        )
        .await
        .unwrap();
    assert_eq!(applied.metadata.labels.unwrap().len(), 2);
}
