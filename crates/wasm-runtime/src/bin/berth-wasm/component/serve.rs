//! Serving a `wasi:http` component: HTTP/1 on the first exposed port, else 8080.
//!
//! ```text
//! connection ─► task ─► request ─► instance: 0.2 a fresh one each, 0.3 up to 128 requests, 16 at once
//! SIGTERM ─► no new connections ─► the ones there finish their request ─► end with 0
//! a second signal ─► end with 128 + n
//! ```

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use berth_contract::{Class, Error, Result, Signal};
use berth_sys::signals::Signals;
use berth_wasm_runtime::configuration::Configuration;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Engine, Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyHandler, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState,
    WorkerStatus,
};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error as HttpError, WasiBody, WasiHttpView as _};

use super::State;
use super::clock::Clock;
use crate::ending::{self, Outcome};
use crate::guest::Memory;

/// The port where none is exposed.
const DEFAULT_PORT: u16 = 8080;
/// How many requests are worked on at once; further ones wait.
const MOST_REQUESTS: usize = 1024;
/// What one instance of a 0.3 component serves, as `wasmtime serve` has it.
const REQUESTS_PER_INSTANCE: usize = 128;
const CONCURRENT_PER_INSTANCE: usize = 16;
const IDLE: Duration = Duration::from_secs(1);

/// The port a component is served on.
pub(super) fn port(configuration: &Configuration) -> u16 {
    configuration.ports.first().copied().unwrap_or(DEFAULT_PORT)
}

/// Serves until a signal comes and the last request is done.
pub(super) async fn serve(server: Server, port: u16, signals: Signals) -> Result<Outcome> {
    let failed = |error: io::Error| {
        Error::new(Class::CannotInvoke, format!("cannot serve on port {port}")).caused_by(error)
    };
    let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
            .await
            .map_err(failed)?,
    };
    let signals = watched(signals).map_err(failed)?;
    let patience = server.configuration.head_patience;
    let handler = ProxyHandler::new(server);
    let requests = Arc::new(Semaphore::new(MOST_REQUESTS));
    let (drain, draining) = watch::channel(false);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let requests = Arc::clone(&requests);
                    tokio::spawn(connection(stream, patience, (handler.clone(), requests), draining.clone()));
                }
                // The connection is gone again, or no descriptor is left: either passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            _ = next(&signals) => break,
        }
    }
    drop((listener, draining));
    drain.send_replace(true);
    tokio::select! {
        () = drain.closed() => Ok(Outcome::Status(0)),
        signal = next(&signals) => Ok(Outcome::Status(128 + signal.number())),
    }
}

#[expect(
    deprecated,
    reason = "the replacement is unsafe; `Signals` owns its descriptor and keeps its contract"
)]
fn watched(signals: Signals) -> io::Result<AsyncFd<Descriptor>> {
    AsyncFd::with_interest(Descriptor(signals), Interest::READABLE)
}

/// Signals as the event loop wants them.
struct Descriptor(Signals);

impl std::os::fd::AsRawFd for Descriptor {
    fn as_raw_fd(&self) -> i32 {
        berth_sys::fd::number(&self.0)
    }
}

async fn next(signals: &AsyncFd<Descriptor>) -> Signal {
    loop {
        let Ok(mut guard) = signals.readable().await else {
            continue;
        };
        if let Ok(Some(signal)) = signals.get_ref().0.next() {
            return signal;
        }
        guard.clear_ready();
    }
}

async fn connection(
    stream: TcpStream,
    patience: Duration,
    (handler, requests): (ProxyHandler<Server>, Arc<Semaphore>),
    mut draining: watch::Receiver<bool>,
) {
    // Every request holds a copy until its answer is out.
    let own = Arc::new(());
    let busy = Arc::downgrade(&own);
    let service = service_fn(move |request| {
        let (handler, requests, token) = (handler.clone(), Arc::clone(&requests), Arc::clone(&own));
        async move {
            let response = answer(&handler, &requests, request).await;
            let held = response.map(|body| body.map_err(move |error| held(error, &token)));
            Ok::<_, std::convert::Infallible>(held)
        }
    });
    let connection = http1::Builder::new()
        .timer(Clock)
        .header_read_timeout(patience)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What goes wrong on a connection is the client's to see.
        _ = connection.as_mut() => return,
        _ = draining.wait_for(|is_draining| *is_draining) => connection.as_mut().graceful_shutdown(),
    }
    // The service holds one; who has sent no whole request is not waited for.
    if busy.strong_count() > 1 {
        connection.await.ok();
    }
}

fn held(error: HttpError, _token: &Arc<()>) -> HttpError {
    error
}

async fn answer(
    handler: &ProxyHandler<Server>,
    requests: &Semaphore,
    request: Request<Incoming>,
) -> Response<UnsyncBoxBody<Bytes, HttpError>> {
    // The semaphore is never closed.
    let _permit = requests.acquire().await;
    let request: Request<WasiBody> =
        request.map(|body| body.map_err(HttpError::from).boxed_unsync());
    match handler.handle((), request).await {
        Ok(response) => response,
        Err(error) => {
            // The instance's end has told of a trap already.
            if !error.is::<wasmtime::Trap>() {
                complain(&format!("wasi:http request failed: {error:#}\n"));
            }
            let mut response = Response::new(
                Full::new(Bytes::new())
                    .map_err(HttpError::from)
                    .boxed_unsync(),
            );
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// A failed request is a line in the container's log; the server goes on.
fn complain(text: &str) {
    io::stderr().write_all(text.as_bytes()).ok();
}

/// What makes instances.
pub(super) struct Server {
    pub(super) engine: Engine,
    pub(super) component: ProxyPre<State>,
    pub(super) configuration: Configuration,
    pub(super) memory: Memory,
}

impl HandlerState for Server {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let state = State::new(&self.configuration, self.memory.clone(), false)
            .map_err(|error| wasmtime::Error::msg(error.to_string()))?;
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limits);
        let proxy = self.component.instantiate_async(&mut store).await?;
        let is_reusable = matches!(self.component, ProxyPre::P3(_));
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration {
                is_reusable,
                idle: None,
            },
            state: Worker { is_reusable },
        })
    }
}

/// How many requests an instance takes.
pub(super) struct Worker {
    is_reusable: bool,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        let most = if self.is_reusable {
            REQUESTS_PER_INSTANCE
        } else {
            1
        };
        if total >= most {
            ShouldAccept::Never
        } else if concurrent >= CONCURRENT_PER_INSTANCE {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    /// Requests have no time limit of ours, as those of a native server have none.
    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, State>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _store: Store<State>, result: Result<(), wasmtime::Error>) {
        if let Err(error) = result {
            complain(&ending::description(&error));
        }
    }
}

/// When an instance that has nothing to do is dropped.
pub(super) struct Expiration {
    is_reusable: bool,
    idle: Option<Pin<Box<Sleep>>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        if status != WorkerStatus::Idle {
            self.idle = None;
            return Poll::Pending;
        }
        if !self.is_reusable {
            return Poll::Ready(());
        }
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until((start + IDLE).into())));
        idle.as_mut().poll(context)
    }
}
