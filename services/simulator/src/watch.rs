//! Watches: which changes they tell, and how far back the server remembers.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::object::{Labels, Stored};
use crate::selector::{FieldSelector, LabelSelector};

/// How many changes are remembered for watches that start in the past.
const WINDOW_EVENTS: usize = 1_024;

/// How much memory states that are no longer current may take up in the window.
const WINDOW_SUPERSEDED_BYTES: usize = 256 * 1024;

/// What happened to an object, as a watch tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

/// One change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) change: Change,
    pub(crate) resource: Arc<str>,
    pub(crate) object: Arc<Stored>,
    /// The labels before a modification.
    pub(crate) labels_before: Option<Labels>,
}

/// A change as one watch is to tell it.
pub(crate) type Told = (Change, Arc<Stored>);

/// Which objects a watch is about.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) resource: Arc<str>,
    /// Empty for all.
    pub(crate) namespace: String,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Filter {
    pub(crate) fn matches(&self, object: &Stored) -> bool {
        (self.namespace.is_empty() || *self.namespace == *object.namespace)
            && self.labels.matches(&object.labels)
            && self
                .fields
                .matches(&object.name, &object.namespace, || object.read())
    }

    /// How the watch tells an event, if at all: an object that starts or stops to match is told as added or deleted.
    fn tell(&self, event: &Event) -> Option<Change> {
        if event.resource != self.resource {
            return None;
        }
        let now = self.matches(&event.object);
        match (event.change, &event.labels_before) {
            (Change::Modified, Some(labels)) if !self.labels.is_empty() => {
                let in_scope =
                    self.namespace.is_empty() || *self.namespace == *event.object.namespace;
                match (in_scope && self.labels.matches(labels), now) {
                    (true, true) => Some(Change::Modified),
                    (false, true) => Some(Change::Added),
                    (true, false) => Some(Change::Deleted),
                    (false, false) => None,
                }
            }
            (change, _) => now.then_some(change),
        }
    }
}

/// The open watches and the recent past.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    recent: VecDeque<Arc<Event>>,
    /// The version before the oldest change that is remembered.
    forgotten_version: u64,
    superseded_bytes: usize,
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    filter: Arc<Filter>,
    queue: mpsc::UnboundedSender<Told>,
}

impl Watches {
    /// Nothing up to `version` is remembered.
    pub(crate) fn starting_at(version: u64) -> Self {
        Watches {
            forgotten_version: version,
            ..Watches::default()
        }
    }

    /// Tells every open watch about a change, and remembers it. `replaced` is the state that it makes obsolete.
    pub(crate) fn publish(&mut self, event: Event, replaced: Option<&Stored>) {
        self.open.retain(|open| match open.filter.tell(&event) {
            Some(change) => open.queue.send((change, Arc::clone(&event.object))).is_ok(),
            None => true,
        });
        if let Some(replaced) =
            replaced.filter(|replaced| replaced.version > self.forgotten_version)
        {
            self.superseded_bytes += replaced.length_bytes();
        }
        if event.change == Change::Deleted {
            self.superseded_bytes += event.object.length_bytes();
        }
        self.recent.push_back(Arc::new(event));
    }

    /// Forgets the oldest changes until the window is small enough. `is_current` says whether an object is still in that state.
    pub(crate) fn forget(&mut self, is_current: impl Fn(&Event) -> bool) {
        while self.recent.len() > WINDOW_EVENTS || self.superseded_bytes > WINDOW_SUPERSEDED_BYTES {
            let Some(oldest) = self.recent.pop_front() else {
                return;
            };
            self.forgotten_version = oldest.object.version;
            if !is_current(&oldest) {
                self.superseded_bytes = self
                    .superseded_bytes
                    .saturating_sub(oldest.object.length_bytes());
            }
        }
    }

    /// Opens a watch for what comes after now.
    pub(crate) fn open(&mut self, filter: Arc<Filter>) -> mpsc::UnboundedReceiver<Told> {
        self.open.retain(|open| !open.queue.is_closed());
        let (queue, receiver) = mpsc::unbounded_channel();
        self.open.push(Open { filter, queue });
        receiver
    }

