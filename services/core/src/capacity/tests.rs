//! Tables: nodes and pods in, room out.

use super::*;
use serde_json::json;

#[test]
fn quantities_are_read_as_kubernetes_writes_them() {
    for (quantity, milli) in [
        (json!("250m"), Some(250)),
        (json!("1"), Some(1_000)),
        (json!(2), Some(2_000)),
        (json!("1.5"), Some(1_500)),
        (json!("0.1"), Some(100)),
        (json!("2Ki"), Some(2_048_000)),
        (json!("1e3"), Some(1_000_000)),
        (json!("1E"), Some(i64::MAX)),
        (json!("100u"), Some(1)),
        (json!("much"), None),
        (json!(""), None),
        (json!({}), None),
    ] {
        assert_eq!(quantity::milli(&quantity), milli, "{quantity}");
    }
}

fn node(name: &str, ready: &str, unschedulable: bool) -> Value {
    json!({
        "metadata": {"name": name}, "spec": {"unschedulable": unschedulable},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}, "conditions": [{"type": "Ready", "status": ready}]},
    })
}

fn pod(phase: &str, node: Option<&str>, cpu: &str) -> Value {
    json!({
        "spec": {"nodeName": node, "containers": [{"name": "a", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}}]},
        "status": {"phase": phase},
    })
}

#[test]
fn a_cluster_is_measured_by_the_nodes_that_take_pods_and_by_the_pods_that_have_not_ended() {
    let mut measuring = Measuring::default();
    for node in [
        node("a", "True", false),
        node("b", "True", true),
        node("c", "False", false),
    ] {
        measuring.node(&node);
    }
    for pod in [
        pod("Running", Some("a"), "1"),
        pod("Pending", None, "500m"),
        pod("Succeeded", Some("a"), "4"),
        pod("Running", Some("b"), "4"),
    ] {
        measuring.pod(&pod);
    }
    let capacity = measuring.end("v1.36.0".to_owned());
    assert_eq!((capacity.nodes, capacity.ready_nodes), (3, 2));
    let gib = 1_i64 << 30;
    let free = Amounts {
        cpu_milli: 2_500,
        memory_bytes: 6 * gib,
        pods: 8,
    };
    assert_eq!(capacity.available(), free);
    for (cpu_milli, memory_bytes, fits) in [
        (0, 0, 8),
        (500, 0, 5),
        (500, 2 * gib, 3),
        (3_000, 0, 0),
        (0, 100 * gib, 0),
    ] {
        let each = Amounts {
            cpu_milli,
            memory_bytes,
            pods: 0,
        };
        assert_eq!(capacity.fits(each), fits, "{each:?}");
    }
    let nothing = Measuring::default().end(String::new());
    assert_eq!(
        nothing.fits(Amounts::default()),
        0,
        "a cluster without nodes"
    );
}

#[test]
fn a_replica_asks_for_its_containers_or_for_what_runs_before_them() {
    let container = |resources: Value| json!({"name": "a", "resources": resources});
    let manifest = json!({"kind": "Deployment", "spec": {"template": {"spec": {
        "containers": [container(json!({"requests": {"cpu": "100m"}})), container(json!({"limits": {"cpu": "200m", "memory": "1Ki"}}))],
        "initContainers": [container(json!({"requests": {"cpu": "250m", "memory": "4Ki"}}))],
        "overhead": {"cpu": "10m"},
    }}}});
    let asked = of_replica(&manifest);
    assert_eq!((asked.cpu_milli, asked.memory_bytes), (310, 4_096));
    assert_eq!(
        of_replica(&json!({"kind": "ConfigMap"})),
        Amounts::default()
    );
}

#[test]
fn little_is_no_news() {
    let capacity = |used: i64, nodes: u32| Capacity {
        nodes,
        allocatable: Amounts {
            cpu_milli: 10_000,
            memory_bytes: 1 << 30,
            pods: 100,
        },
        allocated: Amounts {
            cpu_milli: used,
            ..Amounts::default()
        },
        ..Capacity::default()
    };
    for (now, is_news) in [
        (capacity(1_000, 3), false),
        (capacity(1_200, 3), false),
        (capacity(1_201, 3), true),
        (capacity(799, 3), true),
        (capacity(1_000, 4), true),
    ] {
        assert_eq!(now.is_news_after(&capacity(1_000, 3)), is_news, "{now:?}");
    }
}
