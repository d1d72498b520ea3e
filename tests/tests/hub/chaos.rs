//! Two watchers, broken watches, versions that are gone, processes that are killed, and random changes: no change lost, none invented.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use fleetcast_core::change::Change;
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{eventually, held};
use kube::Client;
use kube::api::{DeleteParams, ListParams};
use kube::client::Body;
use serde_json::{Value, json};

use super::scene::{Scene, api, apply, changes, document, live, map, withdraws};

/// How many objects there are at most.
const OBJECTS: u64 = 12;

/// Between two changes.
const PACE: std::time::Duration = std::time::Duration::from_millis(3);
/// How many times something breaks.
const UPSETS: u64 = 12;

/// Numbers that look like chance and are the same each time (xorshift, Marsaglia 2003).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What goes wrong with a watcher's requests.
#[derive(Default)]
struct Faults {
    /// So many of the next watches begin at the first version, which the hub has forgotten.
    forgotten: AtomicU32,
    /// So many of the next requests break.
    broken: AtomicU32,
}

fn takes_one(count: &AtomicU32) -> bool {
    let one = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    one.is_ok()
}

/// The same hub, whose watches live one second, with faults.
fn faulty(hub: &Client) -> (Client, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let (hub, shared) = (hub.clone(), Arc::clone(&faults));
    let service = tower::service_fn(move |mut request: http::Request<Body>| {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let mut path = path.replace("timeoutSeconds=285", "timeoutSeconds=1");
        if path.contains("watch=") && takes_one(&shared.forgotten) {
            let fields = path
                .split('&')
                .map(|field| match field.starts_with("resourceVersion=") {
                    true => "resourceVersion=1",
                    false => field,
                });
            path = fields.collect::<Vec<_>>().join("&");
        }
        *request.uri_mut() = path.parse().expect("a path");
        let breaks = takes_one(&shared.broken);
        let hub = hub.clone();
        async move {
            match breaks {
                true => Err(kube::Error::Service("the connection breaks".into())),
                false => hub.send(request).await,
            }
        }
    });
    (Client::new(service, "default"), faults)
}

/// What a person did.
#[derive(Default)]
struct Done {
    /// Texts written, by object.
    texts: BTreeMap<String, BTreeSet<u64>>,
    /// How often each object was deleted.
    deleted: BTreeMap<String, usize>,
}

/// One random change of some object: mostly another text, at times nothing new, a label, or a deletion.
async fn change(hub: &Client, chance: &mut Chance, count: u64, done: &mut Done) {
    let name = format!("m{}", chance.below(OBJECTS));
    let what = chance.below(20);
    let before = live(hub, &map(&name, "")).await;
    // What is on its way out cannot be brought back: it comes again when it is gone.
    if before
        .as_ref()
        .is_some_and(|live| live["metadata"]["deletionTimestamp"].is_string())
    {
        return;
    }
    match before {
        Some(_) if what == 0 => {
            let objects = super::scene::of(hub, &map(&name, ""));
            let deleted = objects.delete(&name, &DeleteParams::default()).await;
            if deleted.is_ok() {
                *done.deleted.entry(name).or_default() += 1;
            }
        }
        Some(before) if what == 1 => {
            let text = before["spec"]["template"]["data"]["text"]
                .as_str()
                .expect("text")
                .to_owned();
            apply(hub, &map(&name, &text)).await;
        }
        _ => {
            done.texts.entry(name.clone()).or_default().insert(count);
            apply(hub, &map(&name, &count.to_string())).await;
        }
    }
}

fn text_of(change: &Change) -> Option<u64> {
    let document = document(change);
    document["spec"]["template"]["data"]["text"]
        .as_str()?
        .parse()
        .ok()
}

/// What stands on the hub: texts by name, of what is not on its way out; none while something is.
async fn standing(hub: &Client) -> Option<BTreeMap<String, u64>> {
    let objects = api(
        hub,
        "fleetcast.dev/v1alpha1",
        "FederatedObject",
        Some("default"),
    );
    let all = objects.list(&ListParams::default()).await.ok()?;
    let mut texts = BTreeMap::new();
    for object in all {
        if object.metadata.deletion_timestamp.is_some() {
            return None;
        }
        let text = object.data["spec"]["template"]["data"]["text"]
            .as_str()?
            .parse()
            .ok()?;
        texts.insert(object.metadata.name?, text);
    }
    Some(texts)
}

