//! As much of an HTTP client as a measurement needs: one request after the other on connections that stay open.

use std::{net::SocketAddr, sync::Mutex, sync::PoisonError};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Connections to one server.
pub struct Client {
    server: SocketAddr,
    idle: Mutex<Vec<BufReader<TcpStream>>>,
}

impl Client {
    /// A client without connections; they are opened as they are needed.
    pub fn new(server: SocketAddr) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// Posts a JSON body under an idempotency key; answers the status.
    ///
    /// # Errors
    /// If the connection fails or the answer is no HTTP.
    pub async fn post(&self, path: &str, key: &str, body: &str) -> anyhow::Result<u16> {
        let free = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match free {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.server).await?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        let (server, length) = (self.server, body.len());
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        connection.write_all(request.as_bytes()).await?;
        let status = answer(&mut connection).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(status)
    }
}

async fn answer(connection: &mut BufReader<TcpStream>) -> anyhow::Result<u16> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the server closed")?;
    let mut length = None;
    loop {
        line.clear();
        connection.read_line(&mut line).await?;
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse().ok(),
            Some(_) => {}
            None => break,
        }
    }
    let Some(length) = length else { bail!("the answer does not say how long it is") };
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await?;
    if status >= 400 {
        bail!("status {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(status)
}
