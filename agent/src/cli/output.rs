//! Where text goes: standard output, and objects as JSON or YAML.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

/// How objects are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    pub(super) fn text(self, value: &Value) -> String {
        match self {
            Self::Json => format!("{value:#}\n"),
            Self::Yaml => yaml(value),
        }
    }

    /// One of several, each of which can be told from the next.
    pub(super) fn document(self, value: &Value) -> String {
        match self {
            Self::Json => self.text(value),
            Self::Yaml => format!("---\n{}", self.text(value)),
        }
    }
}

/// Prints. A reader that has seen enough and closed the pipe is no error.
pub(super) fn say(text: &str) -> io::Result<()> {
    say_bytes(text.as_bytes()).map(drop)
}

/// Whether anybody still listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    Here,
    Gone,
}

/// Prints at once.
pub(super) fn say_bytes(bytes: &[u8]) -> io::Result<Listener> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Listener::Here),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Listener::Gone),
        Err(error) => Err(error),
    }
}

/// A word beside the result, for whoever watches.
pub(super) fn note(text: &str) {
    // Nobody reads it: nothing is lost.
    drop(writeln!(io::stderr(), "{text}"));
}

/// The columns of the terminal that is written to, if it is one.
pub(super) fn width() -> Option<usize> {
    let out = io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten()?;
    Some(size.ws_col.into()).filter(|columns| *columns > 0)
}

/// Block style YAML, of the part of the language that every reader understands alike.
fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Writes a value at the start of a line.
fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                text.push_str(&format!("{indent}{}:", scalar(key)));
                below(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                // The dash takes the place of the first line's last indentation.
                text.push_str(&format!("{indent}- {}", inner.trim_start()));
            }
        }
        _ => text.push_str(&format!("{indent}{}\n", flow(value))),
    }
}

/// Writes what stands after a key and its colon.
fn below(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            text.push('\n');
            block(value, depth + 1, text);
        }
        // As kubectl: a list is not indented below its key.
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            block(value, depth, text);
        }
        _ => text.push_str(&format!(" {}\n", flow(value))),
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // Numbers, booleans, null, [] and {} are the same in both languages.
        other => other.to_string(),
    }
}

/// A string, in quotes unless it can be nothing else.
fn scalar(text: &str) -> String {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '/';
    let follows = |c: char| c.is_ascii_alphanumeric() || "-_./:@=".contains(c);
    // A colon at the end would make it a key.
    let plain = text.starts_with(starts) && text.chars().all(follows) && !text.ends_with(':');
    // What YAML 1.1 takes for a boolean, a null or a number.
    let lower = text.to_ascii_lowercase();
    let taken = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"].contains(&lower.as_str());
    if plain && !taken { text.to_owned() } else { Value::String(text.to_owned()).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_written_in_block_style() {
        let rows = [
            (json!({}), "{}\n"),
            (json!({"a": 1, "b": [], "c": {}, "d": null}), "a: 1\nb: []\nc: {}\nd: null\n"),
            (json!({"a": {"b": {"c": true}}}), "a:\n  b:\n    c: true\n"),
            (json!({"l": ["x", 2]}), "l:\n- x\n- 2\n"),
            (json!({"l": [{"a": 1, "b": [{"c": 2, "d": 3}]}]}), "l:\n- a: 1\n  b:\n  - c: 2\n    d: 3\n"),
            (json!([["a", "b"], []]), "- - a\n  - b\n- []\n"),
        ];
        for (value, expected) in rows {
            assert_eq!(yaml(&value), expected);
        }
    }

    #[test]
    fn what_is_written_reads_back_as_it_was() {
        let odd = [
            "", " ", "yes", "0x1F", "1:30", "a:", "a:b", "a=b", "=", "~", "a: b", "- x", "#", "'", "\"",
            "\\", "l1\nl2\n", "\t", "é😀", "!x", "&a", "*a", "%", "@", "`",
        ];
        let pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", "annotations": {"a/b": "012", "c": "null", "d": "1e3"}},
            "spec": {"containers": [{"name": "c", "image": "i", "args": odd, "ports": [{"containerPort": 80}]}]},
        });
        for text in [Format::Yaml.text(&pod), Format::Json.text(&pod)] {
            let objects = crate::manifest::read("written", text.as_bytes()).unwrap();
            assert_eq!(objects[0].value, pod, "{text}");
        }
    }

    #[test]
    fn strings_that_could_be_something_else_are_quoted() {
        for (text, expected) in [
            ("web", "web"),
            ("docker.io/library/busybox", "docker.io/library/busybox"),
            ("/etc/x", "/etc/x"),
            ("localhost/x:1@sha256:ab", "localhost/x:1@sha256:ab"),
            ("a:", "\"a:\""),
            ("", "\"\""),
            ("yes", "\"yes\""),
            ("Null", "\"Null\""),
            ("0400", "\"0400\""),
            ("1e3", "\"1e3\""),
            ("a: b", "\"a: b\""),
            ("a b", "\"a b\""),
            ("-x", "\"-x\""),
            ("l1\nl2\t\"q\"", "\"l1\\nl2\\t\\\"q\\\"\""),
        ] {
            assert_eq!(scalar(text), expected, "{text:?}");
        }
    }
}