/// Makes `count` random changes on a hub while everything breaks in turn, then looks at what came of them; `upset` breaks more of the hub.
pub(crate) async fn random_changes(test: &str, hub: Client, count: u64, upset: impl AsyncFn(u64)) {
    let Some(mut scene) = Scene::unwatched(test, hub.clone()).await else {
        return;
    };
    let watch = |scene: &Scene, name: &str| {
        let (client, faults) = faulty(&hub);
        (scene.bed.hub(name, client), faults)
    };
    let mut watchers = vec![watch(&scene, "a"), watch(&scene, "b")];
    let mut second = scene.bed.ingest("second");
    let (mut chance, mut done) = (Chance(0x5eed_1e55), Done::default());
    for step in 1..=count {
        change(&hub, &mut chance, step, &mut done).await;
        // A person is not faster than the hub's own bookkeeping.
        tokio::time::sleep(PACE).await;
        if step % (count / UPSETS).max(1) == 0 {
            match step / (count / UPSETS).max(1) % 6 {
                0 => {
                    // Whichever of them watches: the other takes over.
                    let (watcher, _) = watchers.remove(0);
                    watcher.kill().await;
                    watchers.push(watch(&scene, &format!("watcher-{step}")));
                }
                1 => {
                    second.kill().await;
                    second = scene.bed.ingest(&format!("ingest-{step}"));
                }
                2 => {
                    for (_, faults) in &watchers {
                        faults.broken.store(6, Ordering::SeqCst);
                    }
                }
                3 => {
                    scene.kill_ingest().await;
                    scene.start_ingest(&format!("first-{step}"));
                }
                4 => {
                    for (_, faults) in &watchers {
                        faults.forgotten.store(4, Ordering::SeqCst);
                    }
                }
                _ => upset(step).await,
            }
            // It goes on before the next thing breaks.
            let mark = map("mark", &step.to_string());
            done.texts
                .entry("mark".to_owned())
                .or_default()
                .insert(step);
            apply(&hub, &mark).await;
            scene
                .logged("ConfigMap/default/mark", |change| {
                    text_of(change) == Some(step)
                })
                .await;
        }
    }
    // Everything comes to rest: what stands on the hub is what the log says, and what members hold.
    let mut last = BTreeMap::new();
    eventually("what is deleted is let go", async || {
        match standing(&hub).await {
            Some(texts) => {
                last = texts;
                true
            }
            None => false,
        }
    })
    .await;
    for at in 0..OBJECTS {
        let name = format!("m{at}");
        let text = last.get(&name).map(|text| json!(text.to_string()));
        eventually(&format!("{name} is {text:?} on all members"), async || {
            for member in &scene.members {
                let held = held(member, "v1", "ConfigMap", Some("default"), &name).await;
                if held.map(|held| held["data"]["text"].clone()) != text {
                    return false;
                }
            }
            true
        })
        .await;
    }
    look_at_the_log(&scene, &last, &done).await;
    for (watcher, _) in watchers {
        watcher.kill().await;
    }
    second.kill().await;
    scene.end().await;
}

async fn look_at_the_log(scene: &Scene, last: &BTreeMap<String, u64>, done: &Done) {
    let all = changes(&scene.bus).await;
    let mut total = 0;
    for (object, changes) in &all {
        let name = object.rsplit('/').next().expect("a name").to_owned();
        let written = done.texts.get(&name).cloned().unwrap_or_default();
        total += changes.len();
        let mut newest = 0;
        let mut withdrawn = 0;
        let mut before = Value::Null;
        for (at, change) in changes.iter().enumerate() {
            assert_eq!(
                change.revision,
                at as u64 + 1,
                "{object}: revisions are consecutive"
            );
            let document = document(change);
            assert_ne!(
                document, before,
                "{object}: revision {} says nothing new",
                change.revision
            );
            before = document;
            if withdraws(change) {
                withdrawn += 1;
                continue;
            }
            let text = text_of(change).expect("a text");
            assert!(written.contains(&text), "{object}: nobody wrote {text}");
            assert!(text >= newest, "{object}: {text} came after {newest}");
            newest = text;
        }
        let deleted = done.deleted.get(&name).copied().unwrap_or(0);
        assert!(
            withdrawn <= deleted,
            "{object}: {withdrawn} withdrawals, {deleted} deletions"
        );
        let says = changes.last().and_then(text_of);
        assert_eq!(
            says.as_ref(),
            last.get(&name),
            "{object}: the log says what stands on the hub"
        );
    }
    for name in done.texts.keys() {
        assert!(
            all.contains_key(&format!("ConfigMap/default/{name}")),
            "{name} is not in the log"
        );
    }
    let deleted: usize = done.deleted.values().sum();
    let written: usize = done.texts.values().map(BTreeSet::len).sum();
    eprintln!(
        "{written} writes and {deleted} deletions on the hub became {total} changes of {} objects",
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn random_changes_on_a_simulated_hub_lose_nothing_and_invent_nothing() {
    let test = "random_changes_on_a_simulated_hub_lose_nothing_and_invent_nothing";
    let cluster = Cluster::new("hub");
    let faults = cluster.faults();
    random_changes(test, cluster.client(), 2_000, async |_| {
        faults.cut_off(true);
        faults.cut_off(false);
    })
    .await;
}
