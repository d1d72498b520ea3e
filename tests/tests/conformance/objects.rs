//! Creating, reading, replacing: metadata, names, versions, immutable fields, status, lists.

use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use super::place::{
    Place, answer, config_map, create_in, deployment, dynamic, edit, get, names, version,
};

/// An object gets its metadata from the server, exists once, and is missed by name.
pub(crate) async fn exist_once_and_have_metadata(place: &Place) {
    let maps = place.maps();
    let made = place.create(config_map("a", &json!({"k": "1"})));
    let made = made.await.expect("created");
    let metadata = &made["metadata"];
    for field in ["uid", "creationTimestamp", "resourceVersion"] {
        assert!(metadata[field].is_string(), "{field}: {made}");
    }
    assert_eq!(metadata["namespace"], json!(place.namespace));
    assert_eq!(get(&maps, "a").await.expect("there"), made);
    let again = place.create(config_map("a", &json!({}))).await;
    let again = again.expect_err("it is there");
    assert_eq!(
        (again.code, &*again.reason, &*again.message),
        (409, "AlreadyExists", "configmaps \"a\" already exists")
    );
    let missing = get(&maps, "b").await.expect_err("it is not there");
    assert_eq!(
        (missing.code, &*missing.reason, &*missing.message),
        (404, "NotFound", "configmaps \"b\" not found")
    );
    let generated =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "job-"}});
    let generated = place.create(&generated).await.expect("created");
    let name = generated["metadata"]["name"].as_str().expect("a name");
    assert!(
        name.len() == "job-".len() + 5 && name.starts_with("job-"),
        "{name}"
    );
}

/// What cannot be made is refused, with the field or the reason.
pub(crate) async fn what_cannot_be_made_is_refused(place: &Place) {
    let status = place.create(config_map("Not_Valid", &json!({}))).await;
    let status = status.expect_err("not a name");
    assert_eq!((status.code, &*status.reason), (422, "Invalid"));
    assert_eq!(
        status.details.expect("details").causes[0].field,
        "metadata.name"
    );

    let gadgets = place.of("nobody.example.com/v1", "Gadget");
    let status = answer(gadgets.list(&ListParams::default()).await).expect_err("no such kind");
    assert_eq!(status.code, 404);

    let path = format!("/api/v1/namespaces/{}/configmaps", place.namespace);
    for (body, code, message) in [
        (
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}),
            400,
            "Secret in version \"v1\" cannot be handled as a ConfigMap",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
            422,
            "name or generateName is required",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "other"}}),
            400,
            "namespace",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "x".repeat((1 << 20) + 1)}}),
            422,
            "Too long",
        ),
    ] {
        let status = place
            .send(
                "POST",
                &path,
                &[("content-type", "application/json")],
                &body,
            )
            .await;
        let status = status.expect_err(message);
        assert_eq!(status.code, code, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
    }
    let huge = config_map("a", &json!({"k": "x".repeat(4 << 20)}));
    let status = place
        .send(
            "POST",
            &path,
            &[("content-type", "application/json")],
            &huge,
        )
        .await;
    assert_eq!(status.expect_err("too large").code, 413);
}

/// An update says which version it was made from; one that changes nothing is no change.
pub(crate) async fn an_update_with_an_old_version_is_a_conflict(place: &Place) {
    let maps = place.maps();
    let first = place.create(config_map("a", &json!({"k": "1"})));
    let first = first.await.expect("created");
    let mut second = first.clone();
    second["data"]["k"] = json!("2");
    let params = PostParams::default();
    let replace = async |object: &Value| answer(maps.replace("a", &params, &dynamic(object)).await);
    let second = replace(&second).await.expect("replaced");
    assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    let status = replace(&first).await.expect_err("old");
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert!(
        status.message.starts_with(
            "Operation cannot be fulfilled on configmaps \"a\": the object has been modified"
        ),
        "{status:?}"
    );
    let same = replace(&second).await.expect("replaced");
    assert_eq!(version(&same), version(&second));
}

/// A field that never changes is refused by name: what an agent tells apart to recreate, or to report.
pub(crate) async fn what_never_changes_is_refused_with_its_field(place: &Place) {
    let job = |image: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}}})
    };
    let service = |address: &str| {
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"},
            "spec": {"clusterIP": address, "selector": {"a": "b"}, "ports": [{"port": 80}]}})
    };
    let app = |selector: &str| {
        let mut app = deployment("web", Some(0), "a");
        app["spec"]["selector"]["matchLabels"] = json!({"app": selector});
        app["spec"]["template"]["metadata"]["labels"] = json!({"app": selector});
        app
    };
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "immutable": true, "data": {"k": value}});
    let map = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "immutable": true, "data": {"k": value}});
    let role = |name: &str| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "r"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}})
    };
    let set = |service: &str| {
        let labels = json!({"app": "x"});
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "x"}, "spec": {
            "serviceName": service, "replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "a"}]}}}})
    };
    let claim = |class: &str| {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": {
            "storageClassName": class, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
    };
    for (before, after, field, words) in [
        (job("a"), job("b"), "spec.template", "field is immutable"),
        (
            service("None"),
            service("10.0.9.9"),
            "spec.clusterIPs[0]",
            "may not change once set",
        ),
        (
            app("web"),
            app("other"),
            "spec.selector",
            "field is immutable",
        ),
        (
            secret("YQ=="),
            secret("Yg=="),
            "data",
            "field is immutable when `immutable` is set",
        ),
        (
            map("a"),
            map("b"),
            "data",
            "field is immutable when `immutable` is set",
        ),
        (
            role("view"),
            role("edit"),
            "roleRef",
            "cannot change roleRef",
        ),
        (
            set("a"),
            set("b"),
            "spec",
            "updates to statefulset spec for fields other than",
        ),
        (
            claim("a"),
            claim("b"),
            "spec",
            "spec is immutable after creation except",
        ),
    ] {
        place.apply("fleetcast", &before).await.expect("created");
        let status = place.force("fleetcast", &after).await;
        let status = status.expect_err(field);
        assert_eq!(
            (status.code, &*status.reason),
            (422, "Invalid"),
            "{status:?}"
        );
        let causes = status.details.as_ref().expect("details").causes.iter();
        let fields: Vec<&str> = causes.map(|cause| &*cause.field).collect();
        assert!(fields.contains(&field), "{field}: {status:?}");
        assert!(status.message.contains(words), "{field}: {status:?}");
    }
}

