//! Tests only: what `monitoring/` asks Prometheus for is on the agent's pages.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Format, cadvisor, page, tests::picture};

const RULES: &str = include_str!("../../../monitoring/rules.yml");
const RULES_TEST: &str = include_str!("../../../monitoring/rules.test.yml");
const DASHBOARD: &str = include_str!("../../../monitoring/carob.json");
/// What Prometheus itself says of each target.
const OF_PROMETHEUS: &str = "up";
/// Words of a query that are followed by a list of labels, or stand alone.
const WITH_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const ALONE: [&str; 5] = ["and", "or", "unless", "bool", "offset"];

/// The names of all series on the agent's two pages.
fn exported(test: &str) -> BTreeSet<String> {
    let pages = page(&picture(), Format::Text) + &cadvisor::full_page(test);
    let series = pages.lines().filter(|line| !line.starts_with('#'));
    series.filter_map(|line| Some(line.split(['{', ' ']).next()?.to_owned())).collect()
}

/// The metrics that a query names.
fn named(query: &str) -> BTreeSet<String> {
    // Grafana's own function: the last thing in it is a label.
    let query = match query.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(',')) {
        Some((metric, _label)) => metric,
        None => query,
    };
    let bare = without(&without(&without_strings(query), '{', '}'), '[', ']');
    let bare = without_label_lists(&bare);
    let after = |at: usize| bare[at..].trim_start();
    let names = words(&bare).filter(|(start, end)| {
        let is_function = after(*end).starts_with('(');
        let is_number = bare[*start..].starts_with(|c: char| c.is_ascii_digit());
        !is_function && !is_number && !ALONE.contains(&&bare[*start..*end])
    });
    names.map(|(start, end)| bare[start..end].to_owned()).collect()
}

/// Where each word starts and ends.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + text[at..].find(is_word)?;
        at = text[start..].find(|c| !is_word(c)).map_or(text.len(), |length| start + length);
        Some((start, at))
    })
}

/// Without `by (…)` and its like, so that a function is followed by what it is applied to.
fn without_label_lists(query: &str) -> String {
    let (mut text, mut kept) = (String::new(), 0);
    for (start, end) in words(query) {
        if start >= kept && WITH_LABELS.contains(&&query[start..end]) {
            text += &query[kept..start];
            let rest = query[end..].trim_start();
            let list = rest.strip_prefix('(').and_then(|list| list.split_once(')'));
            kept = query.len() - list.map_or(rest, |(_, after)| after).len();
        }
    }
    text + &query[kept..]
}

fn without_strings(query: &str) -> String {
    query.split('"').step_by(2).collect()
}

fn without(query: &str, open: char, close: char) -> String {
    let mut parts = query.split(open);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + " " + part.split_once(close).map_or("", |(_, after)| after))
}

/// Every string that stands in a field of one of these names, at any depth.
fn fields<'a>(value: &'a Value, names: &[&str], found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if names.contains(&name.as_str()) => found.push(text),
                    other => fields(other, names, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| fields(value, names, found)),
        _ => {}
    }
}

fn found<'a>(value: &'a Value, names: &[&str]) -> Vec<&'a str> {
    let mut all = Vec::new();
    fields(value, names, &mut all);
    all
}

#[test]
fn a_querys_metrics_are_told_from_its_other_words() {
    let rows: [(&str, &[&str]); 6] = [
        ("up", &["up"]),
        (
            "sum without (a, b) (a) or sum by (pod) (rate(a_total{b=\"c\", d!~\"e{f}\"}[5m])) > 0.25",
            &["a", "a_total"],
        ),
        ("a:b:sum * on (pod) group_left (node) max(c{}) unless d == 1e3", &["a:b:sum", "c", "d"]),
        ("a and on (b) c or d offset 5m", &["a", "c", "d"]),
        ("rate(a[$__rate_interval]) / 2", &["a"]),
        ("label_values(a{b=\"$b\"}, pod)", &["a"]),
    ];
    for (query, expected) in rows {
        assert_eq!(named(query).iter().map(String::as_str).collect::<Vec<_>>(), expected, "{query}");
    }
}

#[test]
fn rules_name_what_the_agent_exports() {
    let rules: Value = serde_yaml::from_str(RULES).unwrap();
    let exported = exported("rules");
    let queries = found(&rules, &["expr"]);
    assert!(queries.len() >= 10, "{queries:?}");
    for query in queries {
        let names = named(query);
        let unknown = names.iter().find(|name| !exported.contains(*name) && *name != OF_PROMETHEUS);
        assert!(unknown.is_none() && !names.is_empty(), "{unknown:?} in {query}");
    }
}

#[test]
fn no_rule_is_without_its_test() {
    let [rules, test]: [Value; 2] = [RULES, RULES_TEST].map(|text| serde_yaml::from_str(text).unwrap());
    let tested = found(&test, &["alertname", "expr"]);
    let rules = found(&rules, &["alert", "record"]);
    let untested = rules.iter().find(|rule| !tested.contains(rule));
    assert!(untested.is_none() && rules.len() >= 10, "{untested:?} of {rules:?}");
}

#[test]
fn the_dashboard_charts_what_the_agent_exports() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39), "{}", dashboard["schemaVersion"]);
    let exported = exported("dashboard");
    let queries = found(&dashboard, &["expr", "definition"]);
    assert!(queries.len() >= 15, "{queries:?}");
    for query in queries {
        let names = named(query);
        let unknown = names.iter().find(|name| !exported.contains(*name));
        assert!(unknown.is_none() && !names.is_empty(), "{unknown:?} in {query}");
    }
}

#[test]
fn every_panel_asks_the_source_that_is_chosen_and_has_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|v| v["type"] == "datasource" && v["name"] == "datasource"));
    let panels = dashboard["panels"].as_array().unwrap();
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let at = &panel["gridPos"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "the id of {}", panel["title"]);
        assert!(places.insert((at["y"].as_u64(), at["x"].as_u64())), "the place of {}", panel["title"]);
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
            assert!(!found(panel, &["expr"]).is_empty(), "{}", panel["title"]);
        }
    }
}
