//! docs/walkthrough.md, commands.md, seeing.md, pictures.md, import.md and the examples, done as a reader would: files written, commands typed into a shell, in order.
//!
//! Blocks: `yaml NAME` is written to that file; `sh` must succeed; `sh fails` must not; `sh ip` is the exercise by hand, run
//! where `ip` is installed, in namespaces of its own so that it meets nothing of raum's.

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{RAUM, assert_same, host_side};
use raum_kernel::sandbox;
use rustix::process::{Pid, Signal, kill_process_group};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
/// How long a block may take on a busy machine, so that one that waits for something is told with its line.
const LONG: Duration = Duration::from_secs(300);

struct Block {
    line: usize,
    info: String,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (i, line) in markdown.lines().enumerate() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(info), None) => open = Some(Block { line: i + 2, info: info.to_owned(), text: String::new() }),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    found
}

fn page(name: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    blocks(&fs::read_to_string(path).expect("a page"))
}

/// Types a block into a shell that knows `raum`, and stops at the first command that fails.
fn type_in(block: &Block, place: &Path) -> bool {
    let bin = Path::new(RAUM).parent().expect("a directory");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    // into a file: what the block leaves running may keep a pipe open, and nobody waits for that
    let said = File::create(place.join("said")).expect("a file");
    let mut shell = Command::new("sh")
        .args(["-e", "-c", &block.text])
        .current_dir(place)
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("a descriptor"))
        .stderr(said)
        .process_group(0)
        .spawn()
        .expect("a shell");
    let end = Instant::now() + LONG;
    let status = loop {
        if let Some(status) = shell.try_wait().expect("a shell") {
            break status;
        }
        if Instant::now() > end {
            kill_process_group(Pid::from_child(&shell), Signal::KILL).expect("a shell");
            shell.wait().expect("a shell");
            let said = fs::read_to_string(place.join("said")).unwrap_or_default();
            panic!("line {} does not end:\n{said}", block.line);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    println!("line {}: {status}\n{}", block.line, fs::read_to_string(place.join("said")).expect("what it said"));
    status.success()
}

/// Does a page from its first block to its last; nothing is left.
fn work_through(name: &str, least: usize) {
    let place = Path::new("/run/reader");
    fs::create_dir_all(place.join("examples")).expect("a directory");
    for example in fs::read_dir(EXAMPLES).expect("examples").flatten() {
        fs::copy(example.path(), place.join("examples").join(example.file_name())).expect("an example");
    }
    let before = host_side();
    let blocks = page(name);
    let commands = blocks.iter().filter(|block| block.info.starts_with("sh")).count();
    assert!(commands >= least, "{name} has lost its commands");
    for block in &blocks {
        match block.info.split_once(' ') {
            Some(("yaml", name)) => fs::write(place.join(name), &block.text).expect("a lab file"),
            Some(("sh", "fails")) => assert!(!type_in(block, place), "line {} should fail", block.line),
            Some(("sh", "ip")) => {}
            None if block.info == "sh" => assert!(type_in(block, place), "line {} failed", block.line),
            // what something looks like
            None if block.info.is_empty() => {}
            _ => panic!("line {}: nobody runs a block of `{}`", block.line, block.info),
        }
    }
    assert_same(&before, &host_side(), name);
}

#[test]
fn every_block_of_the_walkthrough_works_and_nothing_is_left() {
    sandbox::run(|| work_through("walkthrough.md", 10));
}

#[test]
fn every_block_of_the_commands_works_and_nothing_is_left() {
    sandbox::run(|| work_through("commands.md", 10));
}

#[test]
fn every_block_of_the_page_about_pictures_works_and_nothing_is_left() {
    sandbox::run(|| work_through("pictures.md", 2));
}

#[test]
fn every_block_of_the_page_about_import_works_and_nothing_is_left() {
    sandbox::run(|| work_through("import.md", 1));
}

#[test]
fn every_block_of_the_page_about_seeing_works_and_nothing_is_left() {
    sandbox::run(|| work_through("seeing.md", 8));
}

/// Every command that there is, with its subcommands, as the completions know them: `up`, `ns add`.
fn commands() -> BTreeSet<String> {
    let output = Command::new(RAUM).args(["completions", "bash"]).output().expect("raum");
    let text = String::from_utf8(output.stdout).expect("text");
    let states = text.lines().filter_map(|line| line.trim().strip_prefix("raum__subcmd__")?.strip_suffix(')'));
    // with a comma it is a word that leads from one command to the next
    let states = states.filter(|state| !state.contains(','));
    let all: BTreeSet<String> = states.map(|state| state.replace("__subcmd__", " ")).collect();
    let is_help = |name: &String| name.split(' ').any(|word| word == "help");
    // who has subcommands does nothing alone
    let is_whole = |name: &String| !all.iter().any(|other| other.starts_with(&format!("{name} ")));
    all.iter().filter(|name| !is_help(name) && is_whole(name)).cloned().collect()
}

#[test]
fn every_command_is_typed_on_a_page_that_is_run() {
    let pages = ["walkthrough.md", "commands.md", "seeing.md", "pictures.md", "import.md"];
    let run = pages.into_iter().flat_map(page).filter(|block| ["sh", "sh fails"].contains(&block.info.as_str()));
    let text: String = run.map(|block| block.text).collect();
    let words: Vec<&str> = text.split_whitespace().collect();
    let all = commands();
    assert!(all.len() > 40, "{all:?}");
    let is_typed = |name: &String| {
        let wanted: Vec<&str> = std::iter::once("raum").chain(name.split(' ')).collect();
        words.windows(wanted.len()).any(|typed| typed == wanted)
    };
    let missing: Vec<_> = all.iter().filter(|name| !is_typed(name)).collect();
    assert!(missing.is_empty(), "nobody runs {missing:?}");
}

#[test]
fn the_commands_by_hand_work_too() {
    sandbox::run(|| {
        if Command::new("ip").arg("-V").output().is_err() {
            println!("`ip` is not installed: the blocks by hand are not judged");
            return;
        }
        for block in page("walkthrough.md").iter().filter(|block| block.info == "sh ip") {
            assert!(type_in(block, Path::new("/run")), "line {} failed", block.line);
        }
    });
}

/// Up, up again, down; nothing is left.
fn there_and_back(file: &Path) {
    let before = host_side();
    let raum = |args: &[&str]| {
        let output = Command::new(RAUM).args(args).arg(file).output().expect("raum");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "raum {args:?} {}:\n{said}", file.display());
        said
    };
    raum(&["check"]);
    raum(&["up"]);
    assert!(raum(&["up"]).contains("nothing to change"));
    raum(&["down"]);
    assert_same(&before, &host_side(), &file.display().to_string());
}

#[test]
fn every_example_comes_up_twice_and_goes_without_a_trace() {
    sandbox::run(|| {
        let mut files: Vec<_> = fs::read_dir(EXAMPLES).expect("examples").flatten().map(|entry| entry.path()).collect();
        files.sort();
        assert!(!files.is_empty());
        files.iter().for_each(|file| there_and_back(file));
    });
}

#[test]
fn every_lab_of_the_reference_comes_up() {
    sandbox::run(|| {
        let labs: Vec<Block> = page("lab-file.md").into_iter().filter(|block| block.info == "yaml").collect();
        assert!(labs.len() >= 7, "the page has lost its examples");
        for lab in labs {
            let file = Path::new("/run").join(format!("line-{}.yaml", lab.line));
            fs::write(&file, &lab.text).expect("a lab file");
            there_and_back(&file);
        }
    });
}
