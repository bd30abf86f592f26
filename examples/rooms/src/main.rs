//! The rooms as a server: `rooms DIRECTORY ADDRESS`.

use factum::{App, AppBuilder, http};
use rooms::{bank::Bank, services};

#[tokio::main]
async fn main() -> Result<(), factum::Report> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().unwrap_or_else(|| "data".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let builder = services(&Bank::generous()).into_iter().fold(App::open(directory)?, AppBuilder::with);
    let app = builder.start().await?;
    let listener = http::listen(address.parse()?).await?;
    println!("http://{}", listener.local_addr()?);
    let stop = async { _ = tokio::signal::ctrl_c().await };
    http::serve(listener, app.router(), stop).await?;
    app.stop().await;
    Ok(())
}
