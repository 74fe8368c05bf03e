//! Files in volumes: those that variables come from, and to whom they belong.

use anyhow::{Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::{PATIENCE, Pod},
    world::World,
};

pub(super) fn variables(world: &World) -> Result<()> {
    let init = r##"printf '%s\n' '# written by an init container' "WORD='two" "lines' # note" "OTHER='x'" > /made/vars"##;
    let made = "      volumeMounts: [{ name: made, mountPath: /made }]\n";
    let from = |name: &str, key: &str, more: &str| {
        format!(
            "        - name: {name}\n          valueFrom: {{ fileKeyRef: {{ volumeName: made, path: vars, key: {key}{more} }} }}\n"
        )
    };
    let env = [
        "      env:\n".to_owned(),
        from("FIRST", "WORD", ""),
        from("SECOND", "OTHER", ""),
        from("THIRD", "ABSENT", ", optional: true"),
        "        - { name: COMPOSED, value: \"<$(SECOND)>\" }\n".to_owned(),
    ];
    // No file of it is mounted in the container itself.
    let main = shell("main", "echo \"[$FIRST|${THIRD-unset}|$COMPOSED]\"", &env.concat());
    let lacks = format!("      env:\n{}", from("FIRST", "ABSENT", ""));
    let lacking = shell("lacking", "exit 0", &lacks);
    let spec = format!(
        "  restartPolicy: Never\n  volumes: [{{ name: made, emptyDir: {{}} }}]\n  initContainers:\n{}",
        shell("init", init, made)
    );
    let pod = Pod::apply(world, "file-variables", &manifest("file-variables", &spec, &[main, lacking]))?;
    pod.end("main", 0)?;
    let said = pod.logs("main")?;
    ensure!(said == "[two\nlines|unset|<x>]\n", "it said {said:?}");
    world.wait_until("the other container waits", PATIENCE, || {
        let waiting = pod.container("lacking")?["state"]["waiting"].clone();
        let wanted = "environment variable key \"ABSENT\" not found in file \"vars\"";
        ensure!(waiting["reason"] == "CreateContainerConfigError", "it is {waiting}");
        ensure!(waiting["message"] == wanted, "it is {waiting}");
        Ok(())
    })
}

/// What the group may read, it can read; a directory made for a subPath is as open as its volume. Conformance: "Projected
/// secret should be consumable from pods in volume as non-root with defaultMode and fsGroup set".
pub(super) fn owners(world: &World) -> Result<()> {
    let spec = "  restartPolicy: Never\n  securityContext: { runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000 }\n  volumes:\n\
        \x20   - name: told\n      downwardAPI: { defaultMode: 0400, items: [{ path: name, fieldRef: { fieldPath: metadata.name } }] }\n\
        \x20   - { name: kept, projected: { defaultMode: 0440, sources: [{ secret: { name: owned } }] } }\n\
        \x20   - { name: room, emptyDir: {} }\n";
    let mounts = "      volumeMounts: [{ name: told, mountPath: /told }, { name: kept, mountPath: /kept }, { name: room, mountPath: /part, subPath: a/b }]\n";
    let script = "cat /told/name; echo; stat -L -c '%u:%g %a' /told/name; stat -c '%u %a' /part; \
        echo x > /part/file && echo written; stat -L -c %A /kept/data-1; cat /kept/data-1";
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: { name: owned }\nstringData: { data-1: value-1 }\n---\n";
    let pod = Pod::apply(
        world,
        "volume-owners",
        &(secret.to_owned() + &manifest("volume-owners", spec, &[shell("main", script, mounts)])),
    )?;
    pod.end("main", 0)?;
    let said = pod.logs("main")?;
    ensure!(said == "volume-owners\n0:2000 440\n0 777\nwritten\n-r--r-----\nvalue-1", "it said {said:?}");
    world.carob_ok(&["delete", "secret", "owned"]).map(drop)
}
