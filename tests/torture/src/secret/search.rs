//! Looks for all forms of all canaries at once, in texts of many megabytes.

use super::canary::{Canary, Form};

/// Every form of every canary.
pub struct Needles {
    forms: Vec<(usize, Form)>,
    /// Forms and which of their texts, by the first two bytes.
    by_start: Vec<Vec<(usize, usize)>>,
}

/// A canary that was found: which one, in which form, and what stands around it.
pub struct Found<'a> {
    pub canary: usize,
    pub form: &'a Form,
    pub around: String,
}

/// Bytes that are shown on each side.
const AROUND: usize = 60;

impl Needles {
    pub fn of(canaries: &[Canary]) -> Needles {
        let forms = canaries.iter().enumerate().flat_map(|(index, canary)| canary.forms().into_iter().map(move |form| (index, form)));
        let forms: Vec<(usize, Form)> = forms.collect();
        let mut by_start = vec![Vec::new(); 1 << 16];
        for (index, (_, form)) in forms.iter().enumerate() {
            for (number, start) in form.texts.iter().enumerate().filter_map(|(number, text)| Some((number, start_of(text)?))) {
                by_start[start].push((index, number));
            }
        }
        Needles { forms, by_start }
    }

    /// Forms of a canary.
    pub fn forms_of(&self, canary: usize) -> usize {
        self.forms.iter().filter(|(of, _)| *of == canary).count()
    }

    /// The first place of each form that is there.
    pub fn find(&self, text: &[u8]) -> Vec<Found<'_>> {
        let mut found = vec![false; self.forms.len()];
        let mut all = Vec::new();
        for at in 0..text.len().saturating_sub(1) {
            let rest = &text[at..];
            for (index, number) in start_of(rest).map(|start| &self.by_start[start]).into_iter().flatten() {
                let (canary, form) = &self.forms[*index];
                let needle = &form.texts[*number];
                if !found[*index] && rest.starts_with(needle) {
                    found[*index] = true;
                    let around = &text[at.saturating_sub(AROUND)..(at + needle.len() + AROUND).min(text.len())];
                    all.push(Found { canary: *canary, form, around: around.escape_ascii().to_string() });
                }
            }
        }
        all
    }
}

fn start_of(text: &[u8]) -> Option<usize> {
    let [first, second] = text.first_chunk::<2>()?;
    Some(usize::from(*first) << 8 | usize::from(*second))
}

#[cfg(test)]
mod tests {
    use super::super::canary::Kind;
    use super::*;

    #[test]
    fn each_form_is_found_at_the_start_in_the_middle_and_at_the_end() {
        let canaries = [Canary::new("a", Kind::Credential, "first/secret+1"), Canary::new("b", Kind::Sample, vec![0_u8, 255, 7, 9, 200])];
        let needles = Needles::of(&canaries);
        for (index, canary) in canaries.iter().enumerate() {
            for form in canary.forms() {
                for needle in &form.texts {
                    for (before, behind) in [("", " end"), ("start ", " end"), ("start ", "")] {
                        let text = [before.as_bytes(), needle, behind.as_bytes()].concat();
                        let is_it = |found: &Found<'_>| found.canary == index && found.form.name == form.name;
                        assert!(needles.find(&text).iter().any(is_it), "{}", form.name);
                    }
                }
            }
        }
        assert!(needles.find(b"another/secret, and nothing else").is_empty());
    }
}
