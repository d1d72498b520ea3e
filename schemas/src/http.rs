//! What `fleetcast ingest --http` and, but for changes, `fleetcast aggregator --http` serve, as an OpenAPI 3.1 document: generated from the types of [`crate::request`].
//!
//! `schemas/http/openapi.json` is this document; `tests/tests/http.rs` holds the server to it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::request::{Accepted, DocumentRefusal};

/// The OpenAPI document.
pub fn openapi() -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Fleetcast",
            "version": "1",
            "description": "Hand objects in for many Kubernetes clusters, withdraw them, and see where they are.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"token": []}],
        "paths": {
            "/v1/objects": {"post": apply(), "get": ask("objects", "Every object, and in how many clusters it stands how")},
            "/v1/objects/{object}": {"parameters": [object()], "get": look(), "delete": withdraw()},
            "/v1/explain/{object}": {"parameters": [object()], "get": ask("explain", "The causal chain of an object, and the first broken link")},
            "/v1/history/{object}": {"parameters": [object()], "get": ask("history", "Every revision of an object")},
            "/v1/diff/{object}": {"parameters": [object()], "get": ask("diff", "Two revisions of an object, field by field; values of Secrets are not told")},
            "/v1/clusters": {"get": ask("clusters", "Every cluster, and how it stands")},
            "/v1/held": {"get": ask("held", "Removals that wait for a confirmation")},
            "/v1/strays": {"get": ask("strays", "What carries our marks in clusters and is in nobody's work")},
            "/v1/digest": {"get": ask("digest", "The digest of the whole view")},
            "/healthz": {"get": probe("Whether the process answers", "It does.")},
            "/readyz": {"get": probe("Whether the process is connected, leads or stands by, and is not too far behind", "It is.")},
            "/metrics": {"get": metrics()},
            "/openapi.json": {"get": {
                "operationId": "openapi", "summary": "This document", "security": [],
                "responses": {"200": {"description": "This document", "content": {"application/json": {"schema": {"type": "object"}}}}},
            }},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
            "responses": {
                "Refused": refusal("It is refused: repeating it changes nothing."),
                "Unknown": refusal("There is no such object."),
                "Unauthorized": refusal("The token is missing, or nobody knows it."),
                "Forbidden": refusal("The token's role, or what it is limited to, does not have this."),
                "TooMany": refusal("The token is used too often, or for too much at once: the same request later is taken (`Retry-After`)."),
                "Unavailable": {
                    "description": "Nobody leads, or the view is not so far: the same request later helps.",
                    "headers": {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer"}}},
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                },
            },
        },
    })
}

fn apply() -> Value {
    let document = json!({
        "type": "object",
        "description": "A FederatedObject, a policy, a MemberCluster, or a plain object; any dialect that `fleetcast apply` reads.",
        "required": ["apiVersion", "kind", "metadata"],
    });
    let event = json!({
        "type": "object",
        "description": "A CloudEvent in structured mode. In binary mode the document is the body, and the attributes are headers: ce-specversion, ce-type, ce-source, ce-id.",
        "required": ["specversion", "type", "source", "id", "data"],
        "properties": {
            "specversion": {"type": "string", "pattern": "^1\\."},
            "type": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1, "maxLength": 512},
            "id": {"type": "string", "minLength": 1, "maxLength": 512},
            "data": document,
        },
    });
    let clusters = json!({
        "name": "clusters", "in": "query", "schema": {"type": "string"}, "example": "eu-1,us-1",
        "description": "The clusters that a plain object goes to; policies place it where they are not named.",
    });
    json!({
        "operationId": "apply",
        "summary": "Hand in a document: a change, with a revision of its own unless the newest one says the same",
        "description": "A repeat under the same source and id gets the first answer, however old. Without an id each request is a change of its own.",
        "parameters": [clusters, attribute("ce-source"), attribute("ce-id")],
        "requestBody": {"required": true, "content": {
            "application/json": {"schema": document},
            "application/yaml": {"schema": document},
            "application/cloudevents+json": {"schema": event},
        }},
        "responses": answers(json!({
            "200": {"description": "It is in the log.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}}},
            "408": {"$ref": "#/components/responses/Refused"},
            "413": {"$ref": "#/components/responses/Refused"},
            "415": {"$ref": "#/components/responses/Refused"},
            "422": {"$ref": "#/components/responses/Refused"},
        })),
    })
}

