//! The image overrider: one component of the containers' images, or of the one image at a path.

use serde_json::Value;

use crate::Refusal;
use crate::dialect::karmada::policy::word;
use crate::field::Field;
use crate::sealed;

use super::Operator;
use super::simple::containers_of;

/// What changes in which image.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImageOverrider {
    /// The path of the one image; none for every container's (not the init containers').
    path: Option<String>,
    component: Component,
    operator: Operator,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    Registry,
    Repository,
    Tag,
}

impl ImageOverrider {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        let component = field.get("component");
        let path = field.get("predicate").get("path");
        if field.get("predicate").is_present() && !path.string()?.starts_with('/') {
            return Err(path.refuse("must begin with '/'"));
        }
        Ok(Self {
            path: path.optional_string()?.map(str::to_owned),
            component: match word(&component, &["Registry", "Repository", "Tag"])? {
                Some("Registry") => Component::Registry,
                Some("Repository") => Component::Repository,
                Some(_) => Component::Tag,
                None => return Err(component.refuse("is required")),
            },
            operator: Operator::read(&field.get("operator"))?,
            value: field
                .get("value")
                .optional_string()?
                .unwrap_or_default()
                .to_owned(),
        })
    }

    /// Changes the images; a failure comes with the member of the overrider that fails.
    pub(super) fn apply(&self, manifest: &mut Value) -> Result<(), (&'static str, String)> {
        match &self.path {
            Some(path) => {
                let image = manifest.pointer_mut(path).ok_or_else(|| {
                    let text = format!("{path}: there is nothing in the object");
                    ("predicate.path", text)
                })?;
                self.change(image)
                    .map_err(|text| ("predicate.path", format!("{path}: {text}")))
            }
            None => {
                let containers = containers_of(manifest)
                    .and_then(|pointer| manifest.pointer_mut(pointer))
                    .and_then(Value::as_array_mut);
                for (index, container) in containers.into_iter().flatten().enumerate() {
                    let image = container
                        .get_mut("image")
                        .ok_or_else(|| ("value", format!("container {index} has no image")))?;
                    self.change(image)
                        .map_err(|text| ("value", format!("container {index}: {text}")))?;
                }
                Ok(())
            }
        }
    }

    fn change(&self, image: &mut Value) -> Result<(), String> {
        let text = image.as_str().ok_or("is no string")?;
        let mut parsed =
            Image::parse(text).ok_or_else(|| format!("{text:?} is no image reference"))?;
        let value = &self.value;
        match (self.component, self.operator) {
            (Component::Registry, Operator::Add) => parsed.registry += value,
            (Component::Registry, Operator::Replace) => value.clone_into(&mut parsed.registry),
            (Component::Registry, Operator::Remove) => parsed.registry.clear(),
            (Component::Repository, Operator::Add) => parsed.repository += value,
            (Component::Repository, Operator::Replace) => value.clone_into(&mut parsed.repository),
            (Component::Repository, Operator::Remove) => parsed.repository.clear(),
            (Component::Tag, Operator::Add) => match &parsed.version {
                Version::Digest(_) => {}
                Version::Tag(tag) => parsed.set_version(&format!("{tag}{value}")),
                Version::None => parsed.set_version(value),
            },
            (Component::Tag, Operator::Replace) => parsed.set_version(value),
            (Component::Tag, Operator::Remove) => parsed.version = Version::None,
        }
        *image = sealed::unlike(parsed.text())?;
        Ok(())
    }
}

/// An image reference in Karmada's parts; a tag beside a digest hides it.
#[derive(Debug, PartialEq, Eq)]
struct Image {
    registry: String,
    repository: String,
    version: Version,
}

#[derive(Debug, PartialEq, Eq)]
enum Version {
    None,
    Tag(String),
    Digest(String),
}

impl Image {
    /// Parses a reference: the first segment is a registry if it has a dot, a colon or is `localhost`.
    fn parse(text: &str) -> Option<Self> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        let (registry, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("", rest),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        let valid = is_repository(repository)
            && tag.is_none_or(is_tag)
            && digest.is_none_or(is_digest)
            && !registry.starts_with(':');
        valid.then(|| Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            version: match (tag, digest) {
                (Some(tag), _) => Version::Tag(tag.to_owned()),
                (None, Some(digest)) => Version::Digest(digest.to_owned()),
                (None, None) => Version::None,
            },
        })
    }

    /// Sets tag or digest, whichever `text` is; anything else changes nothing.
    fn set_version(&mut self, text: &str) {
        if is_tag(text) {
            self.version = Version::Tag(text.to_owned());
        } else if is_digest(text) {
            self.version = Version::Digest(text.to_owned());
        }
    }

    fn text(&self) -> String {
        let Self {
            registry,
            repository,
            version,
        } = self;
        let name = if registry.is_empty() {
            repository.clone()
        } else {
            format!("{registry}/{repository}")
        };
        match version {
            Version::None => name,
            Version::Tag(tag) => format!("{name}:{tag}"),
            Version::Digest(digest) => format!("{name}@{digest}"),
        }
    }
}

/// Path components of lower-case letters and digits, with separators between (distribution/reference).
fn is_repository(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !text.is_empty()
        && text.split('/').all(|component| {
            component.starts_with(inner)
                && component.ends_with(inner)
                && component
                    .chars()
                    .all(|c| inner(c) || matches!(c, '.' | '_' | '-'))
        })
}

/// At most 128 word characters, dots and dashes, the first a word character (distribution/reference).
fn is_tag(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.len() <= 128
        && text.starts_with(word)
        && text.chars().all(|c| word(c) || matches!(c, '.' | '-'))
}

