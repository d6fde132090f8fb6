//! The order in which people count: `n2` comes before `n10`.

use std::cmp::Ordering;

/// Compares names part by part: digits that stand together are one number, however long, and all else is compared as it is. A
/// total order, for names are anybody's, and to sort by less than that may panic.
#[must_use]
pub fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a, b);
    loop {
        let (of_x, of_y) = (digits(x), digits(y));
        let order = if of_x > 0 && of_y > 0 {
            let (number_x, number_y) = (x[..of_x].trim_start_matches('0'), y[..of_y].trim_start_matches('0'));
            (x, y) = (&x[of_x..], &y[of_y..]);
            number_x.len().cmp(&number_y.len()).then_with(|| number_x.cmp(number_y))
        } else {
            let (mut rest_x, mut rest_y) = (x.chars(), y.chars());
            match (rest_x.next(), rest_y.next()) {
                // the same but for zeros before a number, or not even that
                (None, None) => return a.cmp(b),
                (first_x, first_y) => {
                    (x, y) = (rest_x.as_str(), rest_y.as_str());
                    first_x.cmp(&first_y)
                }
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// How many digits a text begins with.
fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::natural;

    #[test]
    fn people_count_so() {
        let wanted = ["", "-", "2", "10", "a", "a01", "a1", "a1-2", "a1-10", "a2", "a10", "ab", "b-x2y", "b-x10", "é"];
        let mut sorted = wanted;
        sorted.reverse();
        sorted.sort_by(|a, b| natural(a, b));
        assert_eq!(sorted, wanted);
        // numbers that fit into no register
        assert!(natural("5", "45000000000000000000000").is_lt());
        assert!(natural("30", "45000000000000000000000").is_lt());
    }

    proptest! {
        #[test]
        fn it_is_a_total_order(texts in prop::collection::vec("[0-9a1é-]{0,24}", 3)) {
            let [a, b, c] = &texts[..] else { unreachable!() };
            prop_assert_eq!(natural(a, b), natural(b, a).reverse());
            prop_assert_eq!(natural(a, b).is_eq(), a == b);
            if natural(a, b).is_le() && natural(b, c).is_le() {
                prop_assert!(natural(a, c).is_le());
            }
        }
    }
}
