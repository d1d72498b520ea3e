//! Inputs that are accepted: the frozen samples of every event, and what stands for requests, answers and files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use fleetcast_auth::authority::{Authority, Issue, Key};
use fleetcast_bus::backup::{Kind, Record};
use fleetcast_bus::parts;
use fleetcast_core::ack::Outcome;
use fleetcast_core::audit::Audit;
use fleetcast_core::digest;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::fold::View;
use fleetcast_core::hub::Logged;
use fleetcast_core::time::Time;
use fleetcast_endpoint::tokens;
use fleetcast_ingest::{Answered, State};
use fleetcast_schemas::request::{PART, Renewal, SEQUENCE, SyncAsk, SyncEnd};
use fleetcast_schemas::role::Role;
use fleetcast_schemas::{Headers, Message, codec, event};
use fleetcast_sealing::Keys;
use fleetcast_tests::harness::config_map;
use serde::Serialize;
use serde_json::{Value, json};

use super::targets::{self, BETWEEN, bytes};

/// Where a target begins.
pub(crate) type Seeds = fn() -> Vec<Vec<u8>>;

fn samples(event: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/samples");
    let folder = folder.join(format!("{event}.v1"));
    let files = std::fs::read_dir(&folder).expect("samples");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    files.iter().map(|file| sample(file)).collect()
}

fn sample(file: &Path) -> Vec<u8> {
    let text = std::fs::read_to_string(file).expect("a sample");
    let told: Value = serde_json::from_str(&text).expect("JSON");
    let headers = told["headers"].as_object().expect("headers");
    let headers = headers
        .iter()
        .fold(Headers::default(), |headers, (name, value)| {
            headers.with(name, value.as_str().expect("text"))
        });
    bytes(&Message {
        subject: told["subject"].as_str().expect("a subject").to_owned(),
        headers,
        payload: std::fs::read(file.with_extension("msgpack")).expect("its payload"),
    })
}

pub(crate) fn log_events() -> Vec<Vec<u8>> {
    let events = ["change", "policy", "decision", "cluster", "epoch"];
    events.into_iter().flat_map(samples).collect()
}

pub(crate) fn acknowledgements() -> Vec<Vec<u8>> {
    samples("ack")
}

pub(crate) fn work() -> Vec<Vec<u8>> {
    samples("work")
}

pub(crate) fn fences() -> Vec<Vec<u8>> {
    samples("fence")
}

pub(crate) fn heartbeats() -> Vec<Vec<u8>> {
    samples("heartbeat")
}

pub(crate) fn confirmations() -> Vec<Vec<u8>> {
    samples("seen")
}

pub(crate) fn replays() -> Vec<Vec<u8>> {
    samples("replay")
}

pub(crate) fn dead_letters() -> Vec<Vec<u8>> {
    samples("dead")
}

pub(crate) fn bases() -> Vec<Vec<u8>> {
    samples("base")
}

fn owned(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

pub(crate) fn subjects() -> Vec<Vec<u8>> {
    owned(&[
        "fc.log.change.Deployment.apps.shop.web",
        "fc.log.cluster.eu=2E1",
        "fc.log.epoch",
        "fc.ack.p03.eu-1",
        "fc.heartbeat.p00.eu-1",
        "fc.sync.p15.eu-1",
        "fc.in.apply.ClusterRole.rbac=2Eauthorization=2Ek8s=2Eio._.system=3Anode",
        "fc.in.delete.ConfigMap._.shop.a",
        "fc.query.objects._._._._",
    ])
}

fn message(subject: &str, headers: &[(&str, &str)], payload: impl Into<Vec<u8>>) -> Message {
    let headers = headers
        .iter()
        .fold(Headers::default(), |headers, (name, value)| {
            headers.with(name, *value)
        });
    Message {
        subject: subject.to_owned(),
        headers,
        payload: payload.into(),
    }
}

fn encoded(subject: &str, body: &impl Serialize) -> Vec<u8> {
    let mut headers = Headers::default();
    let payload = codec::encode(body, &mut headers);
    bytes(&Message {
        subject: subject.to_owned(),
        headers,
        payload,
    })
}

fn joined(messages: &[Message]) -> Vec<u8> {
    let all: Vec<Vec<u8>> = messages.iter().map(bytes).collect();
    all.join(BETWEEN)
}

pub(crate) fn parts() -> Vec<Vec<u8>> {
    let whole = message(
        IN_APPLY,
        &[("ce-id", "1")],
        "a body of some length that goes in parts",
    );
    [16, 40]
        .map(|limit| joined(&parts::split(whole.clone(), limit, "one")))
        .into()
}

const IN_APPLY: &str = "fc.in.apply.ConfigMap._.default.web";

fn federated() -> Value {
    config_map("web", &["eu-1", "us-1"], "x")
}

fn event() -> Value {
    json!({
        "specversion": "1.0", "type": "com.example.changed", "source": "/example", "id": "1",
        "data": federated(),
    })
}

fn kubefed() -> Value {
    json!({
        "apiVersion": "types.kubefed.io/v1beta1", "kind": "FederatedConfigMap", "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "template": {"data": {"a": "b"}}, "placement": {"clusters": [{"name": "eu-1"}]},
            "overrides": [{"clusterName": "eu-1", "clusterOverrides": [{"path": "/data/a", "value": "c"}]}],
        },
    })
}

