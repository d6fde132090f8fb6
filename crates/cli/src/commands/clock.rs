//! The time of day, of the zone that this machine is in.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `14:03:22.071`.
pub fn time(now: Timestamp) -> String {
    now.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string()
}

/// `2026-03-14T14:03:22.071520+01:00` (RFC 3339).
pub fn rfc3339(now: Timestamp) -> String {
    now.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
}
