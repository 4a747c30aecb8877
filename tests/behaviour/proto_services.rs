//! The generated services and clients, over a real socket: a call reaches its handler through the
//! dispatch, and one answer, a stream of answers or a refusal comes back.

use std::{sync::Arc, time::Duration};

use futures_util::{stream, FutureExt as _, SinkExt as _, StreamExt as _};
use grpcio::{
    CallOption, ChannelBuilder, EnvBuilder, Environment, RpcContext, RpcStatus, RpcStatusCode,
    ServerBuilder, ServerCredentials, ServerStreamingSink, UnarySink, WriteFlags,
};
use interlink_cri::proto::{
    image_service, Dispatch, Image, ImageFsInfoRequest, ImageFsInfoResponse, ImageService,
    ImageServiceClient, ImageSpec, ImageStatusRequest, ImageStatusResponse, Incoming, Later,
    ListImagesRequest, ListImagesResponse, PullImageRequest, PullImageResponse, RemoveImageRequest,
    RemoveImageResponse, Replies, RuntimeServiceClient, StreamImagesRequest, StreamImagesResponse,
    VersionRequest,
};
use protobuf::MessageField;

/// Three images, and nothing that can be changed.
struct Stub;

fn images() -> Vec<Image> {
    let image = |id: &str| Image {
        id: id.into(),
        size: 1,
        ..Default::default()
    };
    ["one", "two", "three"].map(image).to_vec()
}

impl ImageService for Stub {
    type Error = String;

    fn list_images(&self, _: ListImagesRequest) -> Result<ListImagesResponse, String> {
        Ok(ListImagesResponse {
            images: images(),
            ..Default::default()
        })
    }

    fn stream_images(
        &self,
        _: StreamImagesRequest,
    ) -> Result<Replies<StreamImagesResponse>, String> {
        let pieces = images().into_iter().map(|image| StreamImagesResponse {
            images: vec![image],
            ..Default::default()
        });
        Ok(stream::iter(pieces).boxed())
    }

    fn image_status(&self, request: ImageStatusRequest) -> Result<ImageStatusResponse, String> {
        let found = images()
            .into_iter()
            .find(|one| one.id == request.image.image);
        Ok(ImageStatusResponse {
            image: found.into(),
            ..Default::default()
        })
    }

    fn pull_image(&self, request: PullImageRequest) -> Result<PullImageResponse, String> {
        Err(format!("{} stays where it is", request.image.image))
    }

    fn remove_image(&self, _: RemoveImageRequest) -> Result<RemoveImageResponse, String> {
        Ok(RemoveImageResponse::default())
    }

    fn image_fs_info(&self, _: ImageFsInfoRequest) -> Result<ImageFsInfoResponse, String> {
        Ok(ImageFsInfoResponse::default())
    }
}

/// Runs handlers on the thread that the call came in on; a refusal carries the method's name.
#[derive(Clone)]
struct Inline;

fn refusal(method: &str, error: &str) -> RpcStatus {
    let text = format!("{method}: {error}");
    RpcStatus::with_message(RpcStatusCode::FAILED_PRECONDITION, text)
}

impl Dispatch for Inline {
    type Error = String;

    fn unary<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        sink: UnarySink<P>,
        handler: impl FnOnce(Q) -> Result<P, String> + Send + 'static,
    ) {
        let sent = match handler(request.message.expect("a small one")) {
            Ok(response) => sink.success(response),
            Err(error) => sink.fail(refusal(method, &error)),
        };
        // A caller that is gone fails on its own side.
        context.spawn(sent.map(drop));
    }

    fn parked<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Later<P, String>, String> + Send + 'static,
    ) {
        let one = |later: Later<P, String>| later.map(Result::unwrap).into_stream().boxed();
        self.streaming(context, method, request, sink, move |request| {
            handler(request).map(one)
        });
    }

    fn streaming<Q: Send + 'static, P: Send + 'static>(
        &self,
        context: RpcContext<'_>,
        method: &'static str,
        request: Incoming<Q>,
        mut sink: ServerStreamingSink<P>,
        handler: impl FnOnce(Q) -> Result<Replies<P>, String> + Send + 'static,
    ) {
        let replies = handler(request.message.expect("a small one"));
        context.spawn(async move {
            let _ = match replies {
                Ok(replies) => {
                    let mut pieces = replies.map(|piece| Ok((piece, WriteFlags::default())));
                    sink.send_all(&mut pieces).await.ok();
                    sink.close().await
                }
                Err(error) => sink.fail(refusal(method, &error)).await,
            };
        });
    }
}

/// A served stub; the socket goes with the directory, the server with itself.
struct Served {
    environment: Arc<Environment>,
    _server: grpcio::Server,
    directory: tempfile::TempDir,
}

impl Served {
    fn start() -> Self {
        let environment = Arc::new(EnvBuilder::new().cq_count(1).build());
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = ServerBuilder::new(environment.clone())
            .register_service(image_service(Arc::new(Stub), Inline))
            .build()
            .expect("a server");
        let address = format!("unix:{}", directory.path().join("cri.sock").display());
        server
            .add_listening_port(address, ServerCredentials::insecure())
            .expect("a socket");
        server.start();
        Self {
            environment,
            _server: server,
            directory,
        }
    }

    fn channel(&self) -> grpcio::Channel {
        let socket = self.directory.path().join("cri.sock");
        ChannelBuilder::new(self.environment.clone()).connect(&format!("unix:{}", socket.display()))
    }
}

fn soon() -> CallOption {
    CallOption::default().timeout(Duration::from_secs(10))
}

fn spec(name: &str) -> MessageField<ImageSpec> {
    MessageField::some(ImageSpec {
        image: name.into(),
        ..Default::default()
    })
}

#[test]
fn one_answer() {
    let served = Served::start();
    let client = ImageServiceClient::new(served.channel());
    let listed = client.list_images(&ListImagesRequest::default(), soon());
    assert_eq!(listed.expect("answers").images, images());
    for (name, known) in [("two", true), ("four", false)] {
        let request = ImageStatusRequest {
            image: spec(name),
            ..Default::default()
        };
        let status = client.image_status(&request, soon()).expect("answers");
        assert_eq!(status.image.is_some(), known, "{name}");
    }
}

#[test]
fn a_stream_of_answers() {
    let served = Served::start();
    let client = ImageServiceClient::new(served.channel());
    let receiver = client
        .stream_images(&StreamImagesRequest::default(), soon())
        .expect("a stream");
    let pieces: Vec<_> = futures_executor::block_on_stream(receiver)
        .map(|piece| piece.expect("a piece").images)
        .collect();
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces.concat(), images());
}

#[test]
fn a_refusal() {
    let served = Served::start();
    let client = ImageServiceClient::new(served.channel());
    let request = PullImageRequest {
        image: spec("busybox"),
        ..Default::default()
    };
    match client.pull_image(&request, soon()) {
        Err(grpcio::Error::RpcFailure(status)) => {
            assert_eq!(status.code(), RpcStatusCode::FAILED_PRECONDITION);
            assert_eq!(status.message(), "PullImage: busybox stays where it is");
        }
        other => panic!("refused: {other:?}"),
    }
}

#[test]
fn a_service_that_is_not_registered() {
    let served = Served::start();
    let client = RuntimeServiceClient::new(served.channel());
    match client.version(&VersionRequest::default(), soon()) {
        Err(grpcio::Error::RpcFailure(status)) => {
            assert_eq!(status.code(), RpcStatusCode::UNIMPLEMENTED);
        }
        other => panic!("not there: {other:?}"),
    }
}
