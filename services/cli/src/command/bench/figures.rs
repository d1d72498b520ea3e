//! Figures: percentiles, rates, and the table that a person reads.

use std::time::Duration;

use serde_json::{Value, json};

use super::rig::round;
use crate::output::Paint;

/// Milliseconds.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// The percentiles of samples in milliseconds; null where there are none.
pub(super) fn percentiles(mut samples: Vec<f64>) -> Value {
    if samples.is_empty() {
        return Value::Null;
    }
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| {
        // The nearest-rank definition: the smallest sample that is not exceeded by `share` of them.
        let rank = (share * samples.len() as f64).ceil() as usize;
        round(samples[rank.clamp(1, samples.len()) - 1])
    };
    json!({
        "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p999": at(0.999),
        "max": at(1.0), "count": samples.len(),
    })
}

/// Puts the fields of `more` beside those of `figures`.
pub(super) fn merge(figures: &mut Value, more: Value) {
    if let (Value::Object(figures), Value::Object(more)) = (figures, more) {
        figures.extend(more);
    }
}

/// The figures as a person reads them: one line a leaf, its path before it; percentiles on one line.
pub(super) fn table(figures: &Value) -> String {
    let paint = Paint::stdout();
    let mut lines = Vec::new();
    walk("", figures, &mut lines);
    let width = lines.iter().map(|(path, _)| path.len()).max().unwrap_or(0);
    lines
        .into_iter()
        .map(|(path, value)| format!("{path:width$}   {}\n", paint.bold(&value)))
        .collect()
}

fn walk(path: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) if fields.contains_key("p50") => {
            let cells = fields
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect::<Vec<_>>();
            lines.push((path.to_owned(), cells.join("   ")));
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                walk(&path, value, lines);
            }
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}[{index}]"), item, lines);
            }
        }
        Value::String(text) => lines.push((path.to_owned(), text.clone())),
        other => lines.push((path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let samples = (1..=100).map(f64::from).rev().collect();
        let figures = percentiles(samples);
        assert_eq!(figures["p50"], 50.0);
        assert_eq!(figures["p99"], 99.0);
        assert_eq!(figures["max"], 100.0);
        assert_eq!(percentiles(vec![7.0])["p50"], 7.0);
        assert_eq!(percentiles(Vec::new()), Value::Null);
    }

    #[test]
    fn a_table_has_a_line_a_figure() {
        let figures = json!({"a": {"b": 1}, "latency_ms": {"p50": 1.0, "max": 2.0}});
        assert_eq!(
            table(&figures),
            "a.b          1\nlatency_ms   p50 1.0   max 2.0\n"
                .replace("p50 1.0   max 2.0", "max 2.0   p50 1.0")
        );
    }
}
