//! Writes service traits, registration and blocking clients from a descriptor.

use std::fmt::Write as _;

use protobuf::descriptor::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

/// Calls whose answers the handlers give encoded: what a kubelet asks for all the time, and the streams of
/// the same.
const ENCODED: [&str; 11] = [
    "ContainerStatus",
    "ListPodSandbox",
    "ListContainers",
    "ContainerStats",
    "PodSandboxStats",
    "ListContainerStats",
    "ListPodSandboxStats",
    "StreamPodSandboxes",
    "StreamContainers",
    "StreamContainerStats",
    "StreamPodSandboxStats",
];
/// Methods with one answer, which may come long after the handler has returned. On the wire a stream of
/// one message is the same as a single answer, and a stream is told when the client is gone.
const PARKED: [&str; 2] = ["StopContainer", "StopPodSandbox"];

/// The code for every service of a file.
pub fn generate(file: &FileDescriptorProto) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    for service in &file.service {
        constants(&mut code, file, service)?;
        service_trait(&mut code, service)?;
        registration(&mut code, service)?;
        client(&mut code, service)?;
    }
    Ok(code)
}

fn constants(
    code: &mut String,
    file: &FileDescriptorProto,
    service: &ServiceDescriptorProto,
) -> std::fmt::Result {
    for method in &service.method {
        let kind = if method.server_streaming() {
            "ServerStreaming"
        } else {
            "Unary"
        };
        write!(
            code,
            "/// `{name}` on the wire.\n\
             pub const {constant}: ::grpcio::Method<{request}, {response}> = ::grpcio::Method {{\n\
             ty: ::grpcio::MethodType::{kind},\n\
             name: \"/{package}.{service}/{name}\",\n\
             req_mar: ::grpcio::Marshaller {{ ser: ::grpcio::pb_ser, de: ::grpcio::pb_de }},\n\
             resp_mar: ::grpcio::Marshaller {{ ser: ::grpcio::pb_ser, de: ::grpcio::pb_de }},\n\
             }};\n",
            constant = constant(service, method),
            request = type_name(method.input_type()),
            response = type_name(method.output_type()),
            package = file.package(),
            service = service.name(),
            name = method.name(),
        )?;
        let response = type_name(method.output_type());
        let (answer, answers) = match is_encoded(method) {
            true => (
                format!("Encoded<{response}>"),
                "ser: Encoded::ser, de: Encoded::de",
            ),
            false => (response, "ser: ::grpcio::pb_ser, de: ::grpcio::pb_de"),
        };
        write!(
            code,
            "const {served}: ::grpcio::Method<Incoming<{request}>, {answer}> = ::grpcio::Method {{\n\
             ty: ::grpcio::MethodType::{kind},\n\
             name: {constant}.name,\n\
             req_mar: ::grpcio::Marshaller {{ ser: Incoming::ser, de: Incoming::de }},\n\
             resp_mar: ::grpcio::Marshaller {{ {answers} }},\n\
             }};\n",
            served = served(service, method),
            constant = constant(service, method),
            request = type_name(method.input_type()),
        )?;
    }
    Ok(())
}

fn is_encoded(method: &MethodDescriptorProto) -> bool {
    ENCODED.contains(&method.name())
}

/// The constant by which a method is served.
fn served(service: &ServiceDescriptorProto, method: &MethodDescriptorProto) -> String {
    format!("SERVED_{}", constant(service, method))
}

