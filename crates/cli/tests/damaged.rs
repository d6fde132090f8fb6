//! What raum remembers, damaged, from before a reboot, on a full or read-only disk, or planted by somebody else: a clear error
//! or no notice at all, and in no case anything worse.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{RAUM, assert_same, host_side};
use raum_kernel::sandbox;
use rustix::fs::{CWD, Mode, mknodat};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_remount, unmount};

const LAB: &str = r#"
lab: kept
switches:
  lan: { subnet: [10.10.0.0/24, "fd10::/64"], gateway: host, nat: true }
namespaces:
  web: { on: lan, publish: ["8080:80"] }
  db: { on: lan }
"#;
const FILE: &str = "/run/kept.yaml";
const FOLDER: &str = "/run/raum/labs/kept";

/// Status, and all that is said.
fn raum(args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(RAUM).args(args).stdin(Stdio::null()).output().expect("raum");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

fn up() {
    fs::write(FILE, LAB).expect("a lab file");
    let (code, said) = raum(&["up", FILE]);
    assert_eq!(code, Some(0), "{said}");
}

fn down_leaves(before: &std::collections::BTreeMap<String, String>, when: &str) {
    let (code, said) = raum(&["down", "kept"]);
    assert_eq!(code, Some(0), "{when}: {said}");
    assert_same(before, &host_side(), when);
}

/// Refused, with these words, and with nothing changed.
fn refused(args: &[&str], words: &[&str]) {
    let before = host_side();
    let (code, said) = raum(args);
    assert!(matches!(code, Some(1 | 3)), "raum {args:?}: {code:?} {said}");
    for word in words {
        assert!(said.contains(word), "raum {args:?}: `{word}` is not in\n{said}");
    }
    assert_same(&before, &host_side(), &format!("raum {args:?}"));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

#[test]
fn what_is_from_before_a_reboot_counts_as_not_there() {
    sandbox::run(|| {
        let before = host_side();
        up();
        // the network goes, the files stay, and another kernel has the next word
        copy(Path::new("/run/raum"), Path::new("/run/kept.test"));
        down_leaves(&before, "the first time");
        let reboot = || {
            copy(Path::new("/run/kept.test"), Path::new("/run/raum"));
            fs::write("/run/raum/boot", "11111111-2222-3333-4444-555555555555\n").expect("another boot");
        };
        reboot();
        let (code, said) = raum(&["ls"]);
        assert_eq!(code, Some(0), "{said}");
        assert!(!said.contains("kept"), "{said}");
        let (code, said) = raum(&["status", "kept"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("no lab `kept` is up on this host"), "{said}");
        let (code, said) = raum(&["down", "kept"]);
        assert_eq!(code, Some(0), "{said}");
        assert_same(&before, &host_side(), "down after a reboot");
        reboot();
        up();
        assert_eq!(raum(&["status", "kept"]).0, Some(0));
        down_leaves(&before, "up and down after a reboot");
    });
}

#[test]
fn a_record_or_journal_that_was_cut_or_edited_is_told_and_in_nobodys_way() {
    sandbox::run(|| {
        let before = host_side();
        up();
        let whole = fs::read_to_string(format!("{FOLDER}/record.json")).expect("a record");
        let cut = (0..whole.len()).step_by(whole.len() / 3).map(|end| whole[..end].to_owned());
        let edited = [
            "null".to_owned(),
            "[".repeat(100_000),
            whole.replace("kept-web", "../../etc/passwd"),
            whole.replace("net/ipv4", "net/../../etc"),
            whole.replace("10.10.0", "10.10.999"),
            whole.replace("\"up\":true", "\"up\":99999999999999999999999999"),
            "\0".repeat(whole.len()),
        ];
        for (number, content) in cut.chain(edited).enumerate() {
            let when = format!("damage {number}: {}", content.get(..40).unwrap_or(&content));
            // a journal is read by `down` alone, and a few will do
            let files = if number % 4 == 0 { &["record.json", "journal.json"][..] } else { &["record.json"] };
            for &file in files {
                fs::write(format!("{FOLDER}/{file}"), &content).expect("damage");
                let (code, said) = raum(&["ls"]);
                assert!(code == Some(0) && said.contains("kept"), "{when}: {said}");
                if file == "record.json" {
                    let (code, said) = raum(&["status", "kept"]);
                    assert_eq!(code, Some(1), "{when}: {said}");
                    let path = format!("{FOLDER}/record.json");
                    assert!(said.contains(&path) && said.contains("raum up"), "{when}: {said}");
                }
                // it is written anew
                up();
                let (code, said) = raum(&["status", "kept"]);
                assert_eq!(code, Some(0), "{when}: {said}");
                // or not needed
                fs::write(format!("{FOLDER}/{file}"), &content).expect("damage");
                down_leaves(&before, &when);
                up();
            }
        }
        down_leaves(&before, "at the end");
    });
}

#[test]
fn a_full_or_read_only_disk_is_told_and_nothing_is_done() {
    sandbox::run(|| {
        let clean = host_side();
        // so small that not even the record fits; larger and larger, until everything does
        fs::write(FILE, LAB).expect("a lab file");
        let mut done = 0;
        for pages in 1..17 {
            fs::create_dir("/run/raum").expect("a folder");
            let size = std::ffi::CString::new(format!("size={},mode=0700", pages * 4096)).expect("an option");
            mount("raum", "/run/raum", "tmpfs", MountFlags::empty(), Some(size.as_c_str())).expect("a small disk");
            let before = host_side();
            let (code, said) = raum(&["up", FILE]);
            match code {
                Some(0) => {
                    done += 1;
                    // later it is full, and a change does not find room
                    let room = vec![b'x'; 1 << 20];
                    drop(fs::write("/run/raum/ballast", &room));
                    let up_as_it_is = host_side();
                    fs::write(FILE, LAB.replace("db:", "cache:")).expect("a lab file");
                    let (code, said) = raum(&["up", FILE]);
                    assert_eq!(code, Some(1), "{said}");
                    assert!(said.contains("No space left on device"), "{said}");
                    assert_same(&up_as_it_is, &host_side(), "a change on a full disk");
                    fs::write(FILE, LAB).expect("a lab file");
                    assert_eq!(raum(&["status", "kept"]).0, Some(0));
                    let (code, said) = raum(&["down", "kept"]);
                    assert_eq!(code, Some(0), "{said}");
                    fs::remove_file("/run/raum/ballast").expect("removed");
                }
                code => {
                    assert_eq!(code, Some(1), "{said}");
                    assert!(said.contains("No space left on device (ENOSPC)"), "{said}");
                }
            }
            assert_same(&before, &host_side(), &format!("a disk of {pages} pages"));
            unmount("/run/raum", UnmountFlags::empty()).expect("unmounted");
            fs::remove_dir("/run/raum").expect("removed");
        }
        assert!((1..16).contains(&done), "{done} of 16 sizes are enough");
        up();
        mount_bind_recursive("/run", "/run").expect("a mount");
        mount_remount("/run", MountFlags::BIND | MountFlags::RDONLY, "").expect("a read-only /run");
        refused(&["up", FILE], &["cannot lock /run/raum: Read-only file system (EROFS)"]);
        refused(&["down", "kept"], &["cannot lock /run/raum: Read-only file system (EROFS)"]);
        assert_eq!(raum(&["status", "kept"]).0, Some(0));
        unmount("/run", UnmountFlags::DETACH).expect("unmounted");
        down_leaves(&clean, "writable again");
    });
}

#[test]
fn a_folder_of_somebody_elses_is_not_used() {
    sandbox::run(|| {
        fs::write(FILE, LAB).expect("a lab file");
        let clean = host_side();
        let folder = |mode| {
            fs::create_dir("/run/raum").expect("a folder");
            fs::set_permissions("/run/raum", fs::Permissions::from_mode(mode)).expect("a mode");
        };
        folder(0o777);
        refused(&["up", FILE], &["/run/raum", "others may write to it (mode 0777)", "move it away"]);
        fs::remove_dir("/run/raum").expect("removed");
        folder(0o700);
        // in a user namespace with one user nobody else can be made the owner
        if chown("/run/raum", Some(65534), Some(65534)).is_ok() {
            refused(&["up", FILE], &["/run/raum", "it belongs to user 65534", "move it away"]);
        }
        fs::remove_dir("/run/raum").expect("removed");
        fs::write("/run/raum", "").expect("a file");
        refused(&["up", FILE], &["/run/raum", "Not a directory (ENOTDIR)"]);
        fs::remove_file("/run/raum").expect("removed");
        fs::create_dir("/run/elsewhere").expect("a folder");
        symlink("/run/elsewhere", "/run/raum").expect("a link");
        refused(&["up", FILE], &["/run/raum", "it is a symbolic link"]);
        assert_eq!(fs::read_dir("/run/elsewhere").expect("a folder").count(), 0);
        fs::remove_file("/run/raum").expect("removed");
        assert_same(&clean, &host_side(), "at the end");
    });
}

#[test]
fn links_pipes_and_mounts_in_raums_folder_are_not_followed() {
    sandbox::run(|| {
        let clean = host_side();
        up();
        let target = PathBuf::from("/run/target.test");
        fs::create_dir(&target).expect("a folder");
        fs::write(target.join("precious"), "as it was").expect("a file");
        let precious = || {
            assert_eq!(fs::read_to_string(target.join("precious")).expect("a file"), "as it was");
            assert_eq!(fs::read_dir(&target).expect("a folder").count(), 1);
        };
        let changed = LAB.replace("db:", "cache:");

        // a file that leads elsewhere is replaced, not written through
        for file in ["record.json", "hosts", "journal.json", "record.json.new", "hosts.new", "journal.json.new"] {
            let path = format!("{FOLDER}/{file}");
            drop(fs::remove_file(&path));
            symlink(target.join("precious"), &path).expect("a link");
            fs::write(FILE, &changed).expect("a lab file");
            let (code, said) = raum(&["up", FILE]);
            assert_eq!(code, Some(0), "{file}: {said}");
            precious();
            up();
        }
        // nor read through: what it says could be anybody's
        fs::rename(format!("{FOLDER}/record.json"), target.join("precious2")).expect("renamed");
        symlink(target.join("precious2"), format!("{FOLDER}/record.json")).expect("a link");
        refused(&["status", "kept"], &["record.json: it is a symbolic link"]);
        fs::remove_file(target.join("precious2")).expect("removed");
        up();
        // a pipe does not hold anybody up
        fs::remove_file(format!("{FOLDER}/record.json")).expect("removed");
        mknodat(CWD, format!("{FOLDER}/record.json"), rustix::fs::FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
        refused(&["status", "kept"], &["record.json: it is no ordinary file"]);
        up();
        // what others could have written
        fs::set_permissions(format!("{FOLDER}/record.json"), fs::Permissions::from_mode(0o666)).expect("a mode");
        refused(&["status", "kept"], &["record.json: others may write to it (mode 0666)"]);
        up();

        // folders: nothing is written, and `down` removes nothing through them
        for planted in ["/run/raum/labs", FOLDER] {
            let aside = Path::new("/run/aside.test");
            fs::rename(planted, aside).expect("renamed");
            symlink(&target, planted).expect("a link");
            fs::write(FILE, &changed).expect("a lab file");
            refused(&["up", FILE], &["it is a symbolic link, or behind one"]);
            let (code, said) = raum(&["down", "kept"]);
            assert!(code == Some(1) && said.contains("it is a symbolic link"), "{planted}: {code:?} {said}");
            precious();
            fs::remove_file(planted).expect("removed");
            fs::create_dir(planted).expect("a folder");
            mount_bind(&target, planted).expect("a mount");
            refused(&["up", FILE], &["something is mounted over it"]);
            let (code, said) = raum(&["down", "kept"]);
            assert!(code == Some(1) && said.contains("something is mounted over it"), "{planted}: {code:?} {said}");
            precious();
            unmount(planted, UnmountFlags::empty()).expect("unmounted");
            fs::remove_dir(planted).expect("removed");
            fs::rename(aside, planted).expect("renamed");
            up();
        }
        fs::remove_dir_all(&target).expect("removed");
        down_leaves(&clean, "at the end");
    });
}

#[test]
fn links_and_mounts_where_namespaces_have_their_names_are_not_followed() {
    sandbox::run(|| {
        let clean = host_side();
        fs::create_dir("/run/elsewhere").expect("a folder");
        symlink("/run/elsewhere", "/run/netns").expect("a link");
        fs::write(FILE, LAB).expect("a lab file");
        refused(&["up", FILE], &["/run/netns is a symbolic link"]);
        assert_eq!(fs::read_dir("/run/elsewhere").expect("a folder").count(), 0);
        fs::remove_file("/run/netns").expect("removed");

        // names that are taken: by a link to another namespace, by a file with content
        fs::create_dir("/run/netns").expect("a folder");
        symlink("/proc/self/ns/net", "/run/netns/kept-web").expect("a link");
        refused(&["up", FILE], &["namespace `kept-web` exists and is not of lab `kept`", "nothing was touched"]);
        refused(&["exec", "kept-web", "true"], &["kept-web"]);
        fs::remove_file("/run/netns/kept-web").expect("removed");
        fs::write("/run/netns/kept-web", "somebody's").expect("a file");
        refused(&["up", FILE], &["namespace `kept-web` exists and is not of lab `kept`", "nothing was touched"]);
        assert_eq!(fs::read_to_string("/run/netns/kept-web").expect("a file"), "somebody's");
        fs::remove_file("/run/netns/kept-web").expect("removed");
        fs::remove_dir("/run/netns").expect("removed");
        fs::remove_dir("/run/elsewhere").expect("removed");
        assert_same(&clean, &host_side(), "at the end");
    });
}

#[test]
fn files_are_0600_and_folders_0700_whatever_the_umask() {
    sandbox::run(|| {
        fs::write(FILE, LAB).expect("a lab file");
        for umask in [0o000, 0o022, 0o077, 0o777] {
            let before = rustix::process::umask(Mode::from_raw_mode(umask));
            let (code, said) = raum(&["up", FILE]);
            rustix::process::umask(before);
            assert_eq!(code, Some(0), "{umask:o}: {said}");
            let mode = |path: &str| fs::symlink_metadata(path).expect(path).mode() & 0o7777;
            for (path, wanted) in [
                ("/run/raum", 0o700),
                ("/run/raum/lock", 0o600),
                ("/run/raum/boot", 0o600),
                ("/run/raum/labs", 0o700),
                (FOLDER, 0o700),
                ("/run/raum/labs/kept/record.json", 0o600),
                // commands inside need not be root's
                ("/run/raum/labs/kept/hosts", 0o644),
            ] {
                let found = mode(path);
                assert!(found & !wanted == 0, "umask {umask:o}: {path} has mode {found:o}");
                assert!(umask == 0o777 || found == wanted, "umask {umask:o}: {path} has mode {found:o}");
            }
            assert_eq!(raum(&["down", "kept"]).0, Some(0));
        }
    });
}
