//! ConfigMaps and secrets as files, and a ConfigMap's life.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{Line, check, check_labelled, line};
use crate::{
    cases::config::Object,
    pods::{apply, ready},
    world::World,
};

const DATA: &str = "{ data-1: value-1, data-2: value-2, data-3: value-3 }";
const USER: &str = "      securityContext: { runAsUser: 1000 }\n";
const ITEM: &str = "items: [{ key: data-2, path: path/to/data-2 }]";
const ITEM_0400: &str = "items: [{ key: data-2, path: path/to/data-2, mode: 0400 }]";

/// A test of one volume: its name, the volume's source, the user, the file, and the letters of its mode.
type Row = (&'static str, String, &'static str, &'static str, &'static str);

/// Each row has a volume of its own, and its container reads one file of it.
fn files(rows: &[Row]) -> (String, Vec<Line>) {
    let mut spec = "  volumes:\n".to_owned();
    let mut lines = Vec::new();
    for (n, (name, source, user, file, letters)) in rows.iter().enumerate() {
        spec += &format!("    - {{ name: v{n}, {source} }}\n");
        let fields = format!("{user}      volumeMounts: [{{ name: v{n}, mountPath: /v }}]\n");
        let value = file.rsplit('/').next().unwrap_or_default().replace("data", "value");
        let said =
            format!("perms of file \"/v/{file}\": {letters}\ncontent of file \"/v/{file}\": {value}\n");
        let script = format!("/work mounttest perms:/v/{file} content:/v/{file}; echo");
        lines.push(line(name, &fields, &script, &said));
    }
    (spec, lines)
}

/// Two mounts of one source say the same.
fn twice(name: &'static str, source: &str) -> (String, Line) {
    let volumes = format!("    - {{ name: first, {source} }}\n    - {{ name: second, {source} }}\n");
    let mounts =
        "      volumeMounts: [{ name: first, mountPath: /first }, { name: second, mountPath: /second }]\n";
    let script = "cat /first/data-1; echo; cat /second/data-1; echo";
    (volumes, line(name, mounts, script, "value-1\nvalue-1\n"))
}

pub(super) fn config_maps(world: &World) -> Result<()> {
    let data = format!("data: {DATA}\nbinaryData: {{ dump.bin: 3q26vu8= }}\n");
    let _map = Object::apply(world, "configmap", "conf-map", &data)?;
    let plain = |items: &str| format!("configMap: {{ name: conf-map, {items} }}");
    let projected =
        |items: &str| format!("projected: {{ sources: [{{ configMap: {{ name: conf-map, {items} }} }}] }}");
    let rows: [Row; 6] = [
        ("ConfigMap … with mappings", plain(ITEM), "", "path/to/data-2", "-rw-r--r--"),
        ("ConfigMap … with mappings and Item mode set", plain(ITEM_0400), "", "path/to/data-2", "-r--------"),
        ("Projected configMap … as non-root", projected(""), USER, "data-1", "-rw-r--r--"),
        ("Projected configMap … with mappings", projected(ITEM), "", "path/to/data-2", "-rw-r--r--"),
        (
            "Projected configMap … with mappings and Item mode set",
            projected(ITEM_0400),
            "",
            "path/to/data-2",
            "-r--------",
        ),
        (
            "Projected configMap … with mappings as non-root",
            projected(ITEM),
            USER,
            "path/to/data-2",
            "-rw-r--r--",
        ),
    ];
    let (mut spec, mut lines) = files(&rows);
    let (volumes, both) =
        twice("Projected configMap should be consumable in multiple volumes", &projected(""));
    spec += &volumes;
    lines.push(both);
    spec += &format!("    - {{ name: binary, {} }}\n", plain(""));
    lines.push(line(
        "ConfigMap binary data should be reflected in volume",
        "      volumeMounts: [{ name: binary, mountPath: /v }]\n",
        "cat /v/data-1; echo; od -An -tx1 /v/dump.bin",
        "value-1\n de ad ba be ef\n",
    ));
    check(world, "conf-maps", &spec, &lines)
}

