//! What runs an agent in its cluster: namespace, service account and rights as `compose/agent-rbac.yaml` has them, its credentials, and a Deployment as that of
//! the chart `compose/charts/fleetcast-agent` (`tests/tests/join.rs` holds one against the other).

use fleetcast_core::digest;
use fleetcast_core::model::ClusterName;
use serde_json::{Value, json};

use super::certificate::Pair;
use super::kinds::Kinds;
use crate::failure::Failure;

/// The one source of an agent's rights.
const RIGHTS: &str = include_str!("../../../../../compose/agent-rbac.yaml");
/// What everything of an agent is called.
pub(super) const NAME: &str = "fleetcast-agent";
/// What stands for credentials where none are issued.
const NONE_ISSUED: &str = "(issued where this is no dry run)";
/// Where the credentials are mounted.
const MOUNTED: &str = "/etc/fleetcast/bus";
/// What the agent may write to: its local copy, and credentials that it renewed.
const STATE: &str = "/data";
/// The Secret of the authority that the NATS servers' certificates are signed by, and of a certificate for servers that ask for one; and where it is mounted.
const TLS: (&str, &str) = ("fleetcast-agent-tls", "/etc/fleetcast/tls");

/// The port of its probes, as in the chart.
const HEALTH: u16 = 8481;

/// What is asked for.
pub(super) struct Agent<'a> {
    pub(super) cluster: &'a ClusterName,
    /// Where it runs in its cluster.
    pub(super) namespace: &'a str,
    /// The NATS servers as it reaches them.
    pub(super) nats: &'a str,
    /// The authority of their certificates, PEM; none for those of the image, or where they speak plain text.
    pub(super) authority: Option<&'a str>,
    pub(super) certificate: Certificate<'a>,
    /// Whether plain text may leave its machine.
    pub(super) plain_text: bool,
    pub(super) partitions: u16,
    pub(super) image: &'a str,
    pub(super) replicas: u8,
    pub(super) kinds: &'a Kinds,
    pub(super) credentials: Credentials<'a>,
}

/// What NATS servers are shown that ask for a certificate.
pub(super) enum Certificate<'a> {
    /// Nothing.
    None,
    /// A certificate, which is not issued yet.
    Later,
    /// This one.
    Issued(&'a Pair),
}

/// What the bus asks the agent for.
pub(super) enum Credentials<'a> {
    /// Nothing.
    None,
    /// Credentials, which are not issued yet.
    Later,
    /// These: the text of the file.
    Issued(&'a str),
}

/// The objects, in the order in which they are applied.
pub(super) fn objects(agent: &Agent<'_>) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for (_, object) in fleetcast_ingest::documents::read(RIGHTS) {
        let mut object = object.map_err(|refusal| Failure::Refused(refusal.to_string()))?;
        if object["kind"] == "ClusterRole" {
            object["rules"] = agent.kinds.rules(&object["rules"]);
        }
        put_into(&mut object, agent.namespace);
        objects.push(object);
    }
    objects.extend(secret(agent));
    objects.extend(tls(agent));
    objects.push(deployment(agent));
    label(&mut objects);
    Ok(objects)
}

/// The Secret for TLS alone; none where nothing stands in it.
pub(super) fn tls_secret(agent: &Agent<'_>) -> Vec<Value> {
    let mut objects: Vec<Value> = tls(agent).into_iter().collect();
    label(&mut objects);
    objects
}

/// Puts one of the [`RIGHTS`] into `namespace`.
fn put_into(object: &mut Value, namespace: &str) {
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = json!(namespace);
    }
    if object["metadata"]["namespace"].is_string() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        subject["namespace"] = json!(namespace);
    }
}

fn label(objects: &mut [Value]) {
    for object in objects {
        for (key, value) in [
            ("app.kubernetes.io/name", NAME),
            ("app.kubernetes.io/managed-by", "fleetcast"),
        ] {
            object["metadata"]["labels"][key] = json!(value);
        }
    }
}

/// What stands in the Secret for TLS, by file.
fn tls_files<'a>(agent: &Agent<'a>) -> Vec<(&'static str, &'a str)> {
    let mut files: Vec<_> = agent
        .authority
        .map(|pem| ("ca.crt", pem))
        .into_iter()
        .collect();
    match agent.certificate {
        Certificate::None => {}
        Certificate::Later => files.extend([("tls.crt", NONE_ISSUED), ("tls.key", NONE_ISSUED)]),
        Certificate::Issued(Pair { cert, key }) => {
            files.extend([("tls.crt", cert.as_str()), ("tls.key", key)]);
        }
    }
    files
}

