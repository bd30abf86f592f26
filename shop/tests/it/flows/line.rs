//! The line to somebody outside, which can be cut: what goes over it breaks off until it is mended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};

pub struct Line {
    /// The end on our side, `host:port`.
    pub address: String,
    cut: Arc<AtomicBool>,
}

impl Line {
    /// A cut line to an address with a scheme, such as `http://127.0.0.1:80`.
    pub async fn cut_to(far: &str) -> Self {
        let far = far.split_once("://").unwrap().1.trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let cut = Arc::new(AtomicBool::new(true));
        let is_cut = cut.clone();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let mut far = TcpStream::connect(&far).await.unwrap();
                tokio::spawn(async move { _ = copy_bidirectional(&mut near, &mut far).await });
            }
        });
        Self { address, cut }
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}
