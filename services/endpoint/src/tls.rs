//! TLS of HTTP: its files, read anew when they change, and the handshake of a connection.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use fleetcast_core::expiry::{Expiry, What};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// Between two looks at the files.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The files of TLS, PEM. While new ones cannot be used, those read before count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// Its key, which others may not read.
    pub key: PathBuf,
    /// Whoever asks must have a certificate that one of these authorities signed, beside his token; none to ask for none.
    pub client_ca: Option<PathBuf>,
}

/// By what a file is seen to have changed.
type Stamp = Option<(SystemTime, u64)>;

/// Shakes hands, with the files as they are.
#[derive(Debug)]
pub(crate) struct Acceptor {
    files: Tls,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    config: Arc<ServerConfig>,
    expiries: Vec<Expiry>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

impl Acceptor {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Which cannot be used, and why.
    pub(crate) fn open(files: &Tls) -> Result<Self, String> {
        let stamps = stamps(files);
        let known = Known {
            config: load(files)?,
            expiries: expiries(files),
            stamps,
            looked: Instant::now(),
        };
        Ok(Self {
            files: files.clone(),
            known: Mutex::new(known),
        })
    }

    /// Shakes hands. Connections that there are go on with what they began with.
    ///
    /// # Errors
    /// Where the other side does not speak TLS, has no certificate that it must have, or takes too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accepting = TlsAcceptor::from(self.config()).accept(stream);
        tokio::time::timeout(HANDSHAKE, accepting)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// When the certificates that count end.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        self.known().expiries.clone()
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.known().config)
    }

    /// What counts now.
    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.looked.elapsed() >= LOOK_AGAIN {
            self.look_again(&mut known);
        }
        known
    }

    fn look_again(&self, known: &mut Known) {
        known.looked = Instant::now();
        let stamps = stamps(&self.files);
        if stamps == known.stamps {
            return;
        }
        known.stamps = stamps;
        let path = self.files.cert.display();
        match load(&self.files) {
            Ok(config) => {
                tracing::info!(%path, "the certificate of HTTP changed");
                known.config = config;
                known.expiries = expiries(&self.files);
            }
            Err(error) => {
                tracing::error!(%path, error, "the certificate of HTTP cannot be used: the one read before still counts");
            }
        }
    }
}

fn stamps(files: &Tls) -> Vec<Stamp> {
    let of = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    let paths = [
        Some(&files.cert),
        Some(&files.key),
        files.client_ca.as_ref(),
    ];
    paths.into_iter().flatten().map(of).collect()
}

fn expiries(files: &Tls) -> Vec<Expiry> {
    let now = crate::unix_seconds();
    let named = [
        (What::HttpCertificate, Some(&files.cert)),
        (What::HttpAuthority, files.client_ca.as_ref()),
    ];
    let ends = named.into_iter().filter_map(|(what, path)| {
        let path = path?;
        let read = certificates(path).ok()?;
        let read = read.iter().map(|certificate| certificate.as_ref());
        Expiry::of_certificates(what, &path.display().to_string(), read, now)
    });
    ends.collect()
}

fn load(files: &Tls) -> Result<Arc<ServerConfig>, String> {
    let Tls {
        cert,
        key,
        client_ca,
    } = files;
    let builder = match client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                let added = roots.add(authority);
                added.map_err(|error| format!("{}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            let verifier = verifier.map_err(|error| format!("{}: {error}", path.display()))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let chain = certificates(cert)?;
    let config = builder.with_single_cert(chain, private_key(key)?);
    let mut config = config.map_err(|error| {
        format!(
            "{} and {} do not go together: {error}",
            cert.display(),
            key.display()
        )
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| said(&error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match read.map_err(|error| said(&error))? {
        read if read.is_empty() => Err(said(&"no certificate in it")),
        read => Ok(read),
    }
}

/// The group may read it, since a Kubernetes volume with an `fsGroup` has it so.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    use std::os::unix::fs::PermissionsExt;
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let metadata = std::fs::metadata(path).map_err(|error| said(&error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(said(&format!(
            "others may read this key (mode {mode:o}): chmod 600"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| said(&error))?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| said(&error))
}
