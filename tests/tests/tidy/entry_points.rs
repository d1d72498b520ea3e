//! Where programs start, and what a folder's table of contents is called: one binary and `xtask`, and never a `mod.rs`.

use super::tree::Tree;

/// The only two programs.
const PROGRAMS: [&str; 2] = ["services/cli", "xtask"];

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for (path, _) in tree.rust_files() {
        if path.ends_with("/mod.rs") {
            violations.push(format!(
                "{path}: a folder's table of contents is x.rs beside x/"
            ));
        }
    }
    for one in tree.crates().filter(|one| !PROGRAMS.contains(&one.folder)) {
        let starts = |path: &str| path == "src/main.rs" || path.starts_with("src/bin/");
        let files = tree
            .rust_files()
            .filter(|(path, _)| one.own(path).is_some_and(starts));
        violations.extend(
            files.map(|(path, _)| format!("{path}: only {} are programs", PROGRAMS.join(" and "))),
        );
        if one.manifest.lines().any(|line| line.trim() == "[[bin]]") {
            violations.push(format!(
                "{}/Cargo.toml: [[bin]]: only {} are programs",
                one.folder,
                PROGRAMS.join(" and ")
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn the_workspace_has_two_programs_and_no_mod_rs() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a third program is reported, in whatever way it is made.
    #[test]
    fn a_third_program_is_seen_to_fail() {
        for path in [
            "services/agent/src/main.rs",
            "services/agent/src/bin/agent.rs",
        ] {
            let tree = Tree::of([("services/agent/Cargo.toml", ""), (path, "fn main() {}")]);
            expect_one(&violations(&tree), &[path, "are programs"]);
        }
        let tree = Tree::of([("services/agent/Cargo.toml", "[[bin]]\nname = \"agent\"\n")]);
        expect_one(
            &violations(&tree),
            &["services/agent/Cargo.toml", "are programs"],
        );
    }

    /// Shows that a `mod.rs` is reported.
    #[test]
    fn a_mod_rs_is_seen_to_fail() {
        expect_one(
            &violations(&Tree::of([("services/core/src/model/mod.rs", "")])),
            &["services/core/src/model/mod.rs"],
        );
    }

    /// Shows that the two programs that are meant to be are not reported.
    #[test]
    fn the_two_programs_are_not_reported() {
        let files = [
            "services/cli/Cargo.toml",
            "services/cli/src/main.rs",
            "xtask/Cargo.toml",
            "xtask/src/main.rs",
            "tests/Cargo.toml",
            "tests/tests/tidy.rs",
        ];
        expect_none(&violations(&Tree::of(files.map(|path| (path, "")))));
    }
}