    /// What happened after a version, or `None` if that is forgotten.
    pub(crate) fn since(&self, version: u64, filter: &Filter) -> Option<Vec<Told>> {
        if version < self.forgotten_version {
            return None;
        }
        let start = self
            .recent
            .partition_point(|event| event.object.version <= version);
        let later = self.recent.range(start..);
        Some(
            later
                .filter_map(|event| Some((filter.tell(event)?, Arc::clone(&event.object))))
                .collect(),
        )
    }

    /// The version before the oldest change that is remembered.
    pub(crate) fn forgotten_version(&self) -> u64 {
        self.forgotten_version
    }

    /// Ends every watch.
    pub(crate) fn close_all(&mut self) {
        self.open.clear();
    }

    /// Ends the watches on a resource that is no longer served.
    pub(crate) fn close(&mut self, resource: &str) {
        self.open.retain(|open| &*open.filter.resource != resource);
    }

    /// How many watches are open.
    pub(crate) fn open_count(&self) -> usize {
        self.open
            .iter()
            .filter(|open| !open.queue.is_closed())
            .count()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(version: u64, label: &str, length: usize) -> Arc<Stored> {
        let object = json!({"metadata": {"name": "a", "namespace": "shop", "labels": {"app": label}}, "data": "x".repeat(length)});
        Arc::new(Stored::encode(object, version))
    }

    fn filter(labels: &str, namespace: &str) -> Filter {
        Filter {
            resource: "pods".into(),
            namespace: namespace.into(),
            labels: LabelSelector::parse(labels).unwrap(),
            fields: FieldSelector::default(),
        }
    }

    fn event(change: Change, object: &Arc<Stored>, before: Option<&Arc<Stored>>) -> Event {
        Event {
            change,
            resource: "pods".into(),
            object: Arc::clone(object),
            labels_before: before.map(|before| Arc::clone(&before.labels)),
        }
    }

    /// An object that starts or stops to match is told as added or deleted.
    #[test]
    fn telling() {
        let (web, api) = (stored(1, "web", 0), stored(2, "api", 0));
        for (labels, namespace, change, object, before, expected) in [
            (
                "",
                "",
                Change::Modified,
                &api,
                Some(&web),
                Some(Change::Modified),
            ),
            (
                "app=api",
                "",
                Change::Modified,
                &api,
                Some(&web),
                Some(Change::Added),
            ),
            (
                "app=web",
                "",
                Change::Modified,
                &api,
                Some(&web),
                Some(Change::Deleted),
            ),
            ("app=other", "", Change::Modified, &api, Some(&web), None),
            (
                "app=api",
                "elsewhere",
                Change::Modified,
                &api,
                Some(&web),
                None,
            ),
            (
                "app=web",
                "shop",
                Change::Added,
                &web,
                None,
                Some(Change::Added),
            ),
            (
                "app=web",
                "shop",
                Change::Deleted,
                &web,
                None,
                Some(Change::Deleted),
            ),
            ("app=web", "shop", Change::Deleted, &api, None, None),
        ] {
            assert_eq!(
                filter(labels, namespace).tell(&event(change, object, before)),
                expected,
                "{labels} {namespace} {change:?}"
            );
        }
    }

    /// What is remembered is bounded by number and by size, and a version from before it is told apart.
    #[test]
    fn the_window_is_bounded() {
        let mut watches = Watches::starting_at(0);
        let mut last = stored(1, "web", 1_000);
        watches.publish(event(Change::Added, &last, None), None);
        for version in 2..=2_000 {
            let next = stored(version, "web", 1_000);
            watches.publish(event(Change::Modified, &next, Some(&last)), Some(&last));
            watches.forget(|event| event.object.version == version);
            last = next;
        }
        assert!(watches.superseded_bytes <= WINDOW_SUPERSEDED_BYTES);
        let everything = filter("", "");
        assert!(watches.since(5, &everything).is_none());
        assert!(
            watches
                .since(watches.forgotten_version() - 1, &everything)
                .is_none()
        );
        assert_eq!(watches.since(1_999, &everything).unwrap().len(), 1);
        assert_eq!(watches.since(2_000, &everything).unwrap().len(), 0);
        let remembered = 2_000 - usize::try_from(watches.forgotten_version()).unwrap();
        assert_eq!(watches.recent.len(), remembered);
        assert!((100..300).contains(&remembered), "{remembered}");
    }
}
