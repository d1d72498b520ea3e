//! Shows the objects of one kind as they change: a list in pages, then a watch from where the list stood.
//!
//! A watch that ends is taken up where it ended. One that is silent for longer than the server lets it live is given up: bookmarks keep a living
//! one from that. What was forgotten (410) is listed anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Client, Error};
use serde_json::{Value, json};

use super::kinds::{Kind, Kinds};
use super::{brief, is_unserved, version};

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
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so many failures in a row it is said that the kind is not watched; before that a connection was merely renewed.
const FAILURES: u32 = 3;

/// What is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The kind.
    pub kind: String,
    /// A version of its group; another is taken where this one is not served.
    pub api_version: String,
    /// Only objects with these labels; none for all.
    pub selector: Option<String>,
    /// Whether only the objects' metadata is asked for.
    pub only_metadata: bool,
}

/// What a watch shows.
#[derive(Debug)]
pub enum Shown {
    /// All objects are shown from here on.
    Begins,
    /// An object as it stands.
    Object(Value),
    /// An object that is gone, or lost the labels asked for, as it was last; with the version at which that happened.
    Gone(Value),
    /// All objects that are there in this version of the cluster were shown.
    Complete(u64),
    /// It does not work; it is tried again.
    Fails(String),
}

/// Watches what is `wanted` of the cluster that `client` speaks to, without end.
pub fn watch(
    client: Client,
    kinds: Arc<Kinds>,
    wanted: Wanted,
) -> impl Stream<Item = Shown> + Send + use<> {
    let watcher = Watcher {
        client,
        kinds,
        wanted,
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
    client: Client,
    kinds: Arc<Kinds>,
    wanted: Wanted,
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
            .kinds
            .find_in_any_version(&self.wanted.api_version, &self.wanted.kind)
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
            label_selector: self.wanted.selector.clone(),
            limit: Some(PAGE),
            continue_token: token,
            ..ListParams::default()
        };
        let requests = kind.requests(None);
        let request = match self.wanted.only_metadata {
            true => requests.list_metadata(&params),
            false => requests.list(&params),
        };
        let page: Value = match crate::send(&self.client, request, PATIENCE).await {
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
                item["kind"] = json!(kind.kind);
                self.shown.push_back(Shown::Object(item));
            }
        }
        let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
        match text("continue") {
            token if !token.is_empty() => Next::Page(kind, token),
            _ => {
                self.failures = 0;
                let version = text("resourceVersion");
                let as_of = version.parse().unwrap_or(0);
                self.shown.push_back(Shown::Complete(as_of));
                Next::Watch(kind, version)
            }
        }
    }

    async fn open(&mut self, kind: Kind, version: String) -> Next {
        let params = WatchParams {
            label_selector: self.wanted.selector.clone(),
            bookmarks: true,
            timeout: Some(LIFE_S),
            ..WatchParams::default()
        };
        let requests = kind.requests(None);
        let request = match self.wanted.only_metadata {
            true => requests.watch_metadata(&params, &version),
            false => requests.watch(&params, &version),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return self.failed(&Error::BuildRequest(error)),
        };
        match self.client.request_events::<Value>(request).await {
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
                (Shown::Object(of_kind(live, &kind)), version)
            }
            WatchEvent::Deleted(live) => {
                let live = of_kind(live, &kind);
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
        if is_unserved(error) {
            self.kinds.forget(&self.wanted.api_version);
        }
        let doubled = 1 << (self.failures - 1).min(6);
        // Also a refusal may pass soon: a server that just started knows no roles yet.
        self.pause = (PAUSE * doubled).min(PAUSE_MAX);
        if self.failures >= FAILURES || is_refusal(error) {
            self.shown.push_back(Shown::Fails(brief(error)));
        }
        Next::List
    }
}

/// An object that says what it is: where only metadata is asked for it does not.
fn of_kind(mut live: Value, kind: &Kind) -> Value {
    if live.is_object() {
        live["apiVersion"] = json!(kind.api_version);
        live["kind"] = json!(kind.kind);
    }
    live
}

fn resource_version(live: &Value, before: String) -> String {
    match version(live) {
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
