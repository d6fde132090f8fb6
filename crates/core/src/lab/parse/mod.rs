//! From the text of a lab file to a [`Lab`], or to every problem that is in it.
//!
//! ```text
//! text -tree-> Tree -read-> LabFile (declared in `file`) -expand-> Lab
//! ```
//!
//! Each step reports all it finds; the next one runs only if the text got that far. What concerns the lab as a whole
//! (unknown nodes, overlapping subnets) is found later, by the checks.

mod expand;
mod file;
pub(super) mod form;
mod general;
mod meant;
mod nat;
mod read;
mod scalar;
pub(super) mod schema;
mod syntax;
#[cfg(test)]
mod tests;
mod tree;
pub(super) mod typed;

use file::LabFile;
use read::{FileType, Reader};

use super::Lab;
use crate::name::LabName;
use crate::problem::Problem;

pub(super) use scalar::needs_quotes;

/// The longest lab file in bytes.
pub const FILE_MAX: usize = 1024 * 1024;

/// Reads a lab file. `fallback_name` is the lab's name if the file has none.
///
/// # Errors
/// Every problem of the file, at least one, in the order of the file; at most 1,000.
pub fn parse(text: &str, fallback_name: &LabName) -> Result<Lab, Vec<Problem>> {
    if text.len() > FILE_MAX {
        return Err(vec![
            Problem::new(format!("the file has {} bytes; at most {FILE_MAX} are possible", text.len()), 0..0)
                .help("ranges like `n[1-100]` make big labs short"),
        ]);
    }
    if let Some(problem) = syntax::unprintable(text) {
        return Err(vec![problem]);
    }
    let mut reader = Reader { problems: Vec::new() };
    let lab = lab(text, fallback_name, &mut reader);
    let mut problems = reader.problems;
    match lab {
        Some(lab) if problems.is_empty() => Ok(lab),
        _ => {
            if problems.is_empty() {
                // unreachable as far as we know; but an invalid file must never pass
                problems.push(Problem::new("the file cannot be read", 0..0));
            }
            problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
            Err(problems)
        }
    }
}

fn lab(text: &str, fallback_name: &LabName, reader: &mut Reader) -> Option<Lab> {
    let before = reader.problems.len();
    let tree = tree::build(text, &mut reader.problems);
    let Some(tree) = tree.filter(|tree| !matches!(tree.kind, tree::Kind::Nothing)) else {
        if reader.problems.len() == before {
            reader.report(
                Problem::new("nothing is in this file", 0..0)
                    .help("a lab begins with `namespaces:`, `switches:` or `links:`; `namespaces: { red: , blue: }` is the smallest"),
            );
        }
        return None;
    };
    let file = LabFile::read(&tree, reader)?;
    expand::lab(file, fallback_name, reader)
}
