//! Probes and lifecycle hooks: what is asked of a container, and when. Plain data.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// What a probe or a hook does; Kubernetes' `exec`, `httpGet`, `tcpSocket`, `grpc` and `sleep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A command in the container.
    Exec {
        command: Vec<String>,
    },
    HttpGet(HttpGet),
    /// A connection that is made and closed.
    TcpSocket {
        host: Option<Host>,
        port: u16,
    },
    /// `grpc.health.v1.Health/Check`, unencrypted.
    Grpc {
        port: u16,
        service: String,
    },
    /// Nothing, for a while. Hooks only.
    Sleep {
        wait: Duration,
    },
}

/// Somebody to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    /// Looked up each time, as this box knows it.
    Name(String),
}

impl Host {
    /// As in a URL, with a port.
    pub(crate) fn with_port(&self, port: u16) -> String {
        match self {
            Self::Address(address) => SocketAddr::new(*address, port).to_string(),
            Self::Name(name) => format!("{name}:{port}"),
        }
    }

    /// Whether somebody means this one by a word.
    pub(crate) fn is(&self, word: &str) -> bool {
        match self {
            Self::Address(address) => word.parse() == Ok(*address),
            Self::Name(name) => word.eq_ignore_ascii_case(name),
        }
    }
}

/// One `GET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpGet {
    /// Whom to ask; the pod itself if nothing is said.
    pub(crate) host: Option<Host>,
    pub(crate) scheme: Scheme,
    pub(crate) port: u16,
    /// With its query, and `/` first.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// How it is asked. With `Https` whoever answers will do: nobody's certificate is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scheme {
    #[default]
    Http,
    Https,
}

impl fmt::Display for Scheme {
    /// As in a URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ProbeKind {
    /// Whether the container has come up: until then the others wait. A failure ends the container.
    Startup,
    /// Whether the container is of use to others.
    Readiness,
    /// Whether the container still works. A failure ends it.
    Liveness,
}

impl fmt::Display for ProbeKind {
    /// As Kubernetes begins its sentences with it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        })
    }
}

/// One probe, with the defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) action: Action,
    /// From the container's start.
    pub(crate) initial_delay: Duration,
    pub(crate) period: Duration,
    pub(crate) timeout: Duration,
    /// So many in a row to succeed after a failure.
    pub(crate) successes: u32,
    /// So many in a row to fail.
    pub(crate) failures: u32,
    /// The probe's own `terminationGracePeriodSeconds`, which goes before the pod's.
    pub(crate) grace: Option<Duration>,
}

/// The probes of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Probes {
    pub(crate) startup: Option<Probe>,
    pub(crate) readiness: Option<Probe>,
    pub(crate) liveness: Option<Probe>,
}

impl Probes {
    pub(crate) fn of(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
        }
    }
}

/// `lifecycle` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lifecycle {
    pub(crate) post_start: Option<Action>,
    pub(crate) pre_stop: Option<Action>,
    /// The signal that asks the container to end, instead of the image's own or SIGTERM.
    pub(crate) stop_signal: Option<i32>,
}

/// Which hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HookKind {
    PostStart,
    PreStop,
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PostStart => "PostStart",
            Self::PreStop => "PreStop",
        })
    }
}
