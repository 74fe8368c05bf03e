//! Any bytes as the kernel's record of a death: there is a verdict, it has words, and it invents nothing.
//! `cargo xtask fuzz` lets it run for a minute.

use zerocopy::FromBytes;

use super::*;

/// The record's bytes, how many of them there are, and the rest of the evidence in small numbers.
type Bytes = ([u8; 32], Vec<u8>, u8, u8);

fn death(head: &[u8], rest: &[u8]) -> Option<Death> {
    let mut bytes = [head, rest].concat();
    bytes.resize(size_of::<Death>(), 0);
    Death::read_from_bytes(&bytes).ok()
}

#[test]
fn fuzz_records_of_deaths() {
    bolero::check!().with_type::<Bytes>().for_each(|(head, rest, flags, number)| {
        let death = death(head, rest).filter(|_| flags & 1 == 0);
        let waited = match flags >> 1 & 3 {
            0 => None,
            1 => Some(Waited::Exited { code: i32::from(*number) }),
            2 => Some(Waited::Signalled { signal: i32::from(*number & 63), core: flags & 8 != 0 }),
            _ => Some(Waited::NotOurChild),
        };
        let id = death.as_ref().map_or(0, |death| death.cgroup);
        let limited = |id| Limited { id: CgroupId(id), bytes: Some(1 << 20) };
        let places = Places {
            container: limited(id),
            pod: limited(id.wrapping_add(1)),
            ancestors: Vec::new(),
            others: BTreeMap::new(),
        };
        let evidence = Evidence {
            death: death.as_ref(),
            waited,
            sent: None,
            oom_kills: Some(u64::from(flags >> 4)),
            oom: if flags & 64 == 0 { OomScope::Container } else { OomScope::Process },
            places: &places,
            agent: &[Pid(1)],
            now: Stamp(u64::from(*number)),
        };
        let verdict = verdict(&evidence);
        assert!(!message(&verdict).is_empty() && !reason(&verdict).is_empty() && !cause(&verdict).is_empty());
        assert_eq!(verdict.code.is_none(), verdict.source == Source::None, "{verdict:?}");
        if let (Some(signal), Some(code)) = (verdict.signal, verdict.code) {
            assert_eq!(code, signal + 128, "{verdict:?}");
        }
        if matches!(verdict.cause, Cause::Oom { .. }) {
            assert_eq!(verdict.signal, Some(9), "{verdict:?}");
        }
        let facts = super::evidence(&verdict, None, None);
        assert!(
            facts.iter().all(|fact| !fact.from.is_empty() && fact.value.as_deref() != Some("")),
            "{facts:?}"
        );
        let text = serde_json::to_string(&verdict).unwrap();
        assert_eq!(
            serde_json::from_str::<Verdict>(&text).unwrap(),
            verdict,
            "the ledger reads back what it wrote"
        );
    });
}
