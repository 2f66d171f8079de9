//! Which of the nodes of a server was probably meant by an address that it does not know.

/// Names told for one address.
const NAMES_MAX: usize = 3;
/// Likeness below which nothing is told: 1 is the same.
const LIKENESS_MIN: f64 = 0.7;
/// Longer addresses are compared by their ends, where they differ.
const COMPARED_MAX: usize = 200;

/// The addresses most like this one, the nearest first.
pub fn names<'known>(address: &str, known: &'known [String]) -> Vec<&'known str> {
    let (space, kind, name) = parts(address);
    let mut likely: Vec<(f64, &str)> = Vec::new();
    for known in known {
        let (other_space, other_kind, other) = parts(known);
        // A name of another namespace has to be the very same, and so has what is no name.
        let (shorter, longer) = (name.len().min(other.len()), name.len().max(other.len()));
        let likeness = if kind != other_kind || (shorter as f64) < LIKENESS_MIN * longer as f64 {
            0.0
        } else if space == other_space && kind == "s" {
            strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase())
        } else {
            f64::from(u8::from(name == other))
        };
        if likeness >= LIKENESS_MIN {
            likely.push((likeness, known));
        }
    }
    likely.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    likely.into_iter().take(NAMES_MAX).map(|(_, known)| known).collect()
}

/// Namespace, kind of the identifier (`s` is a text) and identifier; of a long one its end.
fn parts(address: &str) -> (&str, &str, &str) {
    let (space, identifier) = if address.starts_with("ns") { address.split_once(';').unwrap_or(("", address)) } else { ("", address) };
    let (kind, identifier) = identifier.split_once('=').unwrap_or(("", identifier));
    let cut = identifier.len().saturating_sub(COMPARED_MAX);
    let cut = (cut..=identifier.len()).find(|at| identifier.is_char_boundary(*at)).unwrap_or(0);
    (space, kind, &identifier[cut..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_probably_meant_comes_first_and_what_was_not_not_at_all() {
        let known: Vec<String> = [
            "nsu=urn:plant;s=Boiler1.Pressure",
            "nsu=urn:plant;s=Boiler2.Pressure",
            "nsu=urn:plant;s=Boiler1.Level",
            "nsu=urn:other;s=Boiler1.Presure",
            "i=2258",
        ]
        .map(str::to_owned)
        .to_vec();
        assert_eq!(
            names("nsu=urn:plant;s=Boiler1.Presure", &known),
            ["nsu=urn:other;s=Boiler1.Presure", "nsu=urn:plant;s=Boiler1.Pressure", "nsu=urn:plant;s=Boiler2.Pressure"]
        );
        assert_eq!(names("nsu=urn:plant;s=boiler1.level", &known)[0], "nsu=urn:plant;s=Boiler1.Level");
        assert_eq!(names("nsu=urn:plant;s=Pump", &known), Vec::<&str>::new());
        assert_eq!(names("i=2259", &known), Vec::<&str>::new(), "a number near by is another node");
        let long = format!("nsu=urn:plant;s={}ü.Level", "x".repeat(900));
        assert_eq!(names(&long.replace("Level", "Lewel"), std::slice::from_ref(&long)), [long.as_str()]);
    }
}
