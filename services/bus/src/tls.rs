//! TLS to the bus, from the first byte: which files count, when they are read anew, and what to do where no connection comes about.

use std::io::{self, Read};
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use async_nats::rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, Error as TlsError,
    RootCertStore, Stream,
};
use async_nats::{Client, ConnectOptions, ServerAddr};
use fleetcast_core::expiry::{Expiry, What};
use tokio::task::JoinHandle;

use crate::Error;
use crate::credentials::{Readers, read_secret};

/// Between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// Between two looks at why a connection does not come about.
const AGAIN: Duration = Duration::from_secs(30);
/// How long a server may take to say its first byte. One that speaks TLS from the first byte says none in plain text.
const FIRST_BYTE: Duration = Duration::from_secs(2);

/// How TLS is spoken with servers whose URL is `tls://`. Files are PEM; they are read at each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The authorities that a server's certificate may be signed by; none for the system's.
    pub ca: Option<PathBuf>,
    /// Our own certificate, and those between it and its authority; none where no server asks.
    pub cert: Option<PathBuf>,
    /// Its key, which others may not read (mode 0600, or 0640 as Kubernetes mounts it).
    pub key: Option<PathBuf>,
}

/// The files of a server that speaks TLS from the first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Its certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Whoever connects must have a certificate that one of these authorities signed, PEM; none to ask for none.
    pub client_ca: Option<PathBuf>,
}

impl ServerTls {
    /// The block of the NATS server's configuration. `handshake_first` is what makes it TLS from the first byte; the time is for handshakes on a busy machine, s.
    pub fn block(&self) -> String {
        let text = |path: &Path| format!("{:?}", path.display().to_string());
        let clients = self.client_ca.as_deref().map_or_else(String::new, |ca| {
            format!("  ca_file: {}\n  verify: true\n", text(ca))
        });
        format!(
            "tls {{\n  cert_file: {}\n  key_file: {}\n{clients}  handshake_first: true\n  timeout: 10\n}}\n",
            text(&self.cert),
            text(&self.key),
        )
    }
}

impl Tls {
    /// Whether anything is said.
    fn is_default(&self) -> bool {
        self == &Self::default()
    }

    /// Looks whether the files are of use.
    ///
    /// # Errors
    /// [`Error::Unfit`]: which file is of no use, and why.
    pub fn check(&self) -> Result<(), Error> {
        self.config().map(drop).map_err(Error::Unfit)
    }

    /// Reads the files.
    ///
    /// # Errors
    /// Which file is of no use, and why.
    fn config(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    let added = roots.add(certificate);
                    added.map_err(|error| format!("{}: {error}", path.display()))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err("this machine knows no certificate authorities: name the bus's own with --tls-ca FILE".to_owned());
                }
            }
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        match (&self.cert, &self.key) {
            (None, None) => Ok(builder.with_no_client_auth()),
            (Some(cert), Some(path)) => {
                let text = read_secret(path, Readers::Group).map_err(|error| error.to_string())?;
                let key = PrivateKeyDer::from_pem_slice(text.as_bytes());
                let key = key.map_err(|error| format!("{}: no private key in it: {error}", path.display()))?;
                builder.with_client_auth_cert(certificates(cert)?, key).map_err(|error| {
                    format!("{} and {} do not go together: {error}", cert.display(), path.display())
                })
            }
            (Some(_), None) | (None, Some(_)) => Err(
                "a certificate and its key go together: name both, --tls-cert FILE and --tls-key FILE".to_owned(),
            ),
        }
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca, &self.cert, &self.key].into_iter().flatten()
    }

    /// What tells that a file is another.
    fn stamp(&self) -> Vec<Option<(SystemTime, u64)>> {
        let of = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        self.files().map(of).collect()
    }
}

