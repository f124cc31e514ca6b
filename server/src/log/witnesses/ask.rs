//! Asking one witness: the checkpoint with the proof that the log only grew, until it cosigns or refuses.

use reqwest::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use sealcard_api::text::one_line;
use sealcard_transparency::{AddCheckpoint, Answer, Note, SIZE_CONTENT_TYPE, Signature, VerifierKey};

use super::{Witness, is_of};
use crate::{
    limits,
    outbound::failure_reason,
    storage::{CheckpointRow, StorageError, Store},
};

/// What came of asking.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Cosignatures that were verified.
    pub(super) cosignatures: Vec<Signature>,
    /// Why those of all its keys are not among them.
    pub(super) fault: Option<Fault>,
}

/// Why a witness did not cosign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Not now, or not as it is configured. It is asked again.
    Again(String),
    /// It knows another log under this name. It is asked again: it may be the witness that is wrong.
    Forked(String),
    /// Another node has asked it for a newer checkpoint.
    Overtaken,
}

impl Witness {
    /// Asks for cosignatures of a checkpoint. The witness is thought to know the log at size `known`.
    ///
    /// # Errors
    /// If the database fails.
    pub(super) async fn ask(
        &self,
        store: &Store,
        checkpoint: &CheckpointRow,
        known: u64,
    ) -> Result<Asked, StorageError> {
        let damaged = |error: &dyn std::fmt::Display| StorageError::Damaged(format!("the newest checkpoint: {error}"));
        let note = Note::parse(checkpoint.note.as_bytes()).map_err(|error| damaged(&error))?;
        let note = of_log(&note, &checkpoint.origin).map_err(|error| damaged(&error))?;
        let (size, mut old) = (checkpoint.size, known.min(checkpoint.size));
        for _ in 0..limits::WITNESS_REQUESTS {
            let proof = if old == 0 { Vec::new() } else { store.prove_consistency(old, size).await? };
            let request = AddCheckpoint { old, proof, note: note.clone() };
            let fault = match self.post(request.to_string()).await {
                Ok(Answer::Cosigned(signatures)) => return Ok(verified(&self.keys, &note, &signatures)),
                Ok(Answer::Conflict(theirs)) if theirs <= size && theirs != old => {
                    old = theirs;
                    continue;
                }
                Ok(Answer::Conflict(theirs)) if theirs > size => {
                    let newest = store.checkpoint(&checkpoint.origin).await?.map_or(0, |newest| newest.size);
                    if theirs > newest { Fault::Forked(longer(theirs, newest)) } else { Fault::Overtaken }
                }
                Ok(Answer::Conflict(_)) if old == size => Fault::Forked(format!(
                    "it has cosigned another log of {size} entries: the record here was rewritten since then, or an older \
                     copy was restored"
                )),
                Ok(Answer::Conflict(_)) => {
                    Fault::Again(format!("it answers 409 with the size {old} that the proof begins at"))
                }
                Ok(Answer::Refused(422)) => Fault::Forked(format!(
                    "it does not find that this log of {size} entries begins with the {old} entries that it has cosigned: \
                     they were rewritten since then, or an older copy was restored"
                )),
                Ok(Answer::Refused(status)) => Fault::Again(advice(status, &checkpoint.origin)),
                Err(error) => Fault::Again(error),
            };
            return Ok(Asked { cosignatures: Vec::new(), fault: Some(fault) });
        }
        let fault =
            Fault::Again("it answers 409 with another size each time: does another log have this name?".to_owned());
        Ok(Asked { cosignatures: Vec::new(), fault: Some(fault) })
    }

    async fn post(&self, body: String) -> Result<Answer, String> {
        let request = self.client.post(self.url.clone()).header(CONTENT_TYPE, "text/plain; charset=utf-8").body(body);
        let response = request.send().await.map_err(failure_reason)?;
        let (status, kind) = (response.status(), response.headers().get(CONTENT_TYPE).cloned());
        let body = read(response).await?;
        parse(status, kind.as_ref(), &body)
    }
}

