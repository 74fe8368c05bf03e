//! The one table of ours in the packet filter: what leaves the pods' range wears the box's address, and ports of the box
//! lead to pods. It is always written whole, so nothing of a pod can stay behind in it.

use std::path::Path;

use nftables::{
    batch::Batch,
    expr::{Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField, Prefix},
    helper::{self, NftablesError},
    schema::{Chain, NfCmd, NfListObject, Rule, Table},
    stmt::{Match, Operator, Statement},
    types::{NfChainType, NfFamily, NfHook},
};

use super::{Error, ports};
use crate::pod::{network, port::Forward, range::Range, range6::Range6};

/// Where `nft` may be: the child's environment is empty.
const PLACES: [&str; 5] = ["/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft", "/usr/bin/nft", "/bin/nft"];
pub(super) const LEAVING: &str = "leaving";
/// `srcnat`: after all that filters.
const PRIORITY: i32 = 100;

/// Makes the table what it has to be, whatever it was: one transaction, so that no packet meets half of it.
pub(super) fn write(range: Range, range6: Option<Range6>, forwards: &[Forward]) -> Result<(), Error> {
    apply(whole(range, range6, forwards), "written")
}

/// Takes the table away; fine if it is gone, or if `nft` is.
pub(super) fn remove() -> Result<(), Error> {
    let mut batch = Batch::new();
    // Deleting what is not there is an error, adding what is there is none.
    batch.add(NfListObject::Table(table()));
    batch.delete(NfListObject::Table(table()));
    match apply(batch, "removed") {
        Err(Error::NoNft) => Ok(()),
        other => other,
    }
}

fn apply(batch: Batch<'_>, step: &'static str) -> Result<(), Error> {
    let program = PLACES.into_iter().find(|place| Path::new(place).exists()).ok_or(Error::NoNft)?;
    helper::apply_ruleset_with_args(&batch.to_nftables(), Some(program), helper::DEFAULT_ARGS).map_err(|e| {
        let said = match &e {
            NftablesError::NftFailed { stderr, .. } => stderr.lines().next().unwrap_or_default().to_owned(),
            other => other.to_string(),
        };
        Error::Rules { step, said }
    })
}

fn whole(range: Range, range6: Option<Range6>, forwards: &[Forward]) -> Batch<'static> {
    let mut batch = Batch::new();
    batch.add(NfListObject::Table(table()));
    batch.delete(NfListObject::Table(table()));
    batch.add(NfListObject::Table(table()));
    batch.add_cmd(NfCmd::Add(NfListObject::Chain(chain(LEAVING, NfHook::Postrouting, PRIORITY))));
    let all = families(range, range6);
    for family in &all {
        let expr = vec![
            compare(family.address("saddr"), Operator::EQ, family.pods()),
            compare(family.address("daddr"), Operator::NEQ, family.pods()),
            // Multicast does not leave the bridge.
            compare(family.address("daddr"), Operator::NEQ, family.multicast()),
            compare(device("oifname"), Operator::NEQ, Expression::String(network::BRIDGE.into())),
            Statement::Masquerade(None),
        ];
        batch.add(rule(LEAVING, expr));
    }
    ports::add(&mut batch, &all, forwards);
    batch
}

/// What the rules say once for each family.
pub(super) enum Family {
    V4(Range),
    V6(Range6),
}

fn families(range: Range, range6: Option<Range6>) -> Vec<Family> {
    std::iter::once(Family::V4(range)).chain(range6.map(Family::V6)).collect()
}

impl Family {
    /// All pods' addresses.
    pub(super) fn pods(&self) -> Expression<'static> {
        match self {
            Self::V4(range) => prefix(&range.first().to_string(), range.bits()),
            Self::V6(range) => prefix(&range.first().to_string(), range.bits()),
        }
    }

    /// `saddr` or `daddr`.
    pub(super) fn address(&self, field: &'static str) -> Expression<'static> {
        match self {
            Self::V4(_) => address("ip", field),
            Self::V6(_) => address("ip6", field),
        }
    }

    fn multicast(&self) -> Expression<'static> {
        match self {
            Self::V4(_) => prefix("224.0.0.0", 4),
            Self::V6(_) => prefix("ff00::", 8),
        }
    }
}

