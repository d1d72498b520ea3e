//! The door over HTTP: documents in, answers out, each handed on over the bus to whoever leads or keeps the view.
//!
//! | request | handed on to | answer |
//! |---|---|---|
//! | `POST /v1/objects` | `fc.in.apply.<object>` | [`fleetcast_schemas::request::Accepted`] |
//! | `DELETE /v1/objects/<object>` | `fc.in.delete.<object>` | the same |
//! | `GET /v1/…` | `fc.query.…` | the view ([`fleetcast_endpoint::view`]) |
//! | `GET /openapi.json` | – | [`fleetcast_schemas::http::openapi`] |
//!
//! An ingest process that does not lead answers as one that does, since both ask the bus. Whoever bears a token may do what its role may on the bus.

mod read;

use std::sync::Arc;
use std::time::Duration;

use fleetcast_bus::Bus;
use fleetcast_core::Refusal;
use fleetcast_core::change::Together;
use fleetcast_core::intake::never_declared;
use fleetcast_endpoint::axum::Router;
use fleetcast_endpoint::axum::extract::{Path, Request, State};
use fleetcast_endpoint::axum::http::header::CONTENT_TYPE;
use fleetcast_endpoint::axum::http::request::Parts;
use fleetcast_endpoint::axum::http::{HeaderMap, HeaderValue, StatusCode};
use fleetcast_endpoint::axum::response::Response;
use fleetcast_endpoint::axum::routing::{delete, get, post};
use fleetcast_endpoint::shares::Shares;
use fleetcast_endpoint::view::{
    self, Answered, View, either, no, parameters, permit, unavailable, unknown,
};
use fleetcast_endpoint::{Caller, answer};
use fleetcast_schemas::envelope::{DATACONTENTTYPE, Headers};
use fleetcast_schemas::request::{Answer, Withdrawal};
use fleetcast_schemas::role::Role;
use fleetcast_schemas::role::limits::Limits;
use fleetcast_schemas::{Message, codec, http, subject};
use fleetcast_sealing::Sealing;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};

use crate::documents::DOCUMENT_LIMIT;

/// How many documents are read at the same time; each may be as large as one may be.
const DOCUMENTS: usize = 64;
/// How many of them may be of one name: whoever sends slowly keeps nobody else waiting.
const OF_ONE: usize = 16;
/// How long a change may take until it is in the log: as long as another process needs to take over.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest answer of the view that is passed on, bytes: an object in 100,000 clusters.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// How long the view may take to answer, with what it waits for.
const ASKING: Duration = Duration::from_secs(20);

struct Door {
    bus: Bus,
    sealing: Sealing,
    documents: Semaphore,
    of_each: Shares,
}

/// Answers on `door` until `stop` says so.
pub(crate) async fn serve(
    door: Arc<fleetcast_endpoint::Door>,
    bus: Bus,
    sealing: Sealing,
    stop: watch::Receiver<bool>,
) {
    let asked = Arc::new(Door {
        bus,
        sealing,
        documents: Semaphore::new(DOCUMENTS),
        of_each: Shares::new(OF_ONE),
    });
    let open = Router::new().route("/openapi.json", get(openapi));
    let closed = Router::new()
        .route("/v1/objects", post(apply))
        .route("/v1/objects/{*object}", delete(withdraw))
        .with_state(Arc::clone(&asked))
        .merge(view::routes(&asked));
    tracing::info!(address = %door.address(), "listening for HTTP");
    door.serve(open, closed, stop).await;
}

/// Whether a body of this content type is read, by somebody who may hand in anything.
pub(crate) fn reads(content_type: &str, body: &[u8], sealing: &Sealing) -> bool {
    let Ok(content_type) = HeaderValue::from_str(content_type) else {
        return false;
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, content_type)]);
    let caller = Caller {
        name: "anybody".to_owned(),
        role: Role::Publisher,
        limits: Limits::default(),
    };
    let placing = read::Placing::default();
    read::document(&headers, body.to_vec(), &placing, &caller, sealing).is_ok()
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

/// Whoever may hand in at all: what he is limited to is looked at once it is known what he hands in.
fn publisher(parts: &Parts) -> Result<&Caller, Box<Response>> {
    let caller = view::caller(parts);
    match caller.role {
        Role::Publisher | Role::Operator => Ok(caller),
        Role::Reader | Role::Agent | Role::Ingest | Role::Aggregator => Err(no(
            StatusCode::FORBIDDEN,
            Refusal::new(
                "authorization",
                format!("{} may read, and hand in nothing", caller.name),
            ),
        )),
    }
}

/// The parameters of a withdrawal.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawing {
    #[serde(default)]
    orphan: bool,
    together: Option<String>,
    objects: Option<u64>,
    in_namespace: Option<u64>,
}

impl Withdrawing {
    /// What it says; what is announced of others has three parameters.
    fn read(self) -> Result<Withdrawal, Refusal> {
        let Self {
            orphan,
            together,
            objects,
            in_namespace,
        } = self;
        let together = match (together, objects, in_namespace) {
            (None, None, None) => None,
            (Some(id), Some(objects), Some(in_namespace)) => Some(Together {
                id,
                objects,
                in_namespace,
            }),
            _ => {
                let message = "goes with objects and in_namespace: name all three";
                return Err(Refusal::new("together", message));
            }
        };
        Ok(Withdrawal { orphan, together })
    }
}

impl Door {
    async fn apply(&self, request: Request) -> Answered {
        let (parts, body) = request.into_parts();
        let caller = publisher(&parts)?;
        let placing: read::Placing = parameters(&parts.uri)?;
        let Some(_share) = self.of_each.within(&caller.name, PATIENCE).await else {
            let message = format!("{OF_ONE} documents of {} are being read", caller.name);
            return Err(Box::new(answer::too_many(&message, PATIENCE)));
        };
        let turn = tokio::time::timeout(PATIENCE, self.documents.acquire()).await;
        let _turn = turn
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| unavailable("too many documents are being read"))?;
        let bytes = answer::body(&parts, body, DOCUMENT_LIMIT + 64 * 1024).await?;
        let handed = read::document(&parts.headers, bytes, &placing, caller, &self.sealing)
            .map_err(|(status, refusal)| no(status, refusal))?;
        let (target, message) = handed;
        permit(caller, &message.subject)?;
        tracing::debug!(object = %target, caller = caller.name, "handed in over HTTP");
        answered(self.submit(message).await)
    }

    async fn withdraw(&self, text: &str, parts: &Parts) -> Answered {
        let caller = publisher(parts)?;
        let withdrawing: Withdrawing = parameters(&parts.uri)?;
        let withdrawal = withdrawing
            .read()
            .map_err(|refusal| no(StatusCode::BAD_REQUEST, refusal))?;
        let object = view::object(self, caller, text).await?;
        permit(caller, &subject::delete(&object))?;
        let headers = read::origin(&parts.headers, caller)
            .map_err(|refusal| no(StatusCode::BAD_REQUEST, refusal))?;
        let payload = serde_json::to_vec(&withdrawal);
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
}

impl View for Door {
    async fn ask(&self, subject: String, request: Value) -> Result<Value, String> {
        let message = Message {
            subject,
            headers: Headers::default().with(DATACONTENTTYPE, codec::JSON),
            payload: request.to_string().into_bytes(),
        };
        let answer = self.bus.request(message, ANSWER_LIMIT, ASKING).await;
        let answer = answer.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())
    }
}
