//! What tables and their columns are, for people who meet them in a tool and nowhere else.

use super::interval::long_remarks;
use crate::function;

/// What one of the tables is.
pub fn of_table(name: &str) -> String {
    match name {
        "annotations" => "texts of people on tags, over a time or a range of time; a row for each tag of an annotation".to_owned(),
        "current" => "latest sample by source time of each tag that has one".to_owned(),
        "daily" | "hourly" => format!(
            "a row per tag and {} of local time, from its first sample to its last one, with aggregates of OPC UA Part 13; the zone is that of the \
             connection, else that of the configuration",
            if name == "daily" { "day" } else { "hour" }
        ),
        "gaps" => "where samples are known to be absent, and why".to_owned(),
        "samples" => {
            let functions: Vec<&str> = function::descriptions().iter().map(|function| function.usage).collect();
            format!(
                "every sample of every tag; say which with tag and timestamp. Table functions read in other ways: {}",
                functions.join("; ")
            )
        }
        "tags" => "the tags: what each measures, its unit, and where it comes from".to_owned(),
        _ => String::new(),
    }
}

/// What the columns of one of the tables are, in their order.
pub fn of_columns(name: &str) -> Vec<String> {
    let texts: &[&str] = match name {
        "daily" | "hourly" => return long_remarks(),
        "current" | "samples" => &[
            "name of the tag",
            "when the sample was taken, by its source (UTC)",
            "value as a number, in the unit of the tag (tags.unit): of a state its number, of a boolean 0 or 1; null of a text, and where there is none",
            "OPC UA status code; is_good(quality), is_uncertain(quality), is_bad(quality) say how good it is",
            "text of a sample of text, name of a state",
            "value of a tag of i64 or u64, exactly; value rounds beyond 2^53",
        ],
        "annotations" => &[
            "name of the tag",
            "when what the text is about begins (UTC)",
            "when it ends, not within (UTC); the start where a moment is meant",
            "what somebody wrote",
            "who wrote it",
            "number of the annotation; the same for all of its tags",
            "number of its version, from 1",
            "when this version was written (UTC)",
        ],
        "gaps" => &[
            "number of the entry, ascending",
            "when the gap was recorded (UTC)",
            "name of the tag; null: of all",
            "from when on samples are absent (UTC)",
            "when they are there again (UTC); null: not known",
            "why they are absent",
            "more about it, for people",
        ],
        "tags" => &[
            "name of the tag; / separates levels",
            "f64, f32, i64, u64, bool, string or state",
            "engineering unit of its values",
            "what it measures",
            "true: a value holds until the next one; false: it goes to it in a straight line",
            "low end of the expected range, in the unit of the tag",
            "high end of the expected range, in the unit of the tag",
            "names of the states by their numbers, as a JSON array",
            "device it is collected from; null where clients write it",
            "address in the device",
            "when the tag was made (UTC)",
            "when it was last changed (UTC)",
            "its collector stores what differs by more than this from the sample before; null: no exception filter",
            "its collector stores the ends of lines that have all samples within this; null: no swinging door",
            "no sample that was left out lies further from what is read at its time, in the unit of the tag; null: all are stored, or no bound",
        ],
        _ => &[],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What a table of the information schema is.
pub fn of_system_table(name: &str) -> String {
    let text = match name {
        "tables" => "the tables there are",
        "views" => "the tables there are, with the statement behind each: none has one",
        "columns" => "the columns of all tables",
        "df_settings" => "settings of the SQL engine",
        "schemata" => "the schemas there are",
        "routines" => "the functions there are, table functions among them",
        "parameters" => "arguments and results of functions",
        _ => "",
    };
    text.to_owned()
}
