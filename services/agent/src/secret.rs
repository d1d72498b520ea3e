//! Credentials that come from a Secret of the cluster: a pod has them mounted and cannot write them there, so what is renewed goes into the Secret through the API
//! server, and meanwhile into a folder of the agent's own. Of two the one that was issued later counts.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fleetcast_bus::Error;
use fleetcast_bus::credentials::CredentialsFile;
use fleetcast_kubernetes::brief;
use serde_json::{Value, json};

use crate::cluster::own::{Home, Own};

/// The key of the Secret's data, and so the name of the file that is mounted.
const KEY: &str = "creds";
/// The file of the agent's own, in its folder.
const FILE: &str = "bus.creds";

/// A Secret, where it is mounted, and the file that the agent uses.
pub(crate) struct Source {
    secret: Own,
    mounted: PathBuf,
    own: PathBuf,
}

impl Source {
    /// Begins with the newer of what is mounted and what was renewed before in `folder`.
    ///
    /// # Errors
    /// Where there are no credentials, or the folder cannot be written.
    pub(crate) fn begin(
        home: &Home,
        name: &str,
        mounted: &Path,
        folder: &Path,
    ) -> Result<Self, Error> {
        let unfit = |error: &dyn std::fmt::Display| Error::Unfit(error.to_string());
        std::fs::create_dir_all(folder)
            .map_err(|error| unfit(&format!("{}: {error}", folder.display())))?;
        let source = Self {
            secret: Own::new(home, "", "Secret", name),
            mounted: mounted.to_owned(),
            own: folder.join(FILE),
        };
        let given = CredentialsFile::read(mounted);
        match (given, CredentialsFile::read(&source.own)) {
            (Ok(given), Ok(own)) if issued_at(&given) <= issued_at(&own) => {}
            (Ok(given), _) => given.write(&source.own).map_err(|error| unfit(&error))?,
            (Err(_), Ok(_)) => {}
            (Err(error), Err(_)) => return Err(unfit(&error)),
        }
        Ok(source)
    }

    /// The file that the agent uses.
    pub(crate) fn file(&self) -> &Path {
        &self.own
    }

    /// Takes over what is mounted where that is newer: whether it was.
    pub(crate) fn take_mounted(&self) -> Result<bool, String> {
        let given = CredentialsFile::read(&self.mounted).map_err(|error| error.to_string())?;
        self.take(&given)
    }

    /// Takes over what the Secret holds where that is newer, else writes ours into it where ours is: whether ours is another now.
    pub(crate) async fn exchange(&self) -> Result<bool, String> {
        let failed =
            |error: kube::Error| format!("the Secret of the credentials: {}", brief(&error));
        let Some(mut secret) = self.secret.get().await.map_err(failed)? else {
            return Err("the Secret of the credentials is not there".to_owned());
        };
        let own = self.read()?;
        if let Some(held) = held(&secret) {
            if self.take(&held)? {
                return Ok(true);
            }
            if issued_at(&held) == issued_at(&own) {
                return Ok(false);
            }
        }
        secret["data"][KEY] = json!(STANDARD.encode(own.text()));
        let version = secret["metadata"]["resourceVersion"].as_str();
        let version = version.unwrap_or_default().to_owned();
        match self
            .secret
            .put(Some(&version), &secret)
            .await
            .map_err(failed)?
        {
            Some(_) => Ok(false),
            None => Err("somebody else writes the Secret of the credentials".to_owned()),
        }
    }

    fn take(&self, given: &CredentialsFile) -> Result<bool, String> {
        if issued_at(given) <= issued_at(&self.read()?) {
            return Ok(false);
        }
        given.write(&self.own).map_err(|error| error.to_string())?;
        Ok(true)
    }

    fn read(&self) -> Result<CredentialsFile, String> {
        CredentialsFile::read(&self.own).map_err(|error| error.to_string())
    }
}

/// What a Secret holds; none where that is nothing that can be read.
fn held(secret: &Value) -> Option<CredentialsFile> {
    let text = STANDARD.decode(secret["data"][KEY].as_str()?).ok()?;
    CredentialsFile::parse(std::str::from_utf8(&text).ok()?).ok()
}

/// When credentials were issued or renewed, Unix seconds.
fn issued_at(file: &CredentialsFile) -> i64 {
    file.claims().map_or(0, |claims| claims.issued_at)
}
