//! YAML 1.1 scalars, read exactly as kubectl's reader (go-yaml v2) reads them: `0400` is 256, `yes` is true.
//! Knows nothing of documents or positions.

use serde_json::{Number, Value};

/// What a scalar without quotes and without a tag means.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => number(text).map_or_else(|| text.into(), Value::Number),
    }
}

/// A number in any of YAML 1.1's spellings. Base 60 is not one of them in go-yaml, and infinity has no JSON.
fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let digits = if text.starts_with('.') { text.to_owned() } else { text.replace('_', "") };
    integer(&digits).or_else(|| float(&digits))
}

fn integer(digits: &str) -> Option<Number> {
    let (negative, rest) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(digits)),
    };
    let (base, rest) = match rest.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &rest[2..]),
        [b'0', b'o' | b'O', ..] => (8, &rest[2..]),
        [b'0', b'b' | b'B', ..] => (2, &rest[2..]),
        [b'0', _, ..] => (8, &rest[1..]),
        _ => (10, rest),
    };
    if !rest.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None; // from_str_radix would take a second sign
    }
    let size = u64::from_str_radix(rest, base).ok()?;
    if negative { 0_i64.checked_sub_unsigned(size).map(Number::from) } else { Some(size.into()) }
}

/// A whole number comes out as an integer: the JSON that kubectl sends for `1e3` is `1000`.
fn float(digits: &str) -> Option<Number> {
    let body = digits.trim_start_matches(['+', '-']);
    let shaped = digits.len() - body.len() <= 1
        && body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = shaped.then(|| digits.parse::<f64>().ok()).flatten()?;
    if value.fract() == 0.0 && value.abs() < 9e18 {
        // The bound keeps the conversion exact.
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubectl() {
        let rows = [
            ("", Value::Null),
            ("~", Value::Null),
            ("Null", Value::Null),
            ("nULL", json!("nULL")),
            ("yes", json!(true)),
            ("On", json!(true)),
            ("y", json!(true)),
            ("No", json!(false)),
            ("off", json!(false)),
            ("yEs", json!("yEs")),
            ("0400", json!(256)),
            ("0o400", json!(256)),
            ("012", json!(10)),
            ("08", json!(8)),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("0x1F", json!(31)),
            ("0b101", json!(5)),
            ("-0b101", json!(-5)),
            ("1_0", json!(10)),
            ("+12", json!(12)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("18446744073709551615", json!(u64::MAX)),
            ("18446744073709551616", json!(18446744073709551616.0)),
            ("1e3", json!(1000)),
            ("80.0", json!(80)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            ("1.25e-2", json!(0.0125)),
            ("1e999", json!("1e999")),
            (".inf", json!(".inf")),
            (".", json!(".")),
            ("-", json!("-")),
            ("--1", json!("--1")),
            ("0x", json!("0x")),
            ("0x-1", json!("0x-1")),
            ("1:30", json!("1:30")),
            ("1.27.3", json!("1.27.3")),
            ("2020-01-02", json!("2020-01-02")),
            ("64Mi", json!("64Mi")),
            ("1e", json!("1e")),
            ("e3", json!("e3")),
            ("infinity", json!("infinity")),
            ("nan", json!("nan")),
        ];
        for (text, wanted) in rows {
            assert_eq!(plain(text), wanted, "{text}");
        }
    }
}
