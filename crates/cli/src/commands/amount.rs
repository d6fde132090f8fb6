//! Amounts as people read them: two or three digits and a unit.

/// Bytes: `1.2 MB`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(count: u64) -> String {
    scaled(count as f64, "B")
}

/// Any amount of a unit, by powers of a thousand.
pub fn scaled(amount: f64, unit: &str) -> String {
    let mut value = amount.max(0.0);
    for prefix in ["", "k", "M", "G", "T"] {
        if value < 999.5 || prefix == "T" {
            let digits = usize::from(value < 9.95 && (!prefix.is_empty() || value.fract() != 0.0));
            let space = if unit.is_empty() && prefix.is_empty() { "" } else { " " };
            return format!("{value:.digits$}{space}{prefix}{unit}");
        }
        value /= 1000.0;
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_two_or_three_digits() {
        let said: Vec<String> = [0, 999, 1000, 9_940, 9_960, 999_400, 1_000_000, u64::MAX].map(bytes).to_vec();
        assert_eq!(said, ["0 B", "999 B", "1.0 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "18446744 TB"]);
        assert_eq!(scaled(0.25, ""), "0.2");
        assert_eq!(scaled(12_300.0, ""), "12 k");
        assert_eq!(scaled(1_250_000.0, "bit"), "1.2 Mbit");
    }
}
