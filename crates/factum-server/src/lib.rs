//! Factum over HTTP: problem details, health, a server with graceful stop. Names no adapter.
