//! What an API server's no means for the work: to be refused, to be tried again, or to be decided anew.

use kube::Error;
use kube::core::Status;

/// The longest pause that a server may ask for, seconds.
const BUSY_MAX_S: u32 = 300;

/// What an API server's no means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum No {
    /// It will not work until somebody changes something.
    Refuse(String),
    /// A field of the object that is there cannot be changed.
    Immutable(String),
    /// Other managers own fields that we set; the fields as the server names them.
    Conflict(String, Vec<String>),
    /// It may work later.
    Retry(String),
    /// What it stands in is not there yet.
    Wait(String),
    /// It may work after so many milliseconds, says the server.
    Busy(String, i64),
    /// The object changed in between: look again.
    Changed(String),
    /// The object is not there.
    Absent,
    /// The server does not serve this kind (any more).
    Unserved(String),
}

/// Reads an error. Where the object is a secret no words of the server are passed on but the fields that they are about, since they may quote values.
pub(super) fn read(error: &Error, is_secret: bool) -> No {
    match error {
        Error::Api(status) => read_status(status, is_secret),
        Error::BuildRequest(_) | Error::HttpError(_) => {
            No::Refuse("the name cannot stand in a request to the cluster's API server".to_owned())
        }
        Error::SerdeError(_) | Error::FromUtf8(_) => {
            No::Retry("the cluster's API server answers with something that is not JSON".to_owned())
        }
        Error::Discovery(error) => No::Retry(format!(
            "the cluster's API server does not say what it serves: {error}"
        )),
        other => No::Retry(format!("the cluster's API server does not answer: {other}")),
    }
}

fn read_status(status: &Status, is_secret: bool) -> No {
    let message = said(status, is_secret);
    let cause = |reason: &str| causes(status).any(|cause| cause.reason == reason);
    let about = status.details.as_ref();
    match status.code {
        404 => match about {
            Some(details) if details.name.is_empty() => No::Unserved(message),
            Some(details) if details.kind == "namespaces" => No::Wait(format!(
                "waits for namespace {:?}: it is not there yet",
                details.name
            )),
            Some(_) => No::Absent,
            None => No::Unserved(message),
        },
        409 if cause("FieldManagerConflict") => {
            let fields = causes(status).map(|cause| cause.field.clone()).collect();
            No::Conflict(message, fields)
        }
        409 if status.reason == "AlreadyExists" => No::Refuse(message),
        409 => No::Changed(message),
        422 if never_changes(&status.message) => No::Immutable(message),
        403 if cause("NamespaceTerminating") || lacks_right(&status.message) => No::Retry(message),
        429 | 500.. if about.is_some_and(|about| about.retry_after_seconds > 0) => {
            let seconds = about.map_or(0, |about| about.retry_after_seconds);
            No::Busy(message, i64::from(seconds.min(BUSY_MAX_S)) * 1_000)
        }
        401 | 408 | 425 | 429 | 500.. => No::Retry(message),
        _ => No::Refuse(message),
    }
}

/// Whether the server blames a field that cannot be changed. Not all kinds call it immutable; the words are those of Kubernetes 1.36, and
/// `tests/tests/conformance/objects.rs` holds them against a real server.
fn never_changes(message: &str) -> bool {
    const WORDS: [&str; 6] = [
        "immutable",
        "may not change once set",
        "cannot change roleRef",
        "updates to statefulset spec for fields other than",
        "updates to provisioner are forbidden",
        "updates to parameters are forbidden",
    ];
    WORDS.iter().any(|words| message.contains(words))
}

/// Whether it is the agent that may not, and not the object that must not be: `… is forbidden: User "…" cannot patch resource "…"`. Somebody may
/// give the right.
fn lacks_right(message: &str) -> bool {
    message.contains("is forbidden: User \"") && message.contains(" cannot ")
}

fn causes(status: &Status) -> impl Iterator<Item = &kube::core::response::StatusCause> {
    status.details.iter().flat_map(|details| &details.causes)
}

