//! Writes what the fields of each message take in memory, for `src/proto/weight.rs`.

use std::{error::Error, fmt::Write as _};

use protobuf::descriptor::{
    field_descriptor_proto::{Label, Type},
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// The code for every message of a file.
pub fn generate(file: &FileDescriptorProto) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in &file.message_type {
        if message.nested_type.iter().any(|one| !is_map(one)) {
            return Err(format!("{}: a message within it has no shape", message.name()).into());
        }
        let mut fields: Vec<&FieldDescriptorProto> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        write!(
            code,
            "impl Shaped for {name} {{\n\
             const SHAPE: &'static Shape = &Shape(&[\n",
            name = message.name()
        )?;
        for field in fields {
            writeln!(
                code,
                "({number}, {shape}),",
                number = field.number(),
                shape = shape(message, field)
            )?;
        }
        code.push_str("]);\n}\n");
    }
    Ok(code)
}

fn is_map(message: &DescriptorProto) -> bool {
    message.options.map_entry()
}

fn shape(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let many = field.label() == Label::LABEL_REPEATED;
    let name = type_name(field);
    if let Some(entry) = message.nested_type.iter().find(|one| one.name() == name) {
        let [key, value] = [0, 1].map(|at| size(&entry.field[at]));
        return format!("Field::map({key}, {value})");
    }
    let kind = match field.type_() {
        Type::TYPE_MESSAGE => return format!("Field::message::<{name}>({many})"),
        Type::TYPE_STRING | Type::TYPE_BYTES => "text",
        _ => "number",
    };
    format!("Field::{kind}({many})")
}

fn size(field: &FieldDescriptorProto) -> String {
    match field.type_() {
        Type::TYPE_MESSAGE => format!("size_of::<{}>()", type_name(field)),
        Type::TYPE_STRING | Type::TYPE_BYTES => "VECTOR_BYTES".to_owned(),
        _ => "NUMBER_BYTES".to_owned(),
    }
}

/// `.runtime.v1.Mount` to `Mount`: all types live in one module.
fn type_name(field: &FieldDescriptorProto) -> &str {
    let path = field.type_name();
    path.rsplit('.').next().unwrap_or(path)
}
