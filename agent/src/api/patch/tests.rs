//! Known answers: RFC 6902's own examples, and what Kubernetes documents of strategic merge patches.

use serde_json::{Value, json};

use super::{Fault, Way};

fn check(way: Way, rows: impl IntoIterator<Item = (Value, Value, Value)>) {
    for (object, patch, expected) in rows {
        assert_eq!(way.apply(&object, &patch), Ok(expected), "{object} {patch}");
    }
}

#[test]
fn operations_do_as_their_standard_says() {
    let one = |operation: Value| json!([operation]);
    check(
        Way::Json,
        [
            (
                json!({"foo": "bar"}),
                one(json!({"op": "add", "path": "/baz", "value": "qux"})),
                json!({"baz": "qux", "foo": "bar"}),
            ),
            (
                json!({"foo": ["bar", "baz"]}),
                one(json!({"op": "add", "path": "/foo/1", "value": "qux"})),
                json!({"foo": ["bar", "qux", "baz"]}),
            ),
            (
                json!({"foo": ["bar"]}),
                one(json!({"op": "add", "path": "/foo/-", "value": ["abc"]})),
                json!({"foo": ["bar", ["abc"]]}),
            ),
            (json!({"a": 1, "b": 2}), one(json!({"op": "remove", "path": "/a"})), json!({"b": 2})),
            (json!({"a": [1, 2, 3]}), one(json!({"op": "remove", "path": "/a/1"})), json!({"a": [1, 3]})),
            (json!({"a": 1}), one(json!({"op": "replace", "path": "/a", "value": null})), json!({"a": null})),
            (
                json!({"a": {"b": 1}, "c": {}}),
                one(json!({"op": "move", "from": "/a/b", "path": "/c/d"})),
                json!({"a": {}, "c": {"d": 1}}),
            ),
            (
                json!({"a": [1, 2, 3]}),
                one(json!({"op": "move", "from": "/a/0", "path": "/a/2"})),
                json!({"a": [2, 3, 1]}),
            ),
            (
                json!({"a": 1}),
                one(json!({"op": "copy", "from": "/a", "path": "/b"})),
                json!({"a": 1, "b": 1}),
            ),
            (
                json!({"a/b": 1, "c~d": 2}),
                json!([
                    {"op": "test", "path": "/a~1b", "value": 1},
                    {"op": "remove", "path": "/c~0d"},
                ]),
                json!({"a/b": 1}),
            ),
            (
                json!({"metadata": {"labels": {"a": "b"}}}),
                json!([
                    {"op": "test", "path": "/metadata/labels/a", "value": "b"},
                    {"op": "replace", "path": "/metadata/labels/a", "value": "c"},
                    {"op": "add", "path": "/metadata/labels/x~1y", "value": "z"},
                ]),
                json!({"metadata": {"labels": {"a": "c", "x/y": "z"}}}),
            ),
        ],
    );
}

#[test]
fn operations_that_do_not_fit_are_refused() {
    let object = json!({"a": [1, 2], "b": {"c": "x"}});
    let deep = (0..60).fold(json!(1), |below, _| json!({ "a": below }));
    let nest = json!({"op": "copy", "from": "/b", "path": "/b/d"});
    let rows = [
        (json!({"op": "test", "path": "/b/c", "value": "y"}), "the test of /b/c failed"),
        (json!({"op": "remove", "path": "/b/d"}), "there is no /b/d"),
        (json!({"op": "replace", "path": "/d", "value": 1}), "there is no /d"),
        (json!({"op": "add", "path": "/a/3", "value": 1}), "nothing can be added at /a/3"),
        (json!({"op": "add", "path": "/a/01", "value": 1}), "nothing can be added at /a/01"),
        (json!({"op": "add", "path": "/d/e", "value": 1}), "there is no /d"),
        (json!({"op": "add", "path": "/b/c/d", "value": 1}), "/b/c has no parts"),
        (json!({"op": "remove", "path": ""}), "the whole object"),
        (json!({"op": "move", "from": "/b", "path": "/b/d"}), "moved into itself"),
        (json!({"op": "add", "path": "/b/c/d/e/f", "value": deep.clone()}), "nested too deep"),
        (json!({"op": "add", "path": "/b"}), "value is missing"),
        (json!({"op": "add", "value": 1}), "path is missing"),
        (json!({"op": "add", "path": "a", "value": 1}), "begin with a slash"),
        (json!({"op": "swap", "path": "/a"}), "op \"swap\""),
    ];
    for (operation, expected) in rows {
        let fault = Way::Json.apply(&object, &json!([operation])).unwrap_err();
        assert!(fault.to_string().contains(expected), "{operation}: {fault}");
    }
    // Each copy doubles what there is, and nests it once more.
    let bomb: Vec<Value> = vec![nest; 100];
    assert!(matches!(Way::Json.apply(&object, &json!(bomb)), Err(Fault::Unfit(_))));
    let many = vec![json!({"op": "test", "path": "", "value": object.clone()}); 10_001];
    assert!(matches!(Way::Json.apply(&object, &json!(many)), Err(Fault::Malformed(_))));
}