pub(super) fn secrets(world: &World) -> Result<()> {
    let _secret = Object::apply(world, "secret", "conf-secret", &format!("stringData: {DATA}\n"))?;
    let other = "apiVersion: v1\nkind: Secret\nmetadata: { name: conf-secret, namespace: conf-other }\nstringData: { data-1: other }\n";
    let said = apply(world, "conf-other", other)?;
    ensure!(said.code == Some(0), "{said:?}");
    let plain = |more: &str| format!("secret: {{ secretName: conf-secret, {more} }}");
    let projected = |mode: &str, items: &str| {
        format!("projected: {{ {mode} sources: [{{ secret: {{ name: conf-secret, {items} }} }}] }}")
    };
    let rows: [Row; 6] = [
        (
            "Projected secret should be consumable from pods in volume",
            projected("", ""),
            "",
            "data-1",
            "-rw-r--r--",
        ),
        (
            "Projected secret … with defaultMode set",
            projected("defaultMode: 0400,", ""),
            "",
            "data-1",
            "-r--------",
        ),
        (
            "Projected secret … with mappings and Item Mode set",
            projected("", ITEM_0400),
            "",
            "path/to/data-2",
            "-r--------",
        ),
        (
            "Projected secret mountable regardless of same name in different namespace",
            projected("", ""),
            "",
            "data-1",
            "-rw-r--r--",
        ),
        ("Secrets should be consumable from pods in volume", plain(""), "", "data-1", "-rw-r--r--"),
        ("Secrets … with mappings and Item Mode set", plain(ITEM_0400), "", "path/to/data-2", "-r--------"),
    ];
    let (mut spec, mut lines) = files(&rows);
    let (volumes, both) =
        twice("Projected secret should be consumable in multiple volumes in a pod", &projected("", ""));
    spec += &volumes;
    lines.push(both);
    let checked = check(world, "conf-secrets", &spec, &lines);
    world.carob_ok(&["delete", "secret", "conf-secret", "-n", "conf-other"])?;
    checked
}

/// "Subpath Atomic writer volumes should support subpaths with configmap / downward / projected / secret pod"
pub(super) fn sub_paths(world: &World) -> Result<()> {
    let _map = Object::apply(world, "configmap", "part-map", "data: { key: of the map }\n")?;
    let _secret = Object::apply(world, "secret", "part-secret", "stringData: { key: of the secret }\n")?;
    let about = "items: [{ path: sub/file, fieldRef: { fieldPath: metadata.labels } }]";
    let key = "items: [{ key: key, path: sub/file }]";
    let rows = [
        ("subpaths with configmap pod", format!("configMap: {{ name: part-map, {key} }}"), "of the map"),
        ("subpaths with downward pod", format!("downwardAPI: {{ {about} }}"), "app=\"parts\""),
        (
            "subpaths with projected pod",
            format!("projected: {{ sources: [{{ configMap: {{ name: part-map, {key} }} }}] }}"),
            "of the map",
        ),
        (
            "subpaths with secret pod",
            format!("secret: {{ secretName: part-secret, {key} }}"),
            "of the secret",
        ),
    ];
    let mut spec = "  volumes:\n".to_owned();
    let mut lines = Vec::new();
    for (n, (name, source, value)) in rows.iter().enumerate() {
        spec += &format!("    - {{ name: v{n}, {source} }}\n");
        let mounts = format!(
            "      volumeMounts: [{{ name: v{n}, mountPath: /file, subPath: sub/file }}, {{ name: v{n}, mountPath: /dir, subPath: sub }}]\n"
        );
        let script = "for f in /file /dir/file; do cat $f; echo; done; ! touch /dir/x 2> /dev/null";
        lines.push(line(name, &mounts, script, &format!("{value}\n{value}\n")));
    }
    check_labelled(world, "parts", "  labels: { app: parts }\n", &spec, &lines)
}

/// "ConfigMap should run through a ConfigMap lifecycle": created, read, patched, found by its label everywhere, and
/// deleted by collection, which leaves others alone.
pub(super) fn life(world: &World) -> Result<()> {
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";
    const CHOSEN: &str = "labelSelector=test-configmap-static%3Dtrue";
    ready(world)?;
    let map = |name: &str, labels: Value| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": labels},
               "data": {"valueName": "value"}})
    };
    for (name, labels) in [("lived", json!({"test-configmap-static": "true"})), ("left-alone", json!({}))] {
        world.ask("POST", MAPS, Some(&map(name, labels)))?.body()?;
    }
    let one = format!("{MAPS}/lived");
    ensure!(world.read(&one)?["data"]["valueName"] == "value", "created is {}", world.read(&one)?);
    let patch =
        json!({"metadata": {"labels": {"test-configmap": "patched"}}, "data": {"valueName": "value1"}});
    world.ask("PATCH", &one, Some(&patch))?.body()?;
    let listed = world.read(&format!("/api/v1/configmaps?{CHOSEN}"))?;
    let items = listed["items"].as_array().context("no items")?;
    let right = items.len() == 1
        && items[0]["data"]["valueName"] == "value1"
        && items[0]["metadata"]["labels"]["test-configmap"] == "patched";
    ensure!(right, "found by the label are {listed}");
    let deleted = world.ask("DELETE", &format!("{MAPS}?{CHOSEN}"), None)?.body()?;
    ensure!(deleted.contains("lived") && !deleted.contains("left-alone"), "deleted are {deleted}");
    let listed = world.read(&format!("/api/v1/configmaps?{CHOSEN}"))?;
    ensure!(listed["items"] == json!([]), "left are {listed}");
    world.read(&format!("{MAPS}/left-alone"))?;
    world.carob_ok(&["delete", "configmap", "left-alone"]).map(drop)
}
