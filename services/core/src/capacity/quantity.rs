//! Kubernetes quantities as thousandths: `250m`, `1.5`, `2Gi`, `1e3` (`apimachinery/pkg/api/resource` of kubernetes/kubernetes).

use serde_json::Value;

/// The quantity in thousandths, rounded up, as large as an i64 holds; none where it is none.
pub(super) fn milli(quantity: &Value) -> Option<i64> {
    match quantity {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c));
    let (number, suffix) = text.split_at(digits.unwrap_or(text.len()));
    let number: f64 = number
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())?;
    let exponent = |suffix: &str| -> Option<f64> {
        let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
        Some(10_f64.powi(power))
    };
    let factor = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        other => exponent(other)?,
    };
    #[allow(
        clippy::cast_possible_truncation,
        reason = "what is larger than an i64 becomes the largest"
    )]
    Some((number * factor * 1e3 - 1e-6).ceil() as i64)
}
