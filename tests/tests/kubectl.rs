//! A stock `kubectl` against a simulated cluster over HTTP, as a person looks at what landed; skipped where there is none on the PATH.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use fleetcast_simulator::Cluster;
use fleetcast_tests::harness::{self, Binary};
use tempfile::TempDir;

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:1"}]}
"#;
const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  names: {kind: Widget, plural: widgets, singular: widget, shortNames: [wd]}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

/// A `kubectl` that has its kubeconfig, and its cache, in a directory of its own.
struct Kubectl {
    home: TempDir,
}

/// What a command said.
struct Said {
    ok: bool,
    out: String,
    err: String,
}

impl Kubectl {
    fn new(kubeconfig: &str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join("kubeconfig"), kubeconfig).expect("written");
        Self { home }
    }

    fn run(&self, words: &[&str], input: &str) -> Said {
        let mut child = Command::new("kubectl")
            .args(words)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().expect("kubectl ends");
        Said {
            ok: status.success(),
            out: String::from_utf8_lossy(&stdout).into_owned(),
            err: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// Runs a command that must succeed: what it printed.
    fn does(&self, words: &[&str], input: &str) -> String {
        let Said { ok, out, err } = self.run(words, input);
        assert!(ok, "kubectl {words:?}: {err}{out}");
        out
    }

    /// Runs a command that must fail: what it said.
    fn fails(&self, words: &[&str], input: &str) -> String {
        let Said { ok, out, err } = self.run(words, input);
        assert!(!ok, "kubectl {words:?} should fail: {out}");
        err
    }
}

/// Whether there is a kubectl, and says so where not.
fn is_there(test: &str) -> bool {
    let found = Command::new("kubectl")
        .args(["version", "--client"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        harness::skip(test, "there is no kubectl on the PATH");
    }
    found
}

/// Lists, describes, applies on both sides, creates and deletes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_works_on_a_simulated_cluster() {
    if !is_there("kubectl_works_on_a_simulated_cluster") {
        return;
    }
    let cluster = Cluster::new("eu-1");
    let address = "127.0.0.1:0".parse().expect("an address");
    let server = cluster.serve_http(address).expect("it listens");
    let kubectl = Kubectl::new(&server.kubeconfig());
    tokio::task::spawn_blocking(move || {
        creates_and_lists(&kubectl);
        applies(&kubectl);
        uses_custom_kinds(&kubectl);
        deletes(&kubectl);
        creates_by_itself(&kubectl);
    })
    .await
    .expect("the steps hold");
}

fn creates_and_lists(kubectl: &Kubectl) {
    let namespace = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}"#;
    assert_eq!(
        kubectl.does(&["create", "-f", "-"], namespace),
        "namespace/shop created\n"
    );
    let again = kubectl.fails(&["create", "-f", "-"], namespace);
    assert!(again.contains("(AlreadyExists)"), "{again}");
    let listed = kubectl.does(&["get", "namespaces", "-o", "name"], "");
    assert!(listed.contains("namespace/shop\n"), "{listed}");
    let resources = kubectl.does(&["api-resources", "--no-headers"], "");
    assert!(
        resources.contains("deployments") && resources.contains("apps/v1"),
        "{resources}"
    );
}

