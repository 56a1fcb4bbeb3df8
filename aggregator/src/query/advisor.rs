//! Advice, as clients ask for it.

use std::sync::{Arc, LazyLock};

use berth::{
    limits,
    wire::{self, advisor_server::Advisor},
};
use berth_core::placement::{Advised, CODES};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{ANSWER_BYTES, filter::id_prefix, show};
use crate::{
    advisory::Advisory,
    edge::{at_most, refused},
};

/// What is kept free of an answer for its notes.
const NOTES_BYTES: usize = 64 * 1024;

/// What a note takes in a message beside its text: a tag and a length.
const NOTE_FRAME_BYTES: usize = 8;

/// Kept free of the notes for the lines that say what is left out.
const LEFT_OUT_BYTES: usize = 256;

/// Which codes can be asked for.
static CODE_RULE: LazyLock<String> = LazyLock::new(|| format!("one of {}", CODES.join(", ")));

/// As many notes as there is room for, and how many more there are.
fn fitting(notes: &[String]) -> Vec<String> {
    let mut bytes = LEFT_OUT_BYTES;
    let fits = notes.iter().take_while(|note| {
        bytes += note.len() + NOTE_FRAME_BYTES;
        bytes <= NOTES_BYTES
    });
    let mut fitting: Vec<String> = fits.cloned().collect();
    let more = notes.len() - fitting.len();
    if more > 0 {
        fitting.push(format!("{more} more"));
    }
    fitting
}

/// The service for advice.
#[derive(Debug, Clone)]
pub(crate) struct AdvisorService {
    /// Where it comes from.
    pub(crate) advisory: Arc<Advisory>,
}

impl AdvisorService {
    async fn current(&self) -> Result<Arc<Advised>, Status> {
        let computed = self.advisory.current().await;
        computed.map_err(|error| Status::internal(format!("the advice was not computed: {error}")))
    }
}

#[tonic::async_trait]
impl Advisor for AdvisorService {
    async fn list(
        &self,
        request: Request<wire::ListAdviceRequest>,
    ) -> Result<Response<wire::ListAdviceResponse>, Status> {
        let request = request.into_inner();
        at_most("namespace", request.namespace.len(), limits::NAME_BYTES)?;
        if !request.code.is_empty() && !CODES.contains(&request.code.as_str()) {
            return Err(refused("code", request.code, CODE_RULE.as_str()).into());
        }
        let advised = self.current().await?;
        let wanted = advised.advice.iter().filter(|one| {
            (request.namespace.is_empty() || one.target.namespace == request.namespace)
                && (request.code.is_empty() || one.code == request.code)
        });
        let mut answer = wire::ListAdviceResponse { advice: Vec::new(), notes: fitting(&advised.notes) };
        let (mut bytes, mut left_out) = (0, 0_usize);
        for advice in wanted.map(show::advice) {
            bytes += advice.encoded_len();
            if bytes > ANSWER_BYTES - NOTES_BYTES {
                left_out += 1;
            } else {
                answer.advice.push(advice);
            }
        }
        if left_out > 0 {
            answer.notes.push(format!("{left_out} more are left out: name a namespace or a code"));
        }
        Ok(Response::new(answer))
    }

    async fn get(&self, request: Request<wire::GetAdviceRequest>) -> Result<Response<wire::Advice>, Status> {
        let id = request.into_inner().id;
        let ids = id_prefix(&id)?;
        let advised = self.current().await?;
        let mut found = advised.advice.iter().filter(|one| ids.contains(&one.id));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(Response::new(show::advice(one))),
            (None, _) => {
                Err(Status::not_found(format!("no advice {id}: the facts do not support it any more")))
            }
            (Some(_), Some(_)) => Err(refused("id", id, "the beginning of one id, not of several").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_beyond_their_room_are_counted_in_one_line() {
        let few = vec!["a note".to_owned(); 3];
        assert_eq!(fitting(&few), few);
        let many = vec!["x".repeat(1_016); 100];
        let notes = fitting(&many);
        assert_eq!((notes.len(), notes.last().unwrap().as_str()), (64, "37 more"));
        let answer = wire::ListAdviceResponse { advice: Vec::new(), notes };
        assert!(answer.encoded_len() <= NOTES_BYTES);
    }
}
