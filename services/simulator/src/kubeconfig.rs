//! A kubeconfig for a server without credentials.

/// The text of a kubeconfig whose only context is the server at `server_url` (`http://127.0.0.1:8001`).
pub fn kubeconfig(server_url: &str) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: simulator
  cluster:
    server: {server_url}
users:
- name: simulator
  user: {{}}
contexts:
- name: simulator
  context:
    cluster: simulator
    user: simulator
    namespace: default
current-context: simulator
"
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A stock client reads it.
    #[test]
    fn is_a_kubeconfig() {
        let config =
            kube::config::Kubeconfig::from_yaml(&kubeconfig("http://127.0.0.1:1")).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("simulator"));
        assert_eq!(
            config.clusters[0]
                .cluster
                .as_ref()
                .unwrap()
                .server
                .as_deref(),
            Some("http://127.0.0.1:1")
        );
    }
}
