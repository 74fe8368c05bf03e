//! The rules that lead ports of the box to pods: one a port, in a chain that what is meant for the box goes through. Only
//! there while a pod wants a port.

use std::collections::HashSet;

use nftables::{
    batch::Batch,
    expr::{CT, Expression, Fib, FibFlag, FibResult, NamedExpression, Payload, PayloadField},
    schema::{Chain, NfCmd, NfListObject},
    stmt::{Drop, JumpTarget, NAT, NATFamily, Operator, Statement},
    types::{NfChainType, NfHook},
};

use super::rules::{LEAVING, address, chain, compare, device, prefix, rule};
use crate::pod::{
    network,
    port::{Forward, Protocol},
    range::Range,
};

const PORTS: &str = "ports";
/// `dstnat`, and before everything else (`raw`).
const DSTNAT: i32 = -100;
const RAW: i32 = -300;

/// Adds the chains and rules to a table that has none of them yet.
pub(super) fn add(batch: &mut Batch<'static>, range: Range, forwards: &[Forward]) {
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
    for forward in forwards {
        batch.add(rule(PORTS, led(forward)));
    }
    answers_come_back(batch, range);
    guard_loopback(batch);
}

fn led(forward: &Forward) -> Vec<Statement<'static>> {
    let Forward { from, pod } = forward;
    let mut statements =
        vec![compare(port(from.protocol), Operator::EQ, Expression::Number(u32::from(from.port)))];
    if !from.address.is_unspecified() {
        statements.insert(0, compare(address("daddr"), Operator::EQ, text(&from.address.to_string())));
    }
    statements.push(Statement::DNAT(Some(NAT {
        addr: Some(text(&pod.to_string())),
        family: Some(NATFamily::IP),
        port: Some(Expression::Number(u32::from(from.to))),
        flags: None,
    })));
    statements
}

/// A pod that asks for its neighbour, or for itself, by a port of the box must see the answer come from there; and no
/// pod can answer 127.0.0.1.
fn answers_come_back(batch: &mut Batch<'static>, range: Range) {
    let led = || {
        let key =
            Expression::Named(NamedExpression::CT(CT { key: "status".into(), family: None, dir: None }));
        compare(key, Operator::IN, text("dnat"))
    };
    let pods = prefix(&range.first().to_string(), range.bits());
    for from in [pods, prefix("127.0.0.0", 8)] {
        let statements = vec![
            led(),
            compare(device("oifname"), Operator::EQ, text(network::BRIDGE)),
            compare(address("saddr"), Operator::EQ, from),
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
        compare(address("daddr"), Operator::EQ, prefix("127.0.0.0", 8)),
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