/// Reads the body, and no more of it than an answer has.
async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure_reason)? {
        body.extend_from_slice(&chunk);
        if body.len() > limits::WITNESS_ANSWER {
            return Err(format!("its answer has more than {} bytes", limits::WITNESS_ANSWER));
        }
    }
    Ok(body)
}

/// An answer of a witness, or why it is none.
fn parse(status: StatusCode, kind: Option<&HeaderValue>, body: &[u8]) -> Result<Answer, String> {
    if status.is_redirection() {
        return Err(format!("it answers {status}: redirects are not followed; correct the URL in record.witnesses"));
    }
    // A proxy before it may answer 409 too.
    let is_size = kind.is_some_and(|kind| kind.as_bytes().starts_with(SIZE_CONTENT_TYPE.as_bytes()));
    if status == StatusCode::CONFLICT && !is_size {
        return Err(format!("it answers {status} without the content type {SIZE_CONTENT_TYPE}"));
    }
    match Answer::parse(status.as_u16(), body) {
        Ok(Answer::Refused(400..=499)) if status != StatusCode::TOO_MANY_REQUESTS => {
            Ok(Answer::Refused(status.as_u16()))
        }
        Ok(Answer::Refused(_)) => {
            let said = one_line(String::from_utf8_lossy(body).trim(), 200);
            Err(if said.is_empty() { format!("it answers {status}") } else { format!("it answers {status}: {said}") })
        }
        answer => answer.map_err(|error| error.to_string()),
    }
}

/// What a refusal means and what to do about it.
fn advice(status: u16, origin: &str) -> String {
    match status {
        404 => format!(
            "it answers 404: it does not know the log {origin}, or its URL in record.witnesses is wrong. Give those who \
             run it the keys of this log, which are in log.tlog-policy of an export"
        ),
        403 => format!(
            "it answers 403: it has other keys of the log {origin}. Give those who run it the keys of this log, which \
             are in log.tlog-policy of an export"
        ),
        400 => {
            "it answers 400: it does not understand the request. Does its URL in record.witnesses lead to a witness of \
                C2SP's tlog-witness?"
                .to_owned()
        }
        _ => format!("it answers {status}. Is its URL in record.witnesses right?"),
    }
}

fn longer(theirs: u64, newest: u64) -> String {
    format!(
        "it has cosigned {theirs} entries of this log, which has a checkpoint of {newest} entries only: entries were \
         removed, or an older copy was restored"
    )
}

/// The checkpoint with the signatures of its log alone.
fn of_log(note: &Note, origin: &str) -> Result<Note, sealcard_transparency::NoteError> {
    let mut alone = Note::new(note.text().to_owned())?;
    for signature in note.signatures().iter().filter(|signature| signature.name().as_str() == origin) {
        alone.add(signature.clone())?;
    }
    Ok(alone)
}

/// The cosignatures of the witness's keys that are right.
fn verified(keys: &[VerifierKey], note: &Note, signatures: &[Signature]) -> Asked {
    let mut asked = Asked::default();
    for key in keys {
        let mut of_key = signatures.iter().filter(|signature| is_of(signature, key)).peekable();
        let fault = match of_key.peek() {
            None => format!("it gave no cosignature of its key {}+{}", key.name(), key.id()),
            Some(_) => format!("its cosignature with the key {}+{} is wrong", key.name(), key.id()),
        };
        match of_key.find(|signature| is_right(key, note, signature)) {
            Some(signature) => asked.cosignatures.push(signature.clone()),
            None => asked.fault = Some(Fault::Again(format!("{fault}: compare its keys with record.witnesses"))),
        }
    }
    asked
}

