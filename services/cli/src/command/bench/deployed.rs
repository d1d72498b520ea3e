//! The Deployments of a run in its clusters: written directly, read, and taken away again.

use std::collections::BTreeMap;

use futures::StreamExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use tokio::task::JoinSet;

/// Requests under way to one cluster; an agent has as many.
pub(super) const AT_ONCE: usize = 16;

/// The Deployments of namespace default of a cluster.
pub(super) fn api(client: &kube::Client) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    Api::namespaced_with(client.clone(), "default", &resource)
}

/// Watches the Deployments of each cluster until what is given back is dropped.
pub(super) fn watch_all(clients: &[kube::Client]) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    for client in clients {
        let api = api(client);
        watches.spawn(async move {
            let params = WatchParams::default().timeout(290);
            if let Ok(events) = api.watch(&params, "0").await {
                events.for_each(|_| async {}).await;
            }
        });
    }
    watches
}

/// The resource version of each, by `<place of the cluster>/<name>`.
pub(super) async fn versions(clients: &[kube::Client]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut versions = BTreeMap::new();
    for (index, client) in clients.iter().enumerate() {
        for object in api(client).list_metadata(&ListParams::default()).await? {
            let name = object.metadata.name.unwrap_or_default();
            let version = object.metadata.resource_version.unwrap_or_default();
            versions.insert(format!("{index}/{name}"), version);
        }
    }
    Ok(versions)
}

/// Takes away what the run left in clusters that outlive it.
pub(super) async fn remove(clients: &[kube::Client], names: impl Iterator<Item = String> + Clone) {
    for client in clients {
        let api = api(client);
        let deletes = names.clone().map(|name| {
            let api = &api;
            async move { api.delete(&name, &DeleteParams::default()).await }
        });
        futures::stream::iter(deletes)
            .buffer_unordered(AT_ONCE)
            // What is gone already need not be removed.
            .for_each(|_| async {})
            .await;
    }
}
