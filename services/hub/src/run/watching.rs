//! Which kinds of a hub are watched: those of the dialects as soon as they are served, and plain kinds that a policy names.

use std::collections::{BTreeMap, BTreeSet};

use fleetcast_core::hub::Effect;
use fleetcast_core::model::ObjectKey;
use fleetcast_kubernetes::kinds::Kind;
use fleetcast_kubernetes::watch::{self, Shown, Wanted};
use fleetcast_kubernetes::{brief, split};
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::api::Api;

/// The groups of the dialects, with the kinds of each that are watched; none for all of them.
const DIALECTS: [(&str, Option<&[&str]>); 6] = [
    (
        "fleetcast.dev",
        Some(&["FederatedObject", "ClusterFederatedObject", "MemberCluster"]),
    ),
    ("types.kubefed.io", None),
    (
        "scheduling.kubefed.io",
        Some(&["ReplicaSchedulingPreference"]),
    ),
    (
        "core.kubefed.io",
        Some(&["KubeFedCluster", "FederatedTypeConfig"]),
    ),
    (
        "policy.karmada.io",
        Some(&[
            "PropagationPolicy",
            "ClusterPropagationPolicy",
            "OverridePolicy",
            "ClusterOverridePolicy",
        ]),
    ),
    ("cluster.karmada.io", Some(&["Cluster"])),
];

/// How much may wait to be taken note of.
const AHEAD: usize = 256;

/// A kind that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) group: String,
    pub(crate) kind: String,
    pub(crate) api_version: String,
    pub(crate) only_metadata: bool,
}

impl Watched {
    fn of(kind: &Kind, only_metadata: bool) -> Self {
        Self {
            group: split(&kind.api_version).0.to_owned(),
            kind: kind.kind.clone(),
            api_version: kind.api_version.clone(),
            only_metadata,
        }
    }

    /// What it shows, without end.
    pub(crate) fn shown(&self, api: &Api) -> impl Stream<Item = Shown> + Send + use<> {
        let wanted = Wanted {
            kind: self.kind.clone(),
            api_version: self.api_version.clone(),
            selector: None,
            only_metadata: self.only_metadata,
        };
        watch::watch(api.client.clone(), api.kinds.clone(), wanted)
    }
}

/// What comes from a hub.
#[derive(Debug)]
pub(crate) enum Sight {
    /// A watch shows something.
    Shown(Shown),
    /// What the hub serves.
    Served(Served),
}

/// What a hub serves: the kinds of the dialects, and the preferred version of each group.
#[derive(Debug, Default)]
pub(crate) struct Served {
    pub(crate) kinds: Vec<Kind>,
    pub(crate) groups: BTreeMap<String, String>,
}

/// Asks a hub what it serves.
pub(crate) async fn discover(api: &Api) -> Result<Served, kube::Error> {
    let mut served = Served::default();
    served.groups.insert(String::new(), "v1".to_owned());
    for group in api.client.list_api_groups().await?.groups {
        let preferred = group.preferred_version.as_ref().or(group.versions.first());
        let Some(version) = preferred.map(|preferred| preferred.group_version.clone()) else {
            continue;
        };
        if let Some((_, wanted)) = DIALECTS.iter().find(|(name, _)| *name == group.name) {
            let kinds = api.kinds.of(&version).await?.into_iter();
            served.kinds.extend(
                kinds.filter(|kind| {
                    wanted.is_none_or(|wanted| wanted.contains(&kind.kind.as_str()))
                }),
            );
        }
        served.groups.insert(group.name, version);
    }
    Ok(served)
}

impl Served {
    /// Whether KubeFed's FederatedTypeConfigs are served.
    pub(crate) fn has_types(&self) -> bool {
        let mut kinds = self.kinds.iter();
        kinds.any(|kind| kind.kind == "FederatedTypeConfig")
    }
}

/// Whether the kinds of a group are a dialect's.
pub(crate) fn is_dialects(group: &str) -> bool {
    DIALECTS.iter().any(|(name, _)| *name == group)
}

/// What is being watched; it ends when it is dropped.
pub(crate) struct Watching {
    api: Api,
    tasks: BTreeMap<(String, String), Task>,
    discovery: Option<JoinHandle<()>>,
    sender: mpsc::Sender<(Watched, u64, Sight)>,
    receiver: mpsc::Receiver<(Watched, u64, Sight)>,
    started: u64,
}

struct Task {
    watched: Watched,
    /// Which of the tasks for this kind it is: what an earlier one sent counts no longer.
    number: u64,
    handle: JoinHandle<()>,
    /// The newest version that was shown.
    reached: u64,
}

