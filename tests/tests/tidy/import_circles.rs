//! No import circle between a crate's modules: of two neighbours at most one knows the other.
//!
//! Crate boundaries hold by themselves, module boundaries do not. Looked at are the modules of each folder among each other, at every
//! depth; a module and the ones inside it may know each other, and so may tests. Seen are paths that begin with `crate`, `self` or
//! `super`, also through a `use` of a module above; not seen is what a module above hands on with `*`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::rust_code::{self, Module, TestCode, Token};
use super::tree::Tree;

fn violations(tree: &Tree) -> Vec<String> {
    let mut violations = Vec::new();
    for one in tree.crates() {
        for root in ["src/lib.rs", "src/main.rs"] {
            let modules =
                rust_code::modules(tree, &format!("{}/{root}", one.folder), TestCode::LeftOut);
            let names = Names::of(&modules);
            for (folder, imports) in imports_by_folder(&modules, &names) {
                violations.extend(
                    circles(&imports)
                        .into_iter()
                        .map(|circle| said(one.folder, &folder, &circle, &imports)),
                );
            }
        }
    }
    violations
}

type Path = Vec<String>;

/// Who names whom among neighbours, each with the place where it is first seen.
type Imports = BTreeMap<String, BTreeMap<String, String>>;

/// What paths can lead to: the modules, and the names that modules hand on.
struct Names {
    modules: BTreeSet<Path>,
    /// For each module and each name that it imports: the path that the name stands for.
    imported: BTreeMap<(Path, String), Path>,
}

impl Names {
    fn of(modules: &[Module]) -> Self {
        let mut names = Self {
            modules: modules.iter().map(|module| module.path.clone()).collect(),
            imported: BTreeMap::new(),
        };
        for module in modules {
            for at in positions(&module.tokens, "use") {
                for (path, name) in paths(&module.tokens[at + 1..]) {
                    if let Some(path) = names.rooted(&module.path, &path) {
                        names.imported.insert((module.path.clone(), name), path);
                    }
                }
            }
        }
        names
    }

    /// A path as seen from the crate's root, or nothing if it leads out of the crate.
    fn rooted(&self, module: &[String], path: &[String]) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let mut start: Path = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            child => {
                let child: Path = module.iter().cloned().chain([child.to_owned()]).collect();
                self.modules.contains(&child).then_some(child)?
            }
        };
        for part in rest {
            if part == "super" {
                start.pop()?;
            } else {
                start.push(part.clone());
            }
        }
        Some(start)
    }

    /// The module that a path from the root ends in, following at most a few names that are handed on.
    fn module_of(&self, path: &[String], hops_left: usize) -> Path {
        let known = (0..=path.len())
            .rev()
            .find(|length| self.modules.contains(&path[..*length]))
            .unwrap_or(0);
        let (module, rest) = path.split_at(known);
        let Some((name, rest)) = rest.split_first() else {
            return module.to_vec();
        };
        match self.imported.get(&(module.to_vec(), name.clone())) {
            Some(target) if hops_left > 0 => {
                self.module_of(&[target.as_slice(), rest].concat(), hops_left - 1)
            }
            _ => module.to_vec(),
        }
    }
}

/// What the modules of each folder import from each other.
fn imports_by_folder(modules: &[Module], names: &Names) -> BTreeMap<Path, Imports> {
    let mut folders: BTreeMap<Path, Imports> = BTreeMap::new();
    for module in modules {
        for (path, line) in paths_named(module) {
            let Some(path) = names.rooted(&module.path, &path) else {
                continue;
            };
            let target = names.module_of(&path, 8);
            let shared = module
                .path
                .iter()
                .zip(&target)
                .take_while(|(one, other)| one == other)
                .count();
            if let (Some(from), Some(to)) = (module.path.get(shared), target.get(shared)) {
                let imports = folders
                    .entry(target[..shared].to_vec())
                    .or_default()
                    .entry(from.clone())
                    .or_default();
                imports
                    .entry(to.clone())
                    .or_insert_with(|| format!("{}:{line}", module.file));
            }
        }
    }
    folders
}

