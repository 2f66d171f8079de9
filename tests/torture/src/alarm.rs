//! Listens to what a server says of its own health: the gRPC health service and `/healthz`.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

/// When each door first said that writing is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alarms {
    pub grpc: Option<Instant>,
    pub http: Option<Instant>,
}

/// Asks both doors some fifty times a second until `stop`, or until both have raised the alarm.
pub async fn listen(channel: Channel, http: SocketAddr, stop: CancellationToken) -> Alarms {
    let mut alarms = Alarms::default();
    let mut client = HealthClient::new(channel);
    while !stop.is_cancelled() && (alarms.grpc.is_none() || alarms.http.is_none()) {
        if alarms.grpc.is_none()
            && let Ok(answer) = client.check(HealthCheckRequest::default()).await
            && answer.into_inner().status() == ServingStatus::NotServing
        {
            alarms.grpc = Some(Instant::now());
        }
        if alarms.http.is_none() && healthz(http).await.is_some_and(|status| status == 503) {
            alarms.http = Some(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    alarms
}

/// Status code of `/healthz`.
pub async fn healthz(http: SocketAddr) -> Option<u16> {
    let mut stream = TcpStream::connect(http).await.ok()?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    String::from_utf8_lossy(&answer).split_whitespace().nth(1)?.parse().ok()
}
