//! The folder of an operator: private keys, what was issued, and the server's configuration.
//!
//! | file | what |
//! |---|---|
//! | `keys/operator.nk`, `keys/system.nk`, `keys/account.nk` | the identities of NATS operator, system account and account: needed here only |
//! | `keys/role-<role>.nk` | the signing key of a role: whoever has it can issue credentials of that role, and no other |
//! | `keys/master.key` | the keys that authenticate work, one a line, the newest first |
//! | `keys/sealing.keys` | the hub's keys that values of Secrets are sealed with, one a line, the newest first |
//! | `authority.json` | names, public keys, and every credential that was issued; nothing secret |
//! | `nats-auth.conf` | what the NATS servers include; nothing secret |
//! | `system.creds` | may push a changed account to the servers, and nothing else |
//!
//! The folder has mode 0700, each file of `keys` 0600, and a key that others may read is refused, as ssh does.

mod issued;
mod rotation;

use std::fs::File;
use std::path::{Path, PathBuf};

use fleetcast_bus::credentials::{CredentialsFile, Readers, read_secret, write_secret};
use fleetcast_bus::work_key::WorkKey;
use fleetcast_core::model::ClusterName;
use fleetcast_schemas::role::limits::Limits;
use fleetcast_schemas::role::{GRANTS, Role};
use fleetcast_schemas::subject::{self, Lane};
use nkeys::{KeyPair, XKey};
use serde::{Deserialize, Serialize};

use crate::claims::{self, Scope, UserFields};
use crate::permissions::{Permissions, User};
use crate::{Error, minting};

pub use issued::{Issue, Issued, Standing};
pub use rotation::{Key, Rotation};

/// The subject that a changed account is pushed to, over the system account.
pub const PUSH: &str = "$SYS.REQ.CLAIMS.UPDATE";
/// How long a name may be, bytes: it stands in subjects and file names.
const NAME_LIMIT: usize = 253;

/// What the file of a user's credentials is called unless somebody says otherwise.
pub fn file_name(role: Role, name: &str) -> String {
    format!("{}-{}.creds", role.word(), subject::token(name))
}

/// The operator of a fleet's bus, as his folder has it.
pub struct Authority {
    folder: PathBuf,
    state: State,
    // Held while the folder is open: two commands at the same time would forget each other's credentials.
    _lock: File,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    name: String,
    partitions: u16,
    operator: String,
    system: String,
    account: String,
    issued: Vec<Issued>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rotations: Vec<Rotation>,
}

