//! Whole plans: objects, policies, overrides, what follows, what rests.

use super::*;
use crate::placement::Exclusion;
use serde_json::json;

fn members(names: &[&str]) -> BTreeMap<ClusterName, Member> {
    names
        .iter()
        .map(|text| {
            let name = ClusterName::parse(text).expect("valid");
            (name.clone(), Member::named(name))
        })
        .collect()
}

fn set(policies: &[Value]) -> Set {
    let mut set = Set::default();
    for policy in policies {
        set.add_policy(policy).expect("valid");
    }
    set
}

/// A PropagationPolicy in `default` for everything of `kind`, with further members of the spec.
fn policy(api_version: &str, kind: &str, spec: Value) -> Value {
    let mut spec = spec;
    spec["resourceSelectors"] = json!([{"apiVersion": api_version, "kind": kind}]);
    json!({"apiVersion": set::API_VERSION, "kind": "PropagationPolicy", "metadata": {"name": kind.to_lowercase()}, "spec": spec})
}

fn deployment(replicas: i64) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "uid": "b"},
        "spec": {"replicas": replicas, "template": {"spec": {
            "containers": [{"name": "web", "image": "web:1", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}})
}

/// `m1 x2, m2 | m3 NoPolicy`: clusters and what is excluded.
fn story(plan: &ObjectPlan) -> String {
    let clusters: Vec<_> = plan
        .clusters
        .iter()
        .map(|row| match row.replicas {
            Some(count) => format!("{} x{count}", row.cluster),
            None => row.cluster.to_string(),
        })
        .collect();
    let excluded: Vec<_> = plan
        .excluded
        .iter()
        .map(|row| format!("{} {:?}", row.cluster, row.reason))
        .collect();
    format!("{} | {}", clusters.join(", "), excluded.join(", "))
}

fn in_clusters(names: &[&str]) -> Value {
    json!({"clusterAffinity": {"clusterNames": names}})
}

#[test]
fn the_published_sample_lands_as_in_karmada() {
    let weights: Vec<_> = ["member1", "member2"]
        .map(|name| json!({"targetCluster": {"clusterNames": [name]}, "weight": 1}))
        .into();
    let propagation = policy(
        "apps/v1",
        "Deployment",
        json!({"placement": {
            "clusterAffinity": {"clusterNames": ["member1", "member2"]},
            "replicaScheduling": {"replicaDivisionPreference": "Weighted", "replicaSchedulingType": "Divided",
                "weightPreference": {"staticWeightList": weights}},
        }}),
    );
    let overriding = json!({"kind": "OverridePolicy", "metadata": {"name": "nginx-op"}, "spec": {
        "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}],
        "overrideRules": [{"targetCluster": {"clusterNames": ["member2"]},
            "overriders": {"labelsOverrider": [{"operator": "add", "value": {"env": "dev"}}]}}]}});
    let object = deployment(3);
    let plan = plan(
        &set(&[propagation, overriding]),
        &object,
        &members(&["member1", "member2", "member3"]),
        &[],
    );
    // The hash of the UID "b" is odd: the remainder goes to the greater name.
    assert_eq!(story(&plan), "member1 x1, member2 x2 | member3 NotSelected");
    assert_eq!(plan.object.namespace.as_deref(), Some("default"));
    let second = &plan.clusters[1];
    assert_eq!(second.manifest["spec"]["replicas"], 2);
    assert_eq!(
        second.manifest["metadata"],
        json!({"name": "web", "namespace": "default", "labels": {"env": "dev"}})
    );
    assert_eq!(
        second.reasons,
        [
            "PropagationPolicy default/deployment selects the object as everything of its kind",
            "named in clusterNames",
            "2 of 3 replicas by its static weight 1",
            "OverridePolicy default/nginx-op: spec.overrideRules[0] applies",
        ]
    );
    assert_eq!(plan.clusters[0].manifest["metadata"].get("labels"), None);
}

#[test]
fn an_override_of_the_replicas_beats_the_scheduler_and_one_that_fails_takes_its_cluster_out() {
    let overriding = json!({"kind": "ClusterOverridePolicy", "metadata": {"name": "o"}, "spec": {"overrideRules": [
        {"targetCluster": {"clusterNames": ["m1"]}, "overriders": {"plaintext": [{"path": "/spec/replicas", "operator": "replace", "value": 9}]}},
        {"targetCluster": {"clusterNames": ["m2"]}, "overriders": {"plaintext": [{"path": "/spec/x", "operator": "remove"}]}},
    ]}});
    let set = set(&[policy("apps/v1", "Deployment", json!({})), overriding]);
    let object = deployment(2);
    let plan = plan(&set, &object, &members(&["m1", "m2", "m3"]), &[]);
    assert_eq!(story(&plan), "m1 x9, m3 x2 | m2 Refused");
    assert_eq!(
        plan.excluded[0].field.as_deref(),
        Some("spec.overrideRules[1].overriders.plaintext[0].path")
    );
    assert!(
        plan.excluded[0]
            .message
            .starts_with("ClusterOverridePolicy o: ")
    );
}

#[test]
fn without_a_policy_an_object_is_nowhere() {
    let object = deployment(2);
    let mut reserved = deployment(2);
    reserved["metadata"]["namespace"] = json!("kube-system");
    let all = json!({"kind": "ClusterPropagationPolicy", "metadata": {"name": "all"}, "spec": {
        "resourceSelectors": [{"apiVersion": "apps/v1", "kind": "Deployment"}]}});
    for (what, set, object) in [
        ("no policy", set(&[]), &object),
        (
            "a namespace that is never propagated",
            set(&[all]),
            &reserved,
        ),
    ] {
        let plan = plan(&set, object, &members(&["m1"]), &[]);
        assert_eq!(story(&plan), " | m1 NoPolicy", "{what}");
        assert_eq!((plan.unplaced_replicas, plan.refusal), (0, None), "{what}");
    }
}

#[test]
fn propagation_rests_where_a_policy_says_so() {
    let object = deployment(2);
    let waits = json!({"kind": "OverridePolicy", "metadata": {"name": "there"}, "spec": {}});
    for (spec, expected) in [
        (
            json!({"suspension": {"dispatching": true}}),
            " | m1 Suspended, m2 Suspended",
        ),
        (
            json!({"suspension": {"dispatching": false}}),
            "m1 x2, m2 x2 | ",
        ),
        (
            json!({"suspension": {"dispatchingOnClusters": {"clusterNames": ["m2"]}}}),
            "m1 x2 | m2 Suspended",
        ),
        (json!({"dependentOverrides": ["there"]}), "m1 x2, m2 x2 | "),
        (
            json!({"dependentOverrides": ["missing"]}),
            " | m1 Suspended, m2 Suspended",
        ),
    ] {
        let set = set(&[policy("apps/v1", "Deployment", spec.clone()), waits.clone()]);
        let plan = plan(&set, &object, &members(&["m1", "m2"]), &[]);
        assert_eq!(story(&plan), expected, "{spec}");
    }
}

#[test]
fn observed_rows_are_the_previous_placement_and_the_room() {
    let scheduling = json!({"placement": {"replicaScheduling": {"replicaSchedulingType": "Divided",
        "replicaDivisionPreference": "Weighted", "weightPreference": {"dynamicWeight": "AvailableReplicas"}}}});
    let row = |object: &str, cluster: &str, replicas, available| Observed {
        object: object.to_owned(),
        cluster: ClusterName::parse(cluster).expect("valid"),
        replicas,
        ready: None,
        capacity: None,
        available,
    };
    let observed = [
        row("deployment/default/web", "m1", Some(2), Some(0)),
        row("Deployment.apps/default/web", "m2", None, Some(7)),
        row("deployment/default/api", "m1", Some(9), None),
        row("nothing", "m1", Some(9), None),
    ];
    let set = set(&[policy("apps/v1", "Deployment", scheduling)]);
    let plan = plan(&set, &deployment(5), &members(&["m1", "m2"]), &observed);
    assert_eq!(story(&plan), "m1 x2, m2 x3 | ");
    assert_eq!(
        plan.clusters[0].reasons.last().map(String::as_str),
        Some("2 of 5 replicas by what the clusters can take, 2 were there")
    );
}

#[test]
fn what_a_workload_names_follows_it() {
    let config =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    let mut elsewhere = config("settings");
    elsewhere["metadata"]["namespace"] = json!("other");
    let (web, settings, other) = (deployment(1), config("settings"), config("other"));
    let objects = [(0, &settings), (1, &other), (2, &web), (3, &elsewhere)];
    let members = members(&["m1", "m2", "m3"]);
    let workload = |deps: bool| {
        policy(
            "apps/v1",
            "Deployment",
            json!({"propagateDeps": deps, "placement": in_clusters(&["m1", "m2"])}),
        )
    };
    let nowhere = " | m1 NoPolicy, m2 NoPolicy, m3 NoPolicy";
    let own = policy(
        "v1",
        "ConfigMap",
        json!({"placement": in_clusters(&["m3"])}),
    );
    for (what, set, expected) in [
        (
            "not unless asked",
            set(&[workload(false)]),
            [nowhere, nowhere],
        ),
        (
            "to its clusters",
            set(&[workload(true)]),
            ["m1, m2 | m3 NoPolicy", nowhere],
        ),
        (
            "and to its own",
            set(&[workload(true), own]),
            ["m1, m2, m3 | ", "m3 | m1 NotSelected, m2 NotSelected"],
        ),
    ] {
        let plans = plan_all(&set, &objects, &members, &[]);
        assert_eq!([story(&plans[0].0), story(&plans[1].0)], expected, "{what}");
        assert_eq!(story(&plans[3].0), nowhere, "{what}: another namespace");
    }
    let plans = plan_all(&set(&[workload(true)]), &objects, &members, &[]);
    assert_eq!(
        plans[0].0.clusters[0].reasons,
        ["follows deployment.apps/default/web, which names it"]
    );
}

#[test]
fn namespaces_need_no_policy() {
    let namespace = |name: &str, skip: &str| {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name,
            "labels": {"namespace.karmada.io/skip-auto-propagation": skip}}})
    };
    for (name, skip, expected) in [
        ("shop", "false", "m1 | "),
        ("shop", "true", " | m1 NoPolicy"),
        ("default", "false", " | m1 NoPolicy"),
        ("kube-public", "false", " | m1 NoPolicy"),
        ("karmada-es-m1", "false", " | m1 NoPolicy"),
    ] {
        let plan = plan(
            &Set::default(),
            &namespace(name, skip),
            &members(&["m1"]),
            &[],
        );
        assert_eq!(story(&plan), expected, "{name} {skip}");
        assert_eq!(plan.object.namespace, None);
    }
}

