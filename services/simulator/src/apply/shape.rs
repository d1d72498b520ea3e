//! How the parts of an object merge: which lists have keys, which parts are owned as a whole.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

/// How one part of an object merges under server-side apply.
///
/// Whatever a shape does not mention follows the defaults: a mapping merges key by key, a list is owned as a whole.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Owned as a whole, whatever it holds.
    Atomic,
    /// A list whose scalar items are owned one by one.
    Set,
    /// A list whose items are told apart by the values of their keys.
    Keyed(Keyed),
    /// A struct or a mapping: each field merges by itself.
    Fields(Fields),
}

/// The keys of a list's items and the shape of an item.
#[derive(Debug)]
pub(crate) struct Keyed {
    /// In alphabetical order, as `FieldsV1` writes them.
    pub(crate) keys: Vec<Key>,
    pub(crate) item: Arc<Shape>,
}

/// One field that tells the items of a list apart.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// Stands in where an item omits the field (`protocol: TCP`).
    pub(crate) default: Option<Value>,
}

/// The fields of a struct or mapping that do not follow the defaults.
#[derive(Debug)]
pub(crate) struct Fields {
    pub(crate) listed: BTreeMap<String, Arc<Shape>>,
    /// The shape of the fields that are not listed.
    pub(crate) rest: Option<Arc<Shape>>,
    /// Whether a field that is not listed is a struct's field; else it is a mapping's key, which is owned apart from what is in it.
    pub(crate) struct_by_default: bool,
}

static PLAIN: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    Arc::new(Shape::Fields(Fields {
        listed: BTreeMap::new(),
        rest: None,
        struct_by_default: true,
    }))
});
static DEDUCED: LazyLock<Arc<Shape>> = LazyLock::new(|| {
    Arc::new(Shape::Fields(Fields {
        listed: BTreeMap::new(),
        rest: None,
        struct_by_default: false,
    }))
});

impl Shape {
    /// The defaults for a part with a schema.
    pub(crate) fn plain() -> Arc<Shape> {
        Arc::clone(&PLAIN)
    }

    /// The defaults for a part without a schema (`x-kubernetes-preserve-unknown-fields`).
    pub(crate) fn deduced() -> Arc<Shape> {
        Arc::clone(&DEDUCED)
    }

    /// The shape of a field, and whether it is a struct's field (and not a mapping's key).
    pub(crate) fn field(&self, name: &str) -> (&Shape, bool) {
        match self {
            Shape::Fields(fields) => match (fields.listed.get(name), &fields.rest) {
                (Some(shape), _) => (shape, true),
                (None, Some(rest)) => (rest, false),
                (None, None) if fields.struct_by_default => (&PLAIN, true),
                (None, None) => (&DEDUCED, false),
            },
            Shape::Atomic | Shape::Set | Shape::Keyed(_) => (&PLAIN, true),
        }
    }
}

/// How a concrete value is walked: the shape and what is really there together.
pub(crate) enum Walk<'a> {
    /// Compared and owned as a whole.
    Leaf,
    /// Field by field.
    Fields,
    /// Item by item.
    Items(Items<'a>),
}

/// What tells the items of a list apart.
#[derive(Clone, Copy)]
pub(crate) enum Items<'a> {
    Set,
    Keyed(&'a Keyed),
}

impl<'a> Items<'a> {
    /// The shape of one item.
    pub(crate) fn shape(self) -> &'a Shape {
        match self {
            Items::Set => &Shape::Atomic,
            Items::Keyed(keyed) => &keyed.item,
        }
    }
}

/// Says how `value` is walked under `shape`.
pub(crate) fn walk<'a>(value: &Value, shape: &'a Shape) -> Walk<'a> {
    match (value, shape) {
        (Value::Object(_), Shape::Fields(_)) => Walk::Fields,
        (Value::Array(_), Shape::Set) => Walk::Items(Items::Set),
        (Value::Array(_), Shape::Keyed(keyed)) => Walk::Items(Items::Keyed(keyed)),
        (Value::Object(_), Shape::Set | Shape::Keyed(_)) => Walk::Fields,
        _ => Walk::Leaf,
    }
}

/// The built-in kinds' shapes, from the schema that Kubernetes 1.36 publishes for its Go clients
/// (`k8s.io/client-go` `applyconfigurations/internal`). One type a line: `field=Type`, `field[keys]=Type` for a keyed list,
/// `field{}` for a set, `field!` for a part owned as a whole, `field[keys]!` for a list of such items; an indented line continues the one above.
const BUILTIN: &str = include_str!("builtin.shapes");

