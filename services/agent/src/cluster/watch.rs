//! Shows the copies of one kind as they change: a list in pages, then a watch by our label from where the list stood.
//!
//! A watch that ends is taken up where it ended. One that is silent for longer than the server lets it live is given up: bookmarks keep a living
//! one from that. What was forgotten (410) is listed anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fleetcast_core::reconcile::WatchedKind;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::Error;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::manifest::MANAGED;
use super::own::brief;
use super::{Cluster, answer, observe};

/// How many objects one page of a list has: a page is what a watch costs in memory at most.
const PAGE: u32 = 50;
/// How long the server lets a watch live, seconds (less than the 295 s from which on some proxies cut connections).
const LIFE_S: u32 = 285;
/// How much longer than that a watch may be silent.
const SLACK: Duration = Duration::from_secs(15);
/// The first pause after a failure; doubled each time up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The pause while the cluster does not serve the kind.
const UNSERVED: Duration = Duration::from_secs(5);
/// After so many failures in a row it is said that copies are not watched; before that a connection was merely renewed.
const FAILURES: u32 = 3;

/// What a watch shows.
#[derive(Debug)]
pub(crate) enum Shown {
    /// All copies are shown from here on.
    Begins,
    /// A copy as it stands.
    Copy(Value),
    /// A copy that is gone, or lost our label, as it was last; with the version at which that happened.
    Gone(Value),
    /// All copies that are there were shown.
    Complete,
    /// It does not work; it is tried again.
    Fails(String),
}

/// Watches copies of `kind`, known in `api_version`, without end.
pub(crate) fn watch(
    cluster: Arc<Cluster>,
    kind: WatchedKind,
    api_version: String,
) -> impl Stream<Item = Shown> + Send + use<> {
    let watcher = Watcher {
        cluster,
        kind,
        api_version,
        next: Next::List,
        shown: VecDeque::new(),
        failures: 0,
        pause: Duration::ZERO,
    };
    stream::unfold(watcher, |mut watcher| async move {
        loop {
            if let Some(shown) = watcher.shown.pop_front() {
                return Some((shown, watcher));
            }
            watcher.step().await;
        }
    })
}

struct Watcher {
    cluster: Arc<Cluster>,
    kind: WatchedKind,
    api_version: String,
    next: Next,
    shown: VecDeque<Shown>,
    failures: u32,
    /// Before the next step.
    pause: Duration,
}

/// What a watcher does next.
enum Next {
    /// List from the beginning.
    List,
    /// The next page of a list.
    Page(Kind, String),
    /// Watch from a version on.
    Watch(Kind, String),
    /// Take the next event of an open watch.
    Event(
        Kind,
        String,
        BoxStream<'static, Result<WatchEvent<Value>, Error>>,
    ),
}

impl Watcher {
    async fn step(&mut self) {
        let pause = std::mem::take(&mut self.pause);
        tokio::time::sleep(pause).await;
        self.next = match std::mem::replace(&mut self.next, Next::List) {
            Next::List => self.list().await,
            Next::Page(kind, token) => self.page(kind, Some(token)).await,
            Next::Watch(kind, version) => self.open(kind, version).await,
            Next::Event(kind, version, events) => self.event(kind, version, events).await,
        };
    }