#[test]
fn a_divided_jobs_completions_follow_its_parallelism() {
    let divided = json!({"placement": {"replicaScheduling": {"replicaSchedulingType": "Divided"}}});
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
        "spec": {"parallelism": 3, "completions": 7}});
    let written = |spec: Value| -> Vec<(Value, Value)> {
        plan(
            &set(&[policy("batch/v1", "Job", spec)]),
            &job,
            &members(&["m1", "m2"]),
            &[],
        )
        .clusters
        .iter()
        .map(|row| {
            let spec = &row.manifest["spec"];
            (spec["parallelism"].clone(), spec["completions"].clone())
        })
        .collect()
    };
    assert_eq!(
        written(divided),
        [(json!(2), json!(5)), (json!(1), json!(2))]
    );
    assert_eq!(
        written(json!({})),
        [(json!(3), json!(7)), (json!(3), json!(7))]
    );
}

#[test]
fn kinds_that_the_files_define_live_where_they_say() {
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "books.a.example"},
        "spec": {"group": "a.example", "scope": "Cluster", "names": {"kind": "Book"}}});
    let book = json!({"apiVersion": "a.example/v1", "kind": "Book", "metadata": {"name": "x", "namespace": "default"}});
    let set = set(&[policy("a.example/v1", "Book", json!({}))]);
    let members = members(&["m1"]);
    assert_eq!(story(&plan(&set, &book, &members, &[])), "m1 | ");
    let plans = plan_all(&set, &[(0, &crd), (1, &book)], &members, &[]);
    assert_eq!(story(&plans[1].0), " | m1 NoPolicy");
    assert_eq!(plans[1].0.object.namespace, None);
}

