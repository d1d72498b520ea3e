//! Server-side apply: creation, repetition, conflicts, shared and dropped fields, keyed lists, refusals.

use kube::api::PatchParams;
use serde_json::{Value, json};

use super::place::{Place, config_map, deployment, edit, get, owned, version};

/// An apply creates and owns just what it says; the same apply again writes nothing.
pub(crate) async fn creates_and_a_repeat_writes_nothing(place: &Place) {
    let made = place.apply("fleetcast", config_map("a", &json!({"k": "1"})));
    let made = made.await.expect("created");
    assert_eq!(
        owned(&made, "fleetcast", "Apply", ""),
        Some(&json!({"f:data": {"f:k": {}}})),
        "{made}"
    );
    let again = place.apply("fleetcast", config_map("a", &json!({"k": "1"})));
    assert_eq!(again.await.expect("applied"), made);

    let app = place.apply("fleetcast", deployment("web", Some(0), "a"));
    let app = app.await.expect("created");
    let fields = owned(&app, "fleetcast", "Apply", "").expect("ours");
    assert_eq!(fields["f:spec"]["f:replicas"], json!({}));
    let container =
        &fields["f:spec"]["f:template"]["f:spec"]["f:containers"]["k:{\"name\":\"web\"}"];
    assert_eq!(
        container["f:ports"],
        json!({"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}}),
        "a default is part of a key and not of the fields"
    );
    assert_eq!(
        fields["f:spec"].get("f:strategy"),
        None,
        "a default is nobody's"
    );
    let again = place.apply("fleetcast", deployment("web", Some(0), "a"));
    let again = again.await.expect("applied");
    assert_eq!(
        again["metadata"]["generation"],
        app["metadata"]["generation"]
    );
}

/// Another manager's field is a conflict that names manager and field, one by one or together; force takes it.
pub(crate) async fn anothers_field_is_a_conflict_and_force_takes_it(place: &Place) {
    let apps = place.of("apps/v1", "Deployment");
    let ours = deployment("web", Some(0), "a");
    place.apply("fleetcast", &ours).await.expect("created");
    edit(&apps, "kubectl", "web", &json!({"spec": {"replicas": 1}}))
        .await
        .expect("edited");

    let status = place
        .apply("fleetcast", &ours)
        .await
        .expect_err("a conflict");
    assert_eq!((status.code, &*status.reason), (409, "Conflict"));
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
    );
    let cause = &status.details.expect("details").causes[0];
    assert_eq!(
        (&*cause.reason, &*cause.field, &*cause.message),
        (
            "FieldManagerConflict",
            ".spec.replicas",
            "conflict with \"kubectl\" using apps/v1"
        )
    );
    let live = get(&apps, "web").await.expect("there");
    assert_eq!(live["spec"]["replicas"], 1, "nothing was written");

    let forced = place.force("fleetcast", &ours).await.expect("taken");
    assert_eq!(forced["spec"]["replicas"], 0);
    assert_eq!(owned(&forced, "kubectl", "Update", ""), None, "{forced}");

    let theirs = deployment("web", Some(9), "b");
    let status = place.apply("other", &theirs).await.expect_err("conflicts");
    assert_eq!(
        status.message,
        "Apply failed with 2 conflicts: conflicts with \"fleetcast\":\n- .spec.replicas\n\
         - .spec.template.spec.containers[name=\"web\"].image"
    );
}

/// Two who apply the same value own it together; the one who changes it meets the other, and the one who leaves it changes nothing.
pub(crate) async fn what_two_apply_alike_they_own_together(place: &Place) {
    let alike = config_map("a", &json!({"k": "1"}));
    let first = place.apply("one", &alike).await.expect("created");
    let both = place.apply("two", &alike).await.expect("no conflict");
    let fields = json!({"f:data": {"f:k": {}}});
    assert_eq!(owned(&both, "one", "Apply", ""), Some(&fields));
    assert_eq!(owned(&both, "two", "Apply", ""), Some(&fields));
    assert_eq!(both["data"], first["data"]);

    let status = place
        .apply("one", config_map("a", &json!({"k": "2"})))
        .await
        .expect_err("the other owns it, too");
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"two\": .data.k"
    );
    let left = place
        .apply("one", config_map("a", &json!({"mine": "x"})))
        .await
        .expect("applied");
    assert_eq!(left["data"], json!({"k": "1", "mine": "x"}));
}

