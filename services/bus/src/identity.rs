//! Who we are on the bus, watched: credentials that are replaced count without a restart, and what ends soon is told.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions};
use fleetcast_core::expiry::{Expiry, Span, Told, What};
use nkeys::KeyPair;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Error;
use crate::credentials::CredentialsFile;
use crate::tls::Servers;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(5);
/// How long servers may take to say whether they take new credentials.
const TRIAL: Duration = Duration::from_secs(10);

/// By what a file is seen to be another.
type Stamp = Option<(SystemTime, u64)>;

/// A credentials file that connections are made with.
#[derive(Clone)]
pub(crate) struct Own {
    path: PathBuf,
    /// The token of the user's name: our inboxes follow from it.
    pub(crate) name: String,
    first: Arc<CredentialsFile>,
    /// By what the file that was read first is known.
    first_stamp: Stamp,
    /// The JWT of the newest connection.
    used: Arc<Mutex<String>>,
}

impl Own {
    /// Reads the file at once, so that what is wrong with it is said at once.
    ///
    /// # Errors
    /// [`Error::Unfit`] where it is of no use.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut own = Self {
            path: path.to_owned(),
            name: String::new(),
            first: Arc::new(CredentialsFile::new("", "")),
            first_stamp: None,
            used: Arc::default(),
        };
        // Before it is read: what comes between the two is looked at again.
        own.first_stamp = own.stamp();
        let (file, _) = own.read().map_err(Error::Unfit)?;
        let claims = file.claims().ok_or_else(|| {
            let why = "the JWT of the user has no name that can stand in a subject";
            Error::Unfit(format!("{}: {why}", path.display()))
        })?;
        own.name = claims.name;
        own.first = Arc::new(file);
        Ok(own)
    }

    fn read(&self) -> Result<(CredentialsFile, KeyPair), String> {
        let file = CredentialsFile::read(&self.path).map_err(|error| error.to_string())?;
        let pair = KeyPair::from_seed(&file.seed)
            .map_err(|_| format!("{}: the seed of the user is none", self.path.display()))?;
        Ok((file, pair))
    }

    /// Connects with the file as it is at each connection.
    pub(crate) fn options(&self) -> ConnectOptions {
        let own = self.clone();
        ConnectOptions::with_auth_callback(move |nonce| {
            let signed = own.read().and_then(|(file, pair)| {
                let signature = pair.sign(&nonce).map_err(|error| error.to_string())?;
                file.jwt.clone_into(&mut own.used());
                let mut auth = async_nats::Auth::new();
                auth.jwt = Some(file.jwt);
                auth.signature = Some(signature);
                Ok(auth)
            });
            std::future::ready(signed.map_err(async_nats::AuthError::new))
        })
    }

    /// Connects once, beside the connection that there is.
    fn trial(&self) -> ConnectOptions {
        Self {
            used: Arc::default(),
            ..self.clone()
        }
        .options()
        .connection_timeout(TRIAL)
        .name("fleetcast: new credentials, tried")
    }

    fn used(&self) -> MutexGuard<'_, String> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stamp(&self) -> Stamp {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }

    fn expiry(&self, file: &CredentialsFile) -> Option<Expiry> {
        let claims = file.claims().filter(|claims| claims.ends_at != 0)?;
        Some(Expiry {
            what: What::Credentials,
            file: self.path.display().to_string(),
            span: Span {
                begins_at: claims.issued_at,
                ends_at: claims.ends_at,
            },
        })
    }
}

/// What a connection tells of who it is; clones share it.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) file: watch::Receiver<Option<Arc<CredentialsFile>>>,
    pub(crate) expiries: watch::Receiver<Vec<Expiry>>,
    // Ends with the last of those who use the connection.
    _looking: Option<Arc<Looking>>,
}

struct Looking(JoinHandle<()>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Identity {
    /// Begins to look at the files of a connection, where it has any.
    pub(crate) fn begin(own: Option<Own>, servers: &Servers, client: &Client) -> Self {
        let first = own.as_ref().map(|own| Arc::clone(&own.first));
        let (file, files) = watch::channel(first);
        let (expiries, ends) = watch::channel(Vec::new());
        let has_files = own.is_some() || servers.has_files();
        let mut watcher = Watcher {
            known: own.as_ref().and_then(|own| own.first_stamp),
            own,
            servers: servers.clone(),
            client: client.clone(),
            file,
            expiries,
            told: Told::default(),
            complaint: String::new(),
        };
        watcher.tell_ends();
        let looking = has_files.then(|| Arc::new(Looking(tokio::spawn(watcher.run()))));
        Self {
            file: files,
            expiries: ends,
            _looking: looking,
        }
    }
}

struct Watcher {
    own: Option<Own>,
    /// The file that was taken up last.
    known: Stamp,
    servers: Servers,
    client: Client,
    file: watch::Sender<Option<Arc<CredentialsFile>>>,
    expiries: watch::Sender<Vec<Expiry>>,
    told: Told,
    /// What is wrong with the file as it is, as it was said.
    complaint: String,
}

impl Watcher {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(own) = self.own.clone() {
                self.look(&own).await;
            }
            self.tell_ends();
        }
    }

    /// Takes the file up where it is another.
    async fn look(&mut self, own: &Own) {
        let stamp = own.stamp();
        if stamp == self.known {
            return;
        }
        match self.take_up(own).await {
            Ok(()) => {
                self.known = stamp;
                self.complaint.clear();
            }
            Err(why) => {
                if self.complaint != why {
                    let path = own.path.display();
                    tracing::warn!(file = %path, reason = why, "the credentials have changed and cannot be used; those read before still count");
                    self.complaint = why;
                }
            }
        }
    }

    async fn take_up(&self, own: &Own) -> Result<(), String> {
        let (file, _) = own.read()?;
        let claims = file.claims().ok_or("the JWT of the user cannot be read")?;
        if claims.name != own.name {
            return Err(format!(
                "they are of {}, and this process is {}: start it again to be that one",
                claims.name, own.name
            ));
        }
        let is_used = *own.used() == file.jwt;
        // What the servers do not take costs no connection that there is.
        if !is_used && self.client.connection_state() == State::Connected {
            let options = self.servers.options(own.trial());
            let tried = options.connect(self.servers.list()).await;
            tried.map_err(|error| error.to_string())?;
        }
        self.file.send_replace(Some(Arc::new(file)));
        if !is_used {
            let path = own.path.display();
            tracing::info!(file = %path, "the credentials have changed: connecting anew");
            let again = self.client.force_reconnect().await;
            again.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Says when what there is now ends, and warns of what ends soon.
    fn tell_ends(&mut self) {
        let now = crate::now().0.div_euclid(1_000);
        let mut ends = self.servers.expiries(now);
        let file = self.file.borrow().clone();
        if let (Some(own), Some(file)) = (&self.own, file) {
            ends.extend(own.expiry(&file));
        }
        for warning in self.told.due(&ends, now) {
            tracing::warn!(
                reason = warning,
                "what this process connects with ends soon"
            );
        }
        self.expiries.send_if_modified(|known| {
            let is_other = *known != ends;
            *known = ends;
            is_other
        });
    }
}
