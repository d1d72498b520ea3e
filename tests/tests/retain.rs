//! Old history is cut away: everything that counts is known from the base, nothing else changes, and a cut that is killed leaves the old state or
//! the new one.

use std::collections::BTreeMap;

use fleetcast_aggregator::VIEW;
use fleetcast_bus::base::{Content, Cut};
use fleetcast_bus::range::Part;
use fleetcast_bus::{Bus, streams};
use fleetcast_core::ack::Outcome;
use fleetcast_core::audit::Audit;
use fleetcast_core::fold::{Condition, View};
use fleetcast_core::hub::Logged;
use fleetcast_hub::state::HUB;
use fleetcast_ingest::{Answered, INGEST, REMOVALS, State};
use fleetcast_schemas::request::Answer;
use fleetcast_schemas::role::Role;
use fleetcast_schemas::{event, subject};
use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{
    Bed, Binary, Output, Service, apply_as, config_map, eventually, held, nats_server,
};
use serde_json::Value;

mod retain {
    mod refused;
}

const OBJECTS: usize = 6;
const CLUSTERS: [&str; 2] = ["c1", "c2"];

/// A fleet of two clusters with some history.
struct Fleet {
    bed: Bed,
    clusters: [Cluster; 2],
    fleetcast: Binary,
    folder: tempfile::TempDir,
    bus: Bus,
    running: Vec<Service>,
    _agents: [Service; 2],
}

impl Fleet {
    async fn new(server: std::path::PathBuf) -> Self {
        let bed = Bed::new(server);
        let clusters = CLUSTERS.map(Cluster::new);
        let bus = bed.bus().await;
        let running = vec![bed.ingest("a"), bed.aggregator()];
        let agents = clusters.each_ref().map(|cluster| bed.agent(cluster));
        bed.register(&bus, &CLUSTERS).await;
        let folder = tempfile::tempdir().expect("a folder");
        let fleet = Self {
            fleetcast: bed.binary(folder.path()),
            bed,
            clusters,
            folder,
            bus,
            running,
            _agents: agents,
        };
        fleet.change("one").await;
        // One that is gone, and whose removal is answered.
        let gone = config_map("gone", &["c1"], "one");
        fleet.bed.accept(&fleet.bus, &gone).await;
        fleet.settled("gone", 1).await;
        fleet
            .bed
            .withdraw(&fleet.bus, "ConfigMap/default/gone")
            .await;
        fleet.settled("gone", 2).await;
        fleet.change("two").await;
        fleet
    }

    /// A change of every object, carried out everywhere: the revision of the last.
    async fn change(&self, text: &str) -> u64 {
        let mut revisions = Vec::new();
        for index in 0..OBJECTS {
            let document = config_map(&format!("o{index}"), &CLUSTERS, text);
            revisions.push(self.bed.accept(&self.bus, &document).await);
        }
        for (index, revision) in revisions.iter().enumerate() {
            self.settled(&format!("o{index}"), *revision).await;
        }
        revisions.last().copied().unwrap_or(0)
    }

    async fn settled(&self, name: &str, revision: u64) {
        let object = format!("ConfigMap/default/{name}");
        self.bed.settled(&self.bus, &object, revision).await;
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut all = vec!["--nats", self.bed.connect.url.as_str()];
        all.extend(args);
        self.fleetcast.run(&all)
    }

    /// Runs a command that should end well.
    fn done(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert_eq!(output.status, 0, "{args:?}: {output:?}");
        output
    }

    /// The digests of view and work, which fit to the log.
    async fn digests(&self) -> (Value, Value) {
        let mut last = None;
        eventually("log, view and work fit", async || {
            let verified = self.run(&["replay", "--verify", "-o", "json"]);
            let fits = verified.status == 0;
            last = Some(verified);
            fits
        })
        .await;
        let verified = last.expect("just run").json();
        (
            verified["view"]["digest"].clone(),
            verified["work"]["digest"].clone(),
        )
    }

    /// The resource versions of everything in the clusters.
    async fn versions(&self) -> Vec<String> {
        let mut versions = Vec::new();
        for cluster in &self.clusters {
            for index in 0..OBJECTS {
                let name = format!("o{index}");
                let copy = held(cluster, "v1", "ConfigMap", Some("default"), &name).await;
                let copy = copy.expect("it is there");
                versions.push(copy["metadata"]["resourceVersion"].to_string());
            }
        }
        versions
    }

    async fn first(&self) -> u64 {
        let bounds = self.bus.bounds(streams::LOG).await;
        bounds.expect("a log").first
    }

