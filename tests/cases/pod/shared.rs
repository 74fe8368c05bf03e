//! What the containers of one pod share. Addresses are the network's area.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{manifest, shell};
use crate::{pods::Pod, world::World};

pub(super) fn namespaces(world: &World) -> Result<()> {
    let containers = ["one", "two"].map(|name| shell(name, "hostname; exec /work sleep", ""));
    let pod = Pod::apply(world, "shares", &manifest("shares", "", &containers))?;
    for container in ["one", "two"] {
        pod.await_running(container)?;
        pod.await_log(container, "shares\n")?;
    }
    let (one, two) = (pod.main_pid("one", 0)?.to_string(), pod.main_pid("two", 0)?.to_string());
    for kind in ["net", "ipc", "uts"] {
        let (one, two, host) = (namespace(&one, kind)?, namespace(&two, kind)?, namespace("self", kind)?);
        ensure!(one == two, "{kind} differs: {one} and {two}");
        ensure!(one != host, "{kind} is the host's: {host}");
    }
    for kind in ["pid", "mnt", "cgroup"] {
        let (one, two, host) = (namespace(&one, kind)?, namespace(&two, kind)?, namespace("self", kind)?);
        ensure!(one != two && one != host && two != host, "{kind} is shared: {one}, {two}, host {host}");
    }
    Ok(())
}

fn namespace(pid: &str, kind: &str) -> Result<String> {
    let path = format!("/proc/{pid}/ns/{kind}");
    Ok(fs::read_link(&path).with_context(|| format!("read {path}"))?.display().to_string())
}

pub(super) fn memory_queues_and_files(world: &World) -> Result<()> {
    let puts = "mkdir -p /all/deep/er; echo by file > /all/deep/er/word; echo by memory > /dev/shm/word; \
        /work shm-put 7 by-sysv; /work mq-put /word by-queue; touch /dev/shm/done; exec /work sleep";
    let takes = "until [ -e /dev/shm/done ]; do sleep 0.1; done; cat /dev/shm/word; /work shm-get 7; \
        /work mq-get /word; cat /part/word; ls /part; exec /work sleep";
    let all = "      volumeMounts: [{ name: shared, mountPath: /all }]\n";
    let part = "      volumeMounts: [{ name: shared, mountPath: /part, subPath: deep/er }]\n";
    let containers = [shell("puts", puts, all), shell("takes", takes, part)];
    let spec = "  volumes: [{ name: shared, emptyDir: {} }]\n";
    let pod = Pod::apply(world, "puts-and-takes", &manifest("puts-and-takes", spec, &containers))?;
    pod.await_log("takes", "by memory\nby-sysv\nby-queue\nby file\nword\n")?;
    ensure!(!fs::exists("/dev/shm/word")?, "the pod's shared memory is the host's");
    Ok(())
}
