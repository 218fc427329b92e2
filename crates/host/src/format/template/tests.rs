//! Whole templates over small records: what Go prints, and what it complains about.

use proptest::prelude::*;
use serde_json::json;

use super::{Record, Template};

fn sample() -> Record {
    let fields = json!({
        "ID": "abcdef", "Names": "web", "Count": 3, "Ratio": 1.5, "On": true, "Off": false,
        "Nothing": null, "List": ["a", "b", "c"], "Empty": [],
        "Config": {"Labels": {"b": "1", "x.y": "z"}, "Cmd": ["sleep", "1"]},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]},
            "Networks": {"bridge": {"IPAddress": "10.0.0.2"}}},
        "State": {"Status": "running", "ExitCode": 0}
    });
    let labels = [("com.ex.a-b".to_owned(), "v".to_owned())].into();
    Record {
        fields,
        labels: Some(labels),
    }
}

fn show(template: &str) -> String {
    match Template::parse(template).and_then(|template| template.render(&sample())) {
        Ok(text) => text,
        Err(error) => format!("! {error}"),
    }
}

const PRINTED: &[(&str, &str)] = &[
    ("", ""),
    ("plain", "plain"),
    ("{{.ID}}", "abcdef"),
    ("{{ .State.Status }}!", "running!"),
    ("{{$.ID}}", "abcdef"),
    (
        "{{.Count}} {{.Ratio}} {{.On}} {{.Nothing}}",
        "3 1.5 true <nil>",
    ),
    (
        "{{.List}} {{.State}}",
        "[a b c] map[ExitCode:0 Status:running]",
    ),
    ("{{json .List}}", r#"["a","b","c"]"#),
    ("{{.List | json}}", r#"["a","b","c"]"#),
    ("{{json .Config.Labels}}", r#"{"b":"1","x.y":"z"}"#),
    (
        r#"{{.Config.Labels.b}} {{.Config.Labels.nope}}"#,
        "1 <no value>",
    ),
    (
        r#"{{index .Config.Labels "x.y"}}/{{index .Config.Labels "nope"}}"#,
        "z/",
    ),
    (
        r#"{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}"#,
        "8080",
    ),
    (
        r#"{{index .NetworkSettings.Ports "80/tcp" 0 "HostPort"}}"#,
        "8080",
    ),
    ("{{range .List}}<{{.}}>{{end}}", "<a><b><c>"),
    ("{{range .Empty}}x{{else}}none{{end}}", "none"),
    ("{{range $i, $v := .List}}{{$i}}{{$v}} {{end}}", "0a 1b 2c "),
    (
        "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}={{$v.IPAddress}}{{end}}",
        "bridge=10.0.0.2",
    ),
    (
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        "10.0.0.2",
    ),
    (
        "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}",
        "a",
    ),
    (
        "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
        "ac",
    ),
    ("{{if .Off}}a{{else if .On}}b{{else}}c{{end}}", "b"),
    ("{{if .Nothing}}a{{else}}c{{end}}", "c"),
    (
        "{{if .State.Health}}{{.State.Health.Status}}{{else}}no{{end}}",
        "no",
    ),
    (
        "{{with .State}}{{.Status}}{{end}}{{with .Nothing}}x{{else}}y{{end}}",
        "runningy",
    ),
    ("{{with .Off}}a{{else with .Names}}{{.}}{{end}}", "web"),
    ("{{$x := .ID}}{{$x}} {{$x = \"n\"}}{{$x}}", "abcdef n"),
    ("a {{- .ID -}} b", "aabcdefb"),
    ("a {{/* note */}} b{{- /* x */ -}}  c", "a  bc"),
    (
        "{{eq .Count 3}} {{eq .ID \"x\" \"abcdef\"}} {{ne .Count 3}}",
        "true true false",
    ),
    (
        "{{lt 1 2}}{{le 2 2}}{{gt 1.5 1}}{{ge \"a\" \"b\"}}",
        "truetruetruefalse",
    ),
    (
        "{{and .On .ID}} {{or .Off .Names}} {{not .On}}",
        "abcdef web false",
    ),
    ("{{or .Off .Off}} {{and .On .Off .Missing}}", "false false"),
    ("{{len .List}} {{len .ID}} {{len .State}}", "3 6 2"),
    (
        "{{join .List \",\"}} {{split \"a:b\" \":\"}}",
        "a,b,c [a b]",
    ),
    (
        "{{upper .ID}} {{lower \"ABC\"}} {{title \"one two\"}}",
        "ABCDEF abc One Two",
    ),
    (
        "{{pad \"x\" 1 2}}|{{truncate .ID 3}}|{{truncate .ID 99}}",
        " x  |abc|abcdef",
    ),
    ("{{slice .ID 1 3}} {{slice .List 1}}", "bc [b c]"),
    (
        "{{print \"a\" 1 2 \"b\"}}|{{println \"a\" 1}}",
        "a1 2b|a 1\n",
    ),
    (
        "{{printf \"%s-%d %q %v %5s|%-5s|%05d %.2f %x %%\" .ID .Count .ID .List \"r\" \"l\" 42 .Ratio 255}}",
        "abcdef-3 \"abcdef\" [a b c]     r|l    |00042 1.50 ff %",
    ),
    (
        "{{printf \"%d\" .ID}}{{printf \"%s\"}}",
        "%!d(string=abcdef)%!s(MISSING)",
    ),
    ("{{.ID | printf \"%s!\" | upper}}", "ABCDEF!"),
    ("{{.Label \"com.ex.a-b\"}}{{.Label \"none\"}}", "v"),
    (
        "{{\"\\\"\\x41\\u00e9\\n\"}}{{`\\n`}}{{'a'}}",
        "\"A\u{e9}\n\\n97",
    ),
    ("{{0x10}} {{-5}} {{1_000}}", "16 -5 1000"),
    (
        "{{html \"<a&b>\"}} {{urlquery \"a b/c\"}}",
        "&lt;a&amp;b&gt; a+b%2Fc",
    ),
    ("{{range 3}}{{.}}{{end}}", "012"),
];

#[test]
fn templates_print_what_go_prints() {
    for (template, expected) in PRINTED {
        assert_eq!(show(template), *expected, "{template}");
    }
}

#[test]
fn mistakes_read_as_gos_do() {
    for (template, expected) in [
        (
            "{{.Nope}}",
            r#"template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope""#,
        ),
        (
            "{{.ID.X}}",
            r#"template: :1:2: executing "" at <.ID.X>: can't evaluate field X in type string"#,
        ),
        (
            "{{.Nothing.X}}",
            r#"template: :1:2: executing "" at <.Nothing.X>: nil pointer evaluating interface {}.X"#,
        ),
        (
            "a\n{{index .List 9}}",
            r#"template: :2:2: executing "" at <index>: error calling index: index out of range: 9"#,
        ),
        (
            "{{upper 1}}",
            r#"template: :1:2: executing "" at <upper>: error calling upper: wrong type for value; expected string; got int"#,
        ),
        (
            "{{upper}}",
            r#"template: :1:2: executing "" at <upper>: wrong number of args for upper: want 1 got 0"#,
        ),
        (
            "{{eq .ID 1}}",
            r#"template: :1:2: executing "" at <eq>: error calling eq: incompatible types for comparison"#,
        ),
        (
            "{{.ID 1}}",
            r#"template: :1:2: executing "" at <.ID>: ID has arguments but cannot be invoked as function"#,
        ),
        (
            "{{range .ID}}{{end}}",
            r#"template: :1:8: executing "" at <.ID>: range can't iterate over abcdef"#,
        ),
        ("{{.ID", "template: :1: unclosed action"),
        ("{{foo .}}", r#"template: :1: function "foo" not defined"#),
        ("{{if .ID}}x", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{else}}", "template: :1: unexpected {{else}}"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        ("{{break}}", "template: :1: {{break}} outside {{range}}"),
        ("{{\"a}}", "template: :1: unterminated quoted string"),
        (
            "{{template \"x\"}}",
            "template: :1: {{template}} is not supported",
        ),
        ("{{/* x }}", "template: :1: unclosed comment"),
        ("{{(.ID}}", "template: :1: unclosed left paren"),
        (
            "{{pad .ID 1 999999}}",
            r#"template: :1:2: executing "" at <pad>: error calling pad: width is above 10000"#,
        ),
    ] {
        assert_eq!(show(template), format!("! {expected}"), "{template}");
    }
}

#[test]
fn titles_pass_through_dockers_functions() {
    let titles = Record {
        fields: json!({"ID": "CONTAINER ID", "Names": "NAMES"}),
        labels: Some([].into()),
    };
    let template =
        Template::parse("{{upper .ID}}\t{{json .Names}}\t{{.Label \"com.ex.a-b\"}}").unwrap();
    assert_eq!(
        template.render_header(&titles).unwrap(),
        "CONTAINER ID\tNAMES\ta b"
    );
}

#[test]
fn nesting_is_bounded() {
    for unit in ["(", "{{if 1}}"] {
        let text = if unit == "(" {
            format!("{{{{{}}}}}", unit.repeat(5000))
        } else {
            unit.repeat(5000)
        };
        assert!(
            Template::parse(&text)
                .unwrap_err()
                .to_string()
                .contains("nests too deeply")
        );
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(\\{\\{|\\}\\}|[-.$(|):=,\"'` ]|[a-z]{1,5}|\\.[A-Z][a-zA-Z]{0,6}|if |end|else|range |with |printf |[0-9]|\\PC){0,24}") {
        if let Ok(template) = Template::parse(&text) {
            let _unused = template.render(&sample());
            let _unused = template.render_header(&sample());
        }
    }
}

#[test]
fn nil_maps_and_lists_have_their_types() {
    let image = json!({
        "Id": "sha256:1",
        "RepoTags": null,
        "Config": {"Labels": null, "Env": null, "Volumes": null, "Other": null}
    });
    let show = |template: &str| {
        let template = Template::parse(template).unwrap();
        template.render(&Record::new(image.clone()))
    };
    for (template, expected) in [
        (r#"{{index .Config.Labels "x"}}."#, "."),
        ("{{.Config.Labels.x}}", "<no value>"),
        ("{{len .Config.Env}} {{len .Config.Labels}}", "0 0"),
        (
            "{{.Config.Env}} {{.Config.Labels}} {{.RepoTags}}",
            "[] map[] []",
        ),
        ("{{json .Config.Env}} {{.Config.Other}}", "null <nil>"),
        ("{{range .Config.Env}}x{{else}}none{{end}}", "none"),
        ("{{.ID}} {{.Id}}", "sha256:1 sha256:1"),
        (
            "{{1.0}} {{1e3}} {{2.5}} {{1e21}} {{0.00001}} {{-1.0}}",
            "1 1000 2.5 1e+21 1e-05 -1",
        ),
    ] {
        assert_eq!(show(template).unwrap(), expected, "{template}");
    }
    let error = show("{{index .Config.Env 0}}").unwrap_err().to_string();
    assert!(error.ends_with("index out of range: 0"), "{error}");
    assert!(show("{{len .Config.Other}}").is_err());
}
