//! Makes one real cluster true: the edge around [`fleetcast_core::reconcile`], and the only user of kube for member clusters.
//!
//! | what | file |
//! |---|---|
//! | the loop: facts into the machine, effects out of it | [`run`] |
//! | what an agent asks the ingest service for, and the check of the answer | `sync` |
//! | one item of work carried out: discovery, decision, server-side apply, deletion | [`cluster`] |
//! | one agent acts per cluster | [`cluster::lease`] |
//! | what an agent keeps in its cluster | [`cluster::memory`] |
//! | what it applied is watched | `run/session.rs`, `cluster/observe.rs` |
//! | the keys that work is held against, credentials that renew themselves | `keys.rs` |
//! | credentials that come from a Secret of the cluster | `secret.rs` |
//! | what keeps the agent from its work | [`trouble`] |
//! | how much room the cluster has | [`measure`] |
//! | what is counted | `metrics.rs` |
//! | a local copy of what the cluster should hold | `local.rs` |
//!
//! **Invariant**: an agent publishes `fc.ack`, `fc.heartbeat` and `fc.sync` of its own cluster and subscribes `fc.live`, `fc.seen` and its
//! own inboxes, and nothing else. **Invariant**: whether and what to write to the cluster is decided without IO, in `cluster/decide.rs`.

pub mod cluster;
mod keys;
mod local;
pub mod measure;
mod metrics;
mod run;
mod secret;
mod sync;
pub mod trouble;
pub mod untrusted;

pub use run::{Error, Options, run};
