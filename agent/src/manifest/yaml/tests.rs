//! Where each value stands, and which texts are none.

use serde_json::json;

use super::*;

fn read(text: &str) -> Vec<Document> {
    let (documents, faults) = documents("f", text.as_bytes());
    assert_eq!(faults, [], "{text}");
    documents
}

fn complaints(bytes: &[u8]) -> Vec<String> {
    documents("f", bytes).1.iter().map(ToString::to_string).collect()
}

#[test]
fn every_way_to_write_a_value_gives_the_json_kubectl_would_send() {
    let check = |text: &str, wanted: Value| {
        let values: Vec<Value> = read(text).into_iter().map(|document| document.value).collect();
        assert_eq!(Value::Array(values), wanted, "{text}");
    };
    check("", json!([]));
    check("# nothing\n---\n---\n# nothing again\n", json!([]));
    check("a: 1\n---\nb: 0400\n...\n---\nc: yes\n", json!([{"a": 1}, {"b": 256}, {"c": true}]));
    check("\u{feff}a: ''\nb: \"yes\"\nc:\n", json!([{"a": "", "b": "yes", "c": null}]));
    check("80: x\nno: y\n1.5: z\n", json!([{"80": "x", "false": true, "1.5": "z"}]));
    check("{\n\t\"a\": [1,\n\t\"\\ud83d\\ude00\\/\"]}\n", json!([{"a": [1, "😀/"]}]));
    check("{a: [x, 'y',], b: {c: d,},}", json!([{"a": ["x", "y"], "b": {"c": "d"}}]));
    check("a: !!str 80\nb: !!int 7\nc: !!map {}\nd: ! 5\n", json!([{"a": "80", "b": 7, "c": {}, "d": "5"}]));
    check("a: &x [1]\nb: *x\n", json!([{"a": [1], "b": [1]}]));
    let merged = "m: &m {a: 1, b: 2}\no:\n  <<: *m\n  b: 3\n";
    check(merged, json!([{"m": {"a": 1, "b": 2}, "o": {"a": 1, "b": 3}}]));
    check("m: &m {a: 1}\no: {<<: [*m, {a: 2, c: 3}]}\n", json!([{"m": {"a": 1}, "o": {"a": 1, "c": 3}}]));
    check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!([{"a": "x\ny\n", "b": "x y"}]));
    check("a: \"it\\'s \\\\'\"\nb: 'c:\\'\nc: \"\\'\"\n", json!([{"a": "it's \\'", "b": "c:\\", "c": "'"}]));
}

#[test]
fn every_value_knows_its_line_and_column() {
    let text =
        "# x\nmetadata:\n  labels: {a.b/c: d, e: f}\nlist:\n- name: \"it\\'s\" # c\n  é: 1\n-   [2, 3]\n";
    let documents = read(text);
    let check = |field: &str, key: (usize, usize), value: (usize, usize)| {
        let spot = documents[0].spot.find(field);
        let found = ((spot.key.line, spot.key.column), (spot.value.line, spot.value.column));
        assert_eq!(found, (key, value), "{field}");
    };
    check("", (2, 1), (2, 1));
    check("metadata", (2, 1), (3, 3));
    check("metadata.labels[a.b/c]", (3, 12), (3, 19));
    check("metadata.labels.e", (3, 22), (3, 25));
    check("metadata.labels.absent", (3, 3), (3, 11));
    check("list[0].name", (5, 3), (5, 9));
    check("list[0].é", (5, 3), (5, 3));
    check("list[0][é]", (6, 3), (6, 6));
    check("list[1][1]", (7, 9), (7, 9));
    check("list[7].x", (4, 1), (5, 3));
    check("listing", (2, 1), (2, 1));
}

#[test]
fn what_is_not_a_document_is_refused_with_its_line_and_column() {
    let check = |bytes: &[u8], wanted: &[&str]| assert_eq!(complaints(bytes), wanted);
    check(b"a: 1\nb: 2\na: 3\n", &["f:3:1: a: given twice; the first is in line 1, column 1"]);
    check(
        b"s:\n- {x: 1, x: 1}\n- {z: 1,\n   z: 2}\n",
        &[
            "f:2:10: s[0].x: given twice; the first is in line 2, column 4",
            "f:4:4: s[1].z: given twice; the first is in line 3, column 4",
        ],
    );
    check(b"a: \xffx\n", &["f:1:4: this byte is not UTF-8; UTF-8 text is needed"]);
    check(b"a: !foo 1\n", &["f:1:9: the tag !foo does not fit the value \"1\"; no tag is needed here"]);
    check(b"a: !!int x\n", &["f:1:10: the tag !!int does not fit the value \"x\"; no tag is needed here"]);
    check(b"a: !!set {}\n", &["f:1:10: the tag !!set does not fit this value; no tag is needed here"]);
    check(b"a: &x [*x]\n", &["f:1:8: the alias stands inside its own anchor"]);
    check(b"? [1]\n: 2\n", &["f:1:3: a list stands here; a string is needed as a key"]);
    check(b"<<: 5\n", &["f:1:1: 5 is a number; << needs a mapping or a list of mappings"]);
    for bytes in
        [&b"a: [1\n"[..], b"a: 'x", b"a:\n\tb: 1\n", b"a: \"\\q\"\n", b"a: 1\n b: 2\n", b"a: *x\n", b"\0"]
    {
        assert!(complaints(bytes)[0].starts_with("f:"), "{bytes:?}");
    }
}

#[test]
fn a_small_file_cannot_take_much_memory() {
    let bomb: String = (1..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, level| {
        let below = level - 1;
        text + &format!("a{level}: &a{level} [*a{below}, *a{below}]\n")
    });
    assert!(complaints(bomb.as_bytes())[0].contains("aliases"));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(1000));
    assert!(complaints(long.as_bytes())[0].contains("aliases"));
    assert!(complaints("[".repeat(100_000).as_bytes())[0].contains("nested too deeply"));
    assert!(complaints("- ".repeat(200).as_bytes())[0].contains("nested too deeply"));
    assert!(complaints(&vec![b'#'; MOST_BYTES + 1])[0].contains("too many"));
}