fn service_trait(code: &mut String, service: &ServiceDescriptorProto) -> std::fmt::Result {
    write!(
        code,
        "/// The handlers of `{name}`: plain functions from a request to an answer.\n\
         pub trait {name}: Send + Sync + 'static {{\n\
         /// What a handler fails with.\n\
         type Error;\n",
        name = service.name()
    )?;
    for method in &service.method {
        let response = type_name(method.output_type());
        let answer = if method.server_streaming() && is_encoded(method) {
            format!("Replies<Encoded<{response}>>")
        } else if method.server_streaming() {
            format!("Replies<{response}>")
        } else if is_encoded(method) {
            format!("Encoded<{response}>")
        } else if PARKED.contains(&method.name()) {
            format!("Later<{response}, Self::Error>")
        } else {
            response
        };
        write!(
            code,
            "/// `{name}`.\n\
             ///\n\
             /// # Errors\n\
             /// Whatever the handler refuses with.\n\
             fn {function}(&self, request: {request}) -> ::std::result::Result<{answer}, Self::Error>;\n",
            name = method.name(),
            function = snake_case(method.name()),
            request = type_name(method.input_type()),
        )?;
    }
    code.push_str("}\n");
    Ok(())
}

fn registration(code: &mut String, service: &ServiceDescriptorProto) -> std::fmt::Result {
    let name = service.name();
    write!(
        code,
        "/// Registers the handlers of `{name}`; `dispatch` carries out the calls.\n\
         pub fn {function}<S, D>(service: ::std::sync::Arc<S>, dispatch: D) -> ::grpcio::Service\n\
         where S: {name}, D: Dispatch<Error = S::Error>,\n\
         {{\nlet builder = ::grpcio::ServiceBuilder::new();\n",
        function = snake_case(name),
    )?;
    for method in &service.method {
        let (adder, call) = if method.server_streaming() {
            ("add_server_streaming_handler", "streaming")
        } else if PARKED.contains(&method.name()) {
            ("add_server_streaming_handler", "parked")
        } else {
            ("add_unary_handler", "unary")
        };
        write!(
            code,
            "let (s, d) = (service.clone(), dispatch.clone());\n\
             let builder = builder.{adder}(&{constant}, move |ctx, request, sink| {{\n\
             let s = s.clone();\n\
             d.{call}(ctx, \"{rpc}\", request, sink, move |request| s.{handler}(request));\n\
             }});\n",
            constant = served(service, method),
            rpc = method.name(),
            handler = snake_case(method.name()),
        )?;
    }
    code.push_str("builder.build()\n}\n");
    Ok(())
}

fn client(code: &mut String, service: &ServiceDescriptorProto) -> std::fmt::Result {
    let name = service.name();
    write!(
        code,
        "/// A blocking client of `{name}`.\n\
         #[derive(Clone)]\n\
         pub struct {name}Client {{ client: ::grpcio::Client }}\n\
         impl {name}Client {{\n\
         /// A client on a channel.\n\
         pub fn new(channel: ::grpcio::Channel) -> Self {{\n\
         Self {{ client: ::grpcio::Client::new(channel) }}\n}}\n",
    )?;
    for method in &service.method {
        let response = type_name(method.output_type());
        let (answer, call) = if method.server_streaming() {
            (
                format!("::grpcio::ClientSStreamReceiver<{response}>"),
                "server_streaming",
            )
        } else {
            (response, "unary_call")
        };
        write!(
            code,
            "/// `{rpc}`.\n\
             ///\n\
             /// # Errors\n\
             /// What the server refused with, or that it cannot be reached.\n\
             pub fn {function}(&self, request: &{request}, options: ::grpcio::CallOption) \
             -> ::grpcio::Result<{answer}> {{\n\
             self.client.{call}(&{constant}, request, options)\n}}\n",
            rpc = method.name(),
            function = snake_case(method.name()),
            request = type_name(method.input_type()),
            constant = constant(service, method),
        )?;
    }
    code.push_str("}\n");
    Ok(())
}

fn constant(service: &ServiceDescriptorProto, method: &MethodDescriptorProto) -> String {
    format!(
        "METHOD_{}_{}",
        snake_case(service.name()),
        snake_case(method.name())
    )
    .to_uppercase()
}

/// `.runtime.v1.VersionRequest` to `VersionRequest`: all types live in one module.
fn type_name(path: &str) -> String {
    path.rsplit('.').next().unwrap_or(path).to_owned()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (index, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
