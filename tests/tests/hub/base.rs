//! A log with a hub's changes is cut: its watch goes on from the base, also with a checkpoint that is lost, damaged or of another log, and invents nothing.

use fleetcast_bus::checkpoint::Checkpoint;
use fleetcast_bus::streams;
use fleetcast_core::change::{Change, Content};
use fleetcast_core::hub::{Difference, Logged, Standing};
use fleetcast_hub::submit::Submission;
use fleetcast_hub::{Api, state, survey};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::{event, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{Binary, Output, eventually, held, sealing};
use serde_json::json;

use super::scene::{Scene, apply, changes, delete, live, map, merge, withdraws};

/// A scene with the binary beside it.
struct Cutting {
    scene: Scene,
    fleetcast: Binary,
    _folder: tempfile::TempDir,
}

impl Cutting {
    async fn new(test: &str, hub: kube::Client) -> Option<Self> {
        let scene = Scene::new(test, hub).await?;
        let folder = tempfile::tempdir().expect("a folder");
        Some(Self {
            fleetcast: scene.bed.binary(folder.path()),
            scene,
            _folder: folder,
        })
    }

    async fn run(&self, args: &[&str]) -> Output {
        let mut all = vec!["--nats".to_owned(), self.scene.bed.connect.url.clone()];
        all.extend(args.iter().map(ToString::to_string));
        let fleetcast = self.fleetcast.clone();
        let run = move || fleetcast.run(&all.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("it ends")
    }

    async fn last(&self) -> u64 {
        let last = self.scene.bus.last_sequence(streams::LOG).await;
        last.expect("a log")
    }

    /// Cuts everything away that stands in the log, and answers where.
    async fn cut(&self) -> u64 {
        let mut cut = 0;
        eventually("the log is cut", async || {
            let to = self.last().await;
            let args = ["--to", &to.to_string(), "--without-backup", "--yes"];
            let cutting = self.run(&[&["retain"], &args[..]].concat()).await;
            // The aggregator may not be that far yet.
            cut = to;
            cutting.status == 0
        })
        .await;
        let bounds = self.scene.bus.bounds(streams::LOG).await.expect("a log");
        assert_eq!(bounds.first, cut + 1);
        cut
    }

    /// What the log holds of an object's changes behind the cut.
    async fn since(&self, name: &str) -> Vec<Change> {
        let mut all = changes(&self.scene.bus).await;
        let object = format!("ConfigMap/default/{name}");
        all.remove(&object).unwrap_or_default()
    }

    async fn is_everywhere(&self, name: &str, text: Option<&str>) {
        let text = text.map(|text| json!(text));
        eventually(&format!("{name} is {text:?} on all members"), async || {
            for member in &self.scene.members {
                let held = held(member, "v1", "ConfigMap", Some("default"), name).await;
                if held.map(|held| held["data"]["text"].clone()) != text {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// Hands something in on the hub, and waits until it is everywhere: what the watch knew before is judged by then.
    async fn mark(&self, text: &str) {
        apply(&self.scene.hub, &map("mark", text)).await;
        self.is_everywhere("mark", Some(text)).await;
    }

    async fn unwatch(&mut self) {
        let watcher = self.scene.watcher.take().expect("it runs");
        watcher.stop().await;
    }

    fn watch(&mut self, identity: &str) {
        let watcher = self.scene.bed.hub(identity, self.scene.hub.clone());
        self.scene.watcher = Some(watcher);
    }

    async fn standings(&self) -> Vec<(String, Standing)> {
        let survey = survey::survey(
            &self.scene.bus,
            Api::new(self.scene.hub.clone()),
            Some(sealing()),
        )
        .await;
        let differences = survey.expect("the hub and the log answer").differences;
        let standing = |one: Difference| (one.place.name().to_owned(), one.standing);
        differences.into_iter().map(standing).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_watched_on_when_the_log_was_cut_and_no_revision_is_invented() {
    let test = "a_hub_is_watched_on_when_the_log_was_cut_and_no_revision_is_invented";
    let hub = Cluster::new("hub").client();
    let Some(mut fleet) = Cutting::new(test, hub.clone()).await else {
        return;
    };
    for name in ["a", "b", "goes", "forced"] {
        apply(&hub, &map(name, "A")).await;
        fleet.is_everywhere(name, Some("A")).await;
    }
    for text in ["B", "A"] {
        apply(&hub, &map("a", text)).await;
        fleet.is_everywhere("a", Some(text)).await;
    }
    fleet.mark("before").await;
    let told = changes(&fleet.scene.bus).await;
    let between = told["ConfigMap/default/a"][1].clone();
    let copies = versions(&fleet).await;

    // While it is watched.
    fleet.cut().await;
    fleet.mark("watched on").await;
    assert_eq!(fleet.since("mark").await.len(), 1);
    assert_eq!(fleet.standings().await, [], "as the base says");

    // By whoever begins at the base: one object went from A over B to A meanwhile, one is deleted, one is gone without a deletion.
    fleet.unwatch().await;
    for text in ["B", "A"] {
        apply(&hub, &map("b", text)).await;
    }
    delete(&hub, &map("goes", "")).await;
    let forced = map("forced", "");
    merge(&hub, &forced, &json!({"metadata": {"finalizers": null}})).await;
    delete(&hub, &forced).await;
    assert_eq!(
        fleet.standings().await,
        [
            ("forced".to_owned(), Standing::Vanished),
            ("goes".to_owned(), Standing::Deleting)
        ]
    );
    fleet.watch("another");
    eventually("what is deleted is let go", async || {
        live(&hub, &map("goes", "")).await.is_none()
    })
    .await;
    fleet.is_everywhere("goes", None).await;
    fleet.mark("by another").await;
    let goes = fleet.since("goes").await;
    assert!(
        goes.len() == 1 && goes[0].revision == 2 && withdraws(&goes[0]),
        "{goes:?}"
    );
    for name in ["a", "b", "forced"] {
        assert_eq!(fleet.since(name).await, [], "{name}: nothing new was said");
    }
    assert_eq!(
        fleet.standings().await,
        [("forced".to_owned(), Standing::Vanished)]
    );
    fleet.is_everywhere("forced", Some("A")).await;
    assert_eq!(versions(&fleet).await, copies, "no write to a member");

    // A watcher that was paused since B hands it in now: what was cut away is known all the same.
    let Content::Declared { document, .. } = &between.content else {
        panic!("B is declared");
    };
    let late = Submission::declare(&between.object, &between.origin, document);
    let answer = late.send(&fleet.scene.bus).await.expect("answered");
    let said = matches!(&answer, Answer::Accepted(first) if first.revision == 2);
    assert!(said, "the first answer: {answer:?}");
    assert_eq!(fleet.since("a").await, []);

    // Changes go on counting, and the next cut is on top of the first.
    apply(&hub, &map("a", "C")).await;
    fleet.is_everywhere("a", Some("C")).await;
    assert_eq!(fleet.since("a").await[0].revision, 4);
    fleet.cut().await;
    fleet.unwatch().await;
    fleet.watch("a third");
    fleet.mark("by a third").await;
    assert_eq!(fleet.since("a").await, []);
    let vanished = ("forced".to_owned(), Standing::Vanished);
    assert_eq!(fleet.standings().await, [vanished]);
    fleet.scene.end().await;
}

/// The resource versions of the copies that nobody changes.
async fn versions(fleet: &Cutting) -> Vec<String> {
    let mut versions = Vec::new();
    for member in &fleet.scene.members {
        for name in ["a", "b", "forced"] {
            let copy = held(member, "v1", "ConfigMap", Some("default"), name).await;
            let copy = copy.expect("it is there");
            versions.push(copy["metadata"]["resourceVersion"].to_string());
        }
    }
    versions
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_at_its_checkpoint_and_at_the_log_where_that_is_lost_or_damaged() {
    let test = "a_watch_begins_at_its_checkpoint_and_at_the_log_where_that_is_lost_or_damaged";
    let hub = Cluster::new("hub").client();
    let Some(mut fleet) = Cutting::new(test, hub.clone()).await else {
        return;
    };
    for name in ["a", "b"] {
        apply(&hub, &map(name, "A")).await;
        fleet.is_everywhere(name, Some("A")).await;
    }
    fleet.mark("before").await;
    fleet.unwatch().await;
    let checkpoint = Checkpoint::new(&fleet.scene.bed.directory.path().join("one"), "hub");
    let kept: Logged = checkpoint.load().expect("it was kept at the end");
    assert!(kept.sequence() > 0);

    // A start reads what is new, and nothing else: it begins where the checkpoint ends.
    let bus = fleet.scene.bus.clone();
    let begins = async |kept: Option<Logged>| {
        let logged = state::begin(&bus, kept).await.expect("the log answers");
        logged.sequence()
    };
    assert_eq!(begins(Some(kept.clone())).await, kept.sequence());
    assert_eq!(begins(None).await, 0);

    // Damaged, then lost: the same is known, and kept again.
    let good = std::fs::read(checkpoint.path()).expect("read");
    let middle = good.len() / 2;
    for damaged in [Some((middle, good.len())), Some((0, middle)), None] {
        match damaged {
            Some((flipped, length)) => {
                let mut bad = good[..length].to_vec();
                bad[flipped] ^= 1;
                std::fs::write(checkpoint.path(), bad).expect("written");
            }
            None => std::fs::remove_file(checkpoint.path()).expect("taken away"),
        }
        assert_eq!(checkpoint.load::<Logged>(), None);
        let before = fleet.last().await;
        fleet.watch("one");
        fleet.mark(&format!("{damaged:?}")).await;
        for name in ["a", "b"] {
            assert_eq!(fleet.since(name).await.len(), 1, "{name}");
        }
        fleet.unwatch().await;
        let again: Logged = checkpoint.load().expect("it was kept again");
        assert!(again.sequence() > before);
        let mut whole = state::begin(&bus, None).await.expect("answered");
        fold(&fleet, &mut whole, again.sequence()).await;
        assert_eq!(again, whole, "it is what the log says");
    }

    // One that the cut has overtaken, and one of another history: the base says what was.
    let kept: Logged = checkpoint.load().expect("kept");
    apply(&hub, &map("a", "B")).await;
    fleet.watch("two");
    fleet.is_everywhere("a", Some("B")).await;
    fleet.mark("further").await;
    let cut = fleet.cut().await;
    assert_eq!(begins(Some(kept)).await, cut);
    assert_eq!(begins(Some(Logged::default())).await, cut);
    fleet.unwatch().await;
    fleet.watch("one");
    fleet.mark("behind the cut").await;
    assert_eq!(fleet.since("a").await, []);
    assert_eq!(fleet.standings().await, []);
    fleet.scene.end().await;
}

/// Folds the log on up to `upto`.
async fn fold(fleet: &Cutting, logged: &mut Logged, upto: u64) {
    let mut log = fleet.scene.bus.follow(streams::LOG, &[], logged.sequence());
    while logged.sequence() < upto {
        let stored = log.recv().await.expect("the log goes on");
        let entry = event::log_entry(&stored.message, stored.sequence).expect("readable");
        logged.logged(&entry);
    }
}

/// Shows that an event which somebody took away is not taken for a cut: the watch goes on, and `replay --verify` names it.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_missing_does_not_end_the_watch() {
    let test = "an_event_that_is_missing_does_not_end_the_watch";
    let hub = Cluster::new("hub").client();
    let Some(mut fleet) = Cutting::new(test, hub.clone()).await else {
        return;
    };
    apply(&hub, &map("a", "A")).await;
    fleet.is_everywhere("a", Some("A")).await;
    fleet.mark("before").await;
    fleet.unwatch().await;
    let object = "ConfigMap/default/a".parse().expect("an object");
    let subject = subject::decision(&object);
    let bus = &fleet.scene.bus;
    let decision = bus.newest_of(streams::LOG, &subject).await;
    let sequence = decision.expect("answered").expect("there").sequence;
    let forgotten = bus.forget(streams::LOG, &subject, sequence).await;
    forgotten.expect("taken away");
    // It remembers nothing, and meets the gap.
    fleet.watch("another");
    fleet.mark("behind the gap").await;
    assert_eq!(fleet.since("a").await.len(), 1);
    assert_eq!(fleet.standings().await, []);
    let verified = fleet.run(&["replay", "--verify"]).await;
    let named = format!("log {sequence}: the event is missing");
    assert!(verified.out.contains(&named), "{}", verified.out);
    fleet.scene.end().await;
}
