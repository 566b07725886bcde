//! The list of MQTT's normative statements is whole, and every test it names is there.

#[cfg(test)]
mod statements;
