//! The HTTP side of the monitor: a thread with a runtime of its own that answers from the newest snapshot.
//!
//! Owns the thread, the limits of its connections, and the three answers. It knows nothing of the shard but the place where
//! snapshots lie.

use super::families::expose;
use super::publish::Publisher;
use super::snapshot::{Latest, Snapshot};
use crate::ha::State;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

/// Connections of one listener at a time. One more closes the oldest: a scrape takes milliseconds, so that is one that
/// stalls.
const CONNECTIONS_MAX: usize = 64;
/// How long the head of a request may take, and one connection as a whole.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of a request's head. Bodies are not read.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Without a free descriptor nothing can be accepted for a while.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// The text format of Prometheus.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const WORDS_TYPE: &str = "text/plain; charset=utf-8";

/// The monitor's thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Monitor {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// Answers on `listeners`. The publisher is for the shard.
    ///
    /// # Errors
    /// The operating system gives no thread, or no poll for it.
    pub(crate) fn start(listeners: Vec<TcpListener>) -> io::Result<(Monitor, Publisher)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        listeners.iter().try_for_each(|listener| listener.set_nonblocking(true))?;
        let latest = Latest::default();
        let pages = Arc::new(Pages::new(latest.clone()));
        let (stop, stopped) = oneshot::channel();
        let begun = {
            let _entered = runtime.enter();
            listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<Vec<_>>>()?
        };
        let thread = std::thread::Builder::new().name("monitor".to_string()).spawn(move || {
            runtime.block_on(async {
                let mut accepting = JoinSet::new();
                for listener in begun {
                    accepting.spawn(accept(listener, pages.clone()));
                }
                // Also when the other end is gone.
                let _ = stopped.await;
            });
        })?;
        Ok((Monitor { stop: Some(stop), thread: Some(thread) }, Publisher::new(latest)))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && let Err(panic) = thread.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Accepts for ever. What it accepted ends with it.
async fn accept(listener: tokio::net::TcpListener, pages: Arc<Pages>) {
    let mut connections = JoinSet::new();
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        // The server's own listeners say in the log that there is no descriptor.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connections.spawn(tokio::time::timeout(PATIENCE, converse(stream, pages.clone()))));
    }
}

/// One request and its answer.
async fn converse(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let pages = pages.clone();
        async move { Ok::<_, Infallible>(pages.answer(request.method(), request.uri().path())) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever asked has gone, or spoke no HTTP: nobody is left to be told.
    let _ = served.await;
}

/// What there is to be read.
#[derive(Debug)]
struct Pages {
    latest: Latest,
    /// The metrics of the snapshot that they were made of: asking more often costs no more.
    metrics: Mutex<Option<(Arc<Snapshot>, Bytes)>>,
}

impl Pages {
    fn new(latest: Latest) -> Pages {
        Pages { latest, metrics: Mutex::new(None) }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            let mut answer = words(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            answer.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return answer;
        }
        let snapshot = self.latest.get();
        match path {
            "/isLive" => live(snapshot.as_deref()),
            "/isReady" => ready(snapshot.as_deref()),
            "/metrics" => match snapshot {
                Some(snapshot) => respond(StatusCode::OK, METRICS_TYPE, self.metrics(snapshot)),
                None => words(StatusCode::SERVICE_UNAVAILABLE, STARTS),
            },
            _ => words(StatusCode::NOT_FOUND, "There are /isLive, /isReady and /metrics\n"),
        }
    }

    fn metrics(&self, snapshot: Arc<Snapshot>) -> Bytes {
        let mut made = self.metrics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, page)) = &*made
            && Arc::ptr_eq(of, &snapshot)
        {
            return page.clone();
        }
        let page = Bytes::from(expose(&snapshot));
        *made = Some((snapshot, page.clone()));
        page
    }
}

const STARTS: &str = "STARTING\n";
const STANDS_STILL: &str = "the server's loop stands still\n";

/// The process runs, and its loop turned within the last five seconds.
fn live(snapshot: Option<&Snapshot>) -> Response<Full<Bytes>> {
    match snapshot {
        Some(snapshot) if !snapshot.is_live() => words(StatusCode::SERVICE_UNAVAILABLE, STANDS_STILL),
        _ => words(StatusCode::OK, "live\n"),
    }
}

/// The same, and it is active.
fn ready(snapshot: Option<&Snapshot>) -> Response<Full<Bytes>> {
    match snapshot {
        None => words(StatusCode::SERVICE_UNAVAILABLE, STARTS),
        Some(snapshot) if !snapshot.is_live() => words(StatusCode::SERVICE_UNAVAILABLE, STANDS_STILL),
        Some(snapshot) if snapshot.state == State::Active => words(StatusCode::OK, "ACTIVE\n"),
        Some(snapshot) => words(StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", snapshot.state)),
    }
}

fn words(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, WORDS_TYPE, text.into())
}

fn respond(status: StatusCode, content: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content));
    answer
}
