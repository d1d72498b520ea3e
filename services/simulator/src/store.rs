//! The content of one cluster, and what requests do to it: no IO, no clock, no randomness.

mod definitions;
mod delete;
mod export;
mod incoming;
mod read;
mod upkeep;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

pub use export::ImportError;
pub(crate) use read::OpenWatch;

use crate::kind::{Kind, Target, resource};
use crate::kinds::{self, DEFINITIONS, NAMESPACES};
use crate::object::{Key, Stored};
use crate::request::{ObjectsRequest, Subresource, Verb};
use crate::status::Failure;
use crate::validate::OBJECT_LIMIT_BYTES;
use crate::watch::{Change, Event, Watches};

/// The namespaces that every cluster has from the start.
const NAMESPACES_AT_START: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// What a request cannot know by itself: the time, and ids that are new.
pub(crate) struct Moment<'a> {
    pub(crate) now: DateTime<Utc>,
    pub(crate) new_uid: &'a dyn Fn() -> String,
}

impl Moment<'_> {
    /// The time as Kubernetes writes it.
    pub(crate) fn text(&self) -> String {
        self.now.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// A request with what it is about.
pub(crate) struct Asked<'a> {
    pub(crate) target: &'a Target,
    pub(crate) request: &'a ObjectsRequest,
    pub(crate) body: &'a [u8],
    pub(crate) moment: &'a Moment<'a>,
}

/// What a request is answered.
pub(crate) enum Answer {
    Body {
        code: u16,
        body: Vec<u8>,
    },
    Watch(OpenWatch),
    /// A watch that starts with an error and ends there.
    WatchRefused(Failure),
}

impl Answer {
    pub(crate) fn ok(body: Vec<u8>) -> Self {
        Answer::Body { code: 200, body }
    }
}

/// Everything in one cluster.
#[derive(Debug)]
pub(crate) struct Store {
    /// The resource version of the newest change.
    version: u64,
    /// The kinds from CustomResourceDefinitions, by resource.
    custom: BTreeMap<Arc<str>, Arc<Kind>>,
    objects: BTreeMap<Arc<str>, BTreeMap<Key, Arc<Stored>>>,
    watches: Watches,
}

impl Store {
    /// A cluster with nothing but the namespaces that every cluster has.
    pub(crate) fn new(moment: &Moment<'_>) -> Self {
        let mut store = Store::empty(0);
        let kind = kinds::by_resource(NAMESPACES).expect("namespaces are in the table");
        for name in NAMESPACES_AT_START {
            let namespace = json!({
                "metadata": {
                    "name": name,
                    "uid": (moment.new_uid)(),
                    "creationTimestamp": moment.text(),
                    "labels": {"kubernetes.io/metadata.name": name},
                },
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            });
            store.put(kind, namespace).expect("a namespace is small");
        }
        store
    }

    fn empty(version: u64) -> Self {
        Store {
            version,
            custom: BTreeMap::new(),
            objects: BTreeMap::new(),
            watches: Watches::starting_at(version),
        }
    }

