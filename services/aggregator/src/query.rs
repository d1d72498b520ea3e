//! Answers queries: each in its own task, waiting for what it asks to wait for, and never in the way of the fold.

use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::{Bus, Delivery, Error, Subscription};
use fleetcast_core::Refusal;
use fleetcast_core::fold::View;
use fleetcast_core::model::object::ObjectQuery;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_schemas::codec::JSON;
use fleetcast_schemas::envelope::DATACONTENTTYPE;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::subject::{self, Parsed};
use fleetcast_schemas::{Headers, Message};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::answer::past::At;
use crate::answer::{self, Request, ahead, build, explain, held};
use crate::capacities::Capacities;
use crate::client::{WAIT_MAX_MS, WAIT_MS};
use crate::past::archive::Position;
use crate::past::{self, Historian, stands};
use crate::shared::{Progress, Shared};

/// How many queries may be open at the same time; most of them wait for the fold.
const OPEN: usize = 4_096;
/// How many answers are built at the same time.
pub(crate) const BUILDING: usize = 2;
/// The longest request that is read, bytes.
const REQUEST_LIMIT: usize = 64 * 1024;

/// Answers `queries` until the connection is closed for good.
pub(crate) async fn serve(
    shared: &Arc<Shared>,
    historian: &Arc<Historian>,
    building: &Arc<Semaphore>,
    mut queries: Subscription,
) -> crate::Error {
    let bus = historian.bus();
    let mut open = JoinSet::new();
    while let Some(Delivery { message, reply, .. }) = queries.next().await {
        while open.try_join_next().is_some() {}
        let subject = message.subject.clone();
        let Some(reply) = reply.filter(|reply| subject::is_client_inbox(reply)) else {
            tracing::warn!(
                subject,
                "a query names no client's inbox for its answer: it is dropped"
            );
            continue;
        };
        if is_rebuild(&message.subject) {
            let (shared, historian) = (Arc::clone(shared), Arc::clone(historian));
            open.spawn(async move { historian.rebuild(&shared, &reply).await });
            continue;
        }
        if open.len() >= OPEN {
            let refusal = Refusal::new(
                "",
                format!("more than {OPEN} queries are open: ask again later"),
            );
            send(bus, &reply, refused(refusal)).await;
            continue;
        }
        let (shared, historian) = (Arc::clone(shared), Arc::clone(historian));
        let building = Arc::clone(building);
        open.spawn(async move {
            let answered = counted(&shared, &historian, &building, message).await;
            let payload = answered.unwrap_or_else(refused);
            send(historian.bus(), &reply, payload).await;
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

/// Whether the view is to be rebuilt: answered in many messages, and permitted on a subject of its own.
fn is_rebuild(subject: &str) -> bool {
    matches!(subject::parse(subject), Some(Parsed::Query(what, None)) if what == "rebuild")
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    Objects(Option<ObjectKey>),
    Explain(ObjectKey),
    Clusters,
    Digest,
    History(ObjectKey),
    Diff(ObjectKey),
    Documents(Option<ObjectKey>),
    Ahead(Option<ObjectKey>),
    Held,
    Strays,
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
            ("history", Some(object)) => Ok(Self::History(object)),
            ("diff", Some(object)) => Ok(Self::Diff(object)),
            ("documents", object) => Ok(Self::Documents(object)),
            ("ahead", object) => Ok(Self::Ahead(object)),
            ("held", _) => Ok(Self::Held),
            ("strays", _) => Ok(Self::Strays),
            (what @ ("explain" | "history" | "diff"), None) => {
                Err(Refusal::new("object", format!("{what} needs an object")))
            }
            ("clusters", _) => Ok(Self::Clusters),
            ("digest", _) => Ok(Self::Digest),
            (other, _) => Err(Refusal::new(
                "what",
                format!(
                    "{other:?} is none of objects, explain, clusters, digest, history, diff, documents, ahead, held, strays"
                ),
            )),
        }
    }

    /// The answer of `view`; what is asked of the streams instead is not answered here.
    fn answer(&self, view: &View, request: &Request) -> Result<Built, Refusal> {
        let cluster = request.cluster.as_ref();
        Ok(match self {
            Self::Objects(object) => {
                let meant = request.matching.as_deref().map(str::parse::<ObjectQuery>);
                let meant = meant.transpose()?;
                let is_meant = |key: &ObjectKey| meant.as_ref().is_none_or(|one| one.matches(key));
                let objects = build::objects(view, object.as_ref(), cluster, is_meant);
                Built::Objects(objects)
            }
            Self::Explain(object) => {
                Built::Explanation(Box::new(explain::explain(view, object, cluster)?))
            }
            Self::Clusters => Built::Clusters(build::clusters(view, cluster)),
            Self::Digest => Built::Digest(build::digest(view)),
            Self::Documents(object) => Built::Documents(past::documents(
                view,
                object.as_ref(),
                request.namespace.as_deref(),
            )),
            Self::Ahead(object) => Built::Ahead(ahead::ahead(view, object.as_ref(), cluster)),
            Self::Held => Built::Held(held::held(view, cluster)),
            Self::History(_) | Self::Diff(_) | Self::Strays => {
                return Err(Refusal::new("what", "is not asked of the view"));
            }
        })
    }
}

impl Built {
    /// With how much room clusters have now.
    fn with(mut self, capacities: &Capacities) -> Self {
        if let Self::Clusters(clusters) = &mut self {
            for summary in &mut clusters.clusters {
                summary.capacity = capacities.of(&summary.cluster);
            }
        }
        self
    }
}

/// An answer that no longer needs the view.
#[derive(Serialize)]
#[serde(untagged)]
enum Built {
    Objects(answer::Objects),
    Explanation(Box<answer::Explanation>),
    Clusters(answer::Clusters),
    Digest(answer::Digest),
    Documents(answer::past::Documents),
    Ahead(ahead::Ahead),
    Held(held::Held),
}

impl Built {
    /// Says that what was answered then is not known.
    fn acknowledgements_unknown(&mut self) {
        let as_of = match self {
            Self::Objects(objects) => {
                build::unknown(objects);
                &mut objects.as_of
            }
            Self::Explanation(explanation) => &mut explanation.as_of,
            Self::Clusters(clusters) => &mut clusters.as_of,
            Self::Digest(digest) => &mut digest.as_of,
            Self::Documents(documents) => &mut documents.as_of,
            Self::Ahead(ahead) => &mut ahead.as_of,
            Self::Held(held) => &mut held.as_of,
        };
        as_of.acknowledgements_unknown = true;
    }
}

/// Whether a question is read.
pub(crate) fn reads(subject: &str, payload: &[u8]) -> bool {
    Question::read(subject).is_ok() && read_request(payload).is_ok()
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

/// Answers, and counts how.
pub(crate) async fn counted(
    shared: &Arc<Shared>,
    historian: &Arc<Historian>,
    building: &Semaphore,
    message: Message,
) -> Result<Vec<u8>, Refusal> {
    let answered = answer(shared, historian, building, message).await;
    let outcome = match &answered {
        Ok(_) => "answered",
        Err(_) => "refused",
    };
    shared.metrics.queries.count(outcome);
    answered
}

async fn answer(
    shared: &Arc<Shared>,
    historian: &Arc<Historian>,
    building: &Semaphore,
    message: Message,
) -> Result<Vec<u8>, Refusal> {
    let question = Question::read(&message.subject)?;
    let mut request = read_request(&message.payload)?;
    if let Some(At::Sequence(log)) = request.at {
        request.min_log = request.min_log.max(Some(log));
    }
    wait(shared, &request).await?;
    match &question {
        Question::History(object) => {
            let (as_of, now, stands) = look(shared, |view| stands(view, object)).await;
            let history = historian.history(object, as_of, &now, stands).await?;
            return Ok(json(&history));
        }
        Question::Diff(object) => {
            let (as_of, now, ()) = look(shared, |_| ()).await;
            let between = (request.from, request.to);
            let cluster = request.cluster.as_ref();
            let compared = historian
                .compare(object, as_of, &now, between, cluster)
                .await?;
            return Ok(json(&compared));
        }
        Question::Strays => {
            let (as_of, _, ()) = look(shared, |_| ()).await;
            return Ok(json(&answer::strays::Strays {
                as_of,
                clusters: strays(shared, request.cluster.as_ref()),
            }));
        }
        Question::Objects(_)
        | Question::Explain(_)
        | Question::Clusters
        | Question::Digest
        | Question::Documents(_)
        | Question::Ahead(_)
        | Question::Held => {}
    }
    let past = match &request.at {
        None => None,
        Some(at) => {
            let (_, now, ()) = look(shared, |_| ()).await;
            Some(historian.view(at, &now).await?)
        }
    };
    let again = || Refusal::new("", "the aggregator ends: ask again");
    let _turn = building.acquire().await.map_err(|_| again())?;
    let shared = Arc::clone(shared);
    let built = tokio::task::spawn_blocking(move || {
        let built = match past {
            None => {
                let built = question.answer(&shared.view.blocking_read(), &request)?;
                built.with(&shared.capacities)
            }
            Some(past) => {
                let mut built = question.answer(&past.view, &request)?;
                if !past.acks_known {
                    built.acknowledgements_unknown();
                }
                built
            }
        };
        Ok(json(&built))
    });
    built.await.map_err(|_| again())?
}

/// What the live view says of itself, and what `read` wants of it.
async fn look<T>(shared: &Shared, read: impl FnOnce(&View) -> T) -> (answer::AsOf, Position, T) {
    let view = shared.view.read().await;
    (build::as_of(&view), Position::of(&view), read(&view))
}

/// Makes the archive of the past ready whenever the view has become whole; never ends.
pub(crate) async fn prepare(shared: &Shared, historian: &Historian) {
    let mut progress = shared.progress.subscribe();
    loop {
        // The sender lives as long as the view that is shared.
        if progress.wait_for(|now| now.is_whole).await.is_err() {
            return std::future::pending().await;
        }
        let (_, now, ()) = look(shared, |_| ()).await;
        if let Err(error) = historian.prepare(&now).await {
            tracing::warn!(%error, "the past is not ready: questions about it take longer");
        }
        if progress.wait_for(|now| !now.is_whole).await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// What agents tell of strays, of all clusters or of one.
fn strays(shared: &Shared, cluster: Option<&ClusterName>) -> Vec<answer::strays::ClusterStrays> {
    let told = shared.strays.all().into_iter();
    told.filter(|(name, _)| cluster.is_none_or(|cluster| cluster == name))
        .map(|(cluster, (strays, told))| answer::strays::ClusterStrays {
            cluster,
            count: strays.count,
            more: strays.more,
            objects: strays.objects,
            told,
        })
        .collect()
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
