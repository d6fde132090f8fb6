//! Pictures: whatever a network is like, nothing lies on anything else, no text leaves its box, no wire crosses a box, and
//! no name of somebody else's becomes a part of the drawing's own language.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use raum_core::design::design;
use raum_core::host::Surroundings;
use raum_core::lab;
use raum_core::name::LabName;
use raum_core::picture::{
    Area, Drawing, End, Glyphs, Kind, Note, NoteKind, Picture, Thing, Wire, arrange, dot, mermaid, of_design, svg, text,
};

/// What a name can be at the worst.
const NAMES: [&str; 8] = [
    "web",
    "a-rather-long-name-of-a-namespace-that-somebody-really-gave-to-his-namespace-for-reasons",
    "<script>alert(1)</script>",
    "\"]; end --> x",
    "名前空間の名前",
    "WWWWWWWWWWWWWW",
    "\u{202e}drawkcab\\",
    "&#35;\u{7}\u{1b}[31m",
];

fn name() -> impl Strategy<Value = String> {
    (0..NAMES.len(), 0..100_u8).prop_map(|(name, number)| format!("{}{number}", NAMES[name]))
}

fn thing() -> impl Strategy<Value = Thing> {
    let kind = prop_oneof![
        1 => Just(Kind::Host),
        6 => Just(Kind::Room),
        3 => Just(Kind::Switch),
        1 => Just(Kind::Unseen),
        1 => Just(Kind::Outside),
    ];
    let note = (name(), any::<bool>())
        .prop_map(|(text, nat)| Note { kind: if nat { NoteKind::Nat } else { NoteKind::Port }, text });
    let texts = || prop::collection::vec(name(), 0..3);
    (kind, name(), texts(), texts(), prop::collection::vec(note, 0..12))
        .prop_map(|(kind, name, details, loose, notes)| Thing { kind, name, details, loose, notes })
}

fn end(things: usize) -> impl Strategy<Value = End> {
    let address = (any::<[u8; 4]>(), 0..33_u8).prop_map(|([a, b, c, d], len)| format!("{a}.{b}.{c}.{d}/{len}"));
    let addresses = prop::collection::vec(address, 0..4);
    (0..things, proptest::option::of(name()), addresses, any::<(bool, bool)>())
        .prop_map(|(thing, interface, addresses, (up, way_out))| End { thing, interface, addresses, up, way_out })
}

fn picture() -> impl Strategy<Value = Picture> {
    let things = prop::collection::vec(thing(), 1..26);
    (name(), things).prop_flat_map(|(title, things)| {
        let count = things.len();
        let wire = (end(count), end(count)).prop_map(|(a, b)| Wire { up: a.up && b.up, ends: [a, b] });
        prop::collection::vec(wire, 0..count + 4).prop_map(move |mut wires| {
            wires.retain(|wire| wire.ends[0].thing != wire.ends[1].thing);
            Picture { title: title.clone(), things: things.clone(), wires, missing: Vec::new() }
        })
    })
}

fn overlap(a: &Area, b: &Area) -> bool {
    a.x < b.x + b.width - 0.01
        && b.x < a.x + a.width - 0.01
        && a.y < b.y + b.height - 0.01
        && b.y < a.y + a.height - 0.01
}

