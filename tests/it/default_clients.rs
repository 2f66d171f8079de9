//! Clients as they come, with the limits of their libraries: every ticket is taken, every answer fits, what they leave behind is no attack.

use std::time::Duration;

use historian::{api::ApiLimits, ingest::IngestOptions};
use historian_proto::v1::{GetServerStatusRequest, admin_service_client::AdminServiceClient};
use tonic::codec::CompressionEncoding;

use crate::{
    api::{Historian, python},
    support::peer,
};

fn run(what: &str) {
    // As the program is configured by default.
    let options = IngestOptions { future_max: Some(Duration::from_hours(24)), ..IngestOptions::default() };
    let historian = Historian::start_with(ApiLimits::default(), options);
    python("default_clients.py", &[&historian.grpc.to_string(), peer::root().join("proto").to_str().unwrap(), what]);
}

#[test]
fn every_ticket_is_taken_and_they_join_to_the_direct_answer() {
    run("tickets");
}

#[test]
fn a_glob_that_matches_nothing_is_an_empty_answer_everywhere() {
    run("nothing");
}

#[test]
fn a_refused_write_leaves_no_tag_behind() {
    run("refused_writes");
}

#[test]
fn pages_and_messages_fit_into_what_clients_take() {
    run("pages");
}

#[test]
fn an_as_of_answer_fits_or_is_refused_in_words_that_name_do_exchange() {
    run("as_of");
}

#[test]
fn gzip_is_taken_from_those_who_send_it_and_no_bomb_goes_off() {
    run("compressed");
}

#[test]
fn a_tag_has_as_many_states_as_are_documented() {
    run("states");
}

#[test]
fn a_dashboard_that_is_left_keeps_its_subscription_and_a_flood_is_cut() {
    run("dashboard");
}

#[test]
fn answers_are_compressed_for_those_who_compress_their_requests_only() {
    let historian = Historian::start(ApiLimits::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let address = format!("http://{}", historian.grpc);
        let plain = AdminServiceClient::connect(address.clone()).await.unwrap().accept_compressed(CompressionEncoding::Gzip);
        let squeezed = AdminServiceClient::connect(address).await.unwrap().accept_compressed(CompressionEncoding::Gzip);
        for (mut client, encoding) in [(plain, None), (squeezed.send_compressed(CompressionEncoding::Gzip), Some("gzip"))] {
            let answer = client.get_server_status(GetServerStatusRequest {}).await.unwrap();
            assert_eq!(answer.metadata().get("grpc-encoding").map(|encoding| encoding.to_str().unwrap()), encoding);
        }
    });
}
