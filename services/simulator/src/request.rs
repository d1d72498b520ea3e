//! Reads a URL, its query and a few headers into a typed request.

mod query;

use http::{HeaderMap, Method, Uri, header};

use query::Query;

use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Failure;

/// What a client wants.
#[derive(Debug, PartialEq)]
pub(crate) enum Request {
    Discovery(Discovery),
    Objects(Box<ObjectsRequest>),
}

/// What a client wants to know about the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Discovery {
    /// `/version`
    Version,
    /// `/healthz`, `/readyz`, `/livez`
    Health,
    /// `/api`
    Core { aggregated: bool },
    /// `/apis`
    Groups { aggregated: bool },
    /// `/apis/<group>`
    Group(String),
    /// `/api/v1`, `/apis/<group>/<version>`
    Resources { group: String, version: String },
    /// `/openapi/v3`
    OpenApi,
    /// `/openapi/v3/<group and version>`
    OpenApiOf { group: String, version: String },
}

/// A request for objects of one kind.
#[derive(Debug, PartialEq)]
pub(crate) struct ObjectsRequest {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    /// Empty for all namespaces, and for kinds without them.
    pub(crate) namespace: String,
    pub(crate) subresource: Subresource,
    pub(crate) verb: Verb,
    pub(crate) view: View,
    /// The `fieldManager` parameter, or what the client calls itself.
    pub(crate) manager: String,
    pub(crate) manager_stated: bool,
    /// Carried out except for the last step.
    pub(crate) dry_run: bool,
}

/// Which part of an object a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subresource {
    Main,
    Status,
}

impl Subresource {
    /// As `managedFields` names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Subresource::Main => "",
            Subresource::Status => "status",
        }
    }
}

/// What to do with the objects.
#[derive(Debug, PartialEq)]
pub(crate) enum Verb {
    Get {
        name: String,
    },
    List(List),
    Watch(Watch),
    Create,
    Update {
        name: String,
    },
    Patch {
        name: String,
        form: PatchForm,
        force: bool,
    },
    Delete {
        name: String,
        propagation: Option<Propagation>,
    },
    DeleteCollection {
        list: List,
        propagation: Option<Propagation>,
    },
}

/// How a patch's body is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchForm {
    Apply,
    Json,
    Merge,
    StrategicMerge,
}

/// What happens to the objects that an object owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

impl Propagation {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "Orphan" => Ok(Propagation::Orphan),
            "Background" => Ok(Propagation::Background),
            "Foreground" => Ok(Propagation::Foreground),
            other => Err(Failure::bad_request(format!(
                "propagationPolicy: Unsupported value: {other:?}"
            ))),
        }
    }
}

/// Which objects a list holds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct List {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    pub(crate) limit: Option<usize>,
    /// Where the page before ended.
    pub(crate) continue_token: Option<String>,
    pub(crate) resource_version: Option<u64>,
    /// `resourceVersionMatch=Exact`
    pub(crate) exact: bool,
}

/// Which changes a watch tells.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Watch {
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
    pub(crate) resource_version: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) send_initial_events: Option<bool>,
    pub(crate) timeout_seconds: Option<u64>,
}

/// The form in which objects are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Object,
    Table,
    /// `metadata` only.
    Metadata,
}

/// Reads a request.
pub(crate) fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Request, Failure> {
    let steps: Vec<String> = uri
        .path()
        .split('/')
        .filter(|step| !step.is_empty())
        .map(decode)
        .collect();
    let steps: Vec<&str> = steps.iter().map(String::as_str).collect();
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let accept = text(header::ACCEPT);
    let aggregated = accept.contains("g=apidiscovery.k8s.io") && accept.contains("v=v2;");
    let discovery = match steps.as_slice() {
        ["version"] => Discovery::Version,
        ["healthz" | "readyz" | "livez", ..] => Discovery::Health,
        ["api"] => Discovery::Core { aggregated },
        ["apis"] => Discovery::Groups { aggregated },
        ["api", version] => Discovery::Resources {
            group: String::new(),
            version: (*version).to_owned(),
        },
        ["apis", group] => Discovery::Group((*group).to_owned()),
        ["apis", group, version] => Discovery::Resources {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
        },
        ["openapi", "v3"] => Discovery::OpenApi,
        ["openapi", "v3", "api", version] => Discovery::OpenApiOf {
            group: String::new(),
            version: (*version).to_owned(),
        },
        ["openapi", "v3", "apis", group, version] => Discovery::OpenApiOf {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
        },
        ["api", version, rest @ ..] => {
            return objects(method, uri, headers, "", version, rest).map(boxed);
        }
        ["apis", group, version, rest @ ..] => {
            return objects(method, uri, headers, group, version, rest).map(boxed);
        }
        _ => return Err(Failure::unknown_path()),
    };
    if method == Method::GET || method == Method::HEAD {
        Ok(Request::Discovery(discovery))
    } else {
        Err(Failure::method_not_allowed())
    }
}

fn boxed(request: ObjectsRequest) -> Request {
    Request::Objects(Box::new(request))
}

