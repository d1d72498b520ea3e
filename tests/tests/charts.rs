//! The Helm charts of `compose/charts`: what they render is taken by a real API server, wrong values are refused, and rights are those that the agents and
//! the hub are tested with.

mod charts {
    pub(crate) mod http;
}

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fleetcast_tests::harness::{Binary, control_plane, namespace, nats_server, skip};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// What an agent's chart cannot do without.
const AGENT: &[&str] = &[
    "cluster=eu-1",
    "nats.url=tls://nats-1:4222,tls://nats-2:4222",
];

/// Helm, as `cargo xtask` brought it.
struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
}

fn helm(test: &str) -> Option<Helm> {
    let Some(program) = std::env::var_os("FLEETCAST_HELM").map(PathBuf::from) else {
        skip(
            test,
            "there is no Helm: FLEETCAST_HELM is not set (`cargo xtask test` brings one where Go is)",
        );
        return None;
    };
    Some(Helm {
        program,
        home: tempfile::tempdir().expect("a folder"),
    })
}

impl Helm {
    fn template(&self, chart: &str, namespace: &str, values: &[&str]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .args(["template", "fleet"])
            .arg(folder().join("charts").join(chart))
            .args(["--kube-version", "1.36", "--namespace", namespace])
            .env("HOME", self.home.path())
            .env("KUBECONFIG", "/dev/null");
        for value in values {
            command.args(["--set", &value.replace(",tls", "\\,tls")]);
        }
        command.output().expect("helm starts")
    }

    fn rendered(&self, chart: &str, namespace: &str, values: &[&str]) -> Vec<Value> {
        let output = self.template(chart, namespace, values);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{chart} {values:?}: {said}");
        documents(&String::from_utf8_lossy(&output.stdout))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose")
}

fn documents(text: &str) -> Vec<Value> {
    let read = fleetcast_ingest::documents::read(text).into_iter();
    read.map(|(_, document)| document.expect("YAML")).collect()
}

/// What a real API server says of an object, in a dry run that knows every field.
async fn taken(client: &Client, object: &Value) -> Result<(), String> {
    let text = |field: &Value| field.as_str().unwrap_or_default().to_owned();
    let api_version = text(&object["apiVersion"]);
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let kind = GroupVersionKind::gvk(group, version, &text(&object["kind"]));
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let params = PatchParams::apply("charts").dry_run().validation_strict();
    let name = text(&object["metadata"]["name"]);
    let answer = api.patch(&name, &params, &Patch::Apply(object)).await;
    answer
        .map(drop)
        .map_err(|error| format!("{kind:?} {name}: {error}"))
}

/// The rules of the role of a kind among documents.
fn rules<'a>(documents: &'a [Value], kind: &str) -> Vec<&'a Value> {
    documents
        .iter()
        .filter(|document| document["kind"] == kind)
        .flat_map(|role| role["rules"].as_array().into_iter().flatten())
        .collect()
}

fn in_compose(file: &str) -> Vec<Value> {
    documents(&std::fs::read_to_string(folder().join(file)).expect("it is there"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_charts_render_is_taken_by_a_real_api_server() {
    let test = "charts: a real API server takes them";
    let (Some(helm), Some(plane)) = (helm(test), control_plane(test).await) else {
        return;
    };
    let client = plane.client().await;
    let namespace = namespace(&client, "charts").await;
    let hub: [&[&str]; 6] = [
        &[],
        &[
            "ingest.sealingKeys=sealing",
            "ingest.sealedFields={Database.example.dev:/spec/password}",
        ],
        &["hub.inCluster=true"],
        &[
            "ingest.http.enabled=true",
            "ingest.http.tokens=http-tokens",
            "ingest.http.tls.secret=http-tls",
            "aggregator.http.enabled=true",
            "aggregator.http.tokens=http-tokens",
            "aggregator.http.plainText=true",
        ],
        &[
            "hub.kubeconfigSecret=hub",
            "nats.ingestCredentials=ingest",
            "nats.aggregatorCredentials=aggregator",
            "nats.tls.secret=bus-tls",
            "nats.tls.mutual=true",
            "ingest.persistence.enabled=false",
        ],
        &[
            "podDisruptionBudget.enabled=false",
            "spread=false",
            "ingest.replicas=3",
            "nats.url=nats://nats:4222",
            "nats.allowPlainText=true",
        ],
    ];
    let agent: [&[&str]; 3] = [
        &[],
        &[
            "rbac.allKinds=true",
            "nats.credentials=creds",
            "nats.tls.secret=bus-tls",
            "sealingKey=sealing",
        ],
        &[
            "rbac.create=false",
            "localCopy=false",
            "podDisruptionBudget.enabled=false",
        ],
    ];
    let hub = hub.map(|values| ("fleetcast", values.to_vec()));
    let agent = agent.map(|values| ("fleetcast-agent", [AGENT, values].concat()));
    for (chart, values) in hub.into_iter().chain(agent) {
        let rendered = helm.rendered(chart, &namespace, &values);
        assert!(rendered.len() > 1, "{chart} {values:?}");
        for object in &rendered {
            let answer = taken(&client, object).await;
            assert_eq!(answer, Ok(()), "{chart} {values:?}: {object:#}");
        }
    }
    // The dry run does look.
    let wrong = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "wrong", "namespace": namespace}, "spec": {"replicsa": 2},
    });
    assert!(taken(&client, &wrong).await.is_err());
}

