//! NATS servers that let nobody in without a certificate: a joined cluster's agent has one, from its manifest, and gets the next one without a restart.

use fleetcast_auth::certificates::Certificates;
use fleetcast_bus::tls::{ServerTls, Tls};
use fleetcast_bus::{Bus, Connect, Credentials};
use fleetcast_tests::harness::{
    Bed, Binary, Output, control_planes, eventually, nats_server, unix_seconds,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;

use super::kubeconfig::holds;
use super::pod::{self, Pod};

const DAY_S: u64 = 24 * 60 * 60;
const WEB: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: default}\ndata: {text: x}\n";
const OTHER: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other, namespace: default}\ndata: {text: x}\n";
/// A namespace of the cluster's own choice.
const EDGE: &str = "edge-agents";

#[tokio::test(flavor = "multi_thread")]
async fn where_the_bus_asks_for_a_certificate_a_cluster_joins_with_one() {
    let test = "where_the_bus_asks_for_a_certificate_a_cluster_joins_with_one";
    let (Some(server), Some(planes)) = (nats_server(test), control_planes(test, 1).await) else {
        return;
    };
    let (plane, folder) = (&planes[0], tempfile::tempdir().expect("a folder"));
    let admin = plane.client().await;
    let fleetcast = Binary::new(folder.path(), server.clone());

    // The bus: it lets nobody in without a certificate, the person at the keyboard included, who has one.
    let certificates = folder.path().join("authority");
    let tls = {
        let mut authority = Certificates::init(&certificates, unix_seconds()).expect("made");
        let mut issue = |name: &str, hosts: &[String]| {
            let issued = authority.issue(name, hosts, DAY_S, unix_seconds());
            issued.expect("issued");
        };
        issue("nats", &["127.0.0.1".to_owned()]);
        issue("me", &[]);
        Certificates::init(&folder.path().join("elsewhere"), unix_seconds()).expect("made");
        Tls {
            ca: Some(authority.authority()),
            cert: Some(authority.certificate("me")),
            key: Some(authority.key("me")),
        }
    };
    let servers = ServerTls {
        cert: certificates.join("nats.crt"),
        key: certificates.join("nats.key"),
        client_ca: tls.ca.clone(),
    };
    let bed = Bed::with_tls(server, servers, tls.clone());
    let _ingest = bed.ingest("a");
    let _aggregator = bed.aggregator();
    let bus = bed.bus().await;
    let Credentials::File(creds) = bed.connect.credentials.clone() else {
        panic!("the operator's credentials are a file");
    };
    let operator = bed.directory.path().join("auth");
    let text = |path: &std::path::Path| path.display().to_string();
    let [ca, cert, key] = [tls.ca, tls.cert, tls.key].map(|path| text(&path.expect("named")));
    let (creds, operator) = (text(&creds), text(&operator));
    let run = |words: &[&str]| -> Output {
        let at = ["--nats", &bed.connect.url, "--creds", &creds];
        let with = ["--tls-ca", &ca, "--tls-cert", &cert, "--tls-key", &key];
        tokio::task::block_in_place(|| fleetcast.run(&[words, &at, &with].concat()))
    };
    let done = |words: &[&str]| {
        let ended = run(words);
        assert_eq!(ended.status, 0, "{words:?}: {ended:?}");
        ended
    };
    let clusters = || {
        let list = run(&["cluster", "list", "-o", "json"]);
        (list.status == 0).then(|| list.json()["clusters"].clone())
    };
    eventually("the view answers", async || clusters().is_some()).await;

    // Nobody to issue one, or another bus's authority: nothing has happened then.
    let kubeconfig = text(&plane.kubeconfig());
    let join = [
        "cluster",
        "join",
        "eu-1",
        "--kubeconfig",
        &kubeconfig,
        "--namespace",
        EDGE,
        "--dir",
        &operator,
    ];
    let nobody = run(&join);
    assert_eq!(nobody.status, 1, "{nobody:?}");
    assert!(
        nobody.err.contains("let nobody in without a certificate")
            && nobody.err.contains("--tls-dir"),
        "{nobody:?}"
    );
    let foreign = run(&[&join[..], &["--tls-dir", "elsewhere"]].concat());
    assert_eq!(foreign.status, 1, "{foreign:?}");
    assert!(
        foreign.err.contains("refuses our certificate"),
        "{foreign:?}"
    );
    assert_eq!(
        clusters(),
        Some(serde_json::json!([])),
        "nothing is registered"
    );

    // One command: the certificate is issued, and stands in the cluster's Secret and nowhere else.
    let joined = done(&[&join[..], &["--tls-dir", "authority"]].concat());
    assert!(
        joined.out.contains("secret/fleetcast-agent-tls applied"),
        "{joined:?}"
    );
    assert!(joined.err.contains("--only-certificate"), "{joined:?}");
    let first = pod::secret(&admin, EDGE, "fleetcast-agent-tls").await;
    assert!(!certificates.join("agent-eu-1.key").exists());
    for place in [folder.path(), bed.directory.path()] {
        assert!(
            !holds(place, first["tls.key"].as_bytes()),
            "{}",
            place.display()
        );
    }
    let agent = Pod::start_in(&fleetcast, plane, EDGE, "agent").await;
    let ready = || clusters().is_some_and(|all| all[0]["readiness"] == "ready");
    eventually("eu-1 is ready", async || ready()).await;
    std::fs::write(folder.path().join("web.yaml"), WEB).expect("written");
    done(&["apply", "-f", "web.yaml", "--clusters", "eu-1", "--wait"]);
    // What is its own is where it runs.
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let usual = namespaces.get_opt(pod::NAMESPACE).await.expect("answered");
    assert!(usual.is_none(), "nothing of ours is anywhere else");

    // Its credentials alone let nobody in.
    let stolen = folder.path().join("stolen.creds");
    let held = pod::secret(&admin, EDGE, "fleetcast-agent").await;
    std::fs::write(&stolen, &held["creds"]).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&stolen, mode).expect("set");
    let without = Connect {
        credentials: Credentials::File(stolen),
        tls: Tls {
            ca: bed.connect.tls.ca.clone(),
            ..Tls::default()
        },
        ..bed.connect.clone()
    };
    let refused = Bus::connect(&without).await.err().expect("refused");
    assert!(
        refused.to_string().contains("asks for a certificate"),
        "{refused}"
    );

    // Renewed: another certificate and another key in its Secret, and nothing else. The agent takes them as they are mounted.
    let renew = [&join[..], &["--tls-dir", "authority", "--only-certificate"]].concat();
    let renewed = done(&renew);
    assert_eq!(renewed.out, "secret/fleetcast-agent-tls applied\n");
    let second = pod::secret(&admin, EDGE, "fleetcast-agent-tls").await;
    assert_eq!(first["ca.crt"], second["ca.crt"]);
    for file in ["tls.crt", "tls.key"] {
        assert_ne!(first[file], second[file], "{file}");
    }
    let now = pod::secret(&admin, EDGE, "fleetcast-agent").await;
    assert_eq!(held, now, "its credentials are as they were");
    agent
        .mount_again(&admin, EDGE, "fleetcast-agent-tls", "tls")
        .await;
    eventually("it connects anew", async || {
        agent
            .log(&fleetcast)
            .contains("the files of TLS have changed: connecting anew")
    })
    .await;
    std::fs::write(folder.path().join("other.yaml"), OTHER).expect("written");
    done(&["apply", "-f", "other.yaml", "--clusters", "eu-1", "--wait"]);
    drop(bus);

    // A certificate of another kind, as a company's own authority issues them: it is named.
    let named = [
        "--agent-tls-cert",
        "authority/me.crt",
        "--agent-tls-key",
        "authority/me.key",
        "--only-certificate",
        "-o",
        "json",
    ];
    let print = ["cluster", "join", "eu-1", "--dir", &operator];
    let printed = done(&[&print[..], &named].concat()).json();
    let mine = std::fs::read_to_string(certificates.join("me.crt")).expect("there");
    assert_eq!(printed["items"][0]["stringData"]["tls.crt"], mine.as_str());
    assert_eq!(printed["items"].as_array().map(Vec::len), Some(1));
}
