//! The targets, in one list.

mod api;
mod door;
mod file;
mod flight;
mod format;
mod modbus;
mod model;
mod mutant;
mod opcua;
mod sql;

pub use mutant::MUTANTS;

/// A decoder.
pub struct Target {
    pub name: &'static str,
    pub about: &'static str,
    /// Inputs of a round, which takes about a tenth of a second of one core.
    pub inputs: u64,
    /// Decodes; whether the bytes were taken. A panic is a finding.
    pub run: fn(&[u8]) -> bool,
    /// Inputs that are taken.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub static TARGETS: &[&Target] = &[
    &format::CHUNK,
    &format::RECORD,
    &format::VALUES,
    &format::TIMESTAMPS,
    &format::QUALITIES,
    &format::INTEGERS,
    &format::ROUND_TRIP,
    &format::ROLLUP,
    &file::ENTRY,
    &file::MANIFEST,
    &api::REQUEST,
    &api::BODY,
    &api::CONNECTION,
    &api::COMMAND,
    &api::TICKET,
    &api::PAGE_TOKEN,
    &api::FILTER,
    &flight::SAMPLES,
    &flight::ROWS,
    &flight::LZ4,
    &flight::SQL_COMMAND,
    &flight::STATEMENT_TICKET,
    &flight::STATEMENT_HANDLE,
    &flight::PARAMETERS,
    &sql::STATEMENT,
    &model::TIME,
    &model::SELECTION,
    &file::CONFIGURATION,
    &file::TAG_FILE,
    &file::WORKBOOK,
    &file::SAMPLE_CSV,
    &file::SAMPLE_PARQUET,
    &door::TOKEN,
    &door::KEYS,
    &door::SECRET,
    &door::ACCESS,
    &door::CERTIFICATE,
    &door::EXPORT,
    &modbus::ANSWER,
    &modbus::REGISTERS,
    &modbus::ADDRESS,
    &opcua::MESSAGE,
    &opcua::FRAMES,
    &opcua::STRUCTURE,
    &opcua::ADDRESS,
];

/// The target or mutant of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().chain(MUTANTS).find(|target| target.name == name).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::input::Inputs;

    #[test]
    fn every_target_takes_a_seed_and_bears_what_becomes_of_it() {
        for target in TARGETS {
            let seeds = (target.seeds)();
            let refused: Vec<usize> = (0..seeds.len()).filter(|seed| !(target.run)(&seeds[*seed])).collect();
            assert!(refused.is_empty() && !seeds.is_empty(), "{} takes all of its {} seeds but {refused:?}", target.name, seeds.len());
            let inputs = Inputs::new(seeds, 1);
            (0..50).for_each(|number| _ = (target.run)(&inputs.input(number)));
        }
    }

    #[test]
    fn every_name_is_there_once() {
        let names: BTreeSet<&str> = TARGETS.iter().chain(MUTANTS).map(|target| target.name).collect();
        assert_eq!(names.len(), TARGETS.len() + MUTANTS.len());
        assert!(find("chunk").is_some() && find("panics").is_some() && find("none").is_none());
    }
}
