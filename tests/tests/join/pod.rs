//! What a kubelet would do with the Deployment of an agent: the control plane of these tests has none.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fleetcast_tests::harness::control_plane::rights;
use fleetcast_tests::harness::{Binary, ControlPlane, Up};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use serde_json::{Value, json};

/// Where an agent runs that nobody puts elsewhere.
pub(crate) const NAMESPACE: &str = "fleetcast-system";

/// A pod of the Deployment, run outside of the cluster with the token of its service account and nothing else.
pub(crate) struct Pod {
    /// The folder with its volumes.
    folder: PathBuf,
    /// Its kubeconfig.
    pub(crate) kubeconfig: PathBuf,
    container: Value,
    /// Where it answers probes: other pods are on the same machine here.
    health: SocketAddr,
    _agent: Up,
}

impl Pod {
    /// Starts one from what stands in the cluster, as `fleetcast` is applied there.
    pub(crate) async fn start(fleetcast: &Binary, plane: &ControlPlane, name: &str) -> Self {
        Self::start_in(fleetcast, plane, NAMESPACE, name).await
    }

    /// The same in another namespace.
    pub(crate) async fn start_in(
        fleetcast: &Binary,
        plane: &ControlPlane,
        namespace: &str,
        name: &str,
    ) -> Self {
        let admin = plane.client().await;
        let deployment = get_deployment(&admin, namespace).await;
        let pod = &deployment["spec"]["template"]["spec"];
        let container = pod["containers"][0].clone();
        let folder = fleetcast.directory.join(name);
        let account = pod["serviceAccountName"].as_str().expect("an account");
        let token = rights::token(&admin, namespace, account, None).await;
        std::fs::create_dir_all(&folder).expect("a folder");
        let kubeconfig = folder.join("kubeconfig");
        let text = plane.kubeconfig_of(&format!("token: {token}"));
        std::fs::write(&kubeconfig, text).expect("written");
        for volume in pod["volumes"].as_array().expect("volumes") {
            let at = folder.join(volume["name"].as_str().expect("a name"));
            std::fs::create_dir_all(&at).expect("a folder");
            if let Some(secret) = volume["secret"]["secretName"].as_str() {
                mount(&admin, namespace, secret, &at).await;
            }
        }
        let mut env: Vec<(String, String)> = Vec::new();
        for variable in container["env"].as_array().expect("variables") {
            let of = |key: &str| variable[key].as_str().map(str::to_owned);
            let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
                None => of("value").expect("a value"),
                Some("metadata.name") => name.to_owned(),
                Some("metadata.namespace") => namespace.to_owned(),
                Some(other) => panic!("{other} is none of what this kubelet knows"),
            };
            env.push((
                of("name").expect("a name"),
                moved(&container, &folder, &value),
            ));
        }
        let health = free_address();
        for (variable, value) in &mut env {
            if variable == "FLEETCAST_HEALTH" {
                *value = health.to_string();
            }
        }
        let mut args: Vec<&str> = container["args"]
            .as_array()
            .expect("arguments")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let path = kubeconfig.display().to_string();
        // In the cluster it would find its service account's token by itself.
        args.extend(["--kubeconfig", &path]);
        let agent = fleetcast.start_with(name, &args, &env);
        Self {
            folder,
            kubeconfig,
            container,
            health,
            _agent: agent,
        }
    }

    /// What a kubelet does within a minute of a change: the Secret as it is now where it is mounted.
    pub(crate) async fn mount_again(
        &self,
        admin: &Client,
        namespace: &str,
        secret: &str,
        volume: &str,
    ) {
        mount(admin, namespace, secret, &self.folder.join(volume)).await;
    }

    /// Asks as the kubelet would: whether a probe says yes.
    pub(crate) fn probe(&self, which: &str) -> bool {
        let path = self.container[which]["httpGet"]["path"].as_str();
        let Ok(mut stream) = TcpStream::connect(self.health) else {
            return false;
        };
        let ask = format!(
            "GET {} HTTP/1.0\r\nHost: {}\r\n\r\n",
            path.expect("a path"),
            self.health
        );
        let mut answer = String::new();
        let told = stream.write_all(ask.as_bytes());
        told.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
    }

    /// What it logged.
    pub(crate) fn log(&self, fleetcast: &Binary) -> String {
        let name = self.folder.file_name().expect("a name").to_string_lossy();
        let path = fleetcast.directory.join(format!("{name}.log"));
        std::fs::read_to_string(path).expect("a log")
    }

    /// A client with its rights.
    pub(crate) async fn client(&self) -> Client {
        let source = fleetcast_kubernetes::credentials::Source {
            kubeconfig: Some(self.kubeconfig.clone()),
            context: None,
        };
        let client = fleetcast_kubernetes::credentials::client(source).await;
        client.expect("a client")
    }
}

/// An address on this machine that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

/// The agent's Deployment.
pub(crate) async fn get_deployment(admin: &Client, namespace: &str) -> Value {
    let api: Api<Deployment> = Api::namespaced(admin.clone(), namespace);
    let found = api.get("fleetcast-agent").await.expect("it was applied");
    json!(found)
}

/// The credentials that stand in their Secret.
pub(crate) async fn credentials(admin: &Client) -> String {
    secret(admin, NAMESPACE, "fleetcast-agent")
        .await
        .remove("creds")
        .expect("credentials")
}

/// What a Secret holds.
pub(crate) async fn secret(
    admin: &Client,
    namespace: &str,
    name: &str,
) -> BTreeMap<String, String> {
    let api: Api<Secret> = Api::namespaced(admin.clone(), namespace);
    let found = api.get(name).await.expect("it was applied").data;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    let data = found.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key, text(value.0))).collect()
}

async fn mount(admin: &Client, namespace: &str, name: &str, at: &Path) {
    for (key, text) in secret(admin, namespace, name).await {
        let file = at.join(key);
        let _ = std::fs::remove_file(&file);
        std::fs::write(&file, text).expect("written");
        let mode = std::fs::Permissions::from_mode(0o440);
        std::fs::set_permissions(&file, mode).expect("set");
    }
}

/// A path of the container where its volumes are here.
fn moved(container: &Value, folder: &Path, value: &str) -> String {
    for mount in container["volumeMounts"].as_array().expect("mounts") {
        let path = mount["mountPath"].as_str().expect("a path");
        if let Some(rest) = value.strip_prefix(path) {
            let volume = mount["name"].as_str().expect("a name");
            return format!("{}{rest}", folder.join(volume).display());
        }
    }
    value.to_owned()
}