#[test]
fn an_object_that_is_none_keeps_its_row_with_a_refusal() {
    let object =
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a/b"}});
    let plan = plan(&Set::default(), &object, &members(&["m1"]), &[]);
    assert_eq!(
        plan.refusal.map(|refusal| refusal.field).as_deref(),
        Some("metadata.name")
    );
    assert!(plan.clusters.is_empty() && plan.excluded.is_empty());
    let many = deployment(5_000_000_000);
    let plan = super::plan(
        &set(&[policy("apps/v1", "Deployment", json!({}))]),
        &many,
        &members(&["m1"]),
        &[],
    );
    assert_eq!(
        plan.refusal.map(|refusal| refusal.field).as_deref(),
        Some("spec.replicas")
    );
}

#[test]
fn objects_are_applied_as_their_policy_says() {
    use crate::model::federated::{Adopt, OnDelete};
    let applied = |spec: Value, metadata: Value| {
        let mut object = deployment(1);
        for (key, value) in metadata.as_object().into_iter().flatten() {
            object["metadata"][key] = value.clone();
        }
        let set = set(&[policy("apps/v1", "Deployment", spec)]);
        plan_all(&set, &[(0, &object)], &members(&[]), &[])
            .remove(0)
            .1
    };
    let plain = applied(json!({}), json!({}));
    assert_eq!(
        (plain.adopt, plain.on_delete),
        (Adopt::Never, OnDelete::Delete)
    );
    assert!(plain.ignore.is_empty());
    let spec = || json!({"conflictResolution": "Overwrite", "preserveResourcesOnDeletion": true});
    let kept = applied(spec(), json!({}));
    assert_eq!(
        (kept.adopt, kept.on_delete),
        (Adopt::Always, OnDelete::Orphan)
    );
    let own = json!({"annotations": {"work.karmada.io/conflict-resolution": "abort"},
        "labels": {"resourcetemplate.karmada.io/retain-replicas": "true"}});
    let own = applied(spec(), own);
    assert_eq!(own.adopt, Adopt::Never);
    assert_eq!(own.ignore, ["/spec/replicas"]);
}

