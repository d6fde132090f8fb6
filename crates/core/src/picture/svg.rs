//! SVG: for a slide or a page. It follows the reader's light or dark, holds no script and loads nothing, and every text in
//! it is escaped.

use super::arrange::{Area, Drawing, Line, ROOF, Role, arrange};
use super::measure::{Font, cut};
use super::{Kind, Picture, Wire};

/// Colours of switches, for light and dark: far enough from each other for people who see few colours, too.
const HUES: [(&str, &str); 7] = [
    ("#2563eb", "#7aa7ff"),
    ("#c2410c", "#fb9a5b"),
    ("#0f766e", "#4fd1c0"),
    ("#7c3aed", "#b99bff"),
    ("#a16207", "#e6c04a"),
    ("#be185d", "#f58ac0"),
    ("#4d7c0f", "#a5d65a"),
];

/// What is the same in light and dark.
const STYLE: &str = "\
text{font-family:system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}
.m{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace}
.box,.out{stroke-width:1.5}.out{stroke-dasharray:2 4;stroke-linecap:round}.unseen{stroke-dasharray:5 4}
.head,.if{font-weight:600}.name{font-weight:700}
.wire{fill:none;stroke-width:2}.down{stroke-dasharray:3 5;opacity:.75}
";

/// The colours of everything but switches. They are written out for each theme: few programs but browsers know variables.
struct Theme {
    paper: &'static str,
    room: &'static str,
    host: &'static str,
    edge: &'static str,
    ink: &'static str,
    dim: &'static str,
    wire: &'static str,
    on_bar: &'static str,
    nat: &'static str,
    port: &'static str,
    hue: fn(&(&'static str, &'static str)) -> &'static str,
}

const LIGHT: Theme = Theme {
    paper: "#ffffff",
    room: "#f8fafc",
    host: "#eef2f7",
    edge: "#94a3b8",
    ink: "#0f172a",
    dim: "#526077",
    wire: "#64748b",
    on_bar: "#ffffff",
    nat: "#9a3412",
    port: "#166534",
    hue: |hue| hue.0,
};

const DARK: Theme = Theme {
    paper: "#0f172a",
    room: "#1b2740",
    host: "#24324d",
    edge: "#5f6f8a",
    ink: "#f1f5f9",
    dim: "#a9b6ca",
    wire: "#8fa0b8",
    on_bar: "#0b1220",
    nat: "#fdba74",
    port: "#86efac",
    hue: |hue| hue.1,
};

impl Theme {
    fn rules(&self) -> String {
        let Theme { paper, room, host, edge, ink, dim, wire, on_bar, nat, port, hue } = self;
        let mut rules = format!(
            ".bg,.out{{fill:{paper}}}.box{{fill:{room}}}.box,.out{{stroke:{edge}}}.host{{fill:{host};stroke:{dim}}}\n\
             .head,.name,.if{{fill:{ink}}}.detail,.addr{{fill:{dim}}}.onbar{{fill:{on_bar}}}\
             .nat{{fill:{nat}}}.port{{fill:{port}}}\n.wire{{stroke:{wire}}}.plug{{fill:{wire};stroke:{paper}}}\n"
        );
        for (index, colours) in HUES.iter().enumerate() {
            let colour = hue(colours);
            rules += &format!(".h{index}{{fill:{colour}}}.w{index}{{stroke:{colour}}}");
        }
        rules
    }
}

/// Draws it.
#[must_use]
pub fn svg(picture: &Picture) -> String {
    let drawing = arrange(picture);
    let mut out = String::new();
    let (width, height) = (number(drawing.width.ceil()), number(drawing.height.ceil()));
    let title = escaped(&cut(&picture.title, 80));
    out.push_str(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n<style>\n{STYLE}"
    ));
    out.push_str(&format!("{}\n@media(prefers-color-scheme:dark){{\n{}\n}}\n</style>\n", LIGHT.rules(), DARK.rules()));
    out.push_str(&format!("<rect class=\"bg\" width=\"{width}\" height=\"{height}\"/>\n"));
    out.push_str(&format!("<text class=\"head\" x=\"28\" y=\"40\" font-size=\"18\">{title}</text>\n"));
    if drawing.told > 0 {
        out.push_str(&format!(
            "<text class=\"detail\" x=\"28\" y=\"57\" font-size=\"11\">{} wires are too many to draw: each box says \
             where its own lead</text>\n",
            drawing.told
        ));
    }
    for line in &drawing.lines {
        write_line(&mut out, picture, line);
    }
    for area in &drawing.areas {
        write_area(&mut out, picture, area);
    }
    for line in &drawing.lines {
        write_plugs(&mut out, line);
    }
    write_labels(&mut out, picture, &drawing);
    out.push_str("</svg>\n");
    out
}

