//! Bodies in Kubernetes' protobuf form, for the kinds and fields that `kubectl create namespace` and its like write.
//!
//! The envelope is `k8s\0` and a `runtime.Unknown` (`k8s.io/apimachinery/pkg/runtime/serializer/protobuf`); the numbers are those of the `generated.proto` files
//! of `k8s.io/api` and `k8s.io/apimachinery`. A field that is not in these tables and says something is refused: nothing is lost silently.
//!
//! **A new kind**: a line in [`KINDS`] with its message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::status::Failure;

/// What every body in this form begins with.
const MAGIC: &[u8] = b"k8s\0";

/// The kinds that are read, by apiVersion and kind.
const KINDS: [(&str, &str, Message); 6] = [
    (
        "v1",
        "Namespace",
        &[
            META,
            (2, "spec", Is::Message(&[(1, "finalizers", Is::Texts)])),
            (3, "status", Is::Message(&[(1, "phase", Is::Text)])),
        ],
    ),
    (
        "v1",
        "ConfigMap",
        &[
            META,
            (2, "data", Is::Map(&Is::Text)),
            (3, "binaryData", Is::Map(&Is::Bytes)),
            (4, "immutable", Is::Flag),
        ],
    ),
    (
        "v1",
        "Secret",
        &[
            META,
            (2, "data", Is::Map(&Is::Bytes)),
            (3, "type", Is::Text),
            (4, "stringData", Is::Map(&Is::Text)),
            (5, "immutable", Is::Flag),
        ],
    ),
    (
        "v1",
        "ServiceAccount",
        &[META, (4, "automountServiceAccountToken", Is::Flag)],
    ),
    (
        "v1",
        "ResourceQuota",
        &[
            META,
            (
                2,
                "spec",
                Is::Message(&[
                    (1, "hard", Is::Map(&Is::Quantity)),
                    (2, "scopes", Is::Texts),
                ]),
            ),
            (3, "status", Is::Message(&[])),
        ],
    ),
    (
        "apps/v1",
        "Deployment",
        &[
            META,
            (2, "spec", Is::Message(DEPLOYMENT)),
            (3, "status", Is::Message(&[])),
        ],
    ),
];

const META: Field = (
    1,
    "metadata",
    Is::Message(&[
        (1, "name", Is::Text),
        (2, "generateName", Is::Text),
        (3, "namespace", Is::Text),
        (11, "labels", Is::Map(&Is::Text)),
        (12, "annotations", Is::Map(&Is::Text)),
        (14, "finalizers", Is::Texts),
    ]),
);
const DEPLOYMENT: Message = &[
    (1, "replicas", Is::Number),
    (
        2,
        "selector",
        Is::Message(&[(1, "matchLabels", Is::Map(&Is::Text))]),
    ),
    (
        3,
        "template",
        Is::Message(&[
            META,
            (
                2,
                "spec",
                Is::Message(&[
                    (2, "containers", Is::Messages(CONTAINER)),
                    (3, "restartPolicy", Is::Text),
                ]),
            ),
        ]),
    ),
    (4, "strategy", Is::Message(&[(1, "type", Is::Text)])),
];
const CONTAINER: Message = &[
    (1, "name", Is::Text),
    (2, "image", Is::Text),
    (3, "command", Is::Texts),
    (4, "args", Is::Texts),
    (5, "workingDir", Is::Text),
    (
        6,
        "ports",
        Is::Messages(&[
            (1, "name", Is::Text),
            (3, "containerPort", Is::Number),
            (4, "protocol", Is::Text),
        ]),
    ),
    (
        7,
        "env",
        Is::Messages(&[(1, "name", Is::Text), (2, "value", Is::Text)]),
    ),
    (8, "resources", Is::Message(&[])),
];

