//! Every change of the catalog that loses samples, or makes them read otherwise, is in the audit log, whoever makes it.

use std::fs;

use historian_proto::v1::{
    DeleteTagRequest, DoubleColumn, Tag, TagSamples, UpdateTagRequest, ValueType, Values, WriteRequest, WriteSamplesRequest,
    tag_service_client::TagServiceClient, values::Column, write_service_client::WriteServiceClient,
};
use tonic::transport::Channel;

use super::{audit_log, run, start};
use crate::support::historian::Historian;

const START: i64 = 1_767_225_600_000_000_000; // 2026-01-01T00:00:00Z
const SECOND: i64 = 1_000_000_000;

fn channel(runtime: &tokio::runtime::Runtime, serve: &Historian) -> Channel {
    runtime.block_on(serve.channel()).unwrap()
}

/// Writes seconds `from..to` of a tag.
fn write(runtime: &tokio::runtime::Runtime, channel: &Channel, tag: &str, from: i64, to: i64) {
    let samples = TagSamples {
        tag: tag.into(),
        timestamps: (from..to).map(|second| START + second * SECOND).collect(),
        values: Some(Values { column: Some(Column::F64(DoubleColumn { values: (from..to).map(|second| second as f64).collect() })) }),
        ..TagSamples::default()
    };
    let options = Some(WriteRequest { create_tags: true, ..WriteRequest::default() });
    let request = WriteSamplesRequest { options, samples: vec![samples] };
    runtime.block_on(WriteServiceClient::new(channel.clone()).write_samples(request)).unwrap();
}

#[test]
fn a_deleted_tag_leaves_its_name_and_how_much_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let mut serve = start(directory.path(), &[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let door = channel(&runtime, &serve);
    // In chunks, in late chunks over them, in the head; some of it twice.
    write(&runtime, &door, "a/gone", 0, 20_000);
    assert_eq!(run(&["compact", "--server", &serve.url()]).0, 0);
    write(&runtime, &door, "a/gone", 5_000, 9_000);
    write(&runtime, &door, "a/gone", 30_000, 30_500);
    write(&runtime, &door, "a/kept", 0, 10);
    runtime
        .block_on(TagServiceClient::new(door.clone()).delete_tag(DeleteTagRequest { name: "a/gone".into(), ..DeleteTagRequest::default() }))
        .unwrap();

    let told = |serve: &Historian| {
        let entries = audit_log(serve);
        assert_eq!(entries.len(), 1, "{entries:?}");
        let entry = &entries[0];
        assert_eq!((&entry["action"], &entry["principal"]), (&"delete_tag".into(), &"anonymous".into()));
        assert_eq!(entry["tags"], serde_json::json!(["a/gone"]));
        assert_eq!(entry["samples"], 20_500);
        assert_eq!(entry["start"], "2026-01-01T00:00:00Z");
        assert_eq!(entry["end"], "2026-01-01T08:28:19.000000001Z");
        assert!(entry["detail"].as_str().unwrap().contains("f64"), "{entry}");
    };
    told(&serve);
    // As durable as the deletion itself.
    serve.kill();
    told(&start(directory.path(), &[]));
}

#[test]
fn a_change_by_which_samples_read_otherwise_is_told_from_every_door() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let config = file("historian.toml", "tag_files = [\"tags.csv\"]\n");
    file("tags.csv", "name,type,unit\na/level,f64,m\n");
    let data = directory.path().join("data");
    let serve = start(&data, &["--config", &config]);
    assert_eq!(audit_log(&serve), Vec::<serde_json::Value>::new(), "making a tag loses nothing");

    // From the command line.
    let import = |serve: &Historian, text: &str| {
        let (code, out, err) = run(&["tag", "import", &file("import.csv", text), "--server", &serve.url()]);
        assert_eq!(code, 0, "{out}{err}");
    };
    import(&serve, "name,type,state_set\na/mode,state,off|idle|running\n");
    import(&serve, "name,state_set\na/mode,off|idle\n");
    import(&serve, "name,state_set\na/mode,off|idle\n");

    // From a program. The same again changes nothing and is not told.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let door = channel(&runtime, &serve);
    let wanted = Tag { name: "a/level".into(), value_type: ValueType::F64.into(), unit: "cm".into(), stepped: true, ..Tag::default() };
    for _ in 0..2 {
        let request = UpdateTagRequest { tag: Some(wanted.clone()), update_mask: None, ..UpdateTagRequest::default() };
        runtime.block_on(TagServiceClient::new(door.clone()).update_tag(request)).unwrap();
    }

    // From the configuration, at the next start.
    file("tags.csv", "name,type,unit\na/level,f64,mm\n");
    serve.stop().unwrap();
    let serve = start(&data, &["--config", &config]);
    let entries = audit_log(&serve);
    let told: Vec<_> = entries
        .iter()
        .map(|entry| [&entry["action"], &entry["principal"], &entry["tags"][0], &entry["detail"]].map(|field| field.as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            ["update_tag", "anonymous", "a/mode", "state 2: \"running\" → none"],
            ["update_tag", "anonymous", "a/level", "unit: \"m\" → \"cm\"; stepped: false → true"],
            ["update_tag", "historian", "a/level", "unit: \"cm\" → \"mm\"; stepped: true → false"],
        ]
    );
}
