//! Answers in JSON, and bodies within their limits.
//!
//! | status | body |
//! |---|---|
//! | 200 | what was asked for |
//! | 4xx | `{"refusal": {"document": 0, "field", "message"}}`: repeating it changes nothing |
//! | 429 | the same, with `Retry-After`: later it is taken |
//! | 503 | `{"error": {"message"}}`: repeating it later helps (`Retry-After`, seconds) |

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use fleetcast_core::Refusal;
use fleetcast_schemas::request::Answer;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use serde::Serialize;
use serde_json::json;

use crate::limits::Limits;

/// How long the body of a request may take to arrive: among its extensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(pub(crate) Duration);

/// An answer in JSON.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body =
        serde_json::to_vec(body).expect("answers have only string keys, so they always serialize");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A no: repeating changes nothing.
pub fn refused(status: StatusCode, field: &str, message: impl Into<String>) -> Response {
    json(status, &Answer::refused(Refusal::new(field, message)))
}

/// Somebody asks too often, or for too much at once: later it is taken.
pub fn too_many(message: &str, later: Duration) -> Response {
    let mut response = refused(StatusCode::TOO_MANY_REQUESTS, "authorization", message);
    let seconds = later.as_secs() + u64::from(later.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    response
}

/// A failure that passes.
pub fn unavailable(message: impl Into<String>) -> Response {
    let message: String = message.into();
    let mut response = json(
        StatusCode::SERVICE_UNAVAILABLE,
        &json!({"error": {"message": message}}),
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Nobody is there under that path.
pub(crate) fn not_found(path: &str) -> Response {
    refused(
        StatusCode::NOT_FOUND,
        "path",
        format!("there is no {path}; GET /openapi.json says what there is"),
    )
}

/// Who asks is not known.
pub(crate) fn unauthorized(message: &str) -> Response {
    let mut response = refused(StatusCode::UNAUTHORIZED, "authorization", message);
    response.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"fleetcast\""),
    );
    response
}

/// The methods that a path knows are in `Allow`, where the router said so.
pub(crate) fn wrong_method(method: &str, allow: Option<HeaderValue>) -> Response {
    let mut response = refused(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        format!("{method} is not known here"),
    );
    if let Some(allow) = allow {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

/// Reads a request's body of at most `limit` bytes, as slow as the listener lets it be.
///
/// # Errors
/// The answer that says why not: too long, too slow, broken off.
// The answer is what the caller sends: it is as large as it is.
#[allow(clippy::result_large_err)]
pub async fn body(parts: &Parts, body: Body, limit: usize) -> Result<Vec<u8>, Response> {
    let Patience(patience) = *parts
        .extensions
        .get()
        .unwrap_or(&Patience(Limits::default().body));
    let too_long = || {
        let message = format!("the body is longer than {limit} bytes");
        refused(StatusCode::PAYLOAD_TOO_LARGE, "", message)
    };
    // What says that it is too long is not waited for.
    if body.size_hint().lower() > u64::try_from(limit).unwrap_or(u64::MAX) {
        return Err(too_long());
    }
    let collected = tokio::time::timeout(patience, Limited::new(body, limit).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_long()),
        Ok(Err(error)) => Err(refused(
            StatusCode::BAD_REQUEST,
            "",
            format!("the body broke off: {error}"),
        )),
        Err(_) => Err(refused(
            StatusCode::REQUEST_TIMEOUT,
            "",
            format!("the body took longer than {patience:?}: send it again"),
        )),
    }
}
