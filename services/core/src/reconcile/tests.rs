//! Scenarios of one agent.

use super::*;
use crate::document::Document;
use crate::model::ApplyPolicy;
use crate::model::federated::OnDelete;
use crate::work::{Body, Stamp};
use serde_json::json;

const WEB: &str = "Deployment.apps/shop/web";
const API: &str = "Deployment.apps/shop/api";
const SHOP: &str = "Namespace/shop";

fn epoch(number: u64, hub: &str) -> Epoch {
    Epoch {
        number,
        hub: hub.to_owned(),
    }
}

fn key(text: &str) -> ObjectKey {
    text.parse().expect("valid")
}

/// Work of epoch 1.a, term 1, incarnation x, unless said otherwise.
fn apply(object: &str, decision: u64, n: u64) -> Work {
    Work {
        cluster: ClusterName::parse("eu-1").expect("valid"),
        object: key(object),
        revision: decision,
        decision,
        digest: Some(format!("digest {decision}")),
        stamp: Stamp {
            epoch: epoch(1, "a"),
            term: 1,
            incarnation: "x".to_owned(),
            n,
        },
        time: Time(0),
        causation: "cause".to_owned(),
        correlation: "change".to_owned(),
        body: Body::Apply {
            manifest: Document::from_value(&json!({"n": n})),
            policy: ApplyPolicy::default(),
        },
    }
}

fn remove(object: &str, decision: u64, n: u64) -> Work {
    Work {
        digest: None,
        body: Body::Remove {
            mode: OnDelete::Delete,
            api_version: "v1".to_owned(),
        },
        ..apply(object, decision, n)
    }
}

fn stamped(mut work: Work, change: impl FnOnce(&mut Stamp)) -> Work {
    change(&mut work.stamp);
    work
}

/// An agent with the time and everything that it asked for.
struct Scene {
    agent: Agent,
    now: Time,
    effects: Vec<String>,
    batches: Vec<BatchBody>,
    remembered: Memory,
    asked: Option<SyncRequest>,
}

impl Scene {
    fn from(memory: Memory) -> Self {
        let cluster = ClusterName::parse("eu-1").expect("valid");
        let mut scene = Self {
            agent: Agent::new(cluster, memory, 1, Time(0)),
            now: Time(0),
            effects: Vec::new(),
            batches: Vec::new(),
            remembered: Memory::default(),
            asked: None,
        };
        scene.tell(Fact::Connected);
        scene
    }

    /// An agent of a new cluster that was answered with `items`.
    fn with(items: Vec<Work>) -> Self {
        let mut scene = Self::from(Memory::default());
        scene.answer(true, items);
        scene
    }

    fn tell(&mut self, fact: Fact) {
        self.agent.handle(fact, self.now);
        self.poll();
    }

    fn poll(&mut self) {
        while let Some(effect) = self.agent.poll(self.now) {
            self.effects.push(match effect {
                Effect::Sync(request) => {
                    let told = format!("sync {:?} {}", request.incarnation, request.n);
                    self.asked = Some(request);
                    told
                }
                Effect::Do(work) => format!(
                    "{} {} {}",
                    if work.digest.is_some() {
                        "apply"
                    } else {
                        "remove"
                    },
                    work.object,
                    work.decision
                ),
                Effect::Publish(batch) => {
                    let counts: Vec<u64> = batch.acks.iter().map(|ack| ack.count).collect();
                    let told = format!("publish {counts:?} after {}", batch.after);
                    self.batches.push(batch);
                    told
                }
                Effect::Remember(memory) => {
                    self.remembered = memory;
                    continue;
                }
                Effect::Heartbeat => continue,
                Effect::Fenced(message) => format!("fenced {message}"),
            });
        }
    }

    /// What was asked for since it was looked at last.
    fn effects(&mut self) -> Vec<String> {
        std::mem::take(&mut self.effects)
    }

    fn answer(&mut self, whole: bool, items: Vec<Work>) {
        let upto = items.iter().map(|work| work.stamp.n).max().unwrap_or(0);
        let upto = upto.max(if whole { 0 } else { self.agent.have.n });
        self.answer_up_to(whole, upto, items);
    }

