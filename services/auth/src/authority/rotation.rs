//! Keys that take another's place: the earlier one counts beside the newest, until everybody has followed or a time has come.
//!
//! | key | newest | who follows, and how |
//! |---|---|---|
//! | `work` | made into work keys of agents | agents, told by ingest; ingest by its file |
//! | a role | signs credentials of that role | agents by renewal at ingest; others by [`Authority::renew`] |

use std::collections::BTreeSet;

use fleetcast_bus::credentials::{CredentialsFile, KeyTimes, write_secret};
use fleetcast_bus::work_key::WorkKey;
use fleetcast_schemas::role::{GRANTS, Role};
use nkeys::KeyPair;
use serde::{Deserialize, Serialize};

use super::{Authority, Issued, Standing, signing};
use crate::Error;
use crate::claims::{self, UserFields};

/// A key of the operator's folder that can be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The master key that work keys are derived from.
    Work,
    /// The signing key of a role.
    Signing(Role),
}

impl Key {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let signing = GRANTS.iter().map(|grant| Self::Signing(grant.role));
        std::iter::once(Self::Work).chain(signing)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Signing(role) => role.word(),
        }
    }

    /// The key of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::all().find(|key| key.word() == word)
    }
}

/// A key that took an earlier one's place. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The word for the key.
    pub key: String,
    /// The id of the one that counts beside it: a master key's own, a signing key's public half.
    pub earlier: String,
    /// The id of the one that took its place.
    pub newest: String,
    /// When it was made.
    pub rotated_at: i64,
    /// From when on what is made with it is handed out.
    pub from: i64,
    /// When the earlier one counts no more.
    pub until: i64,
    /// When it was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<i64>,
}

impl Rotation {
    /// Whether the earlier key counts at `now`.
    pub fn counts(&self, now: i64) -> bool {
        self.retired_at.is_none() && now < self.until
    }
}

/// A key that is to take another's place.
enum Another {
    /// With those that count beside it, the newest first.
    Masters(Vec<WorkKey>),
    Signing(Role, Box<KeyPair>),
}

impl Another {
    fn id(&self) -> String {
        match self {
            Self::Masters(all) => all.first().map_or("", WorkKey::id).to_owned(),
            Self::Signing(_, pair) => pair.public_key(),
        }
    }

    fn keep(&self, of: &Authority) -> Result<(), Error> {
        match self {
            Self::Masters(all) => of.keep_masters(all),
            Self::Signing(role, pair) => of.keep(&signing(*role), pair),
        }
    }
}

impl Authority {
    /// Makes another key in the place of each of `keys`. What is made with it is handed out from `from` on, and the earlier one counts until `until`, Unix seconds.
    /// A signing key counts once the account is pushed; so that agents can be told from those that have not followed, that of the role agent takes the master key with it.
    ///
    /// # Errors
    /// Where the times do not fit, or a key cannot be read or written.
    pub fn rotate(
        &mut self,
        keys: &BTreeSet<Key>,
        from: i64,
        until: i64,
        now: i64,
    ) -> Result<Vec<Rotation>, Error> {
        if until <= from {
            return Err(Error::Refused(
                "the earlier key would end before the newest is handed out: name a longer time with --keep, or a shorter one with --begin-in".to_owned(),
            ));
        }
        let mut keys = keys.clone();
        if keys.contains(&Key::Signing(Role::Agent)) {
            keys.insert(Key::Work);
        }
        let mut made = Vec::new();
        for key in keys {
            let (earlier, newest) = self.another(key, now)?;
            let rotation = Rotation {
                key: key.word().to_owned(),
                earlier,
                newest: newest.id(),
                rotated_at: now,
                from,
                until,
                retired_at: None,
            };
            // Written down first: the servers would be told that the earlier key counts no more by whoever finds only the other one.
            self.state.rotations.push(rotation.clone());
            self.save()?;
            newest.keep(self)?;
            made.push(rotation);
        }
        self.save_configuration(now)?;
        Ok(made)
    }

