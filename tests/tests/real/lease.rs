//! Two agents for one cluster, as in a rolling update: one acts, the other waits.

use fleetcast_tests::harness::eventually;
use serde_json::json;

use super::fleet::{Fleet, of, of_namespace};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_agent_waits_for_the_lease_and_acts_when_the_first_ends() {
    let test = "a_second_agent_waits_for_the_lease_and_acts_when_the_first_ends";
    let Some(mut fleet) = Fleet::start(test, 1).await else {
        return;
    };
    let map = |text: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{text: {text}}}\n")
    };
    let leases = of_namespace(
        &fleet.clients[0],
        "fleetcast-system",
        "coordination.k8s.io/v1",
        "Lease",
    );
    // How often it was taken: greater with each holder, so that a later agent's answers win.
    let taken = async || {
        let lease = leases.get("fleetcast-agent").await.expect("a lease");
        let transitions = lease.data["spec"]["leaseTransitions"].as_i64();
        transitions.expect("a number")
    };
    let holder = async || {
        let lease = leases.get("fleetcast-agent").await.expect("a lease");
        lease.data["spec"]["holderIdentity"].clone()
    };
    fleet.apply("map.yaml", &map("first")).await;
    let begin = taken().await;
    assert_eq!(holder().await, json!("first"));

    let second = fleet.agent(0, "second");
    fleet.apply("map.yaml", &map("second")).await;
    assert_eq!(holder().await, json!("first"), "one acts");
    assert_eq!(taken().await, begin, "nobody took it in between");
    let maps = of(&fleet.clients[0], "v1", "ConfigMap");
    let version = maps
        .get("m")
        .await
        .expect("there")
        .metadata
        .resource_version;

    // It ends as a rolling update ends it, and gives the lease back.
    drop(fleet.agents[0].take());
    eventually("the second takes over", async || {
        holder().await == json!("second")
    })
    .await;
    let second_began = taken().await;
    assert!(second_began > begin, "{second_began} {begin}");
    let now = maps
        .get("m")
        .await
        .expect("there")
        .metadata
        .resource_version;
    assert_eq!(now, version, "taking over writes nothing");
    fleet.apply("map.yaml", &map("third")).await;
    let live = maps.get("m").await.expect("there");
    assert_eq!(live.data["data"]["text"], "third");

    // One that dies leaves the lease behind: it runs out after 15 seconds.
    let third = fleet.agent(0, "third");
    second.kill();
    fleet.apply("map.yaml", &map("fourth")).await;
    assert_eq!(holder().await, json!("third"));
    assert!(taken().await > second_began);
    drop(third);
}
