//! A hub, a fleet, and what a person does on the hub.

use std::collections::BTreeMap;
use std::time::Duration;

use fleetcast_bus::{Bus, streams};
use fleetcast_core::change::{Change, Content};
use fleetcast_core::dialect::native::crds;
use fleetcast_core::log::Event;
use fleetcast_schemas::{event, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Bed, Service, eventually, nats_server};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

/// Who works on the hub.
const PERSON: &str = "kubectl";

/// A fleet with members `c1` and `c2`, and one process that watches the hub.
pub(crate) struct Scene {
    pub(crate) bed: Bed,
    pub(crate) bus: Bus,
    pub(crate) hub: Client,
    pub(crate) members: Vec<Cluster>,
    pub(crate) watcher: Option<Service>,
    ingest: Option<Service>,
    services: Vec<Service>,
}

impl Scene {
    /// A fleet whose hub serves the native kinds; none (said so) where there is no NATS server.
    pub(crate) async fn new(test: &str, hub: Client) -> Option<Self> {
        let mut scene = Self::unwatched(test, hub).await?;
        scene.watcher = Some(scene.bed.hub("one", scene.hub.clone()));
        Some(scene)
    }

    /// The same, with status written back to the hub.
    pub(crate) async fn telling(test: &str, hub: Client) -> Option<Self> {
        let mut scene = Self::begin(test, hub, true).await?;
        scene.watcher = Some(scene.bed.hub("one", scene.hub.clone()));
        Some(scene)
    }

    /// A fleet whose hub nobody watches yet.
    pub(crate) async fn unwatched(test: &str, hub: Client) -> Option<Self> {
        Self::begin(test, hub, false).await
    }

    async fn begin(test: &str, hub: Client, tells: bool) -> Option<Self> {
        let mut bed = Bed::new(nats_server(test)?);
        bed.measure_every = tells.then_some(Duration::from_millis(500));
        let bus = bed.bus().await;
        let ingest = Some(bed.ingest("one"));
        let mut services = vec![match tells {
            true => bed.aggregator_for(hub.clone()),
            false => bed.aggregator(),
        }];
        let members: Vec<Cluster> = ["c1", "c2"].map(Cluster::new).into();
        for member in &members {
            services.push(bed.agent(member));
        }
        for (_, definition) in crds::definitions() {
            serve(&hub, &definition).await;
        }
        bed.register(&bus, &["c1", "c2"]).await;
        Some(Self {
            bed,
            bus,
            hub,
            members,
            watcher: None,
            ingest,
            services,
        })
    }

    /// Ends the ingest process in the middle of what it does.
    pub(crate) async fn kill_ingest(&mut self) {
        if let Some(ingest) = self.ingest.take() {
            ingest.kill().await;
        }
    }

    /// Starts an ingest process.
    pub(crate) fn start_ingest(&mut self, identity: &str) {
        self.ingest = Some(self.bed.ingest(identity));
    }

    /// Ends all services.
    pub(crate) async fn end(self) {
        let others = self.watcher.into_iter().chain(self.ingest);
        for service in others.chain(self.services) {
            service.kill().await;
        }
    }

    /// Waits until an object is in the log in a revision that says what `holds`, and answers the revision.
    pub(crate) async fn logged(&self, object: &str, holds: impl Fn(&Change) -> bool) -> u64 {
        let subject = subject::change_of(&object.parse().expect("an object"));
        let mut revision = 0;
        eventually(
            &format!("{object} is in the log as it should be"),
            async || {
                let newest = self.bus.newest_of(streams::LOG, &subject).await;
                let Ok(Some(stored)) = newest else {
                    return false;
                };
                let entry = event::log_entry(&stored.message, stored.sequence).expect("readable");
                let Event::Change(newest) = entry.event else {
                    return false;
                };
                revision = newest.revision;
                holds(&newest)
            },
        )
        .await;
        revision
    }

    /// How many revisions an object has.
    pub(crate) async fn revisions(&self, object: &str) -> usize {
        changes(&self.bus).await.get(object).map_or(0, Vec::len)
    }
}

