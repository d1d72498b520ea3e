//! The rules that always hold (DESIGN, section 3), held against a fleet at rest.

mod confirmed;

use std::collections::{BTreeMap, BTreeSet};

use fleetcast_core::ack::{Batch, Outcome};
use fleetcast_core::decision::{Place, Standing, Standings};
use fleetcast_core::dialect::{self, Input};
use fleetcast_core::fold::{Condition, View};
use fleetcast_core::log::{ClusterNews, Event};
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::model::{Cluster, ClusterName, ObjectKey};
use fleetcast_core::placement::Exclusion;
use fleetcast_core::plan;

use super::bus::WorkStream;
use super::chance::Salt;
use super::fleet::World;
use super::member::Member;
use super::server::Write;

/// How long a fleet at rest is watched: nothing more may happen.
const WATCHED_MS: [i64; 4] = [1_000, 30_000, 400_000, 400_000];

/// Checks every rule, and then that a rebuild changes nothing.
pub(super) fn rules(world: &mut World) {
    let mut failures = log_is_consecutive(world);
    failures.extend(answers_are_in_the_log(world));
    failures.extend(writes_are_lawful(world));
    failures.extend(nothing_just_goes(world));
    failures.extend(confirmed::only_what_is_confirmed_goes(world));
    if world.options.beyond {
        // A copy that is kept may have been rendered for labels that its cluster has no longer (docs/testing.md).
        let stuck = world.hubs.iter().flat_map(|hub| &hub.stuck);
        failures.extend(stuck.map(|stuck| format!("stuck: {stuck}")));
    }
    if world.failures.is_empty() {
        failures.extend(decisions_are_up_to_date(world));
        failures.extend(clusters_hold_what_was_decided(world));
    }
    world.failures.extend(failures);
    if world.failures.is_empty() {
        let failures = nothing_more_happens(world);
        world.failures.extend(failures);
    }
    if world.failures.is_empty() {
        let failures = a_rebuild_changes_nothing(world);
        world.failures.extend(failures);
    }
}

/// Rule 2: revisions and decisions are consecutive per object, and each publisher's id is in the log once.
fn log_is_consecutive(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let mut revisions: BTreeMap<&ObjectKey, u64> = BTreeMap::new();
    let mut decisions: BTreeMap<&ObjectKey, u64> = BTreeMap::new();
    let mut origins = BTreeSet::new();
    for entry in world.bus.log.entries() {
        let (counts, object, found) = match &entry.event {
            Event::Change(change) | Event::Policy(change) => {
                if !origins.insert(&change.origin) {
                    failures.push(format!(
                        "log: {} of {} was taken in twice",
                        change.origin.id, change.object
                    ));
                }
                (&mut revisions, &change.object, change.revision)
            }
            Event::Decision(decision) => (&mut decisions, &decision.object, decision.number),
            Event::Cluster(_) | Event::Epoch(_) => continue,
        };
        let before = counts.insert(object, found).unwrap_or(0);
        if found != before + 1 {
            failures.push(format!("log: {object}: {found} stands behind {before}"));
        }
    }
    failures
}

/// Rule 2: what a publisher was answered stands in the log, and repeats were answered the same.
fn answers_are_in_the_log(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    for (id, wanted) in &world.publishers.wanted {
        let mut own = wanted.receipts.iter().filter(|receipt| {
            let entry = world.bus.log.get(receipt.sequence);
            matches!(entry.map(|entry| &entry.event), Some(Event::Change(change)) if change.origin.id == *id)
        });
        let first = own.next();
        if own.any(|receipt| Some(receipt) != first) {
            failures.push(format!(
                "answers: repeats of {id} were answered differently"
            ));
        }
        for receipt in &wanted.receipts {
            let entry = world.bus.log.get(receipt.sequence);
            let holds = matches!(entry.map(|entry| &entry.event), Some(Event::Change(change))
                if change.object == receipt.object && change.revision == receipt.revision && change.content == wanted.submission.content);
            if !holds {
                failures.push(format!(
                    "answers: {id} was answered revision {} at {}, where something else stands",
                    receipt.revision, receipt.sequence
                ));
            }
        }
    }
    failures
}

