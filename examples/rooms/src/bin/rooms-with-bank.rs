//! The rooms as a server whose bank is asked over HTTP: `rooms-with-bank DIRECTORY ADDRESS BANK`. Chaos runs it.

use factum::{App, AppBuilder, http, http::client::Remote, prelude::*};
use rooms::{
    bank::{Bank, Payment},
    services,
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), factum::Report> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, address, bank] = arguments.as_slice() else {
        eprintln!(
            "say where: rooms-with-bank DIRECTORY ADDRESS BANK, such as data 127.0.0.1:8080 http://127.0.0.1:9000"
        );
        std::process::exit(2);
    };
    let bank: Remote = bank.parse()?;
    let ask = move |act, call: Call<Payment>| {
        let bank = bank.clone();
        async move {
            let path = ["payments", &call.request.booking_id, act];
            bank.post(&path, &call.idempotency_key, &call.request)
                .await
                .answer(Ok, |reason| rooms::bank::Paid { word: reason })
        }
    };
    let mut services = services(&Bank::new(ask));
    // Who is asked often is not waited for long.
    services.iter_mut().flat_map(|service| &mut service.calls).for_each(|call| call.policy.timeout = 500.ms());
    let mut stop = signal(SignalKind::terminate())?;
    let app = services.into_iter().fold(App::open(directory)?, AppBuilder::with).start().await?;
    let listener = http::listen(address.parse()?).await?;
    http::serve(listener, app.router(), async move { _ = stop.recv().await }).await?;
    app.stop().await;
    Ok(())
}