/// A chain of address translation.
pub(super) fn chain(name: &'static str, hook: NfHook, priority: i32) -> Chain<'static> {
    Chain {
        family: NfFamily::INet,
        table: network::TABLE.into(),
        name: name.into(),
        _type: Some(NfChainType::NAT),
        hook: Some(hook),
        prio: Some(priority),
        ..Chain::default()
    }
}

pub(super) fn rule(chain: &'static str, expr: Vec<Statement<'static>>) -> NfListObject<'static> {
    NfListObject::Rule(Rule {
        family: NfFamily::INet,
        table: network::TABLE.into(),
        chain: chain.into(),
        expr: expr.into(),
        ..Rule::default()
    })
}

fn table() -> Table<'static> {
    Table { family: NfFamily::INet, name: network::TABLE.into(), handle: None }
}

pub(super) fn compare<'a>(left: Expression<'a>, op: Operator, right: Expression<'a>) -> Statement<'a> {
    Statement::Match(Match { left, right, op })
}

pub(super) fn address(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

/// `iifname` or `oifname`.
pub(super) fn device(which: &str) -> Expression<'static> {
    let key = if which == "iifname" { MetaKey::Iifname } else { MetaKey::Oifname };
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

pub(super) fn prefix(first: &str, bits: u8) -> Expression<'static> {
    let addr = Box::new(Expression::String(first.to_owned().into()));
    Expression::Named(NamedExpression::Prefix(Prefix { addr, len: u32::from(bits) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_replaced_whole_and_hides_what_leaves_the_range() {
        let text =
            serde_json::to_string(&whole("10.9.0.0/16".parse().unwrap(), None, &[]).to_nftables()).unwrap();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in {text}"));
        assert!(at(r#"{"delete":{"table""#) < at(r#"{"add":{"chain""#), "{text}");
        assert!(text.contains(r#""prefix":{"addr":"10.9.0.0","len":16}"#), "{text}");
        assert!(text.contains(r#"{"masquerade":null}"#) && text.contains(r#""op":"!=""#), "{text}");
        assert!(!text.contains("dnat") && !text.contains("fib") && !text.contains("ip6"), "{text}");
    }

    #[test]
    fn a_port_leads_to_its_pod_by_protocol_and_address() {
        let forwards =
            ["tcp:0.0.0.0:8080:10.9.0.2:80", "udp:192.0.2.1:53:10.9.0.3:5353", "tcp:[::]:80:[fd00::2]:8080"];
        let forwards = forwards.map(|text| text.parse().unwrap());
        let ranges = ("10.9.0.0/16".parse().unwrap(), "fd00::/64".parse().ok());
        let text = serde_json::to_string(&whole(ranges.0, ranges.1, &forwards).to_nftables()).unwrap();
        for part in [
            r#""protocol":"tcp","field":"dport"}},"right":8080,"op":"=="}},{"dnat":{"addr":"10.9.0.2","family":"ip","port":80}}"#,
            r#""right":"192.0.2.1""#,
            r#"{"dnat":{"addr":"10.9.0.3","family":"ip","port":5353}}"#,
            r#""fib":{"result":"type","flags":["daddr"]}"#,
            r#""addr":"127.0.0.0","len":8}},"op":"=="}},{"drop":{}}"#,
            r#"{"dnat":{"addr":"fd00::2","family":"ip6","port":8080}}"#,
            r#""protocol":"ip6","field":"daddr"}},"right":"::1","op":"=="}},{"return":null}"#,
            r#""protocol":"ip6","field":"saddr"}},"right":{"prefix":{"addr":"fd00::","len":64}},"op":"=="}},{"masquerade":null}"#,
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}
