//! The reader of type information under damage. `cargo xtask fuzz` lets it run for a minute.

use super::{btf::Btf, offsets};

/// A sound file.
static SOUND: &[u8] = include_bytes!("fixtures/amd64-6.12-cloud.btf");

/// What is cut off its end, and which bytes are others.
type Damage = (u16, Vec<(u16, u8)>);

fn damaged((cut, changes): &Damage) -> Vec<u8> {
    let mut bytes = SOUND.to_vec();
    // Most stay whole: else little but the check of the length would be reached.
    if cut.is_multiple_of(4) {
        bytes.truncate(usize::from(*cut) % bytes.len());
    }
    for (at, byte) in changes {
        let length = bytes.len();
        if let Some(place) = bytes.get_mut(usize::from(*at) % length.max(1)) {
            *place = *byte;
        }
    }
    bytes
}

#[test]
fn fuzz_type_information() {
    bolero::check!().with_type::<Damage>().for_each(|damage| {
        let Ok(btf) = Btf::parse(damaged(damage)) else { return };
        // Whatever it answers, it answers.
        if let Ok(layout) = offsets::layout(&btf, 5, 4096) {
            offsets::has_oom_limit(&btf, &layout);
        }
        for path in ["task_struct.signal", "signal_struct.live", "a.b.c", "pt_regs.di", ""] {
            let _ = btf.field(path);
        }
    });
}

#[test]
fn fuzz_bytes_that_are_no_type_information() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
        let _ = Btf::parse(bytes.clone());
    });
}