pub(crate) fn handed_in() -> Vec<Vec<u8>> {
    let policy = json!({
        "apiVersion": "policy.karmada.io/v1alpha1", "kind": "PropagationPolicy", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"resourceSelectors": [{"apiVersion": "v1", "kind": "ConfigMap"}], "placement": {"clusterAffinity": {"clusterNames": ["eu-1"]}}},
    });
    let member = json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "MemberCluster", "metadata": {"name": "eu-1", "labels": {"a": "b"}},
        "spec": {"region": "eu", "taints": [{"key": "gpu", "effect": "NoSchedule"}]},
    });
    let headers = [
        ("ce-id", "1"),
        ("ce-source", "/example"),
        ("ce-specversion", "1.0"),
        ("ce-type", "t"),
    ];
    let apply = |subject: &str, document: &Value| message(subject, &headers, document.to_string());
    let all = [
        apply(IN_APPLY, &federated()),
        apply(IN_APPLY, &kubefed()),
        apply(
            "fc.in.apply.PropagationPolicy.policy=2Ekarmada=2Eio.shop.web",
            &policy,
        ),
        apply("fc.in.apply.MemberCluster.fleetcast=2Edev._.eu-1", &member),
        message(
            IN_APPLY,
            &[("ce-datacontenttype", "application/json")],
            event().to_string(),
        ),
        message(
            "fc.in.delete.ConfigMap._.default.web",
            &headers,
            "{\"orphan\":true}",
        ),
    ];
    all.iter().map(bytes).collect()
}

pub(crate) fn json_documents() -> Vec<Vec<u8>> {
    [federated(), kubefed(), event()]
        .map(|document| document.to_string().into_bytes())
        .into()
}

pub(crate) fn yaml_documents() -> Vec<Vec<u8>> {
    owned(&[
        "apiVersion: fleetcast.dev/v1alpha1\nkind: FederatedObject\nmetadata: {name: web, namespace: shop}\nspec:\n  template: {apiVersion: v1, kind: ConfigMap, data: {a: \"1\"}}\n  placement: {clusters: [eu-1]}\n",
        "apiVersion: fleetcast.dev/v1alpha1\nkind: FederatedObject\nmetadata:\n  name: &name web\n  namespace: shop\n  labels: {app: *name}\nspec:\n  template:\n    apiVersion: v1\n    kind: ConfigMap\n    data:\n      text: |\n        a\n        b\n  placement: {clusterSelector: {}}\n",
    ])
}

pub(crate) fn cloud_events() -> Vec<Vec<u8>> {
    vec![event().to_string().into_bytes()]
}

pub(crate) fn files() -> Vec<Vec<u8>> {
    let mut files = yaml_documents();
    files.push(files.join(&b"---\n"[..]));
    files.extend(json_documents());
    files
}

fn epoch() -> Epoch {
    Epoch {
        number: 1,
        hub: "4f1c2d3e".to_owned(),
    }
}

