//! The rules, each a pure function from one source file to what is wrong with it, as `path:line: text`.

use super::{map, source::Source};

const MOST_LINES: usize = 400;
/// Words that say nothing, as a part of a type's or module's name.
const EMPTY_WORDS: &[&str] = &["Manager", "Handler", "Helper", "Helpers", "Util", "Utils", "Common", "Impl"];
const EMPTY_STARTS: &[&str] = &["do_", "process_", "get_"];
const DEFINITIONS: &[&str] = &["struct", "enum", "union", "trait", "type", "mod", "fn"];

type Rule = fn(&Source<'_>) -> Vec<(usize, String)>;

const RULES: &[Rule] = &[
    says_what_it_is,
    is_short,
    has_telling_names,
    allows_nothing,
    returns_errors,
    keeps_the_map,
    keeps_crates_apart,
];

pub(crate) fn faults(source: &Source<'_>) -> Vec<String> {
    let faults = RULES.iter().flat_map(|rule| rule(source));
    faults.map(|(line, text)| format!("{}:{line}: {text}", source.path)).collect()
}

fn says_what_it_is(source: &Source<'_>) -> Vec<(usize, String)> {
    if source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![(1, "the first line says with `//!` what the file is and what it does not do".to_owned())]
}

fn is_short(source: &Source<'_>) -> Vec<(usize, String)> {
    let count = source.product().lines().filter(|line| !line.trim().is_empty()).count();
    if count <= MOST_LINES || source.is_data() {
        return Vec::new();
    }
    vec![(1, format!("{count} lines of code; {MOST_LINES} are the most"))]
}

fn has_telling_names(source: &Source<'_>) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    for (number, line) in numbered(&source.bare) {
        for (kind, name) in definitions(line) {
            if is_empty_name(kind, name) {
                faults.push((number, format!("`{kind} {name}` says nothing: name the thing of the domain")));
            }
        }
    }
    faults
}

/// `struct Name`, `fn name`: keyword and name of what a line defines.
fn definitions(line: &str) -> Vec<(&str, &str)> {
    let words: Vec<&str> =
        line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty()).collect();
    words.windows(2).filter(|two| DEFINITIONS.contains(&two[0])).map(|two| (two[0], two[1])).collect()
}

fn is_empty_name(kind: &str, name: &str) -> bool {
    if kind == "fn" {
        return EMPTY_STARTS.iter().any(|start| name.starts_with(start));
    }
    let is_type = !matches!(kind, "mod");
    parts(name).iter().any(|part| EMPTY_WORDS.contains(&part.as_str()))
        || (is_type && name.ends_with("Service"))
}

