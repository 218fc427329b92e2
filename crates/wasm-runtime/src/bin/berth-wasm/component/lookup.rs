//! `wasi:sockets/ip-name-lookup` over our own resolver, in front of wasmtime's, which asks the C library.

use std::net::IpAddr;
use std::vec::IntoIter;

use tokio::task::JoinHandle;
use wasmtime::component::{Accessor, HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::WasiView as _;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup as v2;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network};
use wasmtime_wasi::p2::{DynPollable, IoError, Pollable, SocketError, subscribe};
use wasmtime_wasi::p3::bindings::sockets::{ip_name_lookup as v3, types};

use super::State;
use super::names::{self, Failure};

/// The interface's implementation, over a guest's resources.
struct Lookup;

struct View<'a>(&'a mut ResourceTable);

impl HasData for Lookup {
    type Data<'a> = View<'a>;
}

/// Puts our look-up in front of wasmtime's, for the versions that are there.
pub(super) fn add(linker: &mut Linker<State>, versions: super::Versions) -> wasmtime::Result<()> {
    if versions.second {
        v2::add_to_linker::<State, Lookup>(linker, |state| View(state.ctx().table))?;
    }
    if versions.third {
        v3::add_to_linker::<State, Lookup>(linker, |state| View(state.ctx().table))?;
    }
    Ok(())
}

/// Addresses that are on their way.
enum Stream {
    Asking(JoinHandle<Result<Vec<IpAddr>, Failure>>),
    Answered(Result<IntoIter<IpAddr>, Failure>),
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {
        if let Self::Asking(task) = self {
            let answer = task.await.unwrap_or(Err(Failure::Temporary));
            *self = Self::Answered(answer.map(Vec::into_iter));
        }
    }
}

/// The bindings name wasmtime's own type of stream; the table keeps ours under the same number.
fn ours(stream: &Resource<v2::ResolveAddressStream>) -> Resource<Stream> {
    Resource::new_borrow(stream.rep())
}

/// The bindings want errors converted by the same type that makes them.
impl network::Host for View<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(
        &mut self,
        error: Resource<IoError>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.0.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(ErrorCode::from))
    }
}

impl network::HostNetwork for View<'_> {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.0.delete(network)?;
        Ok(())
    }
}

impl v2::Host for View<'_> {
    fn resolve_addresses(
        &mut self,
        network: Resource<Network>,
        name: String,
    ) -> Result<Resource<v2::ResolveAddressStream>, SocketError> {
        self.0.get(&network)?;
        let task = tokio::spawn(async move { names::resolve(&name).await });
        let stream = self.0.push(Stream::Asking(task))?;
        Ok(Resource::new_own(stream.rep()))
    }
}

impl v2::HostResolveAddressStream for View<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<v2::ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        match self.0.get_mut(&ours(&stream))? {
            Stream::Asking(_) => Err(ErrorCode::WouldBlock.into()),
            Stream::Answered(Ok(addresses)) => Ok(addresses.next().map(IpAddress::from)),
            Stream::Answered(Err(failure)) => Err(code(*failure).into()),
        }
    }

    fn subscribe(
        &mut self,
        stream: Resource<v2::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        subscribe(self.0, ours(&stream))
    }

    fn drop(&mut self, stream: Resource<v2::ResolveAddressStream>) -> wasmtime::Result<()> {
        if let Stream::Asking(task) = self.0.delete(Resource::<Stream>::new_own(stream.rep()))? {
            task.abort();
        }
        Ok(())
    }
}

fn code(failure: Failure) -> ErrorCode {
    match failure {
        Failure::Invalid => ErrorCode::InvalidArgument,
        Failure::Unknown => ErrorCode::NameUnresolvable,
        Failure::Temporary => ErrorCode::TemporaryResolverFailure,
        Failure::Permanent => ErrorCode::PermanentResolverFailure,
    }
}

impl v3::Host for View<'_> {}

impl<T> v3::HostWithStore<T> for Lookup {
    async fn resolve_addresses(
        _store: &Accessor<T, Self>,
        name: String,
    ) -> wasmtime::Result<Result<Vec<types::IpAddress>, v3::ErrorCode>> {
        Ok(match names::resolve(&name).await {
            Ok(addresses) => Ok(addresses.into_iter().map(types::IpAddress::from).collect()),
            Err(Failure::Invalid) => Err(v3::ErrorCode::InvalidArgument),
            Err(Failure::Unknown) => Err(v3::ErrorCode::NameUnresolvable),
            Err(Failure::Temporary) => Err(v3::ErrorCode::TemporaryResolverFailure),
            Err(Failure::Permanent) => Err(v3::ErrorCode::PermanentResolverFailure),
        })
    }
}
