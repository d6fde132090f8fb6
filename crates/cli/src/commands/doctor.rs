//! `raum doctor`: what would keep labs from working on this host. Exit status 1 if there is a problem.

use raum::Labs;
use raum::doctor::{Finding, Level, examine};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{BAD, CHANGED, DIM, Exit, GOOD, Look, STRONG, answer, answer_json, paint};

/// `--json`: everything that was examined.
#[derive(Serialize)]
struct Report {
    healthy: bool,
    findings: Vec<Finding>,
}

pub fn run(look: Look) -> Result<Exit, Failure> {
    let findings = examine(&mut Labs::open()?);
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (problems, notes) = (count(Level::Problem), count(Level::Note));
    if look.json {
        answer_json(&Report { healthy: problems == 0, findings });
    } else {
        answer(&findings.iter().map(said).collect::<String>());
        let number = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        answer(&match (problems, notes) {
            (0, 0) => format!("{}: nothing keeps labs from working here\n", paint(GOOD, "healthy")),
            (0, _) => format!("{}: {}\n", paint(GOOD, "healthy"), number(notes, "note")),
            (_, 0) => format!("{}\n", paint(BAD, number(problems, "problem"))),
            _ => format!("{}, {}\n", paint(BAD, number(problems, "problem")), number(notes, "note")),
        });
    }
    Ok(if problems == 0 { Exit::Done } else { Exit::Refused })
}

fn said(finding: &Finding) -> String {
    let word = match finding.level {
        Level::Ok => paint(GOOD, "ok     "),
        Level::Note => paint(CHANGED, "note   "),
        Level::Problem => paint(BAD, "problem"),
    };
    let topic = paint(DIM, format!("{:10}", finding.topic));
    if finding.level == Level::Ok {
        return format!("{word}  {topic}  {}\n", finding.what);
    }
    let mut text = format!("{word}  {topic}  {}\n", paint(STRONG, &finding.what));
    for (name, words) in [("effect", &finding.effect), ("remedy", &finding.remedy)] {
        if !words.is_empty() {
            text += &format!("           {}  {words}\n", paint(DIM, format!("{name:10}")));
        }
    }
    text
}