    async fn last(&self) -> u64 {
        self.bus.last_sequence(streams::LOG).await.expect("a log")
    }

    async fn stop(&mut self) {
        for service in self.running.drain(..) {
            service.stop().await;
        }
    }

    /// Starts ingest and aggregator, which remember nothing.
    async fn start_from_nothing(&mut self) {
        self.stop().await;
        for folder in ["a", "aggregator"] {
            let folder = self.bed.directory.path().join(folder);
            // One that had nothing new to keep is not there.
            drop(std::fs::remove_dir_all(folder));
        }
        self.running = vec![self.bed.ingest("a"), self.bed.aggregator()];
    }
}

/// The first lines of `-o json`: the plan, then the outcome.
fn outcome(output: &Output) -> (Value, Value) {
    assert_eq!(output.status, 0, "{output:?}");
    let mut lines = output.json_lines().into_iter();
    let plan = lines.next().expect("a plan");
    (plan, lines.next().expect("an outcome"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_away_is_known_from_the_base_and_no_member_sees_a_write() {
    let Some(server) =
        nats_server("what_is_cut_away_is_known_from_the_base_and_no_member_sees_a_write")
    else {
        return;
    };
    let mut fleet = Fleet::new(server.clone()).await;
    // Under an id that comes again when it is long cut away.
    let repeated = config_map("repeated", &["c1"], "one");
    let Answer::Accepted(first) = apply_as(&fleet.bus, &repeated, "once").await else {
        panic!("accepted");
    };
    fleet.settled("repeated", 1).await;
    let before = fleet.digests().await;
    let held_before = fleet.versions().await;
    let cut = fleet.last().await;

    // First a look, then what is refused: nothing changes.
    let to = cut.to_string();
    let look = fleet.run(&["retain", "--to", &to, "--dry-run", "-o", "json"]);
    let plan = look.json();
    assert_eq!((look.status, &plan["events"]), (1, &cut.into()), "{plan}");
    let lost = u64::try_from(OBJECTS).expect("small") + 1;
    assert_eq!(plan["revisions"], lost, "{plan}");
    let refused = fleet.run(&["retain", "--to", &to, "--yes"]);
    assert!(
        refused.status == 1 && refused.out.contains("no backup is named"),
        "{refused:?}"
    );
    fleet.done(&["backup", "copy"]);
    fleet
        .bed
        .accept(&fleet.bus, &config_map("later", &["c1"], "one"))
        .await;
    fleet.settled("later", 1).await;
    let later = fleet.last().await.to_string();
    let refused = fleet.run(&["retain", "--to", &later, "--backup", "copy", "--yes"]);
    assert!(
        refused.status == 1 && refused.out.contains("the backup in copy reaches to"),
        "{refused:?}"
    );
    let unsaid = fleet.run(&["retain", "--to", &to, "--backup", "copy"]);
    assert!(
        unsaid.status == 1 && unsaid.err.contains("--yes"),
        "{unsaid:?}"
    );
    let beyond = fleet.run(&["retain", "--to", "99999", "--without-backup", "--yes"]);
    assert!(
        beyond.status == 1 && beyond.err.contains("the log ends at"),
        "{beyond:?}"
    );
    assert_eq!(fleet.first().await, 1);

    // Cut, while everything runs.
    let (_, done) = outcome(&fleet.run(&[
        "retain", "--to", &to, "--backup", "copy", "--yes", "-o", "json",
    ]));
    assert_eq!(done["cut"], cut);
    assert_eq!(fleet.first().await, cut + 1);
    let again = fleet.run(&["retain", "--to", &to, "--backup", "copy", "--yes"]);
    assert!(
        again.status == 0 && again.out.contains("nothing to cut"),
        "{again:?}"
    );

    // What was, is refused by name; what is carried over is told.
    let early = fleet.run(&["get", "--at", &(cut - 1).to_string()]);
    assert!(
        early.status == 1 && early.err.contains(&format!("history before {cut}")),
        "{early:?}"
    );
    fleet.done(&["get", "--at", &to]);
    fleet.done(&["explain", "configmap/default/o0", "--at", &to]);
    let history = fleet
        .done(&["history", "configmap/default/o0", "-o", "json"])
        .json();
    assert_eq!(history["cut"], cut, "{history}");
    assert_eq!(history["revisions"][0]["revision"], 2, "{history}");
    assert_eq!(
        history["revisions"][0]["waiting"],
        Value::Array(vec![]),
        "{history}"
    );
    let diff = fleet.run(&["diff", "configmap/default/o0", "--from", "1", "--to", "2"]);
    assert!(diff.err.contains("revision 1 was cut away"), "{diff:?}");
    let back = fleet.run(&["rollback", "configmap/default/o0", "--to", "1", "--yes"]);
    assert!(
        back.status == 1 && back.err.contains("was cut away"),
        "{back:?}"
    );

    // What would land where is planned over what the base says.
    let plan = |text: &str| {
        let file = fleet.folder.path().join("o0.json");
        let document = config_map("o0", &CLUSTERS, text).to_string();
        std::fs::write(file, document).expect("written");
        fleet.run(&["plan", "-f", "o0.json"])
    };
    for (text, said) in [("two", "0 changed"), ("three", "2 changed")] {
        let planned = plan(text);
        assert!(planned.out.contains(said), "{text}: {planned:?}");
    }

    // Nothing was written, and everything can still be rebuilt.
    assert_eq!(fleet.versions().await, held_before, "no write");
    fleet
        .bed
        .withdraw(&fleet.bus, "ConfigMap/default/later")
        .await;
    fleet.settled("later", 2).await;
    let now = fleet.digests().await;
    assert_eq!(now.1, before.1, "the work is what it was");
    let rebuilt = fleet
        .done(&["replay", "--rebuild", "view", "-o", "json"])
        .json();
    assert_eq!(rebuilt["first_difference"], Value::Null, "{rebuilt}");
    let rebuilt = fleet
        .done(&["replay", "--rebuild", "work", "-o", "json"])
        .json();
    assert_eq!(rebuilt["digest"], before.1, "{rebuilt}");

    // Services that remember nothing come to the same, and answer a repeat as they did.
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, now);
    let answer = apply_as(&fleet.bus, &repeated, "once").await;
    assert_eq!(answer, Answer::Accepted(first));
    assert_eq!(fleet.versions().await, held_before, "no write");

    // Changes go on from what was cut away, and can be told and taken back.
    assert_eq!(fleet.change("three").await, 3);
    let diff = fleet.run(&["diff", "configmap/default/o0", "--cluster", "c1"]);
    assert!(diff.status == 1 && diff.out.contains("three"), "{diff:?}");
    fleet.done(&["rollback", "configmap/default/o0", "--to", "2", "--yes"]);
    fleet.settled("o0", 4).await;

    // A second cut on top of the first.
    fleet.done(&["backup", "copy"]);
    let before = fleet.digests().await;
    let held_before = fleet.versions().await;
    let cut = fleet.last().await;
    let (plan, _) = outcome(&fleet.run(&[
        "retain",
        "--max-size",
        "1",
        "--backup",
        "copy",
        "--yes",
        "-o",
        "json",
    ]));
    assert_eq!(plan["cut"], cut, "{plan}");
    assert_eq!(fleet.digests().await, before);
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, before);
    assert_eq!(fleet.versions().await, held_before, "no write");
    let answer = apply_as(&fleet.bus, &repeated, "once").await;
    assert!(matches!(answer, Answer::Accepted(accepted) if accepted.revision == 1));
    fleet.change("five").await;

    // The old backup goes on behind the cut that it reached to, and a new one holds the base.
    fleet.done(&["backup", "copy"]);
    fleet.done(&["backup", "whole"]);
    let before = fleet.digests().await;
    let held_before = fleet.versions().await;
    for copy in ["copy", "whole"] {
        restored_is_the_same(&fleet, server.clone(), copy, &before.0).await;
    }
    assert_eq!(fleet.versions().await, held_before, "no write");
}

/// Restores a backup into a server of its own, and compares what its services fold.
async fn restored_is_the_same(fleet: &Fleet, server: std::path::PathBuf, copy: &str, view: &Value) {
    let bed = Bed::new(server);
    let url = bed.connect.url.as_str();
    let fleetcast = bed.binary(fleet.folder.path());
    fleetcast.done(&["--nats", url, "restore", copy]);
    let _running = [bed.ingest("a"), bed.aggregator()];
    eventually("the restored hub knows the same", async || {
        let verified = fleetcast.run(&["--nats", url, "replay", "--verify", "-o", "json"]);
        verified.status == 0 && verified.json()["view"]["digest"] == *view
    })
    .await;
}

/// The sections of a base at `cut`, folded as the command does.
async fn contents(bus: &Bus, cut: u64) -> (Cut, Vec<Content>) {
    let mut view = View::default();
    let (mut ingest, mut audit) = (State::default().equipped(), Audit::default());
    let mut hub = Logged::default();
    let part = |upto| Part {
        from: 1,
        upto: Some(upto),
        ..Part::default()
    };
    let mut log = bus.range(streams::LOG, part(cut)).await.expect("a log");
    while let Some(dated) = log.next().await.expect("read") {
        let stored = dated.stored;
        let entry = event::log_entry(&stored.message, stored.sequence).expect("an event");
        audit.met(stored.sequence);
        audit.logged(&entry);
        view.logged(&entry);
        ingest.logged(&entry);
        hub.logged(&entry);
    }
    let last = bus.last_sequence(&streams::acks(0)).await.expect("acks");
    let mut acks = bus
        .range(&streams::acks(0), part(last))
        .await
        .expect("acks");
    while let Some(dated) = acks.next().await.expect("read") {
        let (_, batch) = event::read_acks(&dated.stored.message).expect("acks");
        view.acknowledged(0, dated.stored.sequence, batch);
    }
    let beginning = bus.beginning().await.expect("the bus answers");
    let contents = vec![
        Content::of(VIEW, &view).expect("a section"),
        Content::of(INGEST, &ingest).expect("a section"),
        Content::of(HUB, &hub).expect("a section"),
        Content::of("audit", &audit).expect("a section"),
        Content::of(REMOVALS, &removals(&view)).expect("a section"),
    ];
    let cut = Cut {
        log: cut,
        time: view.time,
        acks: BTreeMap::from([(0, last)]),
        answered_by: fleetcast_bus::now(),
        beginning: beginning.expect("a beginning"),
    };
    (cut, contents)
}

/// Shows what a cut that is killed leaves, step by step; and what is said where the base is gone or damaged.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_that_is_killed_leaves_the_old_state_or_the_new_one() {
    let Some(server) = nats_server("a_cut_that_is_killed_leaves_the_old_state_or_the_new_one")
    else {
        return;
    };
    let mut fleet = Fleet::new(server).await;
    let before = fleet.digests().await;
    let held_before = fleet.versions().await;
    let cut = fleet.last().await - 5;

    // Killed while parts are written: they do not count, whatever they are.
    let (place, _) = contents(&fleet.bus, cut).await;
    let junk = Content::of(VIEW, &"no view at all").expect("a section");
    let written = fleet.bus.write_base(place, &[junk]).await;
    written.expect("written");
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, before);

    // Killed before the log is cut: the base counts, and the log is whole.
    let (place, sections) = contents(&fleet.bus, cut).await;
    let base = fleet
        .bus
        .write_base(place, &sections)
        .await
        .expect("written");
    assert!(
        fleet.bus.cut_log(&base).await.is_err(),
        "it does not count yet"
    );
    fleet.bus.finish_base(&base).await.expect("stored");
    assert_eq!(fleet.first().await, 1);
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, before);

    // Killed behind the cut: what is left over of earlier tries is in nobody's way.
    fleet.bus.cut_log(&base).await.expect("cut");
    assert_eq!(fleet.first().await, cut + 1);
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, before);
    assert_eq!(fleet.change("three").await, 3);
    let now = fleet.digests().await;

    // The next run ends what was begun.
    let to = (cut + 3).to_string();
    outcome(&fleet.run(&[
        "retain",
        "--to",
        &to,
        "--without-backup",
        "--yes",
        "-o",
        "json",
    ]));
    let bases = fleet.bus.bounds(streams::BASE).await.expect("bases");
    assert!(
        bases.first > base.at,
        "what was left over is gone: {bases:?}"
    );
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, now);

    // kill -9 at any moment.
    for ms in [5, 20, 60, 120, 250] {
        let to = (fleet.first().await + 2).to_string();
        let url = fleet.bed.connect.url.clone();
        let args = [
            "--nats",
            &url,
            "retain",
            "--to",
            &to,
            "--without-backup",
            "--yes",
        ];
        let cutting = fleet.fleetcast.start("retain", &args);
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        drop(cutting);
        assert_eq!(fleet.digests().await, now, "killed after {ms} ms");
    }
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, now);

    // Services that were away while the log was cut behind what they know begin at the base.
    fleet.stop().await;
    let last = fleet.last().await;
    outcome(&fleet.run(&[
        "retain",
        "--to",
        &last.to_string(),
        "--without-backup",
        "--yes",
        "-o",
        "json",
    ]));
    fleet.running = vec![fleet.bed.ingest("a"), fleet.bed.aggregator()];
    assert_eq!(fleet.digests().await, now);
    assert_eq!(fleet.change("four").await, 4);
    let held_now = fleet.versions().await;
    assert_eq!(held_now.len(), held_before.len());

    // A part of the base is gone, then all of it: that is said, and nothing begins.
    let bases = fleet.bus.bounds(streams::BASE).await.expect("bases");
    let forget = fleet
        .bus
        .forget(streams::BASE, subject::BASE_PART, bases.first);
    forget.await.expect("gone");
    let told = fleet.run(&["replay", "--verify"]);
    assert!(
        told.status == 1 && told.err.contains("the base in FC_BASE is damaged"),
        "{told:?}"
    );
    let forget = fleet.bus.forget(streams::BASE, ">", bases.last);
    forget.await.expect("gone");
    let told = fleet.run(&["replay", "--verify"]);
    assert!(
        told.status == 1 && told.err.contains("holds no base"),
        "{told:?}"
    );
    // What is known goes on.
    fleet.settled("o0", 4).await;
    assert_eq!(fleet.versions().await, held_now, "no write");
}