    fn answer_up_to(&mut self, whole: bool, upto: u64, items: Vec<Work>) {
        let stamp = items
            .first()
            .map_or(apply(WEB, 1, 1).stamp, |work| work.stamp.clone());
        self.tell(Fact::Synced(SyncAnswer {
            epoch: stamp.epoch,
            incarnation: stamp.incarnation,
            whole,
            upto,
            sequence: upto * 10,
            items: items
                .into_iter()
                .map(|work| (work.stamp.n * 10, work))
                .collect(),
        }));
    }

    fn live(&mut self, work: Work) {
        self.tell(Fact::Live(work.stamp.n * 10, Box::new(work)));
    }

    fn done(&mut self, object: &str, decision: u64, outcome: Outcome) {
        self.tell(Fact::Done {
            object: key(object),
            decision,
            outcome,
            message: String::new(),
        });
    }

    fn seen(&mut self, transitions: u64, count: u64) {
        self.tell(Fact::Seen(Seen { transitions, count }));
    }

    fn pass(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.tell(Fact::Tick);
    }
}

#[test]
fn a_new_agent_asks_for_everything_and_does_it() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    assert_eq!(
        scene.effects(),
        [
            "sync \"\" 0",
            &format!("apply {WEB} 1"),
            &format!("apply {API} 1")
        ]
    );
    scene.done(WEB, 1, Outcome::Applied);
    scene.done(API, 1, Outcome::Applied);
    scene.pass(50);
    scene.seen(1, 2);
    assert!(scene.agent.is_idle());
}

#[test]
fn live_work_in_order_is_done_at_once_and_a_repeat_is_not() {
    let mut scene = Scene::with(vec![]);
    scene.effects();
    scene.live(apply(WEB, 1, 1));
    assert_eq!(scene.effects(), [format!("apply {WEB} 1")]);
    scene.live(apply(WEB, 1, 1));
    assert_eq!(scene.effects(), [""; 0]);
}

#[test]
fn a_gap_is_closed_by_a_request_and_what_came_behind_it_follows() {
    let mut scene = Scene::with(vec![]);
    scene.effects();
    scene.live(apply(API, 2, 3));
    assert_eq!(scene.effects(), ["sync \"x\" 0"]);
    scene.live(apply(API, 3, 4));
    scene.answer_up_to(false, 3, vec![apply(WEB, 1, 2), apply(API, 2, 3)]);
    assert_eq!(
        scene.effects(),
        [format!("apply {WEB} 1"), format!("apply {API} 3")],
        "the newest only, and nothing twice"
    );
    assert_eq!(scene.agent.have.n, 4);
}

#[test]
fn another_incarnation_means_everything_and_what_vanished_is_dropped() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    scene.done(API, 1, Outcome::Retrying);
    scene.effects();
    let renewed = |work| stamped(work, |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed(apply(WEB, 2, 1)));
    assert_eq!(scene.effects(), ["sync \"x\" 2"]);
    scene.answer(true, vec![renewed(apply(WEB, 2, 1))]);
    scene.done(WEB, 1, Outcome::Applied);
    assert_eq!(scene.effects(), [format!("apply {WEB} 2")]);
    scene.done(WEB, 2, Outcome::Applied);
    scene.pass(60);
    let count = scene
        .batches
        .last()
        .and_then(|batch| batch.acks.last())
        .map(|ack| ack.count);
    scene.seen(1, count.expect("answered"));
    scene.pass(1_000_000);
    assert!(
        !scene.effects().contains(&format!("apply {API} 1")),
        "nobody wants it any more"
    );
    assert_eq!(
        (scene.agent.have.incarnation.as_str(), scene.agent.have.n),
        ("y", 1)
    );
}

#[test]
fn what_runs_while_it_vanishes_is_not_tried_again() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    let renewed = stamped(apply(API, 1, 1), |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed.clone());
    scene.answer(true, vec![renewed]);
    scene.done(WEB, 1, Outcome::Retrying);
    scene.effects();
    scene.pass(1_000_000);
    assert!(!scene.effects().contains(&format!("apply {WEB} 1")));
}

