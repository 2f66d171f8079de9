//! All services of the interface behind the layers that every call passes, whichever port it comes by: who calls, what becomes of the call, and how
//! much of anything it may have, hold for all of them.

use std::sync::Arc;

use historian_proto::v1;
use tokio_util::sync::CancellationToken;
use tonic::{codec::CompressionEncoding, service::Routes};
use tonic_health::server::HealthReporter;
use tower_layer::Layer as _;

use super::{
    Api, ServeError, Services,
    access::{Authenticated, AuthenticatedLayer},
    call::{CalledLayer, CalledService},
    flight, grpc, kind,
    message::CheckedService,
    metrics,
};

/// The services and their layers. Clones are the same ones.
#[derive(Clone)]
pub struct ApiRoutes {
    pub(super) api: Arc<Api>,
    pub(super) routes: Routes,
    pub(super) called: CalledLayer,
    pub(super) authenticated: AuthenticatedLayer,
    pub(super) health: HealthReporter,
}

/// The services, called within the process.
pub type InProcess = CalledService<Authenticated<Routes>>;

impl ApiRoutes {
    /// Of a historian whose store is open. When `draining` is cancelled, write streams acknowledge what they took and end.
    ///
    /// # Errors
    /// When the descriptors of the services cannot be read.
    pub async fn new(services: Services, draining: CancellationToken) -> Result<ApiRoutes, ServeError> {
        let limits = services.limits.clone();
        let memory = services.memory.clone();
        services.metrics.expect_kinds(kind::timed());
        let called = CalledLayer::new(services.metrics.clone(), services.calls.clone());
        let (access, clock, audit) = (services.access.clone(), services.clock.clone(), services.audit.clone());
        let authenticated = AuthenticatedLayer::new(access, clock, audit, limits.requests_per_client_s_max);
        let api = Api::new(services, draining);

        let (health, health_service) = tonic_health::server::health_reporter();
        for service in metrics::SERVICES {
            health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
        }
        let health_service = health_service.accept_compressed(CompressionEncoding::Gzip);
        let reflected = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(historian_proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                // So that the details of errors are shown in words.
                .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        };

        let message_max = limits.message_bytes_max;
        // Each service takes messages of any length that is documented, also compressed: the bound is of what they hold then, and of what they
        // take when they are decoded.
        macro_rules! checked {
            ($server:expr) => {
                CheckedService::new($server, limits.decode_allowance(), memory.clone())
            };
        }
        macro_rules! service {
            ($server:expr) => {
                checked!(
                    $server
                        .max_decoding_message_size(message_max)
                        .accept_compressed(CompressionEncoding::Gzip)
                        .send_compressed(CompressionEncoding::Gzip)
                )
            };
        }
        let mut routes = Routes::builder();
        routes
            .add_service(checked!(health_service))
            .add_service(checked!(reflected().build_v1()?.accept_compressed(CompressionEncoding::Gzip)))
            // What tools of past years ask by: grpcui, Postman, Kreya.
            .add_service(checked!(reflected().build_v1alpha()?.accept_compressed(CompressionEncoding::Gzip)))
            .add_service(service!(v1::tag_service_server::TagServiceServer::new(grpc::tag::TagRpc(api.clone()))))
            .add_service(service!(v1::write_service_server::WriteServiceServer::new(grpc::write::Writes(api.clone()))))
            .add_service(service!(v1::query_service_server::QueryServiceServer::new(grpc::query::Queries(api.clone()))))
            .add_service(service!(v1::collector_service_server::CollectorServiceServer::new(grpc::collector::CollectorRpc(api.clone()))))
            .add_service(service!(v1::admin_service_server::AdminServiceServer::new(grpc::admin::AdminRpc(api.clone()))))
            .add_service(service!(v1::access_service_server::AccessServiceServer::new(grpc::access::AccessRpc)))
            .add_service(service!(v1::annotation_service_server::AnnotationServiceServer::new(grpc::annotation::AnnotationRpc(
                api.clone()
            ))))
            .add_service(service!(v1::view_service_server::ViewServiceServer::new(grpc::view::ViewRpc(api.clone()))))
            .add_service(service!(arrow_flight::flight_service_server::FlightServiceServer::new(flight::Flight(api.clone()))));
        Ok(ApiRoutes { api, routes: routes.routes().prepare(), called, authenticated, health })
    }

    /// The services as a call within the process reaches them: like any other, behind all layers but those of a connection.
    pub(super) fn in_process(&self) -> InProcess {
        self.called.layer(self.authenticated.layer(self.routes.clone()))
    }
}
