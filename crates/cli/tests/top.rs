//! `raum top`, and `raum show --watch`, in a terminal of its own (a pty): what is there is shown, keys are obeyed, and the
//! terminal is given back as it was, whatever ends it.

#[path = "../../kernel/tests/bare/mod.rs"]
mod bare;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use raum_kernel::sandbox;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

const RAUM: &str = env!("CARGO_BIN_EXE_raum");
/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(600);

struct Terminal {
    slave: OwnedFd,
    keys: File,
    /// Held by whoever reads what is drawn.
    reading: Arc<Mutex<()>>,
    over: Arc<AtomicBool>,
    output: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
}

impl Terminal {
    fn start(args: &[&str]) -> Self {
        Self::with(&[], args)
    }

    fn with(env: &[(&str, &str)], args: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pty");
        grantpt(&master).expect("a pty");
        unlockpt(&master).expect("a pty");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let slave = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("its other end");
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).expect("a size");
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let child = Command::new(RAUM)
            .args(args)
            .env("TERM", "xterm-256color")
            // a server for tests is taken for a terminal with colours, whatever it is called (anstream)
            .env_remove("CI")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR_FORCE")
            .envs(env.iter().copied())
            .stdin(end())
            .stdout(end())
            .stderr(end())
            // as a shell does it: Ctrl-Z stops the whole group
            .process_group(0)
            .spawn()
            .expect("raum");
        let keys = File::from(master);
        let mut reader = keys.try_clone().expect("a descriptor");
        let (send, output) = channel();
        let (reading, over) = (Arc::new(Mutex::new(())), Arc::new(AtomicBool::new(false)));
        let (lock, end) = (Arc::clone(&reading), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !end.load(Ordering::Relaxed) {
                let held = lock.lock().expect("nobody panics with it");
                if is_ready(&reader, PollFlags::IN) {
                    let Ok(count @ 1..) = reader.read(&mut buffer) else { return };
                    if send.send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
                drop(held);
                std::thread::yield_now();
            }
        });
        Self { slave, keys, reading, over, output, seen: String::new(), child }
    }

    /// Nothing more goes into it: as a terminal whose connection stalls. Call it while nobody reads.
    fn fill(&self) {
        let own = format!("/proc/self/fd/{}", self.slave.as_raw_fd());
        let mut own = File::from(open(own, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).expect("the terminal"));
        // what there is room for is drawn, and room comes late: the kernel moves what was written on
        for _ in 0..20 {
            while own.write(&[b'.'; 256]).is_ok_and(|count| count > 0) {}
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!is_ready(&own, PollFlags::OUT), "there is room left");
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("a signal");
    }

    fn until(&mut self, text: &str) {
        let end = Instant::now() + LONG;
        while !self.seen.contains(text) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let end: String = self.seen.chars().rev().take(1000).collect();
                    panic!("`{text}` does not come, at last: {:?}", end.chars().rev().collect::<String>())
                }
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a key");
    }

    fn raw(&self) -> bool {
        !tcgetattr(&self.slave).expect("a terminal").local_modes.contains(LocalModes::ICANON)
    }

    fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().expect("raum") {
                return status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for the end, and for the terminal to be as it was.
    fn given_back(&mut self) -> ExitStatus {
        let status = self.ended();
        assert!(!self.raw(), "lines are not edited any more");
        assert!(tcgetattr(&self.slave).expect("a terminal").local_modes.contains(LocalModes::ECHO));
        // leaves the other screen, shows the cursor
        self.until("\x1b[?1049l");
        self.until("\x1b[?25h");
        status
    }
}

impl Drop for Terminal {
    /// A test that fails leaves no process behind. One that has ended already cannot be killed.
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        self.over.store(true, Ordering::Relaxed);
    }
}

fn is_ready(file: &File, what: PollFlags) -> bool {
    let mut polled = [PollFd::new(file, what)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 10_000_000 })).expect("a terminal") > 0
}

#[test]
fn keys_are_obeyed_and_the_terminal_is_given_back() {
    sandbox::run(|| {
        let red = bare::bound("/run/netns/red");
        bare::bridge(&red, "switch7", 5);
        let mut terminal = Terminal::start(&["top", "red", "-d", "0.1"]);
        terminal.until("NAMESPACE");
        terminal.until("switch7");
        assert!(terminal.raw());
        terminal.press("?");
        // words that were on the screen already are not drawn again
        terminal.until("invert");
        terminal.press("x");
        terminal.press("q");
        assert_eq!(terminal.given_back().code(), Some(0));
    });
}

