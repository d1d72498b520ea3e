//! The memory: what was kept comes back, what cannot be read counts as none, a later agent's stays.

use fleetcast_agent::cluster::memory::{Kept, Store};
use fleetcast_core::epoch::Epoch;
use fleetcast_core::reconcile::Memory;
use serde_json::json;

use super::World;

fn kept(n: u64, transitions: u64) -> Kept {
    Kept {
        memory: Memory {
            epoch: Epoch::try_from("1.hub".to_owned()).ok(),
            term: 2,
            incarnation: "i".to_owned(),
            n,
            sequence: n + 10,
        },
        transitions,
    }
}

/// The namespace is made where it is missing; the same again is not written.
#[tokio::test]
async fn what_was_kept_comes_back() {
    let world = World::bare();
    let store = Store::new(&world.home());
    assert_eq!(store.load().await.unwrap(), Kept::default());
    for n in [1, 2] {
        store.save(&kept(n, 1)).await.unwrap();
        assert_eq!(store.load().await.unwrap(), kept(n, 1));
    }
    let changes = world.simulated.change_count();
    store.save(&kept(2, 1)).await.unwrap();
    assert_eq!(world.simulated.change_count(), changes);
}

/// An agent that was paused while another took over does not overwrite what that one keeps.
#[tokio::test]
async fn a_later_agents_memory_stays() {
    let world = World::bare();
    let store = Store::new(&world.home());
    store.save(&kept(9, 2)).await.unwrap();
    store.save(&kept(3, 1)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), kept(9, 2));
}

/// A memory that cannot be read is none; the transitions are still known.
#[tokio::test]
async fn a_corrupt_memory_is_none() {
    let world = World::bare();
    let store = Store::new(&world.home());
    store.save(&kept(9, 2)).await.unwrap();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fleetcast-agent", "namespace": "fleetcast-system"}});
    for text in ["", "{", "[]", "{\"n\": -1}"] {
        world.edit(&map, json!({"data": {"memory": text}})).await;
        let kept = store.load().await.unwrap();
        assert_eq!(
            (kept.memory, kept.transitions),
            (Memory::default(), 2),
            "{text:?}"
        );
    }
    store.save(&kept(10, 2)).await.unwrap();
    assert_eq!(store.load().await.unwrap(), kept(10, 2));
}
