//! What a command brings along: a tenant, which all that follows bears, and metadata, which its own events carry.

use factum::{Archive, ExecuteError, commit::MAX_METADATA_BYTES, envelope::Kind, prelude::*};
use serde_json::json;

use super::{Filled, fill, service};

/// Puts one piece more beside what was filled.
fn beside(event: &Recorded<'_, Filled>, fx: &mut Effects) {
    if !event.basket.ends_with("-beside") {
        fx.send(fill(&format!("{}-beside", event.basket), &event.article, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_goes_from_cause_to_effect_and_metadata_stays_with_the_commands_own_events() {
    let dir = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let app = App::open(dir.path()).unwrap().with(service().react("beside", beside)).start().await.unwrap();
        if start == 0 {
            let command = app.execute(fill("a", "tea", 1)).tenant("acme").user("mara").metadata(json!({"shop": "uk"}));
            command.await.unwrap();
            app.rest().await.unwrap();
        }
        let mut seen = Vec::new();
        Archive::of(app.reader())
            .each::<factum::error::StoreError>(None, |stored| {
                let envelope = stored.envelope();
                assert_eq!((envelope.tenant.as_deref(), envelope.user_id.as_deref()), (Some("acme"), Some("mara")));
                seen.push((envelope.kind, envelope.metadata.as_deref().map(str::to_owned)));
                let json = serde_json::to_value(stored).unwrap();
                assert_eq!(json["tenant"], "acme");
                Ok(())
            })
            .unwrap();
        let own = Some(r#"{"shop":"uk"}"#.to_owned());
        assert_eq!(seen, [(Kind::Event, own), (Kind::Command, None), (Kind::Event, None)]);
        app.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_and_metadata_that_no_message_may_bear_are_refused() {
    let app = App::in_memory().with(service()).start().await.unwrap();
    let failed = async |execution: factum::Execution<'_>| match execution.await {
        Err(ExecuteError::Handler(error)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let long = "x".repeat(MAX_METADATA_BYTES);
    let deep = (0..70).fold(json!({}), |deep, _| json!({ "a": deep }));
    for (object, problem) in [
        (json!("text"), "must be a JSON object"),
        (json!([1]), "must be a JSON object"),
        (json!({ "a": long }), "65536 are allowed"),
        (deep, "nested deeper than 64 levels"),
    ] {
        let refused = failed(app.execute(fill("a", "tea", 1)).metadata(object)).await;
        assert!(refused.contains(problem), "{refused}");
    }
    let refused = failed(app.execute(fill("a", "tea", 1)).tenant("")).await;
    assert_eq!(refused, "the name of a tenant is empty");
    let refused = failed(app.execute(fill("a", "tea", 1)).tenant(&"x".repeat(129))).await;
    assert!(refused.contains("128 are allowed"), "{refused}");
    assert_eq!(app.position().0, 0, "nothing of it was stored");
    app.stop().await;
}

/// The same keys are found again, and states and rows are the same, whatever the order of the ids.
#[tokio::test(flavor = "multi_thread")]
async fn ids_may_be_random_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let app = App::open(dir.path()).unwrap().with(service()).uuid_v4().start().await.unwrap();
        for number in 0..9 {
            let receipt = app.execute(fill("a", "tea", 1)).id(&format!("key-{number}")).await.unwrap();
            assert_eq!((receipt.version.0, receipt.repeated), (number + 1, start == 1));
        }
        assert_eq!(app.new_id().as_uuid().unwrap().get_version_num(), 4);
        Archive::of(app.reader())
            .each::<factum::error::StoreError>(None, |stored| {
                assert_eq!(stored.envelope().id.as_uuid().unwrap().get_version_num(), 4);
                Ok(())
            })
            .unwrap();
        assert_eq!(super::all(&app).await[0].pieces, 9);
        app.stop().await;
    }
    let usual = App::in_memory().start().await.unwrap();
    assert_eq!(usual.new_id().as_uuid().unwrap().get_version_num(), 7);
    usual.stop().await;
}
