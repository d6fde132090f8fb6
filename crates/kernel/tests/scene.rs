//! Every namespace is found and shown truthfully, whoever made it.

mod bare;

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use raum_core::view::{Other, Owner, Parts, Room, Scene};
use raum_kernel::namespace::{enter, present};
use raum_kernel::{sandbox, scene};
use rustix::mount::{MountFlags, mount};

fn look() -> Scene {
    scene::look(Parts::ALL, |_| true).expect("a scene")
}

fn find<'a>(scene: &'a Scene, name: &str) -> &'a Room {
    let names: Vec<&str> = scene.namespaces.iter().map(|room| room.namespace.as_str()).collect();
    scene.namespaces.iter().find(|room| room.namespace == name).unwrap_or_else(|| panic!("{name} is not in {names:?}"))
}

fn other(namespace: &str, interface: &str, index: u32) -> Option<Other> {
    Some(Other { namespace: Some(namespace.to_owned()), interface: Some(interface.to_owned()), index })
}

fn inode(ns: &OwnedFd) -> u64 {
    rustix::fs::fstat(ns).expect("a namespace").st_ino
}

/// A process that waits inside a namespace until its standard input is closed.
fn sleeper(ns: &OwnedFd) -> Child {
    std::thread::scope(|scope| {
        let start = || {
            enter(ns.as_fd()).expect("inside");
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("cat")
        };
        scope.spawn(start).join().expect("a thread")
    })
}

#[test]
fn namespaces_of_all_owners_are_found_with_their_processes() {
    sandbox::run(|| {
        let red = bare::bound("/run/netns/red");
        let docker = bare::bound("/run/docker/netns/0a1b2c3d4e5f");
        let file = bare::bound("/run/somewhere/with a space");
        let held = bare::room();
        let mut cat = sleeper(&held);
        let mut red_cat = sleeper(&red);
        let only_open = bare::room();
        let scene = look();
        assert_eq!(scene.namespaces[0].namespace, "host");
        assert_eq!(scene.namespaces[0].inode, inode(&present().expect("here")));
        assert_eq!(scene.namespaces[0].owner, Owner::Host);
        let seen = find(&scene, "red");
        assert_eq!(
            (seen.inode, &seen.owner, seen.paths.as_slice()),
            (inode(&red), &Owner::Named, &["/run/netns/red".to_owned()][..])
        );
        assert_eq!(
            seen.processes.iter().map(|p| (p.pid, p.command.as_str())).collect::<Vec<_>>(),
            [(red_cat.id(), "cat")]
        );
        let seen = find(&scene, "docker:0a1b2c3d4e5f");
        assert_eq!((seen.inode, &seen.owner), (inode(&docker), &Owner::Docker("0a1b2c3d4e5f".to_owned())));
        let seen = find(&scene, "/run/somewhere/with a space");
        assert_eq!((seen.inode, &seen.owner), (inode(&file), &Owner::File));
        // the group of this process's own service, if it is in one, is not the test's business
        let seen = scene.namespaces.iter().find(|room| room.inode == inode(&held)).expect("held by a process");
        assert_eq!(seen.processes.iter().map(|p| p.pid).collect::<Vec<_>>(), [cat.id()]);
        assert!(
            matches!(&seen.owner, Owner::Process(p) if p.command == "cat")
                || matches!(seen.owner, Owner::Systemd(_) | Owner::Docker(_) | Owner::Container(_) | Owner::Podman(_)),
            "{:?}",
            seen.owner
        );
        let seen = scene.namespaces.iter().find(|room| room.inode == inode(&only_open)).expect("held by a descriptor");
        assert_eq!((seen.namespace.as_str(), &seen.owner), (format!("net:[{}]", seen.inode).as_str(), &Owner::Unknown));
        for child in [&mut cat, &mut red_cat] {
            drop(child.stdin.take());
            child.wait().expect("cat ends");
        }
    });
}