    /// The id of a key as it is, and another one that is kept nowhere yet.
    fn another(&self, key: Key, now: i64) -> Result<(String, Another), Error> {
        match key {
            Key::Work => {
                let masters = self.masters(now)?;
                let newest = masters.first().ok_or_else(super::no_master)?;
                let earlier = newest.id().to_owned();
                let mut all = vec![WorkKey::generate(&WorkKey::random_id())];
                all.extend(masters);
                Ok((earlier, Another::Masters(all)))
            }
            Key::Signing(role) => {
                let earlier = self.pair(&signing(role))?.public_key();
                Ok((
                    earlier,
                    Another::Signing(role, Box::new(KeyPair::new_account())),
                ))
            }
        }
    }

    /// Takes the earlier ones of `keys` away; it counts once the account is pushed and every ingest has its file.
    ///
    /// # Errors
    /// Where there is none, or the folder cannot be written.
    pub fn retire(&mut self, keys: &BTreeSet<Key>, now: i64) -> Result<Vec<Rotation>, Error> {
        let mut retired = Vec::new();
        for rotation in &mut self.state.rotations {
            let is_meant = Key::of(&rotation.key).is_some_and(|key| keys.contains(&key));
            if is_meant && rotation.retired_at.is_none() {
                rotation.retired_at = Some(now);
                retired.push(rotation.clone());
            }
        }
        if retired.is_empty() {
            return Err(Error::Refused(
                "no earlier key is kept: `fleetcast auth keys` lists what there is".to_owned(),
            ));
        }
        self.save()?;
        let masters = self.masters(now)?;
        self.keep_masters(&masters)?;
        self.save_configuration(now)?;
        Ok(retired)
    }

    fn keep_masters(&self, all: &[WorkKey]) -> Result<(), Error> {
        let text: String = all.iter().map(|key| key.text() + "\n").collect();
        Ok(write_secret(&self.key("master.key"), text.as_bytes())?)
    }

    /// Every rotation, in the order of time.
    pub fn rotations(&self) -> &[Rotation] {
        &self.state.rotations
    }

