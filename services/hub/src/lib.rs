//! A Kubernetes API server as the source of changes: the hub.
//!
//! | what | file |
//! |---|---|
//! | where a hub is, who it is, and what is asked of it | [`api`] |
//! | one process at a time watches a hub: facts into the machine, effects out of it | [`run`] |
//! | which kinds of a hub are watched | `run/watching.rs` |
//! | effects carried out: finalizers, submissions, reports | `run/doing.rs`, `run/report.rs` |
//! | handing in, at the door that every publisher uses | `submit.rs` |
//! | what is known of the log at a start | [`state`] |
//! | status written back to its objects | [`status`] |
//! | a hub held against the log, once | [`survey`] |
//! | what a hub holds of another controller's dialect, once | [`inventory`] |
//! | the way to the members that it names | [`members`] |
//!
//! What is done about an object is decided without IO, in [`fleetcast_core::hub`].
//!
//! **Invariant**: what a hub says goes through `fc.in.>` like everybody's changes; nothing here writes to a stream.

pub mod api;
pub mod inventory;
pub mod members;
pub mod run;
pub mod state;
pub mod status;
pub mod submit;
pub mod survey;

pub use api::{Address, Api};
pub use run::{Options, run};
