//! What a person types and what is answered: each file of `transcripts/` is a session of its own on an empty host.
//!
//! A line `$ …` is typed into a shell (lines `> …` go on with it), what follows up to the next one is printed, errors
//! included, `[1]` at its end is an exit status other than 0. `[..]` stands for anything in a line. `UPDATE_CASES=1 cargo
//! test` rewrites them; times are made `[..]` then.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::RAUM;
use raum_kernel::sandbox;

struct Step {
    typed: String,
    answer: Vec<String>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), line.strip_prefix("> "), steps.last_mut()) {
            (Some(typed), ..) => steps.push(Step { typed: typed.to_owned(), answer: Vec::new() }),
            (None, Some(more), Some(step)) if step.answer.is_empty() => {
                step.typed.push('\n');
                step.typed.push_str(more);
            }
            (None, _, Some(step)) => step.answer.push(line.to_owned()),
            (None, _, None) => assert!(line.is_empty() || line.starts_with('#'), "nothing is typed before: {line}"),
        }
    }
    steps
}

fn answer(typed: &str, place: &Path) -> Vec<String> {
    let bin = Path::new(RAUM).parent().expect("a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{typed}")])
        .current_dir(place)
        .env("PATH", path)
        .output()
        .expect("a shell");
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect();
    match output.status.code() {
        Some(0) => {}
        code => lines.push(format!("[{}]", code.map_or("killed".to_owned(), |code| code.to_string()))),
    }
    without_age(lines)
}

/// What `raum doctor` notes of an older kernel, as if it were not noted.
fn without_age(lines: Vec<String>) -> Vec<String> {
    let (mut kept, mut noted, mut of_age) = (Vec::new(), 0, false);
    for line in lines {
        if line.starts_with(' ') && of_age {
            continue;
        }
        of_age = line.starts_with("note     kernel") && line.contains("(before Linux ");
        noted += usize::from(of_age);
        if !of_age {
            kept.push(line);
        }
    }
    let Some((before, count)) = kept.last_mut().filter(|_| noted > 0).and_then(|line| {
        let (before, count) = line.strip_suffix("s").unwrap_or(line).strip_suffix(" note")?.rsplit_once(' ')?;
        Some((before.to_owned(), count.parse::<usize>().ok()?))
    }) else {
        return kept;
    };
    let last = match (before.as_str(), count.saturating_sub(noted)) {
        ("healthy:", 0) => "healthy: nothing keeps labs from working here".to_owned(),
        (before, 0) => before.trim_end_matches(',').to_owned(),
        (before, 1) => format!("{before} 1 note"),
        (before, count) => format!("{before} {count} notes"),
    };
    kept.pop();
    kept.push(last);
    kept
}

/// `[..]` in the pattern stands for anything.
fn is_like(pattern: &str, line: &str) -> bool {
    match pattern.split_once("[..]") {
        None => pattern == line,
        Some((head, rest)) => line.strip_prefix(head).is_some_and(|tail| {
            (0..=tail.len()).filter(|at| tail.is_char_boundary(*at)).any(|at| is_like(rest, &tail[at..]))
        }),
    }
}

/// Numbers before ` ms` are never the same twice.
fn without_times(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_time = |i: usize| words.get(i + 1) == Some(&"ms") && words[i].parse::<f64>().is_ok();
    let words = words.iter().enumerate().map(|(i, word)| if is_time(i) { "[..]" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

fn replay(file: &Path) {
    let text = fs::read_to_string(file).expect("a transcript");
    let place = Path::new("/run/reader");
    fs::create_dir_all(place).expect("a directory");
    let (mut rewritten, mut wrong) = (String::new(), Vec::new());
    let heading = text.lines().take_while(|line| !line.starts_with("$ "));
    rewritten.extend(heading.map(|line| format!("{line}\n")));
    for step in steps(&text) {
        let found = answer(&step.typed, place);
        let same = found.len() == step.answer.len() && step.answer.iter().zip(&found).all(|(p, l)| is_like(p, l));
        rewritten += &format!("$ {}\n", step.typed.replace('\n', "\n> "));
        let lines = if same { step.answer.clone() } else { found.iter().map(|line| without_times(line)).collect() };
        rewritten.extend(lines.iter().map(|line| format!("{line}\n")));
        if !same {
            wrong.push(format!("$ {}\n{}", step.typed, found.join("\n")));
        }
    }
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(file, rewritten).expect("a transcript");
    } else {
        assert!(wrong.is_empty(), "{}: now\n{}", file.display(), wrong.join("\n"));
    }
}

fn transcript(name: &str) {
    let file: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
    sandbox::run(|| {
        // what a lab needs of a bridge differs with it
        common::traffic::bridged("0");
        replay(&file);
    });
}

#[test]
fn findings_about_the_kernel_s_age_are_left_out() {
    let lines = |text: &str| text.lines().map(ToOwned::to_owned).collect::<Vec<_>>();
    let aged = "note     kernel      IPv6 so (before Linux 6.17)\n   effect a\n   remedy b\n";
    let other = "problem  limits      few\n   effect c\n";
    for (all, kept) in [
        (format!("{aged}healthy: 1 note"), "healthy: nothing keeps labs from working here".to_owned()),
        (format!("{aged}{aged}healthy: 3 notes"), "healthy: 1 note".to_owned()),
        (format!("{aged}{other}1 problem, 1 note"), format!("{other}1 problem")),
        (format!("{other}{aged}2 problems, 3 notes"), format!("{other}2 problems, 2 notes")),
        (format!("{other}1 problem, 1 note"), format!("{other}1 problem, 1 note")),
    ] {
        assert_eq!(without_age(lines(&all)), lines(&kept));
    }
}

/// One test for each file, so that they run side by side.
macro_rules! transcripts {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            transcript(concat!(stringify!($name), ".txt"));
        })*

        #[test]
        fn none_is_left_out() {
            let told = [$(concat!(stringify!($name), ".txt")),*];
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
            for entry in fs::read_dir(folder).expect("transcripts") {
                let name = entry.expect("a file").file_name().to_string_lossy().into_owned();
                assert!(told.contains(&name.as_str()), "{name} is replayed by nobody");
            }
        }
    };
}

transcripts!(
    capture,
    changing,
    damaged,
    doctor,
    files_and_labs,
    first_steps,
    foreign,
    graph,
    import,
    inside,
    json,
    mistakes,
    not_there,
    refused,
    script,
    seeing,
    steps_by_hand,
    steps_chosen,
    steps_explained,
    steps_of_a_file,
    steps_of_a_router,
    steps_wrong,
    test,
    trace,
    two_labs,
    watching,
);