/// At most two decimals, and none that says nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// As text or attribute of XML 1.0, which has no way to write most control characters (section 2.2).
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c if c.is_control() || is_direction(c) || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// What turns the direction of text around, so that a name reads as another.
pub(super) fn is_direction(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn write_line(out: &mut String, picture: &Picture, line: &Line) {
    let Some(((x, y), rest)) = line.points.split_first() else { return };
    let mut path = format!("M{} {}", number(*x), number(*y));
    let mut last = (*x, *y);
    for &(x, y) in rest {
        if (x - last.0).abs() < 0.1 || (y - last.1).abs() < 0.1 {
            path += &format!("L{} {}", number(x), number(y));
        } else {
            let middle = number(f64::midpoint(last.1, y));
            path += &format!("C{} {middle} {} {middle} {} {}", number(last.0), number(x), number(x), number(y));
        }
        last = (x, y);
    }
    let hue = line.hue.map(|hue| format!(" w{}", hue % HUES.len())).unwrap_or_default();
    let down = if line.up { "" } else { " down" };
    let told = line.wire.and_then(|wire| picture.wires.get(wire)).map(|wire| escaped(&in_words(picture, wire)));
    out.push_str(&format!("<path class=\"wire{hue}{down}\" d=\"{path}\">"));
    if let Some(told) = told {
        out.push_str(&format!("<title>{told}</title>"));
    }
    out.push_str("</path>\n");
}

/// `web eth0 to lan`, for whoever points at it.
fn in_words(picture: &Picture, wire: &Wire) -> String {
    let end = |side: usize| {
        let end = &wire.ends[side];
        let mut words = vec![picture.things[end.thing].name.clone()];
        words.extend(end.interface.clone());
        words.extend(end.addresses.iter().cloned());
        words.join(" ")
    };
    let down = if wire.up { "" } else { " (down)" };
    format!("{} to {}{down}", end(0), end(1))
}

fn write_plugs(out: &mut String, line: &Line) {
    let hue = line.hue.map(|hue| format!(" h{}", hue % HUES.len())).unwrap_or_default();
    let ends = [line.points.first(), line.points.last()];
    for (x, y) in line.plugs.into_iter().zip(ends).filter(|(plug, _)| *plug).filter_map(|(_, at)| at) {
        out.push_str(&format!(
            "<rect class=\"plug{hue}\" x=\"{}\" y=\"{}\" width=\"10\" height=\"7\" rx=\"1.5\"/>\n",
            number(x - 5.0),
            number(y - 3.5)
        ));
    }
}

fn write_area(out: &mut String, picture: &Picture, area: &Area) {
    let (x, y) = (number(area.x), number(area.y));
    let (width, height) = (number(area.width), number(area.height));
    let rect = |class: &str, radius: u8| {
        format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>\n")
    };
    match picture.things[area.thing].kind {
        Kind::Switch => {
            let hue = area.hue.unwrap_or_default() % HUES.len();
            out.push_str(&rect(&format!("bar h{hue}"), 6));
        }
        Kind::Room => out.push_str(&rect("box", 8)),
        Kind::Unseen => out.push_str(&rect("box unseen", 8)),
        Kind::Outside => out.push_str(&rect("out", 20)),
        Kind::Host => {
            // a house: a gable over the whole width
            let (left, right) = (number(area.x), number(area.x + area.width));
            let (eaves, bottom) = (number(area.y + ROOF), number(area.y + area.height));
            let ridge = number(area.x + area.width / 2.0);
            let path = format!("M{left} {bottom}V{eaves}L{ridge} {y}L{right} {eaves}V{bottom}Z");
            out.push_str(&format!("<path class=\"box host\" stroke-linejoin=\"round\" d=\"{path}\"/>\n"));
        }
    }
}

fn write_labels(out: &mut String, picture: &Picture, drawing: &Drawing) {
    for label in &drawing.labels {
        let on_bar = picture.things[drawing.areas[label.area].thing].kind == Kind::Switch;
        let class = match label.role {
            _ if on_bar => "onbar",
            Role::Title => "name",
            Role::Detail => "detail",
            Role::Interface => "if",
            Role::Address => "addr",
            Role::Nat => "nat",
            Role::Port => "port",
        };
        let mono = if matches!(label.role.font(), Font::Mono(_)) { " m" } else { "" };
        let bold = if on_bar && label.role == Role::Title { " font-weight=\"700\"" } else { "" };
        // where the reader's font is narrower than the estimate, text that was centred stays so
        let x = number(label.x + label.width / 2.0);
        let left = number(label.x);
        let place = if label.centred { format!("x=\"{x}\" text-anchor=\"middle\"") } else { format!("x=\"{left}\"") };
        let (y, size, text) = (number(label.y), number(label.size), escaped(&label.text));
        out.push_str(&format!(
            "<text class=\"{class}{mono}\" {place} y=\"{y}\" font-size=\"{size}\"{bold}>{text}</text>\n"
        ));
    }
}