#[test]
fn a_patch_has_the_form_of_its_way() {
    let object = json!({"a": 1});
    for (way, patch) in [
        (Way::Json, json!({})),
        (Way::Merge, json!([])),
        (Way::Strategic, json!([])),
        (Way::Merge, json!("x")),
        (Way::Json, json!(null)),
    ] {
        assert!(matches!(way.apply(&object, &patch), Err(Fault::Malformed(_))), "{way:?} {patch}");
    }
}

#[test]
fn lists_are_merged_by_their_keys() {
    let pod = |containers: Value| json!({"spec": {"containers": containers}});
    check(
        Way::Strategic,
        [
            // Another container beside the first (Kubernetes' task page on patches).
            (
                pod(json!([{"name": "a", "image": "nginx"}])),
                pod(json!([{"name": "b", "image": "redis"}])),
                pod(json!([{"name": "a", "image": "nginx"}, {"name": "b", "image": "redis"}])),
            ),
            (
                pod(
                    json!([{"name": "a", "image": "x:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}]),
                ),
                pod(
                    json!([{"name": "a", "image": "x:2", "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}]}]),
                ),
                pod(json!([{"name": "a", "image": "x:2", "env": [
                    {"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"},
                ]}])),
            ),
            (
                pod(
                    json!([{"name": "a", "ports": [{"containerPort": 80, "name": "x"}], "volumeMounts": [{"mountPath": "/a", "name": "v"}]}]),
                ),
                pod(
                    json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}, {"containerPort": 81}], "volumeMounts": [{"mountPath": "/b", "name": "v"}]}]),
                ),
                pod(
                    json!([{"name": "a", "ports": [{"containerPort": 80, "name": "y"}, {"containerPort": 81}],
                    "volumeMounts": [{"mountPath": "/a", "name": "v"}, {"mountPath": "/b", "name": "v"}]}]),
                ),
            ),
            // Tolerations and arguments are replaced as a whole.
            (
                json!({"spec": {"tolerations": [{"key": "a"}], "containers": [{"name": "a", "args": ["1", "2"]}]}}),
                json!({"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["3"]}]}}),
                json!({"spec": {"tolerations": [{"key": "b"}], "containers": [{"name": "a", "args": ["3"]}]}}),
            ),
            (
                json!({"metadata": {"finalizers": ["a", "b"], "ownerReferences": [{"uid": "1", "name": "x"}]}}),
                json!({"metadata": {"finalizers": ["b", "c"], "ownerReferences": [{"uid": "1", "name": "y"}]}}),
                json!({"metadata": {"finalizers": ["a", "b", "c"], "ownerReferences": [{"uid": "1", "name": "y"}]}}),
            ),
            (
                json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}),
                json!({"status": {"conditions": [{"type": "x", "status": "False"}]}}),
                json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "x", "status": "False"}]}}),
            ),
            // A null takes away; what was not there stays away.
            (
                pod(json!([{"name": "a", "image": "x", "tty": true}])),
                pod(json!([{"name": "a", "tty": null, "stdin": null}, {"name": "b", "env": null}])),
                pod(json!([{"name": "a", "image": "x"}, {"name": "b"}])),
            ),
            (json!({"a": {"b": 1}}), json!({"a": null, "c": {"d": null, "e": 2}}), json!({"c": {"e": 2}})),
            (json!({"a": {"b": 1}}), json!({"a": "x"}), json!({"a": "x"})),
        ],
    );
}