/// `algorithm:hex`, at least 32 digits (distribution/reference).
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hex)| {
        algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
            && hex.len() >= 32
            && hex.chars().all(|c| c.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: &str = "sha256:50d858e0985ecc7f60418aaf0cc5ab587f42c2570a884095a9e8ccacd0f6545c";

    fn changed(
        image: &str,
        component: &str,
        operator: &str,
        value: &str,
    ) -> Result<String, String> {
        let overrider = json!({"component": component, "operator": operator, "value": value});
        let overrider = ImageOverrider::read(&Field::root(&overrider)).expect("valid");
        let mut pod = json!({"kind": "Pod", "spec": {"containers": [{"image": image}]}});
        overrider.apply(&mut pod).map_err(|(_, text)| text)?;
        Ok(pod["spec"]["containers"][0]["image"]
            .as_str()
            .expect("a string")
            .to_owned())
    }

    #[test]
    fn each_component_is_added_replaced_and_removed() {
        let digested = format!("nginx@{DIGEST}");
        for (image, component, operator, value, expected) in [
            ("nginx:1", "Registry", "add", "reg.io", "reg.io/nginx:1"),
            (
                "registry.example.com:5000/nginx",
                "Registry",
                "add",
                "reg.io",
                "registry.example.com:5000reg.io/nginx",
            ),
            (
                "a.io/b/c:1",
                "Registry",
                "replace",
                "reg.io",
                "reg.io/b/c:1",
            ),
            (
                "library/nginx",
                "Registry",
                "replace",
                "reg.io",
                "reg.io/library/nginx",
            ),
            ("a.io/nginx:1", "Registry", "remove", "", "nginx:1"),
            ("localhost/nginx", "Registry", "remove", "", "nginx"),
            (
                "a.io/nginx:1",
                "Repository",
                "add",
                "-slim",
                "a.io/nginx-slim:1",
            ),
            ("a.io/nginx:1", "Repository", "replace", "b/c", "a.io/b/c:1"),
            ("nginx:1", "Tag", "add", "-alpine", "nginx:1-alpine"),
            ("nginx", "Tag", "add", "1", "nginx:1"),
            (&digested, "Tag", "add", "-alpine", &digested),
            ("nginx:1", "Tag", "replace", "2", "nginx:2"),
            ("nginx:1", "Tag", "replace", DIGEST, &digested),
            (&digested, "Tag", "replace", "2", "nginx:2"),
            ("nginx:1", "Tag", "replace", "not a tag", "nginx:1"),
            (&digested, "Tag", "remove", "", "nginx"),
        ] {
            assert_eq!(
                changed(image, component, operator, value).as_deref(),
                Ok(expected),
                "{image} {component} {operator} {value}"
            );
        }
        let both = format!("nginx:1@{DIGEST}");
        assert_eq!(
            changed(&both, "Registry", "add", "r.io").as_deref(),
            Ok("r.io/nginx:1")
        );
    }

    #[test]
    fn what_is_no_image_is_refused() {
        for image in ["", "Nginx", "a b", "nginx:", "nginx@sha256:12"] {
            assert!(changed(image, "Tag", "replace", "1").is_err(), "{image:?}");
        }
    }

    #[test]
    fn containers_are_found_by_kind_and_never_init_containers() {
        let overrider = json!({"component": "Tag", "operator": "replace", "value": "2"});
        let overrider = ImageOverrider::read(&Field::root(&overrider)).expect("valid");
        let pod = json!({"initContainers": [{"image": "i:1"}], "containers": [{"image": "c:1"}]});
        for (kind, spec, pointer, expected) in [
            (
                "Deployment",
                json!({"template": {"spec": pod}}),
                "/spec/template/spec/containers/0/image",
                "c:2",
            ),
            (
                "Deployment",
                json!({"template": {"spec": pod}}),
                "/spec/template/spec/initContainers/0/image",
                "i:1",
            ),
            (
                "Job",
                json!({"template": {"spec": pod}}),
                "/spec/template/spec/containers/0/image",
                "c:2",
            ),
            (
                "CronJob",
                json!({"template": {"spec": pod}}),
                "/spec/template/spec/containers/0/image",
                "c:1",
            ),
        ] {
            let mut object = json!({"kind": kind, "spec": spec});
            overrider.apply(&mut object).expect("applies");
            assert_eq!(object.pointer(pointer), Some(&json!(expected)), "{kind}");
        }
    }

    #[test]
    fn a_path_reaches_one_image_and_one_past_the_end_is_refused() {
        let at = |path: &str| {
            let overrider = json!({"component": "Tag", "operator": "replace", "value": "2", "predicate": {"path": path}});
            let mut object =
                json!({"kind": "Thing", "spec": {"pods": [{"image": "a:1"}], "size": 1}});
            ImageOverrider::read(&Field::root(&overrider))
                .map_err(|refusal| refusal.to_string())?
                .apply(&mut object)
                .map_err(|(member, _)| member.to_owned())?;
            Ok(object["spec"]["pods"][0]["image"].clone())
        };
        assert_eq!(at("/spec/pods/0/image"), Ok(json!("a:2")));
        for (path, expected) in [
            ("/spec/pods/1/image", "predicate.path"),
            ("/spec/size", "predicate.path"),
            ("spec/pods/0/image", "predicate.path: must begin with '/'"),
        ] {
            assert_eq!(at(path), Err(expected.to_owned()), "{path}");
        }
    }
}