fn applies(kubectl: &Kubectl) {
    let apply = ["apply", "-f", "-"];
    assert_eq!(
        kubectl.does(&apply, DEPLOYMENT),
        "deployment.apps/web created\n"
    );
    assert_eq!(
        kubectl.does(&apply, DEPLOYMENT),
        "deployment.apps/web unchanged\n"
    );
    let scaled = DEPLOYMENT.replace("replicas: 2", "replicas: 5");
    assert_eq!(
        kubectl.does(&apply, &scaled),
        "deployment.apps/web configured\n"
    );
    let listed = kubectl.does(&["get", "deployments", "-A"], "");
    let mut lines = listed.lines();
    let heading = lines.next().unwrap_or_default();
    let columns: Vec<&str> = heading.split_whitespace().collect();
    assert_eq!(
        columns,
        [
            "NAMESPACE",
            "NAME",
            "READY",
            "UP-TO-DATE",
            "AVAILABLE",
            "AGE"
        ]
    );
    let row: Vec<&str> = lines
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    assert_eq!(row[..3], ["shop", "web", "0/5"]);
    let described = kubectl.does(&["describe", "deployment", "web", "-n", "shop"], "");
    assert!(
        described.contains("web:1") && described.contains("5 desired"),
        "{described}"
    );

    let server_side = [
        "apply",
        "--server-side",
        "--field-manager=person",
        "-f",
        "-",
    ];
    let conflict = kubectl.fails(&server_side, DEPLOYMENT);
    assert!(
        conflict.contains("conflict with \"kubectl-client-side-apply\"")
            && conflict.contains(".spec.replicas"),
        "{conflict}"
    );
    let forced = [&server_side[..], &["--force-conflicts"]].concat();
    assert_eq!(
        kubectl.does(&forced, DEPLOYMENT),
        "deployment.apps/web serverside-applied\n"
    );
    let replicas = [
        "get",
        "deployment",
        "web",
        "-n",
        "shop",
        "-o",
        "jsonpath={.spec.replicas}",
    ];
    assert_eq!(kubectl.does(&replicas, ""), "2");
    let patch = [
        "patch",
        "deployment",
        "web",
        "-n",
        "shop",
        "-p",
        r#"{"spec": {"replicas": 3}}"#,
    ];
    assert_eq!(kubectl.does(&patch, ""), "deployment.apps/web patched\n");
    assert_eq!(kubectl.does(&replicas, ""), "3");
    kubectl.does(
        &["label", "deployment", "web", "-n", "shop", "tier=prod"],
        "",
    );
    let selected = [
        "get",
        "deployments",
        "-n",
        "shop",
        "-l",
        "tier=prod",
        "-o",
        "name",
    ];
    assert_eq!(kubectl.does(&selected, ""), "deployment.apps/web\n");
}

fn uses_custom_kinds(kubectl: &Kubectl) {
    kubectl.does(&["apply", "-f", "-"], CRD);
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: shop}\nspec: {size: 3}";
    assert_eq!(
        kubectl.does(&["apply", "-f", "-"], widget),
        "widget.example.com/w created\n"
    );
    let size = [
        "get",
        "wd",
        "w",
        "-n",
        "shop",
        "-o",
        "jsonpath={.spec.size}",
    ];
    assert_eq!(kubectl.does(&size, ""), "3");
}

fn deletes(kubectl: &Kubectl) {
    assert_eq!(
        kubectl.does(&["delete", "deployment", "web", "-n", "shop"], ""),
        "deployment.apps \"web\" deleted\n"
    );
    let gone = kubectl.fails(&["get", "deployment", "web", "-n", "shop"], "");
    assert!(gone.contains("(NotFound)"), "{gone}");
    let nothing = kubectl.does(
        &[
            "delete",
            "deployment",
            "web",
            "-n",
            "shop",
            "--ignore-not-found",
        ],
        "",
    );
    assert_eq!(nothing, "");
    assert_eq!(
        kubectl.does(&["delete", "namespace", "shop", "--timeout=20s"], ""),
        "namespace \"shop\" deleted\n"
    );
    let left = kubectl.does(&["get", "widgets", "-A", "-o", "name"], "");
    assert_eq!(left, "", "a namespace goes with what is in it");
}