    /// The id of the newest of a key.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn newest(&self, key: Key, now: i64) -> Result<String, Error> {
        match key {
            Key::Work => {
                let masters = self.masters(now)?;
                let newest = masters.first().ok_or_else(super::no_master)?;
                Ok(newest.id().to_owned())
            }
            Key::Signing(role) => Ok(self.pair(&signing(role))?.public_key()),
        }
    }

    /// The credentials that count and have not followed to the newest of a key, as far as the folder knows. Of agents it does not: ingest renews them.
    ///
    /// # Errors
    /// Where a key cannot be read.
    pub fn behind(&self, key: Key, now: i64) -> Result<Vec<&Issued>, Error> {
        let newest = self.newest(key, now)?;
        let is_behind = |issued: &&Issued| {
            let counts = !matches!(issued.standing(now), Standing::Revoked | Standing::Ended);
            let holds = issued.role == Role::Ingest.word() && !issued.holds.contains(&newest);
            let signed = issued.signer.as_deref() != Some(newest.as_str());
            counts
                && match key {
                    Key::Work => holds,
                    Key::Signing(Role::Agent) => holds,
                    Key::Signing(role) => issued.role == role.word() && signed,
                }
        };
        Ok(self.state.issued.iter().filter(is_behind).collect())
    }

    /// Renews credentials: the same user, as long again or as long as `ttl_s` says (its inner none for ever), with the keys as they are now.
    ///
    /// # Errors
    /// Where they are not of this operator, were revoked, or a key cannot be read.
    pub fn renew(
        &mut self,
        file: &CredentialsFile,
        ttl_s: Option<Option<u64>>,
        now: i64,
    ) -> Result<CredentialsFile, Error> {
        let user = claims::read_user(&file.jwt)?;
        let mut all = self.state.issued.iter();
        let Some(index) = all.position(|issued| issued.public_key == user.sub) else {
            return Err(Error::Refused(format!(
                "the credentials of {} were not issued by this operator",
                user.name
            )));
        };
        let known = self.state.issued[index].clone();
        let role = Role::of(&known.role)
            .ok_or_else(|| Error::Malformed(format!("{} is no role", known.role)))?;
        if known.revoked_at.is_some() {
            return Err(Error::Refused(format!(
                "the credentials of {} were revoked; next: fleetcast auth issue {} {}",
                known.name, known.role, known.name
            )));
        }
        let signer = self.pair(&signing(role))?;
        // What the file says may be wrong: it is taken only where a key of ours signed it.
        let earlier = self.state.rotations.iter();
        let earlier = earlier.filter(|rotation| rotation.key == known.role);
        let mut signed = claims::verify_user(&file.jwt, &signer);
        for rotation in earlier {
            if let (Err(_), Ok(pair)) = (&signed, KeyPair::from_public_key(&rotation.earlier)) {
                signed = claims::verify_user(&file.jwt, &pair);
            }
        }
        let user = signed?;
        let life = match user.exp {
            0 => None,
            exp => u64::try_from(exp - user.iat).ok(),
        };
        let ends = ttl_s
            .unwrap_or(life)
            .map(|ttl| now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)));
        let fields = UserFields {
            issuer_account: self.state.account.clone(),
            tags: user.nats.tags,
        };
        let jwt = claims::user(
            &signer,
            &user.sub,
            &user.name,
            &fields,
            now,
            ends.unwrap_or(0),
        );
        let mut renewed = CredentialsFile {
            jwt,
            ..CredentialsFile::new("", file.seed.clone())
        };
        let mut issued = known;
        self.equip(role, &mut renewed, &mut issued, now)?;
        // What opens, or was on its way, goes on doing so.
        let of_folder = std::mem::take(&mut renewed.sealing_keys);
        let of_file = file.sealing_keys.clone();
        let knows_newest = of_folder.first().is_none_or(|key| of_file.contains(key));
        let (first, then) = match knows_newest {
            true => (of_file, of_folder),
            false => (of_folder, of_file),
        };
        renewed.sealing_keys = in_order(first.into_iter().chain(then));
        renewed.work_keys.extend(file.work_keys.first().cloned());
        (issued.issued_at, issued.ends_at) = (now, ends);
        issued.signer = Some(signer.public_key());
        self.state.issued[index] = issued;
        self.save()?;
        Ok(renewed)
    }

    /// The earlier signing keys of a role that count.
    pub(super) fn earlier(&self, key: Key, now: i64) -> impl Iterator<Item = &str> {
        let of_key = move |rotation: &&Rotation| rotation.key == key.word();
        let counting = self.state.rotations.iter().filter(of_key);
        let counting = counting.filter(move |rotation| rotation.counts(now));
        counting.map(|rotation| rotation.earlier.as_str())
    }

    /// Whether what is made with a key is handed out.
    pub(super) fn is_begun(&self, id: &str, now: i64) -> bool {
        let mut rotations = self.state.rotations.iter();
        !rotations.any(|one| one.newest == id && one.from > now)
    }

    /// From when and until when the keys count that an ingest process has.
    pub(super) fn key_times(&self, now: i64) -> Vec<KeyTimes> {
        let of_ingest = |rotation: &&Rotation| {
            [Key::Work, Key::Signing(Role::Agent)]
                .iter()
                .any(|key| key.word() == rotation.key)
        };
        let counting = self.state.rotations.iter().filter(of_ingest);
        let counting = counting.filter(|rotation| rotation.counts(now));
        let times = counting.flat_map(|rotation| {
            [
                KeyTimes {
                    id: rotation.newest.clone(),
                    from: Some(rotation.from),
                    until: None,
                },
                KeyTimes {
                    id: rotation.earlier.clone(),
                    from: None,
                    until: Some(rotation.until),
                },
            ]
        });
        times.collect()
    }
}

/// Without those that stand there twice, the first of each in its place.
fn in_order(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.filter(|one| seen.insert(one.clone())).collect()
}
