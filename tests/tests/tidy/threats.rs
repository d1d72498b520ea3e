//! Each line of the threat model names tests, and they are there.

use std::collections::BTreeSet;

use super::tree::Tree;

const PAGE: &str = "docs/security.md";

fn violations(tree: &Tree) -> Vec<String> {
    let Some(page) = tree.text(PAGE) else {
        return vec![format!("{PAGE} is not there")];
    };
    let tests = tests(tree);
    let mut violations = Vec::new();
    let mut is_table = false;
    for (number, line) in page.lines().enumerate() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split('|').collect();
        let (Some(last), true) = (cells.last(), line.starts_with('|')) else {
            is_table = false;
            continue;
        };
        // The heading, and the line under it.
        if !is_table || last.trim().starts_with("---") {
            is_table = true;
            if !last.contains("---") && last.trim() != "shown by" {
                violations.push(format!(
                    "{PAGE}:{}: its last column is not `shown by`",
                    number + 1
                ));
            }
            continue;
        }
        let named: Vec<&str> = last.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            violations.push(format!("{PAGE}:{}: no test shows this", number + 1));
        }
        for name in named.into_iter().filter(|name| !tests.contains(name)) {
            violations.push(format!("{PAGE}:{}: there is no test {name}", number + 1));
        }
    }
    violations
}

/// The names of all tests.
fn tests(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, text) in tree.rust_files() {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            }
            if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                let name = rest.split(['(', '<']).next().unwrap_or(rest);
                names.insert(name);
                is_test = false;
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn every_line_of_the_threat_model_has_its_test() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that a test that is not there, a line without one and a table without the column are each reported.
    #[test]
    fn a_line_without_its_test_is_seen_to_fail() {
        let source =
            "#[tokio::test(flavor = \"multi_thread\")]\nasync fn it_holds() {}\nfn helper() {}\n";
        let tree = |rows: &str| {
            let page = format!("# Security\n\n| lost | shown by |\n|---|---|\n{rows}");
            Tree::of([(PAGE, page), ("tests/tests/a.rs", source.to_owned())])
        };
        expect_none(&violations(&tree("| a key | `it_holds` |\n")));
        expect_one(
            &violations(&tree("| a key | `it_holds`, `it_held` |\n")),
            &["docs/security.md:5", "it_held"],
        );
        expect_one(&violations(&tree("| a key | `helper` |\n")), &["helper"]);
        expect_one(
            &violations(&tree("| a key | it does |\n")),
            &["docs/security.md:5", "no test"],
        );
        let page = "| lost | why |\n|---|---|\n| a key | `it_holds` |\n".to_owned();
        let tree = Tree::of([(PAGE, page), ("tests/tests/a.rs", source.to_owned())]);
        expect_one(&violations(&tree), &["docs/security.md:1", "shown by"]);
        assert_eq!(
            violations(&Tree::of([("README.md", String::new())])).len(),
            1
        );
    }
}
