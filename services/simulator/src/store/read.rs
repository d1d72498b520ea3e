//! Get, list and watch.

use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Answer, Asked, Store};
use crate::kind::Target;
use crate::object::{Key, Stored};
use crate::request::{List, ObjectsRequest, View, Watch};
use crate::status::Failure;
use crate::view::{self, Page};
use crate::watch::{Filter, Told};

/// A watch that was just opened.
pub(crate) struct OpenWatch {
    pub(crate) target: Target,
    pub(crate) view: View,
    /// What is to be told first.
    pub(crate) first: Vec<Told>,
    pub(crate) queue: mpsc::UnboundedReceiver<Told>,
    /// A bookmark that ends what is told first (`sendInitialEvents`), as of this version.
    pub(crate) initial_events_end: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) timeout_seconds: Option<u64>,
}

impl Store {
    pub(super) fn get(&self, asked: &Asked<'_>, name: &str) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            moment,
            ..
        } = *asked;
        let stored = self.existing(&target.kind, &request.namespace, name)?;
        Ok(Answer::ok(view::one(
            target,
            &stored,
            request.view,
            moment.now,
        )))
    }

    pub(super) fn list(&self, asked: &Asked<'_>, list: &List) -> Result<Answer, Failure> {
        let Asked {
            target,
            request,
            moment,
            ..
        } = *asked;
        let page = self.page(target, request, list)?;
        Ok(Answer::ok(view::many(
            target,
            &page,
            request.view,
            moment.now,
        )))
    }

    /// The objects of a list request, in the order of their namespaces and names.
    pub(super) fn page(
        &self,
        target: &Target,
        request: &ObjectsRequest,
        list: &List,
    ) -> Result<Page, Failure> {
        if let Some(asked) = list.resource_version {
            if asked > self.version {
                return Err(too_new(asked, self.version));
            }
            if list.exact && asked != self.version {
                return Err(Failure::expired(format!(
                    "The provided continue parameter is too old: {asked} is not the current version {}",
                    self.version
                )));
            }
        }
        let filter = filter(target, request, list.labels.clone(), list.fields.clone())?;
        let start = match &list.continue_token {
            Some(token) => Bound::Excluded(read_token(token)?),
            None => Bound::Included(Key::new(&request.namespace, "")),
        };
        let objects = self.objects.get(&target.kind.resource);
        let mut matching = objects
            .into_iter()
            .flat_map(|objects| objects.range((start.clone(), Bound::Unbounded)))
            .take_while(|(key, _)| {
                request.namespace.is_empty() || *key.namespace == *request.namespace
            })
            .map(|(_, stored)| stored)
            .filter(|stored| filter.matches(stored));
        let limit = list.limit.unwrap_or(usize::MAX);
        let objects: Vec<_> = matching.by_ref().take(limit).cloned().collect();
        let remaining = matching.count();
        let continue_token = objects
            .last()
            .filter(|_| remaining > 0)
            .map(|last| write_token(&last.key()));
        Ok(Page {
            version: self.version,
            objects,
            continue_token,
            remaining,
        })
    }

    pub(super) fn watch(
        &mut self,
        target: Target,
        request: &ObjectsRequest,
        watch: &Watch,
    ) -> Result<Answer, Failure> {
        let filter = Arc::new(filter(
            &target,
            request,
            watch.labels.clone(),
            watch.fields.clone(),
        )?);
        let from_the_start = matches!(watch.resource_version, None | Some(0));
        let first = match watch.resource_version {
            _ if watch.send_initial_events == Some(true)
                || (from_the_start && watch.send_initial_events.is_none()) =>
            {
                let objects = self
                    .objects
                    .get(&target.kind.resource)
                    .into_iter()
                    .flat_map(|objects| objects.values());
                let added =
                    |stored: &Arc<Stored>| (crate::watch::Change::Added, Arc::clone(stored));
                objects
                    .filter(|stored| filter.matches(stored))
                    .map(added)
                    .collect()
            }
            Some(version) if version > 0 => match self.watches.since(version, &filter) {
                Some(first) => first,
                // As in the real server, the watch opens and its first event is the error.
                None => {
                    let message = format!(
                        "too old resource version: {version} ({})",
                        self.watches.forgotten_version()
                    );
                    return Ok(Answer::WatchRefused(Failure::expired(message)));
                }
            },
            _ => Vec::new(),
        };
        Ok(Answer::Watch(OpenWatch {
            view: request.view,
            first,
            queue: self.watches.open(filter),
            initial_events_end: (watch.send_initial_events == Some(true)).then_some(self.version),
            bookmarks: watch.bookmarks,
            timeout_seconds: watch.timeout_seconds,
            target,
        }))
    }
}

fn filter(
    target: &Target,
    request: &ObjectsRequest,
    labels: crate::selector::LabelSelector,
    fields: crate::selector::FieldSelector,
) -> Result<Filter, Failure> {
    if let Some(path) = fields.unsupported(&target.kind.resource) {
        return Err(Failure::bad_request(format!(
            "field label not supported: {path}"
        )));
    }
    Ok(Filter {
        resource: Arc::clone(&target.kind.resource),
        namespace: request.namespace.clone(),
        labels,
        fields,
    })
}

fn too_new(asked: u64, current: u64) -> Failure {
    let failure = Failure::new(
        504,
        "Timeout",
        format!("Timeout: Too large resource version: {asked}, current: {current}"),
    );
    failure.with_causes(
        json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
    )
}

fn write_token(last: &Key) -> String {
    BASE64.encode(json!([last.namespace, last.name]).to_string())
}

fn read_token(token: &str) -> Result<Key, Failure> {
    let bytes = BASE64.decode(token).ok();
    let parts = bytes.and_then(|bytes| serde_json::from_slice::<(String, String)>(&bytes).ok());
    let (namespace, name) =
        parts.ok_or_else(|| Failure::bad_request("continue key is not valid"))?;
    Ok(Key::new(&namespace, &name))
}