fn withdraw() -> Value {
    let orphan = json!({
        "name": "orphan", "in": "query", "schema": {"type": "boolean", "default": false},
        "description": "Whether the clusters keep their copies.",
    });
    let count = |name: &str, description: &str| json!({"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0}, "description": description});
    let together = json!({
        "name": "together", "in": "query", "schema": {"type": "string", "maxLength": 128},
        "description": "What this withdrawal has in common with others that belong to it: where all of them are too many to go without a word, the first already waits. With objects and in_namespace.",
    });
    let objects = count("objects", "How many objects are withdrawn together.");
    let in_namespace = count(
        "in_namespace",
        "How many of them are in this one's namespace.",
    );
    json!({
        "operationId": "withdraw",
        "summary": "Withdraw an object: a change, after which the clusters remove it",
        "parameters": [orphan, together, objects, in_namespace, attribute("ce-source"), attribute("ce-id")],
        "responses": answers(json!({
            "200": {"description": "It is in the log.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Accepted"}}}},
            "404": {"$ref": "#/components/responses/Unknown"},
            "409": {"$ref": "#/components/responses/Refused"},
            "422": {"$ref": "#/components/responses/Refused"},
        })),
    })
}

fn look() -> Value {
    json!({
        "operationId": "look",
        "summary": "Where an object is, cluster by cluster",
        "parameters": [
            {"name": "min_seq", "in": "query", "schema": {"type": "integer", "minimum": 0}, "description": "Wait (up to 10 s) until the view knows the log up to this sequence: that of an answer to a change."},
            {"name": "cluster", "in": "query", "schema": {"type": "string"}, "description": "Only this cluster."},
            {"name": "at", "in": "query", "schema": {"type": "string"}, "description": "A log sequence or an RFC 3339 time: as it was then."},
        ],
        "responses": answers(json!({
            "200": {"description": "The object, as far as the view is folded.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Object"}}}},
            "404": {"$ref": "#/components/responses/Unknown"},
            "409": {"$ref": "#/components/responses/Refused"},
        })),
    })
}

fn ask(what: &str, summary: &str) -> Value {
    let parameter = |name: &str, kind: &str, description: &str| json!({"name": name, "in": "query", "schema": {"type": kind}, "description": description});
    let mut parameters = vec![
        parameter(
            "min_seq",
            "integer",
            "Wait (up to 10 s) until the view knows the log up to this sequence.",
        ),
        parameter("cluster", "string", "Only this cluster."),
        parameter(
            "at",
            "string",
            "A log sequence or an RFC 3339 time: as it was then.",
        ),
    ];
    if what == "diff" {
        parameters.push(parameter("from", "integer", "The earlier revision."));
        parameters.push(parameter("to", "integer", "The later revision."));
    }
    let mut own = json!({
        "200": {"description": format!("What `fc.query.{what}` answers."), "content": {"application/json": {"schema": {"type": "object"}}}},
    });
    own["404"] = json!({"$ref": "#/components/responses/Unknown"});
    own["409"] = json!({"$ref": "#/components/responses/Refused"});
    json!({"operationId": what, "summary": summary, "parameters": parameters, "responses": answers(own)})
}

fn probe(summary: &str, yes: &str) -> Value {
    json!({
        "summary": summary, "security": [],
        "responses": {
            "200": {"description": yes, "content": {"application/json": {"schema": {"type": "object"}}}},
            "503": {"description": "Not now: `missing` says why.", "content": {"application/json": {"schema": {"type": "object"}}}},
        },
    })
}

