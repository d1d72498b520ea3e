//! Whole fleets on real Kubernetes API servers: services as processes of their own, agents with the least rights that work.
//!
//! | what | file |
//! |---|---|
//! | the fleet that these tests use | `real/fleet.rs` |
//! | Online Boutique lands on three clusters, changes, is healed, becomes healthy, goes | `real/shop.rs` |
//! | an API server, or the bus, is away | `real/outage.rs` |
//! | watches: bookmarks, versions that are gone, lives that end | `real/watching.rs` |
//! | rights that are missing, credentials that change, two agents for one cluster | `real/rights.rs`, `real/credentials.rs`, `real/lease.rs` |
//! | a server that asks for a pause | `real/busy.rs` |
//! | health of kinds whose controllers speak for themselves | `real/health.rs` |
//! | the definitions of the native kinds; the test bed itself | `real/definitions.rs`, `real/bed.rs` |

mod real {
    mod bed;
    mod busy;
    mod credentials;
    mod definitions;
    pub(crate) mod fleet;
    mod health;
    mod lease;
    mod outage;
    mod rights;
    mod rules;
    mod shop;
    mod watching;
}
