//! The whole agent over a real NATS server, with a hub that the tests play; skipped where `FLEETCAST_NATS_SERVER` names none.

use std::time::Duration;

use fleetcast_core::ack::Outcome;
use fleetcast_core::digest;
use fleetcast_core::health::State;
use fleetcast_core::model::federated::OnDelete;
use fleetcast_core::work::Work;
use fleetcast_schemas::request::SyncAsk;
use serde_json::json;

use super::hub::{Heard, Setting};
use super::{apply_work, config_map, default, eventually, remove_work};

/// Work for one of several ConfigMaps, of a decision, with data of about `size` bytes.
fn work(name: &str, decision: u64, size: usize) -> Work {
    let noise: String = (0..size / 16)
        .map(|index| digest::short(&index.to_le_bytes())[..16].to_owned())
        .collect();
    let mut manifest = config_map(json!({"value": decision.to_string(), "noise": noise}));
    manifest["metadata"]["name"] = json!(name);
    apply_work(&manifest, decision, default())
}

/// From an empty cluster to the whole set, live work, a gap, large bodies, a bus that restarts, and an agent that restarts and writes nothing; with an agent's permissions only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_made_true() {
    let Some(mut setting) = Setting::new().await else {
        return;
    };
    setting.hub.heard.lock().unwrap().inline_limit = 4_000;
    for (name, size) in [("first", 0), ("large", 900_000)] {
        setting.hub.write(work(name, 1, size), true).await;
    }
    let agent = setting.agent(None);
    let applied = |count: usize| {
        move |heard: &Heard| {
            heard
                .acks
                .iter()
                .filter(|ack| ack.outcome == Outcome::Applied)
                .count()
                >= count
        }
    };
    setting.hub.until("the whole set", applied(2)).await;

    setting.hub.write(work("live", 1, 0), false).await;
    setting.hub.until("live work", applied(3)).await;
    assert_eq!(
        setting.hub.heard(|heard| heard
            .asks
            .iter()
            .filter(|ask| matches!(ask, SyncAsk::Since { .. }))
            .count()),
        1,
        "live work needs no sync"
    );

    setting.hub.write(work("first", 2, 0), true).await;
    setting.hub.write(work("live", 2, 0), false).await;
    setting.hub.until("the gap to be closed", applied(5)).await;
    for name in ["first", "live"] {
        let mut manifest = config_map(json!({}));
        manifest["metadata"]["name"] = json!(name);
        assert_eq!(
            setting.world.live(&manifest).await["data"]["value"],
            "2",
            "{name}"
        );
    }
    setting
        .hub
        .until("a heartbeat", |heard| heard.heartbeats > 0)
        .await;

    setting.hub.write(work("large", 2, 900_000), false).await;
    setting
        .hub
        .until("live work with a large body", applied(6))
        .await;

    setting.stop_server();
    setting.hub.write(work("first", 3, 0), true).await;
    setting.start_server();
    setting
        .hub
        .until("what was missed while the bus was away", applied(7))
        .await;

    tokio::time::sleep(Duration::from_millis(300)).await;
    agent.stop().await;
    let requests = setting.world.simulated.requests();
    let (asks, acks) = setting
        .hub
        .heard(|heard| (heard.asks.len(), heard.acks.len()));
    let agent = setting.agent(None);
    setting
        .hub
        .until("the restarted agent's request", |heard| {
            heard.asks.len() > asks
        })
        .await;
    let resumed = setting.hub.heard(|heard| heard.asks.get(asks).cloned());
    assert!(
        matches!(
            resumed,
            Some(SyncAsk::Since {
                n: 7,
                sequence: 7,
                ..
            })
        ),
        "{resumed:?}"
    );
    setting
        .hub
        .until("what it sees, once for each object", |heard| {
            heard.acks.len() >= acks + 3
        })
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(setting.world.simulated.requests().apply, requests.apply);
    assert_eq!(setting.hub.heard(|heard| heard.acks.len()), acks + 3);
    agent.stop().await;
    let log = std::fs::read_to_string(setting.options.directory.join("nats.log")).unwrap();
    assert!(!log.contains("Violation"), "{log}");
}

