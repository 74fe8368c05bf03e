//! Patches that nobody would write in good faith: they are applied or refused, what comes of them stays small and flat, and
//! what is said twice is done once. `cargo xtask fuzz` lets it run for a minute.

use serde_json::{Map, Value, json};

use super::{Way, keys::MERGED};

/// What a value is, and which words are in it.
type Piece = (u8, u8, u8, u8);

const WORDS: [&str; 12] = [
    "a",
    "name",
    "type",
    "-",
    "0",
    "1",
    "$patch",
    "$retainKeys",
    "$setElementOrder/env",
    "$deleteFromPrimitiveList/finalizers",
    "delete",
    "replace",
];

fn word(chosen: u8) -> &'static str {
    let chosen = usize::from(chosen);
    WORDS
        .get(chosen % (WORDS.len() + MERGED.len()))
        .copied()
        .unwrap_or_else(|| MERGED[chosen % MERGED.len()].0)
}

/// The next value of the pieces; what is left of them lies inside of it.
fn value(pieces: &mut std::slice::Iter<'_, Piece>, depth: usize) -> Value {
    let Some(&(kind, first, second, size)) = pieces.next() else { return Value::Null };
    match kind % 6 {
        0 => Value::Null,
        1 => json!(size),
        2 => json!(word(first)),
        _ if depth > 8 => json!(true),
        3 => (0..size % 4).map(|_| value(pieces, depth + 1)).collect(),
        _ => {
            let names = [first, second, first.wrapping_add(second), size];
            let fields = names.into_iter().take(usize::from(size % 4) + 1);
            Value::Object(
                fields.map(|name| (word(name).to_owned(), value(pieces, depth + 1))).collect::<Map<_, _>>(),
            )
        }
    }
}

fn operation(&(kind, first, second, size): &Piece) -> Value {
    let op = ["add", "remove", "replace", "move", "copy", "test"][usize::from(kind) % 6];
    let path = |count: u8, from: u8| -> String {
        (0..count % 4).map(|step| format!("/{}", word(from.wrapping_add(step)))).collect()
    };
    let content = json!({ word(second): size });
    json!({"op": op, "path": path(size, first), "from": path(size / 4, second), "value": content})
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[test]
fn fuzz_patches() {
    bolero::check!().with_type::<(Vec<Piece>, Vec<Piece>)>().for_each(|(object, patch)| {
        let object = value(&mut object.iter(), 0);
        let operations: Value = patch.iter().take(64).map(operation).collect();
        if let Ok(patched) = Way::Json.apply(&object, &operations) {
            assert!(depth(&patched) <= 80 && patched.to_string().len() < 16 << 20);
        }
        let patch = value(&mut patch.iter(), 0);
        for way in [Way::Merge, Way::Strategic] {
            let Ok(once) = way.apply(&object, &patch) else { continue };
            assert!(depth(&once) <= 40, "{once}");
            let has_directives = patch.to_string().contains('$');
            if way == Way::Merge || !has_directives {
                assert_eq!(way.apply(&once, &patch).as_ref(), Ok(&once), "{object} {patch}");
            }
        }
    });
}
