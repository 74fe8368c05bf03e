//! Volumes of files: "should be consumable from pods in volume", "with mappings", "with mappings and Item mode set", "with
//! defaultMode set", "in multiple volumes", "binary data should be reflected", "Projected combined", "Downward API volume
//! should provide …", "updates should be reflected", "optional updates should be reflected", "should update labels on
//! modification", "subpaths with configmap/secret/projected pod", "should allow substituting values in a volume subpath".

use anyhow::{Result, ensure};
use serde_json::json;

use super::{
    super::pod::{manifest, shell},
    Object,
};
use crate::{
    pods::{PATIENCE, Pod},
    world::World,
};

const VOLUMES: &str = r#"  restartPolicy: Never
  volumes:
    - { name: plain, configMap: { name: settings } }
    - { name: mapped, configMap: { name: settings, items: [{ key: a, path: path/to/a, mode: 0400 }] } }
    - { name: keys, secret: { secretName: keys, defaultMode: 0440 } }
    - { name: absent, secret: { secretName: keys-not, optional: true } }
    - { name: work, emptyDir: {} }
    - name: about
      downwardAPI:
        items:
          - { path: labels, fieldRef: { fieldPath: metadata.labels } }
          - { path: notes, fieldRef: { fieldPath: metadata.annotations } }
          - { path: cpu, resourceFieldRef: { containerName: main, resource: limits.cpu, divisor: 1m } }
          - { path: memory, resourceFieldRef: { containerName: main, resource: requests.memory } }
    - name: all
      projected:
        defaultMode: 0444
        sources:
          - configMap: { name: settings, items: [{ key: a, path: map/a }] }
          - secret: { name: keys }
          - downwardAPI: { items: [{ path: name, mode: 0600, fieldRef: { fieldPath: metadata.name } }] }