#[test]
fn work_of_an_incarnation_that_is_gone_does_not_ask_for_ever() {
    let mut scene = Scene::with(vec![]);
    scene.live(apply(WEB, 9, 9));
    scene.tell(Fact::Synced(SyncAnswer {
        epoch: epoch(1, "a"),
        incarnation: "y".to_owned(),
        whole: true,
        upto: 0,
        sequence: 0,
        items: Vec::new(),
    }));
    scene.effects();
    let mut requests = 0;
    for _ in 0..20 {
        scene.pass(300);
        requests += scene.effects().len();
        if scene.asked.take().is_some() {
            scene.tell(Fact::Synced(SyncAnswer {
                epoch: epoch(1, "a"),
                incarnation: "y".to_owned(),
                whole: false,
                upto: 0,
                sequence: 0,
                items: Vec::new(),
            }));
        }
    }
    assert!(
        requests <= 1,
        "one more look, then the usual pause; not {requests}"
    );
}

#[test]
fn whoever_must_not_write_any_more_is_refused() {
    let held = || {
        let mut scene = Scene::with(vec![stamped(apply(WEB, 5, 1), |stamp| {
            stamp.epoch = epoch(2, "a");
            stamp.term = 7;
        })]);
        scene.effects();
        scene
    };
    for (what, number, hub, term, fenced) in [
        ("a lower epoch", 1, "a", 9, true),
        ("a lower term", 2, "a", 6, true),
        ("another hub with the same number", 2, "b", 9, true),
        ("the same", 2, "a", 7, false),
        ("a higher term", 2, "a", 8, false),
    ] {
        let mut scene = held();
        scene.live(stamped(apply(WEB, 6, 2), |stamp| {
            stamp.epoch = epoch(number, hub);
            stamp.term = term;
        }));
        scene.done(WEB, 5, Outcome::Applied);
        let effects = scene.effects();
        let done = effects.contains(&format!("apply {WEB} 6"));
        assert_eq!(done, !fenced, "{what}: {effects:?}");
        assert_eq!(
            effects.iter().any(|effect| effect.starts_with("fenced")),
            fenced,
            "{what}"
        );
    }
}

#[test]
fn a_higher_epoch_is_adopted_with_its_own_terms() {
    let mut scene = Scene::with(vec![stamped(apply(WEB, 5, 1), |stamp| stamp.term = 50)]);
    scene.effects();
    let promoted = |work, term| {
        stamped(work, |stamp| {
            stamp.epoch = epoch(2, "b");
            stamp.term = term;
            stamp.incarnation = "y".to_owned();
        })
    };
    scene.pass(100_000);
    assert_eq!(scene.effects(), ["sync \"x\" 1"]);
    scene.answer(true, vec![promoted(apply(WEB, 3, 1), 2)]);
    scene.done(WEB, 5, Outcome::Applied);
    assert_eq!(
        scene.effects(),
        [format!("apply {WEB} 3")],
        "decisions are counted per epoch"
    );
    scene.live(promoted(apply(API, 1, 2), 3));
    assert_eq!(
        scene.effects()[0],
        format!("apply {API} 1"),
        "term 3 follows term 2"
    );
}

#[test]
fn a_newer_decision_overtakes_what_runs() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.effects();
    scene.live(apply(WEB, 2, 2));
    assert_eq!(
        scene.effects(),
        [""; 0],
        "one thing at a time for an object"
    );
    scene.done(WEB, 1, Outcome::Applied);
    assert_eq!(
        scene.effects(),
        [format!("apply {WEB} 2")],
        "and no answer about what was overtaken"
    );
    assert!(scene.batches.is_empty());
}

