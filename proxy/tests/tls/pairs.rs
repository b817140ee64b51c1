//! Pairs as people leave them: what is refused, and what is served all the same.

use std::collections::BTreeMap;
use std::process::Command;

use jiff::{SignedDuration, Timestamp};
use vibectl_config::MinVersion;
use vibectl_pki::{Ca, Chain, IssueRequest, Leaf, Names, Subject, Usage};
use vibectl_server::tls::read_pair;

use crate::{DAY, NAME, connects, files, state};

fn subject(common_name: &str) -> Subject {
    Subject { common_name: common_name.to_owned(), organization: None, country: None }
}

/// A root, and a leaf under an intermediate of it that is valid for a while from a time on.
fn under_an_intermediate(days: u32, from: Timestamp) -> (Ca, Leaf) {
    let root = Ca::root(&subject("Root"), DAY * 300, from).expect("a root");
    let intermediate =
        root.intermediate(&subject("Intermediate"), DAY * days, from).expect("an intermediate");
    let names = Names::parse([NAME]).expect("names");
    let request = IssueRequest { names: &names, usage: Usage::Server, validity: DAY, now: from };
    (root, intermediate.issue(&request).expect("a leaf"))
}

fn with_chain(leaf: &Leaf, chain: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = files(leaf);
    files.insert("tls.crt".to_owned(), chain.as_bytes().to_vec());
    files
}

#[test]
fn b06_a_chain_out_of_order_is_refused_and_the_place_is_named() {
    let (root, leaf) = under_an_intermediate(30, Timestamp::now());
    let [first, second] = leaf.chain().certificates() else { panic!("leaf and intermediate") };
    let root = root.chain().leaf();
    let pem = |chain: [&rustls::pki_types::CertificateDer<'static>; 3]| {
        Chain::new(chain.map(Clone::clone).to_vec()).expect("a chain").to_pem()
    };

    let upside_down = read_pair(&with_chain(&leaf, &pem([first, root, second])), Timestamp::now());

    let refused = upside_down.expect_err("out of order").to_string();
    assert!(refused.contains("certificate 1 was not issued by certificate 2"), "{refused}");
    assert!(read_pair(&with_chain(&leaf, &pem([first, second, root])), Timestamp::now()).is_ok());
}

#[test]
fn b06_line_ends_blank_lines_and_text_between_the_blocks_do_not_matter() {
    let (root, leaf) = under_an_intermediate(30, Timestamp::now());
    let pem = leaf.chain_pem();
    let spellings = [
        pem.replace('\n', "\r\n"),
        format!("\n\n{pem}\n\n\n"),
        format!("Bag Attributes: x\nsubject=CN = y\n{pem}trailing text\n"),
        pem.replace("-----END CERTIFICATE-----\n", "-----END CERTIFICATE-----\n\n"),
        pem.trim_end().to_owned(),
    ];

    for spelling in spellings {
        let read = read_pair(&with_chain(&leaf, &spelling), Timestamp::now()).expect("a pair");
        assert!(connects(&state(&read, None, MinVersion::V1_3), &root), "{spelling}");
    }
}

#[test]
fn b06_half_a_block_is_refused_wherever_the_write_stopped() {
    let (_, leaf) = under_an_intermediate(30, Timestamp::now());
    let pem = leaf.chain_pem();
    let first_end = pem.find("-----BEGIN").and_then(|_| pem[1..].find("-----BEGIN")).expect("two blocks") + 1;

    for length in 0..pem.trim_end().len() {
        let read = read_pair(&with_chain(&leaf, &pem[..length]), Timestamp::now());

        // A file that stops between two blocks is whole: the leaf alone is a pair.
        let between = (first_end - 1..=first_end).contains(&length);
        assert_eq!(read.is_ok(), between, "{length} of {}: {:?}", pem.len(), read.err());
    }
}

#[test]
fn b06_a_leaf_without_its_issuers_is_served_for_clients_that_know_the_issuer() {
    let (root, leaf) = under_an_intermediate(30, Timestamp::now());
    let alone = Chain::new(vec![leaf.chain().leaf().clone()]).expect("a chain").to_pem();

    let read = read_pair(&with_chain(&leaf, &alone), Timestamp::now()).expect("a pair");

    assert!(!connects(&state(&read, None, MinVersion::V1_3), &root), "nobody else can know the intermediate");
}

#[test]
fn b06_an_expired_issuer_is_the_clients_business_and_an_expired_leaf_is_not_served() {
    let long_ago = Timestamp::now() - SignedDuration::from_hours(24 * 20);
    let root = Ca::root(&subject("Root"), DAY * 300, long_ago).expect("a root");
    let ended = root.intermediate(&subject("Intermediate"), DAY * 10, long_ago).expect("an intermediate");
    let renewed = root.intermediate_with_same_key(&ended, DAY * 30, long_ago).expect("renewed");
    let names = Names::parse([NAME]).expect("names");
    let request = IssueRequest { names: &names, usage: Usage::Server, validity: DAY * 25, now: long_ago };
    let leaf = renewed.issue(&request).expect("a leaf");
    let old_chain = vec![leaf.chain().leaf().clone(), ended.chain().leaf().clone()];
    let old_chain = Chain::new(old_chain).expect("a chain").to_pem();

    let read = read_pair(&with_chain(&leaf, &old_chain), Timestamp::now()).expect("the leaf is good");
    assert!(!connects(&state(&read, None, MinVersion::V1_3), &root));

    let later = Timestamp::now() + SignedDuration::from_hours(24 * 6);
    let refused = read_pair(&files(&leaf), later).expect_err("expired").to_string();
    assert!(refused.contains("the certificate expired at"), "{refused}");
}

#[test]
fn b06_a_signature_with_sha_1_and_a_short_rsa_key_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let done = command.args(arguments.split(' ')).current_dir(folder.path()).output();
        let done = done.expect("openssl is installed");
        assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let read = |name: &str| {
        let file = |end: &str| std::fs::read(folder.path().join(format!("{name}.{end}"))).expect("a file");
        let files =
            BTreeMap::from([("tls.crt".to_owned(), file("crt")), ("tls.key".to_owned(), file("key"))]);
        read_pair(&files, Timestamp::now()).map(drop).map_err(|error| error.to_string())
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ca -days 9");
    openssl("req -newkey rsa:2048 -nodes -keyout sha1.key -out sha1.csr -subj /CN=a");
    openssl("x509 -req -in sha1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -sha1 -days 9 -out sha1.crt");
    openssl("x509 -req -in sha1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -sha256 -days 9 -out good.crt");
    openssl("req -x509 -newkey rsa:1024 -nodes -keyout short.key -out short.crt -subj /CN=a -days 9");
    std::fs::copy(folder.path().join("sha1.key"), folder.path().join("good.key")).expect("copied");

    assert_eq!(read("good"), Ok(()));
    assert!(
        read("sha1").expect_err("forgeable").contains("certificate 1 is signed with SHA-1"),
        "{:?}",
        read("sha1")
    );
    assert!(
        read("short").expect_err("breakable").contains("RSA key of less than 2048 bits"),
        "{:?}",
        read("short")
    );
}
