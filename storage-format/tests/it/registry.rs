//! Every codec in the lists has its own id and name, a row in `codecs.md` and a golden chunk.

use std::collections::BTreeSet;

use historian_format::{Chunk, PresenceCodec, QualityCodec, TimestampCodec, ValueCodec};

use crate::golden::folder;

fn check(kind: &str, codecs: &[(u8, &'static str)], used: &BTreeSet<u8>) {
    let ids: BTreeSet<u8> = codecs.iter().map(|(id, _)| *id).collect();
    let names: BTreeSet<&str> = codecs.iter().map(|(_, name)| *name).collect();
    assert_eq!((ids.len(), names.len()), (codecs.len(), codecs.len()), "{kind}: ids and names are unique");
    assert_eq!(&ids, used, "{kind}: every codec has a golden chunk");
    let document = include_str!("../../codecs.md");
    let table = document.split(&format!("\n## {kind}\n")).nth(1).unwrap_or_else(|| panic!("codecs.md has no part `{kind}`"));
    let table = table.split("\n## ").next().unwrap();
    for (id, name) in codecs {
        assert!(table.contains(&format!("\n| {id} | `{name}` |")), "{kind}: no row for {id} {name} in codecs.md");
        assert!(table.contains(&format!("\n### `{name}`")), "{kind}: {name} is not described in codecs.md");
    }
    let rows = table.lines().filter(|line| line.starts_with("| ") && line.as_bytes().get(2).is_some_and(u8::is_ascii_digit)).count();
    assert_eq!(rows, codecs.len(), "{kind}: codecs.md has a row for a codec that does not exist");
}

#[test]
fn codecs_are_unique_described_and_frozen() {
    let mut used: [BTreeSet<u8>; 4] = Default::default();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "chunk") {
            let bytes = std::fs::read(path).unwrap();
            let header = *Chunk::parse(&bytes).unwrap().header();
            used[0].insert(header.timestamp_codec as u8);
            used[1].insert(header.presence_codec as u8);
            used[2].insert(header.value_codec as u8);
            used[3].insert(header.quality_codec as u8);
        }
    }
    macro_rules! list {
        ($kind:ident) => {
            &$kind::ALL.iter().map(|codec| (*codec as u8, codec.as_str())).collect::<Vec<_>>()
        };
    }
    check("Timestamps", list!(TimestampCodec), &used[0]);
    check("Presence", list!(PresenceCodec), &used[1]);
    check("Values", list!(ValueCodec), &used[2]);
    check("Qualities", list!(QualityCodec), &used[3]);
}

#[test]
fn ids_lead_back_to_their_codec() {
    macro_rules! known {
        ($kind:ident) => {
            for id in 0..=u8::MAX {
                assert_eq!($kind::from_id(id), $kind::ALL.iter().copied().find(|codec| *codec as u8 == id), "{id}");
            }
        };
    }
    known!(TimestampCodec);
    known!(PresenceCodec);
    known!(ValueCodec);
    known!(QualityCodec);
}