#[test]
fn there_are_two_of_everything_and_none_of_them_is_root() {
    let Some(helm) = helm("charts: two of everything") else {
        return;
    };
    let hub = helm.rendered("fleetcast", "fleetcast-system", &[]);
    let agent = helm.rendered("fleetcast-agent", "fleetcast-system", AGENT);
    let all: Vec<&Value> = hub.iter().chain(&agent).collect();
    let is_workload = |object: &&&Value| object["spec"]["template"]["spec"].is_object();
    let workloads: Vec<&&Value> = all.iter().filter(is_workload).collect();
    assert_eq!(workloads.len(), 3, "ingest, aggregator, agent");
    for workload in workloads {
        assert_eq!(workload["spec"]["replicas"], 2, "{workload:#}");
        let budget = all.iter().find(|object| {
            object["kind"] == "PodDisruptionBudget"
                && object["spec"]["selector"] == workload["spec"]["selector"]
        });
        assert_eq!(budget.expect("a budget")["spec"]["maxUnavailable"], 1);
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["topologySpreadConstraints"].as_array().map(Vec::len),
            Some(2)
        );
        for container in pod["containers"].as_array().expect("containers") {
            let context = &container["securityContext"];
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
            assert!(container["resources"]["limits"]["memory"].is_string());
            let asks = |probe: &str| &container[probe]["httpGet"];
            assert_eq!(
                asks("livenessProbe"),
                &json!({"path": "/healthz", "port": "health"})
            );
            assert_eq!(
                asks("readinessProbe"),
                &json!({"path": "/readyz", "port": "health"})
            );
            let port = &container["ports"][0];
            assert_eq!(port, &json!({"name": "health", "containerPort": 8481}));
            let listens = json!({"name": "FLEETCAST_HEALTH", "value": "0.0.0.0:8481"});
            let variables = container["env"].as_array().expect("variables");
            assert!(variables.contains(&listens), "{variables:?}");
        }
    }
}

#[test]
fn what_the_bus_is_spoken_to_with_comes_from_a_secret() {
    let Some(helm) = helm("charts: TLS") else {
        return;
    };
    let tls = ["nats.tls.secret=bus-tls"];
    let mutual = ["nats.tls.secret=bus-tls", "nats.tls.mutual=true"];
    for (chart, needed) in [("fleetcast", &[][..]), ("fleetcast-agent", AGENT)] {
        for (values, variables, items) in [
            (&tls[..], &["FLEETCAST_TLS_CA"][..], 1),
            (
                &mutual,
                &[
                    "FLEETCAST_TLS_CA",
                    "FLEETCAST_TLS_CERT",
                    "FLEETCAST_TLS_KEY",
                ],
                0,
            ),
        ] {
            let rendered = helm.rendered(chart, "fleet", &[needed, values].concat());
            let is_workload = |object: &&Value| object["spec"]["template"]["spec"].is_object();
            for workload in rendered.iter().filter(is_workload) {
                let pod = &workload["spec"]["template"]["spec"];
                let container = &pod["containers"][0];
                let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
                let named: Vec<String> = list(&container["env"])
                    .iter()
                    .filter_map(|one| one["name"].as_str())
                    .filter(|name| name.starts_with("FLEETCAST_TLS"))
                    .map(str::to_owned)
                    .collect();
                assert_eq!(named, variables, "{workload:#}");
                let volumes = list(&pod["volumes"]);
                let volume = volumes.iter().find(|one| one["name"] == "tls");
                let secret = &volume.expect("a volume")["secret"];
                assert_eq!(secret["secretName"], "bus-tls");
                // Without a certificate of its own the pod is not given a key.
                assert_eq!(list(&secret["items"]).len(), items, "{workload:#}");
                let mounts = list(&container["volumeMounts"]);
                assert!(mounts.iter().any(|one| one["name"] == "tls"));
            }
        }
    }
}

#[test]
fn a_value_that_nobody_reads_or_that_is_wrong_is_refused_by_name() {
    let Some(helm) = helm("charts: wrong values") else {
        return;
    };
    let agent = |value| [AGENT, &[value]].concat();
    for (chart, values, field) in [
        ("fleetcast", vec!["ingest.replicsa=3"], "replicsa"),
        (
            "fleetcast",
            vec!["ingest.partitions=1000"],
            "/ingest/partitions",
        ),
        ("fleetcast", vec!["nats.url=http://nats"], "/nats/url"),
        // Plain text must be asked for.
        ("fleetcast", vec!["nats.url=nats://nats"], "/nats/url"),
        (
            "fleetcast-agent",
            agent("nats.url=nats://nats"),
            "/nats/url",
        ),
        (
            "fleetcast",
            vec!["nats.tls.mutual=true"],
            "/nats/tls/secret",
        ),
        ("fleetcast-agent", vec![], "/cluster"),
        ("fleetcast-agent", agent("replicas=0"), "/replicas"),
        (
            "fleetcast-agent",
            agent("image.pullPolicy=Sometimes"),
            "/image/pullPolicy",
        ),
    ] {
        let output = helm.template(chart, "fleetcast-system", &values);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{chart} {values:?} is taken");
        assert!(said.contains(field), "{field} is not in {said}");
    }
}

