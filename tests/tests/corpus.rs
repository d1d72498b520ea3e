//! The main job on real manifests: KubeFed's own samples as they are, and plain objects placed from the command line.

use std::time::{Duration, Instant};

use fleetcast_tests::harness::{Binary, corpus, held_at, nats_server};
use serde_json::Value;

const WORKSPACE: &str = "[[cluster]]\nname = \"cluster1\"\nsimulated = true\n[[cluster]]\nname = \"cluster2\"\nsimulated = true\n[[cluster]]\nname = \"cluster3\"\nsimulated = true\n";

#[test]
fn kubefeds_samples_land_on_the_named_clusters_with_their_overrides() {
    let test = "kubefeds_samples_land_on_the_named_clusters_with_their_overrides";
    let (Some(server), Some(corpus)) = (nats_server(test), corpus(test)) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    std::fs::write(directory.path().join("workspace.toml"), WORKSPACE).expect("written");
    let fleetcast = Binary::new(directory.path(), server);
    let _up = fleetcast.up();

    let samples = corpus.join("kubefed");
    let mut files: Vec<String> = std::fs::read_dir(&samples)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path().display().to_string())
        .filter(|path| path.contains("/federated") && !path.ends_with("-rsp.yaml"))
        .collect();
    files.sort();
    assert_eq!(
        files.len(),
        10,
        "namespace, ConfigMap, Secret, Service, Ingress, Job, ServiceAccount, ClusterRole, ClusterRoleBinding, Deployment"
    );
    let mut args = vec!["apply", "--wait"];
    for file in &files {
        args.extend(["-f", file]);
    }
    fleetcast.done(&args);

    let objects = fleetcast.done(&["get", "-o", "json"]).json();
    let objects = objects["objects"].as_array().expect("a list");
    assert_eq!(objects.len(), 10);
    for object in objects {
        assert_eq!(
            (
                &object["dialect"],
                &object["counts"]["applied"],
                &object["counts"]["clusters"]
            ),
            (&"kubefed".into(), &2.into(), &2.into()),
            "{object}"
        );
    }
    let deployment = "/apis/apps/v1/namespaces/test-namespace/deployments/test-deployment";
    let table = [
        (
            "cluster1",
            deployment,
            "/spec/replicas",
            Some(Value::from(3)),
        ),
        (
            "cluster1",
            deployment,
            "/spec/template/spec/containers/0/image",
            Some("nginx".into()),
        ),
        ("cluster2", deployment, "/spec/replicas", Some(5.into())),
        (
            "cluster2",
            deployment,
            "/spec/template/spec/containers/0/image",
            Some("nginx:1.17.0-alpine".into()),
        ),
        ("cluster2", deployment, "/metadata/annotations/foo", None),
        (
            "cluster1",
            "/api/v1/namespaces/test-namespace/configmaps/test-configmap",
            "/data/A",
            Some("ala ma kota".into()),
        ),
        (
            "cluster2",
            "/api/v1/namespaces/test-namespace/configmaps/test-configmap",
            "/data/foo",
            Some("bar".into()),
        ),
        (
            "cluster2",
            "/api/v1/namespaces/test-namespace/configmaps/test-configmap",
            "/data/A",
            None,
        ),
        (
            "cluster1",
            "/apis/batch/v1/namespaces/test-namespace/jobs/test-job",
            "/spec/parallelism",
            Some(1.into()),
        ),
        (
            "cluster2",
            "/apis/batch/v1/namespaces/test-namespace/jobs/test-job",
            "/spec/parallelism",
            Some(2.into()),
        ),
        (
            "cluster1",
            "/api/v1/namespaces/test-namespace/secrets/test-secret",
            "/data/A",
            Some("YWxhIG1hIGtvdGE=".into()),
        ),
        (
            "cluster1",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/test-clusterrole",
            "/rules/0/verbs/0",
            Some("*".into()),
        ),
        (
            "cluster2",
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/test-clusterrolebinding",
            "/roleRef/name",
            Some("cluster-admin".into()),
        ),
        (
            "cluster1",
            "/apis/networking.k8s.io/v1/namespaces/test-namespace/ingresses/test-ingress",
            "/spec/rules/0/host",
            Some("ingress.example.com".into()),
        ),
        (
            "cluster1",
            "/api/v1/namespaces/test-namespace/services/test-service",
            "/spec/type",
            Some("NodePort".into()),
        ),
        (
            "cluster2",
            "/api/v1/namespaces/test-namespace/serviceaccounts/test-serviceaccount",
            "/automountServiceAccountToken",
            Some(true.into()),
        ),
    ];
    for (cluster, path, pointer, expected) in table {
        let object = held_at(directory.path(), cluster, path)
            .unwrap_or_else(|| panic!("{cluster} lacks {path}"));
        assert_eq!(
            object.pointer(pointer).cloned(),
            expected,
            "{cluster} {path} {pointer}"
        );
    }
    assert!(
        held_at(directory.path(), "cluster3", deployment).is_none(),
        "nobody named cluster3"
    );

    let rsp = samples
        .join("federateddeployment-rsp.yaml")
        .display()
        .to_string();
    fleetcast.done(&["apply", "-f", &rsp]);
    let begin = Instant::now();
    loop {
        let replicas = ["cluster1", "cluster2"].map(|cluster| {
            let object = held_at(directory.path(), cluster, deployment)?;
            object.pointer("/spec/replicas").cloned()
        });
        // 10 by weights 2 : 3.
        if replicas == [Some(4.into()), Some(6.into())] {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{replicas:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn plain_objects_go_to_the_clusters_named_on_the_command_line() {
    let test = "plain_objects_go_to_the_clusters_named_on_the_command_line";
    let (Some(server), Some(corpus)) = (nats_server(test), corpus(test)) else {
        return;
    };
    let directory = tempfile::tempdir().expect("a folder");
    std::fs::write(directory.path().join("workspace.toml"), WORKSPACE).expect("written");
    let fleetcast = Binary::new(directory.path(), server);
    let _up = fleetcast.up();
    let boutique = corpus.join("online-boutique.yaml").display().to_string();
    let plain = corpus.join("kubefed/configmap.yaml").display().to_string();
    fleetcast.done(&[
        "apply",
        "--clusters",
        "cluster1,cluster2",
        "-f",
        &boutique,
        "-f",
        &plain,
        "--wait",
    ]);

    let objects = fleetcast.done(&["get", "-o", "json"]).json();
    let objects = objects["objects"].as_array().expect("a list");
    assert!(objects.len() > 30, "{} objects", objects.len());
    for object in objects {
        assert_eq!(
            (&object["counts"]["applied"], &object["counts"]["clusters"]),
            (&2.into(), &2.into()),
            "{object}"
        );
    }
    let frontend = "/apis/apps/v1/namespaces/default/deployments/frontend";
    for cluster in ["cluster1", "cluster2"] {
        let object = held_at(directory.path(), cluster, frontend).expect("the shop's front");
        assert_eq!(
            object["metadata"]["labels"]["fleetcast.dev/managed"], "true",
            "{object}"
        );
    }
    assert!(held_at(directory.path(), "cluster3", frontend).is_none());
}
