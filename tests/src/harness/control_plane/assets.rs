//! What a control plane is run from: our one binary, or `kube-apiserver` and `etcd` from `KUBEBUILDER_ASSETS`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use uuid::Uuid;

use super::{client_of, free_port, spawn};

/// The administrator's token; whoever reaches the loopback address of a test and reads its folder may have it.
const TOKEN: &str = "admin-of-a-test";

/// Where the programs are.
#[derive(Debug, Clone)]
pub(super) enum Source {
    /// Everything in one process.
    Binary {
        /// The program.
        path: PathBuf,
        /// Whether the controllers run, too.
        controllers: bool,
    },
    /// A folder with `kube-apiserver` and `etcd`.
    Assets(PathBuf),
}

impl Source {
    /// What the environment names, or why nothing can be run.
    pub(super) fn of_environment() -> Result<Self, &'static str> {
        let named = |variable| std::env::var_os(variable).map(PathBuf::from);
        match named("FLEETCAST_CONTROL_PLANE") {
            Some(none) if none.as_os_str() == "none" => {
                return Err("FLEETCAST_CONTROL_PLANE is `none`");
            }
            Some(binary) if binary.is_file() => {
                return Ok(Self::Binary {
                    path: binary,
                    controllers: true,
                });
            }
            _ => {}
        }
        let has = |folder: &Path, program: &str| folder.join(program).is_file();
        named("KUBEBUILDER_ASSETS")
            .filter(|folder| has(folder, "kube-apiserver") && has(folder, "etcd"))
            .map(Self::Assets)
            .ok_or(
                "there is no API server: neither FLEETCAST_CONTROL_PLANE nor KUBEBUILDER_ASSETS is set \
                 (`cargo xtask test` builds one where Go 1.26 is)",
            )
    }

    /// Whether the controllers run.
    pub(super) fn has_controllers(&self) -> bool {
        matches!(
            self,
            Self::Binary {
                controllers: true,
                ..
            }
        )
    }

    /// The same without the controllers.
    pub(super) fn bare(self) -> Self {
        match self {
            Self::Binary { path, .. } => Self::Binary {
                path,
                controllers: false,
            },
            Self::Assets(_) => self,
        }
    }

    /// Starts the processes, with everything that they keep in `folder`; when our end of their input closes, they end and remove it.
    pub(super) fn start(&self, folder: &Path, port: u16) -> Vec<Child> {
        match self {
            Self::Binary { path, controllers } => {
                let mut command = Command::new(path);
                command.arg("--dir").arg(folder);
                command.arg(format!("--controllers={controllers}"));
                command.args(["--port", &port.to_string(), "--remove"]);
                vec![spawn(folder, &mut command)]
            }
            Self::Assets(assets) => start_assets(assets, folder, port),
        }
    }

    /// Whether it is ready; then the administrator's kubeconfig is there.
    pub(super) async fn is_ready(&self, folder: &Path, port: u16) -> bool {
        let kubeconfig = folder.join("kubeconfig");
        let Self::Assets(_) = self else {
            return kubeconfig.exists();
        };
        let Ok(certificate) = fs::read(folder.join("apiserver.crt")) else {
            return false;
        };
        let partial = folder.join("admin.kubeconfig");
        let text = super::rights::kubeconfig(
            &format!("https://127.0.0.1:{port}"),
            &STANDARD.encode(certificate),
            &format!("token: {TOKEN}"),
        );
        fs::write(&partial, text).expect("written");
        let request = http::Request::get("/readyz")
            .body(Vec::new())
            .expect("a request");
        let answer = tokio::time::timeout(Duration::from_secs(2), async {
            client_of(&partial).await.request_text(request).await
        });
        let is_ready = matches!(answer.await, Ok(Ok(_)));
        if is_ready {
            fs::rename(partial, kubeconfig).expect("renamed");
        }
        is_ready
    }
}

/// Runs a program until it ends, or until a line, or the end, comes from us; then kills it, and removes the folder unless the line says that it is kept.
const GUARD: &str = r#"exec 3<&0
"$@" </dev/null 3<&- & pid=$!
{ read -r line <&3; kill -9 $pid; [ "$line" = keep ] || rm -rf "$0"; } & guard=$!
wait $pid; ended=$?
if [ $ended = 137 ]; then wait $guard; else kill $guard; fi
exit $ended"#;

/// Has a process ended at once, with what it stored kept.
pub(super) fn kill(source: &Source, child: &mut Child) {
    match source {
        Source::Binary { .. } => drop(child.kill()),
        Source::Assets(_) => {
            if let Some(mut guard) = child.stdin.take() {
                let _ = guard.write_all(b"keep\n");
            }
        }
    }
    let _ = child.wait();
}

fn guarded(folder: &Path, program: &Path, arguments: &[String]) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", GUARD]).arg(folder).arg(program);
    spawn(folder, shell.args(arguments))
}

fn start_assets(assets: &Path, folder: &Path, port: u16) -> Vec<Child> {
    let key = folder.join("service-account.key");
    if !key.exists() {
        fs::write(&key, private_key()).expect("written");
        let line = format!("{TOKEN},admin,admin,system:masters\n");
        fs::write(folder.join("tokens.csv"), line).expect("written");
    }
    let at = |path: &str| folder.join(path).display().to_string();
    // There are no peers; their port stands in the store, so it is the same after a restart.
    let (store, peers) = (loopback(free_port()), loopback(0));

    let etcd = [
        format!("--data-dir={}", at("etcd")),
        "--log-level=error".to_owned(),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={store}"),
        format!("--advertise-client-urls={store}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ];
    let server = [
        format!("--etcd-servers={store}"),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--cert-dir={}", folder.display()),
        format!("--token-auth-file={}", at("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", at("service-account.key")),
        format!(
            "--service-account-signing-key-file={}",
            at("service-account.key")
        ),
        "--service-cluster-ip-range=10.0.0.0/16".to_owned(),
        "--allow-privileged=true".to_owned(),
    ];
    vec![
        guarded(folder, &assets.join("etcd"), &etcd),
        guarded(folder, &assets.join("kube-apiserver"), &server),
    ]
}

fn loopback(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A new key that signs the tokens of service accounts: an EC key of P-256 as RFC 5915 writes it, in PEM. The only form of one that kube-apiserver
/// reads both as a private and as a public key.
fn private_key() -> String {
    const BEFORE: [u8; 7] = [0x30, 0x31, 0x02, 0x01, 0x01, 0x04, 0x20];
    const CURVE: [u8; 12] = [
        0xa0, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    ];
    let random = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes);
    let der = [&BEFORE[..], random.as_flattened(), &CURVE].concat();
    format!(
        "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n",
        "EC PRIVATE KEY",
        STANDARD.encode(der)
    )
}
