//! What an application would come to in a cluster, without writing to it: the same look and the same decision, then a dry run.

use fleetcast_core::ack::Outcome;
use fleetcast_core::decision::Place as Decided;
use fleetcast_core::diff::{self, Difference};
use fleetcast_core::document::Document;
use fleetcast_core::epoch::Epoch;
use fleetcast_core::model::federated::Predecessor;
use fleetcast_core::model::{ApplyPolicy, ClusterName, ObjectKey};
use fleetcast_core::time::Time;
use fleetcast_core::work::{Body, Stamp, Work};
use fleetcast_core::{digest, history};
use fleetcast_kubernetes::{brief, split};
use kube::Error;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Map, Value};

use super::answer::{self, No};
use super::decide::{self, Task, ToApply, ToWrite};
use super::manifest::{self, Manifest};
use super::{Cluster, MANAGER, PATIENCE, Place, observe, subset};

/// How many objects one page of a list has.
const PAGE: u32 = 500;

/// What an application would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rehearsal {
    /// It is ours, and as it should be: nothing is written.
    Held,
    /// It is not there, and would be created.
    Creates,
    /// It is there, and would be written.
    Writes {
        /// Whether the controller before us kept it: its marks go, ours come.
        taken_over: bool,
        /// In how many requests.
        writes: u32,
        /// What else would change, by field; nothing where only marks do.
        fields: Vec<Difference>,
    },
    /// It would be refused.
    Refused(String),
    /// It would wait for something.
    Waits(String),
    /// It cannot be told.
    Unknown(String),
}

impl Cluster {
    /// What applying `manifest` as `object` would come to. Nothing is written: the API server is asked for a dry run, and where it does not let us the fields that
    /// the manifest states are compared here.
    pub async fn rehearse(
        &self,
        object: &ObjectKey,
        manifest: &Value,
        policy: &ApplyPolicy,
    ) -> Rehearsal {
        let looked = self.try_rehearse(object, manifest, policy);
        match tokio::time::timeout(PATIENCE, looked).await {
            Ok(Ok(rehearsal)) => rehearsal,
            Ok(Err(no)) => by_no(no),
            Err(_) => Rehearsal::Unknown(format!(
                "the cluster's API server did not answer within {} s",
                PATIENCE.as_secs()
            )),
        }
    }

    async fn try_rehearse(
        &self,
        key: &ObjectKey,
        manifest: &Value,
        policy: &ApplyPolicy,
    ) -> Result<Rehearsal, No> {
        let document = Document::from_value(manifest);
        let parsed = Manifest::parse(key, &document).map_err(No::Refuse)?;
        let found = self.kinds.find(&parsed.api_version, key.kind()).await;
        let Some(kind) = found.map_err(|error| answer::read(&error, false))? else {
            return Ok(Rehearsal::Waits(format!(
                "waits for kind {} of {}: the cluster does not serve it",
                key.kind(),
                parsed.api_version
            )));
        };
        let place = Place::new(self, key, kind)?;
        let live = place.get().await?;
        let task = Task::new(work(key, document, policy, live.as_ref(), manifest));
        let mut writes = 1;
        let mut decided = decide::apply(&task, &parsed, policy, live.as_ref());
        if let (ToApply::Release(patch), Some(live)) = (&decided, &live) {
            // As it will stand then.
            let mut released = live.clone();
            released["metadata"]["managedFields"] = patch["metadata"]["managedFields"].clone();
            decided = decide::apply(&task, &parsed, policy, Some(&released));
            writes = 2;
        }
        let ToWrite { object, force, .. } = match decided {
            ToApply::Answer(report) => return Ok(by_report(report.outcome, report.message)),
            ToApply::Release(_) => {
                return Ok(Rehearsal::Unknown(
                    "it is released over and over".to_owned(),
                ));
            }
            ToApply::Write(write) => write,
        };
        let after = match place.try_apply(&object, force).await {
            Ok(after) => after,
            Err(Error::Api(status)) if status.code == 403 && live.is_some() => {
                let live = live.as_ref().unwrap_or(&Value::Null);
                return Ok(written(key, live, None, &parsed.value, policy, writes));
            }
            Err(error) => return Err(answer::read(&error, place.is_secret)),
        };
        Ok(match &live {
            None => Rehearsal::Creates,
            Some(live) => written(key, live, Some(&after), &parsed.value, policy, writes),
        })
    }

    /// The objects of a kind that the controller before us keeps in this cluster; none where the kind is not served.
    ///
    /// # Errors
    /// Why they cannot be listed.
    pub async fn kept_by(
        &self,
        before: Predecessor,
        api_version: &str,
        kind: &str,
    ) -> Result<Vec<ObjectKey>, String> {
        let found = self.kinds.find_in_any_version(api_version, kind).await;
        let Some(found) = found.map_err(|error| brief(&error))? else {
            return Ok(Vec::new());
        };
        let requests = found.requests(None);
        let (group, _) = split(&found.api_version);
        let mut kept = Vec::new();
        let mut token = None;
        loop {
            let params = ListParams {
                label_selector: Some(format!("{}=true", before.label())),
                limit: Some(PAGE),
                continue_token: token,
                ..ListParams::default()
            };
            let request = requests.list_metadata(&params);
            let page = fleetcast_kubernetes::send(&self.client, request, PATIENCE).await;
            let page = page.map_err(|error| brief(&error))?;
            let items = page["items"].as_array().into_iter().flatten();
            kept.extend(items.filter_map(|item| {
                let metadata = &item["metadata"];
                let namespace = metadata["namespace"].as_str();
                ObjectKey::new(kind, group, namespace, metadata["name"].as_str()?).ok()
            }));
            match page["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => token = Some(next.to_owned()),
                _ => return Ok(kept),
            }
        }
    }
}

