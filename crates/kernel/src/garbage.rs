//! Every decoder of this crate on any bytes, for tests and fuzzing: what the kernel sends is trusted in what it says, not in
//! that it is well-formed.

use crate::message::{Answer, Answers};
use crate::{address, link, neighbours, nft, route, ruleset, scene, trace};

/// Reads the bytes as messages, and each as everything that it could be. Nothing may panic; what is understood is counted.
#[must_use]
pub fn decode(bytes: &[u8]) -> usize {
    Answers::new(bytes).map(|answer| decode_one(&answer)).sum()
}

fn decode_one(answer: &Answer<'_>) -> usize {
    // rtnetlink's decoders look at the type themselves
    let found = [
        link::decode(answer).is_some(),
        link::decode_nsid(answer).is_some(),
        address::decode(answer).is_some(),
        route::decode(answer).is_some(),
    ];
    found.into_iter().filter(|found| *found).count()
        + neighbours::understood(answer)
        + nft::understood(answer)
        + scene::understood(answer)
        + ruleset::understood(answer)
        + trace::understood(answer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use raum_core::name::{IfName, Mac, NsId};
    use raum_core::plan::VethEnd;
    use raum_core::state::Route;

    use super::*;
    use crate::message::Requests;

    /// Messages as raum writes them, which look much like those that it reads.
    fn real() -> Vec<u8> {
        let name = |text: &str| IfName::new(text).unwrap();
        let end = |text: &str| VethEnd {
            ns: NsId::Host,
            name: name(text),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            master: None,
            up: true,
        };
        let mut requests = Requests::new();
        link::add_bridge(&mut requests, &name("br0"), Mac([2, 0, 0, 0, 0, 2]), 1500, 7);
        link::add_veth(&mut requests, &end("a"), Some(3), &end("b"), None, 7);
        for text in ["10.0.0.1/24", "fd00::1/64"] {
            address::add(&mut requests, 4, text.parse().unwrap());
        }
        for (to, via) in [("10.1.0.0/16", "10.0.0.9"), ("::/0", "fd00::9")] {
            route::set(
                &mut requests,
                &Route::unicast(to.parse().unwrap(), Some(via.parse().unwrap()), name("a")),
                Some(4),
            );
        }
        let mut bytes = requests.bytes().to_vec();
        bytes.extend(nft::sample());
        bytes
    }

    thread_local!(static REAL: Vec<u8> = real());

    /// The real bytes with some changed: the lengths and types in them lead astray from there.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12);
        (changes, any::<prop::sample::Index>()).prop_map(|(changes, cut)| {
            let mut bytes = REAL.with(Clone::clone);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len() * 2).max(16));
            bytes
        })
    }

    #[test]
    fn whole_messages_are_understood() {
        let kinds: BTreeSet<u16> = Answers::new(&real()).map(|answer| answer.kind).collect();
        assert!(kinds.len() >= 5, "{kinds:?}");
        assert!(decode(&real()) >= 10, "{}", decode(&real()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn damaged_messages_do_no_harm(bytes in damaged()) {
            prop_assert!(decode(&bytes) <= bytes.len());
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            // a header that fits, so that there is something to decode
            let mut message = u32::try_from(bytes.len() + 16).unwrap().to_ne_bytes().to_vec();
            message.extend([bytes.first().copied().unwrap_or(16), 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            message.extend(&bytes);
            prop_assert!(decode(&message) <= message.len());
        }
    }
}
