//! The reducer on a kernel small enough to be written down.

use std::collections::BTreeMap;

use super::{
    facts::facts,
    reduce::reduced,
    types::{START, Types},
};

/// Type information under construction.
struct Builder {
    types: Vec<u32>,
    strings: Vec<u8>,
}

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        self.strings.extend([name.as_bytes(), &[0]].concat());
        u32::try_from(self.strings.len() - name.len() - 1).unwrap()
    }

    /// The head of a type, and words after it.
    fn plain(&mut self, name: &str, info: u32, of: u32, tail: &[u32]) {
        let name = self.name(name);
        self.types.extend([name, info, of]);
        self.types.extend(tail);
    }

    /// Entries of a name and other words.
    fn listed(&mut self, name: &str, info: u32, of: u32, entries: &[(&str, &[u32])]) {
        self.plain(name, info | u32::try_from(entries.len()).unwrap(), of, &[]);
        for (name, rest) in entries {
            let name = self.name(name);
            self.types.push(name);
            self.types.extend(*rest);
        }
    }

    fn finish(self) -> Vec<u8> {
        let types: Vec<u8> = self.types.iter().flat_map(|word| word.to_le_bytes()).collect();
        let lengths = [0, types.len(), types.len(), self.strings.len()];
        let lengths = lengths.iter().flat_map(|length| u32::try_from(*length).unwrap().to_le_bytes());
        [START.to_vec(), lengths.collect(), types, self.strings].concat()
    }
}

const BIT_SIZES: u32 = 1 << 31;

fn kernel() -> Vec<u8> {
    let mut made = Builder { types: Vec::new(), strings: vec![0] };
    made.plain("int", 1 << 24, 4, &[32]); // 1
    made.listed("unused", 4 << 24, 4, &[("x", &[1, 0])]); // 2
    made.plain("", 2 << 24, 5, &[]); // 3: pointer to the next structure
    made.plain("flags_t", 8 << 24, 1, &[]); // 4
    made.listed(
        "signal_struct",
        4 << 24 | BIT_SIZES,
        128,
        &[("narrow", &[1, 1 << 24 | 3]), ("live", &[1, 32]), ("flags", &[4, 928]), ("other", &[6, 960])],
    ); // 5
    made.plain("", 2 << 24, 2, &[]); // 6: pointer to the unused structure
    made.listed("", 5 << 24, 8, &[("comm", &[8, 0]), ("padding", &[1, 0])]); // 7
    made.plain("", 3 << 24, 0, &[1, 1, 4]); // 8: array
    made.listed(
        "task_struct",
        4 << 24,
        64,
        &[("first", &[2, 0]), ("signal", &[3, 64]), ("", &[7, 256]), ("last", &[2, 320])],
    ); // 9
    made.plain("", 2 << 24, 9, &[]); // 10: pointer to the task
    made.listed("", 13 << 24, 0, &[("", &[11]), ("", &[10]), ("dead", &[4])]); // 11
    made.plain("", 2 << 24, 11, &[]); // 12
    made.plain("btf_trace_sched_process_exit", 8 << 24, 12, &[]); // 13
    made.listed("empty", 6 << 24, 4, &[]); // 14
    made.listed("choice", 6 << 24, 4, &[("ONE", &[1]), ("TWO", &[2])]); // 15
    made.plain("variable", 14 << 24, 1, &[1]); // 16
    made.plain(".data", 15 << 24 | 2, 8, &[16, 0, 4, 16, 4, 4]); // 17
    made.finish()
}

#[test]
fn the_reduced_kernel_says_the_same_of_what_is_asked_for() {
    let full = Types::parse(&kernel()).unwrap();
    let reduced = Types::parse(&reduced(&full).unwrap()).unwrap();
    let said: BTreeMap<String, String> = facts(&reduced).unwrap().into_iter().collect();
    assert_eq!(said, facts(&full).unwrap().into_iter().collect());
    for (what, found) in [
        ("task_struct.signal", "8"),
        ("task_struct.comm", "32"),
        ("task_struct.tgid", "-"),
        ("signal_struct.live", "4"),
        ("signal_struct.flags", "116"),
        ("tracepoint sched_process_exit", "*task_struct, int"),
        ("tracepoint mark_victim", "-"),
        ("function oom_kill_process", "-"),
    ] {
        assert_eq!(said[what], found, "{what}");
    }
}

#[test]
fn nothing_else_is_kept_but_one_type_of_each_kind() {
    let reduced = reduced(&Types::parse(&kernel()).unwrap()).unwrap();
    let text = String::from_utf8_lossy(&reduced);
    for gone in ["unused", "narrow", "other", "padding", "first", "last", "empty"] {
        assert!(!text.contains(&format!("\0{gone}\0")), "{gone}");
    }
    let reduced = Types::parse(&reduced).unwrap();
    let kinds: Vec<u32> = reduced.all().map(|(_, ty)| ty.kind()).collect();
    assert_eq!(kinds, [1, 2, 8, 4, 5, 3, 4, 2, 13, 2, 8, 6, 14, 15]);
    let (_, section) = reduced.all().last().unwrap();
    assert_eq!(section.entries().unwrap(), [[13, 0, 4]]);
}

#[test]
fn types_that_are_cut_off_or_of_an_unknown_kind_are_refused() {
    let whole = kernel();
    for end in 0..whole.len() {
        assert!(Types::parse(&whole[..end]).is_err(), "cut at {end}");
    }
    let mut unknown = Builder { types: Vec::new(), strings: vec![0] };
    unknown.plain("", 20 << 24, 0, &[]);
    let fault = Types::parse(&unknown.finish()).err().unwrap().to_string();
    assert!(fault.contains("kind 20"), "{fault}");
}

#[test]
fn types_that_refer_to_each_other_are_refused() {
    let mut typedefs = Builder { types: Vec::new(), strings: vec![0] };
    typedefs.plain("btf_trace_mark_victim", 8 << 24, 2, &[]);
    typedefs.plain("b", 8 << 24, 1, &[]);
    let fault = facts(&Types::parse(&typedefs.finish()).unwrap()).err().unwrap().to_string();
    assert!(fault.contains("nest deeper"), "{fault}");
    let mut structures = Builder { types: Vec::new(), strings: vec![0] };
    structures.listed("task_struct", 4 << 24, 4, &[("", &[1, 0])]);
    let fault = facts(&Types::parse(&structures.finish()).unwrap()).err().unwrap().to_string();
    assert!(fault.contains("nest deeper"), "{fault}");
}
