//! The view over HTTP: each path is one question to the aggregator, asked by whoever may ask it on the bus.
//!
//! | path | asks | of |
//! |---|---|---|
//! | `/v1/objects`, `/v1/objects/<object>` | `objects` | all, or one with its clusters |
//! | `/v1/explain/<object>`, `/v1/history/<object>`, `/v1/diff/<object>` | the same | one object |
//! | `/v1/clusters`, `/v1/held`, `/v1/strays`, `/v1/digest` | the same | the fleet |
//!
//! `<object>` is the full name as answers have it, or what a person would type where that is unambiguous. Parameters are those of the question:
//! `cluster`, `at`, `min_seq`, and for `diff` also `from` and `to`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::get;
use fleetcast_core::Refusal;
use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_schemas::envelope::parse_time;
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::subject;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{Caller, answer};

/// How long the view may be waited for, milliseconds.
const WAIT_MAX_MS: u64 = 10_000;

/// A no or a failure, as it is answered.
pub type Answered = Result<Response, Box<Response>>;

/// Whoever knows the view, or whom to ask.
pub trait View: Send + Sync + 'static {
    /// Asks `fc.query.…`; the answer as it is on the bus, also where that is a refusal.
    ///
    /// # Errors
    /// Where nobody answers: later it may be answered.
    fn ask(
        &self,
        subject: String,
        request: Value,
    ) -> impl Future<Output = Result<Value, String>> + Send;
}

/// What is asked of the fleet.
pub const OF_THE_FLEET: [&str; 5] = ["objects", "clusters", "held", "strays", "digest"];
/// What is asked of one object.
pub const OF_AN_OBJECT: [&str; 4] = ["objects", "explain", "history", "diff"];

/// The paths of the view.
pub fn routes<V: View>(view: &Arc<V>) -> Router {
    let mut routes = Router::new();
    for what in OF_THE_FLEET {
        let all = async move |State(view): State<Arc<V>>, parts: Parts| {
            either(fleet(&*view, what, &parts).await)
        };
        routes = routes.route(&format!("/v1/{what}"), get(all));
    }
    for what in OF_AN_OBJECT {
        let one =
            async move |State(view): State<Arc<V>>, Path(text): Path<String>, parts: Parts| {
                either(about(&*view, what, &text, &parts).await)
            };
        routes = routes.route(&format!("/v1/{what}/{{*object}}"), get(one));
    }
    routes.with_state(Arc::clone(view))
}

/// The parameters of a look.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Looking {
    cluster: Option<ClusterName>,
    min_seq: Option<u64>,
    at: Option<String>,
    from: Option<u64>,
    to: Option<u64>,
}

impl Looking {
    fn asked(self) -> Result<Map<String, Value>, Box<Response>> {
        let Self {
            cluster,
            min_seq,
            at,
            from,
            to,
        } = self;
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
        if let Some(cluster) = cluster {
            asked.insert("cluster".to_owned(), json!(cluster));
        }
        for (name, revision) in [("from", from), ("to", to)] {
            if let Some(revision) = revision {
                asked.insert(name.to_owned(), json!(revision));
            }
        }
        Ok(asked)
    }
}

/// What is asked of the fleet.
async fn fleet<V: View>(view: &V, what: &str, parts: &Parts) -> Answered {
    let asked = parameters::<Looking>(&parts.uri)?.asked()?;
    let subject = subject::query(what, None);
    let found = ask(view, caller(parts), subject, asked.into()).await?;
    Ok(answer::json(StatusCode::OK, &found))
}

/// What is asked of one object.
async fn about<V: View>(view: &V, what: &str, text: &str, parts: &Parts) -> Answered {
    let caller = caller(parts);
    let mut asked = parameters::<Looking>(&parts.uri)?.asked()?;
    let object = object(view, caller, text).await?;
    let is_cluster = (object.kind(), object.group()) == ("MemberCluster", "fleetcast.dev");
    let (subject, list) = match what {
        "objects" if is_cluster => {
            asked.insert("cluster".to_owned(), json!(object.name()));
            (subject::query("clusters", None), "clusters")
        }
        what => (subject::query(what, Some(&object)), what),
    };
    let found = ask(view, caller, subject, asked.into()).await?;
    if what != "objects" {
        return Ok(answer::json(StatusCode::OK, &found));
    }
    match one_of(found, list) {
        Some(found) => Ok(answer::json(StatusCode::OK, &found)),
        None => Err(unknown(&format!("there is no {}", object.for_people()))),
    }
}

/// The object that a path means: its full name as answers have it, or what a person would type where that is unambiguous.
///
/// # Errors
/// The answer that says why it means none.
pub async fn object<V: View>(
    view: &V,
    caller: &Caller,
    text: &str,
) -> Result<ObjectKey, Box<Response>> {
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
    let found = ask(view, caller, subject::query("objects", None), asked).await?;
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

/// Asks the view for somebody who may ask that.
async fn ask<V: View>(
    view: &V,
    caller: &Caller,
    subject: String,
    request: Value,
) -> Result<Value, Box<Response>> {
    permit(caller, &subject)?;
    let answer = view.ask(subject, request).await.map_err(unavailable)?;
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

/// Whether the caller may do on the bus what is to be done for him.
///
/// # Errors
/// The answer that says no.
pub fn permit(caller: &Caller, subject: &str) -> Result<(), Box<Response>> {
    if caller.may(subject) {
        return Ok(());
    }
    let Caller { name, role, limits } = caller;
    let within = match limits.kinds.is_empty() && limits.namespaces.is_empty() {
        true => String::new(),
        false => " within the kinds and namespaces of its token, by their full names".to_owned(),
    };
    Err(no(
        StatusCode::FORBIDDEN,
        Refusal::new(
            "authorization",
            format!(
                "{name} may do what a {} may{within}, and not {subject}",
                role.word()
            ),
        ),
    ))
}

/// Who asks.
pub fn caller(parts: &Parts) -> &Caller {
    let caller = parts.extensions.get::<Caller>();
    caller.expect("nobody gets here without a token")
}

/// The parameters of a request.
///
/// # Errors
/// The answer that says what is wrong with them.
pub fn parameters<T: serde::de::DeserializeOwned>(uri: &Uri) -> Result<T, Box<Response>> {
    Query::try_from_uri(uri)
        .map(|Query(parameters)| parameters)
        .map_err(|error| {
            no(
                StatusCode::BAD_REQUEST,
                Refusal::new("query", error.to_string()),
            )
        })
}

/// The answer, whichever it is.
pub fn either(answered: Answered) -> Response {
    answered.unwrap_or_else(|response| *response)
}

/// A no.
pub fn no(status: StatusCode, refusal: Refusal) -> Box<Response> {
    let Refusal { field, message } = refusal;
    Box::new(answer::refused(status, &field, message))
}

/// A failure that passes.
pub fn unavailable(error: impl std::fmt::Display) -> Box<Response> {
    Box::new(answer::unavailable(error.to_string()))
}

/// There is no such object.
pub fn unknown(message: &str) -> Box<Response> {
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