#[test]
fn plans_are_the_same_whatever_comes_and_every_cluster_is_accounted_for() {
    let mut seed = 11_u64;
    let mut below = |limit: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % limit
    };
    for _ in 0..300 {
        let names: Vec<String> = (0..=below(6)).map(|index| format!("m{index}")).collect();
        let mut fleet = members(&names.iter().map(String::as_str).collect::<Vec<_>>());
        for member in fleet.values_mut() {
            member.region = (below(3) > 0).then(|| format!("r{}", below(3)));
        }
        let scheduling = [
            json!(null),
            json!({"replicaSchedulingType": "Divided"}),
            json!({"replicaSchedulingType": "Divided", "replicaDivisionPreference": "Aggregated"}),
            json!({"replicaSchedulingType": "Divided", "weightPreference": {"dynamicWeight": "AvailableReplicas"}}),
        ][usize::try_from(below(4)).expect("small")]
        .clone();
        let spread = match below(3) {
            0 => json!(null),
            1 => json!([{"spreadByField": "cluster", "minGroups": 1, "maxGroups": 1 + below(4)}]),
            _ => json!([{"spreadByField": "region", "minGroups": 1, "maxGroups": 1 + below(3)},
                {"spreadByField": "cluster", "minGroups": 1 + below(3), "maxGroups": 4}]),
        };
        let divided = !scheduling.is_null();
        let observed: Vec<Observed> = names
            .iter()
            .map(|name| Observed {
                object: "deployment/default/web".to_owned(),
                cluster: ClusterName::parse(name).expect("valid"),
                replicas: (below(3) == 0).then(|| i64::try_from(below(5)).expect("small")),
                ready: None,
                capacity: None,
                available: (below(2) == 0).then(|| i64::try_from(below(9)).expect("small")),
            })
            .collect();
        let held: i64 = observed.iter().filter_map(|row| row.replicas).sum();
        let replicas = i64::try_from(below(12)).expect("small");
        let set = set(&[policy(
            "apps/v1",
            "Deployment",
            json!({"placement": {"replicaScheduling": scheduling, "spreadConstraints": spread}}),
        )]);
        let object = deployment(replicas);
        let planned = plan(&set, &object, &fleet, &observed);
        assert_eq!(planned, plan(&set, &object, &fleet, &observed));
        assert_eq!(planned.clusters.len() + planned.excluded.len(), fleet.len());
        let placed: i64 = planned.clusters.iter().filter_map(|row| row.replicas).sum();
        if divided && placed + planned.unplaced_replicas != replicas {
            // Only what stays as it was, for want of another place, may be more than is asked for.
            assert_eq!((placed, planned.unplaced_replicas), (held, 0));
        }
        assert!(
            planned
                .excluded
                .iter()
                .all(|row| row.reason != Exclusion::Refused)
        );
    }
}