/// Status changes only at its own endpoint, and only what is wanted counts as a generation.
pub(crate) async fn status_changes_at_its_own_endpoint_and_counts_no_generation(place: &Place) {
    // Nobody but the test writes the status of a budget that no Pod matches, apart from the controller's first time.
    let ingresses = place.of("networking.k8s.io/v1", "Ingress");
    let backend = |port: u16| json!({"defaultBackend": {"service": {"name": "web", "port": {"number": port}}}});
    let address = |ip: &str| json!({"loadBalancer": {"ingress": [{"ip": ip}]}});
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"},
        "spec": backend(80), "status": address("10.9.9.1"),
    });
    let made = create_in(&ingresses, &ingress).await.expect("created");
    assert_eq!(made["metadata"]["generation"], 1);
    let addresses = |object: &Value| object["status"]["loadBalancer"]["ingress"].clone();
    assert_eq!(addresses(&made), Value::Null, "a creation has no status");

    let both = json!({"spec": backend(81), "status": address("10.9.9.2")});
    let main = edit(&ingresses, "kubectl", "i", &both)
        .await
        .expect("patched");
    assert_eq!(
        (&main["metadata"]["generation"], addresses(&main)),
        (&json!(2), Value::Null)
    );
    let both = json!({"spec": backend(82), "status": address("10.9.9.3")});
    let path = format!(
        "/apis/networking.k8s.io/v1/namespaces/{}/ingresses/i/status",
        place.namespace
    );
    let merge = [("content-type", "application/merge-patch+json")];
    let status = place
        .send("PATCH", &path, &merge, &both)
        .await
        .expect("patched");
    assert_eq!(status["metadata"]["generation"], 2);
    assert_eq!(
        status["spec"]["defaultBackend"]["service"]["port"]["number"],
        81
    );
    assert_eq!(addresses(&status)[0]["ip"], "10.9.9.3");
    let label = json!({"metadata": {"labels": {"x": "y"}}});
    let label = edit(&ingresses, "kubectl", "i", &label).await;
    assert_eq!(label.expect("patched")["metadata"]["generation"], 2);
}

/// Lists choose by namespace, labels and fields, and come in pages.
pub(crate) async fn lists_choose_and_come_in_pages(place: &Place) {
    let secrets = place.of("v1", "Secret");
    for index in 0..5 {
        let parity = if index % 2 == 0 { "even" } else { "odd" };
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("s{index}"), "labels": {"parity": parity}}});
        place.create(&secret).await.expect("created");
    }
    let chosen = async |params: ListParams| -> Vec<String> {
        let list = secrets.list(&params).await.expect("listed");
        list.items
            .into_iter()
            .filter_map(|object| object.metadata.name)
            .collect()
    };
    let all = ListParams::default;
    assert_eq!(
        chosen(all().labels("parity in (even)")).await,
        ["s0", "s2", "s4"]
    );
    assert_eq!(
        chosen(all().labels("parity!=even,other notin (x)")).await,
        ["s1", "s3"]
    );
    assert_eq!(chosen(all().fields("metadata.name=s3")).await, ["s3"]);
    assert_eq!(names(&secrets).await.len(), 5);
    let refused = answer(secrets.list(&all().fields("data.k=v")).await);
    assert_eq!(refused.expect_err("no such field").code, 400);

    let mut params = all().limit(2);
    let mut pages = Vec::new();
    loop {
        let page = secrets.list(&params).await.expect("a page");
        pages.push((page.items.len(), page.metadata.remaining_item_count));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = all().limit(2).continue_token(&token),
            None => break,
        }
    }
    assert_eq!(pages, [(2, Some(3)), (2, Some(1)), (1, None)]);
}

/// Whoever asks for metadata alone gets no more: how 10,000 objects are watched in little memory.
pub(crate) async fn metadata_alone_comes_when_asked_for(place: &Place) {
    let mut map = config_map("a", &json!({"k": "1"}));
    map["metadata"]["labels"] = json!({"app": "x"});
    place.create(&map).await.expect("created");
    let params = ListParams::default().labels("app=x");
    let list = place.maps().list_metadata(&params).await.expect("listed");
    assert_eq!(list.items.len(), 1);
    let metadata = serde_json::to_value(&list.items[0]).expect("it serializes");
    assert_eq!(metadata.get("data"), None);
    assert_eq!(metadata["metadata"]["labels"]["app"], "x");
    let one = place.maps().get_metadata("a").await.expect("there");
    assert_eq!(one.types.expect("a kind").kind, "PartialObjectMetadata");
}
