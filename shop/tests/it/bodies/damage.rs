//! Bytes that are not what was sent.

use fastrand::Rng;

/// What happens to bytes on their way, or is sent instead of a text.
pub fn damage(body: &mut Vec<u8>, random: &mut Rng) {
    let at = random.usize(..body.len().max(1));
    match random.u8(..12) {
        0 => body.clear(),
        1 | 2 => body.truncate(at),
        3 if !body.is_empty() => body[at] ^= 1 << random.u8(..8),
        4 if !body.is_empty() => body[at] = random.u8(..),
        5 => drop(body.splice(at..at, [0xff, 0xfe, 0xed, 0xa0, 0x80])),
        6 => drop(body.splice(0..0, [0x1f, 0x8b, 8, 0])),
        7 => drop(body.splice(0..0, [0xef, 0xbb, 0xbf])),
        8 => *body = String::from_utf8_lossy(body).encode_utf16().flat_map(u16::to_le_bytes).collect(),
        9 => body.extend_from_within(..),
        10 => body.resize(1 << [4, 10, 20][random.usize(..3)], b' '),
        _ => body.push(random.u8(..)),
    }
}
