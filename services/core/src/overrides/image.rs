//! Image overrides: one component of every container's image in whatever workload holds it.

use serde_json::Value;

use super::Op;
use super::container::POD_SPECS;
use crate::Refusal;
use crate::field::Field;
use crate::sealed;

/// A part of an image reference `registry/repository:tag@digest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageComponent {
    /// The host that serves it.
    Registry,
    /// The path on that host.
    Repository,
    /// The tag.
    Tag,
    /// The content digest.
    Digest,
}

impl ImageComponent {
    /// Reads a component's name.
    ///
    /// # Errors
    /// Anything but registry, repository, tag, digest.
    pub fn read(field: &Field<'_>) -> Result<Self, Refusal> {
        match field.string()? {
            "registry" => Ok(Self::Registry),
            "repository" => Ok(Self::Repository),
            "tag" => Ok(Self::Tag),
            "digest" => Ok(Self::Digest),
            other => Err(field.refuse(format!(
                "{other:?} is none of registry, repository, tag, digest"
            ))),
        }
    }
}

/// An image reference in its parts (the grammar of distribution/reference: the first part is a host if it has a dot, a colon or is localhost).
#[derive(Debug, Default, PartialEq, Eq)]
struct Image {
    registry: String,
    repository: String,
    tag: String,
    digest: String,
}

impl Image {
    fn parse(text: &str) -> Self {
        let (rest, digest) = text.split_once('@').unwrap_or((text, ""));
        let (registry, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => ("", rest),
        };
        let (repository, tag) = rest.rsplit_once(':').unwrap_or((rest, ""));
        Self {
            registry: registry.to_owned(),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        }
    }

    fn text(&self) -> String {
        let Self {
            registry,
            repository,
            tag,
            digest,
        } = self;
        let part = |before: &str, text: &str, after: &str| {
            if text.is_empty() {
                String::new()
            } else {
                format!("{before}{text}{after}")
            }
        };
        part("", registry, "/") + repository + &part(":", tag, "") + &part("@", digest, "")
    }

    fn component(&mut self, component: ImageComponent) -> &mut String {
        match component {
            ImageComponent::Registry => &mut self.registry,
            ImageComponent::Repository => &mut self.repository,
            ImageComponent::Tag => &mut self.tag,
            ImageComponent::Digest => &mut self.digest,
        }
    }
}

pub(super) fn apply(
    component: ImageComponent,
    op: Op,
    value: &str,
    object: &mut Value,
) -> Result<(), String> {
    let mut found = false;
    for pod_spec in POD_SPECS {
        for list in ["initContainers", "containers"] {
            let containers = object
                .pointer_mut(&format!("{pod_spec}/{list}"))
                .and_then(Value::as_array_mut);
            for container in containers.into_iter().flatten() {
                if let Some(image) = container.get_mut("image")
                    && let Some(text) = image.as_str()
                {
                    let mut parsed = Image::parse(text);
                    let part = parsed.component(component);
                    match op {
                        Op::Add => part.push_str(value),
                        Op::Replace => value.clone_into(part),
                        Op::Remove => part.clear(),
                    }
                    *image = sealed::unlike(parsed.text())?;
                    found = true;
                }
            }
        }
    }
    if found {
        Ok(())
    } else {
        Err("no container with an image in this object".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_come_apart_and_together() {
        for text in [
            "nginx",
            "nginx:1.2",
            "library/nginx:1.2",
            "localhost/nginx",
            "registry.eu.example:5000/a/b:1@sha256:abc",
            "ghcr.io/a/b@sha256:abc",
        ] {
            assert_eq!(Image::parse(text).text(), text);
        }
        assert_eq!(Image::parse("library/nginx:1").registry, "");
        assert_eq!(Image::parse("r.io:5000/nginx").registry, "r.io:5000");
    }

    #[test]
    fn every_container_gets_the_component() {
        let mut object = json!({"spec": {"template": {"spec": {
            "initContainers": [{"image": "init:1"}], "containers": [{"image": "a/b:1"}, {"name": "none"}],
        }}}});
        apply(
            ImageComponent::Registry,
            Op::Replace,
            "r.example",
            &mut object,
        )
        .expect("applies");
        assert_eq!(
            object["spec"]["template"]["spec"]["initContainers"][0]["image"],
            "r.example/init:1"
        );
        assert_eq!(
            object["spec"]["template"]["spec"]["containers"][0]["image"],
            "r.example/a/b:1"
        );
        assert!(
            apply(
                ImageComponent::Tag,
                Op::Replace,
                "2",
                &mut json!({"data": {}})
            )
            .is_err()
        );
    }
}
