//! Tables for filters, groups, stickiness and each strategy under a whole placement.

use super::*;
use crate::dialect::karmada::policy::PropagationPolicy;
use crate::model::{Taint, TaintEffect};
use serde_json::{Value, json};

fn name(text: &str) -> ClusterName {
    ClusterName::parse(text).expect("valid")
}

fn placement(value: Value) -> Placement {
    let document = json!({"metadata": {"name": "p"}, "spec": {
        "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}], "placement": value}});
    PropagationPolicy::read(&document, true)
        .expect("valid")
        .placement
}

fn counts(list: &[(&str, i64)]) -> BTreeMap<ClusterName, i64> {
    list.iter()
        .map(|(text, count)| (name(text), *count))
        .collect()
}

fn workload(replicas: i64) -> Option<Workload> {
    Workload::read(
        &json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": replicas}}),
    )
}

/// m1, m2 in region eu, m3 in us, m4 in none.
fn fleet() -> BTreeMap<ClusterName, Member> {
    [("m1", "eu"), ("m2", "eu"), ("m3", "us"), ("m4", "")]
        .into_iter()
        .map(|(text, region)| {
            let member = Member {
                region: (!region.is_empty()).then(|| region.to_owned()),
                ..Member::named(name(text))
            };
            (name(text), member)
        })
        .collect()
}

/// `m1:2 m2:1 | m3 Spread | 0`: targets, exclusions, unplaced.
fn story(schedule: &Schedule) -> String {
    let targets: Vec<_> = schedule
        .targets
        .iter()
        .map(|(cluster, target)| match target.replicas {
            Some(count) => format!("{cluster}:{count}"),
            None => cluster.to_string(),
        })
        .collect();
    let excluded: Vec<_> = schedule
        .excluded
        .iter()
        .map(|(cluster, (reason, _))| format!("{cluster} {reason:?}"))
        .collect();
    format!(
        "{} | {} | {}",
        targets.join(" "),
        excluded.join(", "),
        schedule.unplaced
    )
}

fn run(
    place: Value,
    workload: Option<Workload>,
    held: &[(&str, i64)],
    available: &[(&str, i64)],
    members: &BTreeMap<ClusterName, Member>,
) -> String {
    let (placement, held, available) = (placement(place), counts(held), counts(available));
    story(&schedule(
        Ask {
            placement: &placement,
            api_version: "apps/v1",
            kind: "Deployment",
            workload,
            ties: Ties::Ascending,
            held: &held,
            available: &available,
            telling: Telling::All,
        },
        members,
    ))
}

const AGGREGATED: &str = "Aggregated";

fn divided(preference: &str, weights: Value) -> Value {
    json!({"replicaSchedulingType": "Divided", "replicaDivisionPreference": preference, "weightPreference": weights})
}

fn dynamic() -> Value {
    divided("Weighted", json!({"dynamicWeight": "AvailableReplicas"}))
}

#[test]
fn each_filter_keeps_away_what_it_should_and_spares_what_is_there() {
    let taint = |effect| Taint {
        key: "gpu".into(),
        value: String::new(),
        effect,
    };
    let with = |change: &dyn Fn(&mut Member)| {
        let mut members = fleet();
        members.retain(|cluster, _| cluster.as_str() == "m1");
        members.values_mut().for_each(change);
        members
    };
    let tolerant = json!({"clusterTolerations": [{"operator": "Exists"}]});
    for (what, place, members, held, expected) in [
        ("plain", json!({}), with(&|_| {}), false, "m1:2 |  | 0"),
        (
            "excluded",
            json!({"clusterAffinity": {"exclude": ["m1"]}}),
            with(&|_| {}),
            true,
            " | m1 Excluded | 0",
        ),
        (
            "not selected",
            json!({"clusterAffinity": {"labelSelector": {"matchLabels": {"a": "b"}}}}),
            with(&|_| {}),
            true,
            " | m1 NotSelected | 0",
        ),
        (
            "named, not registered",
            json!({"clusterAffinity": {"clusterNames": ["m1", "m9"]}}),
            with(&|_| {}),
            false,
            "m1:2 | m9 Unknown | 0",
        ),
        (
            "tainted",
            json!({}),
            with(&|m| m.taints = vec![taint(TaintEffect::NoSchedule)]),
            false,
            " | m1 Tainted | 0",
        ),
        (
            "tainted but there",
            json!({}),
            with(&|m| m.taints = vec![taint(TaintEffect::NoExecute)]),
            true,
            "m1:2 |  | 0",
        ),
        (
            "tolerated",
            tolerant,
            with(&|m| m.taints = vec![taint(TaintEffect::NoExecute)]),
            false,
            "m1:2 |  | 0",
        ),
        (
            "a wish decides nothing",
            json!({}),
            with(&|m| m.taints = vec![taint(TaintEffect::PreferNoSchedule)]),
            false,
            "m1:2 |  | 0",
        ),
        (
            "not served",
            json!({}),
            with(&|m| m.apis = Some(Default::default())),
            false,
            " | m1 ApiMissing | 0",
        ),
        (
            "not served but there",
            json!({}),
            with(&|m| m.apis = Some(Default::default())),
            true,
            "m1:2 |  | 0",
        ),
        (
            "not ready is no reason",
            json!({}),
            with(&|m| m.ready = false),
            false,
            "m1:2 |  | 0",
        ),
        (
            "leaving",
            json!({}),
            with(&|m| m.leaving = true),
            true,
            " | m1 Cordoned | 0",
        ),
        (
            "cordoned",
            json!({}),
            with(&|m| m.cordoned = true),
            false,
            " | m1 Cordoned | 0",
        ),
        (
            "no region to spread by",
            json!({"spreadConstraints": [{"spreadByField": "region", "maxGroups": 1}]}),
            with(&|m| m.region = None),
            false,
            " | m1 Spread | 0",
        ),
    ] {
        let held: &[_] = if held { &[("m1", 2)] } else { &[] };
        assert_eq!(
            run(place, workload(2), held, &[], &members),
            expected,
            "{what}"
        );
    }
}

#[test]
fn objects_without_replicas_go_to_every_selected_cluster() {
    let names = json!({"clusterNames": ["m1", "m2"]});
    for (what, workload, scheduling, expected) in [
        (
            "no workload",
            None,
            dynamic(),
            "m1 m2 | m3 NotSelected, m4 NotSelected | 0",
        ),
        (
            "a workload of none",
            workload(0),
            dynamic(),
            "m1:0 m2:0 | m3 NotSelected, m4 NotSelected | 0",
        ),
        (
            "duplicated",
            workload(3),
            Value::Null,
            "m1:3 m2:3 | m3 NotSelected, m4 NotSelected | 0",
        ),
    ] {
        let place = json!({"clusterAffinity": names, "replicaScheduling": scheduling});
        assert_eq!(run(place, workload, &[], &[], &fleet()), expected, "{what}");
    }
}

#[test]
fn static_weights_take_the_greatest_match_and_ignore_the_rest() {
    let weights = json!({"staticWeightList": [
        {"targetCluster": {"clusterNames": ["m1"]}, "weight": 1},
        {"targetCluster": {"clusterNames": ["m2", "m1"]}, "weight": 2},
        {"targetCluster": {"clusterNames": ["m3"]}, "weight": 0},
    ]});
    let spread = json!([{"spreadByField": "cluster", "minGroups": 9, "maxGroups": 9}]);
    let place =
        json!({"replicaScheduling": divided("Weighted", weights), "spreadConstraints": spread});
    assert_eq!(
        run(place, workload(5), &[("m3", 5)], &[("m1", 0)], &fleet()),
        "m1:3 m2:2 | m3 ZeroReplicas, m4 ZeroReplicas | 0"
    );
    let place = json!({"replicaScheduling": {"replicaSchedulingType": "Divided"}});
    assert_eq!(
        run(place, workload(3), &[], &[], &fleet()),
        "m1:1 m2:1 m3:1 | m4 ZeroReplicas | 0"
    );
}

#[test]
fn dynamic_weights_go_by_room_where_a_limit_is_known_and_by_the_wanted_count_elsewhere() {
    let place = |names: Value| json!({"clusterAffinity": {"clusterNames": names}, "replicaScheduling": dynamic()});
    let two = || place(json!(["m1", "m2"]));
    for (what, place, replicas, held, available, expected) in [
        (
            "by room",
            two(),
            9,
            vec![],
            vec![("m1", 6), ("m2", 3)],
            "m1:6 m2:3",
        ),
        (
            "no limit known counts as wanted",
            two(),
            4,
            vec![],
            vec![("m1", 4)],
            "m1:2 m2:2",
        ),
        (
            "the largest number is no limit",
            two(),
            4,
            vec![],
            vec![("m1", 2_147_483_647), ("m2", 4)],
            "m1:2 m2:2",
        ),
        (
            "what is there stays",
            two(),
            4,
            vec![("m1", 3)],
            vec![("m1", 0), ("m2", 9)],
            "m1:3 m2:1",
        ),
        (
            "a lost cluster's replicas move",
            place(json!(["m2", "m3"])),
            4,
            vec![("m1", 3), ("m2", 1)],
            vec![("m2", 9), ("m3", 9)],
            "m2:3 m3:1",
        ),
    ] {
        let held: Vec<_> = held;
        let told = run(place, workload(replicas), &held, &available, &fleet());
        assert_eq!(told.split(" |").next(), Some(expected), "{what}: {told}");
    }
}

#[test]
fn without_room_nothing_changes_and_the_rest_is_unplaced() {
    let place = json!({"clusterAffinity": {"clusterNames": ["m1", "m2"]}, "replicaScheduling": divided(AGGREGATED, Value::Null)});
    let others = "m3 NotSelected, m4 NotSelected";
    let room = [("m1", 1), ("m2", 1)];
    assert_eq!(
        run(place.clone(), workload(5), &[], &room, &fleet()),
        format!(" | m1 NoCapacity, m2 NoCapacity, {others} | 5")
    );
    assert_eq!(
        run(place.clone(), workload(5), &[("m1", 2)], &room, &fleet()),
        format!("m1:2 | m2 NoCapacity, {others} | 3")
    );
    // Where no cluster fits at all, the object is taken away.
    let nowhere =
        json!({"clusterAffinity": {"clusterNames": ["m9"]}, "replicaScheduling": dynamic()});
    assert_eq!(
        run(nowhere, workload(5), &[("m1", 5)], &[], &fleet()),
        " | m1 NotSelected, m2 NotSelected, m3 NotSelected, m4 NotSelected, m9 Unknown | 5"
    );
}

#[test]
fn aggregated_prefers_clusters_in_use_and_few_of_them() {
    let place = json!({"replicaScheduling": divided(AGGREGATED, Value::Null)});
    let room = [("m1", 5), ("m2", 9), ("m3", 3), ("m4", 0)];
    let zero = "ZeroReplicas";
    assert_eq!(
        run(place.clone(), workload(8), &[], &room, &fleet()),
        format!("m2:8 | m1 {zero}, m3 {zero}, m4 {zero} | 0")
    );
    assert_eq!(
        run(place, workload(5), &[("m3", 2)], &room, &fleet()),
        format!("m3:5 | m1 {zero}, m2 {zero}, m4 {zero} | 0")
    );
}

#[test]
fn groups_are_tried_in_order_from_the_one_in_use() {
    let groups = |scheduling: Value| {
        json!({"clusterAffinities": [
            {"affinityName": "first", "clusterNames": ["m1"]},
            {"affinityName": "second", "clusterNames": ["m2", "m3"]},
        ], "replicaScheduling": scheduling})
    };
    let tainted = || {
        let mut members = fleet();
        let m1 = members.get_mut(&name("m1")).expect("there");
        m1.taints = vec![Taint {
            key: "down".into(),
            value: String::new(),
            effect: TaintEffect::NoSchedule,
        }];
        members
    };
    for (what, scheduling, held, available, members, expected) in [
        ("the first", Value::Null, vec![], vec![], fleet(), "m1:4"),
        (
            "no cluster fits in the first",
            Value::Null,
            vec![],
            vec![],
            tainted(),
            "m2:4 m3:4",
        ),
        (
            "no room in the first",
            dynamic(),
            vec![],
            vec![("m1", 3)],
            fleet(),
            "m2:2 m3:2",
        ),
        (
            "no return to an earlier one",
            Value::Null,
            vec![("m2", 4)],
            vec![],
            fleet(),
            "m2:4 m3:4",
        ),
        (
            "in none of them: the first",
            Value::Null,
            vec![("m4", 4)],
            vec![],
            fleet(),
            "m1:4",
        ),
    ] {
        let held: Vec<_> = held;
        let told = run(groups(scheduling), workload(4), &held, &available, &members);
        assert_eq!(told.split(" |").next(), Some(expected), "{what}: {told}");
    }
}

#[test]
fn overflow_tiers_fill_up_in_order_and_empty_from_the_last() {
    let place = json!({"clusterAffinities": [{
        "affinityName": "own", "clusterNames": ["m1"],
        "overflowAffinities": [{"affinityName": "cloud", "clusterNames": ["m1", "m2", "m3"]}],
    }], "replicaScheduling": dynamic()});
    for (what, replicas, held, available, expected) in [
        (
            "the first holds all",
            4,
            vec![],
            vec![("m1", 5), ("m2", 9), ("m3", 9)],
            "m1:4",
        ),
        (
            "it overflows",
            9,
            vec![],
            vec![("m1", 5), ("m2", 9), ("m3", 9)],
            "m1:5 m2:2 m3:2",
        ),
        (
            "it empties from the last",
            6,
            vec![("m1", 5), ("m2", 2), ("m3", 2)],
            vec![("m1", 0), ("m2", 9), ("m3", 9)],
            "m1:5 m2:1",
        ),
    ] {
        let held: Vec<_> = held;
        let told = run(
            place.clone(),
            workload(replicas),
            &held,
            &available,
            &fleet(),
        );
        assert_eq!(told.split(" |").next(), Some(expected), "{what}: {told}");
    }
}

#[test]
fn spread_constraints_choose_among_those_that_fit() {
    let region = json!([
        {"spreadByField": "region", "minGroups": 2, "maxGroups": 2},
        {"spreadByField": "cluster", "minGroups": 2, "maxGroups": 2},
    ]);
    let place = json!({"spreadConstraints": region});
    assert_eq!(
        run(place.clone(), workload(2), &[], &[], &fleet()),
        "m1:2 m3:2 | m2 Spread, m4 Spread | 0"
    );
    // Where the object is already counts most.
    assert_eq!(
        run(place, workload(2), &[("m2", 2), ("m3", 2)], &[], &fleet()),
        "m2:2 m3:2 | m1 Spread, m4 Spread | 0"
    );
    let few = json!({"spreadConstraints": [{"spreadByField": "cluster", "minGroups": 5, "maxGroups": 5}]});
    assert_eq!(
        run(few, workload(2), &[("m1", 2)], &[], &fleet()),
        "m1:2 | m2 Spread, m3 Spread, m4 Spread | 0"
    );
}