/// Fields that an applier drops go where nobody else owns them, and stay where somebody does.
pub(crate) async fn dropped_fields_go_unless_another_owns_them(place: &Place) {
    let apps = place.of("apps/v1", "Deployment");
    let mut config = deployment("web", Some(0), "a");
    config["metadata"]["annotations"] = json!({"mine": "1"});
    let side = json!({"name": "side", "image": "s"});
    let containers = &mut config["spec"]["template"]["spec"]["containers"];
    containers.as_array_mut().expect("a list").push(side);
    config["spec"]["minReadySeconds"] = json!(5);
    config["spec"]["revisionHistoryLimit"] = json!(3);
    place.apply("fleetcast", &config).await.expect("created");
    let theirs =
        json!({"metadata": {"annotations": {"theirs": "2"}}, "spec": {"revisionHistoryLimit": 4}});
    edit(&apps, "kubectl", "web", &theirs)
        .await
        .expect("edited");

    let left = place.apply("fleetcast", deployment("web", Some(0), "a"));
    let left = left.await.expect("applied");
    let spec = &left["spec"];
    assert_eq!(
        spec.get("minReadySeconds"),
        None,
        "dropped by its only owner"
    );
    assert_eq!(spec["revisionHistoryLimit"], 4, "another's");
    let containers = spec["template"]["spec"]["containers"].as_array();
    assert_eq!(containers.map(Vec::len), Some(1));
    let annotations = &left["metadata"]["annotations"];
    assert_eq!(
        (annotations.get("mine"), annotations.get("theirs")),
        (None, Some(&json!("2")))
    );
}

/// Entries of a list belong to who applied them, by the keys of the list.
pub(crate) async fn lists_merge_by_their_keys(place: &Place) {
    let service = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"selector": {"a": "b"}, "ports": ports}});
    let numbers = |object: &Value| -> Vec<i64> {
        let ports = object["spec"]["ports"].as_array().expect("a list");
        ports
            .iter()
            .filter_map(|port| port["port"].as_i64())
            .collect()
    };
    let one = service(json!([{"name": "http", "port": 80}]));
    place.apply("one", &one).await.expect("created");
    let two = service(
        json!([{"name": "metrics", "port": 9090}, {"name": "dns", "port": 80, "protocol": "UDP"}]),
    );
    let both = place.apply("two", &two).await.expect("applied");
    assert_eq!(numbers(&both), [80, 9090, 80]);
    let two = service(json!([{"name": "metrics", "port": 9090}]));
    let fewer = place.apply("two", &two).await.expect("applied");
    assert_eq!(numbers(&fewer), [80, 9090]);
    let renamed = service(json!([{"name": "web", "port": 80}]));
    let status = place.apply("two", &renamed).await.expect_err("not theirs");
    assert_eq!(
        status.message,
        "Apply failed with 1 conflict: conflict with \"one\": .spec.ports[port=80,protocol=\"TCP\"].name"
    );
}

