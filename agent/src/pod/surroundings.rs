//! Which of the box's namespaces a pod is to be in, and what names it knows itself and others by. Plain data.

use std::net::IpAddr;

/// `hostNetwork`, `hostIPC`, `hostPID`, `shareProcessNamespace`, `hostAliases`, `dnsPolicy` and `dnsConfig` of a pod, and the domain it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) net: Whose,
    pub(crate) ipc: Whose,
    pub(crate) pid: Processes,
    /// `SUBDOMAIN.NAMESPACE.svc.cluster.local`.
    pub(crate) domain: Option<String>,
    pub(crate) aliases: Vec<HostAlias>,
    pub(crate) dns: Dns,
}

/// Whose namespace it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Whose {
    /// One that nobody outside the pod is in.
    #[default]
    Pods,
    /// That of the box itself.
    Box,
}

/// Which processes a container sees beside its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Processes {
    #[default]
    None,
    /// Those of the pod's other containers.
    Pods,
    /// All of the box.
    Box,
}

/// A line of `/etc/hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostAlias {
    pub(crate) address: IpAddr,
    pub(crate) names: Vec<String>,
}

/// What `/etc/resolv.conf` is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dns {
    pub(crate) base: DnsBase,
    /// Added to the base.
    pub(crate) more: Resolver,
}

/// What `dnsConfig` is added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DnsBase {
    /// The box's own settings.
    #[default]
    Box,
    /// Nothing (`dnsPolicy: None`).
    Empty,
}

/// Settings of a resolver: resolv.conf(5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resolver {
    pub(crate) servers: Vec<String>,
    pub(crate) search: Vec<String>,
    /// `ndots:2` is `("ndots", Some("2"))`.
    pub(crate) options: Vec<(String, Option<String>)>,
}
