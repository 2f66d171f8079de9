//! What a client may do by its certificate alone: over both ports, with clients that nobody here wrote, and for as long as it is granted.

use std::time::Duration;

use arrow_flight::Ticket;
use historian::{
    access::{AccessFile, Grant, Role},
    model::{Clock, SystemClock},
    tls::ClientTls,
};
use historian_proto::v1::{GetServerStatusRequest, ListTagsRequest, WhoAmIRequest, WhoAmIResponse};
use prost::Message;
use tokio::runtime::Runtime;

use super::{
    call::Client,
    door::flight,
    owner::{HOLDS_WITHIN, until},
    plant::{Plant, Who},
};
use crate::support::{
    historian::run,
    pytest::{Run, suite},
};

suite!(
    /// pyarrow, ADBC, grpcio, curl and the package with a certificate and no token.
    CERTIFICATES,
    "certificates",
    by_certificate,
    [
        pyarrow_is_known_by_its_certificate,
        adbc_is_known_by_its_certificate,
        grpcio_is_known_by_its_certificate,
        curl_is_known_by_its_certificate,
        the_package_is_known_by_its_certificate,
        a_token_wins_over_the_certificate,
        the_package_speaks_by_the_local_socket,
    ]
);

fn by_certificate(cases: &mut Run) {
    let plant = Runtime::new().unwrap().block_on(Plant::secured());
    cases.cases(&[
        ("HISTORIAN_ADDRESS", &format!("localhost:{}", plant.historian.grpc.port())),
        ("HISTORIAN_HTTP", &format!("localhost:{}", plant.historian.http.port())),
        ("HISTORIAN_TLS", &plant.directory.path().display().to_string()),
        ("HISTORIAN_TOKENS", &serde_json::to_string(&plant.tokens()).unwrap()),
    ]);
}

const WHO_AM_I: &str = "historian.v1.AccessService/WhoAmI";
const SERVER_STATUS: &str = "historian.v1.AdminService/GetServerStatus";

async fn by(plant: &Plant, name: &str) -> Client {
    let pair = Some((plant.path(&format!("{name}.crt")), plant.path(&format!("{name}.key"))));
    Client::secured(&plant.historian, &ClientTls { ca: Some(plant.path("servers.crt")), pair }).await
}

#[test]
fn a_certificate_without_a_grant_is_known_and_may_nothing() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::secured().await;
        let mes = by(&plant, "mes").await;
        let told: WhoAmIResponse = mes.get(WHO_AM_I, &WhoAmIRequest {}).await;
        assert_eq!((told.name.as_str(), told.known_by.as_str(), told.rights.len()), ("certificate:urn:client:mes", "certificate", 0));
        let refused = mes.ask("historian.v1.TagService/ListTags", &ListTagsRequest::default()).await;
        assert_eq!(refused.code, "PermissionDenied");
        assert!(refused.message.contains("certificate:urn:client:mes may not read"), "{}", refused.message);
        assert_eq!((mes.http("/metrics").code, mes.http("/livez").code), ("403".into(), "200".into()));
        // What is no certificate's is not taken for one: the connection decides, and no header.
        let nobody = plant.client(Who::Nobody);
        assert_eq!(nobody.ask(WHO_AM_I, &WhoAmIRequest {}).await.code, "Unauthenticated");
        assert_eq!(nobody.http("/metrics").code, "401");
        // A grant opens both ports within seconds, without another connection.
        let admin = vec![Grant { role: Role::Admin, tags: Vec::new() }];
        let principal = "certificate:urn:client:mes".parse().unwrap();
        AccessFile::add_grants(&plant.access_file(), principal, admin, SystemClock.now()).unwrap();
        until("Ok", async || mes.ask(SERVER_STATUS, &GetServerStatusRequest {}).await).await;
        assert!(mes.http("/metrics").is_ok());
    });
}

#[test]
fn a_subscription_of_a_certificate_ends_when_its_grant_is_removed() {
    Runtime::new().unwrap().block_on(async {
        let plant = Plant::secured().await;
        let erp = plant.client(Who::Certificate);
        let ticket: bytes::Bytes = Ticket::new(r#"{"subscribe": {"tags": ["**"]}}"#).encode_to_vec().into();
        let goes_on = erp.raw_for(Duration::from_secs(6), flight::DO_GET, vec![ticket.clone()]).await;
        assert_eq!(goes_on.code, "no end came", "{}", goes_on.message);
        let subscription = tokio::spawn(async move { erp.raw_for(HOLDS_WITHIN, flight::DO_GET, vec![ticket]).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        AccessFile::remove_grants(&plant.access_file(), &"certificate:urn:client:erp".parse().unwrap(), &[]).unwrap();
        let ended = subscription.await.unwrap();
        assert_eq!(ended.code, "Unauthenticated", "{}", ended.message);
        let refused = plant.client(Who::Certificate).ask("historian.v1.TagService/ListTags", &ListTagsRequest::default()).await;
        assert_eq!(refused.code, "PermissionDenied", "{}", refused.message);
    });
}

#[test]
fn the_command_line_is_known_by_its_certificate() {
    let plant = Runtime::new().unwrap().block_on(Plant::secured());
    let path = |name: &str| plant.path(name).display().to_string();
    let (server, ca, certificate, key) =
        (format!("grpc+tls://localhost:{}", plant.historian.grpc.port()), path("servers.crt"), path("erp.crt"), path("erp.key"));
    let way = ["--server", &server, "--tls-ca", &ca, "--tls-cert", &certificate, "--tls-key", &key];
    let (code, told, complaint) = run(&[&["whoami"], &way[..]].concat());
    assert_eq!(code, 0, "{complaint}");
    assert!(told.contains("certificate:urn:client:erp (known by: certificate)") && told.contains("seen/**"), "{told}");
    let (code, told, complaint) = run(&[&["tag", "list"], &way[..]].concat());
    assert!(code == 0 && told.contains("seen/here") && !told.contains("hidden"), "{told}{complaint}");
}
