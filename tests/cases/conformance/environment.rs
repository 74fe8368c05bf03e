//! Variables, and what is expanded with them.

use anyhow::{Context, Result, ensure};

use super::{
    super::pod::{manifest, shell},
    check, line,
};
use crate::{
    cases::config::Object,
    pods::{PATIENCE, Pod},
    world::World,
};

pub(super) fn variables(world: &World) -> Result<()> {
    let data = "{ data-1: value-1, data-2: value-2, data-3: value-3 }";
    let _map = Object::apply(world, "configmap", "env-map", &format!("data: {data}\n"))?;
    let _secret = Object::apply(world, "secret", "env-secret", &format!("stringData: {data}\n"))?;
    let field = |name: &str, path: &str| {
        format!("{{ name: {name}, valueFrom: {{ fieldRef: {{ fieldPath: {path} }} }} }}")
    };
    let env = |entries: &[String]| format!("      env: [{}]\n", entries.join(", "));
    // A shell passes on no variable whose name it cannot use itself.
    let own = "tr '\\0' '\\n' < /proc/1/environ";
    let lines = [
        line(
            "Secrets should be consumable from pods in env vars",
            "      env: [{ name: SECRET_DATA, valueFrom: { secretKeyRef: { name: env-secret, key: data-1 } } }]\n",
            "echo $SECRET_DATA",
            "value-1\n",
        ),
        line(
            "ConfigMap should be consumable via the environment",
            "      envFrom: [{ configMapRef: { name: env-map } }, { prefix: p-, configMapRef: { name: env-map } }]\n",
            &format!("{own} | grep data | sort"),
            "data-1=value-1\ndata-2=value-2\ndata-3=value-3\np-data-1=value-1\np-data-2=value-2\np-data-3=value-3\n",
        ),
        line(
            "Secrets should be consumable as environment variable names with various prefixes",
            "      envFrom: [{ secretRef: { name: env-secret } }, { prefix: p-, secretRef: { name: env-secret } }, { prefix: \"#\", secretRef: { name: env-secret } }]\n",
            &format!("{own} | grep data-1 | sort"),
            "#data-1=value-1\ndata-1=value-1\np-data-1=value-1\n",
        ),
        line(
            "Downward API should provide pod UID as env vars",
            &env(&[field("POD_UID", "metadata.uid")]),
            "echo $POD_UID",
            "UID\n",
        ),
        line(
            "Downward API should provide pod name, namespace and IP address as env vars",
            &env(&[
                field("POD_NAME", "metadata.name"),
                field("POD_NAMESPACE", "metadata.namespace"),
                field("POD_IP", "status.podIP"),
                field("HOST_IP", "status.hostIP"),
            ]),
            // An address of the pod's own, and one of the box.
            "echo $POD_NAME $POD_NAMESPACE; ip -4 -o addr | grep -q \" $POD_IP/\" && echo own; echo $HOST_IP",
            "env default\nown\n10.0.2.15\n",
        ),
        line(
            "Variable Expansion should allow substituting values in a container's args",
            "      env: [{ name: TEST_VAR, value: test-value }]\n      args: [\"$(TEST_VAR);$(OTHER);$$(TEST_VAR)\"]\n",
            "echo \"$0\"",
            "test-value;$(OTHER);$(TEST_VAR)\n",
        ),
    ];
    check(world, "env", "", &lines)
}

/// "should allow substituting values in a volume subpath", "should succeed in writing subpaths in container", and those
/// that lead out of the volume: "should fail substituting values in a volume subpath with backticks".
pub(super) fn sub_paths(world: &World) -> Result<()> {
    let name = "      env: [{ name: POD_NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]\n";
    let part = "{ name: work, mountPath: /part, subPathExpr: $(POD_NAME)/log }";
    let whole = "{ name: work, mountPath: /whole }";
    let mounts = |list: &str| format!("{name}      volumeMounts: [{list}]\n");
    let spec = "  volumes: [{ name: work, emptyDir: {} }]\n";
    let lines = [
        line(
            "should allow substituting values in a volume subpath",
            &mounts(&format!("{part}, {whole}")),
            "echo text > /part/one; cat /whole/expanded/log/one",
            "text\n",
        ),
        line(
            "should succeed in writing subpaths in container",
            &mounts(part),
            "echo two > /part/.two; mv /part/.two /part/two",
            "",
        ),
        line(
            "should succeed in writing subpaths in container",
            &mounts(whole),
            "until [ -e /whole/expanded/log/two ]; do sleep 0.1; done; cat /whole/expanded/log/two",
            "two\n",
        ),
    ];
    check(world, "expanded", spec, &lines)?;
    // The list's test "with backticks" has "..": real ones are but a name.
    let rows = [
        ("up", "value: \"..\"", "$(VALUE)"),
        ("deep-up", "value: \"a/../../b\"", "$(VALUE)"),
        ("absolute", "value: /tmp", "$(VALUE)"),
        ("nobody", "value: x", "$(NOBODY)"),
    ];
    let container = |(name, value, expression): &(&str, &str, &str)| {
        let fields = format!(
            "      env: [{{ name: VALUE, {value} }}]\n      volumeMounts: [{{ name: work, mountPath: /part, subPathExpr: {expression:?} }}]\n"
        );
        shell(name, "exec /work sleep", &fields)
    };
    let mut containers: Vec<String> = rows.iter().map(container).collect();
    let backticks = "      volumeMounts: [{ name: work, mountPath: /part, subPathExpr: \"`date`\" }, { name: work, mountPath: /whole }]\n";
    containers.push(shell("backticks", "ls -d /whole/*date*", backticks));
    let pod = Pod::apply(
        world,
        "unexpanded",
        &manifest("unexpanded", &format!("  restartPolicy: Never\n{spec}"), &containers),
    )?;
    for (name, ..) in rows {
        world.wait_until(&format!("{name} is refused"), PATIENCE, || {
            let state = pod.container(name)?["state"].clone();
            let waiting = &state["waiting"];
            let reason = waiting["reason"].as_str().context("it does not wait")?;
            let names_it = waiting["message"].as_str().is_some_and(|said| said.contains("ubPath"));
            ensure!(reason == "CreateContainerConfigError" && names_it, "{name} is {state}");
            Ok(())
        })?;
    }
    pod.end("backticks", 0)?;
    ensure!(pod.logs("backticks")? == "/whole/`date`\n", "backticks said {:?}", pod.logs("backticks")?);
    Ok(())
}