fn is_right(key: &VerifierKey, note: &Note, signature: &Signature) -> bool {
    let Ok(mut alone) = Note::new(note.text().to_owned()) else { return false };
    alone.add(signature.clone()).is_ok() && alone.verify([key]).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use sealcard_transparency::{Checkpoint, KeyType, SEED_LENGTH, SeedSigner, Signer as _, TreeHead, sign};
    use zeroize::Zeroizing;

    use super::*;

    fn signer(seed: u8, key_type: KeyType) -> SeedSigner {
        SeedSigner::new("w".parse().unwrap(), key_type, &Zeroizing::new([seed; SEED_LENGTH])).unwrap()
    }

    fn note() -> Note {
        Note::new(Checkpoint::new("log", TreeHead::EMPTY).unwrap().to_string()).unwrap()
    }

    #[test]
    fn cosignatures_of_its_keys_are_kept_and_no_others() {
        let (one, two) = (signer(1, KeyType::Ed25519Cosignature), signer(2, KeyType::MlDsa44));
        let stranger = signer(3, KeyType::Ed25519Cosignature);
        let (note, keys) = (note(), [one.key().clone(), two.key().clone()]);
        let [first, second, other] = [
            sign(note.text(), 7, &one).unwrap(),
            sign(note.text(), 7, &two).unwrap(),
            sign(note.text(), 7, &stranger).unwrap(),
        ];
        let asked = verified(&keys, &note, &[other, second.clone(), first.clone(), first.clone()]);
        assert_eq!(asked, Asked { cosignatures: vec![first.clone(), second], fault: None });

        let asked = verified(&keys, &note, std::slice::from_ref(&first));
        assert_eq!(asked.cosignatures, std::slice::from_ref(&first));
        assert!(matches!(asked.fault, Some(Fault::Again(text)) if text.contains("no cosignature")));

        let wrong = sign("log\n1\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", 7, &one).unwrap();
        let asked = verified(&keys[..1], &note, &[wrong]);
        assert!(asked.cosignatures.is_empty());
        assert!(matches!(asked.fault, Some(Fault::Again(text)) if text.contains("is wrong")));
    }

    #[test]
    fn answers_say_what_to_do() {
        let size = HeaderValue::from_static(SIZE_CONTENT_TYPE);
        let answer = |status: u16, kind: Option<&HeaderValue>, body: &str| {
            parse(StatusCode::from_u16(status).unwrap(), kind, body.as_bytes())
        };
        assert_eq!(answer(409, Some(&size), "12\n"), Ok(Answer::Conflict(12)));
        assert!(answer(409, Some(&size), "12").is_err());
        assert!(answer(409, None, "12\n").unwrap_err().contains("content type"));
        assert!(answer(307, None, "").unwrap_err().contains("redirects"));
        assert!(answer(503, None, "come\u{7}back").unwrap_err().contains("503 Service Unavailable: come"));
        assert!(answer(429, None, "").unwrap_err().ends_with("429 Too Many Requests"));
        assert!(answer(200, None, "no signature\n").is_err());
        for status in [400, 403, 404, 422] {
            assert_eq!(answer(status, None, "no"), Ok(Answer::Refused(status)));
        }
        assert!(advice(404, "a/b").contains("does not know the log a/b"));
        assert!(advice(403, "a/b").contains("other keys"));
    }

    proptest! {
        #[test]
        fn any_answer_is_read(status in 100_u16..1000, kind in "[ -~]{0,30}", body: Vec<u8>) {
            let status = StatusCode::from_u16(status).unwrap();
            let kind = HeaderValue::from_str(&kind).ok();
            if let Ok(Answer::Cosigned(signatures)) = parse(status, kind.as_ref(), &body) {
                let key = signer(1, KeyType::Ed25519Cosignature).key().clone();
                prop_assert!(verified(&[key], &note(), &signatures).cosignatures.is_empty());
            }
        }

        #[test]
        fn changed_cosignature_is_never_kept(place: usize, bit in 0_u8..8) {
            let one = signer(1, KeyType::Ed25519Cosignature);
            let line = sign(note().text(), 7, &one).unwrap().to_string();
            let mut bytes = data_encoding::BASE64.decode(line.rsplit_once(' ').unwrap().1.as_bytes()).unwrap();
            let length = bytes.len();
            bytes[place % length] ^= 1 << bit;
            let changed = format!("\u{2014} w {}", data_encoding::BASE64.encode(&bytes)).parse().unwrap();
            prop_assert!(verified(&[one.key().clone()], &note(), &[changed]).cosignatures.is_empty());
        }
    }
}
