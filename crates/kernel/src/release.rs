//! Which Linux this is. Most of what raum asks for is refused by a kernel that does not have it, and then needs no number; here is the
//! rest: what an older kernel takes in another form, or refuses without saying that it is too old.
//!
//! A kernel whose number cannot be read counts as an old one: what that takes, newer ones take as well.

use rustix::system::uname;

/// The first two numbers of a kernel's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(u32, u32);

/// The lookup of a key in a map without what it leads to (a4878eeae390, "relax set/map validation checks").
pub const MAPS_AS_SETS: Release = Release(6, 5);
/// Ports of bridges that only known senders may come in by (a21d9a670d81, "Add support for bridge port in locked mode").
pub const LOCKED_PORTS: Release = Release(5, 18);
/// Tables that go with their socket (6001a930ce03, "introduce table ownership").
pub const OWNED_TABLES: Release = Release(5, 12);

impl Release {
    /// Of the running kernel (uname(2)).
    #[must_use]
    pub fn running() -> Self {
        Self::of(&uname().release().to_string_lossy())
    }

    /// Does the running kernel have what came with this one?
    #[must_use]
    pub fn is_here(self) -> bool {
        Self::running() >= self
    }

    fn of(text: &str) -> Self {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse::<u32>().ok());
        Self(numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_compared() {
        let older = ["5.10.0", "5.10.0-32-amd64", "6.1.0-50-amd64", "6.4", "", "strange", "6"];
        assert!(older.map(Release::of).iter().all(|release| *release < MAPS_AS_SETS));
        let newer = ["6.5.0-rc1", "6.12.100+deb12-amd64", "6.18.44-fc-v857", "7.0"];
        assert!(newer.map(Release::of).iter().all(|release| *release >= MAPS_AS_SETS));
        assert!(Release::running() > Release(0, 0));
    }
}
