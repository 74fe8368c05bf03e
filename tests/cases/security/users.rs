//! Who a container's processes are.

use anyhow::{Result, ensure};

use super::{check, pod_of, waiting};
use crate::{
    pods::{Pod, one},
    world::{AGENT, World},
};

/// Ids of this very process, all in a line; then what the C library would ask for.
const WHO: &str = "awk '/^(Uid|Gid|Groups):/ { for (i = 2; i <= NF; i++) printf \"%s \", $i }' /proc/self/status; \
                   echo $HOME $(umask)";

pub(super) fn manifest_says(world: &World) -> Result<()> {
    let pod = "  securityContext: { runAsUser: 1001, runAsGroup: 2002, supplementalGroups: [3003], fsGroup: 4004 }\n";
    check(
        world,
        "users-of-pod",
        pod,
        &[
            ("", WHO, "1001 1001 1001 1001 2002 2002 2002 2002 2002 3003 4004 / 0022\n"),
            // The image knows this user: its home, and a group it is a member of.
            (
                "runAsUser: 1000",
                WHO,
                "1000 1000 1000 1000 2002 2002 2002 2002 2000 2002 3003 4004 /tmp 0022\n",
            ),
            (
                "runAsUser: 1003, runAsGroup: 2004",
                WHO,
                "1003 1003 1003 1003 2004 2004 2004 2004 2004 3003 4004 / 0022\n",
            ),
            ("runAsUser: 0, runAsGroup: 0", WHO, "0 0 0 0 0 0 0 0 0 3003 4004 /root 0022\n"),
        ],
    )?;
    let strict = "  securityContext: { supplementalGroups: [3003], supplementalGroupsPolicy: Strict }\n";
    check(
        world,
        "users-strict",
        strict,
        &[
            ("runAsUser: 1000", WHO, "1000 1000 1000 1000 1000 1000 1000 1000 1000 3003 /tmp 0022\n"),
            ("runAsUser: 1234", WHO, "1234 1234 1234 1234 0 0 0 0 0 3003 / 0022\n"),
            ("", WHO, "0 0 0 0 0 0 0 0 0 3003 /root 0022\n"),
        ],
    )
}

/// The workloads' image, to be run as another user.
fn image_of(world: &World, name: &str, user: &str) -> Result<()> {
    crate::pods::ready(world)?;
    let files = world.payload_files("images")?;
    let archive = files.iter().find(|file| file.ends_with("carob-work.tar.gz"));
    let archive = archive.map(|path| path.display().to_string()).unwrap_or_default();
    let script = r#"
        set -e
        rm -rf /tmp/carob-user; mkdir -p /tmp/carob-user; cd /tmp/carob-user
        tar -xzf "$1"
        old=$(ls | grep -v -e manifest -e layer)
        sed -i "s/\"config\":{/\"config\":{\"User\":\"$3\",/" "$old"
        new=$(sha256sum "$old" | cut -d ' ' -f 1).json
        mv "$old" "$new"
        sed -i -e "s/$old/$new/" -e "s/carob-work:1/$2/" manifest.json
        tar -cf - * | "$4" image load -
        rm -rf /tmp/carob-user
    "#;
    world.command("sh", &["-c", script, "sh", &archive, name, user, AGENT]).map(drop)
}

pub(super) fn image_says(world: &World) -> Result<()> {
    let rows = [
        ("carob-named:1", "work", "1000 1000 1000 1000 1000 1000 1000 1000 1000 2000 /tmp 0022\n"),
        ("carob-both:1", "work:extra", "1000 1000 1000 1000 2000 2000 2000 2000 2000 /tmp 0022\n"),
    ];
    for (image, user, wanted) in rows {
        image_of(world, image, user)?;
        let name = format!("user-{}", user.replace(':', "-"));
        let manifest = pod_of(&name, "", &[("", WHO)]).replace("carob-work:1", image);
        let pod = Pod::apply(world, &name, &manifest)?;
        pod.end("c0", 0)?;
        let found = pod.logs("c0")?;
        ensure!(found == wanted, "USER {user} is {found:?}, not {wanted:?}");
        pod.delete()?;
        if user == "work" {
            let refused =
                pod_of("user-unverified", "", &[("runAsNonRoot: true", WHO)]).replace("carob-work:1", image);
            let pod = Pod::apply(world, "user-unverified", &refused)?;
            let message = waiting(world, &pod, "c0")?["message"].as_str().unwrap_or_default().to_owned();
            let wanted = "container has runAsNonRoot and image has non-numeric user (work), cannot verify user is non-root";
            ensure!(message.starts_with(wanted), "it waits with {message:?}");
        }
        world.carob_ok(&["image", "rm", image])?;
    }
    image_of(world, "carob-stranger:1", "stranger")?;
    let manifest = one("user-stranger", "exit 0", "", "").replace("carob-work:1", "carob-stranger:1");
    let pod = Pod::apply(world, "user-stranger", &manifest)?;
    let waits = waiting(world, &pod, "main")?;
    let message = waits["message"].as_str().unwrap_or_default();
    ensure!(
        message.contains("unable to find user stranger: no matching entries in passwd file"),
        "it is {waits}"
    );
    pod.delete()?;
    world.carob_ok(&["image", "rm", "carob-stranger:1"]).map(drop)
}

pub(super) fn not_root(world: &World) -> Result<()> {
    let rows = [
        ("runAsNonRoot: true", "echo ran"),
        ("runAsNonRoot: true, runAsUser: 0", "echo ran"),
        ("runAsNonRoot: true, runAsUser: 1000", "echo ran"),
    ];
    let pod = Pod::apply(world, "not-root", &pod_of("not-root", "", &rows))?;
    pod.end("c2", 0)?;
    ensure!(pod.logs("c2")? == "ran\n", "the container of a user did not run");
    let whose =
        |container: &str| format!("(pod: \"not-root_default({})\", container: {container})", pod.uid());
    let wanted = [
        ("c0", format!("container has runAsNonRoot and image will run as root {}", whose("c0"))),
        ("c1", format!("container's runAsUser breaks non-root policy {}", whose("c1"))),
    ];
    for (container, message) in wanted {
        let waits = waiting(world, &pod, container)?;
        ensure!(waits["reason"] == "CreateContainerConfigError", "{container} waits for {waits}");
        ensure!(waits["message"] == message, "{container} waits for {waits}");
        ensure!(pod.logs(container).unwrap_or_default().is_empty(), "{container} ran");
    }
    Ok(())
}
