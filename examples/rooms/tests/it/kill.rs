//! The program is killed in the middle: what was answered is there when it starts again, and goes on.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

/// The program on a directory, at the address that it says.
fn start(data: &Path) -> (Child, String) {
    let program = Command::new(env!("CARGO_BIN_EXE_rooms")).arg(data).arg("127.0.0.1:0").stdout(Stdio::piped()).spawn();
    let mut program = program.unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (program, line.trim().trim_start_matches("http://").to_owned())
}

fn ask(address: &str, head: &str, body: &str) -> (String, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n")
        .unwrap();
    write!(stream, "Idempotency-Key: k1\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let position = head.lines().find_map(|line| line.strip_prefix("factum-position: ")).unwrap_or_default();
    (position.to_owned(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

#[test]
fn what_was_answered_survives_a_kill_and_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let (mut program, address) = start(data.path());
    let wish = r#"{"room":"7","night":"2026-05-01","guests":["ada"]}"#;
    let (position, booking) = ask(&address, "POST /bookings", wish);
    program.kill().unwrap();
    program.wait().unwrap();

    let (mut program, address) = start(data.path());
    let id = booking["bookingId"].as_str().unwrap();
    // Each asks for what the answer stood for; the process goes on meanwhile.
    let status = || ask(&address, &format!("GET /bookings/{id}?after={position}"), "").1["status"].clone();
    while status() == "open" {}
    assert_eq!(status(), "confirmed");
    let (_, again) = ask(&address, "POST /bookings", wish);
    assert_eq!(again["bookingId"], booking["bookingId"], "the same request is the same booking");
    program.kill().unwrap();
    program.wait().unwrap();
}
