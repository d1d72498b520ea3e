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

    /// Each kind of no, as real API servers word it (code, reason, message, and what it is about: kind, name, cause), and what follows from it.
    #[test]
    fn each_no_has_its_consequence() {
        type Means = fn(String) -> No;
        let changes: Means = No::Changed;
        let (refuse, never, retry): (Means, Means, Means) = (No::Refuse, No::Immutable, No::Retry);
        for (code, reason, message, of, means) in [
            (
                404,
                "NotFound",
                "the server could not find the requested resource",
                Some(("", "", "")),
                No::Unserved as Means,
            ),
            (404, "", "404 page not found", None, No::Unserved),
            (
                409,
                "Conflict",
                "Operation cannot be fulfilled: please apply",
                None,
                changes,
            ),
            (409, "AlreadyExists", "already exists", None, refuse),
            (
                422,
                "Invalid",
                "spec.selector: field is immutable",
                None,
                never,
            ),
            (
                422,
                "Invalid",
                "spec.clusterIPs[0]: may not change once set",
                None,
                never,
            ),
            (
                422,
                "Invalid",
                "roleRef: cannot change roleRef",
                None,
                never,
            ),
            (
                422,
                "Invalid",
                "spec.replicas: must be positive",
                None,
                refuse,
            ),
            (
                403,
                "Forbidden",
                "a is forbidden: User \"b\" cannot patch resource",
                None,
                retry,
            ),
            (403, "Forbidden", "cannot patch", None, refuse),
            (
                403,
                "Forbidden",
                "is being terminated",
                Some(("", "", "NamespaceTerminating")),
                retry,
            ),
            (400, "BadRequest", "strict decoding error", None, refuse),
            (401, "Unauthorized", "Unauthorized", None, retry),
            (413, "", "too large", None, refuse),
            (429, "TooManyRequests", "slow down", None, retry),
            (500, "InternalError", "etcd", None, retry),
        ] {
            let mut no = status(code, reason, message);
            if let Some((kind, name, cause)) = of {
                no = about(no, kind, name, cause);
            }
            assert_eq!(read_status(&no, false), means(message.to_owned()), "{no:?}");
        }
    }

    /// What a no names is in what follows: the namespace that is waited for, the fields of a conflict, the pause; and it is told in one line.
    #[test]
    fn what_a_no_names_is_kept() {
        let text = |text: &str| text.to_owned();
        let missing = |kind, name| about(status(404, "NotFound", "not found"), kind, name, "");
        let conflict = status(409, "Conflict", "Apply failed with 1 conflict:\n .data.a");
        let mut busy = about(status(429, "TooManyRequests", "slow down"), "", "", "");
        if let Some(details) = &mut busy.details {
            details.retry_after_seconds = 7;
        }
        for (no, expected) in [
            (
                missing("namespaces", "shop"),
                No::Wait(text("waits for namespace \"shop\": it is not there yet")),
            ),
            (missing("configmaps", "a"), No::Absent),
            (
                about(conflict, "", "", "FieldManagerConflict"),
                No::Conflict(
                    text("Apply failed with 1 conflict: .data.a"),
                    vec![text(".data.a")],
                ),
            ),
            (busy, No::Busy(text("slow down"), 7_000)),
            (
                status(503, "", ""),
                No::Retry(text("the cluster's API server answers 503")),
            ),
        ] {
            assert_eq!(read_status(&no, false), expected, "{no:?}");
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
