//! The embedded log: bytes in, bytes out.