"#;
const MOUNTS: &str = r#"      resources: { limits: { cpu: 500m, memory: 32Mi } }
      env: [{ name: POD, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]
      volumeMounts:
        - { name: plain, mountPath: /plain }
        - { name: plain, mountPath: /again }
        - { name: plain, mountPath: /etc/one.conf, subPath: a }
        - { name: mapped, mountPath: /mapped }
        - { name: keys, mountPath: /keys }
        - { name: absent, mountPath: /absent }
        - { name: about, mountPath: /about }
        - { name: all, mountPath: /all }
        - { name: work, mountPath: /work-of-pod, subPathExpr: of-$(POD) }
        - { name: work, mountPath: /whole }
"#;

pub(super) fn at_the_start(world: &World) -> Result<()> {
    let settings = "data: { a: first, b: second }\nbinaryData: { bytes: AAH/ }\n";
    let _settings = Object::apply(world, "configmap", "settings", settings)?;
    let _keys = Object::apply(world, "secret", "keys", "stringData: { key: hunter2 }\n")?;
    let script = "cd /; for f in plain/a again/b etc/one.conf mapped/path/to/a keys/key all/map/a all/key all/name \
                  about/labels about/notes about/cpu about/memory; do echo \"$f $(stat -L -c '%a %u' $f) $(cat $f)\"; \
                  done; echo bytes $(od -An -tx1 plain/bytes); echo absent $(ls absent); \
                  readlink plain/a; grep -c ' /keys tmpfs ' /proc/mounts; echo no > plain/a; \
                  touch work-of-pod/x; ls whole; ls -d plain/*";
    let manifest = manifest("files", VOLUMES, &[shell("main", script, MOUNTS)]).replace(
        "  name: files\n",
        "  name: files\n  labels: { app: shop, tier: \"1\" }\n  annotations: { note: 'a \"b\"' }\n",
    );
    let pod = Pod::apply(world, "files", &manifest)?;
    pod.end("main", 0)?;
    let said = pod.logs("main")?;
    let wanted = [
        "plain/a 644 0 first\n",
        "again/b 644 0 second\n",
        "etc/one.conf 644 0 first\n",
        "mapped/path/to/a 400 0 first\n",
        "keys/key 440 0 hunter2\n",
        "all/map/a 444 0 first\n",
        "all/key 444 0 hunter2\n",
        "all/name 600 0 files\n",
        "about/labels 644 0 app=\"shop\"\ntier=\"1\"\n",
        "about/notes 644 0 note=\"a \\\"b\\\"\"\n",
        "about/cpu 644 0 500\n",
        "about/memory 644 0 33554432\n",
        "bytes 00 01 ff\n",
        "absent\n",
        "..data/a\n1\n",
        "Read-only file system",
        "of-files\n",
        "plain/a\nplain/b\nplain/bytes\n",
    ];
    for part in wanted {
        ensure!(said.contains(part), "there is no {part:?} in\n{said}");
    }
    Ok(())
}

const LIVE: &str = r#"  volumes:
    - { name: settings, configMap: { name: moving } }
    - { name: later, secret: { secretName: coming, optional: true } }
    - { name: going, projected: { sources: [{ configMap: { name: going, optional: true } }] } }
    - { name: about, downwardAPI: { items: [{ path: labels, fieldRef: { fieldPath: metadata.labels } }] } }
"#;
const LIVE_MOUNTS: &str = r#"      volumeMounts:
        - { name: settings, mountPath: /settings }
        - { name: settings, mountPath: /held, subPath: a }
        - { name: later, mountPath: /later }
        - { name: going, mountPath: /going }
        - { name: about, mountPath: /about }
"#;

pub(super) fn live(world: &World) -> Result<()> {
    let moving = Object::apply(world, "configmap", "moving", "data: { a: value-1, b: value-1 }\n")?;
    let going = Object::apply(world, "configmap", "going", "data: { g: value-1 }\n")?;
    // Both files come from one directory: they say the same, or the directory is gone.
    let script = "while :; do cd -P /settings/..data && a=$(cat a) && b=$(cat b) && [ -n \"$b\" ] && [ \"$a\" != \"$b\" ] && echo torn $a $b; \
                  now=\"$a,$(cat /held),$(cat /later/l 2>&-),$(cat /going/g 2>&-),$(cat /about/labels)\"; \
                  [ \"$now\" != \"$then\" ] && echo \"$now\"; then=$now; /bin/sleep 0.2 2>&- || sleep 1; done";
    let manifest = manifest("live", LIVE, &[shell("main", script, LIVE_MOUNTS)])
        .replace("  name: live\n", "  name: live\n  labels: { step: \"1\" }\n");
    let pod = Pod::apply(world, "live", &manifest)?;
    pod.await_log("main", "value-1,value-1,,value-1,step=\"1\"\n")?;
    moving.change("data: { a: value-2, b: value-2 }\n")?;
    pod.await_log("main", "value-2,value-1,,value-1,step=\"1\"\n")?;
    let coming = Object::apply(world, "secret", "coming", "stringData: { l: new }\n")?;
    pod.await_log("main", "value-2,value-1,new,value-1,step=\"1\"\n")?;
    drop(going);
    pod.await_log("main", "value-2,value-1,new,,step=\"1\"\n")?;
    let patch = json!({"metadata": {"labels": {"step": "2"}}});
    world.ask("PATCH", "/api/v1/namespaces/default/pods/live", Some(&patch))?.body()?;
    pod.await_log("main", "value-2,value-1,new,,step=\"2\"\n")?;
    // The same under another agent.
    world.stop()?;
    world.start()?;
    coming.change("stringData: { l: newer }\n")?;
    pod.await_log("main", "value-2,value-1,newer,,step=\"2\"\n")?;
    let said = pod.logs("main")?;
    ensure!(!said.contains("torn"), "two files of one volume disagree:\n{said}");
    ensure!(pod.container("main")?["restartCount"] == 0, "it was restarted");
    // A container's next attempt sees what its subPath leads to then.
    let pid = pod.main_pid("main", 0)?;
    world.command("kill", &["-KILL", &pid.to_string()])?;
    pod.end("main", 0)?;
    world.wait_until("the next attempt has the new file", PATIENCE, || {
        let said = pod.logs("main")?;
        ensure!(said.contains("value-2,value-2,newer,,step=\"2\"\n"), "it said {said}");
        Ok(())
    })
}