#[test]
fn an_older_decision_in_an_answer_does_not_overwrite() {
    let mut scene = Scene::with(vec![apply(WEB, 5, 1)]);
    scene.done(WEB, 5, Outcome::Retrying);
    scene.effects();
    let renewed = stamped(apply(WEB, 4, 1), |stamp| stamp.incarnation = "y".to_owned());
    scene.live(renewed.clone());
    scene.answer(true, vec![renewed]);
    scene.pass(10_000);
    let effects = scene.effects();
    assert!(effects.contains(&format!("apply {WEB} 5")), "{effects:?}");
    assert!(!effects.contains(&format!("apply {WEB} 4")), "{effects:?}");
}

#[test]
fn what_fails_is_tried_again_ever_more_rarely_and_without_end() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.effects();
    let mut pauses = Vec::new();
    for _ in 0..30 {
        scene.done(WEB, 1, Outcome::Refused);
        let failed = scene.now;
        while !scene.effects().contains(&format!("apply {WEB} 1")) {
            scene.pass(100);
        }
        pauses.push(scene.now.ms_since(failed));
    }
    assert!((500..=800).contains(&pauses[0]), "{pauses:?}");
    assert!(
        pauses.windows(2).take(8).all(|pair| pair[1] > pair[0]),
        "{pauses:?}"
    );
    assert!(pauses.iter().all(|pause| *pause <= 375_100), "{pauses:?}");
    assert!(pauses[29] >= 300_000);
}

#[test]
fn namespaces_come_first_and_go_last() {
    let crd = "CustomResourceDefinition.apiextensions.k8s.io/a.b.c";
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(crd, 1, 2), apply(SHOP, 1, 3)]);
    assert_eq!(scene.effects()[1..], [format!("apply {SHOP} 1")]);
    scene.done(SHOP, 1, Outcome::Applied);
    assert!(scene.effects().contains(&format!("apply {crd} 1")));
    scene.done(crd, 1, Outcome::Applied);
    assert!(scene.effects().contains(&format!("apply {WEB} 1")));
    scene.done(WEB, 1, Outcome::Applied);

    scene.live(remove(SHOP, 2, 4));
    let effects = scene.effects();
    assert!(
        effects.contains(&format!("remove {SHOP} 2")),
        "nothing else is ready: {effects:?}"
    );
    scene.done(SHOP, 2, Outcome::Retrying);
    scene.live(remove(WEB, 2, 5));
    scene.pass(100_000);
    let effects = scene.effects();
    assert!(effects.contains(&format!("remove {WEB} 2")), "{effects:?}");
    assert!(
        !effects.contains(&format!("remove {SHOP} 2")),
        "{effects:?}"
    );
    scene.done(WEB, 2, Outcome::Removed);
    assert!(scene.effects().contains(&format!("remove {SHOP} 2")));
}

#[test]
fn the_memory_never_passes_what_is_not_confirmed() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2), apply(SHOP, 1, 3)]);
    assert_eq!(scene.agent.memory().n, 0);
    scene.done(SHOP, 1, Outcome::Applied);
    scene.done(API, 1, Outcome::Applied);
    scene.pass(50);
    scene.seen(1, 2);
    assert_eq!(scene.agent.memory().n, 0, "the first is not done");
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(50);
    assert_eq!(scene.agent.memory().n, 0, "done, but not confirmed");
    scene.seen(1, 3);
    assert_eq!(
        (scene.agent.memory().n, scene.agent.memory().sequence),
        (3, 30)
    );
    scene.live(apply(WEB, 2, 4));
    assert_eq!(scene.agent.memory().n, 3);
    scene.pass(5_000);
    assert_eq!(scene.remembered.n, 3);
}

#[test]
fn a_restart_asks_since_what_it_remembers() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1), apply(API, 1, 2)]);
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(5_000);
    scene.seen(1, 1);
    let memory = scene.agent.memory();
    let mut again = Scene::from(memory.clone());
    assert_eq!(again.effects(), ["sync \"x\" 1"]);
    assert_eq!(
        again.asked,
        Some(SyncRequest {
            epoch: Some(epoch(1, "a")),
            incarnation: "x".to_owned(),
            n: 1,
            sequence: memory.sequence,
        })
    );
    again.answer(false, vec![apply(API, 1, 2)]);
    assert_eq!(
        again.effects(),
        [format!("apply {API} 1")],
        "only what was not confirmed"
    );
}