/// When the certificates of a file end, as far as that can be read at `now` (Unix seconds).
pub fn expiry(what: What, path: &Path, now: i64) -> Option<Expiry> {
    let read = certificates(path).ok()?;
    let read = read.iter().map(|certificate| certificate.as_ref());
    Expiry::of_certificates(what, &path.display().to_string(), read, now)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = std::fs::read(path).map_err(|error| said(&error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let read = read.map_err(|error| said(&error))?;
    if read.is_empty() {
        return Err(said(&"no certificate in it"));
    }
    Ok(read)
}

/// The servers of a URL, and how they are spoken to.
#[derive(Debug, Clone)]
pub(crate) struct Servers {
    list: Arc<[ServerAddr]>,
    /// None where plain text is spoken.
    tls: Option<Arc<Tls>>,
}

impl Servers {
    /// Reads `url`: several servers, separated by commas, all `tls://` or all `nats://`.
    ///
    /// # Errors
    /// [`Error::Unfit`] where it is no URL, where files are of no use, and where it would be plain text that leaves this machine without `plain_text`.
    pub(crate) fn of(url: &str, tls: &Tls, plain_text: bool) -> Result<Self, Error> {
        let mut list = Vec::new();
        for server in url.split(',').map(str::trim) {
            let read: Result<ServerAddr, _> = server.parse();
            let read = read.map_err(|error| error.to_string());
            let named = read.and_then(|read| match read.host() {
                "" => Err("no host".to_owned()),
                _ => Ok(read),
            });
            list.push(named.map_err(|why| {
                Error::Unfit(format!(
                    "{server:?} is no URL of a NATS server ({why}): tls://host:port, or nats://host:port for plain text"
                ))
            })?);
        }
        let secure = list.iter().filter(|server| server.tls_required()).count();
        if secure == list.len() {
            tls.config().map_err(Error::Unfit)?;
            return Ok(Self {
                list: list.into(),
                tls: Some(Arc::new(tls.clone())),
            });
        }
        if secure > 0 {
            return Err(Error::Unfit(format!(
                "{url}: some servers are tls:// and others are not; write tls:// for all"
            )));
        }
        if !tls.is_default() {
            return Err(Error::Unfit(format!(
                "files for TLS are named, and {url} is plain text: write tls:// in its place"
            )));
        }
        match list.iter().find(|server| !is_loopback(server.host())) {
            Some(server) if !plain_text => Err(Error::Unfit(format!(
                "{} would be spoken to in plain text, which others can read and change on the way: write tls:// (docs/operating.md says how to set it up), or say --allow-plain-text",
                shown(server)
            ))),
            Some(_) | None => Ok(Self {
                list: list.into(),
                tls: None,
            }),
        }
    }

    /// What to tell the client of NATS.
    pub(crate) fn options(&self, options: ConnectOptions) -> ConnectOptions {
        let Some(tls) = &self.tls else { return options };
        // Servers that others tell of are named by address, which certificates seldom name.
        let mut options = options
            .require_tls(true)
            .tls_first()
            .ignore_discovered_servers();
        if let Some(ca) = &tls.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&tls.cert, &tls.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        options
    }

    /// Whether files of TLS are named.
    pub(crate) fn has_files(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.files().next().is_some())
    }

    /// When the certificates that are named end, as far as they can be read at `now` (Unix seconds).
    pub(crate) fn expiries(&self, now: i64) -> Vec<Expiry> {
        let Some(tls) = &self.tls else {
            return Vec::new();
        };
        let named = [(What::Authority, &tls.ca), (What::Certificate, &tls.cert)];
        let ends = named
            .into_iter()
            .filter_map(|(what, path)| expiry(what, path.as_deref()?, now));
        ends.collect()
    }

    /// The servers, for the client of NATS.
    pub(crate) fn list(&self) -> Vec<ServerAddr> {
        self.list.to_vec()
    }

    /// Why no connection comes about, and what to do, where that lies in TLS; none where it does not. Speaks to the servers.
    pub(crate) async fn why(&self) -> Option<String> {
        let servers = self.clone();
        let looked = tokio::task::spawn_blocking(move || servers.why_blocking()).await;
        looked.ok().flatten()
    }

    /// Whether they let nobody in without a certificate, tried without one; none where no server answers, or none speaks TLS. Speaks to the servers.
    pub(crate) async fn ask_for_certificate(&self) -> Option<bool> {
        let servers = self.clone();
        let look = move || {
            let tls = Tls {
                ca: servers.tls.as_ref()?.ca.clone(),
                ..Tls::default()
            };
            let mut looks = servers.list.iter().map(|server| shake_hands(server, &tls));
            looks.find_map(|look| match look {
                Look::Well => Some(false),
                Look::Asks(_) => Some(true),
                Look::Away | Look::Wrong(_) => None,
            })
        };
        tokio::task::spawn_blocking(look).await.ok().flatten()
    }

    fn why_blocking(&self) -> Option<String> {
        let mut first = None;
        for server in self.list.iter() {
            let look = match &self.tls {
                Some(tls) => shake_hands(server, tls),
                None => listen(server),
            };
            match look {
                // One is enough.
                Look::Well => return None,
                Look::Away => {}
                Look::Wrong(why) | Look::Asks(why) => first = first.or(Some(why)),
            }
        }
        first
    }
}

/// Whether a URL of servers, separated by commas, names one on this machine: elsewhere it would lead somewhere else.
pub fn is_local(url: &str) -> bool {
    let servers = url.split(',').map(|server| server.trim().parse());
    let mut servers = servers.filter_map(Result::<ServerAddr, _>::ok);
    servers.any(|server| is_loopback(server.host()))
}

fn is_loopback(host: &str) -> bool {
    let address: Result<IpAddr, _> = host.parse();
    address.map_or_else(
        |_| host == "localhost" || host.ends_with(".localhost"),
        |address| address.is_loopback(),
    )
}

/// A server without the password that its URL may hold.
fn shown(server: &ServerAddr) -> String {
    let host = server.host();
    let (open, close) = if host.contains(':') {
        ("[", "]")
    } else {
        ("", "")
    };
    format!(
        "{}://{open}{host}{close}:{}",
        server.scheme(),
        server.port()
    )
}

fn reach(server: &ServerAddr) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in (server.host(), server.port()).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, FIRST_BYTE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(FIRST_BYTE))?;
                stream.set_write_timeout(Some(FIRST_BYTE))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// How a server was found.