impl Place<'_> {
    /// The object as it would stand after an apply; nothing is stored.
    async fn try_apply(&self, object: &Value, force: bool) -> Result<Value, Error> {
        let params = PatchParams {
            force,
            dry_run: true,
            ..PatchParams::apply(MANAGER)
        };
        let request = self
            .requests
            .patch(&self.name, &params, &Patch::Apply(object));
        fleetcast_kubernetes::send(&self.cluster.client, request, PATIENCE).await
    }
}

/// Work as it would come, of the very decision that the copy carries where it is ours: what is rehearsed is never older.
fn work(
    object: &ObjectKey,
    document: Document,
    policy: &ApplyPolicy,
    live: Option<&Value>,
    manifest: &Value,
) -> Work {
    let nothing = Decided {
        epoch: Epoch {
            number: 0,
            hub: String::new(),
        },
        number: 0,
    };
    let decided = live.and_then(manifest::recorded).unwrap_or(nothing);
    Work {
        cluster: ClusterName::parse("rehearsal").expect("a name"),
        object: object.clone(),
        revision: 0,
        decision: decided.number,
        decision_epoch: decided.epoch.clone(),
        digest: Some(digest::of_value(manifest)),
        stamp: Stamp {
            epoch: decided.epoch,
            term: 0,
            incarnation: String::new(),
            n: 0,
        },
        time: Time(0),
        causation: String::new(),
        correlation: String::new(),
        body: Body::Apply {
            manifest: document,
            policy: policy.clone(),
        },
    }
}

fn by_report(outcome: Outcome, message: String) -> Rehearsal {
    match outcome {
        Outcome::Applied => Rehearsal::Held,
        Outcome::Refused => Rehearsal::Refused(message),
        Outcome::Retrying => Rehearsal::Waits(message),
        Outcome::Ahead | Outcome::Removed | Outcome::Orphaned => Rehearsal::Unknown(message),
    }
}

fn by_no(no: No) -> Rehearsal {
    match no {
        No::Refuse(message) | No::Conflict(message, _) => Rehearsal::Refused(message),
        No::Immutable(message) => {
            Rehearsal::Refused(format!("a field cannot be changed: {message}"))
        }
        No::Wait(message) | No::Unserved(message) => Rehearsal::Waits(message),
        No::Retry(message) | No::Busy(message, _) | No::Changed(message) => {
            Rehearsal::Unknown(message)
        }
        No::Absent => Rehearsal::Unknown("it went away in between".to_owned()),
    }
}

/// What would change of `live`: against what a dry run gave, else against what the manifest states.
fn written(
    object: &ObjectKey,
    live: &Value,
    after: Option<&Value>,
    manifest: &Value,
    policy: &ApplyPolicy,
    writes: u32,
) -> Rehearsal {
    let (before, after) = match after {
        Some(after) => (content(live), content(after)),
        None => {
            let mut manifest = manifest.clone();
            super::ignore::leave(&mut manifest, live, &policy.ignore);
            (subset::of_live(&manifest, live), manifest)
        }
    };
    let mut fields = diff::fields(&before, &after);
    history::hide_secrets(object, &mut fields);
    let before = policy.predecessor;
    let taken_over = before.is_some_and(|before| super::takeover::left(live, before).is_some());
    let is_secret = object.kind() == "Secret" && object.group().is_empty();
    if is_secret && fields.is_empty() && !taken_over && observe::object(live).is_some() {
        // Its mark is the digest of sealed values, which only the hub can tell.
        return Rehearsal::Held;
    }
    Rehearsal::Writes {
        taken_over,
        writes,
        fields,
    }
}

/// A live object without what the server keeps up and without our marks.
fn content(live: &Value) -> Value {
    let mut content = live.clone();
    if let Some(object) = content.as_object_mut() {
        object.remove("status");
    }
    let Some(metadata) = content["metadata"].as_object_mut() else {
        return content;
    };
    metadata.retain(|field, _| {
        !["managedFields", "resourceVersion", "generation"].contains(&field.as_str())
    });
    for field in ["labels", "annotations"] {
        if let Some(texts) = metadata.get_mut(field).and_then(Value::as_object_mut) {
            texts.retain(|key, _| !is_mark(key));
        }
        if metadata
            .get(field)
            .and_then(Value::as_object)
            .is_some_and(Map::is_empty)
        {
            metadata.remove(field);
        }
    }
    content
}

fn is_mark(key: &str) -> bool {
    [
        manifest::MANAGED,
        manifest::OBJECT,
        manifest::DIGEST,
        manifest::REVISION,
        manifest::DECISION,
        manifest::EPOCH,
        manifest::FIELDS,
    ]
    .contains(&key)
}
