//! The server: what holds for every route, and a stop that finishes what was begun.

use std::{any::Any, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    http::{Method, StatusCode, Uri},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    serve::ListenerExt,
};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;

use crate::{extract::MAX_BODY_BYTES, foreign, problem::Problem};

/// How long one request may take.
pub const REQUEST: Duration = Duration::from_secs(30);
/// How long a request is held while routes are exchanged.
const HELD: Duration = Duration::from_secs(10);
/// Requests that are held at once.
const MOST_HELD: usize = 1_000;
/// How long a stop waits for requests under way.
pub const DRAIN: Duration = Duration::from_secs(10);

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Others could reach it, and nothing would ask them who they are.
    #[error(
        "{0} can be reached from other machines, and there is no access control yet: use 127.0.0.1:{port} and a proxy \
         or an SSH tunnel in front of it",
        port = .0.port()
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("{address} cannot be listened on ({cause}): is another process there already?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The socket failed.
    #[error("the socket failed: {0}")]
    Io(#[from] std::io::Error),
}

/// Opens a socket on a loopback address.
///
/// # Errors
/// [`ServeError::NotLoopback`] for any other address, [`ServeError::Bind`] if it cannot be had.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    check_loopback(address)?;
    TcpListener::bind(address).await.map_err(|cause| ServeError::Bind { address, cause })
}

/// Serves until `shutdown` is ready. Then nothing more is accepted, and requests under way have ten seconds to end.
///
/// # Errors
/// [`ServeError`] if the listener is not on a loopback address or the socket fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_exchanged(listener, &Exchange::new(guarded(router)), shutdown).await
}

/// The same with routes that can be exchanged meanwhile.
///
/// # Errors
/// As [`serve`].
pub async fn serve_exchanged(
    listener: TcpListener,
    routes: &Exchange,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    check_loopback(listener.local_addr()?)?;
    let (told, stopping) = watch::channel(false);
    let router = routes.router().layer(Extension(Stopping(stopping.clone())));
    let listener = listener.tap_io(|stream| {
        // Answers are small: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        shutdown.await;
        told.send_replace(true);
    });
    tokio::select! {
        ended = server.into_future() => Ok(ended?),
        () = overdue(stopping) => {
            tracing::warn!(after = ?DRAIN, "requests were still under way at the stop; they are cut off");
            Ok(())
        }
    }
}

async fn overdue(stopping: watch::Receiver<bool>) {
    Stopping(stopping).begun().await;
    tokio::time::sleep(DRAIN).await;
}

/// Whether the server stops: whoever waits in a request for what may come then answers with what there is.
#[derive(Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Ready once the stop has begun; never, if the server ends in another way.
    pub async fn begun(mut self) {
        if self.0.wait_for(|stopping| *stopping).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Routes that can be exchanged while a server runs: those of a process that waits for those of one that leads.
#[derive(Clone)]
pub struct Exchange {
    /// None while requests are held.
    routes: watch::Sender<Option<Router>>,
    /// Requests that have begun and not ended.
    under_way: watch::Sender<usize>,
    /// Room for requests that are held.
    room: Arc<Semaphore>,
}

impl Exchange {
    /// With these at first, which are [`guarded`] or need not be.
    pub fn new(routes: Router) -> Self {
        Self {
            routes: watch::Sender::new(Some(routes)),
            under_way: watch::Sender::new(0),
            room: Arc::new(Semaphore::new(MOST_HELD)),
        }
    }

    /// These from the next request on; requests under way end where they began.
    pub fn set(&self, routes: Router) {
        let _before = self.routes.send_replace(Some(routes));
    }

    /// Holds requests from now on until other routes are set: each waits for them, ten seconds and a thousand requests at most;
    /// what is more is refused with 503. Ready when the requests under way have ended, or after so long.
    pub async fn hold(&self, long: Duration) {
        let _before = self.routes.send_replace(None);
        // Who waits for what comes later ends with what there is, or is cut off.
        let _ = timeout(long, self.under_way.subscribe().wait_for(|requests| *requests == 0)).await;
    }

    /// What is served.
    fn router(&self) -> Router {
        let exchange = self.clone();
        Router::new().fallback(move |request: Request| {
            let exchange = exchange.clone();
            async move {
                match exchange.now().await {
                    Some((routes, _under_way)) => routes.oneshot(request).await.into_response(),
                    None => {
                        let detail = "this app changes its place, and takes longer than usual: send it again, with the same \
                                      Idempotency-Key";
                        Problem::unavailable("held", detail).retry_after(1).into_response()
                    }
                }
            }
        })
    }

    /// The routes for a request that begins now, once there are some.
    async fn now(&self) -> Option<(Router, UnderWay)> {
        let mut seen = self.routes.subscribe();
        // Counted before it is looked: who holds waits for it, or it sees that it is held.
        let counted = UnderWay::in_(&self.under_way);
        let now = seen.borrow().clone();
        if let Some(routes) = now {
            return Some((routes, counted));
        }
        drop(counted);
        let _place = self.room.try_acquire().ok()?;
        let set = timeout(HELD, seen.wait_for(Option::is_some)).await;
        let routes = set.ok()?.ok()?.clone()?;
        Some((routes, UnderWay::in_(&self.under_way)))
    }
}

/// A request that has begun.
struct UnderWay(watch::Sender<usize>);

impl UnderWay {
    fn in_(all: &watch::Sender<usize>) -> Self {
        all.send_modify(|requests| *requests += 1);
        Self(all.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|requests| *requests -= 1);
    }
}

fn check_loopback(address: SocketAddr) -> Result<(), ServeError> {
    if address.ip().to_canonical().is_loopback() { Ok(()) } else { Err(ServeError::NotLoopback(address)) }
}

/// Routes with what holds for all of them: a panic is a 500, 30 seconds at most, bodies of 1 MiB at most, problems for
/// unknown paths and methods; and pages of other sites in somebody's browser neither read nor do anything here.
/// [`serve`] does it; tests that call a router without a socket do it themselves.
pub fn guarded<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn(in_time))
        .layer(from_fn(foreign::refused))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
}

