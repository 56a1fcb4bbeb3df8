//! The Predict API's two JSON shapes: `{"payload":{"instances":[row, ..]}}` is asked, and
//! `{"payload":{"predictions":[..]}}` is answered, one prediction for each row.
//!
//! Only counts are taken out; nothing is kept, so reading an answer allocates nothing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

/// What stands around one row in a request.
pub(crate) const ROW_PREFIX: &[u8] = br#"{"payload":{"instances":["#;
/// See [`ROW_PREFIX`].
pub(crate) const ROW_SUFFIX: &[u8] = b"]}}";

/// How many predictions a request body asks for; `None` when it is not of the Predict API.
///
/// As the reference model server reads it, one flat row counts as one instance, and rows that are
/// all empty count as none.
pub(crate) fn instances(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Body {
        payload: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        instances: Item,
    }
    match serde_json::from_slice::<Body>(body).ok()?.payload.instances {
        Item::Value => None,
        Item::Array { empty: true, .. } => Some(0),
        Item::Array { flat: true, .. } => Some(1),
        Item::Array { items, .. } => Some(items),
    }
}

/// How many predictions an answer holds; `None` when it is not a successful answer of the
/// Predict API. Scores count where predictions are left out.
pub(crate) fn predictions(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Body {
        payload: Payload,
    }
    #[derive(Deserialize)]
    struct Payload {
        predictions: Option<Items>,
        scores: Option<Items>,
        success: Option<bool>,
    }
    let payload = serde_json::from_slice::<Body>(body).ok()?.payload;
    if payload.success == Some(false) {
        return None;
    }
    payload.predictions.or(payload.scores).map(|Items(items)| items)
}

/// The length of an array, whatever it holds.
struct Items(u32);

impl<'de> Deserialize<'de> for Items {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Count;
        impl<'de> Visitor<'de> for Count {
            type Value = Items;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items, A::Error> {
                let mut items = 0_u32;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    items = items.saturating_add(1);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Count)
    }
}

/// The shape of a JSON value: an array, how long, whether of plain values, and whether nothing is
/// in it at any depth; or anything else.
enum Item {
    Array { items: u32, flat: bool, empty: bool },
    Value,
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Item, A::Error> {
                let (mut items, mut flat, mut empty) = (0_u32, true, true);
                while let Some(item) = seq.next_element::<Item>()? {
                    items = items.saturating_add(1);
                    flat &= matches!(item, Item::Value);
                    empty &= matches!(item, Item::Array { empty: true, .. });
                }
                Ok(Item::Array { items, flat, empty })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Item::Value)
            }

            fn visit_unit<E>(self) -> Result<Item, E> {
                Ok(Item::Value)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Item, E> {
                Ok(Item::Value)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Item, E> {
                Ok(Item::Value)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Item, E> {
                Ok(Item::Value)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Item, E> {
                Ok(Item::Value)
            }

            fn visit_str<E>(self, _: &str) -> Result<Item, E> {
                Ok(Item::Value)
            }
        }
        deserializer.deserialize_any(Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_counted_as_the_model_server_counts_them() {
        for (body, count) in [
            (r#"{"payload":{"instances":[[7,107,74],[1,"a",null]]}}"#, Some(2)),
            (r#"{"payload":{"instances":[7,107,"Germany",0.5,-1,true,null]}}"#, Some(1)),
            (r#"{"payload":{"instances":[[[1,2],[3,4]]],"more":{}}}"#, Some(1)),
            (r#"{"payload":{"instances":[{"age":3},{"age":4}]}}"#, Some(1)),
            (r#"{"payload":{"instances":[]}}"#, Some(0)),
            (r#"{"payload":{"instances":[[],[]]}}"#, Some(0)),
            (r#"{"payload":{"instances":{"a":1}}}"#, None),
            (r#"{"payload":{}}"#, None),
            (r#"{"inputs":[]}"#, None),
            ("not json", None),
        ] {
            assert_eq!(instances(body.as_bytes()), count, "{body}");
        }
    }

    #[test]
    fn predictions_are_counted_in_every_form_of_answer() {
        for (body, count) in [
            (r#"{"payload":{"predictions":[1]}}"#, Some(1)),
            (r#"{"payload":{"predictions":["a","b"],"success":true}}"#, Some(2)),
            (r#"{"payload":{"predictions":[1],"scores":[0.7],"threshold":0.5}}"#, Some(1)),
            (r#"{"payload":{"scores":[[0.1,0.9],[0.8,0.2]],"labels":[0,1]}}"#, Some(2)),
            (r#"{"payload":{"predictions":[]}}"#, Some(0)),
            (r#"{"payload":{"success":false,"error":"no such column"}}"#, None),
            (r#"{"payload":{"success":false,"predictions":[1]}}"#, None),
            (r#"{"payload":{"predictions":1}}"#, None),
            (r#"{"payload":{}}"#, None),
            (r#"{"payload":{"predictions":[1]}"#, None),
            ("", None),
        ] {
            assert_eq!(predictions(body.as_bytes()), count, "{body}");
        }
    }
}
