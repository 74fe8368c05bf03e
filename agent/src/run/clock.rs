//! The clocks. Everything is timed on CLOCK_BOOTTIME, which no one can set and which goes on while the box sleeps.
#![expect(clippy::disallowed_methods, reason = "this is where the clock is read")]

use std::{fs, io, os::fd::OwnedFd, time::Duration};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::{
    act::log::Pause,
    pod::{Stamp, status::BootId},
    ready,
};

const SECOND: u64 = 1_000_000_000;

/// Now, in this boot.
pub(crate) fn now() -> Stamp {
    let time = clock_gettime(ClockId::Boottime);
    Stamp(time.tv_sec.cast_unsigned() * SECOND + time.tv_nsec.cast_unsigned())
}

/// Nanoseconds since 1970, as far as the box knows.
pub(crate) fn wall() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec * SECOND.cast_signed() + time.tv_nsec
}

/// What to add to a stamp of this boot to get nanoseconds since 1970.
pub(crate) fn offset() -> i64 {
    wall() - now().0.cast_signed()
}

/// The name of this boot.
pub(crate) fn boot_id() -> io::Result<BootId> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| BootId(text.trim().to_owned()))
}

/// One alarm.
#[derive(Debug)]
pub(crate) struct Alarm {
    timer: AsyncFd<OwnedFd>,
}

impl Alarm {
    pub(crate) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Boottime, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self { timer: ready::readable(timer)? })
    }

    /// Sets it, or takes it back. An instant in the past rings at once.
    pub(crate) fn set(&self, at: Option<Stamp>) -> io::Result<()> {
        let ns = at.map_or(0, |at| at.0.max(1));
        let at = Timespec { tv_sec: (ns / SECOND).cast_signed(), tv_nsec: (ns % SECOND).cast_signed() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        timerfd_settime(self.timer.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Comes back when it rings.
    pub(crate) async fn rang(&self) -> io::Result<()> {
        let mut guard = self.timer.readable().await?;
        let mut count = [0; 8];
        // EAGAIN: it was set anew meanwhile. Then the next round sees the new time.
        let _ = rustix::io::read(self.timer.get_ref(), &mut count);
        guard.clear_ready();
        Ok(())
    }
}

/// Waits a while.
pub(crate) async fn pause(wait: Duration) -> io::Result<()> {
    let alarm = Alarm::new()?;
    alarm.set(Some(now().after(wait)))?;
    alarm.rang().await
}

/// The same, as `act` takes it: it has no clock of its own.
pub(crate) fn pausing(wait: Duration) -> Pause {
    Box::pin(pause(wait))
}
