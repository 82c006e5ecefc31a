//! Sets: what NetFlow v9 FlowSets (RFC 3954 §5) and IPFIX Sets (RFC 7011 §3.3) have in common.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |            Set ID             |            Length             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::{Field, Put, patch_u16};

/// The enterprise bit of an information element id (RFC 7011 §3.2).
const ENTERPRISE_BIT: u16 = 0x8000;

/// Appends a set with what `content` writes in it; returns what `content` returns.
pub(super) fn set<T>(out: &mut Vec<u8>, id: u16, content: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let start = out.len();
    out.put_u16(id);
    out.put_u16(0);
    let written = content(out);
    let length = out.len() - start;
    patch_u16(out, start + 2, length);
    written
}

/// Field specifiers, with the enterprise number where a field has one.
pub(super) fn specifiers(out: &mut Vec<u8>, fields: &[Field]) {
    for field in fields {
        let enterprise = field.ie.pen != 0;
        out.put_u16(if enterprise { field.ie.id | ENTERPRISE_BIT } else { field.ie.id });
        out.put_u16(field.length);
        if enterprise {
            out.put_u32(field.ie.pen);
        }
    }
}

/// The number of fields as the wire has it.
///
/// # Panics
/// When there are more than 65,535: no message holds them.
pub(super) fn count(fields: &[Field]) -> u16 {
    u16::try_from(fields.len()).expect("a template has fewer than 65,536 fields")
}
