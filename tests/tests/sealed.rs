//! Values of Secrets: whoever reads the bus's disk, a backup, a log, a metric or an answer does not read them; the cluster that should have them does.
//!
//! | what | file |
//! |---|---|
//! | every place where a value could stand, searched | `sealed/places.rs` |
//! | the same of services that are processes of their own: logs, metrics, `hub diff` | `sealed/processes.rs` |
//! | what travels over the bus, and what a reader gets | `sealed/travelling.rs` |
//! | the hub's keys as credentials name them | `sealed/pinned.rs` |
//! | keys: none, another agent's, lost, new ones of the hub | `sealed/keys.rs` |

mod sealed {
    pub(crate) mod keys;
    pub(crate) mod pinned;
    pub(crate) mod places;
    pub(crate) mod processes;
    pub(crate) mod scene;
    pub(crate) mod travelling;
}