enum Look {
    Well,
    /// It cannot be reached, or says what is not TLS's own: for the client to tell.
    Away,
    Wrong(String),
    /// It lets nobody in without a certificate, and none was shown.
    Asks(String),
}

/// Shakes hands as the client does, and says what TLS says against it.
fn shake_hands(server: &ServerAddr, tls: &Tls) -> Look {
    let shown = shown(server);
    let config = match tls.config() {
        Ok(config) => config,
        Err(why) => return Look::Wrong(why),
    };
    let Ok(name) = ServerName::try_from(server.host().to_owned()) else {
        return Look::Wrong(format!("{shown}: a certificate cannot name that host"));
    };
    let Ok(mut stream) = reach(server) else {
        return Look::Away;
    };
    let mut connection = match ClientConnection::new(Arc::new(config), name) {
        Ok(connection) => connection,
        Err(error) => return Look::Wrong(advice(&error, &shown, server.host(), tls)),
    };
    // That our certificate is refused comes after the handshake, in the place of the first byte.
    let greeted = Stream::new(&mut connection, &mut stream).read(&mut [0; 1]);
    let Err(error) = greeted else {
        return Look::Well;
    };
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(error) if is_demand(error, tls) => Look::Asks(demanded(&shown)),
        Some(error) => Look::Wrong(advice(error, &shown, server.host(), tls)),
        None => Look::Away,
    }
}

/// Looks whether a server to which plain text is spoken says nothing, as one does that waits for TLS.
fn listen(server: &ServerAddr) -> Look {
    let Ok(mut stream) = reach(server) else {
        return Look::Away;
    };
    match stream.read(&mut [0; 1]) {
        Ok(_) => Look::Well,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
            ) =>
        {
            Look::Wrong(format!(
                "{} takes connections and says nothing: it may speak TLS from the first byte; write tls:// in the place of nats://",
                shown(server)
            ))
        }
        Err(_) => Look::Away,
    }
}

