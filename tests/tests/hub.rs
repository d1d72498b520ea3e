//! A Kubernetes hub as the source of changes: what is applied there lands on members, whatever breaks meanwhile.
//!
//! | what | file |
//! |---|---|
//! | a hub, a fleet, and what a person does on the hub | `hub/scene.rs` |
//! | objects of ours: applied, changed, refused, deleted, gone without a deletion | `hub/native.rs` |
//! | KubeFed's and Karmada's objects, from their own samples too | `hub/foreign.rs` |
//! | the binary: `up` with a hub, `ingest --hub`, `hub diff` | `hub/binary.rs` |
//! | a log that was cut, and checkpoints | `hub/base.rs` |
//! | two watchers, broken watches, versions that are gone, processes that are killed, and random changes | `hub/chaos.rs` |
//! | the same on a real API server | `hub/real.rs` |
//! | clusters and what is wrong in them, as each project's users read it; one process writes | `hub/told.rs` |
//! | Karmada's plain objects get the sum of their members' statuses, and no status comes back as a change | `hub/sums.rs` |
//! | both projects' samples applied to a real hub with kubectl, and kubectl's dry run | `hub/seen.rs` |
//! | Secrets of a hub: sealed before they travel, and no change when they are handed in again | `hub/secrets.rs` |
//! | what KubeFed and Karmada left on members, rehearsed and taken over | `hub/moving.rs`, `hub/left.rs` |

mod hub {
    mod base;
    mod binary;
    mod chaos;
    mod foreign;
    mod left;
    mod moving;
    mod native;
    mod real;
    pub(crate) mod scene;
    mod secrets;
    mod seen;
    mod sums;
    mod told;
}
