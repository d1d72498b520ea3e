//! `Status`: how an API server says no.

use serde_json::{Value, json};

use crate::apply::{Conflict, NotApplied};
use crate::kind::{Kind, Version};

/// A request that was refused, as the `Status` object that answers it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// The HTTP status code.
    pub(crate) code: u16,
    /// The machine-readable reason (`NotFound`); empty where the real server gives none.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// `details`, or null.
    pub(crate) details: Value,
}

impl Failure {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Failure {
            code,
            reason,
            message: message.into(),
            details: Value::Null,
        }
    }

    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message, "reason": self.reason,
        });
        if !self.details.is_null() {
            body["details"] = self.details.clone();
        }
        body["code"] = json!(self.code);
        body
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Failure::new(400, "BadRequest", message)
    }

    /// A path or a kind that this server does not serve.
    pub(crate) fn unknown_path() -> Self {
        Failure {
            details: json!({}),
            ..Failure::new(
                404,
                "NotFound",
                "the server could not find the requested resource",
            )
        }
    }

    pub(crate) fn method_not_allowed() -> Self {
        Failure {
            details: json!({}),
            ..Failure::new(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
            )
        }
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Failure::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", kind.resource),
        )
        .about(kind, name)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        Failure::new(
            409,
            "AlreadyExists",
            format!("{} {name:?} already exists", kind.resource),
        )
        .about(kind, name)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {why}",
            kind.resource
        );
        Failure::new(409, "Conflict", message).about(kind, name)
    }

    pub(crate) fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        Failure::new(
            403,
            "Forbidden",
            format!("{} {name:?} is forbidden: {why}", kind.resource),
        )
        .about(kind, name)
    }

    /// An object that is not valid, with the field that is to blame.
    pub(crate) fn invalid(kind: &Kind, name: &str, invalid: Invalid) -> Self {
        let qualified = if kind.group.is_empty() {
            kind.kind.clone()
        } else {
            format!("{}.{}", kind.kind, kind.group)
        };
        let message = format!(
            "{qualified} {name:?} is invalid: {}: {}",
            invalid.field, invalid.message
        );
        let details = json!({
            "name": name, "group": kind.group, "kind": kind.kind,
            "causes": [{"reason": invalid.reason, "message": invalid.message, "field": invalid.field}],
        });
        Failure {
            details,
            ..Failure::new(422, "Invalid", message)
        }
    }

    /// A body or an object that is larger than the server takes.
    pub(crate) fn too_large(limit_bytes: usize) -> Self {
        Failure::new(
            413,
            "RequestEntityTooLarge",
            format!("Request entity too large: limit is {limit_bytes}"),
        )
    }

    /// A watch or a page from before what is still remembered.
    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Failure::new(410, "Expired", message)
    }

    /// The answer to an apply that was not carried out, in the real server's words.
    pub(crate) fn not_applied(
        kind: &Kind,
        version: &Version,
        namespace: &str,
        name: &str,
        refused: NotApplied,
    ) -> Self {
        match refused {
            NotApplied::BadItem(bad) => {
                let message = format!(
                    "failed to create typed patch object ({namespace}/{name}; {}, Kind={}): {}: {}",
                    version.api_version, kind.kind, bad.list, bad.problem
                );
                Failure::new(500, "", message)
            }
            NotApplied::Conflicts(conflicts) => {
                let message = match conflicts.as_slice() {
                    [only] => format!(
                        "Apply failed with 1 conflict: conflict with {}: {}",
                        only.manager, only.field
                    ),
                    many => {
                        let mut lines: Vec<String> = Vec::new();
                        let mut manager = None;
                        for conflict in many {
                            if manager != Some(&conflict.manager) {
                                lines.push(format!("conflicts with {}:", conflict.manager));
                                manager = Some(&conflict.manager);
                            }
                            lines.push(format!("- {}", conflict.field));
                        }
                        format!(
                            "Apply failed with {} conflicts: {}",
                            many.len(),
                            lines.join("\n")
                        )
                    }
                };
                let cause = |conflict: &Conflict| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {}", conflict.manager), "field": conflict.field});
                Failure::new(409, "Conflict", message)
                    .with_causes(conflicts.iter().map(cause).collect())
            }
        }
    }

    /// A refusal that a test ordered: the reason follows from the code.
    pub(crate) fn ordered(code: u16, message: &str) -> Self {
        let reason = match code {
            400 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            413 => "RequestEntityTooLarge",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "",
        };
        Failure::new(code, reason, message)
    }

    fn about(self, kind: &Kind, name: &str) -> Self {
        let mut details = json!({"name": name});
        if !kind.group.is_empty() {
            details["group"] = json!(kind.group);
        }
        details["kind"] = json!(kind.plural);
        Failure { details, ..self }
    }

    /// States what caused the refusal.
    pub(crate) fn with_causes(mut self, causes: Value) -> Self {
        if !self.details.is_object() {
            self.details = json!({});
        }
        self.details["causes"] = causes;
        self
    }
}

/// A field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    /// `FieldValueInvalid` and the like.
    pub(crate) reason: &'static str,
    /// `spec.selector`.
    pub(crate) field: String,
    pub(crate) message: String,
}

impl Invalid {
    pub(crate) fn value(field: impl Into<String>, value: &Value, why: &str) -> Self {
        Invalid {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    pub(crate) fn required(field: impl Into<String>, why: &str) -> Self {
        Invalid {
            reason: "FieldValueRequired",
            field: field.into(),
            message: format!("Required value: {why}"),
        }
    }

    pub(crate) fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Invalid {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {why}"),
        }
    }

    pub(crate) fn too_long(field: impl Into<String>, limit_bytes: usize) -> Self {
        let message = format!("Too long: may not be more than {limit_bytes} bytes");
        Invalid {
            reason: "FieldValueTooLong",
            field: field.into(),
            message,
        }
    }
}
