//! CloudEvents 1.0 in structured mode: attributes and document in one JSON object, as a publisher sends them that sets no headers.

use fleetcast_core::Refusal;
use serde_json::Value;

/// What counts of an event: who hands what in, under which id. Its other attributes are the publisher's own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CloudEvent {
    pub(crate) source: String,
    pub(crate) id: String,
    pub(crate) data: Value,
}

impl CloudEvent {
    /// Tells an event from a document, which is given back: a document has no `specversion`, an event no `apiVersion`.
    ///
    /// # Errors
    /// A refusal that names the attribute.
    pub(crate) fn read(value: Value) -> Result<Result<Self, Value>, Refusal> {
        let Value::Object(mut event) = value else {
            return Ok(Err(value));
        };
        if !event.contains_key("specversion") || event.contains_key("apiVersion") {
            return Ok(Err(Value::Object(event)));
        }
        let version = text(&event, "specversion")?;
        if !version.starts_with("1.") {
            return Err(Refusal::new(
                "specversion",
                format!("{version:?} is not read here: CloudEvents 1.0 is"),
            ));
        }
        text(&event, "type")?;
        if event.contains_key("data_base64") {
            return Err(Refusal::new(
                "data_base64",
                "is not read here: the document stands in data, as JSON",
            ));
        }
        let (source, id) = (text(&event, "source")?, text(&event, "id")?);
        match event.remove("data") {
            Some(data @ Value::Object(_)) => Ok(Ok(Self { source, id, data })),
            Some(_) => Err(Refusal::new("data", "is no JSON object")),
            None => Err(Refusal::new("data", "is required")),
        }
    }
}

fn text(event: &serde_json::Map<String, Value>, attribute: &str) -> Result<String, Refusal> {
    match event.get(attribute) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(Refusal::new(attribute, "is no text, or an empty one")),
        None => Err(Refusal::new(attribute, "is required")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_no_event() {
        for document in [
            json!({"apiVersion": "v1", "kind": "ConfigMap"}),
            json!({"apiVersion": "v1", "specversion": "1.0"}),
            json!([]),
            json!("text"),
        ] {
            assert_eq!(CloudEvent::read(document.clone()), Ok(Err(document)));
        }
    }

    #[test]
    fn an_attribute_that_is_wrong_is_named() {
        let whole =
            json!({"specversion": "1.0", "type": "t", "source": "s", "id": "1", "data": {}});
        assert!(matches!(CloudEvent::read(whole.clone()), Ok(Ok(_))));
        for (field, value) in [
            ("specversion", Some(json!("2.0"))),
            ("type", None),
            ("source", Some(json!(""))),
            ("id", Some(json!(1))),
            ("id", None),
            ("data", None),
            ("data", Some(json!("text"))),
            ("data_base64", Some(json!("e30="))),
        ] {
            let mut event = whole.clone();
            let attributes = event.as_object_mut().expect("an object");
            match value {
                Some(value) => drop(attributes.insert(field.to_owned(), value)),
                None => drop(attributes.remove(field)),
            }
            let refusal = CloudEvent::read(event).expect_err("refused");
            assert_eq!(refusal.field, field, "{refusal}");
        }
    }
}
