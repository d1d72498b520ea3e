//! Answers queries: each in its own task, waiting for what it asks to wait for, and never in the way of the fold.

use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::{Bus, Delivery, Error, Subscription};
use fleetcast_core::Refusal;
use fleetcast_core::fold::View;
use fleetcast_core::model::ObjectKey;
use fleetcast_schemas::codec::JSON;
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::subject::{self, Parsed};
use fleetcast_schemas::{Headers, Message};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::answer::{Request, build, explain};
use crate::client::{WAIT_MAX_MS, WAIT_MS};
use crate::shared::{Progress, Shared};

/// How many queries may be open at the same time; most of them wait for the fold.
const OPEN: usize = 4_096;
/// How many answers are built at the same time.
const BUILDING: usize = 2;
/// The longest request that is read, bytes.
const REQUEST_LIMIT: usize = 64 * 1024;

/// Answers `queries` until the connection is closed for good.
pub(crate) async fn serve(
    bus: &Bus,
    shared: &Arc<Shared>,
    mut queries: Subscription,
) -> crate::Error {
    let building = Arc::new(Semaphore::new(BUILDING));
    let mut open = JoinSet::new();
    while let Some(Delivery { message, reply }) = queries.next().await {
        while open.try_join_next().is_some() {}
        let subject = message.subject.clone();
        let Some(reply) = reply.filter(|reply| subject::is_client_inbox(reply)) else {
            tracing::warn!(
                subject,
                "a query names no client's inbox for its answer: it is dropped"
            );
            continue;
        };
        if open.len() >= OPEN {
            let refusal = Refusal::new(
                "",
                format!("more than {OPEN} queries are open: ask again later"),
            );
            send(bus, &reply, refused(refusal)).await;
            continue;
        }
        let (bus, shared, building) = (bus.clone(), Arc::clone(shared), Arc::clone(&building));
        open.spawn(async move {
            let payload = answer(&shared, &building, message)
                .await
                .unwrap_or_else(refused);
            send(&bus, &reply, payload).await;
        });
    }
    Error::Unavailable("the connection was closed".to_owned()).into()
}

async fn send(bus: &Bus, reply: &str, payload: Vec<u8>) {
    let answer = Message {
        subject: String::new(),
        headers: Headers::default().with(DATACONTENTTYPE, JSON),
        payload,
    };
    if let Err(error) = bus.answer(reply, answer).await {
        tracing::warn!(%error, "an answer could not be sent: whoever asked asks again");
    }
}

fn refused(refusal: Refusal) -> Vec<u8> {
    json(&Answer::refused(refusal))
}

fn json<T: Serialize>(answer: &T) -> Vec<u8> {
    serde_json::to_vec(answer).expect("answers have only string keys, so they always serialize")
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    Objects(Option<ObjectKey>),
    Explain(ObjectKey),
    Clusters,
    Digest,
}

impl Question {
    fn read(subject: &str) -> Result<Self, Refusal> {
        let Some(Parsed::Query(what, object)) = subject::parse(subject) else {
            return Err(Refusal::new(
                "object",
                "the subject is not fc.query.<what>.<kind>.<group>.<namespace>.<name>",
            ));
        };
        match (what.as_str(), object) {
            ("objects", object) => Ok(Self::Objects(object)),
            ("explain", Some(object)) => Ok(Self::Explain(object)),
            ("explain", None) => Err(Refusal::new("object", "explain needs an object")),
            ("clusters", _) => Ok(Self::Clusters),
            ("digest", _) => Ok(Self::Digest),
            (other, _) => Err(Refusal::new(
                "what",
                format!("{other:?} is none of objects, explain, clusters, digest"),
            )),
        }
    }

    fn answer(&self, view: &View, request: &Request) -> Result<Built, Refusal> {
        let cluster = request.cluster.as_ref();
        Ok(match self {
            Self::Objects(object) => Built::Objects(build::objects(view, object.as_ref(), cluster)),
            Self::Explain(object) => {
                Built::Explanation(Box::new(explain::explain(view, object, cluster)?))
            }
            Self::Clusters => Built::Clusters(build::clusters(view, cluster)),
            Self::Digest => Built::Digest(build::digest(view)),
        })
    }
}

/// An answer that no longer needs the view.
#[derive(Serialize)]
#[serde(untagged)]
enum Built {
    Objects(crate::answer::Objects),
    Explanation(Box<crate::answer::Explanation>),
    Clusters(crate::answer::Clusters),
    Digest(crate::answer::Digest),
}

fn read_request(payload: &[u8]) -> Result<Request, Refusal> {
    if payload.len() > REQUEST_LIMIT {
        return Err(Refusal::new(
            "",
            format!("the request is longer than {REQUEST_LIMIT} bytes"),
        ));
    }
    if payload.is_empty() {
        return Ok(Request::default());
    }
    serde_json::from_slice(payload)
        .map_err(|error| Refusal::new("", format!("the request cannot be read: {error}")))
}

async fn answer(
    shared: &Arc<Shared>,
    building: &Semaphore,
    message: Message,
) -> Result<Vec<u8>, Refusal> {
    let question = Question::read(&message.subject)?;
    let request = read_request(&message.payload)?;
    wait(shared, &request).await?;
    let again = || Refusal::new("", "the aggregator ends: ask again");
    let _turn = building.acquire().await.map_err(|_| again())?;
    let shared = Arc::clone(shared);
    let built = tokio::task::spawn_blocking(move || {
        let built = question.answer(&shared.view.blocking_read(), &request)?;
        Ok(json(&built))
    });
    built.await.map_err(|_| again())?
}

/// Waits until the view is folded as far as the request wants, and as far as the streams reached when folding began.
async fn wait(shared: &Shared, request: &Request) -> Result<(), Refusal> {
    let min_log = request.min_log.unwrap_or(0);
    let wait_ms = request.wait_ms.unwrap_or(WAIT_MS).min(WAIT_MAX_MS);
    let mut progress = shared.progress.subscribe();
    let there = progress.wait_for(|progress| progress.is_whole && progress.log >= min_log);
    if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(wait_ms), there).await {
        return Ok(());
    }
    let now = *shared.progress.borrow();
    Err(refuse_to_wait(now, min_log, wait_ms))
}

fn refuse_to_wait(progress: Progress, min_log: u64, wait_ms: u64) -> Refusal {
    let Progress { log, end, is_whole } = progress;
    match end {
        None => Refusal::new("", "there is no log yet: is `fleetcast ingest` running?"),
        Some(end) if !is_whole => Refusal::new(
            "",
            format!("the view is still being folded, at {log} of {end}: ask again"),
        ),
        Some(_) => Refusal::new(
            "min_seq",
            format!("the view is folded up to {log}, not yet to {min_log}, after {wait_ms} ms"),
        ),
    }
}

#[cfg(test)]
mod tests;