type Message = &'static [Field];
type Field = (u64, &'static str, Is);

/// What a field is, in JSON.
#[derive(Clone, Copy)]
enum Is {
    Text,
    Texts,
    Flag,
    Number,
    /// In base64.
    Bytes,
    /// A message whose field 1 is its text.
    Quantity,
    Message(Message),
    Messages(Message),
    Map(&'static Is),
}

/// One field as it travels.
enum Wire<'bytes> {
    Number(u64),
    Bytes(&'bytes [u8]),
}

impl Wire<'_> {
    /// Whether it says nothing: Go writes fields that are not set so.
    fn is_empty(&self) -> bool {
        match self {
            Self::Number(number) => *number == 0,
            Self::Bytes(bytes) => {
                bytes.is_empty()
                    || Fields(bytes).all(|field| field.is_ok_and(|(_, wire)| wire.is_empty()))
            }
        }
    }
}

/// The JSON form of a body; the body itself where it is not in this form.
///
/// # Errors
/// 415 for kinds and fields that are not read, 400 for what is no protobuf.
pub(crate) fn to_json(body: Bytes) -> Result<Bytes, Failure> {
    let Some(unknown) = body.strip_prefix(MAGIC) else {
        return Ok(body);
    };
    let (mut kind, mut raw) = (json!({}), &[][..]);
    for field in Fields(unknown) {
        match field? {
            (1, Wire::Bytes(bytes)) => {
                kind = message(
                    bytes,
                    &[(1, "apiVersion", Is::Text), (2, "kind", Is::Text)],
                    "",
                )?;
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let known = KINDS
        .iter()
        .find(|(version, name, _)| kind["apiVersion"] == *version && kind["kind"] == *name);
    let Some((version, name, fields)) = known else {
        return Err(unread(&format!("{} {}", kind["apiVersion"], kind["kind"])));
    };
    let mut object = message(raw, fields, name)?;
    object["apiVersion"] = json!(version);
    object["kind"] = json!(name);
    Ok(object.to_string().into())
}

fn message(bytes: &[u8], fields: Message, path: &str) -> Result<Value, Failure> {
    let mut object = Map::new();
    for field in Fields(bytes) {
        let (number, wire) = field?;
        let Some((_, name, is)) = fields.iter().find(|(known, ..)| *known == number) else {
            if wire.is_empty() {
                continue;
            }
            return Err(unread(&format!("field {number} of {path}")));
        };
        let path = format!("{path}.{name}");
        match (is, wire) {
            (Is::Texts | Is::Messages(_), wire) => {
                let one = match is {
                    Is::Messages(fields) => Is::Message(fields),
                    _ => Is::Text,
                };
                let list = object.entry(*name).or_insert_with(|| json!([]));
                if let (Value::Array(list), Some(value)) = (list, value(wire, one, &path)?) {
                    list.push(value);
                }
            }
            (Is::Map(is), Wire::Bytes(entry)) => {
                let (mut key, mut found) = (String::new(), None);
                for part in Fields(entry) {
                    match part? {
                        (1, Wire::Bytes(bytes)) => key = text(bytes)?,
                        (2, wire) => found = Some(value(wire, **is, &path)?),
                        _ => {}
                    }
                }
                let map = object.entry(*name).or_insert_with(|| json!({}));
                map[key] = found.flatten().unwrap_or_else(|| json!(""));
            }
            (is, wire) => {
                if let Some(value) = value(wire, *is, &path)? {
                    object.insert((*name).to_owned(), value);
                }
            }
        }
    }
    Ok(Value::Object(object))
}

/// A value that says something; none where it does not.
fn value(wire: Wire<'_>, is: Is, path: &str) -> Result<Option<Value>, Failure> {
    Ok(match (is, wire) {
        (Is::Text, Wire::Bytes(bytes)) => Some(json!(text(bytes)?)).filter(|text| *text != ""),
        (Is::Bytes, Wire::Bytes(bytes)) => Some(json!(STANDARD.encode(bytes))),
        (Is::Quantity, Wire::Bytes(bytes)) => {
            let quantity = message(bytes, &[(1, "is", Is::Text)], path)?;
            quantity.get("is").cloned()
        }
        (Is::Message(fields), Wire::Bytes(bytes)) => {
            let object = message(bytes, fields, path)?;
            Some(object).filter(|object| *object != json!({}))
        }
        (Is::Flag, Wire::Number(number)) => Some(json!(number != 0)),
        // Negative numbers are written in 64 bits.
        (Is::Number, Wire::Number(number)) => Some(json!(number.cast_signed())),
        _ => return Err(malformed()),
    })
}

fn text(bytes: &[u8]) -> Result<String, Failure> {
    String::from_utf8(bytes.to_vec()).map_err(|_| malformed())
}

/// The fields of a message, one after another; the wire format is that of `protobuf.dev/programming-guides/encoding`.
struct Fields<'bytes>(&'bytes [u8]);

impl<'bytes> Fields<'bytes> {
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Wire<'bytes>)> {
        let key = self.varint()?;
        let wire = match key & 7 {
            0 => Wire::Number(self.varint()?),
            1 => Wire::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, wire))
    }
}

impl<'bytes> Iterator for Fields<'bytes> {
    type Item = Result<(u64, Wire<'bytes>), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn malformed() -> Failure {
    Failure::bad_request("the body of the request is no protobuf of Kubernetes")
}

fn unread(what: &str) -> Failure {
    let message = format!(
        "the body of the request was in an unknown format - this simulated server does not read {what} in protobuf; accepted media types include: \
         application/json, application/yaml (`kubectl create … --dry-run=client -o yaml | kubectl apply -f -` sends those)"
    );
    Failure::new(415, "UnsupportedMediaType", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Value, Failure> {
        to_json(body.to_vec().into()).map(|json| serde_json::from_slice(&json).expect("JSON"))
    }

    /// What kubectl 1.32 sent for `create namespace other`, `create configmap cm --from-literal=a=b` and `create quota q --hard=pods=1`.
    #[test]
    fn what_kubectl_creates_is_read() {
        for (body, object) in [
            (
                &b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x1d\n\x15\n\x05other\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\0\x1a\x02\n\0\x1a\0\"\0"[..],
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}}),
            ),
            (
                b"k8s\0\n\x0f\n\x02v1\x12\tConfigMap\x12\x1c\n\x12\n\x02cm\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\x06\n\x01a\x12\x01b\x1a\0\"\0",
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "b"}}),
            ),
            (
                b"k8s\0\n\x13\n\x02v1\x12\rResourceQuota\x12$\n\x11\n\x01q\x12\0\x1a\0\"\0*\x002\x008\0B\0\x12\r\n\x0b\n\x04pods\x12\x03\n\x011\x1a\0\x1a\0\"\0",
                json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}),
            ),
        ] {
            assert_eq!(read(body).expect("read"), object);
        }
        assert_eq!(to_json("{}".into()).expect("JSON stays"), "{}");
    }

    /// A kind, a field and bytes that are not read: told, never dropped.
    #[test]
    fn what_is_not_read_is_refused() {
        for (body, code, part) in [
            (&b"k8s\0\n\t\n\x02v1\x12\x03Pod\x12\0"[..], 415, "Pod"),
            (
                b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x04*\x02\n\0",
                200,
                "",
            ),
            (
                b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x05*\x03\n\x01x",
                415,
                "field 5 of Namespace",
            ),
            (
                b"k8s\0\n\x0f\n\x02v1\x12\tNamespace\x12\x7f",
                400,
                "no protobuf",
            ),
            (
                b"k8s\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                400,
                "no protobuf",
            ),
        ] {
            let told = read(body);
            match told {
                Ok(_) => assert_eq!(code, 200, "{part}"),
                Err(failure) => assert!(
                    failure.code == code && format!("{failure:?}").contains(part),
                    "{failure:?}"
                ),
            }
        }
    }
}
