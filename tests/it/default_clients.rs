//! Clients as they come, with the limits of their libraries: every ticket is taken, every answer fits, what they leave behind is no attack.

use std::time::Duration;

use historian::{api::ApiLimits, ingest::IngestOptions};
use historian_proto::v1::{GetServerStatusRequest, admin_service_client::AdminServiceClient};
use tonic::codec::CompressionEncoding;

use crate::{
    api::{served, served_with},
    support::pytest::{Run, suite},
};

/// As the program is configured by default. Each case has a historian of its own: they count what is there.
fn by_default(run: &mut Run) {
    let options = IngestOptions { future_max: Some(Duration::from_hours(24)), ..IngestOptions::default() };
    let historian = served_with(ApiLimits::default(), options);
    run.cases(&[("HISTORIAN_ADDRESS", &historian.grpc.to_string())]);
}

suite!(TICKETS, "default_clients", by_default, [every_ticket_is_taken_and_they_join_to_the_direct_answer]);
suite!(NOTHING, "default_clients", by_default, [a_glob_that_matches_nothing_is_an_empty_answer_everywhere]);
suite!(REFUSED_WRITES, "default_clients", by_default, [a_refused_write_leaves_no_tag_behind]);
suite!(PAGES, "default_clients", by_default, [pages_and_messages_fit_into_what_clients_take]);
suite!(AS_OF, "default_clients", by_default, [an_as_of_answer_fits_or_is_refused_in_words_that_name_do_exchange]);
suite!(COMPRESSED, "default_clients", by_default, [gzip_is_taken_from_those_who_send_it_and_no_bomb_goes_off]);
suite!(STATES, "default_clients", by_default, [a_tag_has_as_many_states_as_are_documented]);
suite!(DASHBOARD, "default_clients", by_default, [a_dashboard_that_is_left_keeps_its_subscription_and_a_flood_is_cut]);

#[test]
fn answers_are_compressed_for_those_who_compress_their_requests_only() {
    let historian = served(ApiLimits::default());
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
