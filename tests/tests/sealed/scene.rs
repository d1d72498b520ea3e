//! Secrets on two clusters, and a search for what stands in them.

use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use fleetcast_bus::Bus;
use fleetcast_bus::read::From;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::{codec, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{eventually, held, request};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// What each value of a Secret holds, here.
pub(crate) const MARK: &str = "hunter2-correct-horse";
/// What stands beside the values, in the open: a search that does not find it has not looked.
pub(crate) const OPEN: &str = "open-label-value";

/// A federated Secret with values of its own in `us`.
pub(crate) fn secret(name: &str, clusters: &[&str], value: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject",
        "metadata": {"name": name, "namespace": "default", "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": format!("{{\"stringData\": \"{MARK} {value}\"}}"),
        }},
        "spec": {
            "template": {"apiVersion": "v1", "kind": "Secret", "metadata": {"labels": {"open": OPEN}},
                "data": {"encoded": STANDARD.encode(format!("{MARK} {value}"))}, "stringData": {"text": format!("{MARK} {value}")}},
            "placement": {"clusters": clusters},
            "overrides": [{"clusters": ["us"], "patches": [{"op": "replace", "path": "/stringData/text", "value": format!("{MARK} {value} in us")}]}],
        },
    })
}

/// The text that a cluster holds in the Secret, once it is `expected`.
pub(crate) async fn holds(cluster: &Cluster, name: &str, expected: &str) {
    eventually(&format!("{name} is {expected:?}"), async || {
        text_in(cluster, name).await.as_deref() == Some(expected)
    })
    .await;
}

/// The text that a cluster holds in the Secret.
pub(crate) async fn text_in(cluster: &Cluster, name: &str) -> Option<String> {
    let held = held(cluster, "v1", "Secret", Some("default"), name).await?;
    let bytes = STANDARD.decode(held["data"]["text"].as_str()?).ok()?;
    String::from_utf8(bytes).ok()
}

/// How a value may be written: as it is, and in base64 of both alphabets from each of the three offsets that it may have in a longer text.
fn forms(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    for offset in 0..3_usize {
        let padded = [&b"   "[..offset], text.as_bytes()].concat();
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&padded);
            // Letters that also hold bits of what stands before or behind are left out.
            let first = if offset == 0 { 0 } else { 4 };
            forms.push(encoded[first..encoded.len() - 4].to_owned());
        }
    }
    forms.sort();
    forms.dedup();
    forms
}

/// Whether `bytes` hold `text` in any form, also in base64 of base64, as a Secret's data has it.
pub(crate) fn is_in(bytes: &[u8], text: &str) -> bool {
    let twice = STANDARD.encode(text);
    let forms = forms(text)
        .into_iter()
        .chain(forms(&twice[..twice.len() - 4]));
    let bytes = String::from_utf8_lossy(bytes);
    forms.into_iter().any(|form| bytes.contains(&form))
}

/// What is compressed with zstd in `bytes`, wherever in them a frame begins.
fn compressed(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    let starts = bytes.windows(4).enumerate();
    let starts = starts.filter(|(_, window)| *window == MAGIC);
    starts.filter_map(|(at, _)| {
        let frame = zstd::stream::read::Decoder::with_buffer(&bytes[at..]).ok()?;
        let mut content = Vec::new();
        // One that is cut off holds what it holds.
        let _ = frame
            .single_frame()
            .take(64 << 20)
            .read_to_end(&mut content);
        Some(content)
    })
}

/// Whether `bytes` hold `text` in any form, also compressed.
pub(crate) fn is_within(bytes: &[u8], text: &str) -> bool {
    is_in(bytes, text) || compressed(bytes).any(|content| is_in(&content, text))
}

/// Every file under a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// The files under a folder that hold `text`.
pub(crate) fn holding(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = files(folder);
    // One that is replaced meanwhile is looked at under its new name.
    found.retain(|file| std::fs::read(file).is_ok_and(|bytes| is_within(&bytes, text)));
    found
}

/// Every message of a stream: its headers as text, and its body, opened where it is compressed.
pub(crate) async fn messages(bus: &Bus, stream: &str) -> Vec<(String, Vec<u8>)> {
    let last = bus.last_sequence(stream).await.expect("it answers");
    let mut found = Vec::new();
    if last == 0 {
        return found;
    }
    let mut reader = bus
        .read(stream, &[], From::Sequence(1), false)
        .await
        .expect("it is read");
    loop {
        // The last one may have been taken away since.
        let next = tokio::time::timeout(Duration::from_secs(3), reader.next());
        let Ok(stored) = next.await else {
            return found;
        };
        let stored = stored.expect("a message");
        let message = bus.load_large_body(stored.message).await;
        let message = message.expect("its large body is there");
        let headers: Vec<String> = message
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        let body = codec::decompress(&message.payload, &message.headers, 64 << 20);
        found.push((
            headers.join("\n"),
            body.map_or_else(|_| message.payload.clone(), Cow::into_owned),
        ));
        if stored.sequence >= last {
            return found;
        }
    }
}

/// Hands a Secret in; the answer.
pub(crate) async fn apply(bus: &Bus, document: &Value, id: &str) -> Answer {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let object = format!("Secret/default/{name}").parse().expect("an object");
    request(bus, subject::apply(&object), document, id).await
}

/// Somebody else changes the text in a cluster's Secret.
pub(crate) async fn change(cluster: &Cluster, name: &str, text: &str) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Secret"));
    let api: Api<DynamicObject> = Api::namespaced_with(cluster.client(), "default", &resource);
    let patch = Patch::Merge(json!({"data": {"text": STANDARD.encode(text)}}));
    let params = PatchParams {
        field_manager: Some("somebody".to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &params, &patch).await.expect("patched");
}