static BUILTIN_SHAPES: LazyLock<BTreeMap<String, Arc<Shape>>> = LazyLock::new(|| parse(BUILTIN));

/// The shape of a built-in kind, by its name (`Deployment`).
pub(crate) fn builtin(kind: &str) -> Arc<Shape> {
    BUILTIN_SHAPES
        .get(kind)
        .unwrap_or(&BUILTIN_SHAPES[METADATA_ONLY])
        .clone()
}

/// The name under which a kind without a line of its own is found: only its metadata has a shape.
const METADATA_ONLY: &str = "";

/// The shape of `metadata`, which every kind shares.
pub(crate) fn object_meta() -> Arc<Shape> {
    BUILTIN_SHAPES["ObjectMeta"].clone()
}

fn parse(table: &str) -> BTreeMap<String, Arc<Shape>> {
    let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut last = "";
    for line in table.lines() {
        let mut words = line.split_whitespace();
        if !line.starts_with(' ') {
            last = words.next().unwrap_or_default();
        }
        lines.entry(last).or_default().extend(words);
    }
    lines.insert(METADATA_ONLY, vec!["metadata=ObjectMeta"]);
    let mut built = BTreeMap::new();
    for name in lines.keys() {
        build(name, &lines, &mut built);
    }
    built
}

fn build(
    name: &str,
    lines: &BTreeMap<&str, Vec<&str>>,
    built: &mut BTreeMap<String, Arc<Shape>>,
) -> Arc<Shape> {
    if let Some(shape) = built.get(name) {
        return Arc::clone(shape);
    }
    let mut listed = BTreeMap::new();
    for word in lines.get(name).into_iter().flatten() {
        let (spec, item) = match word.split_once('=') {
            Some((spec, of)) => (spec, build(of, lines, built)),
            None => (*word, Shape::plain()),
        };
        let (spec, item) = match spec.strip_suffix("]!") {
            Some(keyed) => (format!("{keyed}]"), Arc::new(Shape::Atomic)),
            None => (spec.to_owned(), item),
        };
        let (field, shape) = if let Some(field) = spec.strip_suffix('!') {
            (field, Arc::new(Shape::Atomic))
        } else if let Some(field) = spec.strip_suffix("{}") {
            (field, Arc::new(Shape::Set))
        } else if let Some((field, keys)) =
            spec.strip_suffix(']').and_then(|spec| spec.split_once('['))
        {
            (
                field,
                Arc::new(Shape::Keyed(Keyed {
                    keys: keys.split(',').map(key).collect(),
                    item,
                })),
            )
        } else {
            (spec.as_str(), item)
        };
        listed.insert(field.to_owned(), shape);
    }
    let shape = Arc::new(Shape::Fields(Fields {
        listed,
        rest: None,
        struct_by_default: true,
    }));
    built.insert(name.to_owned(), Arc::clone(&shape));
    shape
}

fn key(word: &str) -> Key {
    match word.split_once(':') {
        Some((name, default)) => Key {
            name: name.to_owned(),
            default: Some(Value::from(default)),
        },
        None => Key {
            name: word.to_owned(),
            default: None,
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at<'a>(shape: &'a Shape, path: &str) -> &'a Shape {
        path.split('.').fold(shape, |shape, step| match step {
            "*" => match shape {
                Shape::Keyed(keyed) => &keyed.item,
                other => panic!("{other:?} has no items"),
            },
            field => shape.field(field).0,
        })
    }

    /// The table is read as Kubernetes publishes it.
    #[test]
    fn builtin_shapes() {
        let deployment = builtin("Deployment");
        let keys = |path: &str| match at(&deployment, path) {
            Shape::Keyed(keyed) => keyed
                .keys
                .iter()
                .map(|key| key.name.clone())
                .collect::<Vec<_>>()
                .join(","),
            other => format!("{other:?}"),
        };
        assert_eq!(keys("spec.template.spec.containers"), "name");
        assert_eq!(
            keys("spec.template.spec.containers.*.ports"),
            "containerPort,protocol"
        );
        assert_eq!(keys("spec.template.spec.containers.*.env"), "name");
        assert_eq!(keys("metadata.ownerReferences"), "uid");
        assert_eq!(keys("metadata.finalizers"), "Set");
        assert_eq!(keys("spec.selector"), "Atomic");
        assert!(matches!(
            at(&deployment, "spec.template.spec.tolerations"),
            Shape::Fields(_)
        ));
        assert!(matches!(
            builtin("ConfigMap")
                .field("metadata")
                .0
                .field("finalizers")
                .0,
            Shape::Set
        ));
    }
}
