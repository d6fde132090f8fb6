//! Any text as what is typed: names of labs, nodes, namespaces and interfaces, addresses, and plans of them as commands.
//! `cargo +nightly fuzz run words`.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use raum_core::lab::parse;
use raum_core::name::{IfName, LabName, NodeName, NsName};
use raum_core::plan::Op;
use raum_core::render::command;

fuzz_target!(|text: &str| {
    // a name is never a path: it is one plain component, and not an option
    let plain = |name: &str| {
        let mut parts = Path::new(name).components();
        matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) && !name.contains('\0')
    };
    if let Ok(name) = LabName::new(text) {
        assert!(plain(name.as_str()) && !name.as_str().starts_with('-'));
    }
    if let Ok(name) = NodeName::new(text) {
        assert!(plain(name.as_str()) && !name.as_str().starts_with('-'));
    }
    if let Ok(name) = NsName::new(text) {
        assert!(plain(name.as_str()));
        let lines = command(&Op::DelNamespace { name });
        assert!(lines.iter().all(|line| !line.contains('\n')));
    }
    if let Ok(name) = IfName::new(text) {
        assert!(name.as_str().len() <= 15 && !name.as_str().contains('/'));
    }
    // the short forms of the lab file, where a text has a grammar of its own
    for key in ["on", "routes", "publish", "forward", "gateway"] {
        let quoted = serde_json::to_string(text).expect("a text");
        let lab = format!("namespaces: {{ a: {{ {key}: [{quoted}] }} }}\n");
        drop(parse(&lab, &LabName::new("fuzz").expect("a name")));
    }
    let quoted = serde_json::to_string(text).expect("a text");
    drop(parse(&format!("expect: [{quoted}]\n"), &LabName::new("fuzz").expect("a name")));
});
