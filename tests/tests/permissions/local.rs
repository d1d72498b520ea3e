//! `fleetcast up --auth`: a fleet on this machine with an operator of its own.

use fleetcast_tests::harness::{Binary, held_at, nats_server};

const WORKSPACE: &str = "[[cluster]]\nname = \"eu\"\nsimulated = true\n\n[[cluster]]\nname = \"us\"\nsimulated = true\n";
const CONFIG_MAP: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: default}\ndata: {text: x}\n";

#[test]
fn a_local_fleet_runs_with_credentials_and_lets_nobody_in_without() {
    let Some(server) =
        nats_server("a_local_fleet_runs_with_credentials_and_lets_nobody_in_without")
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("workspace.toml"), WORKSPACE).expect("written");
    std::fs::write(folder.path().join("web.yaml"), CONFIG_MAP).expect("written");
    let fleetcast_server = server.clone();
    let fleetcast = Binary::new(folder.path(), server);
    let up = fleetcast.up();
    let apply = ["apply", "-f", "web.yaml", "--clusters", "eu,us", "--wait"];
    fleetcast.done(&apply);
    for cluster in ["eu", "us"] {
        assert!(
            held_at(
                folder.path(),
                cluster,
                "/api/v1/namespaces/default/configmaps/web"
            )
            .is_some()
        );
    }
    let said = fleetcast.done(&["events", "-o", "json"]);
    assert!(
        said.out.contains("ConfigMap/default/web"),
        "the operator reads the log"
    );
    let fleet: serde_json::Value = serde_json::from_slice(
        &std::fs::read(folder.path().join(".run/fleet.json")).expect("read"),
    )
    .expect("JSON");
    let url = fleet["nats"].as_str().expect("a URL");
    assert!(url.starts_with("tls://127.0.0.1:"), "{fleet}");
    let ca = fleet["tls_ca"].as_str().expect("a path");
    let elsewhere = Binary::new(&std::env::temp_dir(), fleetcast_server);
    let creds = fleet["creds"].as_str().expect("a path");
    let look = ["get", "--nats", url, "--creds", creds];
    let unknown = elsewhere.run(&look);
    assert!(unknown.err.contains("--tls-ca FILE"), "{unknown:?}");
    elsewhere.done(&[&look[..], &["--tls-ca", ca]].concat());
    let without = fleetcast.run(&["get", "--nats", url]);
    assert_ne!(
        without.status, 0,
        "nobody gets in without credentials: {without:?}"
    );

    // What is typed in its folder issues and revokes while it runs.
    let dir = ["--dir", ".run/up/auth"];
    fleetcast.done(
        &[
            &["auth", "issue", "reader", "kim", "--out", "kim.creds"][..],
            &dir,
        ]
        .concat(),
    );
    let look = ["get", "--nats", url, "--creds", "kim.creds"];
    assert!(fleetcast.done(&look).out.contains("web"));
    let change = [&apply[..5], &["--nats", url, "--creds", "kim.creds"]].concat();
    assert_ne!(
        fleetcast.run(&change).status,
        0,
        "a reader hands nothing in"
    );
    fleetcast.done(&[&["auth", "revoke", "kim"][..], &dir].concat());
    assert_ne!(fleetcast.run(&look).status, 0, "kim is out");
    let issue = [
        "auth",
        "issue",
        "publisher",
        "ci",
        "--namespaces",
        "default",
        "--kinds",
        "ConfigMap",
        "--out",
        "ci.creds",
    ];
    fleetcast.done(&[&issue[..], &dir].concat());
    fleetcast.done(&[&apply[..], &["--nats", url, "--creds", "ci.creds"]].concat());

    // Started again without the word it goes on as it was.
    drop(up);
    let _up = fleetcast.up_with(&[]);
    assert!(fleetcast.done(&["get"]).out.contains("web"));
}
