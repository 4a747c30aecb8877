//! The CRI that the program is generated from against the table of its every rpc, message, field and enum value: nothing
//! missing, nothing extra, numbers, labels and types equal.

use std::collections::BTreeSet;

use protobuf::descriptor::{
    field_descriptor_proto::{Label, Type},
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

const TABLE: &str = include_str!("../cri-v1-fields.tsv");
const PACKAGE: &str = ".runtime.v1.";
/// As `build.rs` has it.
const PROTO: &str = "cri/v1/api.proto";
const DEPRECATED: &str = "deprecated";

/// The table's rows without its header. Of the notes, those on an rpc say how it streams, and
/// `deprecated` is kept; the rest is for readers (`debug_redact` is unknown to the generator).
fn expected(table: &str) -> BTreeSet<String> {
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.map(|row| {
        let columns: Vec<_> = row.split('\t').collect();
        let note = columns[6];
        let kept = columns[0] == "rpc" || note == DEPRECATED;
        [&columns[..6], &[if kept { note } else { "" }]]
            .concat()
            .join("\t")
    })
    .collect()
}

/// What `proto/` says. The program itself has no description of its messages.
fn descriptor() -> FileDescriptorProto {
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let parsed = protobuf_parse::Parser::new()
        .pure()
        .include(proto)
        .input(format!("{proto}/{PROTO}"))
        .parse_and_typecheck()
        .expect("it was parsed to build the program");
    let mut files = parsed.file_descriptors.into_iter();
    files.find(|file| file.name() == PROTO).expect(PROTO)
}

/// The same rows, from the descriptor.
fn actual(file: &FileDescriptorProto) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for service in &file.service {
        for method in &service.method {
            let kind = match (method.client_streaming(), method.server_streaming()) {
                (false, false) => "unary",
                (false, true) => "server_streaming",
                (true, false) => "client_streaming",
                (true, true) => "bidirectional",
            };
            let (request, response) = (short(method.input_type()), short(method.output_type()));
            rows.insert(format!(
                "rpc\t{}.{}\t{}\t-\t-\t{request} -> {response}\t{kind}",
                file.package(),
                service.name(),
                method.name(),
            ));
        }
    }
    file.message_type
        .iter()
        .for_each(|message| add_message(&mut rows, "", message));
    file.enum_type
        .iter()
        .for_each(|one| add_enum(&mut rows, "", one));
    rows
}

fn add_message(rows: &mut BTreeSet<String>, outer: &str, message: &DescriptorProto) {
    let name = format!("{outer}{}", message.name());
    rows.insert(format!("message\t{name}\t-\t-\t-\t-\t"));
    for field in &message.field {
        let entry = message.nested_type.iter().find(|nested| {
            nested.options.map_entry()
                && field
                    .type_name()
                    .ends_with(&format!("{name}.{}", nested.name()))
        });
        let (label, kind) = match entry {
            Some(entry) => (
                "map",
                format!(
                    "map<{},{}>",
                    type_of(&entry.field[0]),
                    type_of(&entry.field[1])
                ),
            ),
            None if field.label() == Label::LABEL_REPEATED => ("repeated", type_of(field)),
            // `optional` is a oneof of its own.
            None if field.has_oneof_index() => ("oneof", type_of(field)),
            None => ("singular", type_of(field)),
        };
        let note = if field.options.deprecated() {
            DEPRECATED
        } else {
            ""
        };
        let (field, number) = (field.name(), field.number());
        rows.insert(format!(
            "field\t{name}\t{field}\t{number}\t{label}\t{kind}\t{note}"
        ));
    }
    let inner = format!("{name}.");
    let nested = message
        .nested_type
        .iter()
        .filter(|nested| !nested.options.map_entry());
    nested.for_each(|nested| add_message(rows, &inner, nested));
    message
        .enum_type
        .iter()
        .for_each(|one| add_enum(rows, &inner, one));
}

fn add_enum(rows: &mut BTreeSet<String>, outer: &str, one: &EnumDescriptorProto) {
    for value in &one.value {
        let (name, value, number) = (one.name(), value.name(), value.number());
        rows.insert(format!(
            "enum_value\t{outer}{name}\t{value}\t{number}\t-\t-\t"
        ));
    }
}

fn type_of(field: &FieldDescriptorProto) -> String {
    match field.type_() {
        Type::TYPE_MESSAGE => short(field.type_name()),
        Type::TYPE_ENUM => format!("enum {}", short(field.type_name())),
        scalar => format!("{scalar:?}")
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}

fn short(path: &str) -> String {
    path.strip_prefix(PACKAGE).unwrap_or(path).to_owned()
}

/// What the API lacks and what it has too much, against a table.
fn differences(table: &str) -> Vec<String> {
    let (want, have) = (expected(table), actual(&descriptor()));
    let missing = want.difference(&have).map(|row| format!("missing: {row}"));
    let extra = have.difference(&want).map(|row| format!("extra: {row}"));
    missing.chain(extra).collect()
}

#[test]
fn the_api_is_the_table() {
    let differences = differences(TABLE);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn a_changed_row_is_noticed() {
    for (what, from, to) in [
        (
            "number",
            "DNSConfig\tservers\t1\t",
            "DNSConfig\tservers\t9\t",
        ),
        (
            "label",
            "DNSConfig\tservers\t1\trepeated",
            "DNSConfig\tservers\t1\tsingular",
        ),
        (
            "type",
            "VersionRequest\tversion\t1\tsingular\tstring",
            "VersionRequest\tversion\t1\tsingular\tbytes",
        ),
        (
            "type of a map",
            "sysctls\t3\tmap\tmap<string,string>",
            "sysctls\t3\tmap\tmap<string,bytes>",
        ),
        ("enum for message", "\tenum Protocol\t", "\tProtocol\t"),
        (
            "deprecation",
            "apparmor_profile\t9\tsingular\tstring\tdeprecated",
            "apparmor_profile\t9\tsingular\tstring\t-",
        ),
        (
            "answer of an rpc",
            "VersionRequest -> VersionResponse",
            "VersionRequest -> StatusResponse",
        ),
        (
            "streaming",
            "VersionRequest -> VersionResponse\tunary",
            "VersionRequest -> VersionResponse\tserver_streaming",
        ),
        (
            "service",
            "RuntimeService\tVersion",
            "ImageService\tVersion",
        ),
        ("enum value", "\tProtocol\tUDP\t1", "\tProtocol\tUDP\t7"),
        (
            "nested enum",
            "SecurityProfile.ProfileType\tLocalhost",
            "ProfileType\tLocalhost",
        ),
        ("message", "message\tDNSConfig\t", "message\tDNSConfigs\t"),
    ] {
        let changed = TABLE.replacen(from, to, 1);
        assert_ne!(changed, TABLE, "{what}: {from} is in the table");
        assert_eq!(differences(&changed).len(), 2, "{what}");
    }
}

#[test]
fn a_row_too_few_or_too_many_is_noticed() {
    let row = "field\tDNSConfig\tservers\t1\trepeated\tstring\t-\n";
    let fewer = TABLE.replacen(row, "", 1);
    assert_eq!(
        differences(&fewer),
        ["extra: field\tDNSConfig\tservers\t1\trepeated\tstring\t"]
    );
    let more = format!("{TABLE}message\tUnheard\t-\t-\t-\t-\t-\n");
    assert_eq!(
        differences(&more),
        ["missing: message\tUnheard\t-\t-\t-\t-\t"]
    );
}
