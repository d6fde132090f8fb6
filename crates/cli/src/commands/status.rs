//! `raum status`: does the host still have what the last `up` made? Exit status 1 if not.

use raum::Labs;
use raum_core::beside::{Guest, Obstacle};
use raum_core::name::LabName;
use raum_core::plan::Plan;
use serde::Serialize;

use super::{beside, describe};
use crate::failure::Failure;
use crate::output::{BAD, Exit, GOOD, Look, STRONG, answer, answer_json, paint};

/// `--json`: one lab.
#[derive(Serialize)]
struct Report {
    lab: LabName,
    as_wanted: bool,
    /// A change was begun that has not ended.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unfinished: bool,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Nothing if it is not known what should be there.
    repair: Option<Plan>,
    /// Whose rules drop packets of the lab.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_the_way: Vec<Obstacle>,
    /// What others have put beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<Guest>,
}

pub fn run(lab: Option<&str>, look: Look) -> Result<Exit, Failure> {
    let mut labs = Labs::open()?;
    let names = match lab {
        Some(text) => {
            vec![LabName::new(text).map_err(|error| Failure::usage(format!("`{text}` is no lab: {error}"), None))?]
        }
        None => labs.list()?.into_iter().map(|found| found.lab).collect(),
    };
    if names.is_empty() && !look.json {
        answer("no lab is up on this host\n");
    }
    let mut exit = Exit::Done;
    let mut reports = Vec::new();
    for name in names {
        let (record, plan) = match labs.drift(&name) {
            // taken down since it was listed
            Err(raum::Error::NoLab(_)) if lab.is_none() => continue,
            // the other labs are to be told too
            Err(error) if lab.is_none() => {
                exit = Exit::Refused;
                let why = Some(error.to_string());
                reports.push(Report {
                    unfinished: labs.is_unfinished(&name),
                    lab: name,
                    as_wanted: false,
                    why,
                    repair: None,
                    in_the_way: Vec::new(),
                    beside: Vec::new(),
                });
                if !look.json {
                    Failure::from(error).report(look);
                }
                continue;
            }
            drift => drift?,
        };
        let in_the_way = labs.still_in_the_way(&record)?;
        let guests = labs.guests(&record)?;
        let unfinished = labs.is_unfinished(&name);
        if !plan.is_empty() || unfinished {
            exit = Exit::Refused;
        }
        if !look.json {
            if unfinished {
                let begun = paint(BAD, "interrupted");
                answer(&format!("{} was {begun}: a change has not ended, or is under way\n", paint(STRONG, &name)));
                answer(&describe::plan(&plan, 40));
                answer(&format!("  {}\n", record.repair()));
            } else if plan.is_empty() {
                answer(&format!("{} is {}\n", paint(STRONG, &name), paint(GOOD, "as it should be")));
            } else {
                answer(&format!("{} {}; this would repair it:\n", paint(STRONG, &name), paint(BAD, "has changed")));
                answer(&describe::plan(&plan, 40));
                answer(&format!("  {}\n", record.repair()));
            }
            answer(&beside::guests(&guests));
            answer(&beside::notes(&in_the_way, &name, record.file.as_deref(), record.edited));
        }
        reports.push(Report {
            lab: name,
            as_wanted: plan.is_empty() && !unfinished,
            unfinished,
            why: None,
            repair: Some(plan),
            in_the_way,
            beside: guests,
        });
    }
    if look.json {
        answer_json(&reports);
    }
    Ok(exit)
}