/// Shows that acknowledgements which have aged out are known from the base, also where everything that was kept is lost.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_that_have_aged_out_are_known_from_the_base() {
    let Some(server) = nats_server("acknowledgements_that_have_aged_out_are_known_from_the_base")
    else {
        return;
    };
    let mut fleet = Fleet::new(server).await;
    let before = fleet.digests().await;
    let held_before = fleet.versions().await;
    let told = fleet.done(&["retain", "--acks", "2d"]);
    assert!(told.out.contains("kept for 48 hours"), "{told:?}");
    // Far before the newest answers: the base knows them all the same.
    outcome(&fleet.run(&[
        "retain",
        "--to",
        "4",
        "--without-backup",
        "--yes",
        "-o",
        "json",
    ]));
    let acks = streams::acks(0);
    let last = fleet.bus.last_sequence(&acks).await.expect("a stream");
    fleet.bus.forget(&acks, ">", last).await.expect("aged out");
    fleet.start_from_nothing().await;
    assert_eq!(fleet.digests().await, before);
    let rebuilt = fleet
        .done(&["replay", "--rebuild", "view", "-o", "json"])
        .json();
    assert_eq!(rebuilt["digest"], before.0, "{rebuilt}");
    assert_eq!(fleet.versions().await, held_before, "no write");
    let past = fleet.done(&["get", "--at", "6", "-o", "json"]).json();
    assert_eq!(past["as_of"]["acknowledgements_unknown"], true, "{past}");

    // Where no base knows them, and neither does the view, a cut says so and does nothing.
    fleet.change("three").await;
    let last = fleet.bus.last_sequence(&acks).await.expect("a stream");
    fleet.bus.forget(&acks, ">", last).await.expect("aged out");
    let refused = fleet.run(&["retain", "--to", "8", "--without-backup", "--yes"]);
    assert!(
        refused.status == 1
            && refused
                .out
                .contains("knows something else than the streams"),
        "{refused:?}"
    );
    assert_eq!(fleet.first().await, 5);
    let conditions = fleet
        .bed
        .settled(&fleet.bus, "ConfigMap/default/o0", 3)
        .await;
    assert!(conditions.values().all(|is| *is == Condition::Applied));
}