    /// The resource version of the newest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The kinds from CustomResourceDefinitions.
    pub(crate) fn custom_kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.custom.values()
    }

    /// How many objects there are.
    pub(crate) fn object_count(&self) -> usize {
        self.objects.values().map(BTreeMap::len).sum()
    }

    /// Ends every open watch.
    pub(crate) fn close_watches(&mut self) {
        self.watches.close_all();
    }

    /// How many watches are open.
    pub(crate) fn watch_count(&self) -> usize {
        self.watches.open_count()
    }

    /// Carries a request out.
    pub(crate) fn carry_out(
        &mut self,
        request: &ObjectsRequest,
        body: &[u8],
        moment: &Moment<'_>,
    ) -> Result<Answer, Failure> {
        let target = self.target(request)?;
        let asked = Asked {
            target: &target,
            request,
            body,
            moment,
        };
        match &request.verb {
            Verb::Get { name } => self.get(&asked, name),
            Verb::List(list) => self.list(&asked, list),
            Verb::Watch(watch) => self.watch(target, request, watch),
            Verb::Create => self.create(&asked),
            Verb::Update { name } => self.update(&asked, name),
            Verb::Patch { name, form, force } => self.patch(&asked, name, *form, *force),
            Verb::Delete { name, propagation } => self.delete(&asked, name, *propagation),
            Verb::DeleteCollection { list, propagation } => {
                self.delete_collection(&asked, list, *propagation)
            }
        }
    }

    fn target(&self, request: &ObjectsRequest) -> Result<Target, Failure> {
        let resource = resource(&request.plural, &request.group);
        let kind = kinds::by_resource(&resource)
            .or_else(|| self.custom.get(resource.as_str()))
            .ok_or_else(Failure::unknown_path)?;
        let version = kind
            .versions
            .iter()
            .position(|version| version.name == request.version)
            .ok_or_else(Failure::unknown_path)?;
        let has_status = request.subresource == Subresource::Main || kind.versions[version].status;
        let has_scope = kind.namespaced || request.namespace.is_empty();
        if !has_status || !has_scope {
            return Err(Failure::unknown_path());
        }
        // Only reading reaches across namespaces.
        let across = kind.namespaced && request.namespace.is_empty();
        match request.verb {
            Verb::List(_) | Verb::Watch(_) => {}
            Verb::DeleteCollection { .. } | Verb::Create if across => {
                return Err(Failure::method_not_allowed());
            }
            _ if across => return Err(Failure::unknown_path()),
            _ => {}
        }
        Ok(Target::new(Arc::clone(kind), version))
    }

    fn find(&self, kind: &Kind, namespace: &str, name: &str) -> Option<&Arc<Stored>> {
        self.objects
            .get(&kind.resource)?
            .get(&Key::new(namespace, name))
    }

    fn existing(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Arc<Stored>, Failure> {
        self.find(kind, namespace, name)
            .cloned()
            .ok_or_else(|| Failure::not_found(kind, name))
    }

    /// Stores an object's new state under the next resource version.
    fn put(&mut self, kind: &Arc<Kind>, object: Value) -> Result<Arc<Stored>, Failure> {
        if kind.is(DEFINITIONS) {
            self.define(&object);
        }
        let stored = Arc::new(Stored::encode(object, self.version + 1));
        if stored.length_bytes() > OBJECT_LIMIT_BYTES {
            return Err(Failure::new(500, "", "etcdserver: request is too large"));
        }
        self.version += 1;
        let before = self
            .objects
            .entry(Arc::clone(&kind.resource))
            .or_default()
            .insert(stored.key(), Arc::clone(&stored));
        let event = Event {
            change: if before.is_some() {
                Change::Modified
            } else {
                Change::Added
            },
            resource: Arc::clone(&kind.resource),
            object: Arc::clone(&stored),
            labels_before: before.as_ref().map(|before| Arc::clone(&before.labels)),
        };
        self.publish(event, before.as_deref());
        Ok(stored)
    }

    /// Takes an object away, under the next resource version.
    fn take(&mut self, kind: &Arc<Kind>, key: &Key) -> Option<Arc<Stored>> {
        let objects = self.objects.get_mut(&kind.resource)?;
        let before = objects.remove(key)?;
        if objects.is_empty() {
            self.objects.remove(&kind.resource);
        }
        self.version += 1;
        let last = Arc::new(Stored::encode(before.read(), self.version));
        let event = Event {
            change: Change::Deleted,
            resource: Arc::clone(&kind.resource),
            object: Arc::clone(&last),
            labels_before: None,
        };
        self.publish(event, Some(&before));
        Some(last)
    }

    fn publish(&mut self, event: Event, replaced: Option<&Stored>) {
        self.watches.publish(event, replaced);
        let objects = &self.objects;
        self.watches.forget(|event| {
            let current = objects
                .get(&event.resource)
                .and_then(|objects| objects.get(&event.object.key()));
            current.is_some_and(|current| current.version == event.object.version)
        });
    }
}
