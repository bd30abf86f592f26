//! The log from outside: what it keeps, what it refuses, and what it does when the disk or the bytes fail.

#[test]
fn x() {}
