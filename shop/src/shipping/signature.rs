//! Who says that a parcel is there: the carrier signs its news with a secret that it shares with the shop.
//!
//! `Carrier-Signature: sha256=<hex>`, where the hex digits are the HMAC-SHA256 (RFC 2104) of the body, byte by byte as it is
//! sent, under the secret. As a shell makes it: `openssl dgst -sha256 -hmac "$SECRET" body.json`. News may be sent again as
//! they were: what is known already changes nothing.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header of a signature.
pub const HEADER: &str = "carrier-signature";
/// What the header begins with: the method.
const METHOD: &str = "sha256=";
/// Bytes that a secret must have: fewer can be guessed.
pub const LEAST_BYTES: usize = 16;

/// What the shop and the carrier know, and nobody else.
#[derive(Clone)]
pub struct Secret(Hmac<Sha256>);

/// A secret that is too short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the carrier's secret has {0} bytes; it needs {LEAST_BYTES} or more: make one with `openssl rand -hex 32`")]
pub struct TooShort(usize);

impl Secret {
    /// A secret as a file or a variable holds it: without the line's end.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn new(text: &[u8]) -> Result<Self, TooShort> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let too_short = TooShort(text.len());
        if text.len() < LEAST_BYTES {
            return Err(too_short);
        }
        Hmac::new_from_slice(text).map(Self).map_err(|_| too_short)
    }

    /// The header's value for a body.
    pub fn sign(&self, body: &[u8]) -> String {
        let digits = self.mac(body).finalize().into_bytes();
        digits.iter().fold(METHOD.to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// Whether somebody who knows the secret sent this body. It takes as long for any wrong signature.
    pub fn signed(&self, header: &[u8], body: &[u8]) -> bool {
        let digits = header.strip_prefix(METHOD.as_bytes()).and_then(bytes);
        digits.is_some_and(|digits| self.mac(body).verify_slice(&digits).is_ok())
    }

    fn mac(&self, body: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(body)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Hex digits as bytes.
fn bytes(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 6: a key that is longer than a block.
    const DIGEST: &str = "sha256=60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
    const TEXT: &[u8] = b"Test Using Larger Than Block-Size Key - Hash Key First";

    #[test]
    fn signs_as_the_standard_says() {
        let secret = Secret::new(&[0xaa; 131]).unwrap();
        assert_eq!(secret.sign(TEXT), DIGEST);
        assert!(secret.signed(DIGEST.as_bytes(), TEXT));
        assert!(secret.signed(DIGEST.to_uppercase().replace("SHA256", "sha256").as_bytes(), TEXT));
    }

    #[test]
    fn nothing_else_is_signed() {
        let secret = Secret::new(&[0xaa; 131]).unwrap();
        let cut = &DIGEST[..DIGEST.len() - 1];
        let bare = &DIGEST["sha256=".len()..];
        let longer = format!("{DIGEST}00");
        let other = DIGEST.replacen("60e4", "60e5", 1);
        for header in ["", "sha256=", "sha256=\u{e4}\u{f6}", cut, bare, &longer, &other] {
            assert!(!secret.signed(header.as_bytes(), TEXT), "{header}");
        }
        assert!(!secret.signed(DIGEST.as_bytes(), &TEXT[1..]));
        assert!(!Secret::new(&[0xab; 131]).unwrap().signed(DIGEST.as_bytes(), TEXT));
    }

    #[test]
    fn a_secret_is_long_enough_and_is_not_told() {
        assert_eq!(Secret::new(b"0123456789abcde\r\n").unwrap_err(), TooShort(15));
        let [plain, line, crlf] = [&b"0123456789abcdef"[..], b"0123456789abcdef\n", b"0123456789abcdef\r\n"]
            .map(|text| Secret::new(text).unwrap());
        assert_eq!((plain.sign(b"x"), plain.sign(b"x")), (line.sign(b"x"), crlf.sign(b"x")));
        assert_eq!(format!("{plain:?}"), "Secret");
    }
}
