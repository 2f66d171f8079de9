//! Topics of Sparkplug B: `spBv1.0/group/KIND/node` and `spBv1.0/group/KIND/node/device`.

/// First level of every topic.
pub(super) const NAMESPACE: &str = "spBv1.0";

/// Longest id of a group, a node or a device in bytes.
const ID_BYTES_MAX: usize = 256;

/// What a message of an edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeMessage {
    NodeBirth,
    NodeData,
    NodeDeath,
    DeviceBirth,
    DeviceData,
    DeviceDeath,
}

/// A topic, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SparkplugTopic<'a> {
    Edge {
        group: &'a str,
        node: &'a str,
        device: Option<&'a str>,
        message: EdgeMessage,
    },
    /// Commands to edges and states of hosts: not for a host to take.
    Foreign,
}

/// Reads a topic.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn read_topic(topic: &str) -> Result<SparkplugTopic<'_>, String> {
    let shown: String = topic.chars().take(200).collect();
    let levels: Vec<&str> = topic.splitn(7, '/').collect();
    if levels[0] != NAMESPACE {
        return Err(format!("topic {shown:?} does not begin with {NAMESPACE}/"));
    }
    let (group, kind, rest) = match levels[1..] {
        ["STATE", _] | [_, "STATE", _] => return Ok(SparkplugTopic::Foreign),
        [group, kind, ref rest @ ..] if !rest.is_empty() => (group, kind, rest),
        _ => return Err(format!("topic {shown:?} is not {NAMESPACE}/group/kind/node or {NAMESPACE}/group/kind/node/device")),
    };
    let message = match kind {
        "NBIRTH" => EdgeMessage::NodeBirth,
        "NDATA" => EdgeMessage::NodeData,
        "NDEATH" => EdgeMessage::NodeDeath,
        "DBIRTH" => EdgeMessage::DeviceBirth,
        "DDATA" => EdgeMessage::DeviceData,
        "DDEATH" => EdgeMessage::DeviceDeath,
        "NCMD" | "DCMD" => return Ok(SparkplugTopic::Foreign),
        _ => return Err(format!("topic {shown:?} has {kind:.20} in place of NBIRTH, NDATA, NDEATH, DBIRTH, DDATA, DDEATH, NCMD or DCMD")),
    };
    let of_device = matches!(message, EdgeMessage::DeviceBirth | EdgeMessage::DeviceData | EdgeMessage::DeviceDeath);
    let (node, device) = match (of_device, rest) {
        (false, &[node]) => (node, None),
        (true, &[node, device]) => (node, Some(device)),
        (false, _) => return Err(format!("topic {shown:?} names more than a node behind {kind}")),
        (true, _) => return Err(format!("topic {shown:?} does not name one node and one device behind {kind}")),
    };
    for id in [Some(group), Some(node), device].into_iter().flatten() {
        if id.is_empty() || id.len() > ID_BYTES_MAX || id.contains(['+', '#']) || id.chars().any(char::is_control) {
            let rule = format!("1 to {ID_BYTES_MAX} bytes without +, # and control characters");
            return Err(format!("topic {shown:?} has an id of a group, a node or a device that is not {rule}"));
        }
    }
    Ok(SparkplugTopic::Edge { group, node, device, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_or_refused_in_words() {
        let edge = |node, device, message| Ok(SparkplugTopic::Edge { group: "G", node, device, message });
        for (topic, expected) in [
            ("spBv1.0/G/NBIRTH/N", edge("N", None, EdgeMessage::NodeBirth)),
            ("spBv1.0/G/NDATA/N", edge("N", None, EdgeMessage::NodeData)),
            ("spBv1.0/G/NDEATH/N", edge("N", None, EdgeMessage::NodeDeath)),
            ("spBv1.0/G/DBIRTH/N/D", edge("N", Some("D"), EdgeMessage::DeviceBirth)),
            ("spBv1.0/G/DDATA/N/Kälte 1", edge("N", Some("Kälte 1"), EdgeMessage::DeviceData)),
            ("spBv1.0/G/DDEATH/N/D", edge("N", Some("D"), EdgeMessage::DeviceDeath)),
            ("spBv1.0/G/NCMD/N", Ok(SparkplugTopic::Foreign)),
            ("spBv1.0/G/DCMD/N/D", Ok(SparkplugTopic::Foreign)),
            ("spBv1.0/STATE/historian", Ok(SparkplugTopic::Foreign)),
            ("spBv1.0/G/STATE/scada", Ok(SparkplugTopic::Foreign)),
        ] {
            assert_eq!(read_topic(topic), expected, "{topic}");
        }
        for (topic, part) in [
            ("", "does not begin with spBv1.0/"),
            ("spAv1.0/G/NBIRTH/N", "does not begin with spBv1.0/"),
            ("spBv1.0", "is not spBv1.0/group/kind/node"),
            ("spBv1.0/G/NBIRTH", "is not spBv1.0/group/kind/node"),
            ("spBv1.0/G/NBIRTH/N/D", "more than a node"),
            ("spBv1.0/G/DDATA/N", "one node and one device"),
            ("spBv1.0/G/DDATA/N/D/x", "one node and one device"),
            ("spBv1.0/G/DDATA/N/D/x/y/z", "one node and one device"),
            ("spBv1.0/G/DATA/N", "in place of NBIRTH"),
            ("spBv1.0//NBIRTH/N", "1 to 256 bytes"),
            ("spBv1.0/G/DDATA/N/", "1 to 256 bytes"),
        ] {
            let reason = read_topic(topic).unwrap_err();
            assert!(reason.contains(part), "{topic}: {reason}");
        }
    }
}
