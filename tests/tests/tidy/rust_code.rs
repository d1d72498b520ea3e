//! Just enough of Rust to read its modules and paths: code without comments and literals, as tokens.

use super::tree::Tree;

/// An identifier, a number, `::`, or one other character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// One module of a crate with the code that stands in its own file or braces.
pub(crate) struct Module {
    /// From the crate's root, which is empty: `["model", "name"]`.
    pub(crate) path: Vec<String>,
    /// The file that it stands in, from the workspace's root.
    pub(crate) file: String,
    /// Without the bodies of the modules inside it.
    pub(crate) tokens: Vec<Token>,
}

/// Whether code under `#[cfg(test)]` is part of the crate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestCode {
    Included,
    LeftOut,
}

/// All modules that are reached from a crate's root file by `mod` lines. A file that is not there is left out: the compiler says so.
pub(crate) fn modules(tree: &Tree, root: &str, tests: TestCode) -> Vec<Module> {
    let mut modules = Vec::new();
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    read_file(tree, root, folder, Vec::new(), tests, &mut modules);
    modules
}

/// The tokens of a text.
pub(crate) fn tokens(text: &str, tests: TestCode) -> Vec<Token> {
    let tokens = split(&scrubbed(text));
    match tests {
        TestCode::Included => tokens,
        TestCode::LeftOut => without_tests(&tokens),
    }
}

fn read_file(
    tree: &Tree,
    file: &str,
    children: &str,
    path: Vec<String>,
    tests: TestCode,
    modules: &mut Vec<Module>,
) {
    if let Some(text) = tree.text(file) {
        read_module(
            tree,
            file,
            children,
            path,
            &tokens(text, tests),
            tests,
            modules,
        );
    }
}

/// Reads one module; `children` is the folder in which its `mod x;` are looked up.
fn read_module(
    tree: &Tree,
    file: &str,
    children: &str,
    path: Vec<String>,
    code: &[Token],
    tests: TestCode,
    modules: &mut Vec<Module>,
) {
    let mut own = Vec::new();
    let mut rest = code;
    while let [first, after @ ..] = rest {
        rest = after;
        if let ("mod", [name, opening, body @ ..]) = (first.text.as_str(), after) {
            let child = || {
                path.iter()
                    .cloned()
                    .chain([name.text.clone()])
                    .collect::<Vec<_>>()
            };
            let folder = format!("{children}/{}", name.text);
            match opening.text.as_str() {
                ";" => {
                    let beside = format!("{folder}.rs");
                    let (file, rest_of_it) = if tree.text(&beside).is_some() {
                        (beside, body)
                    } else {
                        (format!("{folder}/mod.rs"), body)
                    };
                    read_file(tree, &file, &folder, child(), tests, modules);
                    rest = rest_of_it;
                    continue;
                }
                "{" => {
                    let end = closing_brace(body);
                    read_module(tree, file, &folder, child(), &body[..end], tests, modules);
                    rest = body.get(end + 1..).unwrap_or_default();
                    continue;
                }
                _ => {}
            }
        }
        own.push(first.clone());
    }
    modules.push(Module {
        path,
        file: file.to_owned(),
        tokens: own,
    });
}

/// Where the brace closes that was opened just before.
fn closing_brace(body: &[Token]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in body.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 0 => return at,
            "}" => depth -= 1,
            _ => {}
        }
    }
    body.len()
}

/// Leaves out what `#[cfg(test)]` or `#[cfg(all(test, …))]` stands on.
fn without_tests(code: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut rest = code;
    while let [first, after @ ..] = rest {
        match attribute(rest) {
            Some((attribute, item)) if is_for_tests(attribute) => rest = after_item(item),
            _ => {
                kept.push(first.clone());
                rest = after;
            }
        }
    }
    kept
}

/// Splits `#[…]` from what follows it.
fn attribute(code: &[Token]) -> Option<(&[Token], &[Token])> {
    let [hash, bracket, inside @ ..] = code else {
        return None;
    };
    if (hash.text.as_str(), bracket.text.as_str()) != ("#", "[") {
        return None;
    }
    let mut depth = 1_usize;
    for (at, token) in inside.iter().enumerate() {
        match token.text.as_str() {
            "[" => depth += 1,
            "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&inside[..at], &inside[at + 1..]));
        }
    }
    None
}

fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    attribute.first().is_some_and(|token| token.text == "cfg")
        && has("test")
        && !has("not")
        && !has("any")
}

/// What follows an item: after its `;`, or after the braces of its body.
fn after_item(item: &[Token]) -> &[Token] {
    let mut rest = item;
    while let Some((_, after)) = attribute(rest) {
        rest = after;
    }
    let mut inside = 0_usize;
    while let [first, after @ ..] = rest {
        rest = after;
        match first.text.as_str() {
            "(" | "[" => inside += 1,
            ")" | "]" => inside = inside.saturating_sub(1),
            ";" if inside == 0 => break,
            "{" if inside == 0 => {
                rest = rest.get(closing_brace(rest) + 1..).unwrap_or_default();
                break;
            }
            _ => {}
        }
    }
    rest
}

