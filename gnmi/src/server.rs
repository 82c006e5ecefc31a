//! The frame of a server: turns gRPC calls into calls of a [`Service`].
//!
//! [`Server`] is a tonic service: `tonic::transport::Server::builder().add_service(Server::new(device))` serves it.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::codegen::tokio_stream::Stream;
use tonic::codegen::{Body, BoxFuture, Service as HttpService, StdError, http};
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

use crate::message::{
    CapabilityRequest, CapabilityResponse, GetRequest, GetResponse, SetRequest, SetResponse, SubscribeRequest,
    SubscribeResponse,
};

/// What a device does with the four calls of gNMI. Errors are gRPC's statuses, as §3.2 to §3.5 of the specification name
/// them.
pub trait Service: Send + Sync + 'static {
    /// The answers of one Subscribe call.
    type Updates: Stream<Item = Result<SubscribeResponse, Status>> + Send + 'static;

    /// Says what the device can do.
    fn capabilities(
        &self,
        request: Request<CapabilityRequest>,
    ) -> impl Future<Output = Result<Response<CapabilityResponse>, Status>> + Send;

    /// Reads values.
    fn get(&self, request: Request<GetRequest>) -> impl Future<Output = Result<Response<GetResponse>, Status>> + Send;

    /// Changes the configuration, as a whole or not at all.
    fn set(&self, request: Request<SetRequest>) -> impl Future<Output = Result<Response<SetResponse>, Status>> + Send;

    /// Sends values.
    fn subscribe(
        &self,
        request: Request<Streaming<SubscribeRequest>>,
    ) -> impl Future<Output = Result<Response<Self::Updates>, Status>> + Send;
}

/// A [`Service`] behind gRPC.
pub struct Server<T>(Arc<T>);

impl<T: Service> Server<T> {
    /// Serves `service`, of which other parts may hold the same pointer.
    pub fn new(service: impl Into<Arc<T>>) -> Self {
        Self(service.into())
    }
}

impl<T> Clone for Server<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> NamedService for Server<T> {
    const NAME: &'static str = "gnmi.gNMI";
}

impl<T, B> HttpService<http::Request<B>> for Server<T>
where
    T: Service,
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let service = Arc::clone(&self.0);
        Box::pin(async move { Ok(answer(service, request).await) })
    }
}

async fn answer<T, B>(service: Arc<T>, request: http::Request<B>) -> http::Response<tonic::body::Body>
where
    T: Service,
    B: Body + Send + 'static,
    B::Error: Into<StdError> + Send + 'static,
{
    let path = request.uri().path().to_owned();
    let service = &service;
    // A closure may be called again: each call takes a pointer of its own.
    macro_rules! call {
        ($method:ident, $message:ty) => {
            service_fn(|request: Request<$message>| {
                let service = Arc::clone(service);
                async move { service.$method(request).await }
            })
        };
    }
    match path.as_str() {
        "/gnmi.gNMI/Capabilities" => {
            Grpc::new(ProstCodec::default()).unary(call!(capabilities, CapabilityRequest), request).await
        }
        "/gnmi.gNMI/Get" => Grpc::new(ProstCodec::default()).unary(call!(get, GetRequest), request).await,
        "/gnmi.gNMI/Set" => Grpc::new(ProstCodec::default()).unary(call!(set, SetRequest), request).await,
        "/gnmi.gNMI/Subscribe" => {
            Grpc::new(ProstCodec::default()).streaming(call!(subscribe, Streaming<SubscribeRequest>), request).await
        }
        _ => Status::unimplemented(format!("gNMI has no call {path}")).into_http(),
    }
}
