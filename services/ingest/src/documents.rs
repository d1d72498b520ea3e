//! YAML or JSON text to documents, each on its own: one that is malformed does not take the others with it.

use fleetcast_core::Refusal;
use serde_json::Value;

/// The largest document that is taken, bytes (DESIGN, section 4: one object may have up to 3 MiB).
pub const DOCUMENT_LIMIT: usize = 3 * 1024 * 1024;

/// Reads every document of `text`: its place counted from 0, and the document or why it is none. Empty documents are left out; the items
/// of a `List` stand at the place of the list.
pub fn read(text: &str) -> Vec<(usize, Result<Value, Refusal>)> {
    let mut documents = Vec::new();
    for (index, piece) in pieces(text).into_iter().enumerate() {
        match parse(piece) {
            Ok(Value::Null) => {}
            Ok(value) => documents.extend(items(value).into_iter().map(|item| (index, Ok(item)))),
            Err(refusal) => documents.push((index, Err(refusal))),
        }
    }
    documents
}

/// Cuts `text` at the lines that begin a document (`---`); what stands before the first is a document only if it says something.
fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut begin = 0;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let is_separator = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if is_separator {
            pieces.push(&text[begin..offset]);
            begin = offset + 3;
        }
        offset += line.len();
    }
    pieces.push(&text[begin..]);
    let says_nothing = |piece: &str| {
        piece
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
    };
    if pieces.len() > 1 && says_nothing(pieces[0]) {
        pieces.remove(0);
    }
    pieces
}

/// Reads YAML inside a string of a document.
///
/// # Errors
/// Why it is none.
pub fn yaml_in_text(text: &str) -> Result<Value, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Value, Refusal> {
    if text.len() > DOCUMENT_LIMIT {
        return Err(Refusal::new(
            "",
            format!(
                "is {} long; one object may have up to {}",
                mebibytes(text.len()),
                mebibytes(DOCUMENT_LIMIT)
            ),
        ));
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let text = error.to_string();
        let first = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("malformed");
        Refusal::new("", format!("is no YAML: {}", first.trim()))
    })
}

fn items(value: Value) -> Vec<Value> {
    match value {
        Value::Object(mut list)
            if list.get("kind").and_then(Value::as_str) == Some("List")
                && list.get("items").is_some_and(Value::is_array) =>
        {
            match list.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        value => vec![value],
    }
}

fn mebibytes(bytes: usize) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xF_FFFF) * 10) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_are_counted_as_yaml_does() {
        for (text, expected) in [
            ("a: 1", vec![(0, json!({"a": 1}))]),
            ("---\na: 1\n", vec![(0, json!({"a": 1}))]),
            (
                "# hello\n---\na: 1\n---\nb: 2\n",
                vec![(0, json!({"a": 1})), (1, json!({"b": 2}))],
            ),
            (
                "a: 1\n---\n---\nb: 2",
                vec![(0, json!({"a": 1})), (2, json!({"b": 2}))],
            ),
            ("a: |\n  ---\n  x\n", vec![(0, json!({"a": "---\nx\n"}))]),
            ("{\"a\": 1}", vec![(0, json!({"a": 1}))]),
            (
                "kind: List\nitems: [{a: 1}, {b: 2}]",
                vec![(0, json!({"a": 1})), (0, json!({"b": 2}))],
            ),
            ("", vec![]),
        ] {
            let read: Vec<_> = read(text)
                .into_iter()
                .map(|(index, value)| (index, value.expect("valid")))
                .collect();
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn a_malformed_document_leaves_the_others() {
        let read = read("a: 1\n---\nb: [\n---\nc: 3\n");
        assert_eq!(read.len(), 3);
        assert!(
            read[1]
                .1
                .as_ref()
                .expect_err("refused")
                .message
                .starts_with("is no YAML")
        );
        assert_eq!(read[2], (2, Ok(json!({"c": 3}))));
    }

    #[test]
    fn hostile_text_is_refused_in_bounded_time() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
            + &(b'b'..=b'j')
                .map(|c| {
                    format!(
                        "{0}: &{0} [*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1},*{1}]\n",
                        char::from(c),
                        char::from(c - 1)
                    )
                })
                .collect::<String>();
        for text in [
            bomb,
            "[".repeat(100_000),
            "a: 1\na: 2\n".to_owned(),
            "x".repeat(DOCUMENT_LIMIT + 1),
            "\u{0}".to_owned(),
        ] {
            let read = read(&text);
            assert!(
                read.iter().all(|(_, document)| document.is_err()),
                "{:?}",
                &text[..20.min(text.len())]
            );
            assert_eq!(read.len(), 1);
        }
    }
}