fn split(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut letters = code.chars().peekable();
    let mut line = 1;
    while let Some(letter) = letters.next() {
        if letter == '\n' {
            line += 1;
        }
        if letter.is_whitespace() {
            continue;
        }
        let mut text = String::from(letter);
        if is_word(letter) {
            while let Some(next) = letters.next_if(|&next| is_word(next)) {
                text.push(next);
            }
        } else if letter == ':' && letters.next_if_eq(&':').is_some() {
            text.push(':');
        }
        tokens.push(Token { text, line });
    }
    tokens
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

/// The code with comments and the insides of literals taken out; lines stay lines.
fn scrubbed(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let start = at;
        at = match &letters[at..] {
            ['/', '/', ..] => end_of_line(&letters, at),
            ['/', '*', ..] => end_of_comment(&letters, at),
            ['"', ..] => end_of_text(&letters, at + 1, '"'),
            ['r', '"' | '#', ..] if starts_word(&letters, at) => {
                end_of_raw(&letters, at + 1).unwrap_or(at + 1)
            }
            ['b' | 'c', 'r', '"' | '#', ..] if starts_word(&letters, at) => {
                end_of_raw(&letters, at + 2).unwrap_or(at + 1)
            }
            ['\'', '\\', ..] => end_of_text(&letters, at + 1, '\''),
            ['\'', _, '\'', ..] => at + 3,
            _ => at + 1,
        };
        if at == start + 1 {
            code.push(letters[start]);
        } else {
            // What was between a word before and a word after keeps them apart.
            code.push(' ');
            code.extend(
                letters[start..at.min(letters.len())]
                    .iter()
                    .filter(|letter| **letter == '\n'),
            );
        }
    }
    code
}

fn starts_word(letters: &[char], at: usize) -> bool {
    at == 0 || !is_word(letters[at - 1])
}

fn end_of_line(letters: &[char], at: usize) -> usize {
    letters[at..]
        .iter()
        .position(|letter| *letter == '\n')
        .map_or(letters.len(), |length| at + length)
}

fn end_of_comment(letters: &[char], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while at < letters.len() {
        match &letters[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
            }
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn end_of_text(letters: &[char], mut at: usize, quote: char) -> usize {
    while at < letters.len() {
        match letters[at] {
            '\\' => at += 2,
            letter if letter == quote => return at + 1,
            _ => at += 1,
        }
    }
    letters.len()
}

/// Where `#"…"#` ends, or nothing if it is none (`r#type`).
fn end_of_raw(letters: &[char], at: usize) -> Option<usize> {
    let hashes = letters[at..]
        .iter()
        .take_while(|letter| **letter == '#')
        .count();
    if letters.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closing: Vec<char> = std::iter::once('"')
        .chain(std::iter::repeat_n('#', hashes))
        .collect();
    let inside = at + hashes + 1;
    let length = letters[inside..]
        .windows(closing.len())
        .position(|window| window == closing);
    Some(length.map_or(letters.len(), |length| inside + length + closing.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, tests: TestCode) -> String {
        tokens(text, tests)
            .into_iter()
            .map(|token| token.text)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Shows that comments and literals are no code, and that what looks like one but is none stays.
    #[test]
    fn comments_and_literals_are_no_code() {
        for (text, code) in [
            ("a // b\nc", "a c"),
            ("a /* b /* c */ d */ e", "a e"),
            (r#"a("b \" c", d)"#, "a ( , d )"),
            (r##"a(r#"b " c"#, br"\", d)"##, "a ( , , d )"),
            (
                r"let a = 'b'; let c = '\''; let d = '\u{41}'; e",
                "let a = ; let c = ; let d = ; e",
            ),
            ("fn a<'b>(c: &'b D) {}", "fn a < ' b > ( c : & ' b D ) { }"),
            ("r#type::var", "r # type :: var"),
        ] {
            assert_eq!(words(text, TestCode::Included), code, "{text}");
        }
        assert_eq!(
            tokens("\"b\n\n\" a", TestCode::Included),
            [Token {
                text: "a".to_owned(),
                line: 3
            }]
        );
    }

    /// Shows that only what stands under `cfg(test)` is left out.
    #[test]
    fn code_under_test_is_left_out() {
        for (text, code) in [
            ("a; #[cfg(test)] mod b { c { d } } e", "a ; e"),
            ("a; #[cfg(test)] #[path] mod b; e", "a ; e"),
            ("#[cfg(all(test, unix))] fn b(c: [u8; 4]) { d } e", "e"),
            (
                "#[cfg(not(test))] mod b; e",
                "# [ cfg ( not ( test ) ) ] mod b ; e",
            ),
        ] {
            assert_eq!(words(text, TestCode::LeftOut), code, "{text}");
        }
    }

    /// Shows that modules are found in files beside, in folders, and in braces.
    #[test]
    fn modules_are_followed_through_files_and_braces() {
        let tree = Tree::of([
            (
                "a/src/lib.rs",
                "mod b; mod c { mod d; } #[cfg(test)] mod e;",
            ),
            ("a/src/b.rs", "mod f;"),
            ("a/src/b/f.rs", ""),
            ("a/src/c/d.rs", ""),
            ("a/src/e.rs", ""),
        ]);
        let found = |tests| {
            let mut paths: Vec<_> = modules(&tree, "a/src/lib.rs", tests)
                .into_iter()
                .map(|module| module.path.join("::"))
                .collect();
            paths.sort();
            paths
        };
        assert_eq!(
            found(TestCode::Included),
            ["", "b", "b::f", "c", "c::d", "e"]
        );
        assert_eq!(found(TestCode::LeftOut), ["", "b", "b::f", "c", "c::d"]);
    }
}
