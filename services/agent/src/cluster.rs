//! One member cluster: carries out one item of work at a time per object, with server-side apply.
//!
//! An attempt looks (discovery, GET), decides ([`decide`], without IO) and does. What it does names the state that it was decided on
//! (uid, resourceVersion), so that nothing is overwritten which came in between; then it looks again. Only the creation of an object that was not there has
//! no such guard, since server-side apply knows none.

mod answer;
mod decide;
mod ignore;
pub mod lease;
mod manifest;
pub mod memory;
mod observe;
pub mod own;
mod rehearse;
mod subset;
mod takeover;
mod unseal;

use std::sync::Arc;
use std::time::Duration;

use fleetcast_core::ack::Outcome;
use fleetcast_core::document::Document;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{ApplyPolicy, ObjectKey};
use fleetcast_core::reconcile::{Pause, Sight, WatchedKind};
use fleetcast_core::work::{Body, Work};
use fleetcast_kubernetes::kinds::{Kind, Kinds};
use fleetcast_kubernetes::{path_step, split, version, watch};
use fleetcast_sealing::Keys;
use futures::Stream;
use kube::Client;
use kube::api::{DeleteParams, GetParams, Patch, PatchParams, Preconditions};
use kube::core::Request;
use serde::Serialize;
use serde_json::Value;

use answer::No;
use decide::{ToApply, ToRemove, ToWrite, Version};
use manifest::Manifest;

pub use decide::{Report, Task};
pub use observe::Reporting;
pub use rehearse::Rehearsal;

/// Our field manager.
pub(crate) const MANAGER: &str = "fleetcast";
/// The namespace in which an agent keeps what it needs in its cluster, where nobody says another.
pub const NAMESPACE: &str = "fleetcast-system";
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often one attempt looks again because the object changed in between: a Deployment's controller writes its status several times in a row.
const LOOKS: usize = 8;

/// One member cluster.
pub struct Cluster {
    client: Client,
    kinds: Arc<Kinds>,
    reporting: Reporting,
    keys: Arc<Keys>,
}

impl Cluster {
    /// The cluster that `client` speaks to.
    pub fn new(client: Client, reporting: Reporting) -> Self {
        Self {
            kinds: Arc::new(Kinds::new(client.clone())),
            client,
            reporting,
            keys: Arc::default(),
        }
    }

    /// With the keys that open the values of its work.
    #[must_use]
    pub fn with_keys(self, keys: Arc<Keys>) -> Self {
        Self { keys, ..self }
    }

    /// The object that a live object is a copy of; none where it is not ours.
    pub fn object_of(live: &Value) -> Option<ObjectKey> {
        observe::object(live)
    }

    /// Watches our copies of a kind, known in `api_version`, without end.
    pub(crate) fn watch(
        &self,
        kind: &WatchedKind,
        api_version: String,
    ) -> impl Stream<Item = watch::Shown> + Send + use<> {
        let wanted = watch::Wanted {
            kind: kind.kind.clone(),
            api_version,
            selector: Some(format!("{}=true", manifest::MANAGED)),
            only_metadata: false,
        };
        watch::watch(self.client.clone(), Arc::clone(&self.kinds), wanted)
    }

    /// What is seen of `live`, a copy of ours, by the work that it should carry out.
    pub fn sight(&self, work: &Work, live: &Value) -> Sight {
        observe::copy(work, live, &self.reporting, &self.keys)
    }

    /// Whether `live` carries our marks, as `object`.
    pub fn is_ours(live: &Value, object: &ObjectKey) -> bool {
        manifest::is_ours(live, object)
    }

    /// What is seen where a copy is gone; `live` is how it was last.
    pub fn sight_of_nothing(live: &Value) -> Sight {
        observe::nothing(version(live))
    }

    /// Attempts a task and says how that ended. Attempts may be repeated and cut off at any point.
    pub async fn attempt(&self, task: &Task) -> Report {
        let report = tokio::time::timeout(PATIENCE, self.look_until_it_stands_still(task))
            .await
            .unwrap_or_else(|_| {
                Report::retrying(format!(
                    "the cluster's API server did not answer within {} s",
                    PATIENCE.as_secs()
                ))
            });
        unseal::veiled(&self.keys, &task.work, report)
    }