#[test]
fn rights_are_those_of_the_manifests_that_the_other_tests_apply() {
    let Some(helm) = helm("charts: rights") else {
        return;
    };
    let values = [AGENT, &["nats.credentials=fleetcast-agent"]].concat();
    let agent = helm.rendered("fleetcast-agent", "fleetcast-system", &values);
    let by_hand = in_compose("agent-rbac.yaml");
    for kind in ["Role", "ClusterRole"] {
        assert_eq!(
            rules(&agent, kind),
            rules(&by_hand, kind),
            "the agent's {kind}"
        );
        assert!(!rules(&agent, kind).is_empty());
    }
    let hub = helm.rendered("fleetcast", "fleetcast-system", &["hub.inCluster=true"]);
    let by_hand = in_compose("hub-rbac.yaml");
    for kind in ["Role", "ClusterRole"] {
        assert_eq!(rules(&hub, kind), rules(&by_hand, kind), "the hub's {kind}");
    }
}

#[test]
fn the_chart_and_the_manifest_of_cluster_join_run_the_same_agent() {
    let test = "charts: the manifest of cluster join";
    let (Some(helm), Some(server)) = (helm(test), nats_server(test)) else {
        return;
    };
    let values = [
        "cluster=eu-1",
        "nats.url=tls://nats.example:4222",
        "nats.tls.secret=fleetcast-agent-tls",
        "nats.credentials=fleetcast-agent",
    ];
    let chart = helm.rendered("fleetcast-agent", "fleetcast-system", &values);
    std::fs::write(helm.home.path().join("ca.crt"), "PEM").expect("written");
    let fleetcast = Binary::new(helm.home.path(), server);
    fleetcast.done(&["auth", "init"]);
    let join = ["cluster", "join", "eu-1", "--dry-run", "-o", "json"];
    let at = ["--nats", "tls://nats.example:4222", "--tls-ca", "ca.crt"];
    let joined = fleetcast.done(&[&join[..], &at].concat()).json();
    let joined = joined["items"].as_array().expect("a list");
    for kind in ["Role", "ClusterRole"] {
        assert_eq!(rules(&chart, kind), rules(joined, kind), "{kind}");
    }
    assert_eq!(running(&chart), running(joined));
}

/// What an agent's Deployment runs, without the labels by which its pods are found.
fn running(documents: &[Value]) -> Value {
    let is_deployment = |document: &&Value| document["kind"] == "Deployment";
    let found = documents.iter().find(is_deployment).expect("a Deployment");
    let mut spec = found["spec"].clone();
    spec["selector"] = Value::Null;
    spec["template"]["metadata"] = Value::Null;
    let pod = &mut spec["template"]["spec"];
    for spread in pod["topologySpreadConstraints"]
        .as_array_mut()
        .expect("spread")
    {
        spread["labelSelector"] = Value::Null;
    }
    for volume in pod["volumes"].as_array_mut().expect("volumes") {
        // In YAML as Helm and Kubernetes read it 0440 is octal.
        if volume["secret"]["defaultMode"] == json!(440.0) {
            volume["secret"]["defaultMode"] = json!(0o440);
        }
    }
    let env = pod["containers"][0]["env"].as_array_mut();
    env.expect("variables")
        .sort_by_key(|variable| variable["name"].to_string());
    spec
}

#[test]
fn every_value_is_described_and_has_a_default() {
    for chart in ["fleetcast", "fleetcast-agent"] {
        let at = folder().join("charts").join(chart);
        let read = |name: &str| std::fs::read_to_string(at.join(name)).expect("it is there");
        let schema: Value = serde_json::from_str(&read("values.schema.json")).expect("JSON");
        let values = documents(&read("values.yaml")).remove(0);
        same_fields(chart, &schema, &values);
    }
}

/// That a schema and the values name the same fields, each described.
fn same_fields(at: &str, schema: &Value, values: &Value) {
    let (Some(described), Some(given)) = (schema["properties"].as_object(), values.as_object())
    else {
        return;
    };
    for (name, field) in described {
        let at = format!("{at}.{name}");
        assert!(field["description"].is_string(), "{at} is not described");
        if name != "global" {
            let value = given.get(name);
            same_fields(
                &at,
                field,
                value.unwrap_or_else(|| panic!("{at} has no default")),
            );
        }
    }
    for name in given.keys() {
        assert!(
            described.contains_key(name),
            "{at}.{name} is not in the schema"
        );
    }
}