/// What the server said, in one line.
fn said(status: &Status, is_secret: bool) -> String {
    if !is_secret {
        let words: Vec<&str> = status.message.split_whitespace().collect();
        return match words.as_slice() {
            [] => format!("the cluster's API server answers {}", status.code),
            words => words.join(" "),
        };
    }
    let fields: Vec<&str> = causes(status).map(|cause| cause.field.as_str()).collect();
    let managers = causes(status)
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| format!(", {}", cause.message));
    format!(
        "the cluster's API server answers {} {} (fields: {}{})",
        status.code,
        status.reason,
        fields.join(", "),
        managers.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::{StatusCause, StatusDetails};

    fn status(code: u16, reason: &str, message: &str) -> Status {
        Status::failure(message, reason).with_code(code)
    }

    fn about(mut status: Status, kind: &str, name: &str, cause: &str) -> Status {
        status.details = Some(StatusDetails {
            name: name.to_owned(),
            group: String::new(),
            kind: kind.to_owned(),
            uid: String::new(),
            causes: vec![StatusCause {
                reason: cause.to_owned(),
                message: "conflict with \"kubectl\"".to_owned(),
                field: ".data.a".to_owned(),
            }],
            retry_after_seconds: 0,
        });
        status
    }

    /// Each kind of no, as real API servers word it, and what follows from it.
    #[test]
    fn each_no_has_its_consequence() {
        let text = |text: &str| text.to_owned();
        for (status, expected) in [
            (
                about(
                    status(404, "NotFound", "namespaces \"shop\" not found"),
                    "namespaces",
                    "shop",
                    "",
                ),
                No::Wait(text("waits for namespace \"shop\": it is not there yet")),
            ),
            (
                about(
                    status(404, "NotFound", "configmaps \"a\" not found"),
                    "configmaps",
                    "a",
                    "",
                ),
                No::Absent,
            ),
            (
                about(
                    status(
                        404,
                        "NotFound",
                        "the server could not find the requested resource",
                    ),
                    "",
                    "",
                    "",
                ),
                No::Unserved(text("the server could not find the requested resource")),
            ),
            (
                status(404, "", "404 page not found"),
                No::Unserved(text("404 page not found")),
            ),
            (
                about(
                    status(
                        409,
                        "Conflict",
                        "Apply failed with 1 conflict: conflict with \"kubectl\": .data.a",
                    ),
                    "",
                    "",
                    "FieldManagerConflict",
                ),
                No::Conflict(
                    text("Apply failed with 1 conflict: conflict with \"kubectl\": .data.a"),
                    vec![text(".data.a")],
                ),
            ),
            (
                status(
                    409,
                    "Conflict",
                    "Operation cannot be fulfilled:\n please apply",
                ),
                No::Changed(text("Operation cannot be fulfilled: please apply")),
            ),
            (
                status(409, "AlreadyExists", "already exists"),
                No::Refuse(text("already exists")),
            ),
            (
                status(422, "Invalid", "spec.selector: field is immutable"),
                No::Immutable(text("spec.selector: field is immutable")),
            ),
            (
                status(
                    422,
                    "Invalid",
                    "spec.clusterIPs[0]: may not change once set",
                ),
                No::Immutable(text("spec.clusterIPs[0]: may not change once set")),
            ),
            (
                status(422, "Invalid", "roleRef: cannot change roleRef"),
                No::Immutable(text("roleRef: cannot change roleRef")),
            ),
            (
                status(
                    403,
                    "Forbidden",
                    "a is forbidden: User \"b\" cannot patch resource",
                ),
                No::Retry(text("a is forbidden: User \"b\" cannot patch resource")),
            ),
            (
                status(422, "Invalid", "spec.replicas: must be positive"),
                No::Refuse(text("spec.replicas: must be positive")),
            ),
            (
                status(400, "BadRequest", "strict decoding error"),
                No::Refuse(text("strict decoding error")),
            ),
            (
                status(403, "Forbidden", "cannot patch"),
                No::Refuse(text("cannot patch")),
            ),
            (
                about(
                    status(403, "Forbidden", "is being terminated"),
                    "",
                    "",
                    "NamespaceTerminating",
                ),
                No::Retry(text("is being terminated")),
            ),
            (
                status(401, "Unauthorized", "Unauthorized"),
                No::Retry(text("Unauthorized")),
            ),
            (status(413, "", "too large"), No::Refuse(text("too large"))),
            (
                status(429, "TooManyRequests", "slow down"),
                No::Retry(text("slow down")),
            ),
            (
                {
                    let mut busy = about(status(429, "TooManyRequests", "slow down"), "", "", "");
                    if let Some(details) = &mut busy.details {
                        details.retry_after_seconds = 7;
                    }
                    busy
                },
                No::Busy(text("slow down"), 7_000),
            ),
            (
                status(500, "InternalError", "etcd"),
                No::Retry(text("etcd")),
            ),
            (
                status(503, "", ""),
                No::Retry(text("the cluster's API server answers 503")),
            ),
        ] {
            assert_eq!(read_status(&status, false), expected, "{status:?}");
        }
    }

    /// Nothing that the server says about a secret's values is passed on.
    #[test]
    fn a_secrets_values_are_not_quoted() {
        let no = about(
            status(422, "Invalid", "data.a: Invalid value: \"hunter2\""),
            "Secret",
            "db",
            "FieldValueInvalid",
        );
        assert_eq!(
            read_status(&no, true),
            No::Refuse("the cluster's API server answers 422 Invalid (fields: .data.a)".to_owned())
        );
        let no = about(
            status(409, "Conflict", "hunter2"),
            "Secret",
            "db",
            "FieldManagerConflict",
        );
        assert_eq!(
            read_status(&no, true),
            No::Conflict(
                "the cluster's API server answers 409 Conflict (fields: .data.a, conflict with \"kubectl\")"
                    .to_owned(),
                vec![".data.a".to_owned()]
            )
        );
    }
}
