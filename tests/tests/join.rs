//! A cluster joins in one command, and leaves in one: on a real API server with RBAC on, whose agent runs outside with its service account's token.
//!
//! | what | file |
//! |---|---|
//! | two commands from nothing to a joined cluster, as a person types them; and one to let it go | `join/story.rs` |
//! | joined by a kubeconfig, with the kinds named, and credentials that renew themselves in their Secret | `join/kubeconfig.rs` |
//! | NATS servers that ask for a certificate: it comes with the manifest, and is renewed | `join/mutual.rs` |
//! | an agent of the chart becomes one that joined, in its namespace | `join/chart.rs` |
//! | everything that the agent may do, and everything that it may not | `join/rights.rs` |
//! | what a kubelet would do with the Deployment | `join/pod.rs` |

mod join {
    mod chart;
    pub(crate) mod kubeconfig;
    mod mutual;
    pub(crate) mod pod;
    pub(crate) mod rights;
    pub(crate) mod story;
}
