//! The nouns that users write, valid once built.
//!
//! | noun | file |
//! |---|---|
//! | names: cluster, namespace, kind, … | [`name`] |
//! | the target of a federated object | [`object`] |
//! | a member cluster | [`cluster`] |
//! | a label selector, a toleration | [`selector`] |
//! | how replicas are divided | [`division`] |
//! | spread rules, preferred groups of clusters | [`spread`] |
//! | a federated object, whatever dialect it came in | [`federated`] |

pub mod cluster;
pub mod division;
pub mod federated;
pub mod name;
pub mod object;
pub mod selector;
pub mod spread;

pub use cluster::{Cluster, OnHub, Taint, TaintEffect};
pub use division::{Divide, Division};
pub use federated::{ApplyPolicy, Dialect, FederatedObject, Override, Placement};
pub use name::{ClusterName, is_dns_label};
pub use object::ObjectKey;
pub use selector::{Selector, Toleration};
pub use spread::{Preference, Spread, Topology};

/// The apiVersion of our own kinds.
pub const API_VERSION: &str = "fleetcast.dev/v1alpha1";