/// What happened, and what to do.
fn advice(error: &TlsError, server: &str, host: &str, tls: &Tls) -> String {
    let ours = tls.cert.as_deref().unwrap_or(Path::new("")).display();
    match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => match &tls.ca {
            Some(ca) => format!(
                "the certificate of {server} is not signed by the authorities in {}: is that the CA of this bus?",
                ca.display()
            ),
            None => format!(
                "the certificate of {server} is signed by an authority that this machine does not know: name the bus's own with --tls-ca FILE"
            ),
        },
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the certificate of {server} is for other names than {host}{}: connect under one of its names, or issue one with --host {host}",
            presented(error)
        ),
        TlsError::InvalidCertificate(CertificateError::Expired) => expired(server, None),
        TlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            expired(server, Some(*not_after))
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => format!(
            "the certificate of {server} does not count yet: look at the clocks of both machines"
        ),
        TlsError::InvalidMessage(_) => format!(
            "{server} greets in plain text: its configuration needs a tls block with `handshake_first: true` (`fleetcast tls nats-conf NAME` writes one)"
        ),
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => {
            format!("{server} refuses our certificate {ours}: it has ended; renew it")
        }
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied),
        ) => format!(
            "{server} refuses our certificate {ours} ({alert:?}): is it signed by the authority that the server asks for?"
        ),
        error => format!("TLS with {server} does not come about: {error}"),
    }
}

/// Whether a server says that it wants a certificate: some say that an absent one is bad.
fn is_demand(error: &TlsError, tls: &Tls) -> bool {
    match error {
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => true,
        TlsError::AlertReceived(AlertDescription::BadCertificate) => tls.cert.is_none(),
        _ => false,
    }
}

fn presented(error: &TlsError) -> String {
    match error {
        TlsError::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        }) if !presented.is_empty() => {
            format!(" ({})", presented.join(", "))
        }
        _ => String::new(),
    }
}

fn expired(server: &str, at: Option<UnixTime>) -> String {
    let at = at.and_then(|at| i64::try_from(at.as_secs()).ok());
    let at = at.and_then(|at| chrono::DateTime::from_timestamp(at, 0));
    let at = at.map_or_else(String::new, |at| format!(" at {}", at.format("%FT%TZ")));
    format!(
        "the certificate of {server} has ended{at}: renew it, and let the server read it again (kill -HUP)"
    )
}

fn demanded(server: &str) -> String {
    format!("{server} asks for a certificate of ours: name one with --tls-cert FILE --tls-key FILE")
}

/// Says in the log why a connection does not come about, each reason once.
#[derive(Clone)]
pub(crate) struct Reasons(Arc<Told>);

struct Told {
    servers: Servers,
    looking: AtomicBool,
    last: Mutex<(String, Option<Instant>)>,
}

impl Reasons {
    pub(crate) fn of(servers: &Servers) -> Self {
        Self(Arc::new(Told {
            servers: servers.clone(),
            looking: AtomicBool::new(false),
            last: Mutex::default(),
        }))
    }

    /// A connection came about.
    pub(crate) fn clear(&self) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = (String::new(), None);
    }

    /// A connection did not come about.
    pub(crate) async fn look(&self) {
        let told = &self.0;
        if told.looking.swap(true, Ordering::Relaxed) {
            return;
        }
        let is_early = {
            let last = told.last.lock().unwrap_or_else(PoisonError::into_inner);
            last.1.is_some_and(|at| at.elapsed() < AGAIN)
        };
        if !is_early {
            let why = told.servers.why().await.unwrap_or_default();
            let mut last = told.last.lock().unwrap_or_else(PoisonError::into_inner);
            if !why.is_empty() && last.0 != why {
                tracing::warn!(reason = why, "cannot reach the bus, trying again");
            }
            *last = (why, Some(Instant::now()));
        }
        told.looking.store(false, Ordering::Relaxed);
    }
}