/// Each path in a module's code that begins with `crate`, `self` or `super`, and its line.
fn paths_named(module: &Module) -> Vec<(Path, usize)> {
    let mut named = Vec::new();
    for (at, token) in module.tokens.iter().enumerate() {
        let begins = matches!(token.text.as_str(), "crate" | "self" | "super")
            && (at == 0 || module.tokens[at - 1].text != "::");
        if begins
            && module
                .tokens
                .get(at + 1)
                .is_some_and(|next| next.text == "::")
        {
            named.extend(
                paths(&module.tokens[at..])
                    .into_iter()
                    .map(|(path, _)| (path, token.line)),
            );
        }
    }
    named
}

fn positions(tokens: &[Token], word: &str) -> Vec<usize> {
    tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.text == word)
        .map(|(at, _)| at)
        .collect()
}

/// The paths that begin here, `a::{b, c as d}` being two, each with the name that it gets.
fn paths(tokens: &[Token]) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    read_path(tokens, &[], &mut found);
    found
}

/// Reads one path and answers what follows it.
fn read_path<'code>(
    tokens: &'code [Token],
    before: &[String],
    found: &mut Vec<(Path, String)>,
) -> &'code [Token] {
    let mut path = before.to_vec();
    let mut rest = tokens;
    while let [first, after @ ..] = rest {
        match first.text.as_str() {
            "{" => return read_group(after, &path, found),
            "::" => {}
            word if word.starts_with(|letter: char| letter == '_' || letter.is_alphabetic()) => {
                path.push(word.to_owned())
            }
            _ => break,
        }
        rest = after;
        // Two words in a row are a path and what follows it.
        if first.text != "::" && rest.first().is_none_or(|next| next.text != "::") {
            break;
        }
    }
    // `a::{self}` is `a`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if let [word, alias, after @ ..] = rest
        && word.text == "as"
    {
        name.clone_from(&alias.text);
        rest = after;
    }
    if path.len() > before.len() || !before.is_empty() {
        found.push((path, name));
    }
    rest
}

fn read_group<'code>(
    tokens: &'code [Token],
    before: &[String],
    found: &mut Vec<(Path, String)>,
) -> &'code [Token] {
    let mut rest = tokens;
    while let [first, after @ ..] = rest {
        match first.text.as_str() {
            "}" => return after,
            "," | "*" => rest = after,
            _ => {
                let next = read_path(rest, before, found);
                // Whatever is no path is stepped over, so that this ends.
                rest = if next.len() < rest.len() { next } else { after };
            }
        }
    }
    rest
}

/// The shortest circle through each module that is in one, each circle once, starting at its first name.
fn circles(imports: &Imports) -> BTreeSet<Vec<String>> {
    let shortest = imports
        .keys()
        .filter_map(|start| circle_through(start, imports));
    shortest
        .map(|mut circle| {
            let first = circle
                .iter()
                .enumerate()
                .min_by_key(|(_, name)| *name)
                .map_or(0, |(at, _)| at);
            circle.rotate_left(first);
            circle
        })
        .collect()
}

fn circle_through(start: &str, imports: &Imports) -> Option<Vec<String>> {
    let mut reached: BTreeMap<&str, &str> = BTreeMap::new();
    let mut waiting = VecDeque::from([start]);
    while let Some(from) = waiting.pop_front() {
        for to in imports.get(from).into_iter().flat_map(BTreeMap::keys) {
            if to == start {
                let mut circle = vec![from.to_owned()];
                while let Some(before) = reached
                    .get(circle[0].as_str())
                    .filter(|_| circle[0] != start)
                {
                    circle.insert(0, (*before).to_owned());
                }
                return Some(circle);
            }
            if !reached.contains_key(to.as_str()) {
                reached.insert(to, from);
                waiting.push_back(to);
            }
        }
    }
    None
}

