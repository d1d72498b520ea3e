//! A Kubernetes API server as the source of changes: the hub.
//!
//! | what | file |
//! |---|---|
//! | where a hub is, who it is, and what is asked of it | [`api`] |
//!
//! What is done about an object is decided without IO, in [`fleetcast_core::hub`].

pub mod api;

pub use api::{Address, Api};
