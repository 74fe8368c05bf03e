//! The rows of probes and lifecycle hooks. Data only: one set of rows for each of the three probes and both hooks.

use super::{Plain::Text, Row, kept, later, never};

const PORT: &str = "a number from 1 to 65535 or the name of a port of the container";
const NUMBER: &str = "an integer from 1 to 65535";
const SECONDS: &str = "a number of seconds";
const NO_TCP_HOOK: &str = "Kubernetes does not run it either; use exec or httpGet";

macro_rules! http_get {
    ($at:literal) => {
        [
            kept(concat!("spec.containers[].", $at, ".httpGet.host")),
            kept(concat!("spec.containers[].", $at, ".httpGet.httpHeaders[].name")),
            kept(concat!("spec.containers[].", $at, ".httpGet.httpHeaders[].value")),
            kept(concat!("spec.containers[].", $at, ".httpGet.path")),
            kept(concat!("spec.containers[].", $at, ".httpGet.port")).needs(PORT),
            later(concat!("spec.containers[].", $at, ".httpGet.protocol")),
            kept(concat!("spec.containers[].", $at, ".httpGet.scheme")).one_of(&["HTTP", "HTTPS"]),
        ]
    };
}

macro_rules! probe {
    ($at:literal) => {{
        const HTTP: [Row; 7] = http_get!($at);
        &[
            kept(concat!("spec.containers[].", $at, ".exec.command")),
            kept(concat!("spec.containers[].", $at, ".failureThreshold")).needs("a number"),
            later(concat!("spec.containers[].", $at, ".grpc.mode")).unless(&[Text("Plaintext")]),
            kept(concat!("spec.containers[].", $at, ".grpc.port")).needs(NUMBER),
            kept(concat!("spec.containers[].", $at, ".grpc.service")),
            HTTP[0],
            HTTP[1],
            HTTP[2],
            HTTP[3],
            HTTP[4],
            HTTP[5],
            HTTP[6],
            kept(concat!("spec.containers[].", $at, ".initialDelaySeconds")).needs(SECONDS),
            kept(concat!("spec.containers[].", $at, ".periodSeconds")).needs(SECONDS),
            kept(concat!("spec.containers[].", $at, ".successThreshold")).needs("a number"),
            kept(concat!("spec.containers[].", $at, ".tcpSocket.host")),
            kept(concat!("spec.containers[].", $at, ".tcpSocket.port")).needs(PORT),
            kept(concat!("spec.containers[].", $at, ".terminationGracePeriodSeconds")).needs(SECONDS),
            kept(concat!("spec.containers[].", $at, ".timeoutSeconds")).needs(SECONDS),
        ]
    }};
}

pub(super) const LIVENESS: &[Row] = probe!("livenessProbe");
pub(super) const READINESS: &[Row] = probe!("readinessProbe");
pub(super) const STARTUP: &[Row] = probe!("startupProbe");

const POST_START: [Row; 7] = http_get!("lifecycle.postStart");
const PRE_STOP: [Row; 7] = http_get!("lifecycle.preStop");

pub(super) const LIFECYCLE: &[Row] = &[
    kept("spec.containers[].lifecycle.postStart.exec.command"),
    POST_START[0],
    POST_START[1],
    POST_START[2],
    POST_START[3],
    POST_START[4],
    POST_START[5],
    POST_START[6],
    kept("spec.containers[].lifecycle.postStart.sleep.seconds").needs(SECONDS),
    never("spec.containers[].lifecycle.postStart.tcpSocket", NO_TCP_HOOK).even_empty(),
    kept("spec.containers[].lifecycle.preStop.exec.command"),
    PRE_STOP[0],
    PRE_STOP[1],
    PRE_STOP[2],
    PRE_STOP[3],
    PRE_STOP[4],
    PRE_STOP[5],
    PRE_STOP[6],
    kept("spec.containers[].lifecycle.preStop.sleep.seconds").needs(SECONDS),
    never("spec.containers[].lifecycle.preStop.tcpSocket", NO_TCP_HOOK).even_empty(),
    kept("spec.containers[].lifecycle.stopSignal"),
];