fn said(crate_folder: &str, folder: &[String], circle: &[String], imports: &Imports) -> String {
    let arrows = circle
        .iter()
        .zip(circle.iter().cycle().skip(1))
        .map(|(from, to)| {
            let place = imports
                .get(from)
                .and_then(|named| named.get(to))
                .map_or("", String::as_str);
            format!("{from} → {to} ({place})")
        });
    let within = if folder.is_empty() {
        String::new()
    } else {
        format!(" in {}", folder.join("::"))
    };
    format!(
        "{crate_folder}: import circle{within}: {}",
        arrows.collect::<Vec<_>>().join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::tree::{expect_none, expect_one};
    use super::*;

    fn core(lib: &str, files: &[(&'static str, &str)]) -> Tree {
        let first = [
            ("services/core/Cargo.toml", String::new()),
            ("services/core/src/lib.rs", lib.to_owned()),
        ];
        Tree::of(
            first
                .into_iter()
                .chain(files.iter().map(|(path, text)| (*path, (*text).to_owned()))),
        )
    }

    #[test]
    fn the_workspace_has_no_import_circle() {
        expect_none(&violations(&Tree::of_workspace()));
    }

    /// Shows that two modules that name each other are reported, in whatever way they do.
    #[test]
    fn two_that_name_each_other_are_seen_to_fail() {
        for (intake, fold) in [
            ("use crate::fold::State;", "use crate::intake::Intake;"),
            ("use super::fold::State;", "use super::intake;"),
            (
                "use crate::{digest, fold::{self, State}};",
                "fn f() { crate::intake::f() }",
            ),
            ("use crate::State;", "use crate::intake::Intake;"),
            ("use crate::Renamed;", "use crate::intake::Intake;"),
            (
                "mod inside { use super::super::fold::State; }",
                "use crate::intake::Intake;",
            ),
        ] {
            let lib = "mod digest; mod fold; mod intake; pub use fold::{State, State as Renamed};";
            let tree = core(
                lib,
                &[
                    ("services/core/src/intake.rs", intake),
                    ("services/core/src/fold.rs", fold),
                    ("services/core/src/digest.rs", ""),
                ],
            );
            expect_one(
                &violations(&tree),
                &[
                    "services/core: import circle: fold → intake (services/core/src/fold.rs:1)",
                    "intake → fold",
                ],
            );
        }
    }

    /// Shows that a circle through three modules, one of them by a file in its folder, is reported once.
    #[test]
    fn a_circle_of_three_is_seen_to_fail() {
        let tree = core(
            "mod a; mod b; mod c;",
            &[
                ("services/core/src/a.rs", "use crate::b;"),
                ("services/core/src/b.rs", "mod inner;"),
                ("services/core/src/b/inner.rs", "use crate::c::C;"),
                ("services/core/src/c.rs", "use crate::a::A;"),
            ],
        );
        expect_one(
            &violations(&tree),
            &["a → b", "b → c (services/core/src/b/inner.rs:1)", "c → a"],
        );
    }

    /// Shows that neighbours inside a folder are looked at too, also through a name that the folder's file hands on.
    #[test]
    fn a_circle_inside_a_folder_is_seen_to_fail() {
        let tree = core(
            "mod model;",
            &[
                (
                    "services/core/src/model.rs",
                    "mod name; mod object; pub use name::Name;",
                ),
                (
                    "services/core/src/model/name.rs",
                    "use super::object::Object;",
                ),
                (
                    "services/core/src/model/object.rs",
                    "use crate::model::Name;",
                ),
            ],
        );
        expect_one(
            &violations(&tree),
            &["import circle in model", "name → object", "object → name"],
        );
    }

    /// Shows that a chain, a module and its inside, tests, and names of others are no circle.
    #[test]
    fn what_is_no_circle_is_not_reported() {
        let tree = core(
            "mod a; mod b; pub use a::A;",
            &[
                (
                    "services/core/src/a.rs",
                    "mod inner; pub(crate) use inner::Inner; use serde::b; #[cfg(test)] mod tests { use crate::b::B; }",
                ),
                (
                    "services/core/src/a/inner.rs",
                    "use super::A; // crate::b\nconst TEXT: &str = \"crate::b\";",
                ),
                (
                    "services/core/src/b.rs",
                    "use crate::A; impl B { fn f(self: &Self) { self::g() } }",
                ),
            ],
        );
        expect_none(&violations(&tree));
    }
}
