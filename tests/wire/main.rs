//! The wire codec against the two standards: valid packets byte for byte both ways, every property on
//! every packet, malformed packets with the reason and the statement they break, round trips of
//! anything, and a second codec as an oracle.

#[cfg(test)]
mod allocation;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod direction;
#[cfg(test)]
mod framing;
#[cfg(test)]
mod malformed;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod rumqttc;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod topics;
#[cfg(test)]
mod valid;
