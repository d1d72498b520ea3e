//! KubeFed's FederatedTypeConfigs: which federated kinds there are, what stands behind them, and whether they are propagated.
//!
//! A hub that has none (KubeFed is gone, or was never there) propagates every federated kind. One that has some propagates those that one of them enables, as KubeFed
//! does: an object of another kind rests, whatever was handed in of it before stays.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::Refusal;
use crate::dialect;
use crate::dialect::kinds::{self, Behind, Catalog};
use crate::dialect::kubefed;
use crate::model::ObjectKey;

/// What is known of a hub's FederatedTypeConfigs.
#[derive(Debug, Clone, Default)]
pub(super) struct Types {
    configs: BTreeMap<ObjectKey, Config>,
    /// Not shown yet by the list that is under way.
    unlisted: BTreeSet<ObjectKey>,
    /// Whether all of them are known.
    known: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Config {
    federated: String,
    enabled: bool,
    behind: Behind,
}

impl Config {
    /// None where it cannot be read, or is about federated kinds of a group that is not read.
    fn of(live: &Value) -> Option<Self> {
        let mut catalog = Catalog::default();
        catalog.configure(live).ok()?;
        let spec = &live["spec"];
        let is_read = spec["federatedType"]["group"] == group();
        let federated = spec["federatedType"]["kind"].as_str()?;
        is_read.then_some(Self {
            federated: federated.to_owned(),
            // KubeFed's own default writes it out; what says nothing is not disabled.
            enabled: spec["propagation"] != "Disabled",
            behind: catalog.behind(federated)?,
        })
    }
}

impl Types {
    /// Whether an object of a hub is a FederatedTypeConfig.
    pub(super) fn is_config(group: &str, kind: &str) -> bool {
        (group, kind) == ("core.kubefed.io", "FederatedTypeConfig")
    }

    /// Takes note of a config, or that it is gone: the federated kinds that other things are known of now.
    pub(super) fn learn(&mut self, place: &ObjectKey, live: Option<&Value>) -> BTreeSet<String> {
        self.unlisted.remove(place);
        let now = live.and_then(Config::of);
        let before = match &now {
            Some(now) => self.configs.insert(place.clone(), now.clone()),
            None => self.configs.remove(place),
        };
        if before == now {
            return BTreeSet::new();
        }
        let both = before.into_iter().chain(now);
        both.map(|config| config.federated).collect()
    }

    /// A list of all of them begins.
    pub(super) fn list_begins(&mut self) {
        self.unlisted = self.configs.keys().cloned().collect();
    }

    /// All of them were shown, or the hub has none: what was not shown is gone.
    pub(super) fn listed(&mut self) -> BTreeSet<String> {
        self.known = true;
        let gone = std::mem::take(&mut self.unlisted);
        gone.iter()
            .flat_map(|place| self.learn(place, None))
            .collect()
    }

    /// Whether all of them are known.
    pub(super) fn are_known(&self) -> bool {
        self.known
    }

    /// Why an object is not handed in as it stands; none where it is.
    pub(super) fn rests(&self, place: &ObjectKey) -> Option<&'static str> {
        if !is_federated(place) {
            return None;
        }
        if !self.known {
            return Some("waits for the hub's FederatedTypeConfigs");
        }
        let mut of_kind = self
            .configs
            .values()
            .filter(|config| config.federated == place.kind());
        match of_kind.next() {
            Some(config) if config.enabled => None,
            Some(_) => Some("rests: its FederatedTypeConfig says propagation: Disabled"),
            None if self.configs.is_empty() => None,
            None => Some("rests: the hub has no FederatedTypeConfig for its kind"),
        }
    }

    /// The object with what its config says and its template does not: the apiVersion of what it becomes.
    ///
    /// # Errors
    /// Refuses a kind that becomes one of another name: nobody else could read that.
    pub(super) fn completed(&self, live: &Value) -> Result<Value, Refusal> {
        let mut live = live.clone();
        let kind = live["kind"].as_str().unwrap_or_default();
        let Some(config) = self
            .configs
            .values()
            .find(|config| config.federated == kind)
        else {
            return Ok(live);
        };
        let plain = kind.strip_prefix("Federated").unwrap_or_default();
        if config.behind.kind != plain {
            let message = format!(
                "its FederatedTypeConfig makes it a {}: only Federated<Kind> for <Kind> is read",
                config.behind.kind
            );
            return Err(Refusal::new("kind", message));
        }
        let known = kinds::find(plain, None).map(|known| known.api_version);
        let told = config.behind.api_version.as_deref();
        let template = &mut live["spec"]["template"];
        if told != known && template.get("apiVersion").is_none_or(Value::is_null) {
            if template.is_null() {
                *template = Value::Object(Default::default());
            }
            if let (Some(template), Some(told)) = (template.as_object_mut(), told) {
                template.insert("apiVersion".to_owned(), told.into());
            }
        }
        Ok(live)
    }
}

/// Whether an object is of a kind that FederatedTypeConfigs speak about.
pub(super) fn is_federated(place: &ObjectKey) -> bool {
    place.group() == group()
}

/// The group of the federated kinds that are read.
fn group() -> &'static str {
    dialect::group_of(kubefed::API_VERSION)
}
