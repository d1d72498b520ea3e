//! Every text file ends with a newline, so that adding a line changes one line.

use super::tree::Tree;

/// Files that people write and read in review; samples of what travels are bytes and end as they end.
const WRITTEN: [&str; 8] = [
    ".go", ".md", ".proto", ".rs", ".sh", ".toml", ".yaml", ".yml",
];

fn violations(tree: &Tree) -> Vec<String> {
    let written = |path: &str| {
        WRITTEN.iter().any(|ending| path.ends_with(ending))
            || !path.rsplit('/').next().unwrap_or(path).contains('.')
    };
    let without = tree
        .files()
        .filter(|(path, text)| written(path) && !text.is_empty() && !text.ends_with('\n'));
    without
        .map(|(path, _)| format!("{path}: no newline at the end"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn every_file_ends_with_a_newline() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a file without one is reported, also one whose name has no ending.
    #[test]
    fn a_missing_newline_is_seen_to_fail() {
        for path in ["services/core/src/lib.rs", "docs/glossary.md", ".ci/run"] {
            expect_one(
                &violations(&Tree::of([(path, "last line")])),
                &[path, "no newline"],
            );
        }
    }

    /// Shows that an empty file and a sample are not reported.
    #[test]
    fn an_empty_file_and_a_sample_are_not_reported() {
        expect_none(&violations(&Tree::of([
            ("docs/empty.md", ""),
            ("schemas/samples/change.v1.json", "{}"),
        ])));
    }
}
