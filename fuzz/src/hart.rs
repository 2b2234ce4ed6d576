//! The saved state of a hart: refused, or put back and then run.

use isoform_core::Saved;
use isoform_interp::Interp;

use crate::rig::Rig;

/// Restores a hart from `data`; both from the bytes as they are and from a good
/// state with some of its bytes replaced, which gets further.
pub fn run(data: &[u8]) {
    let rig = Rig::new(false);
    let mut hart = rig.hart(true);
    let whole = hart.save_bytes();
    let mut changed = whole.clone();
    for pair in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([pair[0], pair[1]])) % changed.len();
        changed[at] = pair[2];
    }
    for bytes in [data, &changed] {
        if hart.restore_bytes(bytes).is_ok() {
            let again = hart.save_bytes();
            hart.restore_bytes(&again).expect("what was just saved");
            assert_eq!(hart.save_bytes(), again);
            Interp::new(1 << 20).run(&mut hart, 1000);
        }
    }
}
