//! The private keys that values of Secrets are sealed with and opened by, from files.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use fleetcast_aggregator::answer::{Clusters, Request};
use fleetcast_aggregator::client;
use fleetcast_bus::Bus;
use fleetcast_bus::credentials::{self, CredentialsFile, Readers, read_secret, write_secret};
use fleetcast_core::model::{Cluster, ClusterName};
use fleetcast_sealing::{Keys, Sealer, Sealing};

use crate::args::{BusArgs, SealingArgs};
use crate::failure::Failure;

/// Reads a file of private xkeys: one a line, the newest first; other lines are passed over, so a credentials file is one, too.
pub(crate) fn read(path: &Path) -> anyhow::Result<Keys> {
    let text = read_secret(path, Readers::Group)?;
    let keys = Keys::parse(&text)
        .map_err(|line| anyhow!("{}: line {line} is no private xkey (SX…)", path.display()))?;
    if keys.newest().is_none() {
        bail!(
            "{} holds no private xkey (SX…); next: fleetcast sealing new FILE makes one",
            path.display()
        );
    }
    Ok(keys)
}

/// Reads a file of private xkeys; one with a new key is made where there is none.
pub(crate) fn read_or_create(path: &Path) -> anyhow::Result<Keys> {
    let is_missing = |error: &credentials::Error| matches!(error, credentials::Error::File(_, error) if error.kind() == ErrorKind::NotFound);
    match read_secret(path, Readers::Group) {
        Err(error) if is_missing(&error) => {
            write_secret(path, Keys::generate().text().as_bytes())?;
            read(path)
        }
        Ok(_) | Err(_) => read(path),
    }
}

/// Puts a new key in front of those of a file, which may be a credentials file.
pub(crate) fn rotate(path: &Path) -> anyhow::Result<Keys> {
    let keys = read(path)?.rotated();
    if !read_secret(path, Readers::Group)?.contains("NATS USER JWT") {
        write_secret(path, keys.text().as_bytes())?;
        return Ok(keys);
    }
    let mut credentials = CredentialsFile::read(path)?;
    credentials.sealing_keys = keys.text().lines().map(str::to_owned).collect();
    credentials.write(path)?;
    Ok(keys)
}

/// What a cluster is registered as with the public key of its agent; the rest is as it is known.
pub(crate) async fn keyed(bus: &Bus, name: &ClusterName, key: &str) -> Result<Cluster, Failure> {
    let answer: Clusters = client::query(bus, "clusters", None, &Request::default()).await?;
    let known = answer.clusters.into_iter();
    let known = known
        .filter(|summary| summary.registered)
        .find(|summary| summary.cluster == *name);
    let known = known.map_or_else(|| Cluster::named(name.clone()), Cluster::from);
    Ok(Cluster {
        sealing_key: Some(key.to_owned()),
        ..known
    })
}

/// What ingest does with the values of Secrets, by its arguments and credentials.
pub(crate) fn of_ingest(args: &SealingArgs, bus: &BusArgs) -> anyhow::Result<Sealing> {
    let SealingArgs {
        sealing_keys,
        plain_secrets,
        sealed_fields,
    } = args;
    if *plain_secrets {
        return Ok(Sealing::Plain);
    }
    let keys = match sealing_keys {
        Some(path) => read(path)?,
        None => of_credentials(bus)?,
    };
    if keys.newest().is_none() {
        if !sealed_fields.is_empty() {
            bail!("--sealed-field needs --sealing-keys");
        }
        return Ok(Sealing::Refused);
    }
    Ok(Sealing::With(Arc::new(Sealer::new(
        keys,
        sealed_fields.clone(),
    ))))
}

/// The keys of an agent: those of `path`, else those of its credentials, else none.
pub(crate) fn of_agent(path: Option<&Path>, bus: &BusArgs) -> anyhow::Result<Keys> {
    match path {
        Some(path) => read(path),
        None => of_credentials(bus),
    }
}

/// The sealing keys that stand in the credentials file; an empty set where there are none.
fn of_credentials(bus: &BusArgs) -> anyhow::Result<Keys> {
    let Some(path) = &bus.creds else {
        return Ok(Keys::default());
    };
    let text = read_secret(path, Readers::Group)?;
    Keys::parse(&text)
        .map_err(|line| anyhow!("{}: line {line} is no private xkey (SX…)", path.display()))
}
