//! Sessions: options that a client sets once, by the action `SetSessionOptions`, and that hold for its later calls.
//!
//! A session is its cookie: `arrow_flight_session_id`, which the clients of Arrow keep and send back, carries the options themselves. So
//! nothing is kept here: no number of sessions, no silence of a client and no restart ends one, and there is nothing to bound. A call may
//! also say an option in a header of its name, for itself; drivers send the connection properties that they do not know so.

use std::{collections::HashMap, str::FromStr};

use arrow::array::timezone::Tz;
use arrow_flight::{Action, ActionType};
use prost::Message;
use tonic::{
    Response, Status,
    metadata::{MetadataMap, MetadataValue},
};

use crate::{DecodeAllowance, message, resolve, status};
use historian_sql::{CATALOG, SCHEMA};

/// The cookie that the session middleware of Arrow knows.
const COOKIE: &str = "arrow_flight_session_id";
/// First part of the cookie's value.
const VERSION: &str = "v1";
/// What the options of a request may take when they are read; there are five.
const OPTIONS_BYTES_MAX: usize = 64 << 10;
/// Prefix of headers; without it they are taken as well.
const HEADER_PREFIX: &str = "historian-";

/// The actions of sessions.
pub const ACTIONS: [(&str, &str); 3] = [
    ("SetSessionOptions", "Sets options for the calls after it: catalog, schema, zone, zoneless, dictionaries."),
    ("GetSessionOptions", "The options that hold."),
    ("CloseSession", "Forgets the options of the session."),
];

/// What `ListActions` answers of sessions.
pub fn actions() -> impl Iterator<Item = ActionType> {
    ACTIONS.iter().map(|(name, description)| ActionType { r#type: (*name).into(), description: (*description).into() })
}

/// How a client wants its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// IANA name of the zone of civil times; UTC when there is none.
    pub zone: Option<String>,
    /// Timestamps are civil times of the zone, without a zone.
    pub zoneless: bool,
    /// Repeated texts as dictionaries.
    pub dictionaries: bool,
}

impl SessionOptions {
    /// The options of a call: those of its session, and over them those of its own headers.
    ///
    /// # Errors
    /// `NOT_FOUND` for a session that this version does not know: without it, answers would be others than the client has asked for.
    /// `INVALID_ARGUMENT` for a header whose value is none.
    pub fn of_call(headers: &MetadataMap) -> Result<SessionOptions, Status> {
        let mut options = SessionOptions::of_cookies(headers)?.unwrap_or_default();
        for name in ["zone", "zoneless", "dictionaries"] {
            let own = format!("{HEADER_PREFIX}{name}");
            let sent = [own.as_str(), name].into_iter().find_map(|header| headers.get(header).map(|value| (header, value)));
            let Some((header, value)) = sent else { continue };
            let text = value.to_str().unwrap_or("\u{fffd}");
            options.set(name, Some(&OptionSetting::Text(text.to_owned()))).map_err(|_| status::invalid(header, expected(name)))?;
        }
        Ok(options)
    }

    /// The options of the session; `None` without one.
    fn of_cookies(headers: &MetadataMap) -> Result<Option<SessionOptions>, Status> {
        let cookies = headers.get_all("cookie").iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        let ours = cookies.filter_map(|cookie| cookie.trim().split_once('=')).find(|(name, _)| *name == COOKIE);
        let Some((_, value)) = ours else { return Ok(None) };
        SessionOptions::of_cookie(value.trim_matches('"')).map(Some).ok_or_else(|| {
            status::gone("SESSION_GONE", "the session cookie is none that this historian gave; connect again, and set the options again")
        })
    }

    fn of_cookie(value: &str) -> Option<SessionOptions> {
        let mut parts = value.split('|');
        if parts.next() != Some(VERSION) {
            return None;
        }
        let mut options = SessionOptions::default();
        for part in parts {
            let (name, value) = part.split_once(':')?;
            options.set(name, Some(&OptionSetting::Text(value.to_owned()))).ok()?;
        }
        Some(options)
    }

    /// In letters that a cookie may have.
    fn to_cookie(&self) -> String {
        let mut value = VERSION.to_owned();
        if let Some(zone) = &self.zone {
            value.push_str("|zone:");
            value.push_str(zone);
        }
        for (name, set) in [("zoneless", self.zoneless), ("dictionaries", self.dictionaries)] {
            if set {
                value.push_str(&format!("|{name}:true"));
            }
        }
        value
    }

    /// Sets one option; without a value it becomes what it is without a session.
    fn set(&mut self, name: &str, value: Option<&OptionSetting>) -> Result<(), OptionRefusal> {
        match name {
            "catalog" => the_one(value, CATALOG),
            "schema" => the_one(value, SCHEMA),
            "zone" => {
                self.zone = match value {
                    None => None,
                    Some(OptionSetting::Text(name)) if name.is_empty() => None,
                    Some(OptionSetting::Text(name)) => Some(zone(name).ok_or(OptionRefusal::Value)?),
                    Some(_) => return Err(OptionRefusal::Value),
                };
                Ok(())
            }
            "zoneless" => flag(value).map(|value| self.zoneless = value),
            "dictionaries" => flag(value).map(|value| self.dictionaries = value),
            _ => Err(OptionRefusal::Name),
        }
    }

    /// All options with the values that hold.
    fn all(&self) -> HashMap<String, OptionValue> {
        let text = |text: &str| OptionSetting::Text(text.to_owned());
        let all = [
            ("catalog", text(CATALOG)),
            ("schema", text(SCHEMA)),
            ("zone", text(self.zone.as_deref().unwrap_or("UTC"))),
            ("zoneless", OptionSetting::Flag(self.zoneless)),
            ("dictionaries", OptionSetting::Flag(self.dictionaries)),
        ];
        all.into_iter().map(|(name, value)| (name.to_owned(), OptionValue { value: Some(value) })).collect()
    }
}

/// Why an option was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OptionRefusal {
    Name,
    Value,
}