/// Rules 2 and 4: nothing older overwrote something newer, nothing was written in vain, nothing was removed that nobody took away.
fn writes_are_lawful(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    let wrongs = world.bus.wrongs.iter();
    failures.extend(wrongs.map(|wrong| format!("work: {wrong}")));
    let removals = world.bus.log.removals();
    for member in &world.members {
        let name = &member.name;
        failures.extend(
            member
                .server
                .wrongs
                .iter()
                .map(|wrong| format!("writes: {name}: {wrong}")),
        );
        for write in member.server.writes.iter().filter(|write| write.removal) {
            let removal = (write.object.clone(), write.place.clone());
            let is_lost = member.server.lost_removals.contains(&removal);
            let key = (name.clone(), removal.0, removal.1);
            if !removals.contains(&key) && !is_lost {
                failures.push(format!(
                    "writes: {name}: {} was removed for {}, which does not say so",
                    write.object, write.place
                ));
            }
        }
    }
    failures
}

/// Rule 4: a copy that is gone was taken away by somebody's word, or by somebody in its cluster. In nobody's work, as a stray, it stays.
fn nothing_just_goes(world: &World) -> Vec<String> {
    let mut failures = Vec::new();
    for member in &world.members {
        let server = &member.server;
        let last: BTreeMap<&ObjectKey, &Write> = server
            .writes
            .iter()
            .map(|write| (&write.object, write))
            .collect();
        // What a removal says is looked at among the writes.
        for (object, write) in last.into_iter().filter(|(_, write)| !write.removal) {
            let live = server.objects.get(object);
            let stands = live.is_some_and(|live| live.marks.is_some());
            let by_hand = (object.clone(), write.place.clone());
            if !stands && !server.deleted.contains(&by_hand) {
                failures.push(format!(
                    "clusters: {}: {object} of {} is gone, and nobody took it away",
                    member.name, write.place
                ));
            }
        }
    }
    failures
}

/// What the log says, folded without the machines.
#[derive(Default)]
struct Told {
    clusters: BTreeMap<ClusterName, Cluster>,
    standings: BTreeMap<ObjectKey, Standings>,
    /// Copies that stay in clusters because these left the fleet.
    left: BTreeSet<(ObjectKey, ClusterName)>,
}

fn told(world: &World) -> Told {
    let mut told = Told::default();
    for entry in world.bus.log.entries() {
        match &entry.event {
            Event::Cluster(event) => match &event.news {
                ClusterNews::Registered(cluster) => {
                    told.clusters
                        .insert(event.cluster.clone(), (**cluster).clone());
                }
                ClusterNews::Removed {} => {
                    told.clusters.remove(&event.cluster);
                }
                ClusterNews::Online { trouble: _ } | ClusterNews::Offline {} => {}
            },
            Event::Decision(decision) => {
                let standings = told.standings.entry(decision.object.clone()).or_default();
                let unknown = decision.body.excluded.iter();
                let unknown = unknown.filter(|group| group.reason == Exclusion::Unknown);
                let unknown = unknown.flat_map(|group| &group.clusters);
                for cluster in decision.body.dropped.iter().chain(unknown) {
                    if standings
                        .get(cluster)
                        .is_some_and(|standing| standing.due().is_some())
                    {
                        told.left.insert((decision.object.clone(), cluster.clone()));
                    }
                }
                standings.apply(decision);
            }
            Event::Change(_) | Event::Policy(_) | Event::Epoch(_) => {}
        }
    }
    told
}

