//! A line to a server that is cut around its next commit: a `COMMIT`, or a call of the function that commits at once.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

/// What happens to the line when `COMMIT` comes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The server never hears of it.
    Before = 1,
    /// The server does it, and its answer is lost: the dark.
    Behind,
    /// It is lost, and the line stays.
    Silent,
}

const WHOLE: u8 = 0;

/// A line on this machine to a server of PostgreSQL. It lives as long as the process.
pub struct Line {
    port: u16,
    next: Arc<AtomicU8>,
}

impl Line {
    /// A line to this port of the machine.
    ///
    /// # Errors
    /// There is no port for it.
    pub fn to(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let line = Self { port: listener.local_addr()?.port(), next: Arc::default() };
        let next = line.next.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                // A session that cannot be passed on is one that was cut.
                _ = pass_on(client, server, next.clone());
            }
        });
        Ok(line)
    }

    /// Where it begins.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it at the next commit, once.
    pub fn cut(&self, how: Cut) {
        self.next.store(how as u8, Ordering::SeqCst);
    }

    /// Whether what [`Line::cut`] asked for has happened.
    pub fn was_cut(&self) -> bool {
        self.next.load(Ordering::SeqCst) == WHOLE
    }
}

fn pass_on(client: TcpStream, server: TcpStream, next: Arc<AtomicU8>) -> io::Result<()> {
    let is_cut = Arc::new(AtomicBool::new(false));
    let (mut from, mut to, cut) = (server.try_clone()?, client.try_clone()?, is_cut.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            // What is told behind the cut is lost; a server that cannot tell it would not commit.
            if !cut.load(Ordering::SeqCst) && to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        _ = to.shutdown(Shutdown::Both);
    });
    let (mut from, mut to) = (client, server);
    std::thread::spawn(move || {
        // Large enough for most commits to come through it as one.
        let (mut bytes, mut at_once) = (vec![0; 1 << 20], None);
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            let commits = commits(&bytes[..count], &mut at_once);
            let how = if commits { next.swap(WHOLE, Ordering::SeqCst) } else { WHOLE };
            if how == Cut::Silent as u8 {
                continue;
            }
            is_cut.fetch_or(how != WHOLE, Ordering::SeqCst);
            if how == Cut::Before as u8 || to.write_all(&bytes[..count]).is_err() || how != WHOLE {
                break;
            }
        }
        // The server sees the end of what it was sent, and carries that out first.
        _ = to.shutdown(Shutdown::Write);
        _ = from.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// The function that commits at once.
const AT_ONCE: &[u8] = b"FROM commit_at_once(";

/// Whether a client commits with what it sends. By which name it calls the function is known from when it prepared that.
fn commits(bytes: &[u8], at_once: &mut Option<Vec<u8>>) -> bool {
    let called = |name: &Vec<u8>| {
        // Bind: its length, the portal without a name, and the statement's name.
        let end = 7 + name.len();
        bytes
            .windows(end)
            .any(|part| part[0] == b'B' && part[5] == 0 && part[6..end - 1] == **name && part[end - 1] == 0)
    };
    let is_call = at_once.as_ref().is_some_and(called);
    if let Some(query) = bytes.windows(AT_ONCE.len()).position(|part| part == AT_ONCE) {
        // Parse: its length, the statement's name, and behind that the query.
        let before = &bytes[..query];
        let end = before.iter().rposition(|byte| *byte == 0).unwrap_or_default();
        let begin = before[..end].iter().rposition(|byte| !byte.is_ascii_alphanumeric()).map_or(0, |at| at + 1);
        *at_once = Some(before[begin..end].to_vec());
    }
    is_call || bytes.windows(6).any(|part| part == b"COMMIT")
}
