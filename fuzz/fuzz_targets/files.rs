//! Any bytes as raum's own files, record and journal: what is understood can be compared, planned with and written again.
//! `cargo +nightly fuzz run files`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use raum::record::{Journal, Record};
use raum_core::diff::diff;
use raum_core::state::State;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        let written = serde_json::to_vec(&record).expect("a record");
        assert_eq!(serde_json::from_slice::<Record>(&written).expect("what was written is read"), record);
        // nothing but a panic is wrong: a record may have been edited by hand
        drop(diff(&record.lab, &State::default(), &record.state));
        drop(diff(&record.lab, &record.state, &State::default()));
    }
    if let Ok(journal) = serde_json::from_slice::<Journal>(bytes) {
        let lab = "fuzz".parse().expect("a name");
        drop(diff(&lab, &journal.before, &journal.target));
    }
});
