//! The programs of the object, a hook a file, and what the object as a whole needs.
//!
//! They judge nothing: they join what the kernel knows at one instant into one record and leave it in a map.
//! None of them looks at a process outside the containers the agent has named, beyond finding that out.
#![expect(unsafe_code, reason = "kernel helpers, map values by pointer and unmangled symbols")]

mod exit;
mod maps;
mod oom;
mod signal;
mod task;

/// The kernel lets only GPL-compatible programs read its memory.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

/// Nothing here panics: the verifier would refuse the loop below.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
