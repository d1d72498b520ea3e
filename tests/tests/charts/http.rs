//! HTTP as the chart of the hub side sets it up: tokens and certificates from Secrets, and only what the binary reads.

use fleetcast_tests::harness::Binary;
use serde_json::{Value, json};

use crate::helm;

const TOKENS: &[&str] = &[
    "ingest.http.enabled=true",
    "ingest.http.tokens=http-tokens",
    "aggregator.http.enabled=true",
    "aggregator.http.tokens=http-tokens",
];

/// A pod's container among what was rendered, with its volumes.
fn pod<'a>(rendered: &'a [Value], component: &str) -> &'a Value {
    let is_its = |object: &&Value| {
        object["kind"] == "StatefulSet"
            && object["metadata"]["labels"]["app.kubernetes.io/component"] == component
    };
    let found = rendered.iter().find(is_its).expect("a StatefulSet");
    &found["spec"]["template"]["spec"]
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// What the variables of HTTP say, by name.
fn http(pod: &Value) -> Vec<(String, String)> {
    let env = list(&pod["containers"][0]["env"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    env.iter()
        .map(|one| (text(&one["name"]), text(&one["value"])))
        .filter(|(name, _)| name.starts_with("FLEETCAST_HTTP"))
        .collect()
}

fn secret_of(pod: &Value, volume: &str) -> Option<Value> {
    let volumes = list(&pod["volumes"]);
    let found = volumes.iter().find(|one| one["name"] == volume)?;
    let mounts = list(&pod["containers"][0]["volumeMounts"]);
    let mount = mounts.iter().find(|one| one["name"] == volume);
    assert_eq!(mount.expect("it is mounted")["readOnly"], true);
    Some(found["secret"]["secretName"].clone())
}

#[test]
fn tokens_and_certificates_of_http_come_from_secrets() {
    let Some(helm) = helm("charts: HTTP") else {
        return;
    };
    let plain = [
        "ingest.http.plainText=true",
        "aggregator.http.plainText=true",
    ];
    let tls = [
        "ingest.http.tls.secret=http-tls",
        "aggregator.http.tls.secret=http-tls",
        "aggregator.http.tls.mutual=true",
        "aggregator.http.rate=7",
    ];
    let at = |name: &str| format!("/etc/fleetcast/{name}");
    let known = |name: &str, value: String| (format!("FLEETCAST_HTTP{name}"), value);
    let common = |rate: &str| {
        vec![
            known("", "0.0.0.0:8480".to_owned()),
            known("_TOKENS", at("http/tokens")),
            known("_RATE", rate.to_owned()),
        ]
    };
    let files = [
        known("_TLS_CERT", at("http-tls/tls.crt")),
        known("_TLS_KEY", at("http-tls/tls.key")),
    ];
    let authority = [known("_TLS_CLIENT_CA", at("http-tls/ca.crt"))];

    let rendered = helm.rendered("fleetcast", "fleet", &[TOKENS, &plain].concat());
    for component in ["ingest", "aggregator"] {
        let pod = pod(&rendered, component);
        let text = [known("_PLAIN_TEXT", "true".to_owned())];
        assert_eq!(http(pod), [&common("100")[..], &text].concat());
        assert_eq!(secret_of(pod, "http"), Some(json!("http-tokens")));
        assert_eq!(secret_of(pod, "http-tls"), None);
        let services = rendered.iter().filter(|one| one["kind"] == "Service");
        let mut services = services.filter(|one| {
            let name = one["metadata"]["name"].as_str().unwrap_or_default();
            name.ends_with(&format!("{component}-http"))
        });
        let service = services.next().expect("a Service");
        let port = &service["spec"]["ports"][0];
        assert_eq!(
            port,
            &json!({"name": "http", "port": 8480, "targetPort": "http"})
        );
        let ports = list(&pod["containers"][0]["ports"]);
        assert!(ports.contains(&json!({"name": "http", "containerPort": 8480})));
    }

    let rendered = helm.rendered("fleetcast", "fleet", &[TOKENS, &tls].concat());
    let ingest = pod(&rendered, "ingest");
    assert_eq!(http(ingest), [&common("100")[..], &files].concat());
    assert_eq!(secret_of(ingest, "http-tls"), Some(json!("http-tls")));
    let aggregator = pod(&rendered, "aggregator");
    let all = [&common("7")[..], &files, &authority].concat();
    assert_eq!(http(aggregator), all);

    let without = helm.rendered("fleetcast", "fleet", &[]);
    assert!(http(pod(&without, "ingest")).is_empty());
    let is_http = |one: &&Value| one["metadata"]["name"].to_string().contains("-http");
    assert_eq!(without.iter().find(is_http), None);
}

#[test]
fn http_without_tokens_or_in_plain_text_unasked_is_refused_by_name() {
    let Some(helm) = helm("charts: HTTP, wrong values") else {
        return;
    };
    let on = "ingest.http.enabled=true";
    for (values, field) in [
        (
            &[on, "ingest.http.plainText=true"][..],
            "/ingest/http/tokens",
        ),
        (
            &[on, "ingest.http.tokens=http-tokens"],
            "/ingest/http/tls/secret",
        ),
        (
            &[
                on,
                "ingest.http.tokens=http-tokens",
                "ingest.http.plainText=true",
                "ingest.http.tls.mutual=true",
            ],
            "/ingest/http/tls/secret",
        ),
        (&["aggregator.http.rate=0"], "/aggregator/http/rate"),
        (&["aggregator.http.port=80"], "/aggregator/http/port"),
    ] {
        let output = helm.template("fleetcast", "fleet", values);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{values:?} is taken");
        assert!(said.contains(field), "{field} is not in {said}");
    }
}

/// Shows that a chart sets no variable that its command does not read.
#[test]
fn every_variable_of_a_chart_is_one_that_the_command_reads() {
    let Some(helm) = helm("charts: variables") else {
        return;
    };
    let everything = [
        "ingest.http.tls.secret=http-tls",
        "ingest.http.tls.mutual=true",
        "ingest.http.plainText=true",
        "ingest.sealingKeys=sealing",
        "aggregator.http.tls.secret=http-tls",
        "aggregator.http.tls.mutual=true",
        "aggregator.http.plainText=true",
        "hub.inCluster=true",
        "nats.ingestCredentials=ingest",
        "nats.aggregatorCredentials=aggregator",
        "nats.allowPlainText=true",
        "nats.tls.secret=bus-tls",
        "nats.tls.mutual=true",
    ];
    let hub = helm.rendered("fleetcast", "fleet", &[TOKENS, &everything].concat());
    let agent = [
        crate::AGENT,
        &[
            "nats.allowPlainText=true",
            "nats.tls.secret=bus-tls",
            "nats.tls.mutual=true",
            "nats.credentials=creds",
            "sealingKey=sealing",
        ],
    ];
    let agent = helm.rendered("fleetcast-agent", "fleet", &agent.concat());
    let is_workload = |object: &&Value| object["spec"]["template"]["spec"].is_object();
    let workloads = hub.iter().chain(&agent).filter(is_workload);
    let mut seen = 0;
    for workload in workloads {
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        let command = container["args"][0].as_str().expect("a command");
        let help = std::process::Command::new(Binary::path())
            .args([command, "--help"])
            .output()
            .expect("it starts");
        let help = String::from_utf8_lossy(&help.stdout);
        for variable in list(&container["env"]) {
            let name = variable["name"].as_str().expect("a name");
            let read = help.contains(&format!("[env: {name}="));
            assert!(read, "{command} does not read {name}");
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen} variables were looked at");
}
