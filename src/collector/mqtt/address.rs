//! Where a tag is at a broker: in the notation of `address` in the configuration, and of the source that the catalog shows.
//!
//! - `plant/boiler/temp`: the payload of that topic is the value;
//! - `plant/boiler/state#/temperature`: the member of its JSON at this pointer;
//! - `plant/gateway#/v[/id=TE101]`: of the objects in it, those whose member `/id` is `TE101` (only of tags that are made by themselves);
//! - `sparkplug:group/node:metric`, `sparkplug:group/node/device:metric`.

use super::filter::topic_problem;

/// What begins the address of a Sparkplug metric.
pub const SPARKPLUG: &str = "sparkplug:";

/// An address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MqttAddress {
    Topic(TopicAddress),
    Metric(MetricAddress),
}

/// A value in the messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicAddress {
    pub topic: String,
    /// JSON pointer; empty for the whole payload.
    pub pointer: String,
    /// Pointers and texts of members that tell whose value it is.
    pub members: Vec<(String, String)>,
}

/// A Sparkplug metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricAddress {
    pub group: String,
    pub node: String,
    /// Empty for metrics of the node.
    pub device: String,
    pub metric: String,
}

impl MqttAddress {
    /// Takes an address apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<MqttAddress, String> {
        if let Some(metric) = text.strip_prefix(SPARKPLUG) {
            let wrong = || "is not of the form sparkplug:group/node:metric or sparkplug:group/node/device:metric".to_owned();
            let (edge, metric) = metric.split_once(':').ok_or_else(wrong)?;
            let levels: Vec<&str> = edge.split('/').collect();
            let (group, node, device) = match levels[..] {
                [group, node] => (group, node, ""),
                [group, node, device] if !device.is_empty() => (group, node, device),
                _ => return Err(wrong()),
            };
            if group.is_empty() || node.is_empty() || metric.is_empty() || edge.contains(['+', '#']) {
                return Err(wrong());
            }
            let [group, node, device, metric] = [group, node, device, metric].map(str::to_owned);
            return Ok(MqttAddress::Metric(MetricAddress { group, node, device, metric }));
        }
        let (topic, pointer) = text.split_once('#').unwrap_or((text, ""));
        if let Some(problem) = topic_problem(topic) {
            return Err(format!("{topic:?}: {problem}"));
        }
        let (pointer, members) = members_of(pointer);
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!("behind # stands a JSON pointer, which begins with /, not {pointer:?}"));
        }
        Ok(MqttAddress::Topic(TopicAddress { topic: topic.to_owned(), pointer: pointer.to_owned(), members }))
    }
}

/// [`MqttAddress::parse`] of what a person wrote: the address of another protocol is no topic by chance.
///
/// # Errors
/// What is wrong with it.
pub fn configured(text: &str) -> Result<MqttAddress, String> {
    if ["ns=", "nsu=", "svr="].iter().any(|begin| text.starts_with(begin)) {
        return Err(format!("{text:?} is an address of OPC UA"));
    }
    if !text.starts_with(SPARKPLUG) && !text.contains(['/', '#']) && text.contains([':', '=']) {
        return Err(format!("{text:?} has no level: is it of another protocol? If it is a topic, write it with # at its end"));
    }
    let address = MqttAddress::parse(text)?;
    match &address {
        MqttAddress::Topic(topic) if !topic.members.is_empty() => {
            Err("members in brackets are only in tags that [[mqtt.topic]] makes".to_owned())
        }
        MqttAddress::Topic(topic) if !topic.pointer.is_empty() && !is_pointer(&topic.pointer) => {
            Err(format!("{:?} is no JSON pointer: ~ is written ~0, / in a name ~1", topic.pointer))
        }
        _ => Ok(address),
    }
}

/// A pointer without the members behind it in brackets, and these.
fn members_of(text: &str) -> (&str, Vec<(String, String)>) {
    let Some((pointer, within)) = text.split_once("[/").filter(|_| text.ends_with(']')) else { return (text, Vec::new()) };
    let within = within.strip_suffix(']').unwrap_or(within);
    let members = within.split("][/").filter_map(|member| member.split_once('='));
    (pointer, members.map(|(pointer, text)| (format!("/{pointer}"), text.to_owned())).collect())
}

/// The notation of a value in the messages of a topic.
pub fn of_topic(topic: &str, pointer: &str, members: &[(&str, String)]) -> String {
    let mut address = topic.to_owned();
    if !pointer.is_empty() || !members.is_empty() {
        address.push('#');
        address.push_str(pointer);
    }
    for (pointer, text) in members {
        address.push_str(&format!("[{pointer}={text}]"));
    }
    address
}

/// Whether a text is a JSON pointer that is not that of the whole.
pub fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_they_were_written_from() {
        for (topic, pointer, members) in [
            ("plant/boiler/temp", "", vec![]),
            ("plant/boiler/state", "/temperature", vec![]),
            ("gw", "/v", vec![("/id", "TE101".to_owned()), ("/unit", "a=b".to_owned())]),
            ("gw", "", vec![("/id", "x".to_owned())]),
        ] {
            let text = of_topic(topic, pointer, &members);
            let MqttAddress::Topic(parsed) = MqttAddress::parse(&text).unwrap() else { panic!("{text}") };
            assert_eq!((parsed.topic.as_str(), parsed.pointer.as_str()), (topic, pointer), "{text}");
            let parsed: Vec<(&str, String)> = parsed.members.iter().map(|(pointer, text)| (pointer.as_str(), text.clone())).collect();
            assert_eq!(parsed, members, "{text}");
        }
        let metric = MqttAddress::parse("sparkplug:g/n/d:a/b:c").unwrap();
        let [group, node, device, name] = ["g", "n", "d", "a/b:c"].map(str::to_owned);
        assert_eq!(metric, MqttAddress::Metric(MetricAddress { group, node, device, metric: name }));
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, told) in [
            ("", "empty"),
            ("a/+/b", "[[mqtt.topic]]"),
            ("a#b", "JSON pointer"),
            ("sparkplug:g:m", "of the form"),
            ("sparkplug:g/n/d/x:m", "of the form"),
            ("sparkplug:g/n:", "of the form"),
            ("sparkplug:+/n:m", "of the form"),
        ] {
            let error = MqttAddress::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
