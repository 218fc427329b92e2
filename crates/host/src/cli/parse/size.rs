//! Amounts of memory and of CPU.

use super::Parsed;

/// Bytes as Docker writes them: `64m`, `1.5g`, `512`, `2 GiB`; the units are powers of 1024.
pub(crate) fn bytes(text: &str) -> Parsed<i64> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let exponent = exponent(unit.trim_start()).ok_or_else(reason)?;
    let number = Decimal::parse(number).ok_or_else(reason)?;
    number
        .scaled(1_i128 << (10 * exponent))
        .ok_or_else(|| "it is too large".into())
}

/// Bytes, or `-1` for no limit.
pub(crate) fn bytes_or_unlimited(text: &str) -> Parsed<i64> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// A number of CPUs as billionths of one: `0.5`, `2`.
pub(crate) fn cpus(text: &str) -> Parsed<i64> {
    let number = Decimal::parse(text).ok_or("it must be a number such as 0.5 or 2")?;
    if number.fraction_digits() > 9 {
        return Err("it has more than nine decimal places".into());
    }
    number
        .scaled(1_000_000_000)
        .ok_or_else(|| "it is too large".into())
}

fn reason() -> String {
    "it must be a number of bytes such as 512, 64m or 1.5g".into()
}

fn exponent(unit: &str) -> Option<u32> {
    let unit = unit.to_ascii_lowercase();
    let prefix = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')) {
        Some(prefix) if prefix.len() <= 1 => prefix,
        Some(_) => return None,
        None => &unit,
    };
    match prefix {
        "" if unit != "ib" => Some(0),
        "k" => Some(1),
        "m" => Some(2),
        "g" => Some(3),
        "t" => Some(4),
        "p" => Some(5),
        _ => None,
    }
}

/// A decimal number kept exactly: `digits` with the point `places` from the right.
struct Decimal<'text> {
    whole: &'text str,
    fraction: &'text str,
}

impl<'text> Decimal<'text> {
    fn parse(text: &'text str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let empty = whole.is_empty() && fraction.is_empty();
        let fits = whole.len() <= 19 && fraction.len() <= 15;
        (digits(whole) && digits(fraction) && !empty && fits).then_some(Self { whole, fraction })
    }

    fn fraction_digits(&self) -> usize {
        self.fraction.trim_end_matches('0').len()
    }

    /// The number times `factor`, cut to a whole number.
    fn scaled(&self, factor: i128) -> Option<i64> {
        let number = |digits: &str| {
            if digits.is_empty() {
                Some(0)
            } else {
                digits.parse().ok()
            }
        };
        let whole: i128 = number(self.whole)?;
        let fraction: i128 = number(self.fraction)?;
        let places = u32::try_from(self.fraction.len()).ok()?;
        let part = fraction.checked_mul(factor)? / 10_i128.checked_pow(places)?;
        i64::try_from(whole.checked_mul(factor)?.checked_add(part)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_dockers_units() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("2 GiB", 2 << 30),
            (".5k", 512),
            ("1p", 1 << 50),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in [
            "", "m", "-1", "1x", "1.2.3m", "1mm", "1ib", "1kbb", "9999999p", "1e3",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        assert_eq!(bytes_or_unlimited("-1"), Ok(-1));
    }

    #[test]
    fn cpus_are_billionths() {
        for (text, expected) in [
            ("1", 1_000_000_000),
            ("0.5", 500_000_000),
            (".25", 250_000_000),
            ("1.000000001", 1_000_000_001),
            ("2.10", 2_100_000_000),
        ] {
            assert_eq!(cpus(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "-1", "1.0000000001", "1,5"] {
            assert!(cpus(text).is_err(), "{text}");
        }
    }
}
