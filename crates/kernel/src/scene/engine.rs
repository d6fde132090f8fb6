//! What container engines call their containers: the kernel knows their ids alone.
//!
//! Docker is asked through its API (`GET /containers/json`, docs.docker.com/reference/api/engine), which is there as long as it
//! runs; Podman has no daemon, and keeps the names in files beside its images (containers/storage, `containers.json`). Whoever
//! may read neither sees ids.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::time::Duration;

use raum_core::view::Owner;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::Value;

/// Where Docker listens, unless it was told to listen elsewhere.
const DOCKER: &str = "/run/docker.sock";
/// In whichever encoding the answer would come, HTTP/1.0 has none but the plain one, and ends with the connection.
const LIST: &[u8] = b"GET /containers/json HTTP/1.0\r\nHost: docker\r\nAccept: application/json\r\n\r\n";
/// Where Podman keeps what it knows, when root runs it (containers-storage.conf(5), `graphroot`); one folder for each kind of
/// storage: `overlay-containers`, `vfs-containers`.
const PODMAN: &str = "/var/lib/containers/storage";
/// For an engine that hangs: names are not worth waiting for.
const PATIENCE: Duration = Duration::from_millis(500);
/// Some thousand containers.
const LONGEST: u64 = 16 << 20;
/// A container's name is as long as a host's at most, in practice.
const NAME_MAX: usize = 255;

/// Ids and names.
type Names = BTreeMap<String, String>;

/// Asked when the first container of an engine is met, and only then.
#[derive(Default)]
pub(super) struct Engines {
    docker: OnceLock<Names>,
    podman: OnceLock<Names>,
}

impl Engines {
    /// What its engine calls a container.
    pub(super) fn name(&self, owner: &Owner) -> Option<&str> {
        let (names, id) = match owner {
            Owner::Docker(id) => (self.docker.get_or_init(|| docker().unwrap_or_default()), id),
            Owner::Podman(id) => (self.podman.get_or_init(podman), id),
            _ => return None,
        };
        names.get(id).map(String::as_str)
    }
}

fn docker() -> Option<Names> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
    // before it connects: that waits, too, if nobody accepts
    set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).ok()?;
    connect(&socket, &SocketAddrUnix::new(DOCKER).ok()?).ok()?;
    let mut stream = UnixStream::from(socket);
    stream.write_all(LIST).ok()?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).ok()?;
    answered(&answer)
}

/// The names in an answer of Docker's.
fn answered(answer: &[u8]) -> Option<Names> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (answer.get(..end)?, answer.get(end + 4..)?);
    let status = head.split(|byte| *byte == b' ').nth(1)?;
    (status == b"200").then(|| named(body, "Id", "Names"))
}

fn podman() -> Names {
    let mut names = Names::new();
    for folder in fs::read_dir(PODMAN).into_iter().flatten().flatten() {
        if !folder.file_name().to_string_lossy().ends_with("-containers") {
            continue;
        }
        let mut text = Vec::new();
        let file = File::open(folder.path().join("containers.json"));
        if file.is_ok_and(|file| file.take(LONGEST).read_to_end(&mut text).is_ok()) {
            names.extend(named(&text, "id", "names"));
        }
    }
    names
}

/// Both list containers with an id and their names, of which the first counts; Docker writes a stroke before it.
fn named(json: &[u8], id: &str, names: &str) -> Names {
    let list: Vec<Value> = serde_json::from_slice(json).unwrap_or_default();
    let one = |container: &Value| {
        let id = container.get(id)?.as_str()?;
        // `/web`; `/other/alias` for a link of old to another one
        let all = container.get(names)?.as_array()?.iter().filter_map(Value::as_str);
        let name = all.map(|name| name.strip_prefix('/').unwrap_or(name)).find(|name| is_name(name))?;
        Some((id.to_owned(), name.to_owned()))
    };
    list.iter().filter_map(one).collect()
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+` in both (moby, daemon/names; podman, libpod/define).
fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_engines_are_read_and_garbage_is_no_name() {
        // Docker 20.10.24
        let answer = b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\r\n\
            [{\"Id\":\"0d82\",\"Names\":[\"/shop/db\",\"/db1\"],\"Image\":\"bb\"},{\"Id\":\"abb8\",\"Names\":[\"/\\u001b[1m\"]}]\n";
        let names = answered(answer).expect("an answer");
        assert_eq!(names.into_iter().collect::<Vec<_>>(), [("0d82".to_owned(), "db1".to_owned())]);
        // Podman 4.3.1
        let names = named(b"[{\"id\":\"a21d\",\"names\":[\"shop1\"],\"layer\":\"fd\"}]", "id", "names");
        assert_eq!(names.get("a21d").map(String::as_str), Some("shop1"));
        for garbage in [&b""[..], b"\r\n\r\n", b"HTTP/1.0 500 no\r\n\r\n[]", b"HTTP/1.0 200 OK\r\n\r\n{\"Id\":"] {
            assert!(answered(garbage).unwrap_or_default().is_empty());
        }
        assert!(named(b"[1,null,{\"id\":[]},{\"id\":\"a\",\"names\":[1,\"\",\"..\"]}]", "id", "names").is_empty());
    }
}
