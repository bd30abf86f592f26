//! The same over a socket, where a request may also be no HTTP: each is answered, and the shop serves the next.

use std::{net::SocketAddr, time::Duration};

use fastrand::Rng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    routes::{BODIES, Case, drawn},
    world::World,
};

/// Requests.
const CASES: usize = 300;
/// A server that takes so long has lost the request.
const LOST: Duration = Duration::from_secs(20);

/// What a request is on the wire, and what may become of it on its way; and whether it is still a whole one.
fn wire(case: &Case, random: &mut Rng) -> (Vec<u8>, bool) {
    let mut head = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", case.method, case.path).into_bytes();
    for (name, value) in &case.headers {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let mut body = case.body.clone();
    let mut whole = !case.headers.iter().any(|(name, _)| *name == "content-length");
    match random.u8(..6) {
        0 => {
            head.extend(b"transfer-encoding: chunked\r\n\r\n");
            let chunks = body.chunks(random.usize(1..5_000));
            body = chunks
                .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
                .collect();
            body.extend(b"0\r\n\r\n");
        }
        // It ends before it is whole, or behind it.
        1 => {
            let announced = (body.len() + random.usize(..17)).saturating_sub(8);
            head.extend(format!("content-length: {announced}\r\n\r\n").bytes());
            whole = false;
        }
        _ => head.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes()),
    }
    if random.u8(..6) == 0 {
        whole = false;
        let at = random.usize(..head.len());
        match random.u8(..5) {
            0 => head[at] = random.u8(..),
            1 => drop(head.splice(at..at, [b'\r', b'\n'])),
            2 => drop(head.splice(at..at, (0..200).flat_map(|_| *b"\r\nx: y"))),
            3 => head.truncate(at),
            _ => drop(head.splice(at..at, b"x".repeat(100_000))),
        }
    }
    ([head, body].concat(), whole)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_over_a_socket_is_answered_and_the_next_is_served() {
    let mut random = Rng::with_seed(1);
    let mut world = World::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let router = world.router.clone();
    let server = tokio::spawn(factum::http::serve(listener, router, async move { _ = stopped.await }));
    for round in 0..CASES {
        let case = drawn(&BODIES[random.usize(..BODIES.len())], &world, &mut random);
        let (sent, whole) = wire(&case, &mut random);
        let answer = tokio::time::timeout(LOST, ask(address, &sent, whole)).await.expect("the server answers in time");
        let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
        let refused = status.is_some_and(|status| (200..500).contains(&status));
        assert!(
            refused && answer.starts_with(b"HTTP/1.1 ") || !whole && answer.is_empty(),
            "round {round}: {}\nto {}",
            answer.escape_ascii(),
            sent[..sent.len().min(3_000)].escape_ascii()
        );
        world.app.rest().await.unwrap();
    }
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    world.is_well().await;
}

/// Sends bytes and reads what comes until the end. Behind what is not whole nothing more is sent.
async fn ask(address: SocketAddr, sent: &[u8], whole: bool) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let mut answer = Vec::new();
    let sending = async {
        // A server need not read all of what it refuses.
        let _ = write.write_all(sent).await;
        if !whole {
            let _ = write.shutdown().await;
        }
    };
    let (_, _) = tokio::join!(sending, read.read_to_end(&mut answer));
    answer
}