fn objects(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    group: &str,
    version: &str,
    rest: &[&str],
) -> Result<ObjectsRequest, Failure> {
    let (namespace, plural, name, subresource) = match rest {
        ["namespaces"] => ("", "namespaces", None, None),
        ["namespaces", name] => ("", "namespaces", Some(*name), None),
        ["namespaces", name, sub @ ("status" | "finalize")] => {
            ("", "namespaces", Some(*name), Some(*sub))
        }
        ["namespaces", namespace, plural] => (*namespace, *plural, None, None),
        ["namespaces", namespace, plural, name] => (*namespace, *plural, Some(*name), None),
        ["namespaces", namespace, plural, name, sub] => {
            (*namespace, *plural, Some(*name), Some(*sub))
        }
        [plural] => ("", *plural, None, None),
        [plural, name] => ("", *plural, Some(*name), None),
        [plural, name, sub] => ("", *plural, Some(*name), Some(*sub)),
        _ => return Err(Failure::unknown_path()),
    };
    let subresource = match subresource {
        None => Subresource::Main,
        Some("status") => Subresource::Status,
        Some(_) => return Err(Failure::unknown_path()),
    };
    let query = Query::parse(uri.query().unwrap_or_default());
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &http::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
    };
    let agent = text(header::USER_AGENT)
        .split('/')
        .next()
        .unwrap_or_default();
    let stated = query.get("fieldManager");
    Ok(ObjectsRequest {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        namespace: namespace.to_owned(),
        subresource,
        verb: verb(method, name, &query, text(header::CONTENT_TYPE))?,
        view: view(text(header::ACCEPT)),
        manager: stated
            .filter(|name| !name.is_empty())
            .unwrap_or(if agent.is_empty() { "unknown" } else { agent })
            .to_owned(),
        manager_stated: stated.is_some_and(|name| !name.is_empty()),
        dry_run: match query.get("dryRun") {
            None | Some("") => false,
            Some("All") => true,
            Some(other) => {
                return Err(Failure::bad_request(format!(
                    "dryRun: Unsupported value: {other:?}"
                )));
            }
        },
    })
}

fn verb(
    method: &Method,
    name: Option<&str>,
    query: &Query,
    content_type: &str,
) -> Result<Verb, Failure> {
    let propagation = || {
        query
            .get("propagationPolicy")
            .map(Propagation::parse)
            .transpose()
    };
    let named = name.map(str::to_owned);
    if matches!(method.as_str(), "POST" | "PUT") && !is_readable(content_type) {
        return Err(unsupported(
            content_type,
            "application/json, application/yaml",
        ));
    }
    Ok(match (method.as_str(), named) {
        ("GET" | "HEAD", None) if query.flag("watch") => Verb::Watch(query.watch()?),
        ("GET" | "HEAD", None) => Verb::List(query.list()?),
        ("GET" | "HEAD", Some(name)) => Verb::Get { name },
        ("POST", None) => Verb::Create,
        ("PUT", Some(name)) => Verb::Update { name },
        ("PATCH", Some(name)) => {
            let form = patch_form(content_type)?;
            let force = query.flag("force");
            if force && form != PatchForm::Apply {
                let message = "PatchOptions.meta.k8s.io \"\" is invalid: force: Forbidden: may not be specified for non-apply patch";
                return Err(Failure::new(422, "Invalid", message));
            }
            Verb::Patch { name, form, force }
        }
        ("DELETE", Some(name)) => Verb::Delete {
            name,
            propagation: propagation()?,
        },
        ("DELETE", None) => Verb::DeleteCollection {
            list: query.list()?,
            propagation: propagation()?,
        },
        _ => return Err(Failure::method_not_allowed()),
    })
}

fn patch_form(content_type: &str) -> Result<PatchForm, Failure> {
    match content_type.split(';').next().unwrap_or_default().trim() {
        "application/apply-patch+yaml" => Ok(PatchForm::Apply),
        "application/json-patch+json" => Ok(PatchForm::Json),
        "application/merge-patch+json" => Ok(PatchForm::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchForm::StrategicMerge),
        other => Err(unsupported(
            other,
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml, \
             application/strategic-merge-patch+json",
        )),
    }
}

/// Whether a body is in a form that may be read: whether this one is, its kind decides where it is protobuf.
fn is_readable(content_type: &str) -> bool {
    !content_type.contains("cbor")
}

fn unsupported(content_type: &str, accepted: &str) -> Failure {
    let message = format!(
        "the body of the request was in an unknown format - {content_type:?}; accepted media types include: {accepted}"
    );
    Failure::new(415, "UnsupportedMediaType", message)
}

/// The first form in `Accept` that this server knows.
fn view(accept: &str) -> View {
    for form in accept.split(',') {
        if form.contains("as=Table") {
            return View::Table;
        }
        if form.contains("as=PartialObjectMetadata") {
            return View::Metadata;
        }
        if form.trim() == "application/json" {
            return View::Object;
        }
    }
    View::Object
}

fn decode(step: &str) -> String {
    percent_encoding::percent_decode_str(step)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests;
