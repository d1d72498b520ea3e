//! One change travels from a publisher to every cluster, and its acknowledgement comes back: the whole way, run as a person would.

use std::collections::BTreeSet;
use std::path::Path;

use fleetcast_tests::harness::{Binary, nats_server};
use serde_json::Value;

/// A folder with the project's own workspace and examples.
fn workspace() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a folder");
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::fs::create_dir(directory.path().join("examples")).expect("a folder");
    for file in ["workspace.toml", "examples/shop.yaml"] {
        std::fs::copy(project.join(file), directory.path().join(file)).expect(file);
    }
    directory
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[test]
fn the_demo_tells_its_story_and_ends_by_itself() {
    let Some(server) = nats_server("the_demo_tells_its_story_and_ends_by_itself") else {
        return;
    };
    let directory = workspace();
    let told = Binary::new(directory.path(), server).done(&["demo"]).out;
    for part in [
        "accepted deployment.apps/shop/web as revision 1",
        "selected by placement.clusterSelector (tier=prod)",
        "us-1 is cut off",
        "no answer yet to decision 3; last answer was to 2",
        "us-1 is back",
        "Now with your own hands",
    ] {
        assert!(told.contains(part), "{part:?} is missing in\n{told}");
    }
    assert!(
        !directory.path().join(".run/fleet.json").exists(),
        "nothing is left running"
    );
}

#[test]
fn a_fleet_is_used_from_the_command_line_and_carries_on_after_a_kill() {
    let Some(server) =
        nats_server("a_fleet_is_used_from_the_command_line_and_carries_on_after_a_kill")
    else {
        return;
    };
    let directory = workspace();
    let fleetcast = Binary::new(directory.path(), server);
    let up = fleetcast.up();

    let applied = fleetcast.done(&["apply", "-f", "examples/shop.yaml", "--wait"]);
    assert!(
        applied
            .out
            .contains("deployment.apps/shop/web accepted as revision 1"),
        "{applied:?}"
    );
    assert!(applied.out.contains("all clusters answered"), "{applied:?}");
    let objects = fleetcast.done(&["get", "-o", "json"]).json();
    assert_eq!(objects["objects"].as_array().map(Vec::len), Some(5));
    let web = fleetcast
        .done(&["get", "deployment/shop/web", "-o", "json"])
        .json();
    assert_eq!(web["objects"][0]["counts"]["applied"], 3, "{web}");
    assert!(
        fleetcast
            .done(&["get", "DEPLOYMENT.apps/shop/web"])
            .out
            .contains("us-1")
    );
    assert!(fleetcast.done(&["cluster", "list"]).out.contains("eu-2"));
    let explained = fleetcast
        .done(&["explain", "deployment/shop/web", "--cluster", "us-1"])
        .out;
    assert!(
        explained.contains("spec.overrides[0] applies") && explained.contains("no broken link"),
        "{explained}"
    );

    // Killed, NATS server included at the next start, and started again: it goes on where it stood.
    up.kill();
    let up = fleetcast.up();
    let shop = std::fs::read_to_string(directory.path().join("examples/shop.yaml")).expect("read");
    std::fs::write(
        directory.path().join("next.yaml"),
        shop.replace("nginx:1.28", "nginx:1.29"),
    )
    .expect("written");
    let applied = fleetcast
        .done(&["apply", "-f", "next.yaml", "--wait", "-o", "json"])
        .json_lines();
    let revisions: Vec<(&str, u64)> = applied
        .iter()
        .map(|line| {
            (
                text(line, "/object"),
                line["revision"].as_u64().unwrap_or(0),
            )
        })
        .collect();
    assert!(
        revisions.contains(&("Deployment.apps/shop/web", 2)),
        "{revisions:?}"
    );
    assert!(
        revisions.contains(&("Namespace/shop", 1)),
        "what did not change is no change: {revisions:?}"
    );

    let removed = fleetcast.done(&["delete", "service/shop/web", "--wait"]);
    assert!(
        removed.out.contains("withdrawn in revision 2"),
        "{removed:?}"
    );
    let gone = fleetcast.done(&["get", "-o", "json"]).json();
    assert_eq!(gone["objects"].as_array().map(Vec::len), Some(4), "{gone}");
    drop(up);

    let silent = fleetcast.run(&["get"]);
    assert_eq!(silent.status, 3, "{silent:?}");
    assert!(
        silent.err.contains("fleetcast up"),
        "it says what to do: {silent:?}"
    );
}

