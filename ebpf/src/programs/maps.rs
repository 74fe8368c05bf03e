//! The maps, and the few ways the programs use them. No decisions.

use aya_ebpf::{
    helpers::generated::bpf_ktime_get_boot_ns,
    macros::map,
    maps::{HashMap, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf},
};
use carob_ebpf::{Counters, Death, Event, Owner, Signal, Target, rules::EventKind};

/// More containers than a box of this size holds, dead ones not yet in the ledger included.
const CONTAINERS: u32 = 1024;

#[map]
pub(super) static OWNERS: HashMap<u64, Owner> = HashMap::with_max_entries(CONTAINERS, 0);

#[map]
pub(super) static DEATHS: HashMap<u64, Death> = HashMap::with_max_entries(CONTAINERS, 0);

/// A value for each processor: Rust's BPF target has no atomic add, and a tracepoint's program is not
/// preempted by another one on its processor.
#[map]
static COUNTERS: PerCpuHashMap<u64, Counters> = PerCpuHashMap::with_max_entries(CONTAINERS, 0);

/// An LRU, because most signals kill nobody and nobody tidies up after them.
#[map]
pub(super) static SIGNALS: LruHashMap<Target, Signal> = LruHashMap::with_max_entries(4096, 0);

/// A process that has been seen to end.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Gone {
    pub(super) start_boottime: u64,
    pub(super) tgid: u64,
}

#[map]
pub(super) static GONE: LruHashMap<Gone, u8> = LruHashMap::with_max_entries(8192, 0);

#[map]
static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// The loader gives it another size if it is told one.
#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(64 * 1024, 0);

/// Insert, but leave alone what is there.
pub(super) const NOEXIST: u64 = 1;
/// What an insert then says.
pub(super) const EXISTS: i32 = -17;

/// The owner of a container, if it is one of ours. A copy: the agent may replace the entry at any time.
#[inline(always)]
pub(super) fn owner(cgroup: u64) -> Option<Owner> {
    // SAFETY: `get` asks that the value is not used past its removal; it is copied at once, under the RCU
    // lock that the program runs in.
    unsafe { OWNERS.get(cgroup) }.copied()
}

#[inline(always)]
pub(super) fn now() -> u64 {
    // SAFETY: the helper has no precondition.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Adds one to a counter of the container.
#[inline(always)]
pub(super) fn count(cgroup: u64, field: fn(&mut Counters) -> &mut u64) {
    if let Some(counters) = COUNTERS.get_ptr_mut(cgroup) {
        // SAFETY: the pointer is to this processor's own copy, which nobody else writes now.
        *field(unsafe { &mut *counters }) += 1;
    }
}

/// Says that something of this container had no room.
#[inline(always)]
pub(super) fn lose(cgroup: u64) {
    count(cgroup, |counters| &mut counters.lost);
    if let Some(lost) = LOST.get_ptr_mut(0) {
        // SAFETY: as above.
        unsafe { *lost += 1 };
    }
}

/// Wakes the agent.
#[inline(always)]
pub(super) fn wake(kind: EventKind, cgroup: u64, tgid: u32) {
    let Some(mut event) = EVENTS.reserve::<Event>(0) else {
        lose(cgroup);
        return;
    };
    event.write(Event { cgroup, at_ns: now(), tgid, kind: kind as u32 });
    event.submit(0);
}

/// Copies the OOM part of a signal into the death record it killed, if both are there. The exit and the OOM
/// killer each call this after their own half is in place, so that the later one completes the record.
#[inline(always)]
pub(super) fn join_oom(cgroup: u64, target: Target) {
    let (Some(signal), Some(death)) = (SIGNALS.get_ptr(target), DEATHS.get_ptr_mut(cgroup)) else { return };
    // SAFETY: both point to live map values for as long as the program runs.
    unsafe {
        if (*death).tgid == target.tgid && (*death).signal.sig == target.sig && (*signal).oom.known != 0 {
            (*death).signal.oom = (*signal).oom;
        }
    }
}
