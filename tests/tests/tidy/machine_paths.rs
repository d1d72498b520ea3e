//! No file names a place on the machine where it was written.

use std::env;

use super::tree::Tree;

/// Folders under which a person's own folder lies.
const HOMES: [&str; 4] = ["/home/", "/root/", "/Users/", r"C:\Users\"];

fn violations(tree: &Tree, workspace: &str) -> Vec<String> {
    let mut violations = Vec::new();
    for (path, text) in tree.files() {
        for (number, line) in text.lines().enumerate() {
            let home = HOMES.iter().find(|home| starts_a_path(line, home));
            // A checkout at `/app` says nothing about a machine, and images are full of such paths.
            let checkout = Some(&workspace).filter(|workspace| {
                workspace.split('/').count() > 2 && starts_a_path(line, &format!("{workspace}/"))
            });
            if let Some(place) = home.or(checkout) {
                violations.push(format!(
                    "{path}:{}: {place}… is a path of one machine",
                    number + 1
                ));
            }
        }
    }
    violations
}

/// Whether a line has a path that begins so and goes on with a name.
fn starts_a_path(line: &str, beginning: &str) -> bool {
    line.match_indices(beginning).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + beginning.len()..].chars().next();
        !before.is_some_and(|letter| letter.is_alphanumeric() || "._-/}".contains(letter))
            && after.is_some_and(char::is_alphanumeric)
    })
}

fn this_workspace() -> String {
    env!("CARGO_MANIFEST_DIR")
        .trim_end_matches("/tests")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    #[test]
    fn no_file_names_a_place_on_a_machine() {
        expect_none(&violations(&Tree::of_workspace(), &this_workspace()));
    }

    /// Shows that the path of a home, and of the checkout, is reported.
    #[test]
    fn a_machine_path_is_seen_to_fail() {
        // Put together here, so that this file does not have them in it.
        for place in HOMES.map(|home| format!("{home}someone")) {
            let tree = Tree::of([("docs/operating.md", format!("first line\nsee `{place}`\n"))]);
            expect_one(
                &violations(&tree, "/checkouts/fleet"),
                &["docs/operating.md:2"],
            );
        }
        let tree = Tree::of([("docs/operating.md", "see /checkouts/fleet/target\n")]);
        expect_one(
            &violations(&tree, "/checkouts/fleet"),
            &["docs/operating.md:1", "/checkouts/fleet"],
        );
    }

    /// Shows that paths of the project, of a web address and of an API are not reported.
    #[test]
    fn other_paths_are_not_reported() {
        let text =
            "services/home/x https://example.com/home/page $HOME/root/x /apis/apps/v1 /app/x\n";
        expect_none(&violations(
            &Tree::of([("docs/operating.md", text)]),
            "/app",
        ));
    }
}
