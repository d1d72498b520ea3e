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
    let held = async || {
        let lease = leases.get("fleetcast-agent").await.expect("a lease");
        let (holder, transitions) = (
            lease.data["spec"]["holderIdentity"].clone(),
            lease.data["spec"]["leaseTransitions"].clone(),
        );
        (holder, transitions)
    };
    fleet.apply("map.yaml", &map("first")).await;
    assert_eq!(held().await, (json!("first"), json!(1)));

    let second = fleet.agent(0, "second");
    fleet.apply("map.yaml", &map("second")).await;
    assert_eq!(held().await, (json!("first"), json!(1)), "one acts");
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
        held().await == (json!("second"), json!(2))
    })
    .await;
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
    assert_eq!(held().await, (json!("third"), json!(3)));
    drop(third);
}