/// What somebody else changes is put right and told with field and manager, also while the bus is away; what is deleted comes again, and health travels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_change_is_put_right_and_told() {
    let Some(mut setting) = Setting::new().await else {
        return;
    };
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "disk", "namespace": "shop"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    });
    let config = config_map(json!({"a": "1", "b": "1"}));
    setting
        .hub
        .write(apply_work(&config, 1, default()), true)
        .await;
    setting
        .hub
        .write(apply_work(&claim, 1, default()), true)
        .await;
    let agent = setting.agent(None);
    let last = |heard: &Heard, name: &str| {
        let mut about = heard.acks.iter().filter(|ack| ack.object.name() == name);
        about.next_back().cloned()
    };
    let health = |heard: &Heard, expected: State| {
        last(heard, "disk")
            .and_then(|ack| ack.observed.health)
            .is_some_and(|health| health.state == expected)
    };
    setting
        .hub
        .until("progressing", |heard| health(heard, State::Progressing))
        .await;
    setting
        .world
        .api_of(&claim)
        .patch_status(
            "disk",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(
                json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}),
            ),
        )
        .await
        .unwrap();
    setting
        .hub
        .until("healthy", |heard| health(heard, State::Healthy))
        .await;
    let status = setting
        .hub
        .heard(|heard| last(heard, "disk").unwrap().observed.status);
    assert_eq!(
        status.unwrap().fields.value().unwrap(),
        json!({"phase": "Bound", "capacity": {"storage": "1Gi"}})
    );

    setting
        .world
        .edit(&config, json!({"data": {"a": "edited", "theirs": "x"}}))
        .await;
    let healed = |fields: &'static [&'static str], heals: u64| {
        move |heard: &Heard| {
            let drift = last(heard, "a").and_then(|ack| ack.observed.drift);
            drift.is_some_and(|drift| {
                let named: Vec<&str> = drift
                    .fields
                    .iter()
                    .map(|field| field.path.as_str())
                    .collect();
                drift.healed && drift.heals == heals && named == fields
            })
        }
    };
    setting
        .hub
        .until("put right", healed(&[".data.a"], 1))
        .await;
    let field = setting
        .hub
        .heard(|heard| last(heard, "a").unwrap().observed.drift.unwrap().fields[0].clone());
    assert_eq!(field.manager.as_deref(), Some("kubectl"));
    assert!(field.time.is_some());
    assert_eq!(
        setting.world.live(&config).await["data"],
        json!({"a": "1", "b": "1", "theirs": "x"})
    );

    setting.stop_server();
    setting
        .world
        .edit(&config, json!({"data": {"b": null}}))
        .await;
    for _ in 0..250 {
        if setting.world.live(&config).await["data"]["b"] == "1" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        setting.world.live(&config).await["data"]["b"],
        "1",
        "without the bus"
    );
    setting.start_server();
    setting
        .hub
        .until("told when the bus is back", healed(&[".data.b"], 2))
        .await;

    let uid = setting.world.live(&config).await["metadata"]["uid"].clone();
    setting
        .world
        .api_of(&config)
        .delete("a", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    setting
        .hub
        .until("made again", |heard| {
            let drift = last(heard, "a").and_then(|ack| ack.observed.drift);
            drift.is_some_and(|drift| drift.healed && drift.deleted)
        })
        .await;
    let live = setting.world.live(&config).await;
    assert_eq!(live["data"], json!({"a": "1", "b": "1"}));
    assert_ne!(live["metadata"]["uid"], uid);
    agent.stop().await;
}

/// An agent that starts while the bus is away heals what it was told last, if it kept a local copy; what was withdrawn stays away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_bus_a_local_copy_is_enough_to_heal() {
    let Some(mut setting) = Setting::new().await else {
        return;
    };
    let map = |name: &str| {
        let mut map = config_map(json!({"a": "1"}));
        map["metadata"]["name"] = json!(name);
        map
    };
    for name in ["a", "deleted", "withdrawn"] {
        setting
            .hub
            .write(apply_work(&map(name), 1, default()), true)
            .await;
    }
    let state = setting.directory.path().join("state");
    let agent = setting.agent(Some(state.clone()));
    let ended = |outcome: Outcome, count: usize| {
        move |heard: &Heard| {
            let acks = heard.acks.iter();
            acks.filter(|ack| ack.outcome == outcome).count() >= count
        }
    };
    setting
        .hub
        .until("all is applied", ended(Outcome::Applied, 3))
        .await;
    let withdrawn = remove_work(&map("withdrawn"), 2, OnDelete::Delete);
    setting.hub.write(withdrawn, false).await;
    setting
        .hub
        .until("one is removed", ended(Outcome::Removed, 1))
        .await;
    let kept = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fleetcast-agent", "namespace": "fleetcast-system"}});
    eventually("what was done is remembered", async || {
        let kept = setting.world.live(&kept).await;
        let memory = kept["data"]["memory"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        memory.contains("\"n\":4")
    })
    .await;
    agent.stop().await;
    setting.stop_server();

    setting
        .world
        .edit(&map("a"), json!({"data": {"a": "edited"}}))
        .await;
    let deleted = setting.world.api_of(&map("deleted"));
    deleted
        .delete("deleted", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    let agent = setting.agent(Some(state));
    for name in ["a", "deleted"] {
        eventually(&format!("{name} is healed"), async || {
            setting.world.live(&map(name)).await["data"]["a"] == "1"
        })
        .await;
    }
    assert!(setting.world.live(&map("withdrawn")).await.is_null());
    setting.start_server();
    setting
        .hub
        .until("it is told when the bus is back", |heard| {
            let mut about = heard.acks.iter().filter(|ack| ack.object.name() == "a");
            let drift = about.next_back().and_then(|ack| ack.observed.drift.clone());
            drift.is_some_and(|drift| drift.healed && drift.fields[0].path == ".data.a")
        })
        .await;
    assert!(setting.world.live(&map("withdrawn")).await.is_null());
    agent.stop().await;
}