#[test]
fn the_events_tell_the_whole_story_with_ids_that_link_them() {
    let Some(server) = nats_server("the_events_tell_the_whole_story_with_ids_that_link_them")
    else {
        return;
    };
    let directory = workspace();
    let fleetcast = Binary::new(directory.path(), server);
    let _up = fleetcast.up();
    fleetcast.done(&["apply", "-f", "examples/shop.yaml", "--wait"]);
    let shop = std::fs::read_to_string(directory.path().join("examples/shop.yaml")).expect("read");
    std::fs::write(
        directory.path().join("next.yaml"),
        shop.replace("nginx:1.28", "nginx:1.29"),
    )
    .expect("written");
    fleetcast.done(&["apply", "-f", "next.yaml", "--wait"]);

    let events = fleetcast.done(&["events", "-o", "json"]).json_lines();
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
    let ids = |kind| {
        of(kind)
            .map(|event| text(event, "/id").to_owned())
            .collect::<BTreeSet<_>>()
    };
    let (changes, decisions, works) = (ids("change"), ids("decision"), ids("work"));
    assert_eq!(
        (changes.len(), decisions.len(), works.len()),
        (6, 6, 18),
        "{events:#?}"
    );
    assert_eq!(of("acknowledgement").count(), 18);
    for decision in of("decision") {
        assert!(
            changes.contains(text(decision, "/correlation")),
            "{decision}"
        );
    }
    for work in of("work") {
        assert!(
            decisions.contains(text(work, "/causation"))
                && changes.contains(text(work, "/correlation")),
            "{work}"
        );
    }
    for ack in of("acknowledgement") {
        assert!(works.contains(text(ack, "/causation")), "{ack}");
    }
    let superseded = of("work").filter(|work| work["sequence"].is_null()).count();
    assert_eq!(
        superseded, 3,
        "the Deployment's first revision is in no cluster's work any more"
    );

    let from = fleetcast
        .done(&[
            "events",
            "--from",
            "10",
            "-o",
            "json",
            "--object",
            "deployment/shop/web",
        ])
        .json_lines();
    assert!(
        !from.is_empty()
            && from
                .iter()
                .all(|event| event["object"] == "Deployment.apps/shop/web")
    );
}

#[test]
fn bad_input_gets_an_answer_that_names_document_field_and_reason() {
    let Some(server) = nats_server("bad_input_gets_an_answer_that_names_document_field_and_reason")
    else {
        return;
    };
    let directory = workspace();
    let fleetcast = Binary::new(directory.path(), server);
    let _up = fleetcast.up();
    let federated = |name: &str, more: &str| {
        format!(
            "apiVersion: fleetcast.dev/v1alpha1\nkind: FederatedObject\nmetadata: {{name: {name}}}\nspec:\n  placement: {{clusters: [eu-1]}}\n{more}\n"
        )
    };
    let good = federated("good", "  template: {apiVersion: v1, kind: ConfigMap}");
    let table = [
        ("not YAML", "a: [".to_owned(), "document 1: is no YAML"),
        (
            "twice the same",
            federated(
                "good",
                "  template: {apiVersion: v1, kind: ConfigMap, data: {a: b}}",
            ),
            "document 1: metadata.name: configmap/default/good is declared already by bad.yaml document 0",
        ),
        (
            "no kind",
            federated("bad", "  template: {apiVersion: v1}"),
            "document 1: spec.template.kind: is required",
        ),
        (
            "an override path that does not exist",
            federated(
                "bad",
                "  template: {apiVersion: v1, kind: ConfigMap}\n  overrides: [{patches: [{op: replace, path: /data/x, value: y}]}]",
            ),
            "refused for eu-1 Refused: spec.overrides[0].patches[0].path: /data/x",
        ),
        (
            "20 MiB",
            format!("text: {}", "x".repeat(20 << 20)),
            "document 1: is 20.0 MiB long",
        ),
        (
            "a policy that selects nothing",
            "apiVersion: policy.karmada.io/v1alpha1\nkind: PropagationPolicy\nmetadata: {name: a}\nspec: {resourceSelectors: []}".to_owned(),
            "document 1: spec.resourceSelectors: must select at least one kind",
        ),
    ];
    for (what, bad, expected) in table {
        std::fs::write(
            directory.path().join("bad.yaml"),
            format!("{good}---\n{bad}"),
        )
        .expect("written");
        let output = fleetcast.run(&["apply", "-f", "bad.yaml"]);
        assert_eq!(output.status, 1, "{what}: {output:?}");
        assert!(output.out.contains(expected), "{what}: {output:?}");
        assert!(
            output.out.contains("configmap/default/good accepted"),
            "nothing else stops: {what}: {output:?}"
        );
    }

    std::fs::write(directory.path().join("good.yaml"), &good).expect("written");
    let unknown = fleetcast.run(&["apply", "-f", "good.yaml", "--clusters", "mars"]);
    assert_eq!(unknown.status, 1, "{unknown:?}");
    assert!(
        unknown
            .err
            .contains("mars is not registered; known are eu-1, eu-2, us-1"),
        "{unknown:?}"
    );

    std::fs::write(
        directory.path().join("later.yaml"),
        good.replace("[eu-1]", "[eu-1, mars]"),
    )
    .expect("written");
    let waits = fleetcast.done(&["apply", "-f", "later.yaml"]);
    assert!(
        waits.out.contains("not on mars Unknown"),
        "in a placement it is accepted and waits: {waits:?}"
    );
    fleetcast.done(&["cluster", "register", "mars"]);
    let placed = fleetcast
        .done(&["explain", "configmap/default/good", "--cluster", "mars"])
        .out;
    assert!(placed.contains("named in placement.clusters"), "{placed}");

    for (args, status) in [
        (&["get", "nothing"][..], 2),
        (&["get", "deployment/shop/none"], 1),
        (&["frobnicate"], 2),
        (&["events", "--from", "yesterday"], 2),
        (&["apply", "-f", "absent.yaml"], 1),
    ] {
        let output = fleetcast.run(args);
        assert_eq!(output.status, status, "{args:?}: {output:?}");
    }
}
