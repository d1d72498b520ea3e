//! The lease: one agent acts, a restarted one at once, another one after it.

use std::time::Duration;

use fleetcast_agent::cluster::lease::Lease;
use fleetcast_agent::trouble::Trouble;
use fleetcast_endpoint::Health;
use serde_json::json;
use tokio::time::timeout;

use super::World;

const SHORT: Duration = Duration::from_millis(1_500);

/// Each taking raises the transitions: by the same identity at once, by another when the lease was released.
#[tokio::test]
async fn a_lease_is_handed_over() {
    let world = World::bare();
    let trouble = Trouble::default();
    let health = Health::default();
    let home = world.home();
    let take = |identity: &'static str| Lease::take(&home, identity, 0, &trouble, &health);
    let first = take("a").await;
    let begun = first.transitions;
    assert!(begun > 1, "not what a wiped cluster counted before");
    let again = take("a").await;
    assert_eq!(again.transitions, begun + 1);
    assert!(timeout(SHORT, take("b")).await.is_err(), "it is held");
    again.release().await;
    let second = timeout(SHORT, take("b")).await.unwrap();
    assert_eq!(second.transitions, begun + 2);
}

/// The first of two with one identity, and whoever was taken over, loses the lease at the next renewal.
#[tokio::test(start_paused = true)]
async fn whoever_was_taken_over_loses_the_lease() {
    let world = World::bare();
    let trouble = Trouble::default();
    let mut first = Lease::take(&world.home(), "a", 0, &trouble, &Health::default()).await;
    let mut second = Lease::take(&world.home(), "a", 0, &trouble, &Health::default()).await;
    assert_eq!(first.hold(&trouble).await, "another took it");
    assert!(
        timeout(Duration::from_secs(60), second.hold(&trouble))
            .await
            .is_err()
    );
}

/// A lease that cannot be renewed is lost when its time is up, and is taken again when the cluster is back.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_cut_off_loses_its_agent() {
    let world = World::bare();
    let trouble = Trouble::default();
    let mut lease = Lease::take(&world.home(), "a", 0, &trouble, &Health::default()).await;
    let begun = lease.transitions;
    world.simulated.faults().cut_off(true);
    assert_eq!(
        lease.hold(&trouble).await,
        "it could not be renewed in time"
    );
    world.simulated.faults().cut_off(false);
    assert_eq!(
        Lease::take(&world.home(), "a", 0, &trouble, &Health::default())
            .await
            .transitions,
        begun + 1
    );
}

/// A lease whose holder does not renew it runs out, also where its clock is ahead; a deleted one begins above what was remembered.
#[tokio::test(start_paused = true)]
async fn an_abandoned_lease_runs_out() {
    let world = World::bare();
    let trouble = Trouble::default();
    Lease::take(&world.home(), "a", 0, &trouble, &Health::default()).await;
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "fleetcast-agent", "namespace": "fleetcast-system"}});
    for renewed in ["2020-01-01T00:00:00.000000Z", "2100-01-01T00:00:00.000000Z"] {
        world
            .edit(
                &lease,
                json!({"spec": {"holderIdentity": "gone", "renewTime": renewed}}),
            )
            .await;
        timeout(
            Duration::from_secs(30),
            Lease::take(&world.home(), "b", 0, &trouble, &Health::default()),
        )
        .await
        .unwrap();
    }
    world
        .api_of(&lease)
        .delete("fleetcast-agent", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let anew = Lease::take(&world.home(), "b", 41, &trouble, &Health::default()).await;
    assert_eq!(anew.transitions, 42);
}