    async fn look_until_it_stands_still(&self, task: &Task) -> Report {
        let work = &task.work;
        let mut last = String::new();
        for _ in 0..LOOKS {
            let outcome = match &work.body {
                Body::Apply { manifest, policy } => self.apply(task, manifest, policy).await,
                Body::Remove { mode, api_version } => self.remove(work, *mode, api_version).await,
            };
            match outcome {
                Ok(report) => return report,
                Err(No::Immutable(message)) => {
                    return Report::refused(format!(
                        "a field cannot be changed: {message}; apply.onImmutable: recreate deletes the object and creates it anew"
                    ));
                }
                Err(No::Refuse(message) | No::Conflict(message, _)) => {
                    return Report::refused(message);
                }
                Err(No::Retry(message)) => return Report::retrying(message),
                Err(No::Wait(message)) => return Report::waiting(message),
                Err(No::Busy(message, ms)) => {
                    return Report {
                        pause: Pause::AtLeast(ms),
                        ..Report::retrying(message)
                    };
                }
                Err(No::Changed(message) | No::Unserved(message)) => last = message,
                Err(No::Absent) => last = "it went away in between".to_owned(),
            }
        }
        Report::retrying(last)
    }

    async fn apply(
        &self,
        task: &Task,
        document: &Document,
        policy: &ApplyPolicy,
    ) -> Result<Report, No> {
        let work = &task.work;
        let document = unseal::open(&self.keys, work, document).map_err(|error| {
            No::Retry(format!(
                "its values cannot be opened: {error}; next: register the key of this cluster's agent with `fleetcast cluster register --sealing-key`, or join the cluster again"
            ))
        })?;
        let manifest = Manifest::parse(&work.object, &document).map_err(No::Refuse)?;
        let name = work.object.kind();
        let found = self.kinds.find(&manifest.api_version, name).await;
        let Some(kind) = found.map_err(|error| answer::read(&error, false))? else {
            return Ok(Report::waiting(format!(
                "waits for kind {name} of {}: the cluster does not serve it yet",
                manifest.api_version
            )));
        };
        let mut place = Place::new(self, &work.object, kind)?;
        place.is_secret |= unseal::is_sealed(work);
        let live = place.get().await?;
        let ToWrite {
            object,
            force,
            recreate,
            lost,
            heals,
        } = match decide::apply(task, &manifest, policy, live.as_ref()) {
            ToApply::Answer(report) => {
                let shown = live.as_ref().filter(|_| report.outcome == Outcome::Applied);
                let sight = match shown {
                    Some(live) => Some(observe::copy(work, live, &self.reporting, &self.keys)),
                    None if live.is_none() => Some(observe::nothing(0)),
                    None => None,
                };
                return Ok(Report { sight, ..report });
            }
            ToApply::Release(patch) => {
                place.merge(&patch).await?;
                return Err(No::Changed("it was released".to_owned()));
            }
            ToApply::Write(write) => write,
        };
        let mut outcome = place.apply(&object, force).await;
        if let Err(No::Conflict(_, fields)) = &outcome
            && decide::are_ours(fields, &lost)
        {
            outcome = place.apply(&object, true).await;
        }
        match (outcome, recreate) {
            (Ok(live), _) => {
                let mut sight = observe::copy(work, &live, &self.reporting, &self.keys);
                if let Some(copy) = &mut sight.copy {
                    let unstated = std::mem::replace(&mut copy.observed.drift, heals);
                    let fields = unstated.into_iter().flat_map(|drift| drift.fields);
                    copy.unstated = fields.map(|field| field.path).collect();
                }
                Ok(Report {
                    sight: Some(sight),
                    ..Report::wrote(Outcome::Applied, "")
                })
            }
            (Err(No::Immutable(message)), Some(version)) => {
                place.delete(&version).await?;
                Ok(Report::wrote(
                    Outcome::Retrying,
                    format!("recreating: {message}"),
                ))
            }
            (Err(no), _) => Err(no),
        }
    }

