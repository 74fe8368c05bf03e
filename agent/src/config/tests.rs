//! What a configuration file may say.

use super::*;

#[test]
fn an_unknown_key_is_refused() {
    let fault = serde_json::from_str::<File>(r#"{"metricAddress": "x"}"#).unwrap_err().to_string();
    assert!(fault.contains("metricAddress") && fault.contains("metricsAddress"), "{fault}");
}

#[test]
fn a_range_that_is_none_is_refused() {
    let fault = serde_json::from_str::<File>(r#"{"podCIDR": "10.1.2.3/16"}"#).unwrap_err().to_string();
    assert!(fault.contains("10.1.2.3/16") && fault.contains("10.182.0.0/16"), "{fault}");
}

#[test]
fn log_limits_are_the_kubelets() {
    let rows = [
        ("{}", Ok((10 << 20, 5))),
        (r#"{"containerLogMaxSize": "64Ki", "containerLogMaxFiles": 2}"#, Ok((64 << 10, 2))),
        (r#"{"containerLogMaxSize": "3M"}"#, Ok((3_000_000, 5))),
        (r#"{"containerLogMaxSize": "1000"}"#, Ok((1000, 5))),
        (r#"{"containerLogMaxSize": "0"}"#, Err("containerLogMaxSize: \"0\"")),
        (r#"{"containerLogMaxSize": "ten"}"#, Err("containerLogMaxSize: \"ten\"")),
        (r#"{"containerLogMaxFiles": 1}"#, Err("containerLogMaxFiles: 1 is too few")),
    ];
    for (text, expected) in rows {
        match (serde_json::from_str::<File>(text), expected) {
            (Ok(file), Ok((size, files))) => {
                let mut config = Config::under(Path::new("/r"));
                config.apply(file).unwrap();
                assert_eq!(config.log_limits, LogLimits { size, files }, "{text}");
            }
            (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{text}: {fault}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}

#[test]
fn a_ring_is_a_power_of_two() {
    let rows = [
        (r#"{}"#, Ok(64 << 10)),
        (r#"{"kernelRingSize": "4Ki"}"#, Ok(4 << 10)),
        (r#"{"kernelRingSize": "65536"}"#, Ok(64 << 10)),
        (r#"{"kernelRingSize": "2Ki"}"#, Err("kernelRingSize: \"2Ki\"")),
        (r#"{"kernelRingSize": "5000"}"#, Err("kernelRingSize: \"5000\" is not a power of two")),
    ];
    for (text, expected) in rows {
        match (serde_json::from_str::<File>(text), expected) {
            (Ok(file), Ok(bytes)) => {
                let mut config = Config::under(Path::new("/r"));
                config.apply(file).unwrap();
                assert_eq!(config.ring, bytes, "{text}");
            }
            (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{text}: {fault}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}

#[test]
fn image_garbage_collection_is_the_kubelets() {
    let rows = [
        ("{}", Ok((85, 80, 120))),
        (r#"{"imageGCHighThresholdPercent": 70, "imageGCLowThresholdPercent": 0}"#, Ok((70, 0, 120))),
        (r#"{"imageGCHighThresholdPercent": 100, "imageMinimumGCAge": "90s"}"#, Ok((100, 80, 90))),
        (r#"{"imageMinimumGCAge": "1h"}"#, Ok((85, 80, 3600))),
        (r#"{"imageGCHighThresholdPercent": 80}"#, Err("80 is not below imageGCHighThresholdPercent, 80")),
        (r#"{"imageGCHighThresholdPercent": 101}"#, Err("101 is no percentage")),
        (r#"{"imageMinimumGCAge": "soon"}"#, Err("imageMinimumGCAge: \"soon\"")),
    ];
    for (text, expected) in rows {
        let mut config = Config::under(Path::new("/r"));
        let applied = serde_json::from_str(text).and_then(|file| config.apply(file));
        match (applied, expected) {
            (Ok(()), Ok((high, low, seconds))) => {
                let min_age = std::time::Duration::from_secs(seconds);
                assert_eq!(config.image_gc, ImageGc { high, low, min_age }, "{text}");
            }
            (Err(fault), Err(part)) => assert!(fault.to_string().contains(part), "{text}: {fault}"),
            (found, _) => panic!("{text}: {found:?}"),
        }
    }
}

#[test]
fn the_file_wins_over_the_default() {
    let mut config = Config::under(Path::new("/r"));
    config.apply(serde_json::from_str(r#"{"stateDir": "/data", "cgroup": "a/b"}"#).unwrap()).unwrap();
    assert_eq!(config.database(), Path::new("/data/carob.db"));
    assert_eq!(config.attempt_depth(), 5);
    assert_eq!(config.run, Path::new("/r/run/carob"));
}
