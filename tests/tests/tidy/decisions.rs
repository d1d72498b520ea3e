//! Each decision has a number of its own, which its title says, and what refers to a decision finds it.

use std::collections::BTreeMap;

use super::tree::Tree;

const FOLDER: &str = "docs/decisions/";

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    let mut by_number: BTreeMap<&str, &str> = BTreeMap::new();
    for (path, text) in tree.files() {
        if let Some(name) = path.strip_prefix(FOLDER) {
            let number = name.split('-').next().unwrap_or(name);
            if let Some(other) = by_number.insert(number, path) {
                violations.push(format!("{path}: {other} has the number {number}, too"));
            }
            let title = format!("# {}. ", number.trim_start_matches('0'));
            if !text.starts_with(&title) {
                violations.push(format!("{path}: its title does not begin with {title:?}"));
            }
        }
        // This file's own cases are no links.
        let lines = text.lines().filter(|_| !path.ends_with("decisions.rs"));
        for (number, line) in lines.enumerate() {
            for (at, _) in line.match_indices("decisions/0") {
                let name = &line[at + "decisions/".len()..];
                let end = name.find(".md").map_or(name.len(), |end| end + ".md".len());
                if tree.text(&format!("{FOLDER}{}", &name[..end])).is_none() {
                    violations.push(format!(
                        "{path}:{}: there is no decision {}",
                        number + 1,
                        &name[..end]
                    ));
                }
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn decisions_are_numbered_and_found() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a number given twice, a title of another number and a link to nowhere are each reported.
    #[test]
    fn a_number_given_twice_and_a_link_to_nowhere_are_seen_to_fail() {
        let one = ("docs/decisions/0001-one.md", "# 1. One\n");
        for (path, text, part) in [
            (
                "docs/decisions/0001-two.md",
                "# 1. Two\n",
                "has the number 0001",
            ),
            ("docs/decisions/0002-two.md", "# 1. Two\n", "title"),
            (
                "docs/architecture.md",
                "[2](decisions/0002-two.md)\n",
                "there is no decision 0002-two.md",
            ),
        ] {
            expect_one(&violations(&Tree::of([one, (path, text)])), &[part]);
        }
    }
}