/// Shows that services need no right to cut, and that only who has it can.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_operator_cuts() {
    let Some(server) = nats_server("only_the_operator_cuts") else {
        return;
    };
    let fleet = Fleet::new(server).await;
    let last = fleet.last().await;
    let (place, sections) = contents(&fleet.bus, last).await;
    let base = fleet
        .bus
        .write_base(place, &sections)
        .await
        .expect("written");
    fleet.bus.finish_base(&base).await.expect("stored");
    let cuts = [Role::Ingest, Role::Aggregator].map(async |role| {
        let service = fleet.bed.bus_as(role).await;
        service.cut_log(&base).await.is_ok()
    });
    assert_eq!(
        futures::future::join_all(cuts).await,
        [false, false],
        "neither may"
    );
    assert_eq!(fleet.first().await, 1);
    fleet.bus.cut(&base).await.expect("the operator cuts");
    assert_eq!(fleet.first().await, last + 1);
    assert_eq!(fleet.change("three").await, 3);
    drop(fleet.folder);
}

/// The removals that were answered.
fn removals(view: &View) -> Vec<Answered> {
    let gone = view
        .answers()
        .filter(|(_, _, answer)| answer.outcome == Outcome::Removed);
    gone.map(|(object, cluster, answer)| Answered {
        object: object.clone(),
        cluster: cluster.clone(),
        place: answer.place.clone(),
    })
    .collect()
}
