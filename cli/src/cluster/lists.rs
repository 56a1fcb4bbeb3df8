//! Lists of objects, page by page.

use std::fmt::Debug;

use kube::Api;
use kube::api::ListParams;
use serde::de::DeserializeOwned;

use super::refusal::Wish;
use crate::exit::{Exit, Failure};

/// Objects in one answer, as kubectl asks for them.
const PAGE: u32 = 500;

/// Pages of one list: 100,000 objects, which is more than a cluster of 5,000 nodes has of any kind but
/// pods, and bounds the memory that they take.
const PAGES: usize = 200;

/// All objects, or those that have the labels.
pub(super) async fn all<K>(
    api: &Api<K>,
    labels: &str,
    wish: Wish<'_>,
    context: &str,
) -> Result<Vec<K>, Failure>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(PAGE).labels(labels);
    let mut objects = Vec::new();
    for _ in 0..PAGES {
        let page = wish.granted(context, api.list(&params)).await?;
        objects.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
    let message = format!("cannot {wish}: there are more than {}", objects.len());
    Err(Failure::new(Exit::Environment, message))
}
