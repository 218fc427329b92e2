//! A handler of `wasi:http@0.3`.

use wasip3::cli::environment;
use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Service;
wasip3::http::service::export!(Service);

impl wasip3::exports::http::handler::Guest for Service {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (end, trailers) = wit_future::new(|| Ok(None));
        drop(end);
        let (_, done) = wit_future::new(|| Ok(()));
        let (input, _trailers) = Request::consume_body(request, done);
        if path == "/echo" {
            return Ok(Response::new(Fields::new(), Some(input), trailers).0);
        }
        let (mut writer, body) = wit_stream::new();
        let response = Response::new(Fields::new(), Some(body), trailers).0;
        let text = match path.as_str() {
            "/" => "hello\n".to_owned(),
            "/env" => format!("{:?}\n", environment::get_environment()),
            "/trap" => std::process::abort(),
            "/refuse" => return Err(ErrorCode::InternalError(Some("no".into()))),
            "/stream" => {
                spawn_local(async move {
                    for index in 0..3 {
                        writer.write_all(format!("part {index}\n").into_bytes()).await;
                        monotonic_clock::wait_for(300_000_000).await;
                    }
                });
                return Ok(response);
            }
            _ => {
                response.set_status_code(404).ok();
                "nothing here\n".to_owned()
            }
        };
        spawn_local(async move {
            writer.write_all(text.into_bytes()).await;
        });
        Ok(response)
    }
}
