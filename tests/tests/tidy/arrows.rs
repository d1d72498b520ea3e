//! Who may use whom: `core ← schemas ← {bus, endpoint}`, `bus ← auth`, `{bus, auth, endpoint} ← {ingest, hub, agent, aggregator} ← cli ← tests`, `kubernetes ← {hub, agent}`, and who may name which crate from outside.
//!
//! What a crate does not name in its `Cargo.toml` it cannot use, so that is where this looks. A new arrow is a page in
//! `docs/decisions/` and a change here.

use std::collections::BTreeSet;

use super::tree::Tree;

/// Each crate of ours with the crates of ours that it may use.
const ARROWS: [(&str, &[&str]); 16] = [
    ("core", &[]),
    ("schemas", &["core"]),
    ("bus", &["core", "schemas"]),
    ("auth", &["core", "schemas", "bus"]),
    ("endpoint", &["core", "schemas"]),
    ("sealing", &["core"]),
    (
        "ingest",
        &["core", "schemas", "bus", "auth", "endpoint", "sealing"],
    ),
    (
        "agent",
        &[
            "core",
            "schemas",
            "bus",
            "endpoint",
            "kubernetes",
            "sealing",
        ],
    ),
    ("hub", &["core", "schemas", "bus", "kubernetes", "sealing"]),
    ("kubernetes", &[]),
    ("aggregator", &["core", "schemas", "bus", "endpoint"]),
    ("simulator", &[]),
    (
        "cli",
        &[
            "core",
            "schemas",
            "bus",
            "auth",
            "endpoint",
            "ingest",
            "agent",
            "hub",
            "kubernetes",
            "aggregator",
            "sealing",
            "simulator",
        ],
    ),
    (
        "tests",
        &[
            "core",
            "schemas",
            "bus",
            "auth",
            "endpoint",
            "ingest",
            "agent",
            "hub",
            "kubernetes",
            "aggregator",
            "sealing",
            "simulator",
            "cli",
        ],
    ),
    ("world", &["core"]),
    ("xtask", &[]),
];

/// What a crate's own tests may use beside: a cluster to act on, credentials.
const IN_TESTS: [(&str, &[&str]); 2] = [("agent", &["simulator"]), ("aggregator", &["auth"])];

/// Crates from outside that only some of ours may use, so that only those change with them.
const OWNED: [(&str, &[&str]); 6] = [
    ("async-nats", &["bus", "tests"]),
    ("axum", &["endpoint"]),
    ("prometheus-client", &["endpoint"]),
    (
        "kube",
        &["agent", "hub", "kubernetes", "simulator", "cli", "tests"],
    ),
    (
        "kube-core",
        &["agent", "hub", "kubernetes", "simulator", "cli", "tests"],
    ),
    (
        "k8s-openapi",
        &["agent", "hub", "kubernetes", "simulator", "cli", "tests"],
    ),
];

/// What has a clock, chance, IO, or a log: the core decides, and its edges do the rest.
const NOT_IN_CORE: [&str; 14] = [
    "async-trait",
    "chrono",
    "fastrand",
    "futures",
    "getrandom",
    "hyper",
    "log",
    "rand",
    "reqwest",
    "tempfile",
    "time",
    "tokio",
    "tracing",
    "uuid",
];

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for one in tree.crates() {
        let Some((name, allowed)) = ARROWS.iter().find(|(name, _)| *name == one.name()) else {
            violations.push(format!(
                "{}: no row in ARROWS says what it may use",
                one.folder
            ));
            continue;
        };
        let built = dependencies(one.manifest, Kind::Built);
        for dependency in dependencies(one.manifest, Kind::All) {
            let in_tests = !built.contains(&dependency)
                && IN_TESTS.iter().any(|(tester, used)| {
                    tester == name && used.iter().any(|used| dependency.ends_with(used))
                });
            let ours = dependency.strip_prefix("fleetcast-").unwrap_or(&dependency);
            if ARROWS.iter().any(|(other, _)| *other == ours)
                && ours != *name
                && !allowed.contains(&ours)
                && !in_tests
            {
                violations.push(format!(
                    "{}/Cargo.toml: {name} may not use {ours}",
                    one.folder
                ));
            }
            if let Some((outside, owners)) =
                OWNED.iter().find(|(outside, _)| *outside == dependency)
                && !owners.contains(name)
            {
                violations.push(format!(
                    "{}/Cargo.toml: {name} may not use {outside}; only {} may",
                    one.folder,
                    owners.join(", ")
                ));
            }
        }
        if *name == "core" {
            let named = dependencies(one.manifest, Kind::Built);
            let forbidden = NOT_IN_CORE
                .iter()
                .filter(|outside| named.contains(**outside));
            violations.extend(forbidden.map(|outside| {
                format!("{}/Cargo.toml: the core may not use {outside}", one.folder)
            }));
        }
    }
    violations
}

/// Which of a manifest's dependencies are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Those that its tests and its build use too.
    All,
    /// Those that are built into it.
    Built,
}

