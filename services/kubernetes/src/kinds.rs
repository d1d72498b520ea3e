//! Which kinds a cluster serves, under which path and in which scope: asked once per group and version.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use kube::core::{ApiResource, DynamicObject, Request, Resource};
use kube::error::DiscoveryError;
use kube::{Client, Error};

use super::split;

/// A kind as the cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: Arc<str>,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// Requests for objects of this kind.
    pub fn requests(&self, namespace: Option<&str>) -> Request {
        let (group, version) = split(&self.api_version);
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            plural: self.plural.to_string(),
        };
        Request::new(DynamicObject::url_path(&resource, namespace))
    }
}

/// The kinds of one group and version: plural and whether namespaced, by kind.
struct Served {
    kinds: BTreeMap<String, (Arc<str>, bool)>,
    asked: Instant,
}

/// What is known about one cluster.
pub struct Kinds {
    client: Client,
    known: Mutex<BTreeMap<String, Served>>,
    /// Held while the cluster is asked, so that many objects of one kind ask once.
    asking: tokio::sync::Mutex<()>,
}

impl Kinds {
    /// Nothing is known yet about the cluster that `client` speaks to.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
        }
    }

    /// The kind; none where the cluster does not serve it in this version.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub async fn find(&self, api_version: &str, kind: &str) -> Result<Option<Kind>, Error> {
        let begin = Instant::now();
        if let Some((_, found @ Some(_))) = self.lookup(api_version, kind) {
            return Ok(found);
        }
        let _asking = self.asking.lock().await;
        if let Some((asked, found)) = self.lookup(api_version, kind)
            && (found.is_some() || asked >= begin)
        {
            return Ok(found);
        }
        self.ask(api_version).await?;
        Ok(self.lookup(api_version, kind).and_then(|(_, found)| found))
    }

    /// The kind in any version of its group, `api_version` before others; none where no version serves it, so that no object of it can be there.
    ///
    /// # Errors
    /// Where the cluster does not answer, or does not answer as a cluster does: an absence must be stated by one that is in order.
    pub async fn find_in_any_version(
        &self,
        api_version: &str,
        kind: &str,
    ) -> Result<Option<Kind>, Error> {
        if let found @ Some(_) = self.find(api_version, kind).await? {
            return Ok(found);
        }
        let (group, _) = split(api_version);
        if group.is_empty() {
            return self.unless_unanswered(api_version);
        }
        let groups = self.client.list_api_groups().await?.groups;
        if groups.is_empty() {
            return Err(missing("/apis"));
        }
        let versions = groups
            .into_iter()
            .filter(|found| found.name == group)
            .flat_map(|found| found.versions);
        for version in versions {
            let found = self.find(&version.group_version, kind).await?;
            if found.is_some() {
                return Ok(found);
            }
            self.unless_unanswered(&version.group_version)?;
        }
        Ok(None)
    }

    /// None, unless the cluster names no kind at all of a version that it must serve: then it is not the one to believe.
    fn unless_unanswered(&self, api_version: &str) -> Result<Option<Kind>, Error> {
        let known = self.known();
        match known.get(api_version) {
            Some(served) if !served.kinds.is_empty() => Ok(None),
            _ => Err(missing(api_version)),
        }
    }

    /// Forgets what is known about a group and version: the cluster answered otherwise.
    pub fn forget(&self, api_version: &str) {
        self.known().remove(api_version);
    }

    fn lookup(&self, api_version: &str, kind: &str) -> Option<(Instant, Option<Kind>)> {
        let known = self.known();
        let served = known.get(api_version)?;
        let found = served.kinds.get(kind).map(|(plural, namespaced)| Kind {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural: Arc::clone(plural),
            namespaced: *namespaced,
        });
        Some((served.asked, found))
    }

    /// The kinds of a group and version as the cluster serves them now, by kind; none where it does not serve that version.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub async fn of(&self, api_version: &str) -> Result<Vec<Kind>, Error> {
        let _asking = self.asking.lock().await;
        self.ask(api_version).await?;
        let known = self.known();
        let served = known.get(api_version).map(|served| &served.kinds);
        Ok(served
            .into_iter()
            .flatten()
            .map(|(kind, (plural, namespaced))| Kind {
                api_version: api_version.to_owned(),
                kind: kind.clone(),
                plural: Arc::clone(plural),
                namespaced: *namespaced,
            })
            .collect())
    }

    async fn ask(&self, api_version: &str) -> Result<(), Error> {
        let asked = Instant::now();
        let list = match split(api_version) {
            ("", version) => self.client.list_core_api_resources(version).await,
            _ => self.client.list_api_group_resources(api_version).await,
        };
        let resources = match list {
            Ok(list) => list.resources,
            Err(Error::Api(status)) if status.code == 404 => Vec::new(),
            Err(error) => return Err(error),
        };
        let kinds = resources
            .into_iter()
            .filter(|resource| !resource.name.contains('/'))
            .map(|resource| (resource.kind, (resource.name.into(), resource.namespaced)))
            .collect();
        self.known()
            .insert(api_version.to_owned(), Served { kinds, asked });
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Served>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(what: &str) -> Error {
    Error::Discovery(DiscoveryError::EmptyApiGroup(what.to_owned()))
}
