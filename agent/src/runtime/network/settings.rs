//! The kernel's settings of the network, of the namespace this thread is in.
#![expect(clippy::disallowed_methods, reason = "this is the effect")]

use std::{fs, io, path::Path};

use super::Error;
use crate::pod::{network, range6};

const SETTINGS: &str = "/proc/sys/net";
const DEVICES6: &str = "ipv6/conf";

pub(super) fn write(key: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new(SETTINGS).join(key), value)
}

fn is(key: &str, value: &str) -> bool {
    fs::read_to_string(Path::new(SETTINGS).join(key)).is_ok_and(|is| is.trim() == value)
}

/// The box leads packets on. Writing it resets settings of single devices, so only if need be.
pub(super) fn forward() -> Result<(), Error> {
    let key = "ipv4/ip_forward";
    if is(key, "1") {
        return Ok(());
    }
    write(key, "1")
        .map_err(|source| Error::System { step: "switch forwarding on (net.ipv4.ip_forward)", source })
}

/// The same for IPv6; false if the box must not. To the kernel who forwards is a router, and a router does not listen to
/// others: routes that the box has learned of them would be gone at once. And its devices stay as they were, so that
/// what they will learn counts: whether packets are led on, only the setting of all of them decides.
pub(super) fn forward6() -> Result<bool, Error> {
    let all = format!("{DEVICES6}/all/forwarding");
    if is(&all, "1") {
        return Ok(true);
    }
    let routes = fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default();
    let deaf = |device: &str| is(&format!("{DEVICES6}/{device}/accept_ra"), "2");
    if range6::routes(&routes).iter().any(|route| route.announced && !deaf(&route.device)) {
        return Ok(false);
    }
    let step = "switch forwarding on (net.ipv6.conf.all.forwarding)";
    let fault = |source| Error::System { step, source };
    let hosts = hosts().map_err(fault)?;
    write(&all, "1").map_err(fault)?;
    for device in hosts {
        write(&format!("{DEVICES6}/{device}/forwarding"), "0").map_err(fault)?;
    }
    Ok(true)
}

/// The devices that are not the pods' and do not forward, and what is said of those to come.
fn hosts() -> io::Result<Vec<String>> {
    let mut hosts = Vec::new();
    for entry in fs::read_dir(Path::new(SETTINGS).join(DEVICES6))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let of_pods = name == network::BRIDGE || network::is_cable(&name);
        if name != "all" && !of_pods && is(&format!("{DEVICES6}/{name}/forwarding"), "0") {
            hosts.push(name);
        }
    }
    Ok(hosts)
}
