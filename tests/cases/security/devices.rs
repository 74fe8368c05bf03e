//! Which devices a container can open, whatever nodes it makes.

use anyhow::{Result, ensure};

use super::{check, said};
use crate::world::World;

/// The box's terminals, its console, its network's tun, its memory, its first disk.
const NODES: &str = "c 4 64;c 4 1;c 5 1;c 10 200;c 1 1;c 1 11;b 254 0;b 8 0";

pub(super) fn by_default(world: &World) -> Result<()> {
    let try_all = format!(
        "IFS=';'; for n in $(echo '{NODES}'); do IFS=' '; rm -f /n; mknod /n $n || echo no node; \
         (: < /n) 2>&1 && echo \"opened $n\"; (: > /n) 2>&1 && echo \"opened $n\"; done"
    );
    let refused =
        "sh: can't open /n: Operation not permitted\nsh: can't create /n: Operation not permitted\n";
    let refused = refused.repeat(NODES.split(';').count());
    let own = "for d in null zero full random urandom; do head -c 1 /dev/$d | wc -c; done; mknod /n c 1 3 && echo x > /n && echo null; \
               echo x > /dev/full || echo full; ls /dev | tr '\\n' ' '";
    check(
        world,
        "devices",
        "",
        &[
            ("", &try_all, &refused),
            // More capabilities do not help.
            ("capabilities: { add: [ALL] }", &try_all, &refused),
            (
                "",
                own,
                "0\n1\n1\n1\n1\nnull\nsh: write error: No space left on device\nfull\nfd full kcore mqueue null ptmx pts random shm stderr stdin stdout termination-log tty urandom zero ",
            ),
        ],
    )
}

pub(super) fn privileged(world: &World) -> Result<()> {
    let script = "(: < /dev/kmsg) && echo opened; ls /dev | wc -l; mknod /n c 1 11 && (: < /n) && echo made; \
                  awk '$5 == \"/sys\" || $5 == \"/sys/fs/cgroup\" { print $5, substr($6, 1, 2) }' /proc/self/mountinfo";
    let found = said(world, "all-devices", "", &[("privileged: true", script)])?;
    let lines: Vec<&str> = found[0].lines().collect();
    let box_has = std::fs::read_dir("/dev")?.count();
    let seen: usize = lines.get(1).and_then(|line| line.trim().parse().ok()).unwrap_or_default();
    ensure!(seen + 20 > box_has && seen > 20, "it sees {seen} of {box_has} devices: {found:?}");
    let rest = [lines.first(), lines.get(2), lines.get(3), lines.get(4)]
        .map(|line| line.copied().unwrap_or_default());
    ensure!(rest == ["opened", "made", "/sys rw", "/sys/fs/cgroup rw"], "it said {found:?}");
    Ok(())
}
