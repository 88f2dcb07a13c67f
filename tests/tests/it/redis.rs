//! A real Redis behind a pool of TCP.

use std::process::Stdio;

use tokio::process::Command;
use weir_tests::manifest::{backend, pool};
use weir_tests::redis::{RedisClient, encoded};
use weir_tests::{Redis, Weir, eventually, within};

/// Commands of a pipeline.
const PIPELINE: usize = 20_000;

/// Weir before these, of which the first is asked as long as it is there.
async fn weir_before(servers: &[&Redis]) -> Weir {
    let backends = servers.iter().enumerate().map(|(n, redis)| backend(&format!("r{n}"), "redis", redis.address(), ""));
    let text = pool("redis", "protocol: TCP, balance: {method: FirstAlive}") + &backends.collect::<String>();
    Weir::builder().tcp().file("redis.yaml", &text).start().await
}

async fn client(weir: &Weir) -> RedisClient {
    RedisClient::connect(weir.tcp_address()).await.unwrap()
}

#[tokio::test]
async fn u1_redis_pipelines_get_every_answer_in_order() {
    let redis = Redis::start().await;
    let weir = weir_before(&[&redis]).await;
    let pipeline = encoded(&["INCR", "n"]).repeat(PIPELINE);
    let mut client = client(&weir).await;
    client.send(&pipeline).await.unwrap();
    for n in 1..=PIPELINE {
        assert_eq!(client.answer().await.unwrap(), n.to_string());
    }
    let value = "x".repeat(5 << 20);
    assert_eq!(client.ask(&["SET", "large", &value]).await.unwrap(), "OK");
    assert!(client.ask(&["GET", "large"]).await.unwrap() == value, "a large value comes back as it went");
}

#[tokio::test]
async fn u1_redis_messages_reach_subscribers_that_say_nothing() {
    let redis = Redis::start().await;
    let weir = weir_before(&[&redis]).await;
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        let mut subscriber = client(&weir).await;
        assert_eq!(subscriber.ask(&["SUBSCRIBE", "news"]).await.unwrap(), "subscribe news 1");
        subscribers.push(subscriber);
    }
    let mut publisher = client(&weir).await;
    for n in 0..100 {
        assert_eq!(publisher.ask(&["PUBLISH", "news", &n.to_string()]).await.unwrap(), "3");
    }
    for subscriber in &mut subscribers {
        for n in 0..100 {
            assert_eq!(subscriber.answer().await.unwrap(), format!("message news {n}"));
        }
    }
}

#[tokio::test]
async fn t2_redis_benchmark_loses_nothing_and_both_sides_count_the_same() {
    let redis = Redis::start().await;
    let weir = weir_before(&[&redis]).await;
    let port = weir.tcp_address().port().to_string();
    let arguments = ["-p", &port, "-n", "20000", "-c", "20", "-P", "16", "-q", "INCR", "n"];
    let mut benchmark = Command::new("redis-benchmark").args(arguments).stdout(Stdio::null()).spawn().unwrap();
    assert!(within("the end of redis-benchmark", benchmark.wait()).await.unwrap().success());
    eventually("its connections have ended", async || {
        (weir.metric("weir_requests_active").await == 0.0 && weir.metric("weir_connections_active").await == 0.0)
            .then_some(())
    })
    .await;

    let info = redis.info("stats").await;
    let figure = |name: &str| info[name].parse::<f64>().unwrap();
    assert_eq!(client(&weir).await.ask(&["GET", "n"]).await.unwrap(), "20000");
    // Redis has counted the connection that asked for its figures and what that asked, Weir the one after it.
    let length = |bytes: &[u8]| bytes.len() as f64;
    let difference = length(&encoded(&["GET", "n"])) - length(&encoded(&["INFO", "stats"]));
    let answer = length(b"$5\r\n20000\r\n");
    let bytes = |direction: &'static str| weir.sample("weir_tcp_bytes_total", direction);
    assert_eq!(weir.metric("weir_tcp_connections_total").await, figure("total_connections_received"));
    assert_eq!(bytes("upstream").await, Some(figure("total_net_input_bytes") + difference));
    assert_eq!(bytes("downstream").await, Some(figure("total_net_output_bytes") + answer));
}

#[tokio::test]
async fn f5_a_redis_that_dies_in_a_pipeline_is_seen_and_the_next_connection_goes_elsewhere() {
    let (first, second) = (Redis::start().await, Redis::start().await);
    let weir = weir_before(&[&first, &second]).await;
    let mut client = client(&weir).await;
    client.ask(&["SET", "who", "first"]).await.unwrap();
    client.send(&encoded(&["INCR", "n"]).repeat(PIPELINE)).await.unwrap();
    client.answer().await.unwrap();
    first.kill().await;
    let mut answered = 1;
    while client.answer().await.is_ok() {
        answered += 1;
    }
    // What was on the way may still come, but nobody else goes on with the pipeline.
    assert!(answered <= PIPELINE, "{answered}");
    let mut next = self::client(&weir).await;
    assert_eq!(next.ask(&["EXISTS", "who", "n"]).await.unwrap(), "0");
    eventually("its connection is over", async || {
        (weir.backend("test/redis", "r0").await["inFlight"]["current"] == 0).then_some(())
    })
    .await;
}