pub(crate) fn sync_requests() -> Vec<Vec<u8>> {
    let since = SyncAsk::Since {
        epoch: Some(epoch()),
        incarnation: "a".to_owned(),
        n: 7,
        sequence: 9,
    };
    let (digest, jwt) = ("0".repeat(64), "a.b.c".to_owned());
    [since, SyncAsk::Body { digest }, SyncAsk::Renew { jwt }]
        .map(|ask| encoded("fc.sync.p00.eu-1", &ask))
        .into()
}

pub(crate) fn sync_answers() -> Vec<Vec<u8>> {
    let item = |sequence: &str| message("_IN.eu-1.x", &[(SEQUENCE, sequence)], "work");
    let end = |summed: &str, count: u64| {
        let end = SyncEnd {
            refused: String::new(),
            epoch: Some(epoch()),
            incarnation: "a".to_owned(),
            whole: true,
            upto: 8,
            sequence: 9,
            count,
            digest: digest::short(summed.as_bytes()),
            renew: false,
        };
        let mut headers = Headers::default().with(PART, "end");
        let payload = codec::encode(&end, &mut headers);
        Message {
            subject: "_IN.eu-1.x".to_owned(),
            headers,
            payload,
        }
    };
    vec![
        joined(&[end("", 0)]),
        joined(&[item("8"), item("9"), end("8\nwork\n9\nwork\n", 2)]),
    ]
}

pub(crate) fn questions() -> Vec<Vec<u8>> {
    let all = [
        message("fc.query.objects._._._._", &[], ""),
        message(
            "fc.query.objects.ConfigMap._.shop.a",
            &[],
            r#"{"min_log": 812, "cluster": "eu-1", "wait_ms": 100, "matching": "configmap/shop/a"}"#,
        ),
        message(
            "fc.query.diff.ConfigMap._.shop.a",
            &[],
            r#"{"from": 1, "to": 2, "at": "2026-11-01T14:03:00Z"}"#,
        ),
        message(
            "fc.query.documents._._._._",
            &[],
            r#"{"at": {"log": 3, "acks": {"p00": 4}}}"#,
        ),
    ];
    all.iter().map(bytes).collect()
}

pub(crate) fn answers() -> Vec<Vec<u8>> {
    let answer = json!({"as_of": {"log": 7, "acks": {"p00": 3}, "time": "2026-11-01T14:03:00Z"}, "objects": []});
    vec![answer.to_string().into_bytes()]
}

pub(crate) fn receipts() -> Vec<Vec<u8>> {
    owned(&[
        r#"{"object": "ConfigMap/shop/greeting", "revision": 3, "sequence": 812}"#,
        r#"{"object": "ConfigMap/shop/greeting", "revision": 3, "sequence": 812, "warnings": [{"clusters": ["eu"], "count": 1, "reason": "Unknown", "message": "is not registered"}]}"#,
        r#"{"refusal": {"document": 0, "field": "spec.placement", "message": "must be an object"}}"#,
    ])
}

pub(crate) fn renewals() -> Vec<Vec<u8>> {
    let renewal = Renewal {
        jwt: "a.b.c".to_owned(),
        key: "k1".to_owned(),
        wrapped: "AAAA".to_owned(),
        ..Renewal::default()
    };
    vec![encoded("_IN.eu-1.x", &renewal)]
}

pub(crate) fn tokens() -> Vec<Vec<u8>> {
    let (_, hash) = tokens::mint().expect("chance");
    let line = format!(
        "# who\nci publisher sha256:{hash} kinds=ConfigMap,Deployment.apps namespaces=shop,_ until=2027-01-01T00:00:00Z\neye reader sha256:{hash}\n"
    );
    vec![line.into_bytes()]
}

/// The files of an agent and of ingest.
fn issued() -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let now = 1_793_541_780;
    let mut authority =
        Authority::init(&folder.path().join("auth"), "test", 1, now).expect("an operator");
    // With earlier keys that count beside the newest, and their times.
    let keys = std::collections::BTreeSet::from([Key::Signing(Role::Agent)]);
    authority
        .rotate(&keys, now, now + 60, now)
        .expect("rotated");
    [
        (Role::Agent, "eu-1"),
        (Role::Ingest, "a"),
        (Role::Publisher, "ci"),
    ]
    .map(|(role, name)| {
        let issue = Issue {
            role,
            name: name.to_owned(),
            ttl_s: Some(3_600),
            kinds: Vec::new(),
            namespaces: Vec::new(),
        };
        authority.issue(&issue, now).expect("issued").text()
    })
    .into()
}

