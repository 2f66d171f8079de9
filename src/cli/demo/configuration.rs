//! The demo's configuration as a file that a user can read, copy and change: made from the plant's list of signals, read back by the server
//! like any other.

use std::{fmt::Write, net::SocketAddr};

use historian_simulator::{
    NAMESPACE, SIGNALS, Signal, SignalAddress,
    signal::{SignalFormat, SignalWordOrder},
};

/// Text of `demo.toml`.
pub fn text([modbus, opcua]: [SocketAddr; 2], listen: SocketAddr, http: SocketAddr) -> String {
    let mut text = format!(
        "# Written anew by each `historian demo`; copy it to change it. The simulated plant lives only as long as the demo.\n\n\
         [server]\nlisten = \"{listen}\"\nhttp = \"{http}\"\ndata_dir = \".\"\n\n\
         [[modbus]]\nname = \"skid-plc\"\nendpoint = \"{modbus}\"\nunit = 1\nscan_ms = 1000\n"
    );
    for signal in SIGNALS.iter().filter(|signal| matches!(signal.wire, SignalAddress::Modbus { .. })) {
        tag(&mut text, "modbus", signal);
    }
    text += &format!(
        "\n[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://{opcua}/\"\n\
         # The simulated server offers nothing better, and only on loopback.\nsecurity_policy = \"None\"\n\
         publishing_ms = 500\nsampling_ms = 500\n"
    );
    for signal in SIGNALS.iter().filter(|signal| matches!(signal.wire, SignalAddress::OpcUa { .. })) {
        tag(&mut text, "opcua", signal);
    }
    text
}

fn tag(text: &mut String, protocol: &str, signal: &Signal) {
    let mut line = |key: &str, value: String| _ = writeln!(text, "{key} = {value}");
    line(&format!("\n[[{protocol}.tag]]\nname"), quoted(signal.tag));
    line("type", quoted(signal.value_type.as_str()));
    if !signal.unit.is_empty() {
        line("unit", quoted(signal.unit));
    }
    line("description", quoted(signal.description));
    if let Some((low, high)) = signal.range {
        line("range_low", format!("{low:?}"));
        line("range_high", format!("{high:?}"));
    }
    match signal.wire {
        SignalAddress::OpcUa { node, .. } => line("address", quoted(&format!("nsu={NAMESPACE};s={node}"))),
        SignalAddress::Modbus { table, address, format, order, scale } => {
            line("address", quoted(&format!("{}:{address}", table.as_str())));
            if format != SignalFormat::Bit {
                line("format", quoted(format.as_str()));
            }
            if order != SignalWordOrder::ABCD {
                line("word_order", quoted(order.as_str()));
            }
            if (scale - 1.0).abs() > 0.0 {
                line("scale", format!("{scale:?}"));
            }
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use historian_server::config::{self, Overrides};

    #[test]
    fn every_signal_becomes_a_tag_of_its_type_and_unit() {
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let text = text([at(502), at(4840)], at(8815), at(8080));
        let configuration =
            config::parse("demo.toml", &text, Path::new("."), &Overrides::default()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let tags: Vec<_> = configuration.collectors.iter().flat_map(|collector| collector.tags()).collect();
        assert_eq!(tags.len(), SIGNALS.len());
        for signal in SIGNALS {
            let tag = tags.iter().find(|tag| tag.name.as_str() == signal.tag).unwrap_or_else(|| panic!("{} is missing", signal.tag));
            assert_eq!((tag.value_type, tag.unit.as_str()), (signal.value_type, signal.unit), "{}", signal.tag);
            assert_eq!(tag.range_low.zip(tag.range_high), signal.range, "{}", signal.tag);
        }
    }
}
