//! The key of digests: whoever has a log without it cannot find out by trying what was sent to it.
//!
//! What follows from a command from outside bears digests, so that a command that is sent again is told from another one.
//! Plain ones would tell what a person had sent, also after it was forgotten: who has a copy of the log tries bodies until
//! one fits. So only the message under the key is stored, and the key never stands in the log.
//!
//! The function is SipHash-2-4, which is made for a secret key and short messages. XXH3 with a secret seed is not: it can
//! be computed backwards, and its seed found from a few digests of known bodies.

use std::{fmt, hash::Hasher};

use siphasher::sip::SipHasher24;

use crate::{id::MessageId, stream::StreamId};

/// What a digest is of; so that none stands for another.
#[derive(Clone, Copy)]
enum Use {
    Name,
    Request,
    About,
}

/// 16 secret bytes. Never shown, also not by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DigestKey([u8; Self::BYTES]);

impl DigestKey {
    /// How long a key is.
    pub const BYTES: usize = 16;
    /// A key that everybody knows: for what keeps nothing, as an app in memory or a test.
    pub const KNOWN: Self = Self([0; Self::BYTES]);

    /// A key of random bytes.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, for a store that keeps them, and for nobody else.
    pub const fn to_bytes(&self) -> [u8; Self::BYTES] {
        self.0
    }

    /// Tells this key from others, and nothing else of it: it may stand in the log.
    pub fn name(&self) -> u64 {
        self.keyed(Use::Name, 0, &[])
    }

    /// The digest to store of a request, of its plain one. Of two requests with the same body it is not the same, so that
    /// nobody finds out by sending a body what another one has sent.
    pub fn request(&self, id: &MessageId, plain: u64) -> u64 {
        match id.as_uuid() {
            Some(uuid) => self.keyed(Use::Request, plain, uuid.as_bytes()),
            None => self.keyed(Use::Request, plain, id.as_text().unwrap_or_default().as_bytes()),
        }
    }

    /// The digest to store of what a request to this stream is about, of its plain one. Elsewhere it is another.
    pub fn about(&self, stream: &StreamId, plain: u64) -> u64 {
        self.keyed(Use::About, plain, stream.as_str().as_bytes())
    }

    fn keyed(&self, of: Use, plain: u64, place: &[u8]) -> u64 {
        let mut hash = SipHasher24::new_with_key(&self.0);
        hash.write(&[of as u8]);
        hash.write(&plain.to_le_bytes());
        hash.write(place);
        hash.finish()
    }
}

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestKey({:016x})", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stored digests are compared with these for ever. The numbers are another implementation's.
    #[test]
    fn digests_stay_what_they_are() {
        let key = DigestKey::new(*b"0123456789abcdef");
        let [text, uuid] = ["key-1", "018f2f3a-5a77-7cc0-b7a4-0242ac120002"].map(|id| MessageId::parse(id).unwrap());
        let stream = StreamId::parse("depot-d").unwrap();
        let digests = [key.name(), key.request(&text, 7), key.request(&uuid, 7), key.about(&stream, 7)];
        let expected = [0x717e_dd52_e66c_13fb, 0x52e2_6f56_dd65_c2fb, 0x5591_6ef4_b953_62fd, 0xc6e8_e8ef_84e1_1db3];
        assert_eq!(digests, expected);
    }

    #[test]
    fn each_use_place_body_and_key_has_a_digest_of_its_own() {
        let id = |text: &str| MessageId::parse(text).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for key in [DigestKey::KNOWN, DigestKey::new([1; 16])] {
            assert!(seen.insert(key.name()));
            for plain in [0, 1] {
                assert!(seen.insert(key.request(&id("depot-d"), plain)));
                assert!(seen.insert(key.request(&id("depot-e"), plain)));
                assert!(seen.insert(key.about(&StreamId::parse("depot-d").unwrap(), plain)));
                assert!(seen.insert(key.about(&StreamId::parse("depot-e").unwrap(), plain)));
            }
        }
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", DigestKey::new(*b"0123456789abcdef")).matches("0123").count(), 0);
        assert!(!format!("{:?}", DigestKey::new([7; 16])).contains("7, 7"));
    }
}