impl Watching {
    pub(crate) fn new(api: Api) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD);
        Self {
            api,
            tasks: BTreeMap::new(),
            discovery: None,
            sender,
            receiver,
            started: 0,
        }
    }

    /// The next thing that is seen.
    pub(crate) async fn next(&mut self) -> Option<(Watched, Sight)> {
        loop {
            let (watched, number, sight) = self.receiver.recv().await?;
            let key = (watched.group.clone(), watched.kind.clone());
            let is_now = |task: &Task| task.number == number;
            if matches!(sight, Sight::Served(_)) || self.tasks.get(&key).is_some_and(is_now) {
                return Some((watched, sight));
            }
        }
    }

    /// Asks what the hub serves, unless that is being asked.
    pub(crate) fn discover(&mut self) {
        if self
            .discovery
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let (api, sender) = (self.api.clone(), self.sender.clone());
        self.discovery = Some(tokio::spawn(async move {
            match discover(&api).await {
                Ok(served) => {
                    let nothing = Watched {
                        group: String::new(),
                        kind: String::new(),
                        api_version: String::new(),
                        only_metadata: false,
                    };
                    drop(sender.send((nothing, 0, Sight::Served(served))).await);
                }
                Err(error) => {
                    tracing::debug!(error = brief(&error), "the hub does not say what it serves");
                }
            }
        }));
    }

    /// Watches what is served and of a dialect, and plain kinds that were declared before; answers the kinds that are not served (any more).
    pub(crate) fn served(
        &mut self,
        served: Served,
        declared: &BTreeSet<(String, String)>,
    ) -> Vec<(String, String)> {
        let mut lost = Vec::new();
        let key = |kind: &Kind| (split(&kind.api_version).0.to_owned(), kind.kind.clone());
        let now: BTreeSet<(String, String)> = served.kinds.iter().map(key).collect();
        let ended: Vec<(String, String)> = self
            .tasks
            .keys()
            .filter(|key| is_dialects(&key.0) && !now.contains(*key))
            .cloned()
            .collect();
        for key in ended {
            tracing::warn!(
                group = key.0,
                kind = key.1,
                "the hub serves this kind no longer"
            );
            self.end(&key);
            lost.push(key);
        }
        for kind in &served.kinds {
            if !self.tasks.contains_key(&key(kind)) {
                tracing::info!(
                    api_version = kind.api_version,
                    kind = kind.kind,
                    "watches this kind"
                );
                self.start(Watched::of(kind, false));
            }
        }
        for (group, kind) in declared {
            let key = (group.clone(), kind.clone());
            if self.tasks.contains_key(&key) || lost.contains(&key) {
                continue;
            }
            match served.groups.get(group).filter(|_| !is_dialects(group)) {
                Some(api_version) => self.watch_plain(api_version, kind),
                None => lost.push(key),
            }
        }
        lost
    }

    /// Watches the metadata of a plain kind, or lists it again.
    pub(crate) fn watch_plain(&mut self, api_version: &str, kind: &str) {
        self.start(Watched {
            group: split(api_version).0.to_owned(),
            kind: kind.to_owned(),
            api_version: api_version.to_owned(),
            only_metadata: true,
        });
    }

    /// A watch showed this version.
    pub(crate) fn reached(&mut self, watched: &Watched, version: u64) {
        let key = (watched.group.clone(), watched.kind.clone());
        if let Some(task) = self.tasks.get_mut(&key) {
            task.reached = task.reached.max(version);
        }
    }

    /// A list of all objects as of a version; false where a newer version was shown before.
    pub(crate) fn completed(&mut self, watched: &Watched, version: u64) -> bool {
        let key = (watched.group.clone(), watched.kind.clone());
        let Some(task) = self.tasks.get_mut(&key) else {
            return true;
        };
        let is_older = version < task.reached;
        task.reached = task.reached.max(version);
        !is_older
    }

    /// The apiVersion of the object that an effect is about; a guess where its kind is not watched.
    pub(crate) fn api_version(&self, effect: &Effect) -> String {
        let Some(place) = place_of(effect) else {
            return String::new();
        };
        let key = (place.group().to_owned(), place.kind().to_owned());
        match self.tasks.get(&key) {
            Some(task) => task.watched.api_version.clone(),
            None if place.group().is_empty() => "v1".to_owned(),
            None => format!("{}/v1", place.group()),
        }
    }

    fn start(&mut self, watched: Watched) {
        let key = (watched.group.clone(), watched.kind.clone());
        self.end(&key);
        self.started += 1;
        let number = self.started;
        let (api, sender, of) = (self.api.clone(), self.sender.clone(), watched.clone());
        let handle = tokio::spawn(async move {
            let mut shown = std::pin::pin!(of.shown(&api));
            while let Some(shown) = shown.next().await {
                if sender
                    .send((of.clone(), number, Sight::Shown(shown)))
                    .await
                    .is_err()
                {
                    break;
                }
            }
        });
        let task = Task {
            watched,
            number,
            handle,
            reached: 0,
        };
        self.tasks.insert(key, task);
    }

    fn end(&mut self, key: &(String, String)) {
        if let Some(task) = self.tasks.remove(key) {
            task.handle.abort();
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        for task in self.tasks.values() {
            task.handle.abort();
        }
        if let Some(task) = &self.discovery {
            task.abort();
        }
    }
}

fn place_of(effect: &Effect) -> Option<&ObjectKey> {
    match effect {
        Effect::Watch { .. } => None,
        Effect::Fetch { place }
        | Effect::Finalizers { place, .. }
        | Effect::Note { place, .. }
        | Effect::Submit { place, .. }
        | Effect::Withdraw { place, .. }
        | Effect::AwaitRemoval { place, .. }
        | Effect::Report { place, .. } => Some(place),
    }
}
