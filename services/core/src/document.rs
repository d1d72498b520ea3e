//! A Kubernetes object that travels as opaque JSON bytes.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// JSON bytes, kept verbatim: bytes in a binary format (MessagePack), the object itself in a readable one (JSON).
///
/// It holds syntactically valid JSON only where it was made from a [`Value`]; [`Document::value`] says so for bytes from outside.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Arc<[u8]>);

impl Document {
    /// Takes bytes from outside as they are.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// Writes `value` in canonical form.
    pub fn from_value(value: &Value) -> Self {
        Self(crate::digest::canonical(value).into())
    }

    /// The bytes as they came.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Parses the bytes.
    ///
    /// # Errors
    /// Where the bytes are not JSON.
    pub fn value(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", String::from_utf8_lossy(&self.0))
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            self.value()
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Ok(Self::from_value(&Value::deserialize(deserializer)?));
        }
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Document;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a JSON document")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Document, E> {
                Ok(Document(bytes.into()))
            }
            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Document, E> {
                Ok(Document(bytes.into()))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl JsonSchema for Document {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Document".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "A Kubernetes object; in MessagePack its JSON bytes, verbatim."
        })
    }
}
