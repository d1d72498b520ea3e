//! Every Rust file is reached by a `mod` line: one that is not is never compiled, and nobody notices.

use std::collections::BTreeSet;

use super::rust_code::{self, TestCode};
use super::tree::Tree;

fn violations(tree: &Tree) -> Vec<String> {
    let folders: Vec<&str> = tree.crates().map(|one| one.folder).collect();
    let mut reached = BTreeSet::new();
    for (path, _) in tree.rust_files() {
        if folders.iter().any(|folder| {
            path.strip_prefix(folder)
                .and_then(|path| path.strip_prefix('/'))
                .is_some_and(is_root)
        }) {
            reached.extend(
                rust_code::modules(tree, path, TestCode::Included)
                    .into_iter()
                    .map(|module| module.file),
            );
        }
    }
    tree.rust_files()
        .filter(|(path, _)| !reached.contains(*path))
        .map(|(path, _)| format!("{path}: no `mod` line reaches it"))
        .collect()
}

/// Whether cargo compiles it by itself; the path is from the crate's folder.
fn is_root(path: &str) -> bool {
    const OF_ITS_OWN: [&str; 3] = ["tests", "benches", "examples"];
    match path.split('/').collect::<Vec<_>>().as_slice() {
        ["build.rs"] | ["src", "lib.rs" | "main.rs"] | ["src", "bin", _] => true,
        [folder, _] | [folder, _, "main.rs"] => OF_ITS_OWN.contains(folder),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn every_file_is_reached() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a file is reported that no `mod` line names, that only a comment names, or that lies where `mod` does not look.
    #[test]
    fn an_orphan_is_seen_to_fail() {
        for (lib, orphan) in [
            ("mod model;", "services/core/src/health.rs"),
            ("mod model; // mod health;", "services/core/src/health.rs"),
            (
                "mod model; mod health;",
                "services/core/src/model/health.rs",
            ),
        ] {
            let tree = Tree::of([
                ("services/core/Cargo.toml", ""),
                ("services/core/src/lib.rs", lib),
                ("services/core/src/model.rs", ""),
                (orphan, ""),
            ]);
            expect_one(&violations(&tree), &[orphan]);
        }
    }

    /// Shows that what a `mod` line in a file, a folder, braces or tests names is reached, and so is a test of cargo's.
    #[test]
    fn what_is_reached_is_not_reported() {
        let tree = Tree::of([
            ("tests/Cargo.toml", ""),
            ("tests/src/lib.rs", "mod harness; #[cfg(test)] mod checks;"),
            ("tests/src/harness.rs", "mod nats;"),
            ("tests/src/harness/nats.rs", ""),
            ("tests/src/checks.rs", ""),
            ("tests/tests/tidy.rs", "mod tidy { mod tree; }"),
            ("tests/tests/tidy/tree.rs", ""),
        ]);
        expect_none(&violations(&tree));
    }
}