/// Commands that build the object themselves send protobuf since kubectl 1.32: it is read for the kinds that they make. What is not read is refused with
/// what to do instead.
fn creates_by_itself(kubectl: &Kubectl) {
    for (words, object) in [
        (&["create", "namespace", "other"][..], "namespace/other"),
        (
            &["create", "configmap", "settings", "--from-literal=a=b"],
            "configmap/settings",
        ),
        (
            &["create", "secret", "generic", "key", "--from-literal=a=b"],
            "secret/key",
        ),
        (
            &["create", "serviceaccount", "robot"],
            "serviceaccount/robot",
        ),
        (
            &["create", "quota", "few", "--hard=pods=1"],
            "resourcequota/few",
        ),
        (
            &["create", "deployment", "one", "--image=web:1", "--port=80"],
            "deployment.apps/one",
        ),
    ] {
        let said = kubectl.does(&[words, &["-n", "default"]].concat(), "");
        assert_eq!(said, format!("{object} created\n"));
        let name = kubectl.does(&["get", object, "-n", "default", "-o", "name"], "");
        assert_eq!(name, format!("{object}\n"));
    }
    let value = [
        "get",
        "secret",
        "key",
        "-n",
        "default",
        "-o",
        "jsonpath={.data.a}",
    ];
    assert_eq!(kubectl.does(&value, ""), "Yg==");
    let image = "jsonpath={.spec.template.spec.containers[0].image} {.spec.template.spec.containers[0].ports[0].containerPort}";
    let image = ["get", "deployment", "one", "-n", "default", "-o", image];
    assert_eq!(kubectl.does(&image, ""), "web:1 80");
    let binding = [
        "create",
        "rolebinding",
        "b",
        "--role=r",
        "--user=u",
        "-n",
        "default",
    ];
    let Said { ok, out: _, err } = kubectl.run(&binding, "");
    assert!(ok || err.contains("application/json"), "{err}");
}

/// The binary under kubectl's names for plugins: its commands, its help, its completions, each through kubectl.
#[test]
fn the_binary_is_a_plugin_of_kubectl() {
    if !is_there("the_binary_is_a_plugin_of_kubectl") {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    for name in ["kubectl-fleetcast", "kubectl_complete-fleetcast"] {
        std::os::unix::fs::symlink(Binary::path(), home.path().join(name)).expect("linked");
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = [home.path().to_owned()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).expect("no colon in it");
    let says = |words: &[&str]| {
        let mut kubectl = Command::new("kubectl");
        let kubectl = kubectl.args(words).env("PATH", &path);
        let output = kubectl.env("HOME", home.path()).output();
        let output = output.expect("kubectl starts");
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };

    let help = says(&["fleetcast", "get", "--help"]);
    assert!(help.contains("Usage: kubectl fleetcast get"), "{help}");
    let schemas = says(&["fleetcast", "schema", "events"]);
    assert!(schemas.contains("change.v1"), "{schemas}");
    let completed = says(&["__complete", "fleetcast", "cluster", "cor"]);
    assert!(completed.starts_with("cordon\t"), "{completed}");
    assert!(!completed.contains("uncordon"), "{completed}");
}

/// The plugin's manifest, filled in as a release does it.
#[test]
fn the_manifest_for_krew_names_the_binary_and_what_is_packed() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let template = std::fs::read_to_string(root.join(".krew.yaml")).expect("it is there");
    let filled: String = template
        .lines()
        .map(|line| match line.split_once("{{addURIAndSha ") {
            Some((indent, address)) => {
                let address = address.split('"').nth(1).expect("an address");
                format!(
                    "{indent}uri: {address}\n{indent}sha256: {}\n",
                    "0".repeat(64)
                )
            }
            None => format!("{line}\n"),
        })
        .collect::<String>()
        .replace("{{ .TagName }}", "v0.1.0");
    let (_, manifest) = fleetcast_ingest::documents::read(&filled).remove(0);
    let manifest = manifest.expect("YAML");
    assert_eq!(manifest["metadata"]["name"], "fleetcast");
    assert_eq!(manifest["spec"]["version"], "v0.1.0");
    let short = manifest["spec"]["shortDescription"].as_str();
    assert!(short.is_some_and(|text| !text.is_empty() && text.len() <= 50));
    for platform in manifest["spec"]["platforms"].as_array().expect("platforms") {
        let packed = platform["files"].as_array().expect("files");
        assert!(packed.iter().any(|file| file["to"] == platform["bin"]));
        let address = platform["uri"].as_str().expect("an address");
        assert!(address.ends_with(".tar.gz") && address.contains("/v0.1.0/"));
    }
}
