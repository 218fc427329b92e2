//! Every form of a variable, what is quoted, and what is no expansion at all.

use std::collections::BTreeMap;

use super::*;

fn variables() -> BTreeMap<String, String> {
    [
        ("v", "value"),
        ("empty", ""),
        ("path", "/usr/local/bin/foo.tar.gz"),
        ("sp", "a  b"),
        ("star", "a*b?c"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

#[test]
fn every_form_expands() {
    for (text, expected) in [
        ("$v", "value"),
        ("x${v}y", "xvaluey"),
        ("$vx-$", "-$"),
        ("$none", ""),
        ("\\$v \\\\ \\a", "$v \\ a"),
        ("'$v' \"$v\"", "$v value"),
        ("\"a\\\"b\\$c\\d\"", "a\"b$c\\d"),
        ("'a\\'", "a\\"),
        ("${v:-w} ${none:-w} ${empty:-w}", "value w w"),
        ("${v-w} ${none-w} ${empty-w}", "value w "),
        ("${v:+w} ${none:+w} ${empty:+w}", "w  "),
        ("${v+w} ${none+w} ${empty+w}", "w  w"),
        ("${v:?w} ${v?w} ${empty?w}", "value value "),
        ("${none:-${v}} ${none:-${no:-x}}", "value x"),
        ("${none:-a b}", "a b"),
        (
            "${path#*/} ${path##*/}",
            "usr/local/bin/foo.tar.gz foo.tar.gz",
        ),
        (
            "${path%.*} ${path%%.*}",
            "/usr/local/bin/foo.tar /usr/local/bin/foo",
        ),
        (
            "${path#x} ${path%x}",
            "/usr/local/bin/foo.tar.gz /usr/local/bin/foo.tar.gz",
        ),
        (
            "${v/a/o} ${v/?l/_} ${path//o/0}",
            "volue v_ue /usr/l0cal/bin/f00.tar.gz",
        ),
        (
            "${path/\\/usr/} ${path//\\//_}",
            "/local/bin/foo.tar.gz _usr_local_bin_foo.tar.gz",
        ),
        ("${star/\\*/-} ${star/\\?/-}", "a-b?c a*b-c"),
        ("${path//\\//\\/}", "\\/usr\\/local\\/bin\\/foo.tar.gz"),
        ("${v:#va}${v:%e}", "luevalu"),
        ("$1 $@ $12x", "  x"),
        ("héé $v", "héé value"),
    ] {
        assert_eq!(
            expand(text, '\\', &variables()).unwrap().text,
            expected,
            "{text}"
        );
    }
    assert_eq!(expand("`$v \\x", '`', &variables()).unwrap().text, "$v \\x");
}

#[test]
fn words_are_split_after_expansion_but_not_within_quotes() {
    for (text, expected) in [
        ("$sp c", &["a", "b", "c"][..]),
        ("\"$sp\" c", &["a  b", "c"]),
        ("a\\ b", &["a b"]),
        ("  ", &[]),
    ] {
        assert_eq!(
            expand(text, '\\', &variables()).unwrap().words,
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_is_not_set_is_told() {
    let missing = expand("$a ${b:-x} $v", '\\', &variables()).unwrap().missing;
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn here_documents_keep_their_quotes() {
    let expanded = expand_raw("a=\"$v\" it's \\$v\n", &variables()).unwrap();
    assert_eq!(expanded.text, "a=\"value\" it's $v\n");
}

#[test]
fn mistakes_are_named() {
    for (text, reason) in [
        ("${v", "syntax error: missing '}'"),
        ("${", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:-x}", "syntax error: bad substitution"),
        ("${v:x}", "unsupported modifier (:x) in substitution"),
        ("${v=x}", "unsupported modifier (=) in substitution"),
        ("${v/a}", "syntax error: missing '/' in ${}"),
        ("${none:?}", "none: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${none?say why}", "none: say why"),
        (
            "'a",
            "unexpected end of statement while looking for matching single-quote",
        ),
        (
            "\"a",
            "unexpected end of statement while looking for matching double-quote",
        ),
        ("${v#\\x}", "invalid escape '\\x' in a pattern"),
    ] {
        let failure = expand(text, '\\', &variables()).unwrap_err();
        assert_eq!(failure, format!("failed to process {text:?}: {reason}"));
    }
}

#[test]
fn absurd_nesting_is_refused_and_absurd_patterns_end() {
    let deep = "${a:-".repeat(100_000);
    assert!(expand(&deep, '\\', &variables()).is_err());
    let mut many = variables();
    many.insert("long".to_owned(), "a".repeat(20_000));
    let stars = format!("${{long##{}b}}", "*a".repeat(200));
    assert_eq!(expand(&stars, '\\', &many).unwrap().text.len(), 20_000);
}

#[test]
fn steps_are_shown_with_what_their_variables_hold() {
    let variables: BTreeMap<String, String> = [("A", "1"), ("E", ""), ("S", "x y")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for (text, expected) in [
        ("RUN echo $A ${A} \"$A\" '$A'", "RUN echo 1 1 \"1\" '$A'"),
        (
            "RUN for i in $S; do echo $i ${i}; done",
            "RUN for i in x y; do echo $i ${i}; done",
        ),
        (
            "RUN echo \\$A \\\\ it\\'s $A$E.",
            "RUN echo \\$A \\\\ it\\'s 1.",
        ),
        ("RUN a ${N:-d} ${A:+b} ${N#x}", "RUN a d b "),
        (
            "RUN a ${N:?no} $(b $A) $? $$ ${",
            "RUN a ${N:?no} $(b 1) $? $$ ${",
        ),
        ("COPY \"${S}\" /", "COPY \"x y\" /"),
    ] {
        assert_eq!(expand_shown(text, '\\', &variables), expected, "{text}");
    }
}
