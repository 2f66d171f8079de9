//! Files of samples, for the fuzz targets: read twice, as an import does, and each tag as every type.

use std::{fs::File, io::Seek};

use historian_proto::v1::{self, ValueType};
use jiff::tz::TimeZone;

use super::{columnar::Columnar, csv::Csv, local::LocalTimes, mistake::Mistakes, portion::RowsByTag, quality::Scale, settings::Settings};

use historian_api::convert::type_to_wire;
use historian_model::Timestamp;

pub use super::mistake::SampleFileFormat;

const TYPES: [ValueType; 7] =
    [ValueType::F64, ValueType::F32, ValueType::I64, ValueType::U64, ValueType::Bool, ValueType::State, ValueType::String];

/// A CSV file. The first byte says what flags say of it.
pub fn csv(bytes: &[u8]) -> bool {
    let Some((flags, text)) = bytes.split_first() else { return false };
    let settings = settings(*flags);
    let mut mistakes = Mistakes::default();
    let read = |times: LocalTimes, mistakes: &mut Mistakes| -> anyhow::Result<(RowsByTag, LocalTimes)> {
        let (mut rows, mut file) = (RowsByTag::default(), Csv::new(text, &settings, times)?);
        while file.read(&mut rows, mistakes, usize::MAX) {}
        file.passed_over();
        Ok((rows, file.into_times()))
    };
    taken(&settings, &mut mistakes, read).unwrap_or(false)
}

/// A file of columns, read from its beginning each time.
pub fn columnar(file: &File, format: SampleFileFormat) -> bool {
    let settings = settings(0);
    let read = |times: LocalTimes, mistakes: &mut Mistakes| -> anyhow::Result<(RowsByTag, LocalTimes)> {
        let mut file = file.try_clone()?;
        file.rewind()?;
        let (mut rows, mut file) = (RowsByTag::default(), Columnar::new(file, format, &settings, times)?);
        while file.read(&mut rows, mistakes, usize::MAX) {}
        Ok((rows, file.into_times()))
    };
    taken(&settings, &mut Mistakes::default(), read).unwrap_or(false)
}

fn taken(
    settings: &Settings,
    mistakes: &mut Mistakes,
    read: impl Fn(LocalTimes, &mut Mistakes) -> anyhow::Result<(RowsByTag, LocalTimes)>,
) -> anyhow::Result<bool> {
    let (_, mut times) = read(LocalTimes::new(settings.zone.clone()), mistakes)?;
    times.know(mistakes);
    let (rows, _) = read(times, &mut Mistakes::default())?;
    for (rows, value_type) in rows.tags.into_iter().zip(TYPES.into_iter().cycle()) {
        let count = rows.rows.len();
        let tag = v1::Tag { value_type: rows.declared.map_or(value_type, type_to_wire).into(), ..v1::Tag::default() };
        let columns = rows.columns(&tag, &mut Mistakes::default());
        assert!(columns.timestamps.len() == count && columns.qualities.len() == count, "each row is a sample");
    }
    Ok(mistakes.count() == 0)
}

fn settings(flags: u8) -> Settings {
    let scales = [Scale::Auto, Scale::Opcda, Scale::Opcua, Scale::Ignition, Scale::Text, Scale::Own];
    Settings {
        tag: (flags & 1 == 1).then(|| "a/x".to_owned()),
        tag_column: None,
        ignore: Vec::new(),
        unit: None,
        scale: scales[usize::from(flags >> 2) % scales.len()],
        states: Vec::new(),
        zone: if flags & 2 == 2 { TimeZone::get("Europe/Berlin").unwrap_or(TimeZone::UTC) } else { TimeZone::UTC },
        now: Timestamp(1_774_785_600_000_000_000),
    }
}