/// Connects anew when the files of TLS are others, as long as somebody holds it.
pub(crate) struct Renewal(JoinHandle<()>);

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Renewal {
    /// Begins to look; none where there are no files.
    pub(crate) fn begin(servers: &Servers, client: Client) -> Option<Self> {
        let tls = Arc::clone(servers.tls.as_ref()?);
        tls.files().next()?;
        let servers = servers.clone();
        let mut known = tls.stamp();
        Some(Self(tokio::spawn(async move {
            let mut told = String::new();
            loop {
                tokio::time::sleep(LOOK).await;
                let now = tls.stamp();
                if now == known {
                    continue;
                }
                // What is half written, or what the server does not take, costs no connection that there is.
                if let Some(why) = servers.why().await {
                    if told != why {
                        tracing::warn!(
                            reason = why,
                            "the files of TLS have changed and cannot be used; those read before still count"
                        );
                        told = why;
                    }
                    continue;
                }
                (known, told) = (now, String::new());
                tracing::info!("the files of TLS have changed: connecting anew");
                if client.force_reconnect().await.is_err() {
                    return;
                }
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_on_this_machine_unless_somebody_says_otherwise() {
        let none = Tls::default();
        for url in [
            "nats://127.0.0.1:4222",
            "nats://127.8.9.1",
            "localhost:4222",
            "nats://[::1]:4222",
            "nats://nats.localhost:4222, nats://127.0.0.1:4223",
        ] {
            assert!(Servers::of(url, &none, false).is_ok(), "{url}");
        }
        for url in [
            "nats://10.0.0.1:4222",
            "nats-1:4222",
            "nats://127.0.0.1:4222,nats://nats-2:4222",
            "nats://localhost.example:4222",
            "nats://[::2]:4222",
            "nats://0.0.0.0:4222",
        ] {
            let refused = Servers::of(url, &none, false).expect_err(url).to_string();
            assert!(refused.contains("--allow-plain-text"), "{refused}");
            assert!(Servers::of(url, &none, true).is_ok(), "{url}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (url, expected) in [
            ("nats://127.0.0.1:4222", true),
            ("nats://localhost", true),
            ("nats://a:4222,nats://[::1]:4222", true),
            ("nats://nats.example:4222", false),
            ("nats://localhost.example:4222", false),
            ("tls://me@10.0.0.1:4222", false),
        ] {
            assert_eq!(is_local(url), expected, "{url}");
        }
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            Some(path)
        };
        let ca = Tls {
            ca: at("ca.crt", "nothing of use\n"),
            ..Tls::default()
        };
        let missing = Tls {
            ca: Some(folder.path().join("missing")),
            ..Tls::default()
        };
        let alone = Tls {
            cert: at("a.crt", ""),
            ..Tls::default()
        };
        for (url, tls, part) in [
            ("tls://nats:4222", &ca, "ca.crt: no certificate in it"),
            ("tls://nats:4222", &missing, "missing: "),
            ("nats://localhost:4222", &ca, "write tls:// in its place"),
            (
                "tls://a:4222,nats://localhost:4222",
                &ca,
                "write tls:// for all",
            ),
            ("tls://nats:4222", &alone, "--tls-key"),
            ("http://nats:4222", &ca, "is no URL of a NATS server"),
            ("", &ca, "is no URL of a NATS server"),
        ] {
            let refused = Servers::of(url, tls, true).expect_err(url).to_string();
            assert!(refused.contains(part), "{url}: {refused}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        let server: ServerAddr = "nats://me:secret@10.0.0.1:4222".parse().expect("a URL");
        assert_eq!(shown(&server), "nats://10.0.0.1:4222");
        let server: ServerAddr = "tls://[::1]".parse().expect("a URL");
        assert_eq!(shown(&server), "tls://[::1]:4222");
    }
}
