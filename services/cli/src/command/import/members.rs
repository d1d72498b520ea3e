//! How members are reached: as the arguments say, else by the Secrets that the hub's cluster objects name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fleetcast_core::model::{ClusterName, ObjectKey};
use fleetcast_hub::{Address, Api, members};
use kube::Client;
use serde_json::Value;

use crate::args::ImportArgs;
use crate::failure::Failure;

/// What files in a folder may be called behind the cluster's name.
const ENDINGS: [&str; 4] = [".kubeconfig", ".yaml", ".conf", ""];

/// A client for each of the clusters that something lands in, or why there is none.
pub(super) async fn reach(
    api: &Api,
    args: &ImportArgs,
    clusters: &BTreeMap<ObjectKey, Value>,
    names: &BTreeSet<ClusterName>,
) -> Result<BTreeMap<ClusterName, Result<Client, String>>, Failure> {
    if let Some(path) = &args.members
        && !path.exists()
    {
        return Err(Failure::Usage(format!(
            "--members {}: there is no such file or folder",
            path.display()
        )));
    }
    let mut ways = BTreeMap::new();
    for name in names {
        let way = match args.no_members {
            true => Err("no member is asked (--no-members)".to_owned()),
            false => way(api, args, clusters, name).await,
        };
        ways.insert(name.clone(), way);
    }
    Ok(ways)
}

async fn way(
    api: &Api,
    args: &ImportArgs,
    clusters: &BTreeMap<ObjectKey, Value>,
    name: &ClusterName,
) -> Result<Client, String> {
    let named = args.member.iter().find(|member| member.cluster == *name);
    let address = match (named, &args.members) {
        (Some(member), _) => Some(member.address.clone()),
        (None, Some(path)) => Some(address(path, name)?),
        (None, None) => None,
    };
    if let Some(address) = address {
        let client = address.client().await;
        return client.map_err(|error| format!("{address}: {error}"));
    }
    let live = clusters
        .iter()
        .find(|(place, _)| place.name() == name.as_str());
    let (_, live) = live.ok_or("the hub has no cluster object of that name")?;
    let endpoint = members::endpoint(api, live).await?;
    let client = endpoint.client().await;
    client.map_err(|error| format!("{}: {error}", endpoint.server))
}

/// Where a member is, by a folder of kubeconfigs or by a context of its name.
fn address(path: &Path, name: &ClusterName) -> Result<Address, String> {
    if !path.is_dir() {
        return Ok(Address {
            kubeconfig: Some(path.to_owned()),
            context: Some(name.to_string()),
        });
    }
    let files = ENDINGS.map(|ending| path.join(format!("{name}{ending}")));
    let found = files.into_iter().find(|file| file.is_file());
    Ok(Address {
        kubeconfig: Some(
            found.ok_or_else(|| format!("there is no {name}.kubeconfig in {}", path.display()))?,
        ),
        context: None,
    })
}
