//! MQTT collector: subscriptions at one broker, plain topics and Sparkplug B.

pub mod sparkplug;
