//! Holds the contract to what strangers have already built on: every message, number, type and
//! label is in a golden file, and what was once there keeps its meaning for ever.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;

use berth::wire::FILE_DESCRIPTOR_SET;
use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet, field_descriptor_proto};

const GOLDEN: &str = include_str!("fixtures/contract.golden");

fn print_message(out: &mut String, path: &str, message: &DescriptorProto) {
    let name = format!("{path}.{}", message.name());
    writeln!(out, "message {name}").unwrap();
    for field in &message.field {
        let kind = match field.r#type() {
            field_descriptor_proto::Type::Message | field_descriptor_proto::Type::Enum => {
                field.type_name().to_owned()
            }
            scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        };
        let label = match field.label() {
            field_descriptor_proto::Label::Repeated => "repeated ",
            field_descriptor_proto::Label::Optional | field_descriptor_proto::Label::Required => "",
        };
        let oneof = match field.oneof_index {
            // proto3's way to tell an unset number from 0.
            Some(_) if field.proto3_optional() => " optional".to_owned(),
            Some(index) => format!(" in {}", message.oneof_decl[usize::try_from(index).unwrap()].name()),
            None => String::new(),
        };
        writeln!(out, "  {} = {} {label}{kind}{oneof}", field.name(), field.number()).unwrap();
    }
    for range in &message.reserved_range {
        writeln!(out, "  reserved {}..{}", range.start(), range.end()).unwrap();
    }
    message.nested_type.iter().for_each(|nested| print_message(out, &name, nested));
    message.enum_type.iter().for_each(|nested| print_enum(out, &name, nested));
}

fn print_enum(out: &mut String, path: &str, values: &EnumDescriptorProto) {
    writeln!(out, "enum {path}.{}", values.name()).unwrap();
    for value in &values.value {
        writeln!(out, "  {} = {}", value.name(), value.number()).unwrap();
    }
}

fn descriptor() -> String {
    let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap();
    let mut out = String::new();
    for file in files.file.iter().filter(|file| file.package() == "berth.v1") {
        let path = format!(".{}", file.package());
        file.message_type.iter().for_each(|message| print_message(&mut out, &path, message));
        file.enum_type.iter().for_each(|values| print_enum(&mut out, &path, values));
        for service in &file.service {
            writeln!(out, "service {path}.{}", service.name()).unwrap();
            for method in &service.method {
                let stream = |streams: bool| if streams { "stream " } else { "" };
                writeln!(
                    out,
                    "  {}({}{}) -> {}{}",
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type()
                )
                .unwrap();
            }
        }
    }
    out
}

/// What a field or an enum value is, by where it stands and its number.
fn meanings(text: &str) -> std::collections::BTreeMap<(String, String), String> {
    let mut owner = String::new();
    let mut known = std::collections::BTreeMap::new();
    for line in text.lines() {
        if let Some(entry) = line.strip_prefix("  ") {
            if let Some((name, rest)) = entry.split_once(" = ") {
                let number = rest.split(' ').next().unwrap().to_owned();
                known.insert((owner.clone(), number), format!("{name} = {rest}"));
            }
        } else {
            line.clone_into(&mut owner);
        }
    }
    known
}

#[test]
fn the_contract_is_the_golden_one() {
    let now = descriptor();
    if std::env::var_os("BERTH_UPDATE_GOLDEN").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/contract.golden");
        assert_keeps_its_meaning(&now);
        std::fs::write(path, &now).unwrap();
    }
    assert!(
        now == GOLDEN,
        "the contract changed. If only fields were added, run the test with BERTH_UPDATE_GOLDEN=1, \
         read the difference, and commit it:\n{now}"
    );
}

/// No number that was there changes its name, type or label, and none vanishes.
fn assert_keeps_its_meaning(now: &str) {
    let (golden, now) = (meanings(GOLDEN), meanings(now));
    for (place, meaning) in &golden {
        assert_eq!(now.get(place), Some(meaning), "{place:?}");
    }
}

#[test]
fn no_number_changes_its_meaning_and_none_is_used_again() {
    assert_keeps_its_meaning(&descriptor());
}

#[test]
fn every_message_field_and_method_is_documented_where_it_stands() {
    for (name, text) in [
        ("common", include_str!("../proto/berth/v1/common.proto")),
        ("ingest", include_str!("../proto/berth/v1/ingest.proto")),
        ("episodes", include_str!("../proto/berth/v1/episodes.proto")),
        ("advice", include_str!("../proto/berth/v1/advice.proto")),
        ("samples", include_str!("../proto/berth/v1/samples.proto")),
        ("load", include_str!("../proto/berth/v1/load.proto")),
        ("trace", include_str!("../proto/berth/v1/trace.proto")),
    ] {
        // A member of a oneof is a message of its own, which is documented there; an enum's value
        // says itself what it is, or has its comment.
        let (mut oneof, mut documented) = (false, false);
        for (index, line) in text.lines().enumerate() {
            let entry = line.trim_start();
            oneof = entry.starts_with("oneof ") || (oneof && entry != "}");
            let field = line.starts_with("  ") && entry.ends_with(';') && entry.contains(" = ") && !oneof;
            let value = entry.split(" = ").next().is_some_and(|name| !name.contains(char::is_lowercase));
            let owner = ["message ", "enum ", "service ", "rpc "].iter().any(|word| entry.starts_with(word));
            let needs = owner || (field && !value);
            assert!(!needs || documented, "{name}.proto:{}: {line}", index + 1);
            documented = entry.starts_with("//");
        }
    }
}