fn expected(name: &str) -> &'static str {
    match name {
        "zone" => "is no IANA time zone such as Europe/Berlin",
        _ => "is neither true nor false",
    }
}

/// The name of a zone as the time zone database writes it, if both who compute with it and who write it into schemas know it.
fn zone(name: &str) -> Option<String> {
    let zone = resolve::zone(name).ok()?;
    let name = zone.iana_name()?;
    Tz::from_str(name).is_ok().then(|| name.to_owned())
}

/// There is one catalog with one schema: naming it is right, naming another is a mistake.
fn the_one(value: Option<&OptionSetting>, only: &str) -> Result<(), OptionRefusal> {
    match value {
        None => Ok(()),
        Some(OptionSetting::Text(name)) if name.is_empty() || name == only => Ok(()),
        Some(_) => Err(OptionRefusal::Value),
    }
}

fn flag(value: Option<&OptionSetting>) -> Result<bool, OptionRefusal> {
    match value {
        None => Ok(false),
        Some(OptionSetting::Flag(flag)) => Ok(*flag),
        // Clients that know texts only.
        Some(OptionSetting::Text(text)) if text.eq_ignore_ascii_case("true") || text == "1" => Ok(true),
        Some(OptionSetting::Text(text)) if text.is_empty() || text.eq_ignore_ascii_case("false") || text == "0" => Ok(false),
        Some(_) => Err(OptionRefusal::Value),
    }
}

