//! The door over HTTP: documents in, answers out, each handed on over the bus to whoever leads or keeps the view.
//!
//! | request | handed on to | answer |
//! |---|---|---|
//! | `POST /v1/objects` | `fc.in.apply.<object>` | [`fleetcast_schemas::request::Accepted`] |
//! | `DELETE /v1/objects/<object>` | `fc.in.delete.<object>` | the same |
//! | `GET /v1/objects/<object>` | `fc.query.objects.<object>` | the object's row of the view |
//! | `GET /openapi.json` | – | [`fleetcast_schemas::http::openapi`] |
//!
//! An ingest process that does not lead answers as one that does, since both ask the bus.

mod read;

use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::Bus;
use fleetcast_core::Refusal;
use fleetcast_core::intake::never_declared;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_endpoint::axum::Router;
use fleetcast_endpoint::axum::extract::{Path, Query, Request, State};
use fleetcast_endpoint::axum::http::request::Parts;
use fleetcast_endpoint::axum::http::{Extensions, StatusCode, Uri};
use fleetcast_endpoint::axum::response::Response;
use fleetcast_endpoint::axum::routing::{get, post};
use fleetcast_endpoint::{Caller, Listener, Role, answer};
use fleetcast_schemas::envelope::{DATACONTENTTYPE, Headers, parse_time};
use fleetcast_schemas::request::{Answer, Withdrawal};
use fleetcast_schemas::{Message, codec, http, subject};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, watch};

use crate::documents::DOCUMENT_LIMIT;

/// How many documents are read at the same time; each may be as large as one may be.
const DOCUMENTS: usize = 64;
/// How long a change may take until it is in the log: as long as another process needs to take over.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest answer of the view that is passed on, bytes: an object in 100,000 clusters.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// How long the view may take to answer, beside what it waits for.
const ASKING: Duration = Duration::from_secs(10);
/// How long the view may be waited for, milliseconds.
const WAIT_MAX_MS: u64 = 10_000;

struct Door {
    bus: Bus,
    documents: Semaphore,
}

/// A no or a failure, as it is answered.
type Answered = Result<Response, Box<Response>>;

/// Answers on `listener` until `stop` says so.
pub(crate) async fn serve(listener: Arc<Listener>, bus: Bus, stop: watch::Receiver<bool>) {
    let door = Arc::new(Door {
        bus,
        documents: Semaphore::new(DOCUMENTS),
    });
    let open = Router::new().route("/openapi.json", get(openapi));
    let closed = Router::new()
        .route("/v1/objects", post(apply))
        .route("/v1/objects/{*object}", get(look).delete(withdraw))
        .with_state(door);
    tracing::info!(address = %listener.address(), "listening for HTTP");
    listener.serve(open, closed, stop).await;
}

async fn openapi() -> Response {
    answer::json(StatusCode::OK, &http::openapi())
}

async fn apply(State(door): State<Arc<Door>>, request: Request) -> Response {
    either(door.apply(request).await)
}

async fn withdraw(
    State(door): State<Arc<Door>>,
    Path(object): Path<String>,
    parts: Parts,
) -> Response {
    either(door.withdraw(&object, &parts).await)
}

async fn look(State(door): State<Arc<Door>>, Path(object): Path<String>, parts: Parts) -> Response {
    either(door.look(&object, &parts).await)
}

fn either(answered: Answered) -> Response {
    answered.unwrap_or_else(|response| *response)
}

/// What the leader said, or that nobody did.
fn answered(answer: Result<Answer, fleetcast_bus::Error>) -> Answered {
    match answer.map_err(unavailable)? {
        Answer::Accepted(accepted) => Ok(answer::json(StatusCode::OK, &accepted)),
        Answer::Refused { refusal } => {
            let refusal = Refusal::new(refusal.field, refusal.message);
            Err(no(StatusCode::UNPROCESSABLE_ENTITY, refusal))
        }
    }
}

