//! The rules that lead ports of the box to pods: one a port, in a chain that what is meant for the box goes through. Only
//! there while a pod wants a port.

use std::{collections::HashSet, net::IpAddr};

use nftables::{
    batch::Batch,
    expr::{CT, Expression, Fib, FibFlag, FibResult, NamedExpression, Payload, PayloadField},
    schema::{Chain, NfCmd, NfListObject},
    stmt::{Drop, JumpTarget, NAT, NATFamily, Operator, Statement},
    types::{NfChainType, NfHook},
};

use super::rules::{Family, LEAVING, address, chain, compare, device, prefix, rule};
use crate::pod::{
    network,
    port::{Forward, Protocol},
};

const PORTS: &str = "ports";
/// `dstnat`, and before everything else (`raw`).
const DSTNAT: i32 = -100;
const RAW: i32 = -300;

/// Adds the chains and rules to a table that has none of them yet.
pub(super) fn add(batch: &mut Batch<'static>, families: &[Family], forwards: &[Forward]) {
    if forwards.is_empty() {
        return;
    }
    let bare = Chain { hook: None, ..chain(PORTS, NfHook::Input, 0) };
    batch.add_cmd(NfCmd::Add(NfListObject::Chain(Chain { _type: None, prio: None, ..bare })));
    // From outside, and from the box itself.
    for (name, hook) in [("arriving", NfHook::Prerouting), ("own", NfHook::Output)] {
        batch.add_cmd(NfCmd::Add(NfListObject::Chain(chain(name, hook, DSTNAT))));
        let jump = Statement::Jump(JumpTarget { target: PORTS.into() });
        batch.add(rule(name, vec![compare(is_local(), Operator::EQ, text("local")), jump]));
    }
    // No route leads from ::1 to anybody else: who asks there is refused, not kept waiting.
    let own = compare(address("ip6", "daddr"), Operator::EQ, text("::1"));
    batch.add(rule(PORTS, vec![own, Statement::Return(None)]));
    for forward in forwards {
        batch.add(rule(PORTS, led(forward)));
    }
    answers_come_back(batch, families);
    guard_loopback(batch);
}

fn led(forward: &Forward) -> Vec<Statement<'static>> {
    let Forward { protocol, address: ours, port: number, pod, to } = forward;
    let (layer, family) = match pod {
        IpAddr::V4(_) => ("ip", NATFamily::IP),
        IpAddr::V6(_) => ("ip6", NATFamily::IP6),
    };
    let mut statements = vec![compare(port(*protocol), Operator::EQ, Expression::Number(u32::from(*number)))];
    if !ours.is_unspecified() {
        statements.insert(0, compare(address(layer, "daddr"), Operator::EQ, text(&ours.to_string())));
    }
    // What is of the other family goes on to the next rule.
    statements.push(Statement::DNAT(Some(NAT {
        addr: Some(text(&pod.to_string())),
        family: Some(family),
        port: Some(Expression::Number(u32::from(*to))),
        flags: None,
    })));
    statements
}

/// A pod that asks for its neighbour, or for itself, by a port of the box must see the answer come from there; and no
/// pod can answer 127.0.0.1.
fn answers_come_back(batch: &mut Batch<'static>, families: &[Family]) {
    let led = || {
        let key =
            Expression::Named(NamedExpression::CT(CT { key: "status".into(), family: None, dir: None }));
        compare(key, Operator::IN, text("dnat"))
    };
    let pods = families.iter().map(|family| (family.address("saddr"), family.pods()));
    let the_box = (address("ip", "saddr"), prefix("127.0.0.0", 8));
    for (source, from) in pods.chain([the_box]) {
        let statements = vec![
            led(),
            compare(device("oifname"), Operator::EQ, text(network::BRIDGE)),
            compare(source, Operator::EQ, from),
            Statement::Masquerade(None),
        ];
        batch.add(rule(LEAVING, statements));
    }
}

/// With routes to 127.0.0.1 open for the box's own sake, what listens only there must stay out of the pods' reach.
fn guard_loopback(batch: &mut Batch<'static>) {
    let guard = chain("guard", NfHook::Prerouting, RAW);
    let guard = Chain { _type: Some(NfChainType::Filter), ..guard };
    batch.add_cmd(NfCmd::Add(NfListObject::Chain(guard)));
    let statements = vec![
        compare(device("iifname"), Operator::EQ, text(network::BRIDGE)),
        compare(address("ip", "daddr"), Operator::EQ, prefix("127.0.0.0", 8)),
        Statement::Drop(Some(Drop {})),
    ];
    batch.add(rule("guard", statements));
}

fn is_local() -> Expression<'static> {
    let flags = HashSet::from([FibFlag::Daddr]);
    Expression::Named(NamedExpression::Fib(Fib { result: FibResult::Type, flags }))
}

fn port(protocol: Protocol) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.name().into(), field: "dport".into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn text(text: &str) -> Expression<'static> {
    Expression::String(text.to_owned().into())
}