#[test]
fn signals_and_ctrl_c_give_the_terminal_back() {
    sandbox::run(|| {
        for signal in [Some(Signal::TERM), Some(Signal::HUP), Some(Signal::INT), None] {
            let mut terminal = Terminal::start(&["top", "-d", "0.1"]);
            terminal.until("NAMESPACE");
            match signal {
                Some(signal) => terminal.signal(signal),
                None => terminal.press("\x03"),
            }
            assert_eq!(terminal.given_back().code(), Some(0), "{signal:?}");
        }
    });
}

#[test]
fn a_signal_ends_what_is_drawn_for_nobody() {
    sandbox::run(|| {
        for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
            let mut terminal = Terminal::start(&["top", "-d", "0.1"]);
            terminal.until("NAMESPACE");
            let reading = Arc::clone(&terminal.reading);
            let unread = reading.lock().expect("nobody panics with it");
            terminal.fill();
            terminal.signal(signal);
            assert_eq!(terminal.ended().code(), Some(0), "{signal:?}");
            assert!(!terminal.raw());
            drop(unread);
            terminal.given_back();
        }
    });
}

#[test]
fn a_panic_gives_the_terminal_back_and_is_told_on_it() {
    sandbox::run(|| {
        let _red = bare::bound("/run/netns/red");
        let points = std::env::temp_dir().join(format!("raum-top-{}", std::process::id()));
        let mut terminal = Terminal::with(&[("RAUM_POINTS", points.to_str().expect("a path"))], &["top", "-d", "0.1"]);
        terminal.until("NAMESPACE");
        terminal.press("q");
        terminal.given_back();
        let first = std::fs::read_to_string(&points).expect("points").lines().count();
        std::fs::remove_file(&points).expect("points");
        // some pictures later, and there may be more namespaces now
        let event = format!("panic@{}+1000000", first * 10);
        let mut terminal = Terminal::with(&[("RAUM_FAULT", &event)], &["top", "-d", "0.1"]);
        terminal.until("NAMESPACE");
        assert!(terminal.raw());
        assert_eq!(terminal.given_back().code(), Some(101));
        terminal.until("on purpose");
        let first_screen = terminal.seen.find("\x1b[?1049l").expect("seen above");
        assert!(terminal.seen.find("on purpose").is_some_and(|told| told > first_screen));
    });
}

#[test]
fn ctrl_z_leaves_the_terminal_to_the_shell_until_it_says_to_go_on() {
    sandbox::run(|| {
        let mut terminal = Terminal::start(&["top", "-d", "0.1"]);
        terminal.until("NAMESPACE");
        terminal.press("\x1a");
        terminal.until("\x1b[?1049l");
        terminal.seen.clear();
        let stat = format!("/proc/{}/stat", terminal.child.id());
        let end = Instant::now() + LONG;
        while !std::fs::read_to_string(&stat).expect("its state").contains(") T ") {
            assert!(Instant::now() < end, "it is not stopped");
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(!terminal.raw());
        terminal.signal(Signal::CONT);
        terminal.until("NAMESPACE");
        assert!(terminal.raw());
        terminal.press("q");
        assert_eq!(terminal.given_back().code(), Some(0));
    });
}

#[test]
fn without_a_terminal_there_are_lines_of_json_or_an_error() {
    sandbox::run(|| {
        let _red = bare::bound("/run/netns/red");
        let said = Command::new(RAUM).args(["top", "red", "--json", "-n", "2", "-d", "0.1"]).output().expect("raum");
        let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&said.stdout)
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["interfaces"][0]["namespace"], "red");
        assert_eq!(lines[1]["interfaces"][0]["rates"]["rx_bytes"], 0.0);
        let said = Command::new(RAUM).arg("top").output().expect("raum");
        assert_eq!(said.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&said.stderr).contains("needs a terminal"));
    });
}

#[test]
fn show_puts_each_picture_in_the_place_of_the_one_before() {
    sandbox::run(|| {
        let _red = bare::bound("/run/netns/red");
        for (env, bold) in [(&[][..], true), (&[("NO_COLOR", "1")][..], false)] {
            let mut terminal = Terminal::with(env, &["show", "--watch=0.05", "--all"]);
            terminal.until("\x1b[2J\x1b[H");
            terminal.until("\x1b[K");
            terminal.until("red");
            terminal.until("\x1b[J");
            assert!(!terminal.seen.contains('\u{241b}'), "{:?}", terminal.seen);
            assert_eq!(terminal.seen.contains("\x1b[1m"), bold, "{:?}", terminal.seen);
            terminal.signal(Signal::INT);
            assert_eq!(terminal.ended().code(), Some(0));
        }
        let mut dumb = Terminal::with(&[("TERM", "dumb")], &["show", "--watch=0.05", "--all"]);
        dumb.until("red");
        dumb.signal(Signal::INT);
        assert_eq!(dumb.ended().code(), Some(0));
        assert!(!dumb.seen.contains('\x1b'), "{:?}", dumb.seen);
    });
}