    async fn list(&mut self) -> Next {
        let found = self
            .cluster
            .kinds
            .find_in_any_version(&self.api_version, &self.kind.kind)
            .await;
        match found {
            Ok(Some(kind)) => {
                self.shown.push_back(Shown::Begins);
                self.page(kind, None).await
            }
            Ok(None) => {
                self.pause = UNSERVED;
                Next::List
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn page(&mut self, kind: Kind, token: Option<String>) -> Next {
        let params = ListParams {
            label_selector: Some(selector()),
            limit: Some(PAGE),
            continue_token: token,
            ..ListParams::default()
        };
        let page: Value = match get(&self.cluster, kind.requests(None).list(&params)).await {
            Ok(page) => page,
            Err(error) => return self.failed(&error),
        };
        let Value::Object(mut page) = page else {
            return self.failed(&not_a_list());
        };
        let (Some(Value::Array(items)), Some(metadata)) =
            (page.remove("items"), page.remove("metadata"))
        else {
            return self.failed(&not_a_list());
        };
        for mut item in items {
            // Items of a list do not say what they are.
            if item.is_object() {
                item["apiVersion"] = json!(kind.api_version);
                item["kind"] = json!(self.kind.kind);
                self.shown.push_back(Shown::Copy(item));
            }
        }
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        match text("continue") {
            token if !token.is_empty() => Next::Page(kind, token),
            _ => {
                self.failures = 0;
                self.shown.push_back(Shown::Complete);
                Next::Watch(kind, text("resourceVersion"))
            }
        }
    }

    async fn open(&mut self, kind: Kind, version: String) -> Next {
        let params = WatchParams {
            label_selector: Some(selector()),
            bookmarks: true,
            timeout: Some(LIFE_S),
            ..WatchParams::default()
        };
        let request = match kind.requests(None).watch(&params, &version) {
            Ok(request) => request,
            Err(error) => return self.failed(&Error::BuildRequest(error)),
        };
        match self.cluster.client.request_events::<Value>(request).await {
            Ok(events) => {
                let events: BoxStream<'static, _> = events.boxed();
                Next::Event(kind, version, events)
            }
            Err(error) if is_expired(&error) => Next::List,
            Err(error) => {
                let next = self.failed(&error);
                match self.failures < FAILURES && !is_refusal(&error) {
                    true => Next::Watch(kind, version),
                    false => next,
                }
            }
        }
    }

    async fn event(
        &mut self,
        kind: Kind,
        version: String,
        mut events: BoxStream<'static, Result<WatchEvent<Value>, Error>>,
    ) -> Next {
        let idle = Duration::from_secs(LIFE_S.into()) + SLACK;
        let event = match tokio::time::timeout(idle, events.next()).await {
            Ok(Some(Ok(event))) => event,
            Ok(Some(Err(error))) if is_expired(&error) => return Next::List,
            // It ended, broke off, or went silent.
            Ok(Some(Err(_)) | None) | Err(_) => {
                self.pause = PAUSE / 4;
                return Next::Watch(kind, version);
            }
        };
        self.failures = 0;
        let (shown, version) = match event {
            WatchEvent::Added(live) | WatchEvent::Modified(live) => {
                let version = resource_version(&live, version);
                (Shown::Copy(live), version)
            }
            WatchEvent::Deleted(live) => {
                let version = resource_version(&live, version);
                (Shown::Gone(live), version)
            }
            WatchEvent::Bookmark(bookmark) => {
                let version = bookmark.metadata.resource_version;
                return Next::Event(kind, version, events);
            }
            WatchEvent::Error(status) if status.code == 410 => return Next::List,
            WatchEvent::Error(status) => {
                return self.failed(&Error::Api(status));
            }
        };
        self.shown.push_back(shown);
        Next::Event(kind, version, events)
    }

    /// Says so where it matters, and begins anew after a pause.
    fn failed(&mut self, error: &Error) -> Next {
        self.failures = self.failures.saturating_add(1);
        if let answer::No::Unserved(_) = answer::read(error, false) {
            self.cluster.kinds.forget(&self.api_version);
        }
        let doubled = 1 << (self.failures - 1).min(6);
        self.pause = match is_refusal(error) {
            true => PAUSE_MAX,
            false => (PAUSE * doubled).min(PAUSE_MAX),
        };
        if self.failures >= FAILURES || is_refusal(error) {
            self.shown.push_back(Shown::Fails(brief(error)));
        }
        Next::List
    }
}

async fn get(
    cluster: &Cluster,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Value, Error> {
    let request = request.map_err(Error::BuildRequest)?;
    tokio::time::timeout(super::PATIENCE, cluster.client.request(request))
        .await
        .unwrap_or_else(|_| Err(Error::Service("no answer in time".into())))
}

fn selector() -> String {
    format!("{MANAGED}=true")
}

fn resource_version(live: &Value, before: String) -> String {
    match observe::version(live) {
        0 => before,
        version => version.to_string(),
    }
}

fn not_a_list() -> Error {
    Error::Service("a list has no items".into())
}

fn is_expired(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 410)
}

/// The cluster says no, and not because it is in trouble.
fn is_refusal(error: &Error) -> bool {
    matches!(error, Error::Api(status) if matches!(status.code, 401 | 403 | 405))
}