#[test]
fn directives_say_what_a_merge_cannot() {
    let list = |entries: Value| json!({ "volumes": entries });
    check(
        Way::Strategic,
        [
            (
                list(json!([{"name": "a"}, {"name": "b"}])),
                list(json!([{"$patch": "delete", "name": "a"}])),
                list(json!([{"name": "b"}])),
            ),
            (
                list(json!([{"name": "a"}, {"name": "b"}])),
                list(json!([{"$patch": "replace"}, {"name": "c"}])),
                list(json!([{"name": "c"}])),
            ),
            (
                list(json!([{"name": "a", "emptyDir": {}}])),
                list(json!([{"name": "a", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}])),
                list(json!([{"name": "a", "hostPath": {"path": "/x"}}])),
            ),
            // `strategy` of a Deployment, from RollingUpdate to Recreate.
            (
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}),
                json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
                json!({"strategy": {"type": "Recreate"}}),
            ),
            (
                json!({"labels": {"a": "1", "b": "2"}}),
                json!({"labels": {"$patch": "replace", "c": "3"}}),
                json!({"labels": {"c": "3"}}),
            ),
            (json!({"labels": {"a": "1"}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}})),
            (
                json!({"labels": {"a": "1"}}),
                json!({"labels": {"$patch": "merge", "b": "2"}}),
                json!({"labels": {"a": "1", "b": "2"}}),
            ),
            (
                json!({"finalizers": ["a", "b", "c"]}),
                json!({"$deleteFromPrimitiveList/finalizers": ["a", "c"], "finalizers": ["d"]}),
                json!({"finalizers": ["b", "d"]}),
            ),
        ],
    );
    for patch in [
        json!({"labels": {"$patch": "explode"}}),
        json!({"$unheard": []}),
        json!({"volumes": [{"emptyDir": {}}]}),
        json!({"volumes": [{"name": null}]}),
        json!({"volumes": [{"name": {"a": null}}]}),
        json!({"volumes": ["a"]}),
        json!({"$retainKeys": "a"}),
        json!({"$setElementOrder/volumes": {}}),
    ] {
        let object = json!({"labels": {}, "volumes": []});
        assert!(matches!(Way::Strategic.apply(&object, &patch), Err(Fault::Malformed(_))), "{patch}");
    }
}

#[test]
fn a_list_gets_the_order_that_is_asked_for() {
    let names = |names: &[&str]| -> Value { names.iter().map(|name| json!({ "name": name })).collect() };
    // What there is, what is added, the order asked for, and what comes of it.
    let rows: [[&[&str]; 4]; 5] = [
        [&["a", "b"], &["c"], &["c", "b", "a"], &["c", "b", "a"]],
        [&["a", "b", "c"], &[], &["c", "a", "b"], &["c", "a", "b"]],
        // `s` is the server's own: it stays before what it was before.
        [&["s", "a", "b"], &[], &["b", "a"], &["s", "b", "a"]],
        [&["a", "s", "b"], &[], &["a", "b"], &["a", "s", "b"]],
        // A new one comes before what only the server has.
        [&["a", "s"], &["b"], &["a", "b"], &["a", "b", "s"]],
    ];
    for [there, added, order, expected] in rows {
        let object = json!({ "env": names(there) });
        let patch = json!({"env": names(added), "$setElementOrder/env": names(order)});
        let found = Way::Strategic.apply(&object, &patch);
        assert_eq!(found, Ok(json!({ "env": names(expected) })), "{there:?} {added:?} {order:?}");
    }
    let object = json!({"finalizers": ["a", "b"]});
    let patch = json!({"finalizers": ["c"], "$setElementOrder/finalizers": ["c", "b", "a"]});
    assert_eq!(Way::Strategic.apply(&object, &patch), Ok(json!({"finalizers": ["c", "b", "a"]})));
}
