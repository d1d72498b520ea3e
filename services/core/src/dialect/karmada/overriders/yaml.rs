//! Writes YAML as sigs.k8s.io/yaml does: sorted keys, block style, lists not indented, plain text where nothing else is meant.

use serde_json::Value;

/// The YAML document that stands for `value`, with a newline at its end.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(list) if !list.is_empty() => block(value, 0, &mut text),
        scalar => {
            text.push_str(&flow(scalar, 0));
            text.push('\n');
        }
    }
    text
}

/// Writes the lines of a filled map or list, each begun by `depth` spaces.
fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = " ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                text.push_str(&indent);
                text.push_str(&scalar(key, depth));
                text.push(':');
                below(value, depth, text);
            }
        }
        Value::Array(list) => {
            for value in list {
                text.push_str(&indent);
                text.push('-');
                match value {
                    // The first line of a filled element stands beside the dash.
                    Value::Object(_) | Value::Array(_) if is_filled(value) => {
                        let mut element = String::new();
                        block(value, depth + 2, &mut element);
                        text.push(' ');
                        text.push_str(&element[depth + 2..]);
                    }
                    _ => {
                        text.push(' ');
                        text.push_str(&flow(value, depth));
                        text.push('\n');
                    }
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Writes what stands after a key.
fn below(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(_) if is_filled(value) => {
            text.push('\n');
            block(value, depth + 2, text);
        }
        Value::Array(_) if is_filled(value) => {
            text.push('\n');
            block(value, depth, text);
        }
        _ => {
            text.push(' ');
            text.push_str(&flow(value, depth));
            text.push('\n');
        }
    }
}

fn is_filled(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A value on one line, except for text of several lines.
fn flow(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar(text, depth),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn scalar(text: &str, depth: usize) -> String {
    if text.contains('\n') && !text.chars().any(is_control) {
        return literal(text, depth);
    }
    if means_something_else(text) || text.chars().any(|c| is_control(c) || c == '\n') {
        return serde_json::to_string(text).unwrap_or_default();
    }
    if is_plain(text) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn is_control(c: char) -> bool {
    c.is_control() && c != '\n' && c != '\t'
}

/// A literal block: as many newlines at its end as the text has.
fn literal(text: &str, depth: usize) -> String {
    let indent = " ".repeat(depth + 2);
    let body = text.trim_end_matches('\n');
    let end = match text.len() - body.len() {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let hint = if text.starts_with([' ', '\n']) {
        "2"
    } else {
        ""
    };
    let mut lines = format!("|{hint}{end}");
    // The last newline is the one that follows every scalar.
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        lines.push('\n');
        if !line.is_empty() {
            lines.push_str(&indent);
            lines.push_str(line);
        }
    }
    lines
}

/// Whether YAML 1.1 would read the text as a null, a boolean, a number or a date.
fn means_something_else(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", ".nan", ".inf",
        "-.inf", "+.inf", "<<",
    ];
    let lower = text.to_ascii_lowercase();
    let digits = text.trim_start_matches(['+', '-']);
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (digits.replace('_', "").parse::<f64>().is_ok()
            || digits
                .get(..2)
                .is_some_and(|radix| matches!(radix, "0x" | "0o" | "0b"))
            || is_date(text)
            || is_base_60(digits));
    WORDS.contains(&lower.as_str()) || number
}

fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let numeric =
        |part: Option<&str>| part.is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()));
    text.len() >= 8
        && parts
            .next()
            .is_some_and(|year| year.len() == 4 && year.chars().all(|c| c.is_ascii_digit()))
        && numeric(parts.next())
        && numeric(parts.next())
}

/// YAML 1.1 reads `190:20:30` as a number.
fn is_base_60(text: &str) -> bool {
    text.contains(':')
        && text
            .split(':')
            .all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit()))
}

/// Whether the text can stand without quotes.
fn is_plain(text: &str) -> bool {
    const FIRST: &[char] = &[
        ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`',
    ];
    let dangerous_first = text.starts_with(FIRST)
        || matches!(text, "-" | "?" | ":" | "---" | "...")
        || ["- ", "? ", ": "]
            .iter()
            .any(|start| text.starts_with(start))
        || text.starts_with("---")
        || text.starts_with("...");
    !(dangerous_first
        || text.starts_with([' ', '\t'])
        || text.ends_with([' ', '\t', ':'])
        || text.contains(": ")
        || text.contains(" #")
        || text.contains('\t'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_go_writes_them() {
        for (value, expected) in [
            (
                json!({"b": 1, "a": {"d": [], "c": {}}}),
                "a:\n  c: {}\n  d: []\nb: 1\n",
            ),
            (
                json!({"l": [1, "x", null, true]}),
                "l:\n- 1\n- x\n- null\n- true\n",
            ),
            (
                json!({"l": [{"b": 1, "a": 2}, {"c": [3]}]}),
                "l:\n- a: 2\n  b: 1\n- c:\n  - 3\n",
            ),
            (json!([[1, 2], []]), "- - 1\n  - 2\n- []\n"),
            (json!({"t": "one\ntwo\n"}), "t: |\n  one\n  two\n"),
            (json!({"t": "one\ntwo"}), "t: |-\n  one\n  two\n"),
            (json!("text"), "text\n"),
            (json!({}), "{}\n"),
        ] {
            assert_eq!(write(&value), expected, "{value}");
        }
    }

    #[test]
    fn text_is_quoted_where_it_would_mean_something_else() {
        for (text, expected) in [
            ("plain text", "plain text"),
            ("true", "\"true\""),
            ("12", "\"12\""),
            ("1.5", "\"1.5\""),
            ("0x1f", "\"0x1f\""),
            ("2024-01-02", "\"2024-01-02\""),
            ("", "\"\""),
            ("null", "\"null\""),
            ("v1.2.3", "v1.2.3"),
            ("1.2.3", "1.2.3"),
            ("a: b", "'a: b'"),
            ("http://x/y:1", "http://x/y:1"),
            ("- a", "'- a'"),
            ("*all", "'*all'"),
            ("it's", "it's"),
            ("'it'", "'''it'''"),
            ("a\u{7}", "\"a\\u0007\""),
        ] {
            assert_eq!(scalar(text, 0), expected, "{text:?}");
        }
    }
}
