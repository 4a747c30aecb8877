//! The compiled CRI against the table of its every rpc, message, field and enum value: nothing
//! missing, nothing extra, numbers and types equal.

use std::collections::BTreeSet;

use interlink_cri::proto::file_descriptor;
use protobuf::descriptor::{
    field_descriptor_proto::{Label, Type},
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

const TABLE: &str = include_str!("cri-v1-fields.tsv");
const PACKAGE: &str = ".runtime.v1.";

/// The table's rows, its header and the notes that are no part of the wire left out.
fn expected(table: &str) -> BTreeSet<String> {
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.map(|row| {
        let columns: Vec<_> = row.split('\t').collect();
        let streaming = if columns[0] == "rpc" { columns[6] } else { "" };
        [&columns[..6], &[streaming]].concat().join("\t")
    })
    .collect()
}

/// The same rows, from the descriptor.
fn actual(file: &FileDescriptorProto) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for service in &file.service {
        for method in &service.method {
            let kind = if method.server_streaming() {
                "server_streaming"
            } else {
                "unary"
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
            None => ("singular", type_of(field)),
        };
        let (field, number) = (field.name(), field.number());
        rows.insert(format!(
            "field\t{name}\t{field}\t{number}\t{label}\t{kind}\t"
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

fn differences(table: &str) -> Vec<String> {
    let (want, have) = (expected(table), actual(file_descriptor().proto()));
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
    for (from, to) in [
        (
            "\tDNSConfig\tservers\t1\trepeated",
            "\tDNSConfig\tservers\t9\trepeated",
        ),
        (
            "\tDNSConfig\tservers\t1\trepeated",
            "\tDNSConfig\tservers\t1\tsingular",
        ),
        (
            "VersionRequest -> VersionResponse\tunary",
            "VersionRequest -> VersionResponse\tserver_streaming",
        ),
        ("\tProtocol\tUDP\t1", "\tProtocol\tUDP\t7"),
        ("message\tDNSConfig\t", "message\tDNSConfigs\t"),
    ] {
        let changed = TABLE.replacen(from, to, 1);
        assert_ne!(changed, TABLE, "{from} is in the table");
        assert_eq!(differences(&changed).len(), 2, "{to}");
    }
}