/// The names of the crates under `[dependencies]` and its like, as they are called at the registry.
fn dependencies(manifest: &str, kind: Kind) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut section = Section::Other;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            section = Section::of(header.trim_end_matches(']'), kind);
            if let Section::OneDependency(name) = section {
                names.insert(name.to_owned());
            }
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let renamed = match section {
            Section::Dependencies => value
                .split_once("package")
                .and_then(|(_, rest)| rest.split('"').nth(1)),
            Section::OneDependency(_) if key.trim() == "package" => value.split('"').nth(1),
            Section::OneDependency(_) | Section::Other => continue,
        };
        let key = key
            .split('.')
            .next()
            .unwrap_or(key)
            .trim()
            .trim_matches('"');
        names.insert(renamed.unwrap_or(key).to_owned());
    }
    names
}

#[derive(Clone, Copy)]
enum Section<'header> {
    Dependencies,
    OneDependency(&'header str),
    Other,
}

impl<'header> Section<'header> {
    fn of(header: &'header str, kind: Kind) -> Self {
        // `target.'cfg(…)'.dependencies` is read like `dependencies`; the quoted part may have dots of its own.
        let tail = header.rsplit_once("'.").map_or(header, |(_, tail)| tail);
        let mut parts = tail.splitn(2, '.');
        match (parts.next(), parts.next(), kind) {
            (Some("dependencies"), None, _)
            | (Some("dev-dependencies" | "build-dependencies"), None, Kind::All) => {
                Self::Dependencies
            }
            (Some("dependencies"), Some(name), _)
            | (Some("dev-dependencies" | "build-dependencies"), Some(name), Kind::All) => {
                Self::OneDependency(name)
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn the_workspace_keeps_its_arrows() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a service that names another is reported, in whatever way it does.
    #[test]
    fn a_service_that_sees_another_is_seen_to_fail() {
        for manifest in [
            "[dependencies]\nfleetcast-core.workspace = true\nfleetcast-ingest.workspace = true\n",
            "[dependencies]\nfleetcast-ingest = { path = \"../ingest\" }\n",
            "[dev-dependencies]\nfleetcast-ingest.workspace = true\n",
            "[dependencies.fleetcast-ingest]\nworkspace = true\n",
            "[target.'cfg(target_os = \"linux\")'.dependencies]\nfleetcast-ingest.workspace = true\n",
            "[dependencies]\nother = { package = \"fleetcast-ingest\", path = \"../ingest\" }\n",
        ] {
            let tree = Tree::of([("services/agent/Cargo.toml", manifest)]);
            expect_one(
                &violations(&tree),
                &["services/agent/Cargo.toml", "agent may not use ingest"],
            );
        }
    }

    /// Shows that an arrow that points outwards is reported.
    #[test]
    fn an_arrow_that_points_outwards_is_seen_to_fail() {
        let tree = Tree::of([(
            "services/core/Cargo.toml",
            "[dependencies]\nfleetcast-schemas.workspace = true\n",
        )]);
        expect_one(&violations(&tree), &["core may not use schemas"]);
    }

    /// Shows that a crate from outside in the wrong hands is reported, with the right ones.
    #[test]
    fn a_crate_in_the_wrong_hands_is_seen_to_fail() {
        let tree = Tree::of([(
            "services/ingest/Cargo.toml",
            "[dependencies]\nasync-nats.workspace = true\n",
        )]);
        expect_one(
            &violations(&tree),
            &["ingest may not use async-nats", "only bus, tests may"],
        );
        let tree = Tree::of([("services/bus/Cargo.toml", "[dependencies]\nkube = \"5\"\n")]);
        expect_one(&violations(&tree), &["bus may not use kube"]);
    }

    /// Shows that a runtime in the core is reported, and one in its tests is not.
    #[test]
    fn a_runtime_in_the_core_is_seen_to_fail() {
        let tree = Tree::of([(
            "services/core/Cargo.toml",
            "[dependencies]\ntokio = { version = \"1\" }\n[dev-dependencies]\ntempfile = \"3\"\n",
        )]);
        expect_one(&violations(&tree), &["the core may not use tokio"]);
    }

    /// Shows that a new crate must get a row.
    #[test]
    fn a_crate_without_a_row_is_seen_to_fail() {
        let tree = Tree::of([(
            "services/extra/Cargo.toml",
            "[package]\nname = \"fleetcast-extra\"\n",
        )]);
        expect_one(&violations(&tree), &["services/extra", "no row"]);
    }

    /// Shows that what is allowed, commented out, or no dependency is not reported.
    #[test]
    fn what_is_allowed_is_not_reported() {
        let manifest = "[package]\nname = \"fleetcast-bus\"\n\n[dependencies]\n# kube = \"5\"\nfleetcast-core.workspace = true\nasync-nats.workspace = true\n\n[features]\nkube = []\n";
        expect_none(&violations(&Tree::of([(
            "services/bus/Cargo.toml",
            manifest,
        )])));
    }
}