impl Authority {
    /// Makes an operator with everything that belongs to it in a new folder.
    ///
    /// # Errors
    /// Where there is one already, or the folder cannot be written.
    pub fn init(folder: &Path, name: &str, partitions: u16, now: i64) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt;
        check_name(name)?;
        if Self::is_there(folder) {
            return Err(Error::Refused(format!(
                "there is an operator in {} already: a new one would make every credential that it issued useless; name another folder with --dir",
                folder.display()
            )));
        }
        let mut builder = std::fs::DirBuilder::new();
        let keys = folder.join("keys");
        builder
            .recursive(true)
            .mode(0o700)
            .create(&keys)
            .map_err(Error::io(&keys))?;
        let (operator, system, account) = (
            KeyPair::new_operator(),
            KeyPair::new_account(),
            KeyPair::new_account(),
        );
        let authority = Self {
            folder: folder.to_owned(),
            state: State {
                name: name.to_owned(),
                partitions,
                operator: operator.public_key(),
                system: system.public_key(),
                account: account.public_key(),
                issued: Vec::new(),
                rotations: Vec::new(),
            },
            _lock: lock(folder)?,
        };
        for (word, pair) in [
            ("operator", &operator),
            ("system", &system),
            ("account", &account),
        ] {
            authority.keep(word, pair)?;
        }
        for grant in GRANTS {
            authority.keep(&signing(grant.role), &KeyPair::new_account())?;
        }
        let master = WorkKey::generate(&WorkKey::random_id());
        write_secret(
            &authority.key("master.key"),
            (master.text() + "\n").as_bytes(),
        )?;
        authority.sealing_keys()?;
        let pusher = KeyPair::new_user();
        let may = Permissions {
            publish: vec![PUSH.to_owned()],
            subscribe: vec!["_INBOX.fleetcast-auth.>".to_owned()],
        };
        let jwt = claims::system_user(&system, &pusher.public_key(), "fleetcast-auth", &may, now);
        let seed = pusher.seed().expect("a new pair has a seed");
        CredentialsFile::new(jwt, seed).write(&authority.system_credentials())?;
        authority.save_configuration(now)?;
        // Last: without it the folder counts as empty.
        authority.save()?;
        Ok(authority)
    }

    /// Whether there is an operator in a folder.
    pub fn is_there(folder: &Path) -> bool {
        folder.join("authority.json").exists()
    }

    /// Opens the folder of an operator, for one process at a time.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("authority.json");
        if !Self::is_there(folder) {
            return Err(Error::Refused(format!(
                "there is no operator in {}; next: fleetcast auth init --dir {}",
                folder.display(),
                folder.display()
            )));
        }
        let lock = lock(folder)?;
        let bytes = std::fs::read(&path).map_err(Error::io(&path))?;
        let state = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Malformed(format!("{}: {error}", path.display())))?;
        Ok(Self {
            folder: folder.to_owned(),
            state,
            _lock: lock,
        })
    }

    /// Over how many partitions the bus spreads work.
    pub fn partitions(&self) -> u16 {
        self.state.partitions
    }

    /// The public key of the account that everything of ours is in, `A…`.
    pub fn account(&self) -> &str {
        &self.state.account
    }

    /// The configuration that the servers include.
    pub fn server_configuration(&self) -> PathBuf {
        self.folder.join("nats-auth.conf")
    }

    /// The credentials that may push the account.
    pub fn system_credentials(&self) -> PathBuf {
        self.folder.join("system.creds")
    }

    /// Where the credentials of a user are written unless somebody says otherwise.
    pub fn credentials_path(&self, role: Role, name: &str) -> PathBuf {
        self.folder.join(file_name(role, name))
    }

    /// The account as it is now, to be pushed to [`PUSH`]. It counts as issued after whatever knew of one revocation less, within one second too: of two, a
    /// server that starts keeps the later one, and has its configuration's where both are of one second.
    ///
    /// # Errors
    /// Where the operator's key cannot be read.
    pub fn account_jwt(&self, now: i64) -> Result<String, Error> {
        let mut scopes = Vec::new();
        for grant in GRANTS {
            let newest = self.pair(&signing(grant.role))?.public_key();
            let earlier = self.earlier(Key::Signing(grant.role), now);
            let mut keys = vec![newest];
            for key in earlier.map(str::to_owned) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            scopes.extend(keys.into_iter().map(|key| Scope {
                key,
                role: grant.word,
                permissions: Permissions::template(grant.role, self.state.partitions),
            }));
        }
        let revoked = self
            .state
            .issued
            .iter()
            .filter(|issued| issued.revoked_at.is_some());
        let revoked: Vec<String> = revoked.map(|issued| issued.public_key.clone()).collect();
        let now = now.max(self.newest_taking());
        Ok(claims::account(
            &self.pair("operator")?,
            &self.state.account,
            &self.state.name,
            &scopes,
            &revoked,
            now,
        ))
    }

    /// The last second in which something was revoked or a key was rotated or retired, and one more for each that was in it; 0 before the first.
    fn newest_taking(&self) -> i64 {
        let revoked = self.state.issued.iter().filter_map(|one| one.revoked_at);
        let rotations = self.state.rotations.iter();
        let changed = rotations.flat_map(|one| [Some(one.rotated_at), one.retired_at]);
        let times = revoked.chain(changed.flatten());
        let Some(last) = times.clone().max() else {
            return 0;
        };
        let in_it = times.filter(|time| *time == last).count();
        last.saturating_add(i64::try_from(in_it).unwrap_or(i64::MAX))
    }

    /// What a server needs in its configuration: whom it trusts, and where it keeps accounts. `resolver` is a folder of the server's own.
    ///
    /// # Errors
    /// Where a key cannot be read.
    pub fn configuration(&self, resolver: &Path, now: i64) -> Result<String, Error> {
        let State {
            name,
            partitions: _,
            operator: _,
            system,
            account,
            issued: _,
            rotations: _,
        } = &self.state;
        let pair = self.pair("operator")?;
        let operator_jwt = claims::operator(&pair, name, system, now);
        let system_jwt = claims::account(&pair, system, "system", &[], &[], now);
        let account_jwt = self.account_jwt(now)?;
        let resolver = resolver.display().to_string();
        Ok(format!(
            "# Who may use these NATS servers. Written by `fleetcast auth`; nothing in it is secret. In the server's own configuration: include \"nats-auth.conf\"\n\
             operator: {operator_jwt}\nsystem_account: {system}\n\
             # Accounts are kept here, and a newer one that is pushed counts at once: so a credential is revoked while everything runs.\n\
             resolver {{ type: full, dir: {resolver:?}, allow_delete: false, interval: \"2m\" }}\n\
             resolver_preload {{\n  {system}: {system_jwt}\n  {account}: {account_jwt}\n}}\n"
        ))
    }

    /// Issues a credential.
    ///
    /// # Errors
    /// Where what is asked for does not fit together, or a key cannot be read.
    pub fn issue(&mut self, issue: &Issue, now: i64) -> Result<CredentialsFile, Error> {
        let Issue {
            role,
            name,
            ttl_s,
            kinds,
            namespaces,
        } = issue;
        let user = self.user_of(issue)?;
        let ends = ttl_s.map_or(0, |ttl| {
            now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX))
        });
        let or_any = |list: &[String], any: &str| match list {
            [] => vec![any.to_owned()],
            list => list.to_vec(),
        };
        let mut tags = Vec::new();
        if let Some(partition) = &user.partition {
            tags.push(format!("{}:{partition}", minting::PARTITION));
        }
        if *role == Role::Publisher {
            tags.extend(
                or_any(&user.kinds, "*.*")
                    .iter()
                    .map(|kind| format!("kind:{kind}")),
            );
            tags.extend(
                or_any(&user.namespaces, "*")
                    .iter()
                    .map(|ns| format!("ns:{ns}")),
            );
        }
        let fields = UserFields {
            issuer_account: self.state.account.clone(),
            tags,
        };
        let signer = self.pair(&signing(*role))?;
        let minted = minting::mint(&signer, &user.name, &fields, now, ends);
        let mut credentials = CredentialsFile::new(minted.jwt, minted.seed);
        let mut issued = Issued {
            role: role.word().to_owned(),
            name: name.clone(),
            public_key: minted.public_key,
            issued_at: now,
            ends_at: (ends != 0).then_some(ends),
            revoked_at: None,
            kinds: kinds.clone(),
            namespaces: namespaces.clone(),
            sealing_key: None,
            signer: Some(signer.public_key()),
            holds: Vec::new(),
        };
        self.equip(*role, &mut credentials, &mut issued, now)?;
        if *role == Role::Agent {
            let pair = XKey::new();
            credentials.sealing_keys.push(seed_of(&pair));
            issued.sealing_key = Some(pair.public_key());
        }
        self.state.issued.push(issued);
        self.save()?;
        Ok(credentials)
    }

    /// Puts the keys that a role needs beside a user's own, as they are now.
    fn equip(
        &self,
        role: Role,
        credentials: &mut CredentialsFile,
        issued: &mut Issued,
        now: i64,
    ) -> Result<(), Error> {
        match role {
            Role::Agent => {
                let masters = self.masters(now)?;
                // Before an ingest process somewhere knows the newest, it could not sign for this agent.
                let begun = masters
                    .iter()
                    .find(|master| self.is_begun(master.id(), now));
                let master = begun.or(masters.first()).ok_or_else(no_master)?;
                let key = master.derive(&issued.name, &master.new_derived_id());
                credentials.work_keys.extend(key);
            }
            Role::Ingest => {
                let agents = Key::Signing(Role::Agent);
                let pair = self.pair(&signing(Role::Agent))?;
                credentials.master_keys = self.masters(now)?;
                credentials.earlier_signers =
                    self.earlier(agents, now).map(str::to_owned).collect();
                credentials.key_times = self.key_times(now);
                credentials.sealing_keys = self.sealing_keys()?;
                let masters = credentials
                    .master_keys
                    .iter()
                    .map(|key| key.id().to_owned());
                issued.holds = masters.chain([pair.public_key()]).collect();
                credentials.signing_key = pair.seed().ok();
            }
            Role::Publisher | Role::Operator => {
                let seeds = self.sealing_keys()?;
                let pairs = seeds.iter().filter_map(|seed| XKey::from_seed(seed).ok());
                credentials.hub_keys = pairs.map(|pair| pair.public_key()).collect();
            }
            Role::Aggregator | Role::Reader => {}
        }
        Ok(())
    }

    /// What a user of ours may do.
    fn user_of(&self, issue: &Issue) -> Result<User, Error> {
        let Issue {
            role,
            name,
            ttl_s: _,
            kinds,
            namespaces,
        } = issue;
        check_name(name)?;
        let Limits { kinds, namespaces } =
            Limits::read(*role, kinds, namespaces).map_err(Error::Refused)?;
        let partition = match role {
            Role::Agent => {
                let cluster =
                    ClusterName::parse(name).map_err(|refusal| Error::Refused(refusal.message))?;
                let lane = Lane::new(cluster, self.state.partitions);
                Some(subject::partition_token(lane.partition))
            }
            _ => None,
        };
        Ok(User {
            name: subject::token(name),
            partition,
            kinds,
            namespaces,
        })
    }

    /// What a credential that would be issued so may do.
    ///
    /// # Errors
    /// Where what is asked for does not fit together.
    pub fn permissions(&self, issue: &Issue) -> Result<Permissions, Error> {
        let user = self.user_of(issue)?;
        Ok(Permissions::of(issue.role, self.state.partitions, &user))
    }

    /// Revokes every living credential of a name, of one role or of all: how many. They count until the account is pushed.
    ///
    /// # Errors
    /// Where there is none, or the folder cannot be written.
    pub fn revoke(&mut self, name: &str, role: Option<Role>, now: i64) -> Result<usize, Error> {
        let mut revoked = 0;
        for issued in &mut self.state.issued {
            let is_meant =
                issued.name == name && role.is_none_or(|role| role.word() == issued.role);
            if is_meant && issued.revoked_at.is_none() {
                issued.revoked_at = Some(now);
                revoked += 1;
            }
        }
        if revoked == 0 {
            return Err(Error::Refused(format!(
                "no credential of {name} counts; `fleetcast auth list` lists what was issued"
            )));
        }
        self.save()?;
        self.save_configuration(now)?;
        Ok(revoked)
    }

    /// Every credential that was issued, in the order of time.
    pub fn issued(&self) -> &[Issued] {
        &self.state.issued
    }

    /// The keys that authenticate work and count, the newest first.
    fn masters(&self, now: i64) -> Result<Vec<WorkKey>, Error> {
        let path = self.key("master.key");
        let text = read_secret(&path, Readers::Owner)?;
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        let read: Result<Vec<WorkKey>, _> = lines.map(|line| WorkKey::parse(line.trim())).collect();
        let mut read =
            read.map_err(|why| Error::Malformed(format!("{}: a line {why}", path.display())))?;
        let over = |key: &WorkKey| {
            let mut rotations = self.state.rotations.iter();
            rotations.any(|one| one.earlier == key.id() && !one.counts(now))
        };
        // The newest stays, also where a rotation broke off before there was another one.
        let newest = read.first().cloned();
        read.retain(|key| Some(key) == newest.as_ref() || !over(key));
        Ok(read)
    }

    /// The hub's keys that values of Secrets are sealed with, the newest first; one is made where there is none.
    fn sealing_keys(&self) -> Result<Vec<String>, Error> {
        let path = self.key("sealing.keys");
        if !path.exists() {
            write_secret(&path, (seed_of(&XKey::new()) + "\n").as_bytes())?;
        }
        let text = read_secret(&path, Readers::Owner)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| match XKey::from_seed(line) {
                Ok(_) => Ok(line.to_owned()),
                Err(_) => Err(Error::Malformed(format!(
                    "{}: a line is no private xkey (SX…)",
                    path.display()
                ))),
            })
            .collect()
    }

    /// Keeps these sealing keys as the hub's, one private xkey a line, the newest first: credentials name them from then on.
    ///
    /// # Errors
    /// Where a line is none, or the file cannot be written.
    pub fn keep_sealing_keys(&self, text: &str) -> Result<(), Error> {
        if text
            .lines()
            .any(|line| XKey::from_seed(line.trim()).is_err())
        {
            let why = "a line is no private xkey (SX…)";
            return Err(Error::Malformed(why.to_owned()));
        }
        Ok(write_secret(&self.key("sealing.keys"), text.as_bytes())?)
    }

    fn key(&self, file: &str) -> PathBuf {
        self.folder.join("keys").join(file)
    }

    fn keep(&self, word: &str, pair: &KeyPair) -> Result<(), Error> {
        let seed = pair.seed().expect("a new pair has a seed");
        Ok(write_secret(
            &self.key(&format!("{word}.nk")),
            (seed + "\n").as_bytes(),
        )?)
    }

    fn pair(&self, word: &str) -> Result<KeyPair, Error> {
        let path = self.key(&format!("{word}.nk"));
        minting::pair(&read_secret(&path, Readers::Owner)?)
    }

    /// Writes what was issued.
    fn save(&self) -> Result<(), Error> {
        let state = serde_json::to_vec_pretty(&self.state).expect("only string keys");
        Ok(write_secret(&self.folder.join("authority.json"), &state)?)
    }

    /// Writes what the servers include.
    fn save_configuration(&self, now: i64) -> Result<(), Error> {
        let configuration = self.configuration(Path::new("jwt"), now)?;
        let path = self.server_configuration();
        std::fs::write(&path, configuration).map_err(Error::io(&path))
    }
}

/// The name of a role's signing key.
fn signing(role: Role) -> String {
    format!("role-{}", role.word())
}

fn no_master() -> Error {
    Error::Malformed("there is no master key".to_owned())
}

fn seed_of(pair: &XKey) -> String {
    pair.seed().expect("a new pair has a seed")
}

pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(Error::io(&path))?;
    file.lock().map_err(Error::io(&path))?;
    Ok(file)
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._@".contains(c);
    if name.is_empty() || name.len() > NAME_LIMIT || !name.chars().all(plain) {
        return Err(Error::Refused(format!(
            "{name:?} is no name: 1 to {NAME_LIMIT} letters, digits, and -._@"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