    async fn remove(&self, work: &Work, mode: OnDelete, api_version: &str) -> Result<Report, No> {
        let (group, version) = split(api_version);
        if group != work.object.group() || !manifest::is_version(version) {
            return Ok(Report::refused(format!(
                "the removal's apiVersion is {api_version:?}, the work is about {}",
                work.object
            )));
        }
        let found = self
            .kinds
            .find_in_any_version(api_version, work.object.kind())
            .await;
        let Some(kind) = found.map_err(|error| answer::read(&error, false))? else {
            return Ok(Report::unchanged(Outcome::Removed, ""));
        };
        let place = Place::new(self, &work.object, kind)?;
        let live = place.get().await?;
        match decide::remove(work, mode, live.as_ref()) {
            ToRemove::Answer(report) => Ok(*report),
            ToRemove::Delete(version) => {
                place.delete(&version).await?;
                Ok(match place.get().await? {
                    None => Report::wrote(Outcome::Removed, ""),
                    Some(left) => Report::wrote(Outcome::Retrying, decide::waits_for(&left)),
                })
            }
            ToRemove::Release(patch) => {
                place.merge(&patch).await?;
                Ok(Report::wrote(Outcome::Orphaned, ""))
            }
        }
    }
}

/// The apiVersion of the object that `work` is about; none where its manifest cannot be read.
pub(crate) fn api_version(work: &Work) -> Option<String> {
    match &work.body {
        Body::Apply { manifest, .. } => Manifest::parse(&work.object, manifest)
            .ok()
            .map(|manifest| manifest.api_version),
        Body::Remove { api_version, .. } => Some(api_version.clone()),
    }
}

/// The place of one object in one cluster: what is asked of the API server about it.
struct Place<'a> {
    cluster: &'a Cluster,
    kind: Kind,
    requests: Request,
    /// The name as one step of a path.
    name: String,
    is_secret: bool,
    is_namespace: bool,
}

impl<'a> Place<'a> {
    /// The place of `object`; a refusal where its scope is not that of its kind.
    fn new(cluster: &'a Cluster, object: &ObjectKey, kind: Kind) -> Result<Self, No> {
        match (kind.namespaced, object.namespace()) {
            (true, Some(_)) | (false, None) => {}
            (false, Some(_)) => {
                return Err(No::Refuse(format!(
                    "{} is cluster-scoped in this cluster, the work puts it into a namespace",
                    object.kind()
                )));
            }
            (true, None) => {
                return Err(No::Refuse(format!(
                    "{} is namespaced in this cluster, the work names no namespace",
                    object.kind()
                )));
            }
        }
        Ok(Self {
            cluster,
            requests: kind.requests(object.namespace()),
            kind,
            name: path_step(object.name()),
            is_secret: object.kind() == "Secret" && object.group().is_empty(),
            is_namespace: object.kind() == "Namespace" && object.group().is_empty(),
        })
    }

    async fn get(&self) -> Result<Option<Value>, No> {
        let request = self.requests.get(&self.name, &GetParams::default());
        match self.send(request).await {
            Ok(live) => Ok(Some(live)),
            Err(No::Absent) => Ok(None),
            Err(no) => Err(no),
        }
    }

    async fn apply(&self, object: &Value, force: bool) -> Result<Value, No> {
        let params = PatchParams {
            force,
            ..PatchParams::apply(MANAGER)
        };
        self.patch(&params, &Patch::Apply(object)).await
    }

    async fn merge(&self, patch: &Value) -> Result<(), No> {
        let params = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        self.patch(&params, &Patch::Merge(patch)).await.map(drop)
    }

    async fn patch<P: Serialize>(
        &self,
        params: &PatchParams,
        patch: &Patch<P>,
    ) -> Result<Value, No> {
        self.send(self.requests.patch(&self.name, params, patch))
            .await
    }

    /// Deletes this state in the background; what is gone already is deleted.
    async fn delete(&self, version: &Version) -> Result<(), No> {
        let Version {
            uid,
            resource_version,
        } = version.clone();
        let params = DeleteParams::background().preconditions(Preconditions {
            resource_version: Some(resource_version),
            uid: Some(uid),
        });
        match self.send(self.requests.delete(&self.name, &params)).await {
            Ok(_) | Err(No::Absent) => Ok(()),
            Err(no) => Err(no),
        }
    }

    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, No> {
        let outcome = match request.map_err(kube::Error::BuildRequest) {
            Ok(request) => self.cluster.client.request(request).await,
            Err(error) => Err(error),
        };
        outcome.map_err(|error| {
            let no = match answer::read(&error, self.is_secret) {
                // A namespace that is not there is the object itself, not where it should stand.
                No::Wait(_) if self.is_namespace && is_not_found(&error) => No::Absent,
                no => no,
            };
            if let No::Unserved(_) = no {
                self.cluster.kinds.forget(&self.kind.api_version);
            }
            no
        })
    }
}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}
