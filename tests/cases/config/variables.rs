//! `env` and `envFrom`: "should be consumable via environment variable", "should be consumable via the environment",
//! "should provide pod name, namespace …", "default limits.cpu/memory from node allocatable", "should allow composing env
//! vars" of the conformance list.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::{
    super::pod::{manifest, shell},
    Object,
};
use crate::{pods::Pod, world::World};

const VARIABLES: &str = r#"
      resources: { requests: { cpu: 250m, memory: 16Mi }, limits: { memory: 48Mi } }
      envFrom:
        - configMapRef: { name: words }
        - prefix: s-
          secretRef: { name: hidden }
        - configMapRef: { name: words-not, optional: true }
      env:
        - { name: SECOND, value: own }
        - { name: ONE, valueFrom: { configMapKeyRef: { name: words, key: FIRST } } }
        - { name: PASSWORD, valueFrom: { secretKeyRef: { name: hidden, key: password } } }
        - { name: NOT, valueFrom: { secretKeyRef: { name: hidden, key: nothing, optional: true } } }
        - { name: COMPOSED, value: "$(ONE)-$(s-password)-$(NOT)-$$(ONE)" }
        - { name: NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
        - { name: NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
        - { name: UID_OF, valueFrom: { fieldRef: { fieldPath: metadata.uid } } }
        - { name: LABEL, valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } }
        - { name: NOTE, valueFrom: { fieldRef: { fieldPath: "metadata.annotations['note']" } } }
        - { name: NODE, valueFrom: { fieldRef: { fieldPath: spec.nodeName } } }
        - { name: ACCOUNT, valueFrom: { fieldRef: { fieldPath: spec.serviceAccountName } } }
        - { name: CPU_REQUEST, valueFrom: { resourceFieldRef: { resource: requests.cpu, divisor: 1m } } }
        - { name: CPU_WHOLE, valueFrom: { resourceFieldRef: { resource: requests.cpu } } }
        - { name: CPU_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.cpu } } }
        - { name: MEMORY_LIMIT, valueFrom: { resourceFieldRef: { resource: limits.memory, divisor: 1Mi } } }
"#;

pub(super) fn all_sources(world: &World) -> Result<()> {
    let words = "data: { FIRST: \"1 $(SECOND)\", SECOND: two, odd.name: odd }\n";
    let _words = Object::apply(world, "configmap", "words", words)?;
    let _hidden = Object::apply(world, "secret", "hidden", "stringData: { password: hunter2 }\n")?;
    // A shell passes on no variable whose name it cannot use itself.
    let container = shell(
        "main",
        "tr '\\0' '\\n' < /proc/1/environ; echo args=$0",
        &format!("      args: [\"$(COMPOSED)\"]{VARIABLES}"),
    );
    let manifest = manifest("variables", "  restartPolicy: Never\n", &[container]).replace(
        "  name: variables\n",
        "  name: variables\n  labels: { app: shop }\n  annotations: { note: \"a b\" }\n",
    );
    let pod = Pod::apply(world, "variables", &manifest)?;
    ensure!(pod.end("main", 0)?["exitCode"] == 0, "it failed: {:?}", pod.logs("main"));
    let said = pod.logs("main")?;
    let found: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once('=')).collect();
    let cpus = std::thread::available_parallelism()?.to_string();
    let rows = [
        // What an object holds is taken as it is; `env` goes before `envFrom`.
        ("FIRST", "1 $(SECOND)"),
        ("SECOND", "own"),
        ("odd.name", "odd"),
        ("s-password", "hunter2"),
        ("ONE", "1 $(SECOND)"),
        ("PASSWORD", "hunter2"),
        ("COMPOSED", "1 $(SECOND)-hunter2-$(NOT)-$(ONE)"),
        ("args", "1 $(SECOND)-hunter2-$(NOT)-$(ONE)"),
        ("NAME", "variables"),
        ("NAMESPACE", "default"),
        ("UID_OF", pod.uid()),
        ("LABEL", "shop"),
        ("NOTE", "a b"),
        ("NODE", "carob-guest"),
        ("ACCOUNT", "default"),
        ("CPU_REQUEST", "250"),
        ("CPU_WHOLE", "1"),
        ("CPU_LIMIT", &cpus),
        ("MEMORY_LIMIT", "48"),
    ];
    for (name, wanted) in rows {
        let value = found.get(name).with_context(|| format!("{name} is not set: {said}"))?;
        ensure!(*value == wanted, "{name} is {value:?}, not {wanted:?}");
    }
    ensure!(!found.contains_key("NOT"), "an optional key that is not there is set: {said}");
    let told = world.carob_ok(&["describe", "secret", "hidden"])?;
    ensure!(told.contains("password: 7 bytes") && !told.contains("hunter2"), "describe says {told}");
    Ok(())
}