/// Rule 3: the newest decision about every object is the one that its newest change and the fleet as it is ask for.
fn decisions_are_up_to_date(world: &World) -> Vec<String> {
    let told = told(world);
    let mut failures = Vec::new();
    for (key, object) in world.aggregators[0].view.objects() {
        let standings = told.standings.get(key).cloned().unwrap_or_default();
        let decided = object.decision.as_ref().map(|decision| decision.revision);
        if decided != Some(object.change.revision) {
            failures.push(format!(
                "decisions: {key}: revision {} is not decided about, {decided:?} is",
                object.change.revision
            ));
            continue;
        }
        let document = object.change.document.as_ref();
        let read = document.and_then(|document| dialect::read(&document.value().ok()?).ok());
        let apply = match &read {
            Some(Input::Object(read)) if !object.change.withdrawn => read.apply.mark(),
            Some(_) | None => String::new(),
        };
        let verdicts = match read {
            Some(Input::Object(read)) if !object.change.withdrawn => plan::plan(
                &read,
                &told.clusters,
                |cluster| standings.holds(cluster),
                false,
            ),
            Some(_) | None => BTreeMap::new(),
        };
        let registered = |cluster: &ClusterName| told.clusters.contains_key(cluster);
        let open = standings.difference(&verdicts, registered, OnDelete::Delete, "", None, &apply);
        // A removal that was answered is forgotten by the placer and stays in the log's standings.
        let mut removed = open.removed.iter().flat_map(|group| &group.clusters);
        let waits = |cluster| standings.held().any(|(held, _)| held == cluster);
        let settled = open.assigned.is_empty() && removed.all(waits);
        if !settled {
            failures.push(format!("decisions: {key}: still to be decided: {open:?}"));
        }
    }
    failures
}

/// Rule 3: every cluster holds what the newest decision says, or the view says why not.
fn clusters_hold_what_was_decided(world: &World) -> Vec<String> {
    let told = told(world);
    let view = &world.aggregators[0].view;
    let mut failures = Vec::new();
    for member in &world.members {
        let mut expected = BTreeSet::new();
        for (key, standings) in &told.standings {
            if let Some(standing) = standings.get(&member.name) {
                expected.insert(key);
                let left = told.left.contains(&(key.clone(), member.name.clone()));
                let lost = is_of_a_lost_history(world, member, key);
                if (left || lost) && matches!(standing, Standing::Excluded { .. }) {
                    continue;
                }
                let due = standings.place(&member.name);
                let failure = holds_what_was_decided(view, member, key, standing, due);
                // A removal that was answered before a lost decision was: nobody asks the cluster again until the next change.
                let answer = view.answer(key, &member.name);
                let is_of_a_lost_one = world.options.restore
                    && matches!(standing, Standing::Removing { .. })
                    && answer.is_some_and(|answer| !world.bus.log.holds(key, &answer.place));
                failures.extend(failure.filter(|_| !is_of_a_lost_one));
            }
        }
        for (key, live) in &member.server.objects {
            let left = told.left.contains(&(key.clone(), member.name.clone()));
            let lost = is_of_a_lost_history(world, member, key);
            if live.marks.is_some() && !expected.contains(key) && !left && !lost {
                failures.push(format!(
                    "clusters: {}: {key} is ours and nobody decided that it should be there",
                    member.name
                ));
            }
        }
    }
    failures
}

fn holds_what_was_decided(
    view: &View,
    member: &Member,
    key: &ObjectKey,
    standing: &Standing,
    due: Option<Place>,
) -> Option<String> {
    let name = &member.name;
    let live = member.server.objects.get(key);
    let ours = live.filter(|live| live.marks.is_some());
    let row = view.rows(key).into_iter().find(|row| row.cluster == *name);
    let condition = row.as_ref().map(|row| row.condition);
    let answer = view.answer(key, name).map(|answer| answer.outcome);
    let marks = ours.and_then(|live| live.marks.as_ref());
    let is_ahead = marks
        .zip(due)
        .is_some_and(|(marks, due)| marks.is_ahead_of(&due));
    let (wanted, holds) = match standing {
        Standing::Assigned {
            digest, kept, held, ..
        } => {
            let holds = ours.is_some_and(|live| live.says(digest));
            let shown = match (kept, held) {
                (Some(_), _) => Condition::Refused,
                (None, Some(_)) => Condition::Held,
                (None, None) => Condition::Applied,
            };
            (shown, holds)
        }
        Standing::Removing { .. } => {
            // A removal that was answered before what a lost history brought back: that is a stray.
            if condition.is_none() && (ours.is_none() || is_ahead) {
                return None;
            }
            (Condition::Removing, false)
        }
        Standing::Excluded { .. } => {
            let stays = ours.is_some() && answer == Some(Outcome::Applied);
            (Condition::Excluded, !stays)
        }
    };
    let says_why = match condition {
        Some(Condition::Refused | Condition::Retrying) => {
            !holds && matches!(answer, Some(Outcome::Refused | Outcome::Retrying))
        }
        Some(Condition::Removing) => matches!(answer, Some(Outcome::Refused | Outcome::Retrying)),
        Some(Condition::Ahead) => is_ahead,
        Some(
            Condition::Applied
            | Condition::Deciding
            | Condition::Pending
            | Condition::Held
            | Condition::Excluded,
        )
        | None => false,
    };
    let is_as_decided = holds && condition == Some(wanted) && !is_ahead;
    (!is_as_decided && !says_why).then(|| {
        format!(
            "clusters: {name}: {key}: decided {standing:?}, the cluster holds {live:?}, the view says {row:?} after {answer:?}"
        )
    })
}