/// `PodManager` and `pod_manager` → `Pod`, `Manager`.
fn parts(name: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut begin = true;
    for c in name.chars() {
        if c == '_' {
            begin = true;
        } else if begin || c.is_uppercase() {
            parts.push(c.to_uppercase().collect());
            begin = false;
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    parts
}

fn allows_nothing(source: &Source<'_>) -> Vec<(usize, String)> {
    let text =
        "a lint is not allowed away: `#[expect(lint, reason = …)]` says why, and goes when it is not needed";
    found(&source.bare, &["#[allow", "#![allow"], text)
}

fn returns_errors(source: &Source<'_>) -> Vec<(usize, String)> {
    found(
        source.product(),
        &[".unwrap()", ".expect(\""],
        "an error is returned with what was attempted; only tests may panic",
    )
}

fn found(text: &str, patterns: &[&str], fault: &str) -> Vec<(usize, String)> {
    let lines = numbered(text).filter(|(_, line)| patterns.iter().any(|pattern| line.contains(pattern)));
    lines.map(|(number, _)| (number, fault.to_owned())).collect()
}

fn keeps_the_map(source: &Source<'_>) -> Vec<(usize, String)> {
    let Some(module) = source.module() else { return Vec::new() };
    if !map::is_known(module) {
        return vec![(1, format!("module `{module}` is not on the map in xtask/src/tidy/map.rs"))];
    }
    let mut starts = vec!["crate::"];
    starts.extend(source.is_module_root().then_some("super::"));
    let mut faults = Vec::new();
    for start in starts {
        for (at, _) in source.product().match_indices(start) {
            let before = source.product()[..at].chars().next_back().unwrap_or(' ');
            // `pub(crate)` has no `::`; `$crate::` and `super::super::` are others' business.
            if before == '$' || before == ':' || is_word(before) {
                continue;
            }
            for path in paths(&source.product()[at + start.len()..]) {
                if !map::may_use(module, &path) {
                    faults.push((
                        line_of(source.product(), at),
                        format!("`{module}` may not use `{}`", path.join("::")),
                    ));
                }
            }
        }
    }
    faults
}

/// The paths of a use tree: `a::{b, c::D}` → a::b, a::c::D.
fn paths(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim_start();
    if let Some(list) = tree.strip_prefix('{') {
        return branches(list).into_iter().flat_map(paths).collect();
    }
    let name: String = tree.chars().take_while(|c| is_word(*c)).collect();
    if name.is_empty() {
        return Vec::new();
    }
    let ends = match tree[name.len()..].trim_start().strip_prefix("::") {
        Some(rest) => paths(rest),
        None => Vec::new(),
    };
    if ends.is_empty() {
        return vec![vec![name]];
    }
    ends.into_iter().map(|end| [vec![name.clone()], end].concat()).collect()
}

/// What stands between the commas of a list, up to its closing brace.
fn branches(list: &str) -> Vec<&str> {
    let (mut depth, mut start) = (0_u32, 0);
    let mut found = Vec::new();
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' => {
                found.push(&list[start..at]);
                return found;
            }
            ',' if depth == 0 => {
                found.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

fn keeps_crates_apart(source: &Source<'_>) -> Vec<(usize, String)> {
    let Some(module) = source.module() else { return Vec::new() };
    let mut faults = Vec::new();
    for name in map::not_for(module) {
        for (at, _) in source.product().match_indices(&format!("{name}::")) {
            let before = source.product()[..at].chars().next_back().unwrap_or(' ');
            if before != ':' && !is_word(before) {
                faults.push((
                    line_of(source.product(), at),
                    format!("`{module}` may not name the crate `{name}`"),
                ));
            }
        }
    }
    faults
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The faults of a file that begins as it should.
    #[track_caller]
    fn check(path: &str, code: &str, expected: &[&str]) {
        let text = format!("//! A file.\n{code}\n");
        let found: Vec<_> = faults(&Source::new(path, &text));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found} lacks {expected}");
        }
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(faults(&Source::new("ebpf/src/a.rs", "fn a() {}\n")).len(), 1);
        check("ebpf/src/a.rs", "", &[]);
    }

    #[test]
    fn a_file_is_short_but_its_tests_comments_and_tables_do_not_count() {
        let long = "const A: u8 = 0;\n".repeat(MOST_LINES + 1);
        check("agent/src/pod/a.rs", &long, &["lines of code"]);
        check("agent/src/pod/rules/a.rs", &long, &[]);
        check("agent/src/pod/a.rs", &long.replace("const", "// const"), &[]);
        check("agent/src/pod/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}"), &[]);
    }

    #[test]
    fn names_say_something() {
        check("agent/src/pod.rs", "struct PodManager;", &["PodManager"]);
        check("agent/src/pod.rs", "pub(crate) mod pod_utils;", &["pod_utils"]);
        check("agent/src/pod.rs", "trait Service {}", &["Service"]);
        check("agent/src/pod.rs", "enum RequestHandler {}", &["RequestHandler"]);
        check("agent/src/pod.rs", "type Common = u8;", &["Common"]);
        check("agent/src/pod.rs", "struct ReadImpl;", &["ReadImpl"]);
        check("agent/src/pod.rs", "fn get_pod() {}", &["get_pod"]);
        check("agent/src/pod.rs", "fn do_it() {}\nfn process_it() {}", &["do_it", "process_it"]);
        check(
            "agent/src/pod.rs",
            "struct Utilization;\nfn doubled() {}\nfn processes() {}\nenum Implicit {}",
            &[],
        );
        check(
            "agent/src/pod.rs",
            "struct ServiceAccount;\n// struct Manager;\nconst A: &str = \"fn get_x\";",
            &[],
        );
    }

    #[test]
    fn no_lint_is_allowed_away() {
        check("agent/src/pod.rs", "#[allow(dead_code)]\nfn a() {}", &["`#[expect(lint"]);
        check("xtask/src/a.rs", "#![allow(dead_code)]", &["`#[expect(lint"]);
        check("agent/src/pod.rs", "#[expect(dead_code, reason = \"#[allow\")]", &[]);
    }

    #[test]
    fn only_tests_may_panic_on_an_error() {
        check("agent/src/pod.rs", "fn a() { b().unwrap(); }", &["only tests"]);
        check("agent/src/pod.rs", "fn a() { b().expect(\"c\"); }", &["only tests"]);
        check("agent/src/pod.rs", "fn a() { b().unwrap_or_default(); parser.expect(token); }", &[]);
        check("agent/src/pod.rs", "#[cfg(test)]\nmod tests {\n    fn a() { b().unwrap(); }\n}", &[]);
        check("tests/cases/a.rs", "fn a() { b().unwrap(); }", &[]);
    }

    #[test]
    fn modules_keep_to_the_map() {
        check(
            "agent/src/plan/stop.rs",
            "use crate::{act::Step, pod::Pod};",
            &["`plan` may not use `act::Step`"],
        );
        check("agent/src/plan/mod.rs", "use super::act;", &["`plan` may not use `act`"]);
        check("agent/src/plan/stop.rs", "use super::act;", &[]);
        check("agent/src/plan.rs", "fn a() { crate::store::open(); }", &["store::open"]);
        check("agent/src/act/a.rs", "use crate::runtime::{Word, create};", &["runtime::create"]);
        check("agent/src/act/a.rs", "use crate::{\n    cgroup::Cgroup,\n    runtime::Word,\n};", &[]);
        check("agent/src/run/fold.rs", "use crate::{act, api, plan, store};", &[]);
        check("agent/src/plan.rs", "#[cfg(test)]\nmod tests {\n    use crate::act;\n}", &[]);
        check("agent/src/novel.rs", "", &["not on the map"]);
        check("xtask/src/a.rs", "use crate::anything;", &[]);
    }

    #[test]
    fn foreign_crates_stay_where_they_belong() {
        check("agent/src/store/row.rs", "use rusqlite::Row;", &[]);
        check("agent/src/run/fold.rs", "use rusqlite::Row;", &["the crate `rusqlite`"]);
        check("agent/src/act/a.rs", "fn a(_: libcontainer::Container) {}", &["the crate `libcontainer`"]);
        check("agent/src/act/a.rs", "use oci_spec::runtime::Spec;\nuse crate::pod::aya::X;", &[]);
        for (name, path) in
            [("aya", "act"), ("axum", "run"), ("serde_yaml", "api"), ("prometheus_client", "api")]
        {
            check(&format!("agent/src/{path}/a.rs"), &format!("use {name}::X;"), &[name]);
        }
        check("agent/src/plan/a.rs", "use carob_ebpf::Death;", &["carob_ebpf"]);
    }
}
