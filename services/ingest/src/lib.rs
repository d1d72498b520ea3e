//! Changes in, decisions and work out.
//!
//! | what | file |
//! |---|---|
//! | one process: standing by, leading, its checkpoint | [`run`] |
//! | what it knows, as checkpoint and base keep it | [`State`] |
//! | what is handed in: parts, JSON, dialects, the answer | `door` |
//! | CloudEvents in structured mode | `cloud_event` |
//! | the same over HTTP | `http` |
//! | taking over a partition's work stream, and writing to it | `lanes` |
//! | what an agent asks for when it lacks something | `sync` |
//! | signed work, renewed credentials | `keys` |
//! | which clusters are heard | `liveness` |
//! | what is counted | `metrics` |
//! | YAML and JSON text to documents | [`documents`] |
//!
//! Decisions are the core's ([`fleetcast_core::intake`], [`fleetcast_core::placer`]); here they are carried out.

mod cloud_event;
pub mod documents;
mod door;
mod http;
mod keys;
mod lanes;
mod liveness;
mod metrics;
pub mod run;
mod state;
mod sync;
pub mod untrusted;

pub use run::{INGEST, OFFLINE_AFTER, Options, REMOVALS, of_base, run};
pub use state::{Answered, State};