/// Answers an action of sessions; `None` for another action.
///
/// # Errors
/// A request that cannot be read, and as [`SessionOptions::of_call`].
pub fn act(headers: &MetadataMap, action: &Action) -> Result<Option<Response<arrow_flight::Result>>, Status> {
    let unreadable = |error: prost::DecodeError| status::invalid("action", error.to_string());
    let (body, cookie) = match action.r#type.as_str() {
        "SetSessionOptions" => {
            message::check("SetSessionOptionsRequest", &action.body, &DecodeAllowance::new("session_options", OPTIONS_BYTES_MAX))?;
            let request = SetSessionOptionsRequest::decode(action.body.clone()).map_err(unreadable)?;
            let mut options = SessionOptions::of_cookies(headers)?.unwrap_or_default();
            let mut errors = HashMap::new();
            let asked = request.session_options.len();
            for (name, value) in request.session_options {
                if let Err(refused) = options.set(&name, value.value.as_ref()) {
                    let shown: String = name.chars().take(120).collect();
                    let value = match refused {
                        OptionRefusal::Name => ErrorValue::InvalidName,
                        OptionRefusal::Value => ErrorValue::InvalidValue,
                    };
                    errors.insert(shown, OptionError { value: value.into() });
                }
            }
            let cookie = (errors.len() < asked).then(|| format!("{COOKIE}={}", options.to_cookie()));
            (SetSessionOptionsResult { errors }.encode_to_vec(), cookie)
        }
        "GetSessionOptions" => (GetSessionOptionsResult { session_options: SessionOptions::of_call(headers)?.all() }.encode_to_vec(), None),
        // One that is closed stays so: closing it again, or none, is no mistake, and drivers do it.
        "CloseSession" => (CloseSessionResult { status: CLOSED }.encode_to_vec(), Some(format!("{COOKIE}={VERSION}; Max-Age=0"))),
        _ => return Ok(None),
    };
    let mut response = Response::new(arrow_flight::Result { body: body.into() });
    if let Some(cookie) = cookie {
        let cookie = MetadataValue::try_from(cookie).map_err(|error| status::internal(error.to_string()))?;
        response.metadata_mut().insert("set-cookie", cookie);
    }
    Ok(Some(response))
}