/// All changes in the log, by object (`ConfigMap/default/a`).
pub(crate) async fn changes(bus: &Bus) -> BTreeMap<String, Vec<Change>> {
    let last = bus.last_sequence(streams::LOG).await.expect("the log");
    let mut log = bus.follow(streams::LOG, &[], 0);
    let mut all: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    let mut read = 0;
    while read < last {
        let stored = log.recv().await.expect("the log goes on");
        read = stored.sequence;
        let entry = event::log_entry(&stored.message, stored.sequence).expect("readable");
        if let Event::Change(change) | Event::Policy(change) = entry.event {
            all.entry(change.object.to_string())
                .or_default()
                .push(change);
        }
    }
    all
}

/// The document of a change; null for a withdrawal.
pub(crate) fn document(change: &Change) -> Value {
    match &change.content {
        Content::Declared { document, .. } => document.value().expect("JSON"),
        Content::Withdrawn { .. } => Value::Null,
    }
}

/// Whether a change withdraws its object.
pub(crate) fn withdraws(change: &Change) -> bool {
    matches!(change.content, Content::Withdrawn { .. })
}

/// A federated ConfigMap `default/<name>` on both members.
pub(crate) fn map(name: &str, text: &str) -> Value {
    json!({
        "apiVersion": "fleetcast.dev/v1alpha1", "kind": "FederatedObject", "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "template": {"apiVersion": "v1", "kind": "ConfigMap", "data": {"text": text}},
            "placement": {"clusters": ["c1", "c2"]},
        },
    })
}

/// The definition of a kind whose objects may hold anything.
pub(crate) fn definition(api_version: &str, kind: &str, plural: &str, namespaced: bool) -> Value {
    let (group, version) = api_version.rsplit_once('/').expect("a group");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_ascii_lowercase()},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    })
}

/// Makes a hub serve a kind, and waits until it does.
pub(crate) async fn serve(hub: &Client, definition: &Value) {
    apply(hub, definition).await;
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let version = format!(
        "{}/{}",
        text(&spec["group"]),
        text(&spec["versions"][0]["name"])
    );
    let kind = api(hub, &version, &text(&spec["names"]["kind"]), None);
    eventually("the kind is served", async || {
        kind.list(&kube::api::ListParams::default()).await.is_ok()
    })
    .await;
}

/// Applies a document as a person does with kubectl.
pub(crate) async fn apply(hub: &Client, document: &Value) -> Value {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let params = PatchParams::apply(PERSON).force();
    let applied = of(hub, document)
        .patch(name, &params, &Patch::Apply(document))
        .await;
    let applied = applied.unwrap_or_else(|error| panic!("{error}: {document}"));
    serde_json::to_value(applied).expect("it serializes")
}

/// Deletes the object that a document is about.
pub(crate) async fn delete(hub: &Client, document: &Value) {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let deleted = of(hub, document)
        .delete(name, &DeleteParams::default())
        .await;
    deleted.expect("deleted");
}

/// The object that a document is about, as it stands; none where it is not there.
pub(crate) async fn live(hub: &Client, document: &Value) -> Option<Value> {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let live = of(hub, document).get_opt(name).await.expect("answered")?;
    Some(serde_json::to_value(live).expect("it serializes"))
}

/// Merges a patch into the object that a document is about.
pub(crate) async fn merge(hub: &Client, document: &Value, patch: &Value) {
    let name = document["metadata"]["name"].as_str().expect("a name");
    let params = PatchParams {
        field_manager: Some(PERSON.to_owned()),
        ..PatchParams::default()
    };
    let merged = of(hub, document)
        .patch(name, &params, &Patch::Merge(patch))
        .await;
    merged.expect("merged");
}

/// The API of a document's kind, in its namespace.
pub(crate) fn of(hub: &Client, document: &Value) -> Api<DynamicObject> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let namespace = document["metadata"]["namespace"].as_str();
    api(
        hub,
        &text(&document["apiVersion"]),
        &text(&document["kind"]),
        namespace,
    )
}

/// The API of a kind.
pub(crate) fn api(
    hub: &Client,
    api_version: &str,
    kind: &str,
    namespace: Option<&str>,
) -> Api<DynamicObject> {
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    match namespace {
        Some(namespace) => Api::namespaced_with(hub.clone(), namespace, &resource),
        None => Api::all_with(hub.clone(), &resource),
    }
}
