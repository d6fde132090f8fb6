//! `raum graph`: draws a lab, from its file or as it is, or everything on the host.

use std::env::var;
use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use raum::Labs;
use raum::picture::{of_host, of_lab, of_labs, of_running};
use raum_core::name::LabName;
use raum_core::picture::{Glyphs, Picture, dot, mermaid, svg, text};
use rustix::termios::tcgetwinsize;

use crate::args::Drawing;
use crate::failure::Failure;
use crate::input::{LabFile, words};
use crate::output::{Exit, Look, answer, answer_json, complain};

/// How it is to be drawn.
pub struct How<'a> {
    /// As asked.
    pub format: Option<Drawing>,
    /// Where to.
    pub output: Option<&'a Path>,
}

impl How<'_> {
    /// As asked, else by the ending of the file's name. A picture of another kind than the name promises would be found
    /// out by whoever opens it.
    fn format(&self) -> Result<Drawing, Failure> {
        let Some(path) = self.output.filter(|path| self.format.is_none() && *path != Path::new("-")) else {
            return Ok(self.format.unwrap_or(Drawing::Text));
        };
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match ending.as_str() {
            "svg" => Ok(Drawing::Svg),
            "mmd" | "mermaid" => Ok(Drawing::Mermaid),
            "dot" | "gv" => Ok(Drawing::Dot),
            "txt" | "text" => Ok(Drawing::Text),
            _ => Err(Failure::usage(
                if ending.is_empty() {
                    format!("{}: its name does not say which picture it is to be", path.display())
                } else {
                    format!("{}: no picture that raum draws ends in `.{}`", path.display(), ending.escape_debug())
                },
                Some("name it `.svg`, `.mmd`, `.dot` or `.txt`, or say `--format`".to_owned()),
            )),
        }
    }
}

pub fn run(what: Option<&str>, all: bool, how: How<'_>, look: Look) -> Result<Exit, Failure> {
    // into whatever file JSON goes
    let format = if look.json { Drawing::Text } else { how.format()? };
    let picture = match what {
        None if all => of_host()?,
        None => of_labs()?,
        Some(what) => one(what)?,
    };
    if picture.things.is_empty() && what.is_none() {
        // who may not look has seen no labs for that reason
        raum::permission::check()?;
        answer("no lab is up on this host; `raum graph --all` draws the host, `raum graph FILE` a lab file\n");
        return Ok(Exit::Done);
    }
    for missing in &picture.missing {
        complain(&format!("not seen: {missing}\n"));
    }
    let Some(path) = how.output.filter(|path| *path != Path::new("-")) else {
        if look.json {
            answer_json(&picture);
        } else {
            answer(&draw(&picture, format));
        }
        return Ok(Exit::Done);
    };
    let drawn = if look.json { json(&picture)? } else { draw(&picture, format) };
    fs::write(path, drawn)
        .map_err(|error| Failure::refused(format!("cannot write {}: {}", path.display(), words(&error)), None))?;
    Ok(Exit::Done)
}

fn json(picture: &Picture) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(picture);
    text.map(|text| text + "\n").map_err(|error| Failure::refused(format!("cannot write this as JSON: {error}"), None))
}

fn draw(picture: &Picture, format: Drawing) -> String {
    match format {
        Drawing::Svg => svg(picture),
        Drawing::Mermaid => mermaid(picture),
        Drawing::Dot => dot(picture),
        Drawing::Text => text(picture, columns(), glyphs()),
    }
}

/// As wide as the terminal; into a file or a pipe, as wide as need be.
fn columns() -> usize {
    let out = io::stdout();
    let of_terminal = || tcgetwinsize(&out).ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    if out.is_terminal() { of_terminal().unwrap_or(80) } else { usize::MAX }
}

/// What the locale's character set can show (`LC_ALL`, else `LC_CTYPE`, else `LANG`; locale(7)). Without any, lines: that
/// is what a program under `cron` or `env -i` gets, and its reader is rarely without UTF-8.
fn glyphs() -> Glyphs {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| var(name).ok().filter(|v| !v.is_empty()));
    match set {
        Some(set) if !set.to_lowercase().replace('-', "").contains("utf8") => Glyphs::Ascii,
        _ => Glyphs::Lines,
    }
}

/// A lab of that name that is up, else a file.
fn one(what: &str) -> Result<Picture, Failure> {
    let path = Path::new(what);
    if let Ok(name) = LabName::new(what) {
        let labs = Labs::open().and_then(|mut labs| labs.list());
        match labs {
            Ok(labs) if labs.iter().any(|found| found.lab == name) => return Ok(of_running(&name)?),
            // a file is read without permission to look at networks
            _ if path.exists() => {}
            Ok(_) => return Err(raum::Error::NoLab(what.to_owned()).into()),
            Err(error) => return Err(error.into()),
        }
    }
    let file = LabFile::read(path)?;
    of_lab(&file.parse()?).map_err(|error| match error {
        raum::Error::Invalid(problems) => file.invalid(problems),
        other => other.into(),
    })
}