fn check(picture: &Picture, drawing: &Drawing) {
    let mut things: Vec<usize> = drawing.areas.iter().map(|area| area.thing).collect();
    things.sort_unstable();
    assert_eq!(things, (0..picture.things.len()).collect::<Vec<_>>(), "each thing is drawn once");
    for (index, area) in drawing.areas.iter().enumerate() {
        let inside = area.x >= 0.0
            && area.y >= 0.0
            && area.x + area.width <= drawing.width
            && area.y + area.height <= drawing.height;
        assert!(inside, "{area:?} is not in the picture");
        for other in &drawing.areas[..index] {
            assert!(!overlap(area, other), "{area:?} lies on {other:?}");
        }
    }
    for (index, label) in drawing.labels.iter().enumerate() {
        let area = &drawing.areas[label.area];
        let inside = label.x >= area.x
            && label.x + label.width <= area.x + area.width + 0.01
            && label.y - label.size >= area.y - 0.01
            && label.y <= area.y + area.height;
        assert!(inside, "{label:?} is not in {area:?}");
        for other in drawing.labels[..index].iter().filter(|other| other.area == label.area) {
            let beside = label.x + label.width <= other.x + 0.01 || other.x + other.width <= label.x + 0.01;
            assert!(beside || (label.y - other.y).abs() >= 12.0, "{label:?} lies on {other:?}");
        }
    }
    for line in &drawing.lines {
        let own: Vec<usize> =
            line.wire.map(|wire| picture.wires[wire].ends.iter().map(|end| end.thing).collect()).unwrap_or_default();
        for pair in line.points.windows(2) {
            let ((x0, y0), (x1, y1)) = (pair[0], pair[1]);
            for area in drawing.areas.iter().filter(|area| !own.contains(&area.thing)) {
                // a curve keeps between the heights and the sides of its ends
                let over = x0.min(x1) < area.x + area.width - 0.5
                    && x0.max(x1) > area.x + 0.5
                    && y0.min(y1) < area.y + area.height - 0.5
                    && y0.max(y1) > area.y + 0.5;
                assert!(!over, "{line:?} crosses {area:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn nothing_lies_on_anything_else(picture in picture()) {
        check(&picture, &arrange(&picture));
        prop_assert_eq!(svg(&picture), svg(&picture));
    }

    #[test]
    fn a_room_with_many_wires_is_not_an_endless_row(mut picture in picture(), rooms in prop::collection::vec((thing(), end(1)), 7..40)) {
        let hub = picture.things.len();
        let kind = Kind::Room;
        picture.things.push(Thing { kind, ..picture.things[0].clone() });
        for (room, end) in rooms {
            let thing = picture.things.len();
            picture.things.push(Thing { kind, ..room });
            picture.wires.push(Wire { up: end.up, ends: [End { thing: hub, ..end.clone() }, End { thing, ..end }] });
        }
        check(&picture, &arrange(&picture));
    }

    #[test]
    fn no_name_becomes_a_part_of_the_language(picture in picture()) {
        let drawn = svg(&picture);
        let harmless = ['\u{202e}', '\u{1b}'].iter().all(|c| !drawn.contains(*c)) && !drawn.contains("<script");
        prop_assert!(harmless);
        let quotes = |line: &str| line.replace("\\\\", "").replace("\\\"", "").matches('"').count();
        for line in dot(&picture).lines().filter(|line| !line.contains("<<b>")) {
            prop_assert_eq!(quotes(line) % 2, 0, "{}", line);
        }
        for line in mermaid(&picture).lines().skip(1) {
            prop_assert!(matches!(line.matches('"').count(), 0 | 2), "{}", line);
            prop_assert!(!line.contains("<script"));
        }
    }

    #[test]
    fn text_fits_its_terminal(picture in picture(), columns in 10..120_usize) {
        for glyphs in [Glyphs::Lines, Glyphs::Ascii] {
            let drawn = text(&picture, columns, glyphs);
            for line in drawn.lines() {
                prop_assert!(unicode_width::UnicodeWidthStr::width(line) <= columns, "{}", line);
                prop_assert!(glyphs == Glyphs::Lines || line.is_ascii(), "{}", line);
            }
        }
        let all = text(&picture, usize::MAX, Glyphs::Ascii);
        prop_assert!(all.lines().count() >= picture.things.len());
    }
}

/// Rooms of which each has a wire to each.
fn mesh(count: usize) -> Picture {
    let room = |number: usize| Thing {
        kind: Kind::Room,
        name: format!("r{number}"),
        details: Vec::new(),
        loose: Vec::new(),
        notes: Vec::new(),
    };
    let end = |thing: usize, other: usize| End {
        thing,
        interface: Some(format!("to-{other}")),
        addresses: vec!["10.0.0.1/30".to_owned()],
        up: true,
        way_out: false,
    };
    let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
    let wires = pairs.map(|(a, b)| Wire { ends: [end(a, b), end(b, a)], up: true }).collect();
    Picture { title: "mesh".to_owned(), things: (0..count).map(room).collect(), wires, missing: Vec::new() }
}

#[test]
fn wires_beyond_counting_are_told_and_the_rest_is_drawn() {
    let small = arrange(&mesh(8));
    assert_eq!((small.told, small.lines.len()), (0, 28));
    let mut picture = mesh(120);
    // beside them a pair that is drawn as ever
    let first = picture.things.len();
    picture.things.extend(mesh(2).things);
    picture.wires.extend(mesh(2).wires.into_iter().map(|mut wire| {
        wire.ends.iter_mut().for_each(|end| end.thing += first);
        wire
    }));
    let drawing = arrange(&picture);
    check(&picture, &drawing);
    assert_eq!((drawing.told, drawing.lines.len()), (120 * 119 / 2, 1));
    assert!(drawing.labels.iter().any(|label| label.text == "to-1 to r1 to-0, 10.0.0.1/30"));
    assert!(svg(&picture).contains("7140 wires are too many to draw"));
    // fewer, which would cross more layers than anybody can follow
    assert_eq!(arrange(&mesh(30)).told, 435);
}

fn of_file(path: &Path) -> Picture {
    let text = fs::read_to_string(path).unwrap();
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap();
    let lab = lab::parse(&text, &LabName::new(stem).unwrap()).unwrap();
    of_design(&lab.name, &design(&lab, &Surroundings { ipv6: true, ..Surroundings::default() }))
}

/// The pictures of the documentation are those that `raum graph` draws now. `UPDATE_CASES=1` draws them anew.
#[test]
fn pictures_of_the_documentation_are_of_today() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (file, picture) in [
        ("examples/rooms.yaml", "docs/pictures/rooms.svg"),
        ("examples/shop.yaml", "docs/pictures/shop.svg"),
        ("examples/street.yaml", "docs/pictures/street.svg"),
        ("examples/office.yaml", "docs/pictures/office.svg"),
    ] {
        let drawn = svg(&of_file(&root.join(file)));
        if std::env::var_os("UPDATE_CASES").is_some() {
            fs::create_dir_all(root.join("docs/pictures")).unwrap();
            fs::write(root.join(picture), drawn).unwrap();
        } else {
            assert!(
                fs::read_to_string(root.join(picture)).unwrap() == drawn,
                "{picture} is not what is drawn of {file}"
            );
        }
    }
}

#[test]
fn every_example_is_drawn_without_overlap() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in fs::read_dir(folder).unwrap() {
        let picture = of_file(&entry.unwrap().path());
        check(&picture, &arrange(&picture));
    }
}