fn no(status: StatusCode, refusal: Refusal) -> Box<Response> {
    let Refusal { field, message } = refusal;
    Box::new(answer::refused(status, &field, message))
}

fn unavailable(error: impl std::fmt::Display) -> Box<Response> {
    Box::new(answer::unavailable(error.to_string()))
}

/// The parameters of a request, or a refusal that says what is wrong with them.
fn parameters<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<T, Box<Response>> {
    Query::try_from_uri(uri)
        .map(|Query(parameters)| parameters)
        .map_err(|error| {
            no(
                StatusCode::BAD_REQUEST,
                Refusal::new("query", error.to_string()),
            )
        })
}

/// Whoever may hand in.
fn publisher(extensions: &Extensions) -> Result<Caller, Box<Response>> {
    match extensions.get::<Caller>() {
        Some(caller) if caller.role == Role::Publisher => Ok(caller.clone()),
        Some(Caller { name, role: _ }) => Err(no(
            StatusCode::FORBIDDEN,
            Refusal::new(
                "authorization",
                format!("{name} may read, and hand in nothing"),
            ),
        )),
        None => unreachable!("nobody gets here without a token"),
    }
}

/// The parameters of a withdrawal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawing {
    #[serde(default)]
    orphan: bool,
}

/// The parameters of a look.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Looking {
    cluster: Option<ClusterName>,
    min_seq: Option<u64>,
    at: Option<String>,
}