fn tls(agent: &Agent<'_>) -> Option<Value> {
    let files = tls_files(agent);
    let data: serde_json::Map<String, Value> = files
        .into_iter()
        .map(|(file, text)| (file.to_owned(), json!(text)))
        .collect();
    (!data.is_empty()).then(|| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": TLS.0, "namespace": agent.namespace},
            "stringData": data,
        })
    })
}

fn secret(agent: &Agent<'_>) -> Option<Value> {
    let text = match agent.credentials {
        Credentials::None => return None,
        Credentials::Later => NONE_ISSUED,
        Credentials::Issued(text) => text,
    };
    Some(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": NAME, "namespace": agent.namespace},
        "stringData": {"creds": text},
    }))
}

fn deployment(agent: &Agent<'_>) -> Value {
    let Agent {
        cluster,
        namespace,
        nats,
        authority: _,
        certificate: _,
        plain_text,
        partitions,
        image,
        replicas,
        kinds: _,
        credentials,
    } = agent;
    // As the chart's: what runs an agent can be changed for the other.
    let selector = json!({"app.kubernetes.io/name": NAME});
    let spread: Vec<Value> = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
        .map(|key| {
            json!({
                "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            })
        })
        .into();
    let mut env = vec![
        json!({"name": "FLEETCAST_CLUSTER", "value": cluster.as_str()}),
        json!({"name": "FLEETCAST_NATS", "value": nats}),
        json!({"name": "FLEETCAST_PARTITIONS", "value": partitions.to_string()}),
        json!({"name": "FLEETCAST_LOG", "value": "info"}),
        json!({"name": "FLEETCAST_LOG_JSON", "value": "true"}),
        json!({"name": "FLEETCAST_IDENTITY", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
        json!({"name": "FLEETCAST_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}),
        json!({"name": "FLEETCAST_STATE", "value": STATE}),
        json!({"name": "FLEETCAST_HEALTH", "value": format!("0.0.0.0:{HEALTH}")}),
        json!({"name": "FLEETCAST_READY_LAG", "value": fleetcast_endpoint::health::LAG.to_string()}),
    ];
    let mut mounts = vec![json!({"name": "state", "mountPath": STATE})];
    let mut volumes = vec![json!({"name": "state", "emptyDir": {}})];
    let mut metadata = json!({"labels": selector});
    if *plain_text {
        env.push(json!({"name": "FLEETCAST_ALLOW_PLAIN_TEXT", "value": "true"}));
    }
    let files = tls_files(agent);
    if !files.is_empty() {
        let mut items = Vec::new();
        for (file, _) in files {
            let variable = match file {
                "ca.crt" => "FLEETCAST_TLS_CA",
                "tls.crt" => "FLEETCAST_TLS_CERT",
                _ => "FLEETCAST_TLS_KEY",
            };
            env.push(json!({"name": variable, "value": format!("{}/{file}", TLS.1)}));
            items.push(json!({"key": file, "path": file}));
        }
        mounts.push(json!({"name": "tls", "mountPath": TLS.1, "readOnly": true}));
        volumes.push(
            json!({"name": "tls", "secret": {"secretName": TLS.0, "defaultMode": 0o440, "items": items}}),
        );
    }
    if !matches!(credentials, Credentials::None) {
        env.push(json!({"name": "FLEETCAST_CREDS", "value": format!("{MOUNTED}/creds")}));
        env.push(json!({"name": "FLEETCAST_CREDS_SECRET", "value": NAME}));
        mounts.push(json!({"name": "bus", "mountPath": MOUNTED, "readOnly": true}));
        volumes.push(json!({"name": "bus", "secret": {"secretName": NAME, "defaultMode": 0o440}}));
    }
    if let Credentials::Issued(text) = credentials {
        // Others start the pods anew: those of before are revoked.
        metadata["annotations"] =
            json!({"fleetcast.dev/credentials": digest::short(text.as_bytes())});
    }
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": namespace, "labels": selector},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": metadata,
                "spec": {
                    "serviceAccountName": NAME,
                    "terminationGracePeriodSeconds": 15,
                    "securityContext": {
                        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "topologySpreadConstraints": spread,
                    "containers": [{
                        "name": "agent",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "args": ["agent"],
                        "env": env,
                        "ports": [{"name": "health", "containerPort": HEALTH}],
                        "livenessProbe": probe("/healthz", 10, 5, 6),
                        "readinessProbe": probe("/readyz", 3, 3, 2),
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "readOnlyRootFilesystem": true,
                            "capabilities": {"drop": ["ALL"]},
                        },
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
                        "volumeMounts": mounts,
                    }],
                    "volumes": volumes,
                },
            },
        },
    })
}

/// A probe every `period_s`, answered within `timeout_s`; so many failures count.
fn probe(path: &str, period_s: u32, timeout_s: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": "health"},
        "periodSeconds": period_s, "timeoutSeconds": timeout_s, "failureThreshold": failures,
    })
}
