//! A client for a cluster whose credentials are read again when they change on disk.
//!
//! kube reads a token file again by itself; certificates, keys, authorities and tokens that stand in a kubeconfig it reads once. Here the files are
//! looked at between requests, and a new client takes over when one has changed. Watches that are open go on until their server ends them.
//!
//! A server that asks for a pause (429 or 503 with `Retry-After`) is not asked again here, as kube would for minutes, so that no attempt at an object occupies its
//! place meanwhile: the pause is told to whoever asked, in the `Status` of the answer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// Where a pod finds its service account's authority.
const AUTHORITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig cannot be read, or names no cluster or user.
    #[error("cannot read {0}: {1}")]
    Kubeconfig(PathBuf, kube::config::KubeconfigError),
    /// Neither a kubeconfig nor a pod's service account is there.
    #[error(transparent)]
    Infer(#[from] kube::config::InferConfigError),
    /// The credentials cannot be used.
    #[error(transparent)]
    Client(#[from] kube::Error),
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub struct Source {
    /// A kubeconfig; none for `$KUBECONFIG`, `~/.kube/config` or a pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; none for its current one.
    pub context: Option<String>,
}

/// A client that follows `source`. It must be made within a Tokio runtime.
///
/// # Errors
/// Where there are no credentials that can be used now.
pub async fn client(source: Source) -> Result<Client, Error> {
    let config = source.config().await?;
    let namespace = config.default_namespace.clone();
    let current = Arc::new(Mutex::new(Current {
        client: Client::try_from(config)?,
        stamp: source.stamp(),
        looked: Instant::now(),
    }));
    let source = Arc::new(source);
    let service = tower::service_fn(move |request: Request<Body>| {
        let (source, current) = (Arc::clone(&source), Arc::clone(&current));
        async move {
            let client = fresh(&source, &current).await;
            let answer = client.send(request).await.map(with_pause);
            if let Ok(answer) = &answer
                && answer.status() == StatusCode::UNAUTHORIZED
            {
                // Whoever asks again finds the files looked at.
                lock(&current).looked -= LOOK;
            }
            answer
        }
    });
    Ok(Client::new(service, namespace))
}

/// How a server is reached with a token, as others write it down.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// `https://host:port`.
    pub server: String,
    /// Its authority, PEM in base64; none for those that the machine trusts.
    pub authority: Option<String>,
    /// Whether any certificate will do.
    pub insecure: bool,
    /// The proxy on the way; none for none.
    pub proxy: Option<String>,
    /// The token.
    pub token: String,
}

impl Endpoint {
    /// A client for it. It must be made within a Tokio runtime.
    ///
    /// # Errors
    /// Where address or authority are malformed.
    pub async fn client(&self) -> Result<Client, Error> {
        let failed = |error| Error::Kubeconfig(self.server.clone().into(), error);
        let mut cluster = json!({"server": self.server});
        let more = [
            ("certificate-authority-data", self.authority.as_ref()),
            ("proxy-url", self.proxy.as_ref()),
        ];
        for (field, text) in more {
            if let Some(text) = text {
                cluster[field] = json!(text);
            }
        }
        if self.insecure {
            cluster["insecure-skip-tls-verify"] = json!(true);
        }
        let kubeconfig = json!({
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": self.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        });
        // YAML is a superset of JSON.
        let kubeconfig = Kubeconfig::from_yaml(&kubeconfig.to_string()).map_err(failed)?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.map_err(failed)?;
        config.default_retry = false;
        Ok(Client::try_from(config)?)
    }
}

struct Current {
    client: Client,
    stamp: Stamp,
    looked: Instant,
}

/// The files with when they were written and how long they are.
type Stamp = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

fn lock(current: &Mutex<Current>) -> std::sync::MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The client of what the files say now; the last one where they cannot be used.
async fn fresh(source: &Source, current: &Mutex<Current>) -> Client {
    {
        let mut current = lock(current);
        if current.looked.elapsed() < LOOK {
            return current.client.clone();
        }
        current.looked = Instant::now();
        let stamp = source.stamp();
        if stamp == current.stamp {
            return current.client.clone();
        }
        current.stamp = stamp;
    }
    let outcome = source.config().await;
    match outcome.and_then(|config| Ok(Client::try_from(config)?)) {
        Ok(client) => {
            tracing::info!("the cluster's credentials changed on disk and were read again");
            lock(current).client = client;
        }
        Err(error) => tracing::warn!(
            %error,
            "the cluster's credentials changed on disk and cannot be used, going on with the old ones"
        ),
    }
    lock(current).client.clone()
}

/// An answer that asks for a pause by a header alone, as API priority and fairness does, with a `Status` that says so.
fn with_pause(answer: Response<Body>) -> Response<Body> {
    let header = |name: HeaderName| answer.headers().get(name)?.to_str().ok();
    let asks = matches!(
        answer.status(),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let seconds = header(RETRY_AFTER).and_then(|text| text.parse::<u32>().ok());
    let is_status = header(CONTENT_TYPE).is_some_and(|text| text.starts_with("application/json"));
    let Some(seconds) = seconds.filter(|_| asks && !is_status) else {
        return answer;
    };
    let code = answer.status();
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "message": format!("{}: the server asks for a pause of {seconds} s", code.canonical_reason().unwrap_or_default()),
        "details": {"retryAfterSeconds": seconds},
    });
    answer.map(|_| Body::from(status.to_string().into_bytes()))
}

impl Source {
    async fn config(&self) -> Result<Config, Error> {
        let mut config = self.read().await?;
        config.default_retry = false;
        Ok(config)
    }

    async fn read(&self) -> Result<Config, Error> {
        let Some(path) = &self.kubeconfig else {
            return Ok(Config::infer().await?);
        };
        let failed = |error| Error::Kubeconfig(path.clone(), error);
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(failed)
    }

    /// The files that the credentials stand in.
    fn stamp(&self) -> Stamp {
        let (mut files, kubeconfig) = match &self.kubeconfig {
            Some(path) => (vec![path.clone()], Kubeconfig::read_from(path).ok()),
            None => {
                let named = std::env::var_os("KUBECONFIG").unwrap_or_default();
                let mut files: Vec<PathBuf> = std::env::split_paths(&named).collect();
                files.push(AUTHORITY.into());
                (files, Kubeconfig::read().ok())
            }
        };
        if let Some(kubeconfig) = kubeconfig {
            let clusters = kubeconfig.clusters.into_iter();
            let authorities = clusters.filter_map(|named| named.cluster?.certificate_authority);
            let users = kubeconfig.auth_infos.into_iter();
            let credentials = users
                .filter_map(|named| named.auth_info)
                .flat_map(|user| [user.client_certificate, user.client_key]);
            let named = authorities.chain(credentials.flatten());
            files.extend(named.map(PathBuf::from));
        }
        files
            .into_iter()
            .map(|file| {
                let state = state(&file);
                (file, state)
            })
            .collect()
    }
}

fn state(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pause that stands in a header alone is told in a `Status`; any other answer stays as it is.
    #[tokio::test]
    async fn a_pause_in_a_header_is_told() {
        for (code, headers, expected) in [
            (
                429,
                vec![("retry-after", "7"), ("content-type", "text/plain")],
                true,
            ),
            (503, vec![("retry-after", "7")], true),
            (
                429,
                vec![("retry-after", "7"), ("content-type", "application/json")],
                false,
            ),
            (429, vec![], false),
            (
                429,
                vec![("retry-after", "Mon, 23 Nov 2026 08:00:00 GMT")],
                false,
            ),
            (200, vec![("retry-after", "7")], false),
        ] {
            let mut answer = Response::builder().status(code);
            for (name, value) in &headers {
                answer = answer.header(*name, *value);
            }
            let answer = answer
                .body(Body::from(b"as it was".to_vec()))
                .expect("an answer");
            let told = with_pause(answer).into_body().collect_bytes().await;
            let told = told.expect("a body");
            let status: serde_json::Value = serde_json::from_slice(&told).unwrap_or_default();
            let is_told = status["details"]["retryAfterSeconds"] == 7;
            assert_eq!(is_told, expected, "{code} {headers:?}: {status}");
            assert_eq!(told != "as it was", expected, "{code} {headers:?}");
        }
    }
}