#[test]
fn answers_are_the_newest_per_object_and_gather_while_others_run() {
    let items = (1..=20)
        .map(|n| apply(&format!("Secret/shop/s{n}"), 1, n))
        .collect();
    let mut scene = Scene::with(items);
    scene.pass(100);
    scene.done("Secret/shop/s1", 1, Outcome::Applied);
    let first = scene.batches.len();
    assert_eq!(first, 1, "the first at once: nothing was sent for long");
    for n in 2..=6 {
        scene.done(&format!("Secret/shop/s{n}"), 1, Outcome::Refused);
    }
    assert_eq!(scene.batches.len(), first, "the others gather");
    scene.pass(49);
    assert_eq!(scene.batches.len(), first);
    scene.pass(1);
    let batch = scene.batches.last().expect("sent");
    assert_eq!(batch.acks.len(), 5);
    assert_eq!((batch.after, batch.acks[0].count), (1, 2));
    scene.pass(800);
    scene.done("Secret/shop/s2", 1, Outcome::Applied);
    scene.pass(3_000);
    let resent = scene.batches.last().expect("resent");
    let about = resent
        .acks
        .iter()
        .filter(|ack| ack.object == key("Secret/shop/s2"));
    let outcomes: Vec<Outcome> = about.map(|ack| ack.outcome).collect();
    assert_eq!(
        outcomes,
        [Outcome::Applied],
        "the newest answer took the place of the older one"
    );
}

#[test]
fn what_is_not_confirmed_is_sent_again_also_while_more_is_sent() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.done(WEB, 1, Outcome::Applied);
    assert_eq!(scene.batches.len(), 1);
    let mut sent = 0;
    for n in 2..=40 {
        scene.live(apply(API, n, n));
        scene.done(API, n, Outcome::Applied);
        scene.pass(500);
        sent = scene
            .batches
            .iter()
            .flat_map(|batch| &batch.acks)
            .filter(|ack| ack.object == key(WEB))
            .count();
    }
    assert!(
        sent >= 3,
        "20 s of other answers do not put it off: sent {sent} times"
    );
    assert!(scene.batches.iter().all(|batch| batch.confirmed == 0));
    let last = scene
        .batches
        .iter()
        .flat_map(|batch| &batch.acks)
        .map(|ack| ack.count)
        .max()
        .expect("sent");
    scene.seen(1, last);
    let before = scene.batches.len();
    scene.pass(120_000);
    assert_eq!(
        scene.batches.len(),
        before,
        "confirmed once, never sent again"
    );
}

#[test]
fn confirmations_for_an_earlier_agent_are_not_ours() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.done(WEB, 1, Outcome::Applied);
    for (transitions, count) in [(0, 9), (2, 9), (1, 0)] {
        scene.seen(transitions, count);
        assert!(!scene.agent.is_idle(), "{transitions} {count}");
    }
    scene.seen(1, 1);
    assert!(scene.agent.is_idle());
}

#[test]
fn a_broken_connection_keeps_the_answers() {
    let mut scene = Scene::with(vec![apply(WEB, 1, 1)]);
    scene.tell(Fact::Disconnected);
    scene.done(WEB, 1, Outcome::Applied);
    scene.pass(600_000);
    assert!(scene.batches.is_empty());
    scene.effects();
    scene.tell(Fact::Connected);
    assert_eq!(scene.effects(), ["sync \"x\" 1", "publish [1] after 0"]);
}

#[test]
fn a_request_that_fails_is_repeated_with_growing_pauses() {
    let mut scene = Scene::from(Memory::default());
    scene.effects();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        scene.tell(Fact::SyncFailed);
        let failed = scene.now;
        while scene.effects().is_empty() {
            scene.pass(100);
        }
        pauses.push(scene.now.ms_since(failed));
    }
    assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    scene.pass(SYNC_TIMEOUT_MS);
    scene.pass(SYNC_RETRY_MAX_MS);
    assert_eq!(
        scene.effects(),
        ["sync \"\" 0"],
        "no answer at all is a failure, too"
    );
}
