//! The keys of an ingest process: work is signed with the key that its cluster's agent has, and agents' credentials are renewed.
//!
//! Which key an agent has it says in its heartbeats and requests: only that cluster's agent can publish there, and all keys come from the master, so there is
//! nothing to keep. Work of a cluster whose agent was never heard is signed with a key that only ingest knows, and anew when the agent asks for it; what is
//! signed anew is verified first, or whoever may write into a work stream could have it signed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use fleetcast_auth::minting;
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_bus::work_key::{self, WorkKey};
use fleetcast_bus::{Bus, Error, bodies};
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::envelope::{DATAREF, MAC, WORK_KEY};
use fleetcast_schemas::request::Renewal;
use fleetcast_schemas::subject::Lane;
use fleetcast_schemas::{Headers, Message, codec};

/// The keys; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Keys(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// The credentials of the process, with their keys; none where work is not signed.
    file: RwLock<Option<Arc<CredentialsFile>>>,
    /// What each cluster's agent has.
    known: Mutex<BTreeMap<ClusterName, WorkKey>>,
}

impl Keys {
    /// Those of the credentials that a connection is made with; where they are replaced, the others.
    pub(crate) fn of(bus: &Bus) -> Self {
        let mut files = bus.credentials();
        let keys = Self::default();
        keys.take_up(files.borrow_and_update().clone());
        let taking = keys.clone();
        tokio::spawn(async move {
            // Ends with the connection.
            while files.changed().await.is_ok() {
                let file = files.borrow_and_update().clone();
                taking.take_up(file);
                tracing::info!("the keys of the credentials are taken up");
            }
        });
        keys
    }

    fn take_up(&self, file: Option<Arc<CredentialsFile>>) {
        *self.0.file.write().unwrap_or_else(PoisonError::into_inner) = file;
        // Of keys whose master is not there any more none is known.
        let mut known = self.known();
        known.retain(|cluster, key| self.by_id(cluster, key.id()).is_some());
    }

