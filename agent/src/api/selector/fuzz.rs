//! Selectors that nobody would write in good faith are read or refused; those written by the grammar choose what they say.
//! `cargo xtask fuzz` lets it run for a minute.

use serde_json::{Map, Value, json};

use super::{FIELDS, Selector};

/// Which key, which of the six ways to say something of it, and two values.
type Said = (u8, u8, u8, u8);

const KEYS: [&str; 4] = ["a", "b", "c.d/e", "in"];
const VALUES: [&str; 4] = ["", "1", "2", "x-y"];

fn of(words: &[&'static str; 4], chosen: u8) -> &'static str {
    words[usize::from(chosen) % words.len()]
}

fn written(&(key, way, first, second): &Said) -> String {
    let (key, first, second) = (of(&KEYS, key), of(&VALUES, first), of(&VALUES, second));
    match way % 6 {
        0 => format!("{key}={first}"),
        1 => format!(" {key} != {first} "),
        2 => format!("{key} in ({first}, {second})"),
        3 => format!("{key} notin ({first},{second})"),
        4 => key.to_owned(),
        _ => format!("!{key}"),
    }
}

fn holds(&(key, way, first, second): &Said, labels: &Map<String, Value>) -> bool {
    let found = labels.get(of(&KEYS, key)).and_then(Value::as_str);
    let (first, second) = (of(&VALUES, first), of(&VALUES, second));
    match way % 6 {
        0 => found == Some(first),
        1 => found != Some(first),
        2 => found == Some(first) || found == Some(second),
        3 => found != Some(first) && found != Some(second),
        4 => found.is_some(),
        _ => found.is_none(),
    }
}

#[test]
fn fuzz_selectors() {
    bolero::check!().with_type::<(String, Vec<Said>, Vec<(u8, u8)>)>().for_each(|(noise, said, labels)| {
        for (labels, fields) in [(noise.as_str(), ""), ("", noise.as_str())] {
            if let Ok(selector) = Selector::parse(labels, fields, FIELDS) {
                selector.matches(&json!({"metadata": {"name": noise}}));
            }
        }
        let labels: Map<String, Value> = labels
            .iter()
            .map(|(key, value)| (of(&KEYS, *key).to_owned(), json!(of(&VALUES, *value))))
            .collect();
        let text = said.iter().map(written).collect::<Vec<_>>().join(",");
        let selector = Selector::parse(&text, "", FIELDS).unwrap();
        let expected = said.iter().all(|said| holds(said, &labels));
        let object = json!({"metadata": {"labels": labels}});
        assert_eq!(selector.matches(&object), expected, "{text:?} {object}");
    });
}