impl Door {
    async fn apply(&self, request: Request) -> Answered {
        let caller = publisher(request.extensions())?;
        let placing: read::Placing = parameters(request.uri())?;
        let (parts, body) = request.into_parts();
        let turn = tokio::time::timeout(PATIENCE, self.documents.acquire()).await;
        let _turn = turn
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| unavailable("too many documents are being read"))?;
        let bytes = answer::body(body, DOCUMENT_LIMIT + 64 * 1024).await?;
        let handed = read::document(&parts.headers, bytes, &placing, &caller)
            .map_err(|(status, refusal)| no(status, refusal))?;
        let (target, message) = handed;
        tracing::debug!(object = %target, caller = caller.name, "handed in over HTTP");
        answered(self.submit(message).await)
    }

    async fn withdraw(&self, text: &str, parts: &Parts) -> Answered {
        let caller = publisher(&parts.extensions)?;
        let Withdrawing { orphan } = parameters(&parts.uri)?;
        let object = self.object(text).await?;
        let headers = read::origin(&parts.headers, &caller)
            .map_err(|refusal| no(StatusCode::BAD_REQUEST, refusal))?;
        let payload = serde_json::to_vec(&Withdrawal { orphan });
        let message = Message {
            subject: subject::delete(&object),
            headers: headers.with(DATACONTENTTYPE, codec::JSON),
            payload: payload.expect("a withdrawal has only string keys"),
        };
        match self.submit(message).await {
            Ok(Answer::Refused { refusal })
                if refusal.message == never_declared(&object).message =>
            {
                Err(unknown(&refusal.message))
            }
            answer => answered(answer),
        }
    }

    /// Hands on to whoever leads, and again where nobody answers: the id makes a repeat harmless.
    async fn submit(&self, message: Message) -> Result<Answer, fleetcast_bus::Error> {
        self.bus.submit(message, PATIENCE).await
    }

    async fn look(&self, text: &str, parts: &Parts) -> Answered {
        let Looking {
            cluster,
            min_seq,
            at,
        } = parameters(&parts.uri)?;
        let object = self.object(text).await?;
        let mut asked = Map::from_iter([("wait_ms".to_owned(), json!(WAIT_MAX_MS))]);
        if let Some(sequence) = min_seq {
            asked.insert("min_log".to_owned(), json!(sequence));
        }
        if let Some(at) = at {
            let sequence = at.parse::<u64>().map(Value::from);
            if sequence.is_err() && parse_time(&at).is_none() {
                let why = "is neither a log sequence nor a time in RFC 3339";
                return Err(no(StatusCode::BAD_REQUEST, Refusal::new("at", why)));
            }
            asked.insert("at".to_owned(), sequence.unwrap_or(Value::String(at)));
        }
        let is_cluster = (object.kind(), object.group()) == ("MemberCluster", "fleetcast.dev");
        let (what, list, named) = if is_cluster {
            asked.insert("cluster".to_owned(), json!(object.name()));
            ("clusters", "clusters", None)
        } else {
            if let Some(cluster) = cluster {
                asked.insert("cluster".to_owned(), json!(cluster));
            }
            ("objects", "objects", Some(&object))
        };
        let found = self.ask(subject::query(what, named), asked.into()).await?;
        match one_of(found, list) {
            Some(found) => Ok(answer::json(StatusCode::OK, &found)),
            None => Err(unknown(&format!("there is no {}", object.for_people()))),
        }
    }

    /// The object that a path means: its full name as answers have it, or what a person would type where that is unambiguous.
    async fn object(&self, text: &str) -> Result<ObjectKey, Box<Response>> {
        let key: ObjectKey = text.parse().map_err(|refusal: Refusal| {
            no(
                StatusCode::BAD_REQUEST,
                Refusal::new("object", refusal.message),
            )
        })?;
        if key
            .kind()
            .starts_with(|first: char| first.is_ascii_uppercase())
        {
            return Ok(key);
        }
        let asked = json!({"matching": text});
        let found = self.ask(subject::query("objects", None), asked).await?;
        let meant: Vec<&str> = found["objects"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|summary| summary["object"].as_str())
            .collect();
        match meant.as_slice() {
            [one] => one.parse().map_err(unavailable),
            [] => Err(unknown(&format!("there is no {text}"))),
            several => Err(no(
                StatusCode::CONFLICT,
                Refusal::new(
                    "object",
                    format!("{text} is ambiguous: {}", several.join(", ")),
                ),
            )),
        }
    }

    /// Asks the aggregator.
    async fn ask(&self, subject: String, request: Value) -> Result<Value, Box<Response>> {
        let message = Message {
            subject,
            headers: Headers::default().with(DATACONTENTTYPE, codec::JSON),
            payload: request.to_string().into_bytes(),
        };
        let timeout = ASKING + Duration::from_millis(WAIT_MAX_MS);
        let answer = self
            .bus
            .request(message, ANSWER_LIMIT, timeout)
            .await
            .map_err(unavailable)?;
        let answer: Value = serde_json::from_slice(&answer.payload).map_err(unavailable)?;
        if let Ok(Answer::Refused { refusal }) = Answer::deserialize(&answer) {
            return Err(match refusal.field.as_str() {
                // The view is not so far yet.
                "" | "min_seq" => unavailable(refusal.message),
                _ => no(
                    StatusCode::BAD_REQUEST,
                    Refusal::new(refusal.field, refusal.message),
                ),
            });
        }
        Ok(answer)
    }
}

fn unknown(message: &str) -> Box<Response> {
    no(StatusCode::NOT_FOUND, Refusal::new("object", message))
}

/// The first of an answer's `list`, with `as_of` beside its own fields.
fn one_of(mut answer: Value, list: &str) -> Option<Value> {
    let as_of = answer["as_of"].take();
    let mut one = answer[list].as_array_mut()?.drain(..).next()?;
    one.as_object_mut()?.insert("as_of".to_owned(), as_of);
    Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_row_is_answered_with_what_it_was_seen_at() {
        let answer =
            json!({"as_of": {"log": 7}, "objects": [{"object": "Secret/shop/db", "revision": 2}]});
        assert_eq!(
            one_of(answer, "objects"),
            Some(json!({"as_of": {"log": 7}, "object": "Secret/shop/db", "revision": 2}))
        );
        assert_eq!(one_of(json!({"as_of": {}, "objects": []}), "objects"), None);
        assert_eq!(one_of(json!({"hostile": 1}), "objects"), None);
    }
}
