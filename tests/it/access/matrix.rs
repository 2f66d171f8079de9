//! Every door × who calls × which tag: what is answered is compared with the promise.

use historian_proto::v1::{CreateTagRequest, DeleteTagRequest};

use super::{
    call::Outcome,
    door::{About, Door, Need, Same},
    plant::{Plant, Who, tag},
};

/// Which tag a call names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In everybody's scope.
    Seen,
    /// Outside of the scope of some.
    Hidden,
}

impl Place {
    fn level(self) -> &'static str {
        match self {
            Place::Seen => "seen",
            Place::Hidden => "hidden",
        }
    }
}

/// What is to come of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A code.
    Answer(&'static str),
    /// A code, and to the byte what is answered about a tag that there is not, but for its name.
    AsOfNone(&'static str),
}

/// The promise.
pub fn expected(door: &Door, who: Who, place: Place) -> Expected {
    let is_known = Need::Known.is_met_by(who);
    let refused = |code: &'static str, of_http: &'static str| Expected::Answer(if door.has_numbers() { of_http } else { code });
    if door.need != Need::Open && !is_known {
        refused("Unauthenticated", "401")
    } else if !door.need.is_met_by(who) {
        refused("PermissionDenied", "403")
    } else if who.is_limited() && place == Place::Hidden && door.about != About::Nothing {
        Expected::AsOfNone(door.absent)
    } else {
        refused(door.ok, "200")
    }
}

/// What is wrong with an outcome, if something is. `of_none` is that about a tag that there is not, of the same length of name.
pub fn wrong(expected: Expected, same: Same, outcome: &Outcome, of_none: Option<&Outcome>) -> Option<String> {
    let (Expected::Answer(code) | Expected::AsOfNone(code)) = expected;
    if outcome.code != code {
        return Some(format!("{code} was promised, and {} came: {:?}", outcome.code, outcome.message));
    }
    match (expected, of_none) {
        (Expected::Answer(_), _) => None,
        (Expected::AsOfNone(_), None) => Some("nobody asked about a tag that there is not".into()),
        (Expected::AsOfNone(_), Some(of_none)) => {
            differs(same, outcome, of_none).map(|difference| format!("other than of none: {difference}"))
        }
    }
}

/// Where two answers differ.
pub fn differs(same: Same, one: &Outcome, other: &Outcome) -> Option<String> {
    match same {
        Same::Bytes => one.difference(other),
        Same::Lengths => one.measured().difference(&other.measured()),
        Same::Code => Outcome { parts: Vec::new(), ..one.clone() }.difference(&Outcome { parts: Vec::new(), ..other.clone() }),
    }
}

/// The answer of one cell, and of the same question about a tag that there is not.
pub async fn cell(plant: &Plant, door: &Door, who: Who, place: Place) -> (Outcome, Option<Outcome>) {
    let level = place.level();
    let (name, none) = match door.about {
        About::Nothing | About::Tag => (format!("{level}/here"), format!("{level}/gone")),
        // Of their own, each as if nobody had called before.
        About::NewTag => (format!("{level}/make"), format!("{level}/gone")),
        About::TagThatGoes => (format!("{level}/ends"), format!("{level}/gone")),
    };
    prepare(plant, door.about, &name).await;
    let outcome = door.ask(plant.client(who), &name).await;
    let of_none = match expected(door, who, place) {
        Expected::Answer(_) => None,
        Expected::AsOfNone(_) => {
            let of_none = door.ask(plant.client(who), &none).await.renamed(&none, &name);
            // As columns of views are named.
            Some(of_none.renamed(&none.replace('/', "_"), &name.replace('/', "_")))
        }
    };
    (outcome, of_none)
}

async fn prepare(plant: &Plant, about: About, name: &str) {
    if about != About::NewTag && about != About::TagThatGoes {
        return;
    }
    let admin = plant.client(Who::Admin);
    for name in [name.to_owned(), format!("{name}_before"), format!("{name}_now")] {
        // There may be none.
        admin.ask("historian.v1.TagService/DeleteTag", &DeleteTagRequest { name, ..DeleteTagRequest::default() }).await;
    }
    if about == About::TagThatGoes {
        let made = admin.ask("historian.v1.TagService/CreateTag", &CreateTagRequest { tag: Some(tag(name)) }).await;
        assert!(made.is_ok(), "{name}: {} {}", made.code, made.message);
    }
}
