//! Kubernetes API servers in memory, behind a stock `kube::Client` or over HTTP.
//!
//! A [`Cluster`] is one API server. It stands in where no real one is at hand and where thousands are needed: an empty one costs a few
//! KiB and no task. What it does it does as the real server, in the real server's words: the scenarios of `tests/tests/conformance` are held against
//! both. This is what it does not do:
//!
//! | area | simulated | not simulated |
//! |---|---|---|
//! | kinds | the usual built-in kinds (`kinds.rs`), CustomResourceDefinitions as soon as they are created, several versions | conversion between versions (only `apiVersion` changes), aggregated API servers, `Scale` and every subresource but `status` |
//! | discovery | `/version`, legacy and aggregated discovery, as much OpenAPI v3 as kubectl needs to validate on the server | schemas in OpenAPI, so `kubectl explain` |
//! | reading | get, list with label and field selectors, pages, tables, metadata only | pages as of the first page's version (each page is as of now) |
//! | watching | from a version, from now, `sendInitialEvents`, `410 Expired` beyond a bounded window, a bookmark when the time is up | regular bookmarks in between |
//! | bodies | JSON, YAML; protobuf of what `kubectl create` makes of Namespaces, ConfigMaps, Secrets, ServiceAccounts, ResourceQuotas and Deployments (`protobuf.rs`) | any other protobuf (415 names it), answers in protobuf, CBOR |
//! | writing | create, update, JSON, merge and strategic merge patch, dry run, conflicts by resourceVersion and uid, `generation`, `/status` | `fieldValidation`: unknown fields are kept and never refused; pruning and validation against CRD schemas |
//! | server-side apply | `managedFields`, conflicts, `force`, shared and dropped fields, list types of built-in kinds and CRDs, `before-first-apply` | `null` in an applied configuration (it is left out), the migration from `kubectl.kubernetes.io/last-applied-configuration`, the limit of 10 updaters, changes of a schema |
//! | deleting | finalizers, preconditions, background and orphan propagation, what is in a namespace or of a CRD | foreground propagation (it is background), grace periods |
//! | rules | names, labels, sizes, `Secret.stringData`, immutable Secrets and ConfigMaps, a few fields that never change (`validate.rs`) | defaults, every other validation |
//! | behaviour | | controllers, schedulers, admission, authentication, authorization, quotas, events of its own |
//!
//! Inside, `server.rs`, `service.rs` and `http.rs` are the edge: they read the clock, make uids, and stream. Everything else decides
//! without IO; `store.rs` is where it comes together.

mod apply;
mod cluster;
mod definition;
mod discovery;
mod faults;
mod http;
mod kind;
mod kinds;
mod kubeconfig;
mod object;
mod openapi;
mod orders;
mod patch;
mod protobuf;
mod request;
mod requests;
mod selector;
mod server;
mod service;
mod status;
mod store;
mod table;
mod validate;
mod view;
mod watch;

pub use cluster::Cluster;
pub use faults::Faults;
pub use http::HttpServer;
pub use kubeconfig::kubeconfig;
pub use requests::Requests;
pub use store::ImportError;