    fn file(&self) -> Option<Arc<CredentialsFile>> {
        self.0
            .file
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<ClusterName, WorkKey>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cluster's key by its id, of any master that is here: what it signed when it counted stands in the work streams until it is written anew.
    fn by_id_once(&self, cluster: &ClusterName, id: &str) -> Option<WorkKey> {
        let file = self.file()?;
        let mut masters = file.master_keys.iter();
        masters.find_map(|master| master.derive(cluster.as_str(), id))
    }

    /// A cluster's key by its id; none where no master of ours that counts made it.
    fn by_id(&self, cluster: &ClusterName, id: &str) -> Option<WorkKey> {
        let (file, now) = (self.file()?, now());
        let counting = file
            .master_keys
            .iter()
            .filter(|master| file.counts(master.id(), now));
        let mut derived = counting.filter_map(|master| master.derive(cluster.as_str(), id));
        derived.next()
    }

    /// The master key that new keys are derived from.
    fn newest(&self) -> Option<WorkKey> {
        let (file, now) = (self.file()?, now());
        let mut masters = file.master_keys.iter();
        let newest = masters.find(|key| file.is_begun(key.id(), now));
        newest.cloned()
    }

    /// Whether the agent with this key is to have another.
    pub(crate) fn is_of_an_earlier_master(&self, key: &WorkKey) -> bool {
        let newest = self.newest();
        newest.is_some_and(|newest| !newest.made(key.id()))
    }

    /// An agent said which key it has.
    pub(crate) fn learn(&self, cluster: &ClusterName, headers: &Headers) -> Option<WorkKey> {
        let id = headers.get(WORK_KEY)?;
        let Some(key) = self.by_id(cluster, id) else {
            self.known().remove(cluster);
            if self.file().is_some_and(|file| !file.master_keys.is_empty()) {
                tracing::warn!(%cluster, key = id, "its agent has a work key that no master key of ours made, or one that counts no more: issue credentials for it again, or bring this process the newer keys");
            }
            return None;
        };
        let mut known = self.known();
        if known.get(cluster) != Some(&key) {
            known.insert(cluster.clone(), key.clone());
        }
        Some(key)
    }

    /// Signs work that is about to be stored.
    pub(crate) fn sign(&self, cluster: &ClusterName, message: &mut Message) {
        let Some(master) = self.newest() else {
            return;
        };
        let known = self.known().get(cluster).cloned();
        let known = known.filter(|key| self.by_id(cluster, key.id()).is_some());
        let key = known.or_else(|| master.derive(cluster.as_str(), &master.stored_id()));
        if let Some(key) = key {
            key.sign(&mut message.headers, &message.payload);
        }
    }

    /// Signs stored work anew with the key that the asking agent has, where it was signed with another one of ours. What does not verify goes as it is, and the
    /// agent refuses it.
    pub(crate) async fn sign_again(
        &self,
        bus: &Bus,
        lane: &Lane,
        key: Option<&WorkKey>,
        message: &mut Message,
    ) -> Result<(), Error> {
        let Some(key) = key else {
            return Ok(());
        };
        let signed_with = message.headers.get(MAC).and_then(|mac| mac.split_once('.'));
        let Some((id, _)) = signed_with.filter(|(id, _)| *id != key.id()) else {
            return Ok(());
        };
        let Some(before) = self.by_id_once(&lane.cluster, id) else {
            return Ok(());
        };
        // What was signed is the message with its body, wherever that is kept.
        let mut whole = message.clone();
        if let Some(digest) = bodies::dataref(message) {
            whole.payload = bus.body(digest).await?;
            whole.headers.remove(DATAREF);
        }
        if let Err(why) = work_key::verify(&[before], &whole.headers, &whole.payload) {
            tracing::error!(cluster = %lane.cluster, %why, "in the work stream stands what no ingest process wrote");
            return Ok(());
        }
        key.sign(&mut whole.headers, &whole.payload);
        if let Some(mac) = whole.headers.get(MAC) {
            message.headers.set(MAC, mac);
        }
        Ok(())
    }

    /// The answer to an agent that wants its credentials renewed: a JWT for the same user, and a new work key, wrapped with the one that it has and signed with it.
    pub(crate) fn renew(&self, lane: &Lane, jwt: &str, has: Option<&WorkKey>) -> Message {
        let renewed = self.renewed(lane, jwt, has);
        let renewal = renewed.unwrap_or_else(|refused| {
            tracing::warn!(cluster = %lane.cluster, reason = refused, "credentials are not renewed");
            Renewal {
                refused,
                ..Renewal::default()
            }
        });
        let mut headers = Headers::default();
        let payload = codec::encode(&renewal, &mut headers);
        if let Some(key) = has {
            key.sign(&mut headers, &payload);
        }
        Message {
            subject: String::new(),
            headers,
            payload,
        }
    }

    fn renewed(&self, lane: &Lane, jwt: &str, has: Option<&WorkKey>) -> Result<Renewal, String> {
        let file = self.file();
        let seed = file.as_ref().and_then(|file| file.signing_key.as_deref());
        let seed =
            seed.ok_or("the ingest process that answers has no key to sign credentials with")?;
        let now = now();
        let earlier: Vec<&str> = file
            .iter()
            .flat_map(|file| {
                let counting = file.earlier_signers.iter();
                let counting = counting.filter(|signer| file.counts(signer, now));
                counting.map(String::as_str)
            })
            .collect();
        let jwt =
            minting::renew(seed, &earlier, jwt, lane, now).map_err(|error| error.to_string())?;
        let (mut key, mut wrapped) = (String::new(), String::new());
        if let (Some(has), Some(master)) = (has, self.newest()) {
            let new = master.derive(lane.cluster.as_str(), &master.new_derived_id());
            let new = new.expect("the id is of this master");
            wrapped = has.wrap(&new);
            key = new.id().to_owned();
        }
        tracing::info!(cluster = %lane.cluster, key, "credentials are renewed");
        Ok(Renewal {
            refused: String::new(),
            jwt,
            key,
            wrapped,
        })
    }
}

/// Unix seconds.
fn now() -> i64 {
    fleetcast_bus::now().0.div_euclid(1_000)
}