pub(crate) fn credentials() -> Vec<Vec<u8>> {
    issued().into_iter().map(String::into_bytes).collect()
}

pub(crate) fn claims() -> Vec<Vec<u8>> {
    let jwts = issued().into_iter().map(|text| {
        let jwt = text.lines().find(|line| line.starts_with("ey"));
        jwt.expect("a JWT").as_bytes().to_vec()
    });
    jwts.collect()
}

/// As `services/bus/src/backup/segment.rs` writes them.
pub(crate) fn backup_segments() -> Vec<Vec<u8>> {
    let record = |kind, sequence| Record {
        kind,
        sequence,
        time: Time(1_793_541_780_000),
        subject: "fc.log.epoch".to_owned(),
        headers: BTreeMap::from([("ce-id".to_owned(), "1".to_owned())]),
        payload: b"a body".to_vec(),
    };
    let segment = |records: &[Record]| {
        let mut all = Vec::new();
        for record in records {
            let bytes = rmp_serde::to_vec_named(record).expect("it serializes");
            all.extend(u32::try_from(bytes.len()).expect("short").to_le_bytes());
            all.extend(bytes);
        }
        let header =
            json!({"segment": 1, "previous": "", "length": all.len(), "records": records.len()});
        let mut file = format!("fleetcast backup 1\n{header}\n").into_bytes();
        file.extend(zstd::bulk::compress(&all, 3).expect("compressed"));
        file
    };
    vec![
        segment(&[]),
        segment(&[
            record(Kind::Log, 1),
            record(Kind::Ack(3), 2),
            record(Kind::Body, 0),
        ]),
    ]
}

/// Whose values they are.
pub(crate) const SEALED_OWNER: &str = "Secret/shop/db";
/// What opens them.
pub(crate) static OPENS: LazyLock<Keys> = LazyLock::new(|| Keys::from_raw([7; 32]));

fn sealed(value: &Value) -> String {
    let owner = SEALED_OWNER.parse().expect("an object");
    let to = OPENS.newest().expect("a key");
    OPENS.seal(to, &owner, value).expect("sealed")
}

pub(crate) fn sealed_texts() -> Vec<Vec<u8>> {
    [json!("aHVudGVyMg=="), json!({"a": ["b", 1]}), json!("")]
        .map(|value| sealed(&value).into_bytes())
        .into()
}

pub(crate) fn sealed_documents() -> Vec<Vec<u8>> {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "shop"},
        "data": {"password": sealed(&json!("aHVudGVyMg==")), "plain": "YQ=="}, "type": "Opaque",
    });
    vec![secret.to_string().into_bytes()]
}

/// What checkpoints keep of that.
pub(crate) fn kept() -> Vec<Vec<u8>> {
    folded().into_iter().take(3).collect()
}

/// What the samples fold to, in each form that is kept.
pub(crate) fn folded() -> Vec<Vec<u8>> {
    let (mut view, mut ingest, mut hub, mut audit) = (
        View::default(),
        State::default().equipped(),
        Logged::default(),
        Audit::default(),
    );
    for (sequence, sample) in (1..).zip(log_events()) {
        let entry = event::log_entry(&targets::message(&sample), sequence).expect("a sample");
        view.logged(&entry);
        ingest.logged(&entry);
        hub.logged(&entry);
        audit.logged(&entry);
    }
    let mut removals = Vec::new();
    for (sequence, sample) in (1..).zip(acknowledgements()) {
        let read = event::read_acks(&targets::message(&sample)).expect("a sample");
        let (partition, batch) = read;
        for ack in &batch.body.acks {
            if matches!(ack.outcome, Outcome::Removed) {
                removals.push(Answered {
                    object: ack.object.clone(),
                    cluster: batch.cluster.clone(),
                    place: ack.place(),
                });
            }
        }
        view.acknowledged(partition, sequence, batch);
    }
    fn packed(value: &impl Serialize) -> Vec<u8> {
        rmp_serde::to_vec_named(value).expect("it serializes")
    }
    vec![
        packed(&view),
        packed(&ingest),
        packed(&hub),
        packed(&audit),
        packed(&removals),
    ]
}
