//! The inbox on a real desk in memory, for trying enrolment, login and review in a browser: prints a link and a code,
//! and holds a new request whenever the last one ended.

#[path = "../tests/house/mod.rs"]
mod house;

use countersign_core::time::Timestamp;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8098".to_owned());
    let world = house::world(&format!("http://localhost:{port}"), "localhost", now).await;
    let (link, code) = world.invite("grace", 1);
    println!("http://localhost:{port}/enrol/{link} {code}");
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let app = countersign_channels::web::router(std::sync::Arc::clone(&world.web));
    tokio::spawn(async move {
        for session in 1..=255 {
            let mut waiting = world.hold(session).await;
            println!("{}", waiting.id());
            let _ = waiting.wait().await;
        }
    });
    axum::serve(listener, app).await
}

#[expect(clippy::disallowed_methods, reason = "an example is its own shell")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or_default())
}