#[test]
fn the_other_end_of_every_veth_is_named_across_namespaces() {
    sandbox::run(|| {
        let host = present().expect("here");
        let red = bare::bound("/run/netns/red");
        // a chain in which all indices, and so all numbers that namespaces have for each other, are the same
        let chain: Vec<OwnedFd> = (0..5).map(|n| bare::bound(&format!("/run/netns/c{n}"))).collect();
        bare::wire((&host, "to-red", 40), (&red, "eth0", 41));
        bare::wire((&red, "a", 50), (&red, "b", 51));
        for pair in chain.windows(2) {
            bare::wire((&pair[0], "right", 10), (&pair[1], "left", 11));
        }
        let hidden = bare::room();
        bare::wire((&host, "dark", 60), (&hidden, "eth7", 61));
        let scene = look();
        assert_eq!(find(&scene, "host").interface("to-red").expect("to-red").peer, other("red", "eth0", 41));
        assert_eq!(find(&scene, "red").interface("eth0").expect("eth0").peer, other("host", "to-red", 40));
        assert_eq!(find(&scene, "red").interface("a").expect("a").peer, other("red", "b", 51));
        for (n, pair) in chain.windows(2).enumerate() {
            assert_eq!(inode(&pair[0]), find(&scene, &format!("c{n}")).inode);
            let right = find(&scene, &format!("c{n}")).interface("right").expect("right");
            assert_eq!(right.peer, other(&format!("c{}", n + 1), "left", 11));
            let left = find(&scene, &format!("c{}", n + 1)).interface("left").expect("left");
            assert_eq!(left.peer, other(&format!("c{n}"), "right", 10));
        }
        let dark = find(&scene, "host").interface("dark").expect("dark").peer.clone().expect("a peer");
        assert_eq!(dark.interface.as_deref(), Some("eth7"));
        // one namespace alone still knows who is at the other end
        let alone = scene::look(Parts::LINKS, |room| room.namespace == "c2").expect("a scene");
        assert_eq!(alone.namespaces.len(), 1);
        assert_eq!(alone.namespaces[0].interface("right").expect("right").peer, other("c3", "left", 11));
    });
}

#[test]
fn containers_are_called_what_their_engine_calls_them() {
    sandbox::run(|| {
        let _docker = bare::bound("/run/docker/netns/0a1b2c3d4e5f");
        let _podman = bare::bound("/run/netns/netns-12345678-1234-1234-1234-123456789abc");
        let listener = UnixListener::bind("/run/docker.sock").expect("a socket");
        let daemon = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("asked");
            let mut asked = [0; 512];
            let length = client.read(&mut asked).expect("a question");
            let body = "[{\"Id\":\"0a1b2c3d4e5f\",\"Names\":[\"/web\"]}]";
            client.write_all(format!("HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n{body}").as_bytes()).expect("answered");
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        let scene = look();
        assert!(daemon.join().expect("a daemon").starts_with("GET /containers/json HTTP/1.0\r\n"));
        assert_eq!(find(&scene, "docker:web").owner, Owner::Docker("0a1b2c3d4e5f".to_owned()));
        // Podman's names are of ids, and here no process tells one
        assert!(scene.namespaces.iter().any(|room| room.namespace == "netns-12345678-1234-1234-1234-123456789abc"));
        // nobody listens any more; and somebody who never answers
        assert!(look().namespaces.iter().any(|room| room.namespace == "docker:0a1b2c3d4e5f"));
        std::fs::remove_file("/run/docker.sock").expect("removed");
        let _silent = UnixListener::bind("/run/docker.sock").expect("a socket");
        assert!(look().namespaces.iter().any(|room| room.namespace == "docker:0a1b2c3d4e5f"));
    });
}

#[test]
fn hundreds_of_namespaces_are_found() {
    sandbox::run(|| {
        let all: Vec<OwnedFd> = (0..200).map(|n| bare::bound(&format!("/run/netns/many-{n}"))).collect();
        let scene = scene::look(Parts::LINKS, |room| room.namespace.starts_with("many-")).expect("a scene");
        assert_eq!(scene.namespaces.len(), all.len());
        for (n, (room, ns)) in scene.namespaces.iter().zip(&all).enumerate() {
            assert_eq!((room.namespace.as_str(), room.inode), (format!("many-{n}").as_str(), inode(ns)));
            // modules of tunnels put one of theirs into every namespace
            assert_eq!(room.interfaces.first().map(|interface| interface.name.as_str()), Some("lo"));
        }
    });
}

#[test]
fn a_name_that_is_mounted_over_leads_to_who_has_it_now() {
    sandbox::run(|| {
        let hidden = bare::bound("/run/netns/red");
        let beside = bare::bound("/run/netns/blue");
        // as whoever makes networks of his own beside those of root does: the mounts of before are there, behind it
        mount("tmpfs", "/run", "tmpfs", MountFlags::NOSUID, None).expect("a /run of its own");
        let red = bare::bound("/run/netns/red");
        let scene = look();
        let seen = find(&scene, "red");
        assert_eq!((seen.inode, seen.paths.as_slice()), (inode(&red), &["/run/netns/red".to_owned()][..]));
        // those are still held here, and called by nobody's name
        for held in [&hidden, &beside] {
            let seen = scene.namespaces.iter().find(|room| room.inode == inode(held)).expect("held by a descriptor");
            assert_eq!(seen.namespace, format!("net:[{}]", seen.inode));
        }
    });
}