fn metrics() -> Value {
    json!({
        "summary": "What the process counts, for Prometheus: for readers and operators",
        "responses": {
            "200": {"description": "OpenMetrics", "content": {"application/openmetrics-text": {"schema": {"type": "string"}}}},
            "401": {"$ref": "#/components/responses/Unauthorized"},
            "403": {"$ref": "#/components/responses/Forbidden"},
            "429": {"$ref": "#/components/responses/TooMany"},
        },
    })
}

/// What every request that needs a token may be answered with, beside its own.
fn answers(mut own: Value) -> Value {
    own["400"] = json!({"$ref": "#/components/responses/Refused"});
    own["401"] = json!({"$ref": "#/components/responses/Unauthorized"});
    own["403"] = json!({"$ref": "#/components/responses/Forbidden"});
    own["429"] = json!({"$ref": "#/components/responses/TooMany"});
    own["503"] = json!({"$ref": "#/components/responses/Unavailable"});
    own
}

fn object() -> Value {
    json!({
        "name": "object", "in": "path", "required": true, "schema": {"type": "string"}, "example": "Deployment.apps/shop/web",
        "description": "Kind.group/namespace/name as answers have it, slashes as they are (no .group for the core group, no namespace/ for cluster scope); or in lower case, and without the group where that is unambiguous.",
    })
}

fn attribute(name: &str) -> Value {
    json!({
        "name": name, "in": "header", "schema": {"type": "string", "maxLength": 512},
        "description": "An attribute of a CloudEvent in binary mode (then with ce-specversion); source and id make a repeat a repeat.",
    })
}

fn refusal(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}},
    })
}

fn schemas() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    generator.subschema_for::<Accepted>();
    let refused = generator.subschema_for::<DocumentRefusal>();
    let mut schemas = Value::Object(generator.take_definitions(true));
    schemas["Refused"] =
        json!({"type": "object", "required": ["refusal"], "properties": {"refusal": refused}});
    schemas["Error"] = json!({
        "type": "object", "required": ["error"],
        "properties": {"error": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}},
    });
    schemas["Object"] = json!({
        "type": "object",
        "description": "One object of the view (`fc.query.objects.<object>`), or one cluster (`fc.query.clusters`) for a MemberCluster, which has no revision and no rows.",
        "required": ["as_of"],
        "properties": {
            "as_of": {"type": "object", "description": "Up to where the view is folded.", "properties": {
                "log": {"type": "integer"}, "acks": {"type": "object", "additionalProperties": {"type": "integer"}}, "time": {"type": "string", "format": "date-time"}}},
            "object": {"type": "string"},
            "name": {"type": "string", "description": "The form that people read."},
            "dialect": {"type": ["string", "null"]},
            "revision": {"type": "integer"},
            "decision": {"type": ["integer", "null"]},
            "withdrawn": {"type": "boolean"},
            "time": {"type": "string", "format": "date-time"},
            "counts": {"type": "object", "additionalProperties": {"type": "integer"}, "description": "The rows by condition and by health."},
            "rows": {"type": "array", "items": {"type": "object",
                "required": ["cluster", "condition", "revision", "applied_revision", "message"],
                "properties": {
                    "cluster": {"type": "string"},
                    "condition": {"type": "string", "description": "applied, deciding, pending, retrying, refused, removing, excluded, ahead"},
                    "revision": {"type": "integer"},
                    "applied_revision": {"type": "integer"},
                    "behind": {"type": "integer"},
                    "message": {"type": "string"},
                }}},
        },
    });
    schemas
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` under `value`.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    match field {
                        Value::String(to) if name == "$ref" => found.push(to.clone()),
                        field => references(field, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = openapi();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20, "{found:?}");
        for to in found {
            let pointer = to.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some(), "{to}");
        }
    }

    #[test]
    fn answers_are_described_by_their_types() {
        let accepted = &openapi()["components"]["schemas"]["Accepted"];
        for field in ["object", "revision", "sequence", "warnings"] {
            assert!(accepted["properties"][field].is_object(), "{field}");
        }
    }
}