/// What an apply must say and must not say is checked, in the same words; nothing comes of it.
pub(crate) async fn what_an_apply_must_not_say_is_refused(place: &Place) {
    let config = deployment("web", Some(0), "a");
    let nobody = PatchParams {
        field_manager: None,
        ..PatchParams::apply("x")
    };
    let refused = place.apply_with(&nobody, &config).await;
    assert_eq!(refused.expect_err("a manager is needed").code, 422);

    let edited = |pointer: &str, value: Value| {
        let mut config = config.clone();
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        config.pointer_mut(parent).expect("it is there")[field] = value;
        config
    };
    let duplicates = "failed to create typed patch object (/web; apps/v1, Kind=Deployment): \
                      .spec.template.spec.containers: duplicate entries for key [name=\"a\"]";
    for (config, code, message) in [
        (
            edited("/metadata/managedFields", json!([{"manager": "x"}])),
            400,
            "metadata.managedFields must be nil",
        ),
        (edited("/metadata/uid", json!("other")), 409, "uid mismatch"),
        (
            edited("/metadata/labels", json!({"a": "not good"})),
            422,
            "metadata.labels",
        ),
        (
            edited(
                "/spec/template/spec/containers",
                json!([{"name": "a", "image": "a"}, {"name": "a", "image": "a"}]),
            ),
            500,
            duplicates,
        ),
    ] {
        let status = place.apply("fleetcast", &config).await.expect_err(message);
        assert_eq!(status.code, code, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
    }
    let path = format!(
        "/apis/apps/v1/namespaces/{}/deployments/web?fieldManager=x",
        place.namespace
    );
    let apply = [("content-type", "application/apply-patch+yaml")];
    for (config, message) in [
        (
            edited("/metadata/name", json!("other")),
            "does not match the name on the URL",
        ),
        (
            edited("/kind", json!("DaemonSet")),
            "invalid object type: apps/v1, Kind=DaemonSet",
        ),
    ] {
        let status = place.send("PATCH", &path, &apply, &config).await;
        let status = status.expect_err(message);
        assert_eq!(status.code, 400, "{status:?}");
        assert!(status.message.contains(message), "{status:?}");
    }
    let apps = place.of("apps/v1", "Deployment");
    assert_eq!(
        get(&apps, "web")
            .await
            .expect_err("nothing came of it")
            .code,
        404
    );
}

/// A dry run answers what would be, and leaves what is.
pub(crate) async fn a_dry_run_answers_and_writes_nothing(place: &Place) {
    let made = place.apply("fleetcast", config_map("a", &json!({"k": "1"})));
    let made = made.await.expect("created");
    let params = PatchParams::apply("fleetcast").dry_run();
    let dry = place.apply_with(&params, config_map("a", &json!({"k": "2"})));
    assert_eq!(dry.await.expect("answered")["data"]["k"], "2");
    let live = get(&place.maps(), "a").await.expect("there");
    assert_eq!(version(&live), version(&made));
}

/// A version holds an apply back only from an object that is there; a uid does so also where there is none (any more).
pub(crate) async fn a_version_alone_does_not_hold_back_a_creation(place: &Place) {
    let with = |field: &str, value: &str| {
        let mut map = config_map("a", &json!({"k": "1"}));
        map["metadata"][field] = json!(value);
        map
    };
    let status = place.apply("fleetcast", with("uid", "other")).await;
    let status = status.expect_err("there is none of this uid");
    assert_eq!(
        (status.code, &*status.reason),
        (409, "Conflict"),
        "{status:?}"
    );
    let made = place.apply("fleetcast", with("resourceVersion", "7")).await;
    let made = made.expect("created all the same");
    assert_ne!(version(&made), "7");
    let mut both = with("resourceVersion", "7");
    both["metadata"]["uid"] = json!("other");
    for (config, code, reason) in [
        (with("resourceVersion", "7"), 409, "Conflict"),
        (both, 409, "Conflict"),
        // A uid alone is read as an attempt to change it.
        (with("uid", "other"), 422, "Invalid"),
    ] {
        let status = place.apply("fleetcast", config).await;
        let status = status.expect_err("it is another");
        assert_eq!((status.code, &*status.reason), (code, reason), "{status:?}");
    }
}

/// An apply into a namespace that is not there says which.
pub(crate) async fn a_namespace_that_is_not_there_is_named(place: &Place) {
    let elsewhere = place.nowhere();
    let refused = elsewhere.apply("fleetcast", config_map("a", &json!({})));
    let status = refused.await.expect_err("there is no such namespace");
    assert_eq!(
        (status.code, &*status.reason, &*status.message),
        (404, "NotFound", "namespaces \"nowhere\" not found")
    );
}
