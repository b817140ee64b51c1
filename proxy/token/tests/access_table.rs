//! The access table comes back as it went out; damage never gives access that was not given.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its case fails")]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use vibectl_token::Limits;
use vibectl_token::table::{
    DecodeError, EncodeError, Row, SHARDS, Scope, decode_shard, encode_shards, shard_of,
};

fn row(uid: &str) -> Row {
    Row {
        uid: uid.to_owned(),
        subject: "ai/alice".to_owned(),
        namespace: "ai".to_owned(),
        models: None,
        scopes: vec![Scope::Execute],
        limits: Limits::default(),
        min_iat: 0,
        issued: true,
        identities: Vec::new(),
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn decode_all(shards: &[Vec<u8>; SHARDS]) -> Vec<Row> {
    let mut rows: Vec<Row> = shards.iter().flat_map(|shard| decode_shard(shard).unwrap().rows).collect();
    rows.sort_by(|one, other| one.uid.cmp(&other.uid));
    rows
}

fn arbitrary_limits() -> impl Strategy<Value = Limits> {
    let limit = || prop::option::of(any::<u32>());
    let five = (limit(), limit(), limit(), limit(), limit());
    five.prop_map(|(rate, tokens, concurrent, length, timeout)| Limits {
        max_requests_per_minute: rate,
        max_tokens_per_minute: tokens,
        max_concurrent_requests: concurrent,
        max_input_length: length,
        request_timeout_seconds: timeout,
    })
}

fn arbitrary_row() -> impl Strategy<Value = Row> {
    let scopes =
        prop::collection::vec(prop::sample::select(vec![Scope::Execute, Scope::Models, Scope::Admin]), 0..3);
    let models = prop::option::of(prop::collection::vec("\\PC{0,12}", 0..4));
    ("[a-f0-9-]{1,36}", "[a-z]{1,8}", "[a-z0-9-]{1,12}", models, scopes, arbitrary_limits(), any::<i64>())
        .prop_map(|(uid, namespace, name, models, scopes, limits, min_iat)| Row {
            subject: format!("{namespace}/{name}"),
            uid,
            namespace,
            models,
            scopes,
            limits,
            min_iat,
            issued: true,
            identities: Vec::new(),
        })
}

fn arbitrary_rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::btree_map("[a-f0-9-]{1,36}", arbitrary_row(), 0..20)
        .prop_map(|rows| rows.into_iter().map(|(uid, row)| Row { uid, ..row }).collect())
}

proptest! {
    #[test]
    fn rows_come_back_as_they_went_out(rows in arbitrary_rows()) {
        let shards = encode_shards(&rows).unwrap();

        prop_assert_eq!(decode_all(&shards), rows);
    }

    #[test]
    fn the_order_of_rows_does_not_change_a_byte(rows in arbitrary_rows()) {
        let shards = encode_shards(&rows).unwrap();

        prop_assert_eq!(shards, encode_shards(rows.iter().rev()).unwrap());
    }

    #[test]
    fn a_flipped_bit_never_gives_a_row_that_was_not_there(
        rows in prop::collection::btree_map("[a-f0-9-]{1,36}", arbitrary_row(), 1..8),
        at in any::<prop::sample::Index>(),
        bit in 0_u8..8,
    ) {
        let rows: Vec<Row> = rows.into_iter().map(|(uid, row)| Row { uid, ..row }).collect();
        let shards = encode_shards(&rows).unwrap();
        let mut shard = shards[shard_of(&rows[0].uid)].clone();
        let at = at.index(shard.len());
        shard[at] ^= 1 << bit;

        if let Ok(decoded) = decode_shard(&shard) {
            prop_assert!(decoded.rows.iter().all(|row| rows.contains(row)));
        }
    }

    #[test]
    fn a_shard_cut_short_is_refused_whole(rows in arbitrary_rows(), at in any::<prop::sample::Index>()) {
        let shard = encode_shards(&rows).unwrap()[0].clone();

        prop_assert!(decode_shard(&shard[..at.index(shard.len())]).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,300}") {
        let _ = decode_shard(&bytes);
        let decoded = decode_shard(&gzip(text.as_bytes())).unwrap();
        prop_assert!(decoded.rows.is_empty());
    }
}

#[test]
fn a_bad_row_costs_itself_and_no_other() {
    let (good, other) =
        (serde_json::to_string(&row("a")).unwrap(), serde_json::to_string(&row("c")).unwrap());
    let bad = [
        "not json".to_owned(),
        good.replace(r#""uid":"a""#, r#""uid":"b","future_restriction":true"#),
        good.replace(r#""uid":"a""#, r#""uid":"""#),
        good.replace(r#""uid":"a","#, ""),
        good.replace(r#""subject":"ai/alice""#, r#""subject":"kube-system/alice""#),
        good.replace(r#"["execute"]"#, r#"["everything"]"#),
        good.replace(r#""min_iat":0"#, r#""min_iat":"0""#),
        good.replace(r#""uid":"a""#, r#""uid":"a","uid":"b""#),
        "[\"a\"]".to_owned(),
    ];

    for line in bad {
        let decoded = decode_shard(&gzip(format!("{good}\n{line}\n{other}\n").as_bytes())).unwrap();

        assert_eq!(decoded.rows, [row("a"), row("c")], "{line}");
        assert_eq!(decoded.rejected.len(), 1, "{line}");
        assert!(decoded.rejected[0].starts_with("line 2: "), "{}", decoded.rejected[0]);
    }
}

#[test]
fn two_rows_with_one_uid_are_both_closed() {
    let line = serde_json::to_string(&row("a")).unwrap();

    let decoded = decode_shard(&gzip(format!("{line}\n{line}\n{line}\n").as_bytes())).unwrap();

    assert_eq!(decoded.rows, []);
    assert!(matches!(encode_shards(&[row("a"), row("a")]), Err(EncodeError::DuplicateRow { .. })));
}

#[test]
fn a_shard_that_unfolds_without_end_is_refused() {
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    assert!(bomb.len() < 1_000_000);

    assert!(matches!(decode_shard(&bomb), Err(DecodeError::TooLarge)));
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut shard = encode_shards(&[row("a")]).unwrap()[shard_of("a")].clone();
    shard.push(0);

    assert!(matches!(decode_shard(&shard), Err(DecodeError::TrailingBytes)));
}

#[test]
fn a_table_too_large_for_a_secret_is_not_written() {
    let incompressible = |index: u32| {
        let digest = |salt: u32| {
            format!(
                "{:?}",
                aws_lc_rs::digest::digest(
                    &aws_lc_rs::digest::SHA256,
                    &[index.to_be_bytes(), salt.to_be_bytes()].concat()
                )
            )
        };
        Row { models: Some((0..20).map(digest).collect()), ..row(&format!("uid-{index}")) }
    };
    let rows: Vec<Row> = (0..8000).map(incompressible).collect();

    assert!(matches!(encode_shards(&rows), Err(EncodeError::TooLarge { .. })));
}

#[test]
fn a_row_stays_in_its_shard_for_ever() {
    let shards = ["a", "b", "c", "d", "e", "f"].map(shard_of);

    assert_eq!(shards, [2, 2, 2, 0, 3, 1], "a table written by one version is read by the next");
}
