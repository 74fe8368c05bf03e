//! A pod's own localhost.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};

use crate::{
    cases::pod::{manifest, shell},
    pods::Pod,
    world::World,
};

/// The puller asks the web server of the other container, by HTTP, for what it has put into the shared volume.
pub(super) fn localhost(world: &World) -> Result<()> {
    let pod = Pod::apply(world, "web-and-puller", &world.payload("pods/web-and-puller.yaml")?)?;
    pod.await_log("puller", "from web-and-puller</h1>")?;
    pod.await_log("web", "[::ffff:127.0.0.1]")?;
    pod.await_log("web", "response:200")
}

/// Two pods serve on the same port, and while they do a third finds nobody there.
pub(super) fn apart(world: &World) -> Result<()> {
    let asks = "wget -q -O - http://127.0.0.1:8080/ || echo nobody; exec /work sleep";
    let serves = |name: &str| format!("mkdir /s; echo {name} > /s/index.html; httpd -p 8080 -h /s; {asks}");
    let looks = format!("ip -o address show lo; {asks}");
    let rows = [
        ("left", serves("left"), "left\n"),
        ("right", serves("right"), "right\n"),
        ("third", looks, "nobody\n"),
    ];
    let mut pods = Vec::new();
    let mut namespaces = BTreeSet::from([namespace("self")?]);
    for (name, script, answer) in rows {
        let pod = Pod::apply(world, name, &manifest(name, "", &[shell("main", &script, "")]))?;
        pod.await_log("main", answer)?;
        namespaces.insert(namespace(&pod.main_pid("main", 0)?.to_string())?);
        pods.push(pod);
    }
    ensure!(namespaces.len() == 4, "three pods and the host have the networks {namespaces:?}");
    let addresses = pods[2].logs("main")?;
    let up = addresses.contains("inet 127.0.0.1/8") && addresses.contains("inet6 ::1/128");
    ensure!(up, "lo has no addresses: {addresses}");
    Ok(())
}

fn namespace(pid: &str) -> Result<String> {
    let path = format!("/proc/{pid}/ns/net");
    Ok(fs::read_link(&path).with_context(|| format!("read {path}"))?.display().to_string())
}
