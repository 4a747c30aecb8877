//! What a message takes in memory, told from its bytes before it is made.
//!
//! Two bytes pass for an empty message in a list, and a mount takes some hundreds. So the bytes are walked
//! along the message's description, and what would be made is counted:
//!
//! | what | counts as |
//! |---|---|
//! | an element of a list | four times its size: a list begins with room for four, grows to twice its room, and has both for a moment |
//! | an entry of a map | four times its size, and a map's own: of its room at least three eighths are used |
//! | a message in a field | its size |
//! | a text, bytes | their length, once more for what they lie in |
//! | a field that nobody knows | what keeping it costs |

/// What the `protobuf` crate takes for the first field that it does not know: a map of four lists.
const UNKNOWN_BYTES: usize = 640;
/// A text, a list: pointer, length, room.
const VECTOR_BYTES: usize = size_of::<Vec<u8>>();
/// A map.
const MAP_BYTES: usize = 48;
/// A number, an enumeration's value.
const NUMBER_BYTES: usize = 8;
/// Wire types: a number, eight bytes, bytes with a length, four bytes.
const NUMBER: u64 = 0;
const EIGHT: u64 = 1;
const LENGTH: u64 = 2;
const FOUR: u64 = 5;

/// A message whose fields are known. `build/shapes.rs` implements it: a description that the program could ask
/// about itself would be a megabyte of it.
pub trait Shaped: Sized {
    /// Its fields.
    const SHAPE: &'static Shape;
}

/// The fields of a message by their numbers, in order.
pub struct Shape(&'static [(u32, Field)]);

/// What is known of a field.
pub struct Field {
    /// What each time counts that it comes.
    each: usize,
    /// What each byte of it counts beside.
    each_byte: usize,
    /// The messages that it consists of.
    message: Option<&'static Shape>,
}

impl Field {
    const fn times(many: bool, size: usize) -> usize {
        match many {
            true => 4 * size,
            false => size,
        }
    }

    const fn text(many: bool) -> Self {
        Self {
            each: Self::times(many, VECTOR_BYTES),
            each_byte: 1,
            message: None,
        }
    }

    const fn number(many: bool) -> Self {
        let each = Self::times(many, NUMBER_BYTES);
        Self {
            each,
            // They may be packed: each takes a byte or more there.
            each_byte: each,
            message: None,
        }
    }

    const fn message<M: Shaped>(many: bool) -> Self {
        Self {
            each: Self::times(many, size_of::<M>()),
            each_byte: 0,
            message: Some(M::SHAPE),
        }
    }

    const fn map(key: usize, value: usize) -> Self {
        Self {
            each: Self::times(true, key + value) + MAP_BYTES,
            each_byte: 1,
            message: None,
        }
    }

    fn weight(&self, content: &[u8]) -> usize {
        let within = match self.message {
            Some(message) => weight(message, content),
            None => content.len().saturating_mul(self.each_byte),
        };
        self.each.saturating_add(within)
    }
}

/// The bytes of memory that a message takes at the most; of a broken one, what is made before that shows.
pub fn weight(shape: &Shape, mut bytes: &[u8]) -> usize {
    let mut sum = 0_usize;
    while let Some(tag) = number(&mut bytes) {
        let Some(content) = content(&mut bytes, tag & 7) else {
            break;
        };
        let number = u32::try_from(tag >> 3).unwrap_or_default();
        let known = shape.0.binary_search_by_key(&number, |(number, _)| *number);
        let of_field = match known {
            Ok(at) => shape.0[at].1.weight(content),
            Err(_) => UNKNOWN_BYTES + content.len(),
        };
        sum = sum.saturating_add(of_field);
    }
    sum
}

/// Takes the number that the bytes begin with.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for at in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << (7 * at).min(63);
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes what follows a tag; of a number nothing is left.
fn content<'a>(bytes: &mut &'a [u8], wire_type: u64) -> Option<&'a [u8]> {
    let length = match wire_type {
        NUMBER => return number(bytes).map(|_| &bytes[..0]),
        EIGHT => 8,
        FOUR => 4,
        LENGTH => usize::try_from(number(bytes)?).ok()?,
        // Groups are refused.
        _ => return None,
    };
    let (content, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(content)
}

mod shapes {
    use super::*;
    use crate::proto::messages::api::*;

    include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
}

#[cfg(test)]
mod tests {
    use protobuf::Message;

    use super::*;
    use crate::{
        memory_testing::holds_little,
        proto::{
            ContainerConfig, CreateContainerRequest, KeyValue, Mount, PodSandboxConfig,
            RunPodSandboxRequest,
        },
    };

    fn is_enough<M: Message + Shaped>(name: &str, bytes: &[u8]) -> usize {
        let weight = weight(M::SHAPE, bytes);
        // `holds_little` allows three times the bytes by itself, and a message lies on the stack.
        let used = allocation_counter::measure(|| drop(M::parse_from_bytes(bytes)));
        assert!(
            used.bytes_max <= weight as u64 + 1024,
            "{name}: {} where {weight} was told",
            used.bytes_max
        );
        weight
    }

    /// A field with bytes of this number.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            bytes.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        bytes.push(length as u8);
        bytes.extend_from_slice(content);
        bytes
    }

    #[test]
    fn no_message_takes_more_than_is_told() {
        let many = |piece: &[u8]| piece.repeat((1 << 18) / piece.len());
        let in_request = |config: &[u8]| field(2, config);
        for (name, config) in [
            ("variables", many(&field(6, b""))),
            ("mounts", many(&field(7, b""))),
            ("devices", many(&field(8, b""))),
            ("words", many(&field(3, b""))),
            (
                "labels",
                (0..20_000)
                    .flat_map(|at| field(9, &field(1, format!("{at}").as_bytes())))
                    .collect(),
            ),
            ("one label", many(&field(9, b""))),
            ("a long word", field(3, &vec![b'x'; 1 << 18])),
            ("what nobody knows", many(&[0x82, 0x3e, 0x00])),
            (
                "numbers that nobody knows",
                (0..20_000_u32)
                    .flat_map(|at| {
                        let tag = (1000 + at) << 3;
                        [
                            (tag & 0x7f) as u8 | 0x80,
                            (tag >> 7 & 0x7f) as u8 | 0x80,
                            (tag >> 14) as u8,
                            7,
                        ]
                    })
                    .collect(),
            ),
            (
                "identifiers",
                field(15, &field(2, &field(8, &many(&[0x80, 0x01])))),
            ),
            (
                "identifiers by themselves",
                field(15, &field(2, &many(&[0x40, 0x01]))),
            ),
            ("rubbish", many(&[0x0b, 0xff, 0x3a])),
        ] {
            is_enough::<CreateContainerRequest>(name, &in_request(&config));
            is_enough::<ContainerConfig>(name, &config);
            is_enough::<PodSandboxConfig>(name, &config);
            is_enough::<RunPodSandboxRequest>(name, &field(1, &config));
        }
        // It tells what is there, and not much more.
        let config = ContainerConfig {
            envs: (0..1000)
                .map(|at| KeyValue {
                    key: format!("VARIABLE_{at}"),
                    value: "x".repeat(100).into(),
                    ..Default::default()
                })
                .collect(),
            mounts: vec![Mount::default(); 100],
            ..Default::default()
        };
        let bytes = config.write_to_bytes().unwrap();
        let told = is_enough::<ContainerConfig>("a usual one", &bytes);
        assert!(told < 5 * bytes.len(), "{told} for {}", bytes.len());
        holds_little("the counting", &bytes, 4096, |bytes| {
            weight(ContainerConfig::SHAPE, bytes);
        });
    }
}
