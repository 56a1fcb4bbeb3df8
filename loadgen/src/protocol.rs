//! How predictions are asked for and answered, in the three shapes that model servers speak:
//!
//! | protocol | asked | answered |
//! |---|---|---|
//! | Predict API | `{"payload":{"instances":[row, ..]}}` | `{"payload":{"predictions":[..]}}` |
//! | KServe V1 | `{"instances":[row, ..]}` | `{"predictions":[..]}` |
//! | KServe V2 | `{"inputs":[{"shape":[rows, ..], ..}, ..]}` | `{"outputs":[{"shape":[rows, ..], ..}, ..]}` |
//!
//! A body says by its shape which one it is, and an answer too. Only counts are taken out; nothing is
//! kept, so reading an answer allocates nothing.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

/// How rows are wrapped into bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// The Predict API.
    #[default]
    Predict,
    /// KServe's first protocol, which is that of TensorFlow Serving.
    V1,
    /// KServe's second one, the Open Inference Protocol.
    V2,
}

impl Protocol {
    /// Puts one row, a JSON array, into a body. Its cells are `cells`, all of them numbers where the
    /// protocol is V2: a tensor has one type.
    pub(crate) fn wrap(self, row: &[u8], cells: usize, into: &mut Vec<u8>) {
        let (before, after): (&[u8], &[u8]) = match self {
            Self::Predict => (br#"{"payload":{"instances":["#, b"]}}"),
            Self::V1 => (br#"{"instances":["#, b"]}"),
            Self::V2 => (b"", b""),
        };
        into.extend_from_slice(before);
        match self {
            Self::Predict | Self::V1 => into.extend_from_slice(row),
            Self::V2 => {
                let shape = format!(
                    r#"{{"inputs":[{{"name":"input-0","shape":[1,{cells}],"datatype":"FP64","data":"#
                );
                into.extend_from_slice(shape.as_bytes());
                into.extend_from_slice(row);
                into.extend_from_slice(b"}]}");
            }
        }
        into.extend_from_slice(after);
    }
}

/// How many predictions a request body asks for; `None` when it asks in none of the three ways.
///
/// As the reference model server reads it, one flat row of the Predict API counts as one instance, and
/// rows that are all empty count as none. In V1 each element is an instance, whatever it is; in V2 the
/// first dimension counts.
pub(crate) fn instances(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Body {
        payload: Option<Payload>,
        instances: Option<Item>,
        inputs: Option<First<Tensor>>,
    }
    #[derive(Deserialize)]
    struct Payload {
        instances: Item,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    match (body.payload.map(|payload| payload.instances), body.instances, body.inputs) {
        (Some(Item::Array { empty: true, .. }), _, _) => Some(0),
        (Some(Item::Array { flat: true, .. }), _, _) => Some(1),
        (Some(Item::Array { items, .. }), _, _) | (None, Some(Item::Array { items, .. }), _) => Some(items),
        (None, None, Some(First(Some(tensor)))) => tensor.shape.0,
        _ => None,
    }
}

/// How many predictions an answer holds; `None` when it is a successful answer in none of the three ways.
/// Scores of the Predict API count where predictions are left out.
pub(crate) fn predictions(body: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Body {
        payload: Option<Payload>,
        predictions: Option<Items>,
        outputs: Option<First<Tensor>>,
    }
    #[derive(Deserialize)]
    struct Payload {
        predictions: Option<Items>,
        scores: Option<Items>,
        success: Option<bool>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    if let Some(payload) = body.payload {
        let is_failure = payload.success == Some(false);
        return payload.predictions.or(payload.scores).filter(|_| !is_failure).map(|Items(items)| items);
    }
    let tensor = || body.outputs.and_then(|First(first)| first).and_then(|tensor| tensor.shape.0);
    body.predictions.map(|Items(items)| items).or_else(tensor)
}

/// What counts of a V2 tensor.
#[derive(Deserialize)]
struct Tensor {
    shape: First<u32>,
}

/// The first item of an array.
struct First<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Head<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Head<T> {
            type Value = First<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<First<T>, A::Error> {
                let first = seq.next_element()?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }
        deserializer.deserialize_seq(Head(PhantomData))
    }
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
            (r#"{"instances":[[1,2],[3,4],[5,6]]}"#, Some(3)),
            (r#"{"instances":[1,2]}"#, Some(2)),
            (r#"{"instances":{"a":1}}"#, None),
            (r#"{"id":"x","inputs":[{"name":"a","shape":[4,2],"data":[1]},{"shape":[9]}]}"#, Some(4)),
            (r#"{"inputs":[]}"#, None),
            (r#"{"inputs":[1]}"#, None),
            ("not json", None),
        ] {
            assert_eq!(instances(body.as_bytes()), count, "{body}");
        }
    }

    #[test]
    fn a_row_that_is_wrapped_asks_for_one_prediction() {
        for (protocol, body) in [
            (Protocol::Predict, r#"{"payload":{"instances":[[1,2.5]]}}"#),
            (Protocol::V1, r#"{"instances":[[1,2.5]]}"#),
            (
                Protocol::V2,
                r#"{"inputs":[{"name":"input-0","shape":[1,2],"datatype":"FP64","data":[1,2.5]}]}"#,
            ),
        ] {
            let mut wrapped = Vec::new();
            protocol.wrap(b"[1,2.5]", 2, &mut wrapped);
            assert_eq!((str::from_utf8(&wrapped).unwrap(), instances(&wrapped)), (body, Some(1)));
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
            (r#"{"predictions":[[0.1,0.9],[0.8,0.2]]}"#, Some(2)),
            (r#"{"model_name":"m","outputs":[{"name":"o","shape":[3,1],"data":[1,2,3]}]}"#, Some(3)),
            (r#"{"outputs":[]}"#, None),
            (r#"{"error":"no such model"}"#, None),
            ("", None),
        ] {
            assert_eq!(predictions(body.as_bytes()), count, "{body}");
        }
    }
}
