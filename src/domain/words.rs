//! Formats counts and lists of names for messages.

/// A count with thousands separators, such as `12,732`.
#[must_use]
pub fn count(count: impl Into<i64>) -> String {
    grouped(&count.into().to_string())
}

/// A count with its noun, singular for 1.
#[must_use]
pub fn counted(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Adds thousands separators to the digits of a number.
#[must_use]
pub fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("−", digits));
    let mut grouped = sign.to_owned();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The first ten names, and the number of the others.
#[must_use]
pub fn first_few(names: &[&str]) -> String {
    const FEW: usize = 10;
    let shown = names.iter().take(FEW).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(FEW) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(12_732), "12,732");
        assert_eq!(count(-1_234_567), "−1,234,567");
        assert_eq!(counted(1, "row", "rows"), "1 row");
    }

    #[test]
    fn at_most_ten_names_are_shown() {
        assert_eq!(first_few(&["카페", "공원"]), "카페, 공원");
        assert_eq!(first_few(&["a"; 12]), "a, a, a, a, a, a, a, a, a, a and 2 more");
    }
}
