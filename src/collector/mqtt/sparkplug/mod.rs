//! Sparkplug B as a host: what edge nodes and their devices tell, as a state machine without a connection.
