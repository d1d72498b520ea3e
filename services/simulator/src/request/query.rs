//! The parameters of a request's URL.

use super::{List, Watch};
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Failure;

/// The parameters of a URL.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Query(
            form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| matches!(value, "true" | "1" | "True"))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.get(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                Failure::bad_request(format!("Invalid value: {text:?}: {name} must be a number"))
            }),
        }
    }

    pub(super) fn labels(&self) -> Result<LabelSelector, Failure> {
        LabelSelector::parse(self.get("labelSelector").unwrap_or_default())
            .map_err(Failure::bad_request)
    }

    pub(super) fn fields(&self) -> Result<FieldSelector, Failure> {
        FieldSelector::parse(self.get("fieldSelector").unwrap_or_default())
            .map_err(Failure::bad_request)
    }

    pub(super) fn list(&self) -> Result<List, Failure> {
        Ok(List {
            labels: self.labels()?,
            fields: self.fields()?,
            limit: self
                .number("limit")?
                .filter(|limit| *limit > 0)
                .and_then(|limit| usize::try_from(limit).ok()),
            continue_token: self
                .get("continue")
                .filter(|token| !token.is_empty())
                .map(str::to_owned),
            resource_version: self.number("resourceVersion")?,
            exact: self.get("resourceVersionMatch") == Some("Exact"),
        })
    }

    pub(super) fn watch(&self) -> Result<Watch, Failure> {
        // A real server reads it where it looks the version up, and there nothing is the client's fault any more.
        let resource_version = self.number("resourceVersion").map_err(|_| {
            let text = self.get("resourceVersion").unwrap_or_default();
            let why = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
            Failure::new(
                500,
                "",
                format!("resourceVersion: Invalid value: {text:?}: {why}"),
            )
        })?;
        Ok(Watch {
            labels: self.labels()?,
            fields: self.fields()?,
            resource_version,
            bookmarks: self.flag("allowWatchBookmarks"),
            send_initial_events: self.get("sendInitialEvents").map(|value| value == "true"),
            timeout_seconds: self.number("timeoutSeconds")?,
        })
    }
}