async fn no_such_path(uri: Uri) -> Problem {
    Problem::missing("no_such_path", format!("there is nothing at {}", uri.path()))
}

async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not answer {method}; the header Allow says what it answers", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "no_such_method", detail)
}

async fn in_time(request: Request, next: Next) -> Response {
    match timeout(REQUEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!(
                "this took more than {} s and it is unknown how it ended: send it again with the same Idempotency-Key",
                REQUEST.as_secs()
            );
            Problem::unavailable("timed_out", detail).into_response()
        }
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a request panicked");
    let detail = "the server failed on this request; its log says why";
    Problem::internal("panicked", detail).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{
        body::Body,
        extract::Path,
        http::header,
        routing::{get, post},
    };

    async fn ask(method: Method, path: &str) -> Response {
        async fn panics() -> &'static str {
            panic!("on purpose")
        }
        let router = Router::new()
            .route("/panics", get(panics))
            .route("/stuck", get(std::future::pending::<&'static str>))
            .route("/posted", post(async || "thanks"));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        guarded(router).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_problem() {
        let response = ask(Method::GET, "/panics").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[header::CONTENT_TYPE], crate::problem::MEDIA_TYPE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_a_problem() {
        assert_eq!(ask(Method::GET, "/stuck").await.status(), 503);
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_are_problems() {
        let response = ask(Method::GET, "/nowhere").await;
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[header::CONTENT_TYPE], crate::problem::MEDIA_TYPE);
        let response = ask(Method::GET, "/posted").await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()[header::ALLOW], "POST");
        assert_eq!(response.headers()[header::CONTENT_TYPE], crate::problem::MEDIA_TYPE);
    }

    #[tokio::test]
    async fn routes_are_exchanged_while_they_are_served() {
        let exchange = Exchange::new(guarded(Router::new().route("/a", get(async || "first"))));
        let router = exchange.router();
        let ask = async |path: &str| {
            let request = Request::builder().uri(path).body(Body::empty()).unwrap();
            let response = router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            (status, axum::body::to_bytes(response.into_body(), 16_384).await.unwrap())
        };
        assert_eq!(ask("/a").await, (200, "first".into()));
        let named = get(async |Path(name): Path<String>| name);
        let second = Router::new().route("/a", get(async || "second")).route("/", get(async || "root"));
        exchange.set(guarded(second.route("/named/{name}", named)));
        assert_eq!(ask("/a").await, (200, "second".into()));
        assert_eq!(ask("/").await, (200, "root".into()));
        assert_eq!(ask("/named/tea").await, (200, "tea".into()));
        let (status, body) = ask("/nowhere").await;
        assert_eq!(status, 404);
        assert!(String::from_utf8_lossy(&body).contains("no_such_path"), "{body:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_held_is_answered_by_the_next_routes_or_refused() {
        let slow = get(async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            "before"
        });
        let exchange = Exchange::new(Router::new().route("/a", slow));
        let ask = || {
            let request = Request::builder().uri("/a").body(Body::empty()).unwrap();
            tokio::spawn(exchange.router().oneshot(request))
        };
        let text = async |answer: tokio::task::JoinHandle<Result<Response, std::convert::Infallible>>| {
            let response = answer.await.unwrap().unwrap();
            let status = response.status().as_u16();
            (status, axum::body::to_bytes(response.into_body(), 16_384).await.unwrap())
        };
        let began = tokio::time::Instant::now();
        let before = ask();
        tokio::task::yield_now().await;
        exchange.hold(Duration::from_secs(5)).await;
        assert_eq!(began.elapsed(), Duration::from_secs(1), "what is under way is waited for");
        assert_eq!(text(before).await, (200, "before".into()));
        let held = ask();
        tokio::task::yield_now().await;
        assert!(!held.is_finished());
        exchange.set(Router::new().route("/a", get(async || "after")));
        assert_eq!(text(held).await, (200, "after".into()));

        exchange.hold(Duration::ZERO).await;
        let waits: Vec<_> = (0..MOST_HELD).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        assert_eq!(text(ask()).await.0, 503, "no more than so many are held");
        for held in waits {
            assert_eq!(text(held).await.0, 503, "none is held for ever");
        }
        assert_eq!(began.elapsed(), Duration::from_secs(1) + HELD);
    }

    #[tokio::test]
    async fn only_loopback_is_listened_on() {
        let refused = listen("0.0.0.0:0".parse().unwrap()).await.unwrap_err();
        assert!(refused.to_string().contains("use 127.0.0.1"), "{refused}");
        assert!(listen("[::]:0".parse().unwrap()).await.is_err());
        let taken = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let again = listen(taken.local_addr().unwrap()).await.unwrap_err();
        assert!(again.to_string().contains("another process"), "{again}");
    }
}