// The messages of Flight.proto that the library does not have.

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsRequest {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, OptionValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    errors: HashMap<String, OptionError>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct OptionError {
    #[prost(enumeration = "ErrorValue", tag = "1")]
    value: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
enum ErrorValue {
    Unspecified = 0,
    InvalidName = 1,
    InvalidValue = 2,
    Error = 3,
}

#[derive(Clone, PartialEq, Message)]
struct GetSessionOptionsResult {
    #[prost(map = "string, message", tag = "1")]
    session_options: HashMap<String, OptionValue>,
}

const CLOSED: i32 = 1;

#[derive(Clone, Copy, PartialEq, Message)]
struct CloseSessionResult {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionOptionValue`.
#[derive(Clone, PartialEq, Message)]
struct OptionValue {
    #[prost(oneof = "OptionSetting", tags = "1, 2, 3, 4, 5")]
    value: Option<OptionSetting>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OptionSetting {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(sfixed64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Number(f64),
    #[prost(message, tag = "5")]
    Texts(TextList),
}

#[derive(Clone, PartialEq, Message)]
struct TextList {
    #[prost(string, repeated, tag = "1")]
    values: Vec<String>,
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut headers = MetadataMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn set(cookie: Option<&str>, options: &[(&str, OptionSetting)]) -> (HashMap<String, i32>, Option<String>) {
        let session_options =
            options.iter().map(|(name, value)| ((*name).to_owned(), OptionValue { value: Some(value.clone()) })).collect();
        let body = SetSessionOptionsRequest { session_options }.encode_to_vec().into();
        let cookies: Vec<_> = cookie.into_iter().map(|cookie| ("cookie", cookie)).collect();
        let action = Action { r#type: "SetSessionOptions".into(), body };
        let response = act(&headers(&cookies), &action).unwrap().unwrap();
        let cookie = response.metadata().get("set-cookie").map(|value| value.to_str().unwrap().to_owned());
        let errors = SetSessionOptionsResult::decode(response.into_inner().body).unwrap().errors;
        (errors.into_iter().map(|(name, error)| (name, error.value)).collect(), cookie)
    }

    fn text(text: &str) -> OptionSetting {
        OptionSetting::Text(text.into())
    }

    #[test]
    fn the_options_of_a_session_come_back_with_its_cookie() {
        let (errors, cookie) = set(None, &[("zone", text("europe/berlin")), ("catalog", text("historian"))]);
        assert!(errors.is_empty());
        let cookie = cookie.unwrap();
        let (errors, cookie) = set(Some(&cookie), &[("zoneless", OptionSetting::Flag(true))]);
        assert!(errors.is_empty());
        let cookie = cookie.unwrap();
        let expected = SessionOptions { zone: Some("Europe/Berlin".into()), zoneless: true, dictionaries: false };
        // As Java's cookies of either version, and others around it.
        let (name, value) = cookie.split_once('=').unwrap();
        for sent in [cookie.clone(), format!("a=b; {name}=\"{value}\"; $Path=\"/\""), format!("x;{cookie}")] {
            assert_eq!(SessionOptions::of_call(&headers(&[("cookie", &sent)])).unwrap(), expected, "{sent}");
        }
        let (_, without) = set(Some(&cookie), &[("zone", text(""))]);
        let call = SessionOptions::of_call(&headers(&[("cookie", &without.unwrap())])).unwrap();
        assert_eq!(call, SessionOptions { zone: None, ..expected });
    }

    #[test]
    fn an_option_that_cannot_be_set_is_named_and_the_others_are_set() {
        let (errors, cookie) = set(
            None,
            &[
                ("nonsense", text("1")),
                ("zone", text("Europe/Nowhere")),
                ("catalog", text("other")),
                ("schema", OptionSetting::Integer(1)),
                ("zoneless", text("perhaps")),
                ("dictionaries", text("true")),
            ],
        );
        let value = |name: &str| errors.get(name).copied();
        assert_eq!(value("nonsense"), Some(ErrorValue::InvalidName.into()));
        for name in ["zone", "catalog", "schema", "zoneless"] {
            assert_eq!(value(name), Some(ErrorValue::InvalidValue.into()), "{name}");
        }
        assert_eq!(errors.len(), 5);
        assert!(SessionOptions::of_call(&headers(&[("cookie", &cookie.unwrap())])).unwrap().dictionaries);
        assert_eq!(set(None, &[("nonsense", text("1"))]).1, None);
    }

    #[test]
    fn headers_are_over_the_session_and_what_is_none_is_refused() {
        let session = ("cookie", "arrow_flight_session_id=v1|zone:Europe/Berlin|zoneless:true");
        let of = |pairs: &[(&'static str, &str)]| SessionOptions::of_call(&headers(pairs));
        let call = of(&[session, ("historian-zone", "Asia/Tokyo"), ("zoneless", "false")]).unwrap();
        assert_eq!(call, SessionOptions { zone: Some("Asia/Tokyo".into()), ..SessionOptions::default() });
        assert_eq!(of(&[("zone", "Mars")]).unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(of(&[("dictionaries", "yes, please")]).unwrap_err().code(), Code::InvalidArgument);
        for value in ["", "4711", "v1|zone:Mars", "v1|colour:red", "v2|zone:UTC"] {
            let cookie = format!("{COOKIE}={value}");
            assert_eq!(of(&[("cookie", &cookie)]).unwrap_err().code(), Code::NotFound, "{value}");
        }
    }

    /// Any name that the time zone database has goes into a cookie, a header and a schema.
    #[test]
    fn every_zone_can_be_told() {
        let mut told = 0;
        for name in jiff::tz::db().available() {
            let Some(zone) = zone(name.as_str()) else { continue };
            let options = SessionOptions { zone: Some(zone), ..SessionOptions::default() };
            let cookie = options.to_cookie();
            assert!(cookie.bytes().all(|byte| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)), "{cookie}");
            assert_eq!(SessionOptions::of_cookie(&cookie), Some(options));
            told += 1;
        }
        assert!(told > 400, "{told}");
    }
}