/// Whether the copy of `key` in a cluster was written by a decision that stands in the log no more.
fn is_of_a_lost_history(world: &World, member: &Member, key: &ObjectKey) -> bool {
    if !world.options.restore {
        return false;
    }
    let live = member.server.objects.get(key);
    live.and_then(|live| live.marks.as_ref())
        .is_some_and(|place| !world.bus.log.holds(key, place))
}

/// How many copies were written by decisions that stand in the log no more, and how many of them are in nobody's work.
pub(super) fn lost_copies(world: &World) -> (u64, u64) {
    let view = &world.aggregators[0].view;
    let (mut all, mut strays) = (0, 0);
    for member in &world.members {
        let objects = member.server.objects.keys();
        for key in objects.filter(|key| is_of_a_lost_history(world, member, key)) {
            let rows = view.rows(key).into_iter();
            let mut rows = rows.filter(|row| row.cluster == member.name);
            all += 1;
            strays += u64::from(rows.all(|row| row.condition == Condition::Excluded));
        }
    }
    (all, strays)
}

/// What a fleet at rest has done so far.
fn done(world: &World) -> (u64, u64, Vec<u64>) {
    let works = world.bus.works.values().map(|stream| stream.count);
    (world.bus.log.last(), world.counts().writes, works.collect())
}

/// Rule 5: at rest nothing is decided, written or carried out any more.
fn nothing_more_happens(world: &mut World) -> Vec<String> {
    let before = done(world);
    for ms in WATCHED_MS {
        world.pass(ms);
        world.flow(Salt::new(0));
    }
    let after = done(world);
    if before == after {
        Vec::new()
    } else {
        vec![format!(
            "rest: more happened although nothing was left to do: {before:?} became {after:?}"
        )]
    }
}

/// Rule 1: views, placers and work streams that are made anew tell the same, without one write to a cluster.
fn a_rebuild_changes_nothing(world: &mut World) -> Vec<String> {
    let mut failures = Vec::new();
    let digest = world.aggregators[0].view.digest();
    let mut fresh = View::default();
    for entry in world.bus.log.entries() {
        fresh.logged(entry);
    }
    // Partitions in the other order: acknowledgements come in any order.
    for (partition, stream) in world.bus.acks.iter().rev() {
        for (sequence, batch) in (1..).zip(&stream.0) {
            fresh.acknowledged(*partition, sequence, Batch::clone(batch));
        }
    }
    for (what, found) in [
        ("folded anew", fresh.digest()),
        (
            "of the other aggregator",
            world.aggregators[1].view.digest(),
        ),
    ] {
        if found != digest {
            failures.push(format!("rebuild: the view {what} differs"));
        }
    }
    let before = done(world);
    for stream in world.bus.works.values_mut() {
        *stream = WorkStream::default();
    }
    for hub in &mut world.hubs {
        hub.forget();
        hub.restart(&world.bus);
    }
    world.tell(|| "everything but the log and the acknowledgements is lost".to_owned());
    world.pass(10_000);
    world.come_to_rest(2);
    let after = done(world);
    if (before.0, before.1) != (after.0, after.1) {
        failures.push(format!(
            "rebuild: log and writes {:?} became {:?}",
            (before.0, before.1),
            (after.0, after.1)
        ));
    }
    if world.aggregators[0].view.digest() != digest {
        failures.push("rebuild: the view differs after the work was written anew".to_owned());
    }
    failures
}
