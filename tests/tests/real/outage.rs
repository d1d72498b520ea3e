//! An API server that is away during an update, and agents without the bus.

use fleetcast_tests::harness::eventually;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::fleet::{Fleet, of};

/// How many objects are under way while an API server is away.
const UPDATED: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_stops_and_starts_during_an_update_of_200_objects_converges() {
    let test = "an_api_server_that_stops_and_starts_during_an_update_of_200_objects_converges";
    let Some(fleet) = Fleet::start(test, 3).await else {
        return;
    };
    let maps = |text: &str| -> String {
        let map = |index: usize| {
            format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m{index}}}\ndata: {{text: {text:?}}}\n"
            )
        };
        (0..UPDATED).map(map).collect::<Vec<_>>().join("---\n")
    };
    fleet.apply("maps.yaml", &maps("first")).await;

    fleet.write("maps.yaml", &maps("second"));
    let update = fleet.begin_apply("maps.yaml");
    let stopped = of(&fleet.clients[1], "v1", "ConfigMap");
    eventually(
        "the update is under way in the cluster that is stopped",
        async || {
            with_text(&stopped, "second")
                .await
                .is_ok_and(|count| count > 0)
        },
    )
    .await;
    fleet.planes[1].kill();
    for index in [0, 2] {
        let others = of(&fleet.clients[index], "v1", "ConfigMap");
        eventually("the others are not held up", async || {
            with_text(&others, "second").await == Ok(UPDATED)
        })
        .await;
    }
    eventually("the stopped one is degraded, and says why", async || {
        let c2 = standing(&fleet, "c2");
        c2["readiness"] == "degraded" && c2["trouble"].is_string()
    })
    .await;
    let away = fleet.done(&["get", "-o", "json"]).json();
    let open = away["objects"].as_array().expect("a list").iter();
    assert!(
        open.filter(|object| object["counts"]["applied"] != json!(3))
            .count()
            > 0,
        "the stop came too late to show anything"
    );
    fleet.planes[1].start().await;
    update.await.expect("it does not panic");
    eventually("the started one is ready", async || {
        standing(&fleet, "c2")["readiness"] == "ready"
    })
    .await;

    for client in &fleet.clients {
        let maps = of(client, "v1", "ConfigMap");
        assert_eq!(with_text(&maps, "second").await, Ok(UPDATED));
    }
    let all = fleet.done(&["get", "-o", "json"]).json();
    for object in all["objects"].as_array().expect("a list") {
        assert_eq!(
            (&object["counts"]["applied"], &object["revision"]),
            (&json!(3), &json!(2)),
            "{object}"
        );
    }
}

/// How a cluster stands.
fn standing(fleet: &Fleet, cluster: &str) -> Value {
    let listed = fleet.done(&["cluster", "list", "-o", "json"]).json();
    let clusters = listed["clusters"].as_array().expect("a list");
    let found = clusters.iter().find(|one| one["cluster"] == cluster);
    found.expect("it is registered").clone()
}

/// Cut off from the bus an agent's process heals what it was told last; so does one that is started meanwhile, from its local copy; and what was put right is told
/// when the bus is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_without_the_bus_heals_what_it_was_told_last_also_when_it_starts() {
    let test = "an_agent_without_the_bus_heals_what_it_was_told_last_also_when_it_starts";
    let Some(mut fleet) = Fleet::start(test, 1).await else {
        return;
    };
    let map = |name: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{text: first}}\n"
        )
    };
    let both = [map("edited"), map("deleted"), map("withdrawn")].join("---\n");
    fleet.apply("maps.yaml", &both).await;
    fleet.done(&["delete", "configmap/default/withdrawn", "--wait"]);
    let maps = of(&fleet.clients[0], "v1", "ConfigMap");
    // What was done is in the agent's memory in the cluster within 5 seconds.
    let own = super::fleet::of_namespace(&fleet.clients[0], "fleetcast-system", "v1", "ConfigMap");
    eventually("the agent remembers what it did", async || {
        let kept = own.get("fleetcast-agent").await.expect("its memory");
        let memory = kept.data["data"]["memory"].as_str().unwrap_or_default();
        memory.contains("\"n\":4")
    })
    .await;

    fleet.bed.kill_server();
    heals(&maps, "a running agent").await;
    fleet.agents[0].take().expect("it runs").kill();
    let agent = fleet.agent(0, "first");
    heals(&maps, "an agent that was started").await;
    let withdrawn = maps.get_opt("withdrawn").await.expect("an answer");
    assert!(
        withdrawn.is_none(),
        "what was withdrawn is not brought back"
    );

    fleet.bed.start_server();
    let mut told = Value::Null;
    eventually(
        "what was put right is told when the bus is back",
        async || {
            let answer = fleet.run(&["get", "configmap/default/edited", "-o", "json"]);
            if answer.status != 0 {
                return false;
            }
            told = answer.json()["objects"][0]["rows"][0]["drift"].clone();
            told["healed"] == true
        },
    )
    .await;
    let field = &told["fields"][0];
    assert_eq!(
        (&field["path"], &field["manager"]),
        (&json!(".data.text"), &json!("by-hand")),
        "{told}"
    );
    drop(agent);
}

/// Edits and deletes by hand, and waits until both are put right.
async fn heals(maps: &Api<DynamicObject>, who: &str) {
    let params = PatchParams {
        field_manager: Some("by-hand".to_owned()),
        ..PatchParams::default()
    };
    let edit = Patch::Merge(json!({"data": {"text": "by hand"}}));
    maps.patch("edited", &params, &edit).await.expect("edited");
    maps.delete("deleted", &DeleteParams::default())
        .await
        .expect("deleted");
    for name in ["edited", "deleted"] {
        eventually(&format!("{who} puts {name} right"), async || {
            let live = maps.get_opt(name).await.expect("an answer");
            live.is_some_and(|live| live.data["data"]["text"] == "first")
        })
        .await;
    }
}

/// How many ConfigMaps have this text; an error where the server does not answer.
async fn with_text(maps: &Api<DynamicObject>, text: &str) -> Result<usize, String> {
    let list = maps.list(&ListParams::default()).await;
    let list = list.map_err(|error| error.to_string())?;
    let count = list
        .items
        .iter()
        .filter(|map| map.data["data"]["text"] == json!(text));
    Ok(count.count())
}
