//! A source file as the rules see it: without comments and without what stands in quotes, split where its tests begin.
//! It knows enough of Rust's tokens for that and nothing of its grammar.

pub(crate) struct Source<'a> {
    /// From the workspace's root, with `/`.
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    /// The same lines; comments and the insides of strings are gone.
    pub(crate) bare: String,
    pub(crate) purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Product,
    /// The tests package, and modules that are only compiled for tests.
    Tests,
}

impl<'a> Source<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let purpose = if path.starts_with("tests/") { Purpose::Tests } else { Purpose::Product };
        Self { path, text, bare: bare(text), purpose }
    }

    /// Paths without `.rs` or `/mod.rs` of the modules that this file declares for tests only.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let here = self.path.strip_suffix(".rs").unwrap_or(self.path);
        let here = ["/mod", "/lib", "/main"].iter().find_map(|root| here.strip_suffix(root)).unwrap_or(here);
        let declared = self.bare.split("#[cfg(test)]").skip(1).map(str::trim_start);
        let names = declared.filter_map(|rest| {
            let rest = rest.strip_prefix("pub(crate) ").unwrap_or(rest);
            Some(rest.strip_prefix("mod ")?.split_once(';')?.0)
        });
        let names = names.filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
        names.map(|name| format!("{here}/{name}")).collect()
    }

    /// Whether this is `module` or a file below it.
    pub(crate) fn is_of(&self, module: &str) -> bool {
        let rest = self.path.strip_prefix(module);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    }

    /// The bare text above the file's own unit tests; nothing of a file that is all tests.
    pub(crate) fn product(&self) -> &str {
        if self.purpose == Purpose::Tests {
            return "";
        }
        let end = self.bare.find("\n#[cfg(test)]\nmod tests").unwrap_or(self.bare.len());
        &self.bare[..end]
    }

    /// A table that happens to be written in Rust.
    pub(crate) fn is_data(&self) -> bool {
        self.path.contains("/rules/")
    }

    /// The agent's module this file belongs to.
    pub(crate) fn module(&self) -> Option<&str> {
        let first = self.path.strip_prefix("agent/src/")?.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// A file whose `super` is the crate's root.
    pub(crate) fn is_module_root(&self) -> bool {
        let inside = self.path.strip_prefix("agent/src/").unwrap_or_default();
        !inside.contains('/') || (inside.matches('/').count() == 1 && inside.ends_with("/mod.rs"))
    }
}

/// Blanks comments and the insides of literals; line ends stay where they are.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        let inside_word = before.is_alphanumeric() || before == '_';
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' | 'b' | 'c' if !inside_word => prefixed_string(rest).unwrap_or(0),
            '\'' => character(rest),
            _ => 0,
        };
        if length == 0 {
            out.push(first);
            before = first;
            rest = &rest[first.len_utf8()..];
        } else {
            let (blanked, left) = rest.split_at(length);
            let quoted = blanked.ends_with(['"', '#', '\'']);
            out.push_str(if quoted { "\"" } else { "" });
            out.extend(blanked.chars().filter(|c| *c == '\n'));
            out.push_str(if quoted { "\"" } else { "" });
            before = ' ';
            rest = left;
        }
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    for (at, two) in text.as_bytes().windows(2).enumerate() {
        match two {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 2;
        }
    }
    text.len()
}

/// The length of a literal with escapes that starts with a quote.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `c"…"`; not an identifier that starts so, nor `r#name`.
fn prefixed_string(text: &str) -> Option<usize> {
    let prefix = text.find(['"', '#'])?;
    let raw = match &text[..prefix] {
        "b" | "c" => false,
        "r" | "br" | "cr" => true,
        _ => return None,
    };
    if !raw {
        return text[prefix..].starts_with('"').then(|| prefix + string(&text[prefix..]));
    }
    let hashes = text[prefix..].bytes().take_while(|byte| *byte == b'#').count();
    let inside = text[prefix + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(prefix + hashes + 1 + length)
}

/// A character literal; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((after, _))) => {
            text[after + 1..].find('\'').map_or(0, |at| after + 1 + at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(bare(text), expected);
    }

    #[test]
    fn comments_and_quoted_text_are_blanked() {
        check("a // b\nc", "a \nc");
        check("a /* b /* c */ d */ e", "a  e");
        check(r#"f("x\"y") + 1"#, "f(\"\") + 1");
        check("f(r#\"a\"b\"#, b\"c\")", "f(\"\", \"\")");
        check("('\"', '\\'', 'a)", "(\"\", \"\", 'a)");
        check("let r#type = br;", "let r#type = br;");
        check("\"a\nb\"", "\"\n\"");
    }

    #[test]
    fn the_product_ends_where_its_tests_begin() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(Source::new("agent/src/a.rs", text).product(), "fn a() {}\n");
        assert_eq!(Source::new("tests/cases/a.rs", text).product(), "");
    }

    #[test]
    fn modules_for_tests_only_are_known_by_their_declaration() {
        let text =
            "#[cfg(test)]\npub(crate) mod fixture;\nmod b;\n#[cfg(test)]\nmod tests {\n    mod c;\n}\n";
        assert_eq!(Source::new("agent/src/a/mod.rs", text).test_modules(), ["agent/src/a/fixture"]);
        assert_eq!(Source::new("agent/src/a.rs", text).test_modules(), ["agent/src/a/fixture"]);
        assert_eq!(Source::new("ebpf/src/lib.rs", text).test_modules(), ["ebpf/src/fixture"]);
        assert!(Source::new("a/fixture.rs", "").is_of("a/fixture"));
        assert!(Source::new("a/fixture/x.rs", "").is_of("a/fixture"));
        assert!(!Source::new("a/fixtures.rs", "").is_of("a/fixture"));
    }

    #[test]
    fn a_file_knows_its_module() {
        assert_eq!(Source::new("agent/src/plan/stop.rs", "").module(), Some("plan"));
        assert_eq!(Source::new("agent/src/main.rs", "").module(), Some("main"));
        assert_eq!(Source::new("ebpf/src/lib.rs", "").module(), None);
    }
}
