//! The objects themselves: created, changed in place with a look at their version, patched, frozen, and kept by files.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Object, object};
use crate::{
    pods::{PATIENCE, apply, ready},
    world::World,
};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SECRETS: &str = "/api/v1/namespaces/default/secrets";

pub(super) fn changed(world: &World) -> Result<()> {
    let data = "data: { a: \"1\" }\n";
    let map = Object::apply(world, "configmap", "changing", data)?;
    let again = apply(world, "changing", &object("configmap", "changing", data))?;
    ensure!(again.stdout == "configmap/changing unchanged\n", "apply again: {again:?}");
    let path = format!("{MAPS}/changing");
    let first = world.read(&path)?;
    map.change("data: { a: \"2\" }\n")?;
    let mut stale = first.clone();
    stale["data"]["a"] = json!("3");
    refused(world, "PUT", &path, &stale, 409, "has been modified")?;
    let second = world.read(&path)?;
    ensure!(second["data"]["a"] == "2" && second["metadata"]["uid"] == first["metadata"]["uid"], "{second}");
    let patch = json!({"data": {"a": null, "b": "4"}, "metadata": {"labels": {"app": "x"}}});
    let third = world.ask("PATCH", &path, Some(&patch))?.body()?;
    let third: Value = serde_json::from_str(&third)?;
    ensure!(third["data"] == json!({"b": "4"}) && third["metadata"]["labels"]["app"] == "x", "{third}");
    frozen(world, &path, &third)?;
    bad(world)?;
    let listed = world.carob_ok(&["get", "cm", "changing"])?;
    ensure!(listed.starts_with("NAME") && listed.contains("DATA"), "get says {listed}");
    world.carob_ok(&["delete", "configmap", "changing"])?;
    ensure!(world.ask("GET", &path, None)?.status == 404, "it is still there");
    Ok(())
}

/// "ConfigMap should be immutable if `immutable` field is set".
fn frozen(world: &World, path: &str, object: &Value) -> Result<()> {
    let mut frozen = object.clone();
    frozen["immutable"] = json!(true);
    world.ask("PUT", path, Some(&frozen))?.body().context("set immutable")?;
    refused(world, "PATCH", path, &json!({"data": {"b": "5"}}), 422, "data: this field is immutable")?;
    refused(world, "PATCH", path, &json!({"immutable": false}), 422, "immutable: this field is immutable")?;
    world.ask("PATCH", path, Some(&json!({"metadata": {"labels": {"app": "y"}}})))?.body().map(drop)
}

fn bad(world: &World) -> Result<()> {
    let map = |data: Value| json!({"metadata": {"name": "bad"}, "data": data});
    refused(world, "POST", MAPS, &map(json!({"a/b": "1"})), 422, "data[a/b]")?;
    refused(world, "POST", MAPS, &map(json!({"a": "x".repeat(1 << 20) + "y"})), 422, "at most 1048576")?;
    let both = json!({"metadata": {"name": "bad"}, "data": {"a": "1"}, "binaryData": {"a": "MQ=="}});
    refused(world, "POST", MAPS, &both, 422, "in data already")?;
    let secret = |kind: &str, data: Value| json!({"metadata": {"name": "bad"}, "type": kind, "data": data});
    let tls = secret("kubernetes.io/tls", json!({"tls.crt": "MQ=="}));
    refused(world, "POST", SECRETS, &tls, 422, "data[tls.key]")?;
    let plain = secret("Opaque", json!({"a": "hunter2!"}));
    let said = refused(world, "POST", SECRETS, &plain, 400, "base64")?;
    ensure!(!said.contains("hunter2"), "a secret's value is shown: {said}");
    Ok(())
}

fn refused(
    world: &World,
    method: &str,
    path: &str,
    body: &Value,
    status: u16,
    words: &str,
) -> Result<String> {
    let answer = world.ask(method, path, Some(body))?;
    let (found, said) = (answer.status, answer.body);
    ensure!(found == status && said.contains(words), "{method} {path} is answered {found}: {said}");
    Ok(said)
}

pub(super) fn of_the_folder(world: &World) -> Result<()> {
    ready(world)?;
    const FILE: &str = "foldered.yaml";
    let path = format!("{MAPS}/foldered");
    let put =
        |word: &str| world.put(FILE, &object("configmap", "foldered", &format!("data: {{ a: {word} }}\n")));
    let await_word = |word: &str| {
        world.wait_until(&format!("the object says {word}"), PATIENCE, || {
            let object = world.read(&path)?;
            ensure!(object["data"]["a"] == word, "it is {object}");
            Ok(object)
        })
    };
    put("one")?;
    let first = await_word("one")?;
    refused(world, "PATCH", &path, &json!({"data": {"a": "x"}}), 403, "/etc/carob/manifests/foldered.yaml")?;
    put("two")?;
    let second = await_word("two")?;
    ensure!(second["metadata"]["uid"] == first["metadata"]["uid"], "it is another object: {second}");
    world.remove(FILE)?;
    world.wait_until("the object is gone", PATIENCE, || {
        let status = world.ask("GET", &path, None)?.status;
        ensure!(status == 404, "its status is {status}");
        Ok(())
    })
}
